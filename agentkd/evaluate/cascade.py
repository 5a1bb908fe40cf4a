"""What a cascade costs and gains, by role, from the record of each step.

A step of a cascade says under `cascade` in its `info` what the student's proposals and the
teacher's reply took; a step of any other policy is its author's. So a student alone, a teacher
alone and cascades of several N (and numbers of demonstrations) are points of one curve: success
against cost.

    break-even episodes E* = C_demo / (c_teacher_episode - c_cascade_episode)

is after how many episodes the demonstrations have paid for themselves (2512.02543).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from agentkd.errors import PairingError
from agentkd.evaluate.side import AnySide
from agentkd.evaluate.stored import StoredEpisodes
from agentkd.evaluate.summary import Result, summarise
from agentkd.run_folder import RunFolder
from agentkd.store import EpisodeReader
from agentkd.trajectory import Author, Step, Trajectory, Usage

Role = Literal["student", "teacher", "other"]
_ROLES: dict[Author, Role] = {
    "student": "student",
    "base": "student",
    "teacher": "teacher",
    "expert": "teacher",
}


@dataclass
class RoleSpent:
    """What one role did in all graded episodes."""

    calls: int = 0
    usage: Usage = field(default_factory=Usage)

    def add(self, calls: int, usage: Usage) -> None:
        """Count further replies."""
        self.calls += calls
        self.usage += usage

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.usage.prompt_tokens + self.usage.completion_tokens

    @property
    def cost_usd(self) -> float | None:
        """US dollars; None if a price is unknown, 0 if no model was called."""
        return 0.0 if self.usage.is_empty else self.usage.cost_usd


@dataclass(frozen=True)
class CascadePoint:
    """A point of the curve: one policy on one split."""

    side: str
    split: str
    result: Result
    n: int
    """Proposals per step."""
    k: int
    """Most demonstrations that a step was shown."""
    steps: int
    escalated: int
    """Steps that the teacher took because the student disagreed with itself."""
    roles: dict[Role, RoleSpent]

    @property
    def teacher_calls(self) -> int:
        """Replies of the teacher."""
        return self.roles["teacher"].calls if "teacher" in self.roles else 0

    @property
    def cost_per_episode_usd(self) -> float | None:
        """Of all roles; None if a price is unknown or no episode was graded."""
        costs = [spent.cost_usd for spent in self.roles.values()]
        known = [cost for cost in costs if cost is not None]
        if len(known) < len(costs) or not self.result.episodes:
            return None
        return sum(known) / self.result.episodes

    def as_json(self) -> dict[str, Any]:
        """The figures of the point."""
        return {
            "side": self.side,
            "split": self.split,
            "episodes": self.result.episodes,
            "success_rate": self.result.success_rate,
            "ci_low": self.result.ci_low,
            "ci_high": self.result.ci_high,
            "n": self.n,
            "k": self.k,
            "steps": self.steps,
            "escalated": self.escalated,
            "cost_per_episode_usd": self.cost_per_episode_usd,
            "roles": {
                role: {
                    "calls": spent.calls,
                    "prompt_tokens": spent.usage.prompt_tokens,
                    "completion_tokens": spent.usage.completion_tokens,
                    "cost_usd": spent.cost_usd,
                }
                for role, spent in self.roles.items()
            },
        }


def cascade_points(side: AnySide) -> tuple[list[CascadePoint], list[str]]:
    """One point per split, and what a reader must know of their episodes.

    Raises `PairingError` if a split has no graded episode.
    """
    points, cautions = [], []
    for split in side.results:
        episodes = StoredEpisodes(side, split)
        points.append(point_of(side.name, split, list(episodes)))
        cautions += episodes.cautions
    return points, cautions


def point_of(side: str, split: str, episodes: Sequence[Trajectory]) -> CascadePoint:
    """Count what each role did; raises `PairingError` if there is no graded episode."""
    graded = [episode for episode in episodes if episode.is_graded]
    if not graded:
        raise PairingError(f"{side} has no graded episode of '{split}'; play them again with eval")
    steps = [step for episode in graded for step in episode.steps]
    roles: dict[Role, RoleSpent] = {}
    for role, calls, usage in chain.from_iterable(map(_shares, steps)):
        roles.setdefault(role, RoleSpent()).add(calls, usage)
    cascades = [step.info["cascade"] for step in steps if "cascade" in step.info]
    return CascadePoint(
        side=side,
        split=split,
        result=summarise(graded[0].policy.name, split, graded),
        n=max((int(one["n"]) for one in cascades), default=1),
        k=max((len(step.info.get("demonstrations", ())) for step in steps), default=0),
        steps=len(steps),
        escalated=sum(bool(one["escalated"]) for one in cascades),
        roles=roles,
    )


def break_even_episodes(
    demonstrations_usd: float, teacher_usd: float, cascade_usd: float
) -> int | None:
    """Episodes after which the demonstrations are paid; None if the cascade saves nothing.

    The first cost is that of all demonstrations, the others are of one episode, in US dollars.
    """
    saved = teacher_usd - cascade_usd
    return math.ceil(demonstrations_usd / saved) if saved > 0 else None


def bank_cost_usd(run: Path) -> float | None:
    """What collecting a bank cost, failed episodes included; None if a price is unknown."""
    spent = RoleSpent()
    for step in _steps(EpisodeReader(RunFolder(run).trajectories)):
        spent.add(1, step.usage)
    return spent.cost_usd


def _steps(episodes: Iterable[Trajectory]) -> Iterator[Step]:
    return chain.from_iterable(episode.steps for episode in episodes)


def _shares(step: Step) -> Iterator[tuple[Role, int, Usage]]:
    """Who did how much of a step: role, replies, usage."""
    shared = step.info.get("cascade")
    if shared is None:
        yield _ROLES.get(step.author, "other"), 1, step.usage
        return
    yield "student", int(shared["n"]), Usage(**shared["student"])
    if shared["teacher"] is not None:
        yield "teacher", 1, Usage(**shared["teacher"])
