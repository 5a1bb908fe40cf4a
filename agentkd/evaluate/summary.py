"""From the episodes of an evaluation to its summary: one row per policy and split."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from agentkd.evaluate.statistics import wilson_interval
from agentkd.run_folder import write_json
from agentkd.trajectory import Trajectory


@dataclass(frozen=True)
class KindResult:
    """Success on one kind of task."""

    episodes: int
    successes: int


@dataclass(frozen=True)
class Result:
    """How one policy did on one split. Episodes that a broken machine ended are counted apart."""

    policy: str
    split: str
    episodes: int
    """Graded episodes."""
    successes: int
    success_rate: float
    ci_low: float
    """Lower end of the 95 % Wilson interval of the success rate."""
    ci_high: float
    mean_reward: float
    mean_steps: float
    invalid_rate: float
    """Share of the steps whose action was not understood or not possible."""
    infrastructure_failures: int = 0
    by_kind: Mapping[str, KindResult] = field(default_factory=dict)


def summarise(policy: str, split: str, trajectories: Iterable[Trajectory]) -> Result:
    """Grade the episodes of one policy on one split."""
    rewards: list[float] = []
    lengths: list[int] = []
    invalid = broken = successes = 0
    kinds: dict[str, list[bool]] = {}
    for trajectory in trajectories:
        if not trajectory.is_graded:
            broken += 1
            continue
        rewards.append(trajectory.outcome.reward)
        lengths.append(len(trajectory.steps))
        invalid += trajectory.invalid_steps
        successes += trajectory.outcome.success
        kinds.setdefault(trajectory.task.kind, []).append(trajectory.outcome.success)
    episodes = len(rewards)
    low, high = wilson_interval(successes, episodes)
    return Result(
        policy=policy,
        split=split,
        episodes=episodes,
        successes=successes,
        success_rate=successes / episodes if episodes else 0.0,
        ci_low=low,
        ci_high=high,
        mean_reward=fmean(rewards) if rewards else 0.0,
        mean_steps=fmean(lengths) if lengths else 0.0,
        invalid_rate=invalid / sum(lengths) if sum(lengths) else 0.0,
        infrastructure_failures=broken,
        by_kind={
            kind: KindResult(len(solved), sum(solved)) for kind, solved in sorted(kinds.items())
        },
    )


def write_summary(path: Path, results: Iterable[Result], about: Mapping[str, Any]) -> None:
    """Write `summary.json`: what was evaluated, and the results."""
    write_json(path, {**about, "results": [asdict(result) for result in results]})


def read_summary(path: Path) -> list[Result]:
    """Read the results back."""
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    return [
        Result(
            **{
                **row,
                "by_kind": {kind: KindResult(**value) for kind, value in row["by_kind"].items()},
            }
        )
        for row in rows
    ]
