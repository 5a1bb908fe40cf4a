"""Builds a game from a plan: a room of the real ones, furnished and filled by a seed.

Preset `full` is the whole room with one to three things of each class that belongs there. Preset
`small` keeps a handful of the room's receptacles, always those that the task needs, and about ten
things, so that an episode fits into a short context. Preset `varied` is the whole room without some
of its receptacles, other ones in each game: there are few rooms, and whoever trains on whole ones
can learn their listings by heart instead of reading them. In all, the objects to find never start
in a receptacle of the target class. The same plan gives the same game on every machine.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentkd_envs.dice import Dice
from agentkd_envs.household.dialect import dialect_named
from agentkd_envs.household.game import DEVICES, TREATMENTS, Game, Goal, Receptacle, Thing
from agentkd_envs.household.rooms import HouseholdFacts, Room, RoomReceptacle, facts, mangled

GENERATOR_VERSION = 1
"""Part of every task's identity: to be raised when a plan comes to mean another game."""

PRESETS = ("full", "small", "varied")

_SURFACES = frozenset(
    (
        "CounterTop", "DiningTable", "CoffeeTable", "SideTable", "Desk", "Dresser", "Shelf",
        "TVStand", "Bed", "Sofa", "ArmChair", "Ottoman", "Cart", "Toilet",
    )
)  # fmt: skip
_ROOM_FOR = {
    "CounterTop": 10, "DiningTable": 9, "Desk": 8, "Dresser": 7, "CoffeeTable": 6, "Fridge": 6,
    "SideTable": 5, "Bed": 4, "Sofa": 4, "SinkBasin": 4, "Cabinet": 2, "Drawer": 2,
    "StoveBurner": 1, "Toaster": 1, "CoffeeMachine": 1, "HandTowelHolder": 1, "TowelHolder": 1,
    "ToiletPaperHanger": 1,
}  # fmt: skip
_ROOM_FOR_OTHERS = 3
_ON_A_SURFACE = 0.5
_DEVICE_NAMES = {"sinkbasin": "SinkBasin", "microwave": "Microwave", "fridge": "Fridge"}


@dataclass(frozen=True)
class Plan:
    """What a game is to be; small, JSON-able, identifies the game. Names are CamelCase classes."""

    preset: str
    room: int
    kind: str
    thing: str
    """Class of the object to find."""
    receptacle: str
    """Class to put it in; empty for `look_at_obj_in_light`."""
    lamp: str
    """Class to look at it under; empty for the other kinds."""
    seed: int
    dialect: str
    version: int = GENERATOR_VERSION

    @property
    def device(self) -> str:
        """Class of the receptacle that the task needs on the way, or empty."""
        verb = TREATMENTS.get(self.kind)
        return _DEVICE_NAMES[DEVICES[verb]] if verb else ""

    @property
    def copies(self) -> int:
        """How many objects the task needs."""
        return 2 if self.kind == "pick_two_obj_and_place" else 1


def capacity(name: str) -> int:
    """Return how many things the generator puts into a receptacle of a class at most."""
    return _ROOM_FOR.get(name, _ROOM_FOR_OTHERS)


class _Filling:
    """Receptacles of the game and the things that have been put in them so far."""

    def __init__(self, receptacles: Sequence[RoomReceptacle], dice: Dice) -> None:
        self.by_name: dict[str, list[RoomReceptacle]] = {}
        for receptacle in receptacles:
            self.by_name.setdefault(receptacle.name, []).append(receptacle)
        self.dice = dice
        self.load: Counter[str] = Counter()
        self.things: list[tuple[str, str, RoomReceptacle]] = []
        self.ids: set[str] = set()

    def hosts(self, names: Iterable[str]) -> list[RoomReceptacle]:
        """Receptacles of these classes that are not full."""
        load = self.load
        return [
            receptacle
            for name in names
            for receptacle in self.by_name.get(name, ())
            if load[receptacle.id] < capacity(name)
        ]

    def put(self, name: str, hosts: Sequence[RoomReceptacle]) -> None:
        """Put one thing of a class into one of the hosts, surfaces preferred."""
        if not hosts:
            return
        dice = self.dice
        surfaces = [r for r in hosts if r.name in _SURFACES]
        host = dice.pick(surfaces if surfaces and dice.chance(_ON_A_SURFACE) else hosts)
        x, y, z = (float(part) for part in host.id.split("|")[1:4])
        thing_id = ""
        while not thing_id or thing_id in self.ids:
            spot = (x + dice.spread(-0.3, 0.3), y + dice.spread(0, 0.2), z + dice.spread(-0.3, 0.3))
            thing_id = "|".join([name, *(f"{'+' if n >= 0 else '-'}{abs(n):05.2f}" for n in spot)])
        self.ids.add(thing_id)
        self.load[host.id] += 1
        self.things.append((thing_id, name, host))


def build_game(plan: Plan) -> Game:
    """Build the game of a plan that `tasks.plan_task` has drawn or `tasks.plan_from` accepts."""
    shipped = facts()
    room = shipped.rooms[plan.room]
    dice = Dice(
        f"{plan.preset}/{plan.room}/{plan.kind}/{plan.thing}/"
        f"{plan.receptacle or plan.lamp}/{plan.seed}"
    )
    is_small = plan.preset == "small"
    receptacles = _FURNISHED[plan.preset](plan, room, shipped, dice)
    filling = _Filling(receptacles, dice)
    _fill(filling, plan, room, shipped, is_small)
    start = _start(receptacles, dice)
    sentence = dice.pick(shipped.kinds[plan.kind].sentences).format(
        obj=plan.thing.lower(), recep=plan.receptacle.lower(), toggle=plan.lamp.lower()
    )
    return _assemble(plan, receptacles, filling, start, sentence, shipped)


