"""Plays the same random commands on the native engine and on TextWorld; nothing may differ."""

import json
import random
from typing import Any

from agentkd_envs.household import HouseholdEnv
from agentkd_envs.household.engine import Engine
from agentkd_envs.household.game import Game
from agentkd_envs.household.generator import build_game
from agentkd_envs.household.pddl import parse_game
from agentkd_envs.household.tasks import plan_from
from real_textworld import RealGame, Situation

MANIPULATIONS = ("take", "move", "put", "open", "close", "use", "clean", "heat", "cool", "slice")
NONSENSE = (
    "eat apple 1",
    "Look",
    "look ",
    "  inventory\n",
    "go to  desk 1",
    "take",
    "",
    "x" * 10_000,
)


def situation(engine: Engine, text: str) -> Situation:
    return Situation(text, engine.admissible(), engine.won)


def play_both(real: RealGame, data: dict[str, Any], seed: int, steps: int) -> int:
    """Play at random, preferring commands that change something; return how many steps it took."""
    engine = Engine(parse_game(json.dumps(data), "test"))
    assert real.start(data) == situation(engine, engine.introduction())
    rng = random.Random(seed)
    for done in range(steps):
        commands = engine.admissible()
        changing = [c for c in commands if c.startswith(MANIPULATIONS)]
        dice = rng.random()
        if dice < 0.04:
            command = rng.choice(NONSENSE)
        else:
            command = rng.choice(changing if changing and dice < 0.6 else commands)
        theirs = real.step(command)
        assert theirs == situation(engine, engine.step(command).text), (done, command)
        if theirs.won:
            return done + 1
    return steps


def games(preset: str, dialect: str, count: int, first: int = 0) -> list[Game]:
    env = HouseholdEnv(preset=preset, dialect=dialect)
    return [build_game(plan_from(t.payload)) for t in env.tasks("seen", count, first)]
