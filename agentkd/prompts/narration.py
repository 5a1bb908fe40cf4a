"""Narration: how an environment's answers are told to the policy.

Plain narration passes them on word for word, and the conversation only grows. A protocol may ask
for less (texts that are rewritten), for more (the admissible actions behind each text), or for
another shape: with `history`, every message stands alone and retells the beginning and the last few
steps, so that the policy never sees a long conversation. Experts always read the plain text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agentkd_envs import Observation, StepResult

from agentkd.trajectory import Message

Rewrite = tuple[str, str]
"""A regular expression, and what takes the place of each match."""


@dataclass(frozen=True)
class Narration:
    """How the episodes of a run are told."""

    rewrite: Sequence[Rewrite] = ()
    """Applied in this order to each text of the environment."""
    admissible: bool = False
    """Whether the admissible actions stand behind each text."""
    history: int | None = None
    """Number of steps that each message retells; None for one growing conversation."""

    def begin(self) -> "Narrator":
        """Return the narrator of one episode."""
        return Narrator(self)


PLAIN = Narration()


class Narrator:
    """Tells one episode."""

    def __init__(self, narration: Narration) -> None:
        self._how = narration
        self._beginning = ""
        self._current = ""
        self._past: list[tuple[str, str]] = []
        """Per step, what was observed and what was then done."""

    def first(self, observation: Observation) -> str:
        """Return the text of the first user message."""
        self._beginning = self._current = self._rewritten(observation.text)
        return self._current + self._actions(observation)

    def next(self, action: str, answer: StepResult) -> str:
        """Return the text of the next user message, after `action` led to `answer`."""
        self._past.append((self._current, action))
        self._current = self._rewritten(answer.text)
        told = self._current if self._how.history is None else self._retold(self._how.history)
        return told + self._actions(answer)

    def continued(self, messages: Sequence[Message], reply: str, told: str) -> list[Message]:
        """Return what the policy sees next: all messages, or the one that retells the others."""
        if self._how.history is None:
            return [*messages, Message("assistant", reply), Message("user", told)]
        return [*(m for m in messages if m.role == "system"), Message("user", told)]

    def _rewritten(self, text: str) -> str:
        for pattern, replacement in self._how.rewrite:
            text = re.sub(pattern, replacement, text)
        return text

    def _actions(self, answer: Observation | StepResult) -> str:
        if not self._how.admissible:
            return ""
        actions = answer.admissible()
        return f"\n\nAvailable actions: {', '.join(actions)}" if actions else ""

    def _retold(self, count: int) -> str:
        done = len(self._past)
        lines = [self._beginning, "", f"Steps taken so far: {done}."]
        for number in range(max(done - count, 0), done):
            observed, action = self._past[number]
            if number:
                lines.append(f"Observation {number}: {observed}")
            lines.append(f"Action {number + 1}: {action}")
        lines.append(f"Observation {done}, the current one: {self._current}")
        return "\n".join(lines)