def _needed(plan: Plan, room: Room, shipped: HouseholdFacts, dice: Dice) -> list[RoomReceptacle]:
    """Choose receptacles without which the task cannot be solved."""
    starts = [name for name in shipped.hosts(plan.thing, room) if name != plan.receptacle]
    away = [name for name in starts if name != plan.device] or starts
    away = [name for name in away if capacity(name) >= plan.copies] or away
    groups = [[plan.receptacle], [plan.device], list(shipped.hosts(plan.lamp, room)), away]
    chosen: list[RoomReceptacle] = []
    for names in groups:
        options = [r for name in names for r in room.by_name.get(name, ())]
        if options and not any(r in chosen for r in options):
            taken = {r.place for r in chosen}
            chosen.append(dice.pick([r for r in options if r.place not in taken] or options))
    return chosen


def _everything(
    plan: Plan, room: Room, shipped: HouseholdFacts, dice: Dice
) -> list[RoomReceptacle]:
    return list(room.receptacles)


def _most(plan: Plan, room: Room, shipped: HouseholdFacts, dice: Dice) -> list[RoomReceptacle]:
    """Leave out a share of the receptacles that the task can do without: none to three quarters."""
    needed = _needed(plan, room, shipped, dice)
    share = dice.between(25, 100) / 100
    return [r for r in room.receptacles if dice.chance(share) or r in needed]


def _handful(plan: Plan, room: Room, shipped: HouseholdFacts, dice: Dice) -> list[RoomReceptacle]:
    """Choose five to nine receptacles, the needed ones among them, no two at the same place."""
    chosen = _needed(plan, room, shipped, dice)
    wanted = dice.between(5, 9)
    for receptacle in dice.shuffled(room.receptacles):
        if len(chosen) >= wanted:
            break
        if all(receptacle.place != other.place for other in chosen):
            chosen.append(receptacle)
    return sorted(chosen, key=lambda r: r.id)


_FURNISHED = {"full": _everything, "small": _handful, "varied": _most}


def _fill(
    filling: _Filling, plan: Plan, room: Room, shipped: HouseholdFacts, is_small: bool
) -> None:
    dice = filling.dice
    starts = [name for name in shipped.hosts(plan.thing, room) if name != plan.receptacle]
    for _ in range(
        plan.copies + (dice.chance(0.3) if is_small else dice.between(0, 3 - plan.copies))
    ):
        filling.put(plan.thing, filling.hosts(starts))
    others = [name for name in room.things if name not in {plan.thing, plan.lamp}]
    if plan.lamp:
        filling.put(plan.lamp, filling.hosts(shipped.hosts(plan.lamp, room)))
    wanted_total = dice.between(8, 12) if is_small else len(others) * 3
    for name in dice.shuffled(others):
        if len(filling.things) >= wanted_total:
            break
        hosts = shipped.hosts(name, room)
        copies = 1
        if not is_small and name not in shipped.stands_on:
            copies = dice.pick((1, 1, 1, 1, 1, 2, 2, 2, 3, 3))
        for _ in range(copies):
            filling.put(name, filling.hosts(hosts))


def _start(receptacles: Sequence[RoomReceptacle], dice: Dice) -> str:
    """Choose where the agent begins: near something, but facing nothing."""
    taken = {r.place for r in receptacles}
    while True:
        _, x, z, _, _ = dice.pick(receptacles).place.split("|")
        near = f"{int(x) + dice.between(-3, 3)}|{int(z) + dice.between(-3, 3)}"
        place = f"loc|{near}|{dice.between(0, 3)}|30"
        if place not in taken:
            return mangled(place)


def _assemble(
    plan: Plan,
    receptacles: Sequence[RoomReceptacle],
    filling: _Filling,
    start: str,
    sentence: str,
    shipped: HouseholdFacts,
) -> Game:
    present = {name for _, name, _ in filling.things}
    names = {r.name for r in receptacles}
    things = [(mangled(thing_id), name, host) for thing_id, name, host in filling.things]
    return Game(
        sentence=f"Your task is to: {sentence}.",
        goal=Goal(plan.kind, plan.thing.lower(), plan.receptacle.lower(), plan.lamp.lower()),
        dialect=dialect_named(plan.dialect),
        start=start,
        receptacles=tuple(
            sorted(
                Receptacle(r.pddl_id, r.name.lower(), r.pddl_place, r.is_openable)
                for r in receptacles
            )
        ),
        things=tuple(
            sorted(Thing(i, name.lower(), _traits(name, shipped)) for i, name, _ in things)
        ),
        inside=tuple(sorted((i, host.pddl_id) for i, _, host in things)),
        lies_at=tuple(sorted((i, host.pddl_place) for i, _, host in things)),
        can_contain=frozenset(
            (name.lower(), thing.lower())
            for name in names
            for thing in shipped.holds[name] & present
        ),
    )


def _traits(name: str, shipped: HouseholdFacts) -> tuple[str, ...]:
    traits = [trait for trait, names in shipped.traits.items() if name in names]
    if name not in shipped.stands_on:
        traits.append("pickupable")
    if name in shipped.movable_receptacles:
        traits.append("isreceptacleobject")
    return tuple(sorted(traits))
