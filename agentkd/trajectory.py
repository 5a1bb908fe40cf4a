"""The record: one episode from its task to its outcome, with nothing summarised away.

What the policy wrote is kept exactly as it wrote it (`Step.text`), beside the parsed thought and
action. Records are frozen; curation makes new ones with `dataclasses.replace`. A record is stored
as one line of JSON (`to_json`, `from_json`), and a field that has its default value is not written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from agentkd_envs import Task
from pydantic import TypeAdapter, ValidationError

from agentkd.errors import RecordError

RECORD_VERSION = 1

Role = Literal["system", "user", "assistant"]
Author = Literal["teacher", "student", "base", "expert", "random", "critic"]
Tag = Literal["error", "reflection", "correction", "plan", "retrieved", "finalisation"]
"""What a message is; `finalisation` is the answer that is asked for when all steps are used up."""
FormatError = Literal["malformed", "truncated"]
Status = Literal[
    "ok", "budget", "format", "env_error", "sandbox_error", "provider_error", "unknown"
]
EndedBy = Literal[
    "success",
    "failure",
    "max_steps",
    "max_tokens",
    "max_seconds",
    "format_limit",
    "context",
    "content_filter",
    "error",
    "unknown",
]

INFRASTRUCTURE_STATUSES: frozenset[Status] = frozenset(
    {"env_error", "sandbox_error", "provider_error"}
)
"""Statuses of episodes that a broken machine ended: never graded, counted apart, retried on
resume."""


@dataclass(frozen=True)
class Message:
    """One message of a conversation, as a chat template takes it."""

    role: Role
    content: str


@dataclass(frozen=True)
class Usage:
    """Tokens and money, as the server or the local model counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens that came out of a prefix or KV cache."""
    cost_usd: float | None = None
    """None means that the price is not known, which is not the same as free; a sum with an unknown
    part is unknown."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage.total((self, other))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was called: no token, no price."""
        return not (
            self.prompt_tokens
            or self.completion_tokens
            or self.cached_tokens
            or self.cost_usd is not None
        )

    @classmethod
    def total(cls, parts: Iterable["Usage"]) -> "Usage":
        """Sum of the parts; its cost is unknown if a part that is not empty has an unknown one."""
        called = [part for part in parts if not part.is_empty]
        costs = [part.cost_usd for part in called]
        known = [cost for cost in costs if cost is not None]
        return cls(
            sum(part.prompt_tokens for part in called),
            sum(part.completion_tokens for part in called),
            sum(part.cached_tokens for part in called),
            sum(known) if known and len(known) == len(costs) else None,
        )


