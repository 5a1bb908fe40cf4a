"""Who plays which part in a report: what a policy is called, and how it is drawn.

The teacher is the ceiling, the trained student is what the run is about, the untrained student is
where it began, the random agent is the floor. Each has a colour and a shape of its own, so that no
chart depends on colour alone. Other policies are shown under their own names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from agentkd.report.plain_text import name_of

Shape = Literal["circle", "diamond", "ring", "cross", "square"]


@dataclass(frozen=True)
class Role:
    """One policy's part."""

    policy: str
    """Name in the summary."""
    label: str
    """For tables and charts."""
    phrase: str
    """For the middle of a sentence."""
    style: str
    """Class name of its colour."""
    shape: Shape
    rank: int
    """Place in tables and charts, from the top."""

    @property
    def is_student(self) -> bool:
        """True for the student that this run has trained."""
        return self.policy == "student"


_KNOWN: dict[str, tuple[str, str, str, Shape, int]] = {
    "student": ("Trained student", "the trained student", "student", "circle", 1),
    "untrained": ("Untrained student", "the untrained student", "untrained", "ring", 3),
    "random": ("Random agent", "a random agent", "random", "cross", 4),
    "expert": ("Expert", "the expert", "teacher", "diamond", 0),
}


def cast(policies: Iterable[str], teacher: str | None) -> list[Role]:
    """Give each policy its part, in the order in which a report shows them."""
    roles: list[Role] = []
    for policy in dict.fromkeys(policies):
        label, phrase, style, shape, rank = _KNOWN.get(
            policy,
            (name_of(policy), f"“{name_of(policy)}”", f"other-{len(roles) % 3}", "square", 2),
        )
        if policy == teacher:
            label, phrase = f"{label} (teacher)", f"{phrase} (teacher)"
        roles.append(Role(policy, label, phrase, style, shape, rank))
    return sorted(roles, key=lambda role: role.rank)
