"""Solves a game with full knowledge of it: the proof that a generated game can be won.

The expert in `expert.py` is what teaches; this one only looks up where everything is.
"""

from collections.abc import Iterator

from agentkd_envs.household.engine import Engine
from agentkd_envs.household.game import DEVICES, Game


def solve(game: Game) -> list[str] | None:
    """Return actions that win the game, or None if its plan fails."""
    engine = Engine(game)
    plan: list[str] = []
    for action in _actions(engine):
        response = engine.step(action)
        plan.append(action)
        if not response.valid:
            return None
        if response.won:
            return plan
    return None


def _actions(engine: Engine) -> Iterator[str]:
    world = engine.world
    goal = world.game.goal
    position = {
        thing: receptacle for receptacle, things in enumerate(engine.contents) for thing in things
    }
    # Open places first: a shorter plan, nothing more.
    wanted = sorted(
        (
            thing
            for thing in world.wanted
            if thing in position and "pickupable" in world.traits[thing]
        ),
        key=lambda thing: (world.is_openable[position[thing]], thing),
    )
    if not wanted:
        return
    if goal.lamp:
        lamp = next((lamp for lamp in sorted(world.lamps) if lamp in position), None)
        if lamp is None:
            return
        yield from _take(engine, wanted[0], position[wanted[0]])
        yield from _go_to(engine, position[lamp])
        yield f"use {world.thing_names[lamp]}"
        return
    target = min(world.targets, key=lambda r: (world.is_openable[r], r))
    count = 2 if goal.kind == "pick_two_obj_and_place" else 1
    for thing in wanted[:count]:
        name = world.thing_names[thing]
        yield from _take(engine, thing, position[thing])
        if world.treatment:
            device = world.kind_of_receptacle.index(DEVICES[world.treatment])
            yield from _go_to(engine, device)
            yield f"{world.treatment} {name} with {world.receptacle_names[device]}"
        yield from _open(engine, target)
        yield world.dialect.put_command.format(
            thing=name, receptacle=world.receptacle_names[target]
        )


def _go_to(engine: Engine, receptacle: int) -> Iterator[str]:
    if engine.world.place_of[receptacle] != engine.place:
        yield f"go to {engine.world.receptacle_names[receptacle]}"


def _open(engine: Engine, receptacle: int) -> Iterator[str]:
    yield from _go_to(engine, receptacle)
    if engine.world.is_openable[receptacle] and receptacle not in engine.opened:
        yield f"open {engine.world.receptacle_names[receptacle]}"


def _take(engine: Engine, thing: int, receptacle: int) -> Iterator[str]:
    yield from _open(engine, receptacle)
    world = engine.world
    yield f"take {world.thing_names[thing]} from {world.receptacle_names[receptacle]}"
