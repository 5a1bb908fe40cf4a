"""Which trajectories a report shows: chosen by rule, not by hand.

Of each policy, the first task of the split that it solved and the first that it did not, in the
order of the split's task list (not of the store, which is the order in which episodes ended). For
the trained student both are shown, for the others the one that is their usual outcome. Episodes
that a broken machine ended are shown only where there is nothing else. The store is streamed: at
most three trajectories are held at a time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentkd.evaluate.summary import Result
from agentkd.report.quantities import plural
from agentkd.report.roles import Role
from agentkd.run_folder import RunFolder
from agentkd.store import EpisodeReader
from agentkd.trajectory import Trajectory


@dataclass(frozen=True)
class Pick:
    """The trajectories of one policy on one split that are shown."""

    role: Role
    split: str
    store: str
    """Path of the store within the run folder."""
    trajectories: tuple[Trajectory, ...]
    notes: tuple[str, ...]
    """What the reader of this store must know: damaged lines, episodes that the summary does not
    count."""


@dataclass
class _First:
    """The first of each outcome, and how many there are."""

    solved: Trajectory | None = None
    unsolved: Trajectory | None = None
    broken: Trajectory | None = None
    successes: int = 0
    graded: int = 0

    def add(self, trajectory: Trajectory) -> None:
        if not trajectory.is_graded:
            self.broken = _earlier(self.broken, trajectory)
            return
        self.graded += 1
        if trajectory.outcome.success:
            self.successes += 1
            self.solved = _earlier(self.solved, trajectory)
        else:
            self.unsolved = _earlier(self.unsolved, trajectory)

    def chosen(self, *, both: bool) -> tuple[Trajectory, ...]:
        if not self.graded:
            wanted: Sequence[Trajectory | None] = [self.broken]
        elif both:
            wanted = [self.solved, self.unsolved]
        else:
            wanted = [self.solved if 2 * self.successes >= self.graded else self.unsolved]
        return tuple(trajectory for trajectory in wanted if trajectory is not None)


def pick_trajectories(
    run: RunFolder, results: Iterable[Result], roles: Sequence[Role], split: str
) -> list[Pick]:
    """Read the stores of one split and choose: the trained student's first, then the others' in the
    order of `roles`.

    A policy that was not evaluated on the split is left out.
    """
    by_policy = {result.policy: result for result in results if result.split == split}
    present = [role for role in roles if role.policy in by_policy]
    present.sort(key=lambda role: not role.is_student)
    return [_pick(run, by_policy[role.policy], role) for role in present]


def _pick(run: RunFolder, result: Result, role: Role) -> Pick:
    path = run.eval_store(result.policy, result.split)
    name = f"eval/{path.name}"
    first, notes = _First(), []
    reader = EpisodeReader(path)
    try:
        for trajectory in reader:
            first.add(trajectory)
    except (OSError, ValueError) as error:
        notes.append(f"{name} cannot be read: {error}.")
    chosen = first.chosen(both=role.is_student)
    if not chosen and not notes:
        notes.append(f"No episode is stored in {name}.")
    if reader.damaged:
        lines = ", ".join(str(damage.number) for damage in reader.damaged[:10])
        more = ", …" if len(reader.damaged) > 10 else ""
        notes.append(f"Damaged lines of {name} were skipped: {lines}{more}.")
    if chosen and first.graded != result.episodes:
        notes.append(
            f"{name} holds {plural(first.graded, 'graded episode')}; the summary counts "
            f"{result.episodes:,}."
        )
    return Pick(role, result.split, name, chosen, tuple(notes))


def _earlier(old: Trajectory | None, new: Trajectory) -> Trajectory:
    if old is None:
        return new
    return min(old, new, key=_place)


def _place(trajectory: Trajectory) -> tuple[int, int, str, str]:
    return (trajectory.task.seed, trajectory.attempt, trajectory.task.id, trajectory.id)
