"""The native engine beside the real one, step by step on the same games: nothing may differ."""

import json
import random
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from agentkd_envs.household import HouseholdEnv, write_game
from agentkd_envs.household.engine import Engine
from agentkd_envs.household.game import DEVICES, Game
from agentkd_envs.household.oracle import solve
from agentkd_envs.household.pddl import game_file, parse_game, read_game
from agentkd_envs.household.tasks import plan_from
from lockstep import games, play_both, situation
from real_textworld import RealGame, memoised, require_alfworld


@pytest.fixture(scope="module")
def real() -> Iterator[RealGame]:
    require_alfworld()
    with memoised():
        yield RealGame()


@pytest.fixture(scope="module")
def unpatched() -> RealGame:
    require_alfworld()
    return RealGame()


@pytest.mark.parametrize(
    ("preset", "dialect", "count"),
    [("small", "move", 18), ("small", "put", 12), ("full", "move", 6), ("full", "put", 6)],
)
def test_random_play_is_the_same(real: RealGame, preset: str, dialect: str, count: int) -> None:
    steps = sum(
        play_both(real, game_file(game, f"game_{seed}"), seed, 60)
        for seed, game in enumerate(games(preset, dialect, count))
    )
    assert steps > count * 40


@pytest.mark.parametrize("dialect", ["move", "put"])
def test_the_oracle_wins_on_the_real_engine(real: RealGame, dialect: str) -> None:
    for game in games("small", dialect, 12, first=100):
        plan = solve(game)
        assert plan
        real.start(game_file(game, "game"))
        assert [real.step(action).won for action in plan] == [False] * (len(plan) - 1) + [True]


def test_unpatched_engine_is_the_same(unpatched: RealGame) -> None:
    for seed, game in enumerate(games("small", "move", 3, first=50)):
        play_both(unpatched, game_file(game, "game"), seed, 25)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_written_files_are_played_by_both(real: RealGame, tmp_path: Path) -> None:
    for task in HouseholdEnv(preset="small").tasks("unseen", 6):
        path = write_game(plan_from(task.payload), tmp_path)
        engine = Engine(read_game(path))
        assert real.start(path) == situation(engine, engine.introduction())


def test_alfworld_lists_written_games(real: RealGame, tmp_path: Path) -> None:
    from alfworld.agents.environment.alfred_tw_env import AlfredTWEnv

    for task in HouseholdEnv(preset="small").tasks("unseen", 12):
        write_game(plan_from(task.payload), tmp_path)
    paths = ("data_path", "eval_id_data_path", "eval_ood_data_path")
    config = {
        "dataset": dict.fromkeys(paths, str(tmp_path)) | {"num_eval_games": -1},
        "env": {"goal_desc_human_anns_prob": 0, "task_types": [1, 2, 3, 4, 5, 6]},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        listed = AlfredTWEnv(config, train_eval="eval_out_of_distribution").game_files
    assert {Path(path) for path in listed} == set(tmp_path.glob("*/*/game.tw-pddl"))
    assert len(listed) == 12


def with_quirks(game: Game, rng: random.Random) -> Game:
    """Add what games made from AI2-THOR scenes have and generated ones have not.

    The game stays winnable: TextWorld cannot load one whose goal is out of reach.
    """
    things = [thing.id for thing in game.things]
    holders = [receptacle.id for receptacle in game.receptacles]
    openable = [receptacle.id for receptacle in game.receptacles if receptacle.is_openable]
    bowls = [thing.id for thing in game.things if "isreceptacleobject" in thing.traits]
    carried = rng.choice([t.id for t in game.things if "pickupable" in t.traits])
    inside = {*game.inside, *((rng.choice(things), rng.choice(holders)) for _ in range(4))}
    lamps = [thing.id for thing in game.things if "toggleable" in thing.traits]
    inside |= {(lamp, holder) for lamp in lamps for holder in openable}
    states = {("opened", rng.choice(openable))} if openable else set()
    for state in ("isclean", "ishot", "iscool", "issliced", "isclean", "issliced"):
        states.add((state, rng.choice(things)))
    if rng.random() < 0.5:
        states.add(("holds", carried))
        inside = {pair for pair in inside if pair[0] != carried}
    needed = {game.goal.receptacle, *DEVICES.values()}
    unneeded = [r.id for r in game.receptacles if r.kind not in needed]
    unreachable = rng.choice(unneeded) if game.goal.receptacle else ""
    return replace(
        game,
        inside=tuple(sorted(inside)),
        lies_at=tuple(pair for pair in game.lies_at if ("holds", pair[0]) not in states),
        nested=tuple(sorted({(rng.choice(things), bowl) for bowl in bowls for _ in range(2)})),
        states=tuple(sorted(states)),
        start=rng.choice([game.start, game.receptacles[0].place]),
        receptacles=tuple(
            replace(r, place="") if r.id == unreachable and rng.random() < 0.3 else r
            for r in game.receptacles
        ),
        can_contain=frozenset(
            pair
            for pair in sorted(game.can_contain)
            if rng.random() < 0.8 or pair == (game.goal.receptacle, game.goal.thing)
        ),
    )


@pytest.mark.parametrize("dialect", ["move", "put"])
def test_quirks_of_thor_scenes_are_the_same(real: RealGame, dialect: str) -> None:
    for seed, game in enumerate(games("small", dialect, 15, first=200)):
        odd = with_quirks(game, random.Random(seed))
        play_both(real, game_file(odd, "game"), seed, 60)


def neighbours(game: Game) -> Game:
    """Move all receptacles to two locations, so that most share theirs."""
    places = sorted({receptacle.place for receptacle in game.receptacles})[:2]
    moved = {r.id: places[n % 2] for n, r in enumerate(game.receptacles)}
    return replace(
        game,
        receptacles=tuple(replace(r, place=moved[r.id]) for r in game.receptacles),
        lies_at=tuple(sorted((thing, moved[holder]) for thing, holder in game.inside)),
    )


def test_receptacles_that_share_a_location_are_the_same(real: RealGame) -> None:
    for seed, game in enumerate(games("small", "move", 8, first=300)):
        play_both(real, game_file(neighbours(game), "game"), seed, 60)


def test_games_patched_from_2_1_1_to_2_1_2_are_the_same(real: RealGame) -> None:
    # ALFWorld's authors patched their files so; the help text is then in the action, not in a rule.
    help_action = (
        "(:action help\n :parameters (?a - agent)\n :precondition ()\n"
        " :effect (and (checked ?a))\n)\n"
    )
    help_grammar = (
        '\naction help {\n    template :: "help";\n'
        '    feedback :: "\nAvailable commands:\n  look:    look around\n";\n}\n'
    )
    for seed, game in enumerate(games("small", "put", 3, first=400)):
        data = game_file(game, "game")
        before, after = data["pddl_domain"].rsplit(")", 1)
        data["pddl_domain"] = f"{before}{help_action}){after}"
        for old, new in (
            ("You arrive at {lend.name}.", "You arrive at {r.name}."),
            ("put {o} in/on {r}", "move {o} to {r}"),
            ("You put the {o.name} in/on the {r.name}.", "You move the {o.name} to the {r.name}."),
        ):
            assert old in data["grammar"]
            data["grammar"] = data["grammar"].replace(old, new)
        data["grammar"] += help_grammar
        play_both(real, data, seed, 40)
        assert real.step("help").text == Engine(parse_game(json.dumps(data), "")).step("help").text


def test_the_shipped_help_is_the_same(real: RealGame) -> None:
    game = games("small", "move", 1)[0]
    real.start(game_file(game, "game"))
    assert real.step("help").text == Engine(game).step("help").text
