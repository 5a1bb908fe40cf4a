"""What stands in the 120 AI2-THOR rooms, and what goes where: the facts of `data/rooms.json`.

Made by `build_rooms.py` from the `alfworld` wheel (MIT), loaded once, on first use. They describe
rooms as they are furnished; where the things lie in one game is the generator's choice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

DATA = Path(__file__).parent / "data"

UNSEEN_ROOMS = (10, 219, 308, 424)
"""The rooms of ALFWorld's `valid_unseen`; no other split uses them."""


def mangled(thor_id: str) -> str:
    """Write an AI2-THOR id as ALFWorld does in PDDL, in lower case."""
    for mark, word in (("-", "minus"), ("|", "bar"), ("+", "plus"), (".", "dot"), (",", "comma")):
        thor_id = thor_id.replace(mark, f"_{word}_")
    return thor_id.lower()


@dataclass(frozen=True)
class RoomReceptacle:
    """A receptacle that is part of a room."""

    id: str
    """AI2-THOR's id: class and position, `Cabinet|+00.65|+00.48|+00.24`."""
    name: str
    """Its class, `Cabinet`."""
    place: str
    """The pose from which the agent reaches it, `loc|-1|3|1|30`; receptacles may share one."""
    is_openable: bool

    @cached_property
    def pddl_id(self) -> str:
        """The id as it stands in PDDL."""
        return mangled(self.id)

    @cached_property
    def pddl_place(self) -> str:
        """The place as it stands in PDDL."""
        return mangled(self.place)


@dataclass(frozen=True)
class Room:
    """One furnished room."""

    number: int
    type: str
    """`Kitchen`, `LivingRoom`, `Bedroom` or `Bathroom`."""
    receptacles: tuple[RoomReceptacle, ...]
    things: tuple[str, ...]
    """Classes of the things that belong in the room and have a place to lie or stand in it."""

    @cached_property
    def by_name(self) -> dict[str, tuple[RoomReceptacle, ...]]:
        """Receptacles by class."""
        groups: dict[str, list[RoomReceptacle]] = {}
        for receptacle in self.receptacles:
            groups.setdefault(receptacle.name, []).append(receptacle)
        return {name: tuple(group) for name, group in groups.items()}


@dataclass(frozen=True)
class KindFacts:
    """What ALFWorld says of one of its task kinds."""

    room_types: tuple[str, ...]
    sentences: tuple[str, ...]
    pddl: str


@dataclass(frozen=True)
class HouseholdFacts:
    """All shipped facts; class names are in CamelCase, as in ALFWorld."""

    rooms: Mapping[int, Room]
    kinds: Mapping[str, KindFacts]
    receptacle_names: tuple[str, ...]
    thing_names: tuple[str, ...]
    openable: frozenset[str]
    movable_receptacles: frozenset[str]
    traits: Mapping[str, frozenset[str]]
    """`heatable`, `coolable`, `cleanable`, `toggleable`, `sliceable` to the classes that are."""
    holds: Mapping[str, frozenset[str]]
    """Receptacle class to the classes that may be put there."""
    stands_on: Mapping[str, tuple[str, ...]]
    """Class of a thing that nobody carries (lamps, plants, televisions) to where it stands."""

    def hosts(self, thing: str, room: Room) -> tuple[str, ...]:
        """Receptacle classes of the room where a thing of this class can lie or stand."""
        if thing in self.stands_on:
            return tuple(name for name in self.stands_on[thing] if name in room.by_name)
        return tuple(name for name in room.by_name if thing in self.holds.get(name, ()))


@cache
def facts() -> HouseholdFacts:
    """Return the shipped facts."""
    data = json.loads((DATA / "rooms.json").read_text())
    openable = frozenset(data["openable"])
    placeable = {thing for things in data["holds"].values() for thing in things}
    placeable.update(data["stands_on"])
    rooms = {
        int(number): Room(
            number=int(number),
            type=row["type"],
            receptacles=tuple(
                RoomReceptacle(thor_id, name, place, name in openable)
                for thor_id, name, place in row["receptacles"]
            ),
            things=tuple(thing for thing in row["things"] if thing in placeable),
        )
        for number, row in data["rooms"].items()
    }
    return HouseholdFacts(
        rooms=rooms,
        kinds={
            kind: KindFacts(tuple(row["room_types"]), tuple(row["sentences"]), row["pddl"])
            for kind, row in data["goals"].items()
        },
        receptacle_names=tuple(data["receptacle_classes"]),
        thing_names=tuple(data["thing_classes"]),
        openable=openable,
        movable_receptacles=frozenset(data["movable_receptacles"]),
        traits={trait: frozenset(names) for trait, names in data["traits"].items()},
        holds={name: frozenset(things) for name, things in data["holds"].items()},
        stands_on={name: tuple(hosts) for name, hosts in data["stands_on"].items()},
    )