@dataclass(frozen=True)
class Step:
    """One message of the policy, and what the environment answered."""

    text: str
    """Exactly what the policy wrote."""
    observation: str
    """What the next message of the environment says, as the policy will see it."""
    action: str | None = None
    """The parsed action; None if the text holds none, or is a thought alone."""
    thought: str = ""
    format_error: FormatError | None = None
    reward: float = 0.0
    valid: bool = True
    """False if the action was not understood or was not possible."""
    author: Author = "teacher"
    tag: Tag | None = None
    loss: bool | float = True
    """Whether, or with which weight, the tokens of `text` are trained."""
    reasoning: str | None = None
    """Reasoning that the server returned beside the text."""
    token_ids: tuple[int, ...] | None = None
    """The generated tokens, end of turn included, if the policy knows them."""
    logprobs: tuple[float, ...] | None = None
    candidates: tuple[Mapping[str, Any], ...] = ()
    usage: Usage = Usage()
    """What producing the text took."""
    from_cache: bool = False
    """The text came out of the local cache of calls, so that this run did not pay for it."""
    latency_s: float = 0.0
    """Seconds that the policy took, or the server, without waiting for a turn."""
    finish_reason: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PolicyInfo:
    """Who acted."""

    kind: Author | Literal["mixed"]
    name: str
    model: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How the episode ended.

    The status `unknown` is that of an imported episode whose source does not say how it ended:
    `success` is then false because nobody claims success, and `reward` is what the source says, or
    0.
    """

    reward: float
    success: bool
    status: Status
    ended_by: EndedBy
    error: str | None = None
    """What broke, for an infrastructure status."""


@dataclass(frozen=True)
class Trajectory:
    """A whole episode."""

    id: str
    task: Task
    policy: PolicyInfo
    prompt: tuple[Message, ...]
    """What the policy saw before its first message: a system message if there is one, then the
    first observation as a user message."""
    steps: tuple[Step, ...]
    outcome: Outcome
    attempt: int = 0
    """Number of the attempt at the same task by the same policy, from 0."""
    seed: int = 0
    wall_s: float = 0.0
    format: str = "react"
    """Name of the action format that parsed the texts."""
    prompt_hash: str = ""
    history: int | None = None
    """If set, the policy saw one user message at a time, which retells this many steps; if None,
    the whole conversation."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the environment: engine, data, dialect."""
    parent_id: str | None = None
    """The trajectory that this one was derived from."""
    pair_id: str | None = None
    hint: Mapping[str, Any] | None = None
    """Privileged text that the policy saw and a student must not: its kind, and whether it was
    stripped."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    record_version: int = RECORD_VERSION

    @cached_property
    def key(self) -> tuple[str, int]:
        """What may occur once in a store: (task id, attempt)."""
        return (self.task.id, self.attempt)

    @property
    def is_graded(self) -> bool:
        """False if a broken machine ended the episode, so that it says nothing about the agent."""
        return self.outcome.status not in INFRASTRUCTURE_STATUSES

    @cached_property
    def usage(self) -> Usage:
        """Sum over the steps."""
        return Usage.total(step.usage for step in self.steps)

    @property
    def invalid_steps(self) -> int:
        """Steps whose action was not understood or not possible."""
        return sum(not step.valid for step in self.steps)

    def summary(self) -> "EpisodeSummary":
        """What counting needs."""
        return EpisodeSummary(
            self.key,
            self.is_graded,
            self.outcome.success,
            len(self.steps),
            sum(step.from_cache for step in self.steps),
        )

    def messages(self) -> list[Message]:
        """The whole conversation: the prompt, then the policy's text and the observation of each
        step.

        The observation of the last step is left out, since the policy never saw it.
        """
        conversation = list(self.prompt)
        for number, step in enumerate(self.steps):
            conversation.append(Message("assistant", step.text))
            if number + 1 < len(self.steps):
                conversation.append(Message("user", step.observation))
        return conversation

    def conversations(self) -> list[list[Message]]:
        """What the policy saw and wrote: one conversation, or one per step if each stood alone."""
        if self.history is None:
            return [self.messages()]
        instructions = [message for message in self.prompt if message.role == "system"]
        asked = [self.prompt[-1].content, *(step.observation for step in self.steps)]
        return [
            [*instructions, Message("user", question), Message("assistant", step.text)]
            for question, step in zip(asked, self.steps, strict=False)
        ]

    def to_json(self) -> bytes:
        """One line of JSON without a line break."""
        return _ADAPTER.dump_json(self, exclude_defaults=True)

    @staticmethod
    def from_json(line: bytes | str) -> "Trajectory":
        """Read what `to_json` wrote; raises `RecordError` with the first thing that is wrong."""
        try:
            trajectory = _ADAPTER.validate_json(line)
        except ValidationError as error:
            raise _record_error(error) from error
        _check_version(trajectory.record_version)
        return trajectory


@dataclass(frozen=True)
class EpisodeSummary:
    """What counting and resuming need of an episode."""

    key: tuple[str, int]
    is_graded: bool
    success: bool
    steps: int
    steps_from_cache: int = 0

    @staticmethod
    def from_json(line: bytes | str) -> "EpisodeSummary":
        """Read it out of a stored trajectory, in half the time of reading the whole.

        Raises `RecordError` as `Trajectory.from_json` does, but looks at less.
        """
        try:
            stored = _SUMMARY_ADAPTER.validate_json(line)
        except ValidationError as error:
            raise _record_error(error) from error
        _check_version(stored.record_version)
        return EpisodeSummary(
            (stored.task.id, stored.attempt),
            stored.outcome.status not in INFRASTRUCTURE_STATUSES,
            stored.outcome.success,
            len(stored.steps),
            sum(step.from_cache for step in stored.steps),
        )


@dataclass(slots=True)
class _StoredStep:
    from_cache: bool = False


@dataclass
class _StoredEpisode:
    task: Task
    outcome: Outcome
    steps: list[_StoredStep]
    attempt: int = 0
    record_version: int = RECORD_VERSION


def _record_error(error: ValidationError) -> RecordError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "line"
    return RecordError(f"{place}: {first['msg']}")


def _check_version(version: int) -> None:
    if version > RECORD_VERSION:
        raise RecordError(
            f"record_version {version} is newer than this agentkd reads "
            f"({RECORD_VERSION}); upgrade with: pip install -U agentkd"
        )


_ADAPTER = TypeAdapter(Trajectory)
_SUMMARY_ADAPTER = TypeAdapter(_StoredEpisode)
