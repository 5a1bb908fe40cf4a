"""One household game as plain facts: what is where at the start, and what is to be done.

Both the generator and the reader of `game.tw-pddl` files produce a `Game`; the engine plays it. Ids
are AI2-THOR's as ALFWorld writes them in PDDL, in lower case (`mug_bar__plus_00_dot_10_bar_...`);
kinds are class names in lower case (`mug`). The only text in a `Game` is the task sentence.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from agentkd_envs.household.dialect import Dialect

KINDS = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
"""ALFWorld's names of its six task kinds."""

TREATMENTS = {
    "pick_clean_then_place_in_recep": "clean",
    "pick_heat_then_place_in_recep": "heat",
    "pick_cool_then_place_in_recep": "cool",
}
"""Task kinds that change the object on the way, to the verb that does it."""

DEVICES = {"clean": "sinkbasin", "heat": "microwave", "cool": "fridge"}
"""Verb to the kind of receptacle that it needs."""


@dataclass(frozen=True)
class Goal:
    """When the game is won."""

    kind: str
    """One of `KINDS`."""
    thing: str
    """Kind of the object to find."""
    receptacle: str = ""
    """Kind of the receptacle to put it in; empty when the object is to be looked at."""
    lamp: str = ""
    """Kind of the lamp to look at it under; empty otherwise."""


@dataclass(frozen=True, order=True)
class Receptacle:
    """Something that stands in the room and holds things."""

    id: str
    kind: str
    place: str = ""
    """Location from which it is reached; empty if it cannot be reached."""
    is_openable: bool = False


@dataclass(frozen=True, order=True)
class Thing:
    """An object, in ALFWorld's words."""

    id: str
    kind: str
    traits: tuple[str, ...] = ()
    """Sorted: `cleanable coolable heatable isreceptacleobject pickupable sliceable toggleable`."""


@dataclass(frozen=True)
class Game:
    """All facts of one game, each collection in the order of the ids."""

    sentence: str
    """`Your task is to: put a mug in shelf.`"""
    goal: Goal
    dialect: Dialect
    start: str
    """Location where the agent begins."""
    receptacles: tuple[Receptacle, ...]
    things: tuple[Thing, ...]
    inside: tuple[tuple[str, str], ...]
    """Pairs (thing, receptacle); a thing of real data may be in two."""
    lies_at: tuple[tuple[str, str], ...]
    """Pairs (thing, location)."""
    can_contain: frozenset[tuple[str, str]]
    """Pairs (receptacle kind, thing kind)."""
    nested: tuple[tuple[str, str], ...] = ()
    """Pairs (inner thing, outer thing), for things in bowls and the like."""
    states: tuple[tuple[str, str], ...] = ()
    """Pairs (`opened isclean ishot iscool istoggled issliced holds`, id) that hold at the start."""
    further_ids: tuple[str, ...] = field(default=())
    """Ids of locations at which nothing stands; they matter only for the numbering."""


def entity_names(ids: Iterable[str]) -> dict[str, str]:
    """Name entities as ALFWorld does: `cabinet 3`, numbered downwards in the order of the ids.

    An id without a position keeps its own text as name.
    """
    positioned = sorted(entity for entity in set(ids) if "_bar_" in entity)
    stems = [
        entity.split("_bar_", 1)[0] + ("basin" if "basin" in entity else "")
        for entity in positioned
    ]
    remaining = Counter(stems)
    names = {}
    for entity, stem in zip(positioned, stems, strict=True):
        names[entity] = f"{stem} {remaining[stem]}"
        remaining[stem] -= 1
    return names
