"""Any langchain-core chat model as a client, so that every provider package works.

Sampling is set where the model is made. What the package keeps of an answer is read: text,
reasoning, token counts, why it ended. Errors are classed by the HTTP status that provider packages
put on their exceptions; one without a status that is no network error is a bug and is raised.
"""

import json
import time
from typing import TYPE_CHECKING, Any, NoReturn, Self

import anyio

from agentkd.calls.failures import failure_of
from agentkd.calls.request import Candidate, ChatAnswer, ChatRequest
from agentkd.errors import CallError, ConfigError, ContinuationError
from agentkd.trajectory import Message, Role, Usage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "STOP": "stop",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "refusal": "content_filter",
    "SAFETY": "content_filter",
}
"""Reasons of other APIs in the words of OpenAI's."""


class LangchainClient:
    """Asks a `BaseChatModel`. Candidates are asked for one by one, at once."""

    api = "langchain"

    def __init__(self, chat_model: "BaseChatModel", model: str, timeout_s: float = 600.0) -> None:
        self._chat_model, self.model, self._timeout_s = chat_model, model, timeout_s
        parameters = json.dumps(dict(chat_model._identifying_params), sort_keys=True, default=str)
        self.identity = f"{type(chat_model).__qualname__} {parameters}"

    def check_continuation(self, prefix: str) -> NoReturn:
        """Raise `ContinuationError`, always."""
        raise ContinuationError(
            "a langchain chat model has no certain way to continue a message; use "
            "teacher.api openai with teacher.continuation"
        )

    async def complete(self, request: ChatRequest, base_url: str) -> ChatAnswer:
        """Ask once; raises `CallError`, `ProviderRefusedError` or `ContinuationError`."""
        if request.prefix is not None:
            self.check_continuation(request.prefix)
        messages = [_langchain_message(message) for message in request.messages]
        given: dict[str, Any] = dict(request.sampling)
        if request.max_tokens is not None:
            given["max_tokens"] = request.max_tokens
        started = time.monotonic()
        try:
            with anyio.fail_after(self._timeout_s):
                result = await self._chat_model.agenerate([messages] * request.n, **given)
        except Exception as error:
            failure = self._failure(error)
            if failure is None:
                raise
            raise failure from error
        answers: list[Any] = [one.message for row in result.generations for one in row[:1]]  # type: ignore[union-attr]
        usages = [_usage(answer) for answer in answers]
        return ChatAnswer(
            candidates=tuple(_candidate(answer) for answer in answers),
            usage=Usage.total(usage for usage, _ in usages),
            is_usage_known=all(answer.usage_metadata for answer in answers),
            is_cache_known=all(is_known for _, is_known in usages),
            model=answers[0].response_metadata.get("model_name"),
            latency_s=time.monotonic() - started,
        )

    def _failure(self, error: Exception) -> Exception | None:
        response = getattr(error, "response", None)
        status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
        if isinstance(status, int):
            headers = getattr(response, "headers", None) or {}
            return failure_of(status, headers, str(error), endpoint=self.model, model=self.model)
        name = f"{self.model}: {type(error).__name__}: {error}"
        if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
            return CallError("timeout", name)
        if isinstance(error, OSError) or "Connect" in type(error).__name__:
            return CallError("unavailable", name)
        return None

    async def __aenter__(self) -> Self:
        """Nothing is opened here."""
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Nothing is closed here."""


def make_chat_model(path: str, options: dict[str, Any]) -> "BaseChatModel":
    """Make the chat model at `package.module:Class`; raises `ConfigError`."""
    from importlib import import_module

    from langchain_core.language_models import BaseChatModel

    module, colon, name = path.partition(":")
    if not colon:
        raise ConfigError(
            f"teacher.chat_model '{path}' must name a class, as in langchain_openai:ChatOpenAI"
        )
    try:
        kind = getattr(import_module(module), name)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise ConfigError(f"{error}; install it with: pip install {package}") from error
    except AttributeError as error:
        raise ConfigError(f"teacher.chat_model: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, BaseChatModel)):
        raise ConfigError(f"teacher.chat_model '{path}' is not a langchain-core chat model")
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"teacher.options do not fit {name}: {error}") from error


def _langchain_message(message: Message) -> "BaseMessage":
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

    kinds: dict[Role, type[BaseMessage]] = {
        "system": SystemMessage,
        "user": HumanMessage,
        "assistant": AIMessage,
    }
    return kinds[message.role](content=message.content)


def _candidate(message: "AIMessage") -> Candidate:
    blocks = message.content if isinstance(message.content, list) else []
    thoughts = [
        str(block.get("reasoning") or block.get("thinking"))
        for block in blocks
        if isinstance(block, dict) and block.get("type") in ("reasoning", "thinking")
    ]
    kept = message.additional_kwargs.get("reasoning_content")
    about = message.response_metadata
    reason = about.get("finish_reason") or about.get("stop_reason") or about.get("done_reason")
    return Candidate(
        text=str(message.text),
        reasoning=str(kept) if kept else "\n\n".join(thoughts) or None,
        finish_reason=_FINISH_REASONS.get(reason, reason) if reason else None,
    )


def _usage(message: "AIMessage") -> tuple[Usage, bool]:
    counted: Any = message.usage_metadata or {}
    cached = (counted.get("input_token_details") or {}).get("cache_read")
    usage = Usage(counted.get("input_tokens", 0), counted.get("output_tokens", 0), int(cached or 0))
    return usage, cached is not None
