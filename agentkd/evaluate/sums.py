"""Sums over episodes as they stream past: what a summary is computed from."""

from collections import Counter
from dataclasses import dataclass, field

from agentkd.evaluate.bootstrap import TaskCount
from agentkd.evaluate.failures import FailureCause, failure_cause
from agentkd.evaluate.recovery import count_errors
from agentkd.trajectory import Trajectory


def cost_usd(trajectory: Trajectory) -> float | None:
    """What the episode cost; None if the price of a step is not known.

    A step without a token called no model and is free.
    """
    return 0.0 if trajectory.usage.is_empty else trajectory.usage.cost_usd


@dataclass
class EpisodeSums:
    """Sums over the graded episodes; those that a broken machine ended are only counted."""

    kinds: dict[str, dict[str, TaskCount]] = field(default_factory=dict)
    """Counts by task id, by task kind."""
    episodes: int = 0
    infrastructure_failures: int = 0
    reward: float = 0.0
    steps: int = 0
    invalid_steps: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0
    latency_s: float = 0.0
    failures: Counter[FailureCause] = field(default_factory=Counter)
    repeats: dict[str, TaskCount] = field(default_factory=dict)
    """Repeated errors and errors, by task id; of tasks with an error."""
    recoveries: dict[str, TaskCount] = field(default_factory=dict)
    """Successes and episodes, of those with an error, by task id."""

    def add(self, trajectory: Trajectory) -> None:
        """Count one episode."""
        if not trajectory.is_graded:
            self.infrastructure_failures += 1
            return
        task, outcome = trajectory.task, trajectory.outcome
        counts = self.kinds.setdefault(task.kind, {})
        solved, played = counts.get(task.id, (0, 0))
        counts[task.id] = (solved + outcome.success, played + 1)
        usage, cost = trajectory.usage, cost_usd(trajectory)
        self.episodes += 1
        self.reward += outcome.reward
        self.steps += len(trajectory.steps)
        self.invalid_steps += trajectory.invalid_steps
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost
        self.latency_s += sum(step.latency_s for step in trajectory.steps)
        cause = failure_cause(trajectory)
        if cause is not None:
            self.failures[cause] += 1
        counts_of_errors = count_errors(trajectory)
        if counts_of_errors.errors:
            _add(self.repeats, task.id, counts_of_errors.repeats, counts_of_errors.errors)
            _add(self.recoveries, task.id, int(outcome.success), 1)

    def mean(self, total: float) -> float:
        """Per graded episode; 0 if there is none."""
        return total / self.episodes if self.episodes else 0.0


def _add(counts: dict[str, TaskCount], task: str, part: int, whole: int) -> None:
    before = counts.get(task, (0, 0))
    counts[task] = (before[0] + part, before[1] + whole)
