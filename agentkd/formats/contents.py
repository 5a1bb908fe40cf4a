"""Counts what an import or an export holds, as it streams by."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from agentkd.trajectory import Trajectory


@dataclass
class Contents:
    """Counts over episodes."""

    episodes: int = 0
    steps: int = 0
    trained_steps: int = 0
    successes: int = 0
    unknown_outcomes: int = 0
    worlds: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    versions: dict[str, set[str]] = field(default_factory=dict)

    def add(self, trajectory: Trajectory) -> None:
        """Count one episode."""
        policy = trajectory.policy
        self.episodes += 1
        self.steps += len(trajectory.steps)
        self.trained_steps += sum(bool(step.loss) for step in trajectory.steps)
        self.successes += trajectory.outcome.success
        self.unknown_outcomes += trajectory.outcome.status == "unknown"
        self.worlds[trajectory.task.env] += 1
        self.splits[trajectory.task.split] += 1
        self.policies[f"{policy.name} ({policy.model})" if policy.model else policy.name] += 1
        for name, version in trajectory.versions.items():
            self.versions.setdefault(name, set()).add(version)


Observer = Callable[[Contents], None]


def counted(
    episodes: Iterable[Trajectory], contents: Contents, on_episode: Observer
) -> Iterator[Trajectory]:
    """Pass episodes on, and count each before it goes."""
    for trajectory in episodes:
        contents.add(trajectory)
        on_episode(contents)
        yield trajectory
