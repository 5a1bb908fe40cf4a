"""What goes to a chat model and what comes back, whatever API carries it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentkd.trajectory import Message, Usage


@dataclass(frozen=True)
class ChatRequest:
    """One question to a chat model.

    If the last message is the assistant's, the model is to continue it, and the answer's texts
    begin with it.
    """

    messages: tuple[Message, ...]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Parameters as the API names them: temperature, top_p, stop, tools, ..."""
    max_tokens: int | None = None
    n: int = 1
    """Candidates to sample."""
    seed: int | None = None
    """Differs between attempts at the same task, so that a cached answer is never mistaken for a
    second sample."""

    @property
    def prefix(self) -> str | None:
        """The assistant's text that is to be continued, if there is one."""
        last = self.messages[-1]
        return last.content if last.role == "assistant" else None

    def key(self, endpoint: str, model: str) -> str:
        """Hash of all that the answer depends on: two requests of one key are the same request."""
        content = [
            endpoint,
            model,
            [(message.role, message.content) for message in self.messages],
            dict(self.sampling),
            self.max_tokens,
            self.n,
            self.seed,
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def estimated_tokens(self) -> int:
        """A guess of what the call will use, for rate limits: four characters a token."""
        characters = sum(len(message.content) for message in self.messages)
        return characters // 4 + self.n * (self.max_tokens or 256)


@dataclass(frozen=True)
class Candidate:
    """One text that the model wrote."""

    text: str
    """As the model wrote it, with the prefix that it continued."""
    reasoning: str | None = None
    token_ids: tuple[int, ...] | None = None
    """Of what the model wrote, without the prefix."""
    logprobs: tuple[float, ...] | None = None
    finish_reason: str | None = None


@dataclass(frozen=True)
class ChatAnswer:
    """What a chat model answered to one request."""

    candidates: tuple[Candidate, ...]
    usage: Usage = field(default_factory=Usage)
    """As the server counted; no cost yet."""
    is_usage_known: bool = True
    """False if the server did not count its tokens."""
    is_cache_known: bool = False
    """Whether the server said how much of the prompt came out of its prefix cache."""
    model: str | None = None
    """The model's name as the server gives it, often with a date."""
    latency_s: float = 0.0
    """Of the call that succeeded, without waiting for a turn and without failed tries."""
    from_cache: bool = False
