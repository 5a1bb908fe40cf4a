"""The student against every other policy of the run, task by task."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agentkd.errors import AgentkdError
from agentkd.evaluate.compare import Comparison, compare
from agentkd.evaluate.side import Plays, Side
from agentkd.report.inputs import Inputs
from agentkd.report.roles import Role
from agentkd.run_folder import RunFolder


@dataclass(frozen=True)
class Pairing:
    """One split on which the student and another policy played the same tasks."""

    role: Role
    """The other policy."""
    split: str
    comparison: Comparison | None
    """The student against the other; None if they cannot be paired."""
    refusal: str = ""
    """Why they cannot."""


@dataclass(frozen=True)
class _ReadOnce(Side):
    """A side whose episodes are read once, however often it is compared."""

    read: dict[str, Plays] = field(default_factory=dict)

    def plays(self, split: str) -> Plays:
        """What it did on a split."""
        if split not in self.read:
            self.read[split] = super().plays(split)
        return self.read[split]


def pair_student(run: RunFolder, inputs: Inputs, roles: Sequence[Role], main: str) -> list[Pairing]:
    """Compare the trained student with the others; empty without a student, or without others.

    `main` is the split that comes first.
    """
    student = next((role for role in roles if role.is_student), None)
    if student is None:
        return []
    second = _side(run, inputs, student)
    pairings = []
    for role in roles:
        first = _side(run, inputs, role)
        if role is student:
            continue
        for split in sorted(second.results, key=lambda split: split != main):
            if split not in first.results:
                continue
            try:
                (comparison,) = compare(first, second, split)
            except AgentkdError as error:
                pairings.append(Pairing(role, split, None, str(error).splitlines()[0]))
            else:
                pairings.append(Pairing(role, split, comparison))
    return pairings


def _side(run: RunFolder, inputs: Inputs, role: Role) -> _ReadOnce:
    results = {one.split: one for one in inputs.results if one.policy == role.policy}
    return _ReadOnce(run, role.policy, results, inputs.about)
