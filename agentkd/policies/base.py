"""The policy seam: what chooses the next message.

A `Policy` lives as long as a run and may hold a model or an HTTP client; it is an async context
manager. For each episode it makes an `Actor`, which may hold what belongs to one episode: a search
plan, a place in a KV cache. A conversation only ever grows, so that prefix caches hit, unless the
protocol tells each step in a message of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from agentkd_envs import Env, Observation, StepResult, Task

from agentkd.prompts import ActionFormat
from agentkd.trajectory import Author, Message, PolicyInfo, Tag, Usage


@dataclass
class Conversation:
    """What the policy sees: the messages so far, and the environment's last answer."""

    messages: list[Message]
    last: Observation | StepResult
    """The environment's answer behind the last message, with its admissible actions."""
    last_reply: str = ""
    """What was last said in the policy's place, by whomever; empty at first."""


@dataclass(frozen=True)
class Reply:
    """One message of a policy."""

    text: str
    author: Author
    tag: Tag | None = None
    loss: bool | float = True
    reasoning: str | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    candidates: tuple[Mapping[str, Any], ...] = ()
    usage: Usage = field(default_factory=Usage)
    finish_reason: str | None = None
    is_context_full: bool = False
    """The conversation no longer fits the model; the loop ends the episode."""


@dataclass(frozen=True)
class EpisodeContext:
    """What a policy may know when an episode begins."""

    task: Task
    env: Env
    format: ActionFormat
    seed: int
    """Of this attempt at this task; whatever is random in the policy derives from it."""
    is_training: bool = False
    """True while trajectories are collected for training, so that a policy may use privileged
    help."""


class Actor(Protocol):
    """A policy within one episode."""

    async def act(self, conversation: Conversation) -> Reply:
        """Choose the next message. Raises `PolicyError` if that is impossible for now."""
        ...

    async def close(self) -> None:
        """Release what the episode held."""
        ...


class Policy(Protocol):
    """Makes actors; `async with policy:` opens and closes what they share."""

    @property
    def info(self) -> PolicyInfo:
        """Who acts, for the record."""
        ...

    async def begin(self, episode: EpisodeContext) -> Actor:
        """Return an actor for one episode."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...


class StatelessPolicy:
    """Base for policies that open nothing."""

    async def __aenter__(self) -> Self:
        """Nothing to open."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Nothing to close."""
        return None


class StatelessActor:
    """Base for actors that hold nothing."""

    async def close(self) -> None:
        """Nothing to release."""
