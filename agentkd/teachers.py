"""Makes the teacher that a recipe asks for."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agentkd.calls.cache import CallCache
from agentkd.calls.caller import Caller, ChatClient, Patience
from agentkd.calls.continuation import Continuation
from agentkd.calls.ledger import Budget, CallRole, open_ledger
from agentkd.calls.prices import Price, Prices
from agentkd.errors import ConfigError
from agentkd.policies import Policy
from agentkd.policies.chat import ChatPolicy
from agentkd.recipe.teacher import TeacherSection
from agentkd.trajectory import Author

if TYPE_CHECKING:
    from agentkd.policies.student import StudentPolicy

_OPENAI = "https://api.openai.com"


def make_teacher(
    section: TeacherSection, ledger: Path | None, concurrency: int, role: CallRole = "teacher"
) -> Policy:
    """The policy of a `teacher` section; raises `ConfigError` for settings that do not fit.

    `ledger` is the file that the calls are entered in, under `role`; `concurrency` the most that
    may be under way at one endpoint.
    """
    if section.api == "local":
        return _local(section)
    sampling = section.sampling
    caller = make_caller(section, ledger, concurrency, role)
    if section.api == "langchain":
        return ChatPolicy(caller, n=sampling.n)
    given = {"temperature": sampling.temperature, "top_p": sampling.top_p, **sampling.extra}
    wire = {name: value for name, value in given.items() if value is not None}
    return ChatPolicy(
        caller,
        sampling=wire,
        max_tokens=sampling.max_tokens,
        n=sampling.n,
        native_tools=section.native_tools,
    )


def make_caller(
    section: TeacherSection, ledger: Path | None, concurrency: int, role: CallRole = "teacher"
) -> Caller:
    """What calls the chat model of a section and enters each call under `role`.

    Raises `ConfigError` for settings that do not fit.
    """
    client = _langchain(section) if section.api == "langchain" else _openai(section, concurrency)
    prices = prices_of(section)
    if section.budget.usd is not None and not prices.is_known:
        raise ConfigError(
            f"teacher.budget.usd needs a price, and that of '{section.model}' at "
            f"{section.base_urls[0]} is unknown; set teacher.price.prompt and "
            "teacher.price.completion in US dollars per million tokens"
        )
    limits = section.limits
    return Caller(
        client,
        section.base_urls if section.api == "openai" else [""],
        role=role,
        ledger=open_ledger(ledger, Budget(**section.budget.model_dump())),
        cache=CallCache(cache_path(section)) if section.cache else None,
        prices=prices,
        patience=Patience(limits.tries, limits.patience_s, limits.backoff_s),
        concurrency=concurrency,
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
    )


def prices_of(section: TeacherSection) -> Prices:
    """What the teacher's tokens cost."""
    own = Price(**section.price.model_dump()) if section.price else None
    url = section.base_urls[0] if section.api == "openai" else None
    return Prices(section.model, url, own)


def cache_path(section: TeacherSection) -> Path:
    """The file with the answers: the section's, else one for all runs of this user."""
    if isinstance(section.cache, Path):
        return section.cache
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "agentkd" / "calls.sqlite"


def _openai(section: TeacherSection, concurrency: int) -> ChatClient:
    from agentkd.calls.openai_client import OpenAIClient

    return OpenAIClient(
        section.model,
        key=_key(section),
        timeout_s=section.limits.timeout_s,
        stall_s=section.limits.stall_s,
        stream=section.stream,
        sends_seed=section.seeded,
        length_parameter="max_completion_tokens"
        if section.base_urls[0].startswith(_OPENAI)
        else "max_tokens",
        continuation=Continuation(section.continuation, section.tokenizer),
        connections=concurrency * len(section.base_urls),
    )


def _key(section: TeacherSection) -> str | None:
    if section.api_key_env is None:
        return None
    key = os.environ.get(section.api_key_env)
    if not key:
        raise ConfigError(
            f"the environment variable {section.api_key_env}, which teacher.api_key_env names, is "
            f"not set; set it with: export {section.api_key_env}=..."
        )
    return key


def _langchain(section: TeacherSection) -> ChatClient:
    from agentkd.calls.langchain_client import LangchainClient, make_chat_model

    if section.chat_model is None:
        raise ConfigError(
            "teacher.api langchain needs teacher.chat_model, as in langchain_openai:ChatOpenAI"
        )
    options: dict[str, Any] = {"model": section.model, **section.options}
    chat_model = make_chat_model(section.chat_model, options)
    return LangchainClient(chat_model, section.model, section.limits.timeout_s)


def _local(section: TeacherSection) -> Policy:
    if section.sampling.n > 1:
        raise ConfigError("a local teacher writes one candidate; set teacher.sampling.n to 1")
    sampling = section.sampling
    return local_policy(
        section.model,
        section.model,
        "teacher",
        sampling.max_tokens,
        sampling.temperature or 0.0,
        sampling.top_p or 1.0,
    )


def local_policy(
    source: str,
    name: str,
    author: Author,
    max_tokens: int | None,
    temperature: float,
    top_p: float = 1.0,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> "StudentPolicy":
    """A model in this process; an answer takes at most a quarter of its context.

    Raises `StudentNotFoundError` if `source` names none.
    """
    import torch

    from agentkd.policies.student import StudentPolicy
    from agentkd.students.decoder import Sampling
    from agentkd.students.load import device_of_this_machine, load_student

    student = load_student(source)
    longest = student.context // 4
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return StudentPolicy(
        student.model.to(device_of_this_machine(), dtype),  # type: ignore[arg-type]
        student.tokenizer,
        name=name,
        author=author,
        sampling=Sampling(min(max_tokens or longest, longest), temperature, top_p),
        max_context=student.context,
    )
