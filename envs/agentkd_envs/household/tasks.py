"""Draws tasks without building them: split and index in, a plan out.

The kinds take turns. For each task a room that allows the kind is drawn, then an object, then where
it goes. Splits never share a task: `train`, `seen` and `unseen` use game seeds of different
remainders modulo three, and `unseen` has the rooms that no other split uses.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache

from agentkd_envs.base import Task
from agentkd_envs.dice import Dice
from agentkd_envs.errors import TaskDataError, UnknownNameError
from agentkd_envs.household.dialect import dialect_named
from agentkd_envs.household.game import KINDS
from agentkd_envs.household.generator import GENERATOR_VERSION, PRESETS, Plan, capacity
from agentkd_envs.household.rooms import UNSEEN_ROOMS, Room, facts

SPLITS = {
    "train": "rooms of training, training seeds",
    "seen": "rooms of training, seeds that training never uses",
    "unseen": f"rooms {', '.join(map(str, UNSEEN_ROOMS))}, which training never enters",
}
SHORT_KINDS = dict(zip(("pick", "light", "clean", "heat", "cool", "two"), KINDS, strict=True))

_NEVER_WANTED = frozenset({"Box", "Towel"})
"""A box is a container of its own, and a towel has only its holder."""
_NEEDED = {
    "pick_clean_then_place_in_recep": ("cleanable", "SinkBasin"),
    "pick_heat_then_place_in_recep": ("heatable", "Microwave"),
    "pick_cool_then_place_in_recep": ("coolable", "Fridge"),
}

Choices = tuple[tuple[str, tuple[str, ...]], ...]
"""Object classes, each with the classes that it may be brought to (receptacles, or lamps)."""


@cache
def choices(kind: str, number: int) -> Choices:
    """Return what can be asked for in a room; empty if the room does not allow the kind."""
    shipped = facts()
    room = shipped.rooms[number]
    if room.type not in shipped.kinds[kind].room_types:
        return ()
    found = []
    for thing in room.things:
        hosts = shipped.hosts(thing, room)
        if thing in _NEVER_WANTED or thing in shipped.stands_on or not hosts:
            continue
        goals = _goals(kind, thing, hosts, room)
        if goals:
            found.append((thing, goals))
    return tuple(found)


def _goals(kind: str, thing: str, hosts: Sequence[str], room: Room) -> tuple[str, ...]:
    shipped = facts()
    if kind == "look_at_obj_in_light":
        return tuple(
            lamp
            for lamp in sorted(shipped.traits["toggleable"])
            if lamp in room.things and shipped.hosts(lamp, room)
        )
    trait, device = _NEEDED.get(kind, ("", ""))
    if trait and (thing not in shipped.traits[trait] or device not in room.by_name):
        return ()
    needed = 2 if kind == "pick_two_obj_and_place" else 1
    return tuple(
        goal
        for goal in hosts
        if goal != device and any(host != goal and capacity(host) >= needed for host in hosts)
    )


@cache
def rooms_for(split: str, kind: str) -> tuple[int, ...]:
    """Return the rooms of a split that allow a kind."""
    return tuple(
        number
        for number in facts().rooms
        if (number in UNSEEN_ROOMS) == (split == "unseen") and choices(kind, number)
    )


def resolve_kinds(kinds: Sequence[str] | None) -> tuple[str, ...]:
    """Return full kind names for short or full ones; None means all six."""
    if kinds is None:
        return KINDS
    names = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    resolved = []
    for name in names:
        full = SHORT_KINDS.get(name, name)
        if full not in KINDS:
            raise UnknownNameError("task kind", name, [*SHORT_KINDS, *KINDS])
        if full not in resolved:
            resolved.append(full)
    if not resolved:
        raise UnknownNameError("task kind", "", [*SHORT_KINDS, *KINDS])
    return tuple(resolved)


def plan_task(split: str, index: int, kinds: Sequence[str], preset: str, dialect: str) -> Plan:
    """Return the plan of task number `index` of a split."""
    kind = kinds[index % len(kinds)]
    dice = Dice(f"{preset}/{split}/{index}/{kind}")
    room = dice.pick(rooms_for(split, kind))
    thing, goals = dice.pick(choices(kind, room))
    goal = dice.pick(goals)
    is_light = kind == "look_at_obj_in_light"
    return Plan(
        preset=preset,
        room=room,
        kind=kind,
        thing=thing,
        receptacle="" if is_light else goal,
        lamp=goal if is_light else "",
        seed=index * len(SPLITS) + list(SPLITS).index(split),
        dialect=dialect,
    )


def generated_task(split: str, index: int, plan: Plan) -> Task:
    """Wrap a plan as a task of the environment."""
    return Task("household", split, index, plan.kind, asdict(plan))


def plan_from(payload: object) -> Plan:
    """Read a plan from a task's payload; raises `TaskDataError` naming the field that is wrong."""
    if not isinstance(payload, dict):
        raise TaskDataError(f"household task payload is not a mapping: {payload!r}")
    fields = Plan.__dataclass_fields__
    if set(payload) != set(fields):
        raise TaskDataError(
            f"household task payload has the fields {sorted(payload)}, not {sorted(fields)}"
        )
    plan = Plan(**payload)
    for name in fields:
        wanted = int if name in {"room", "seed", "version"} else str
        value = payload[name]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise TaskDataError(
                f"household task payload: {name}={value!r} is not {wanted.__name__}"
            )
    if plan.version != GENERATOR_VERSION:
        raise TaskDataError(
            f"household task payload: made for generator {plan.version}, this is "
            f"{GENERATOR_VERSION}; draw the tasks anew or install the version that made them"
        )
    if plan.preset not in PRESETS:
        raise TaskDataError(f"household task payload: there is no preset '{plan.preset}'")
    if plan.kind not in KINDS:
        raise TaskDataError(f"household task payload: there is no kind '{plan.kind}'")
    if plan.room not in facts().rooms:
        raise TaskDataError(f"household task payload: there is no room {plan.room}")
    dialect_named(plan.dialect)
    goal = plan.lamp if plan.kind == "look_at_obj_in_light" else plan.receptacle
    if goal not in dict(choices(plan.kind, plan.room)).get(plan.thing, ()):
        raise TaskDataError(
            f"household task payload: '{plan.thing}' to '{goal}' is not possible "
            f"as {plan.kind} in room {plan.room}"
        )
    return plan
