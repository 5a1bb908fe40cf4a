"""Which trajectories become training rows: filters that count what they drop."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from agentkd.recipe import CurateSection
from agentkd.trajectory import Trajectory

Filter = Callable[[Trajectory], bool]
"""Says whether to keep a trajectory. It may remember those that it has seen."""


@dataclass
class Selection:
    """Streams the trajectories that pass all filters; `counts` says where the others fell."""

    filters: list[tuple[str, Filter]]
    counts: dict[str, int] = field(default_factory=dict)

    def __call__(self, trajectories: Iterable[Trajectory]) -> Iterator[Trajectory]:
        """Yield what passes. Each trajectory is counted under the first filter that drops it."""
        self.counts = {"episodes read": 0, **{name: 0 for name, _ in self.filters}, "kept": 0}
        for trajectory in trajectories:
            self.counts["episodes read"] += 1
            fallen = next((name for name, keep in self.filters if not keep(trajectory)), "kept")
            self.counts[fallen] += 1
            if fallen == "kept":
                yield trajectory


def selection(settings: CurateSection) -> Selection:
    """Build the filters that a recipe asks for, in the order in which they are applied."""
    filters: list[tuple[str, Filter]] = [
        ("infrastructure failure", lambda trajectory: trajectory.is_graded)
    ]
    if settings.only_successes:
        filters.append(("outcome unknown", lambda episode: episode.outcome.status != "unknown"))
        filters.append(("not successful", lambda trajectory: trajectory.outcome.success))
    filters.append(("nothing to train", _has_trained_step))
    if settings.drop_duplicates:
        filters.append(("duplicate", _first_of_its_kind()))
    return Selection(filters)


def _has_trained_step(trajectory: Trajectory) -> bool:
    return any(step.loss for step in trajectory.steps)


def _first_of_its_kind() -> Filter:
    """Keep the first of several trajectories with the same conversation, by hash."""
    seen: set[bytes] = set()

    def is_new(trajectory: Trajectory) -> bool:
        digest = hashlib.blake2b(digest_size=16)
        for message in trajectory.messages():
            digest.update(f"{message.role}\x00{message.content}\x00".encode())
        key = digest.digest()
        if key in seen:
            return False
        seen.add(key)
        return True

    return is_new
