"""The thirty tasks of ScienceWorld, their variations and their simplifications, as plain facts.

The variations of a task are numbered from 0: first those for training, then those for development,
then those for testing. The numbers are those of the package's 1.2.3; its engine agrees with them,
and a test says so.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from agentkd_envs.errors import EnvError, UnknownNameError


class Kind(NamedTuple):
    """One of the thirty tasks."""

    id: str
    """Number in the paper."""
    name: str
    train: int
    """Variations for training; they come first."""
    dev: int
    test: int

    def variations(self, split: str) -> range:
        """Return the variations of `train`, `dev` or `test`."""
        ends = {
            "train": (0, self.train),
            "dev": (self.train, self.train + self.dev),
            "test": (self.train + self.dev, self.train + self.dev + self.test),
        }
        return range(*ends[split])


KINDS = {
    name: Kind(number, name, train, dev, test)
    for number, name, train, dev, test in (
        ("1-1", "boil", 14, 7, 9),
        ("1-2", "melt", 14, 7, 9),
        ("1-3", "freeze", 14, 7, 9),
        ("1-4", "change-the-state-of-matter-of", 14, 7, 9),
        ("2-1", "use-thermometer", 270, 135, 135),
        ("2-2", "measure-melting-point-known-substance", 218, 109, 109),
        ("2-3", "measure-melting-point-unknown-substance", 150, 75, 75),
        ("3-1", "power-component", 10, 5, 5),
        ("3-2", "power-component-renewable-vs-nonrenewable-energy", 10, 5, 5),
        ("3-3", "test-conductivity", 450, 225, 225),
        ("3-4", "test-conductivity-of-unknown-substances", 300, 150, 150),
        ("4-1", "find-living-thing", 150, 75, 75),
        ("4-2", "find-non-living-thing", 150, 75, 75),
        ("4-3", "find-plant", 150, 75, 75),
        ("4-4", "find-animal", 150, 75, 75),
        ("5-1", "grow-plant", 62, 31, 33),
        ("5-2", "grow-fruit", 62, 31, 33),
        ("6-1", "chemistry-mix", 16, 8, 8),
        ("6-2", "chemistry-mix-paint-secondary-color", 18, 9, 9),
        ("6-3", "chemistry-mix-paint-tertiary-color", 18, 9, 9),
        ("7-1", "lifespan-longest-lived", 62, 31, 32),
        ("7-2", "lifespan-shortest-lived", 62, 31, 32),
        ("7-3", "lifespan-longest-lived-then-shortest-lived", 62, 31, 32),
        ("8-1", "identify-life-stages-1", 6, 3, 5),
        ("8-2", "identify-life-stages-2", 4, 2, 4),
        ("9-1", "inclined-plane-determine-angle", 84, 42, 42),
        ("9-2", "inclined-plane-friction-named-surfaces", 692, 346, 348),
        ("9-3", "inclined-plane-friction-unnamed-surfaces", 80, 40, 42),
        ("10-1", "mendelian-genetics-known-plant", 60, 30, 30),
        ("10-2", "mendelian-genetics-unknown-plant", 240, 120, 120),
    )
}
"""Task name to its facts, in the order of the paper."""

SIMPLIFICATIONS = (
    "noElectricalAction",
    "openContainers",
    "openDoors",
    "selfWateringFlowerPots",
    "teleportAction",
)
_EASY = ("openDoors", "selfWateringFlowerPots", "teleportAction")
_BY_ID = {kind.id: kind for kind in KINDS.values()}


def kind_named(name: str) -> Kind:
    """Return a task by its name, its number (`1-1`) or its name before version 1.2.

    Old names are like `task-10-measure-melting-point-(known-substance)`. Raises `UnknownNameError`.
    """
    plain = re.sub(r"^task-\d+[ab]?-|[()]", "", name).replace("mendellian", "mendelian")
    kind = KINDS.get(plain) or _BY_ID.get(name)
    if kind is None:
        raise UnknownNameError("task of scienceworld", name, KINDS)
    return kind


def kinds_named(names: str | Iterable[str] | None) -> tuple[Kind, ...]:
    """Return tasks by name without repetition; None means all."""
    if names is None:
        return tuple(KINDS.values())
    found = tuple(dict.fromkeys(map(kind_named, [names] if isinstance(names, str) else names)))
    if not found:
        raise UnknownNameError("task of scienceworld", "", KINDS)
    return found


def simplifications_named(names: str | Iterable[str]) -> tuple[str, ...]:
    """Return simplifications by name, sorted; a string may name several, with commas.

    `easy` stays as it is, because what it stands for depends on the task. Raises
    `UnknownNameError`.
    """
    given = names.split(",") if isinstance(names, str) else list(names)
    found = {name.strip() for name in given if name.strip()}
    for name in found:
        if name not in ("easy", *SIMPLIFICATIONS):
            raise UnknownNameError(
                "simplification of scienceworld", name, ("easy", *SIMPLIFICATIONS)
            )
    return tuple(sorted(found))


def simplifications_for(kind: Kind, names: Iterable[str]) -> list[str]:
    """Spell out what the named simplifications are for a task, sorted.

    `easy` is open doors, self-watering flower pots, teleporting, and no electrical actions where
    the task needs none; it does not open containers. Raises `EnvError` for a task that the
    simplifications make impossible.
    """
    found = set(names)
    is_electrical = kind.id.startswith("3-")
    if "noElectricalAction" in found and is_electrical:
        raise EnvError(
            f"the simplification noElectricalAction makes '{kind.name}' impossible: "
            "leave it out, or leave out the tasks 3-1 to 3-4"
        )
    if "easy" in found:
        found |= {*_EASY, *(() if is_electrical else ("noElectricalAction",))}
        found.discard("easy")
    return sorted(found)
