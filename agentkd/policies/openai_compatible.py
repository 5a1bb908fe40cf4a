"""agentkd's OpenAI-compatible client as a langchain-core chat model, for use anywhere else.

Unlike the provider packages it keeps what servers add to the protocol: `reasoning_content` (in
`additional_kwargs`), token ids and log-probabilities (in `response_metadata`), and what came out of
the prefix cache (in `usage_metadata`). It asks once; retries are the caller's. A chat model has no
end at which connections could be closed, so each call opens one; agentkd's own policy keeps them
(`agentkd.policies.chat`).
"""

from typing import Any

import anyio
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, SecretStr

from agentkd.calls.openai_client import OpenAIClient
from agentkd.calls.request import Candidate, ChatAnswer, ChatRequest
from agentkd.trajectory import Message, Role

_ROLES: dict[str, Role] = {"system": "system", "human": "user", "ai": "assistant"}


class OpenAICompatibleChat(BaseChatModel):
    """A chat model behind any server with the OpenAI API."""

    model: str
    base_url: str
    api_key: SecretStr | None = None
    sampling: dict[str, Any] = Field(default_factory=dict)
    max_tokens: int | None = None
    timeout_s: float = 600.0

    @property
    def _llm_type(self) -> str:
        return "agentkd-openai-compatible"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "base_url": self.base_url, **self.sampling}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return anyio.run(lambda: self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = ChatRequest(
            messages=tuple(Message(_ROLES[one.type], str(one.text)) for one in messages),
            n=kwargs.pop("n", 1),
            seed=kwargs.pop("seed", None),
            max_tokens=kwargs.pop("max_tokens", self.max_tokens),
            sampling={**self.sampling, **kwargs, **({"stop": stop} if stop else {})},
        )
        key = self.api_key.get_secret_value() if self.api_key else None
        async with OpenAIClient(
            self.model, key=key, timeout_s=self.timeout_s, connections=1
        ) as client:
            answer = await client.complete(request, self.base_url)
        return ChatResult(
            generations=[
                ChatGeneration(message=_message(candidate, answer))
                for candidate in answer.candidates
            ]
        )


def _message(candidate: Candidate, answer: ChatAnswer) -> AIMessage:
    usage = answer.usage
    metadata = {
        "model_name": answer.model,
        "finish_reason": candidate.finish_reason,
        "token_ids": candidate.token_ids,
        "logprobs": candidate.logprobs,
    }
    reasoning = candidate.reasoning
    return AIMessage(
        content=candidate.text,
        additional_kwargs={"reasoning_content": reasoning} if reasoning else {},
        response_metadata={name: value for name, value in metadata.items() if value is not None},
        usage_metadata=UsageMetadata(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
            input_token_details=InputTokenDetails(cache_read=usage.cached_tokens)
            if answer.is_cache_known
            else InputTokenDetails(),
        ),
    )
