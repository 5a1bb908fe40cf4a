"""Generated games: solvable, balanced, disjoint by split, and the same on every machine."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from agentkd_envs import Task, TaskDataError
from agentkd_envs.dice import Dice
from agentkd_envs.household import HouseholdEnv
from agentkd_envs.household.game import KINDS, Game
from agentkd_envs.household.generator import PRESETS, Plan, build_game
from agentkd_envs.household.oracle import solve
from agentkd_envs.household.pddl import game_file, parse_game, problem_text
from agentkd_envs.household.rooms import UNSEEN_ROOMS, facts
from agentkd_envs.household.tasks import SPLITS, choices, plan_from
from hypothesis import given, settings
from hypothesis import strategies as st


def tasks(preset: str, split: str, count: int, first: int = 0) -> list[Task]:
    return list(HouseholdEnv(preset=preset).tasks(split, count, first))


def built(task: Task) -> Game:
    return build_game(plan_from(task.payload))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("split", SPLITS)
def test_every_game_is_solvable(preset: str, split: str) -> None:
    unsolved = [t.payload for t in tasks(preset, split, 300) if solve(built(t)) is None]
    assert unsolved == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_goal_of_every_room_is_solvable(kind: str) -> None:
    # All that can ever be asked for, once each, in the preset where room is scarce.
    for number in facts().rooms:
        for thing, goals in choices(kind, number):
            goal = goals[number % len(goals)]
            is_light = kind == "look_at_obj_in_light"
            receptacle, lamp = ("", goal) if is_light else (goal, "")
            plan = Plan("small", number, kind, thing, receptacle, lamp, 0, "move")
            assert solve(build_game(plan)), plan


@settings(max_examples=50, deadline=None)
@given(
    preset=st.sampled_from(PRESETS),
    split=st.sampled_from(list(SPLITS)),
    index=st.integers(0, 10**9),
    dialect=st.sampled_from(["move", "put"]),
)
def test_a_written_game_reads_back_the_same(
    preset: str, split: str, index: int, dialect: str
) -> None:
    task = HouseholdEnv(preset=preset, dialect=dialect).tasks(split, 1, index)[0]
    game = built(task)
    assert parse_game(json.dumps(game_file(game, "name")), "test") == game
    assert built(Task(**json.loads(json.dumps(task.__dict__)))) == game


def test_small_games_are_small_and_whole() -> None:
    sizes = Counter()
    for task in tasks("small", "train", 300):
        game = built(task)
        sizes[len(game.receptacles)] += 1
        assert len(game.receptacles) <= 9
        assert len(game.things) <= 12
        kinds = {receptacle.kind for receptacle in game.receptacles}
        assert not game.goal.receptacle or game.goal.receptacle in kinds
    assert set(sizes) >= {5, 6, 7, 8, 9}


def test_varied_rooms_lack_receptacles_and_differ_from_game_to_game() -> None:
    listings: dict[int, set[frozenset[str]]] = {}
    shares = []
    for task in tasks("varied", "train", 600):
        game, room = built(task), facts().rooms[task.payload["room"]]
        names = frozenset(receptacle.id for receptacle in game.receptacles)
        assert names <= {receptacle.pddl_id for receptacle in room.receptacles}
        listings.setdefault(room.number, set()).add(names)
        shares.append(len(names) / len(room.receptacles))
    assert sum(map(len, listings.values())) > 0.95 * 600
    assert min(shares) < 0.4
    assert max(shares) > 0.95
    assert 0.55 < sum(shares) / 600 < 0.75


def test_training_can_have_a_preset_of_its_own() -> None:
    env = HouseholdEnv(preset="full", train_preset="varied")
    for split, preset in (("train", "varied"), ("seen", "full"), ("unseen", "full")):
        assert env.tasks(split, 12) == HouseholdEnv(preset=preset).tasks(split, 12)


def test_wanted_objects_never_start_where_they_belong() -> None:
    for preset in PRESETS:
        for task in tasks(preset, "seen", 200):
            game = built(task)
            kind_of = {thing.id: thing.kind for thing in game.things}
            kind_of |= {receptacle.id: receptacle.kind for receptacle in game.receptacles}
            for thing, receptacle in game.inside:
                pair = (kind_of[thing], kind_of[receptacle])
                assert pair != (game.goal.thing, game.goal.receptacle)


def test_splits_share_neither_tasks_nor_seeds_nor_unseen_rooms() -> None:
    ids, seeds = {}, {}
    for preset in PRESETS:
        for split in SPLITS:
            drawn = tasks(preset, split, 2000)
            ids[preset, split] = {task.id for task in drawn}
            seeds[split] = {task.payload["seed"] for task in drawn}
            rooms = {task.payload["room"] for task in drawn}
            if split == "unseen":
                assert rooms == set(UNSEEN_ROOMS)
            else:
                assert not rooms & set(UNSEEN_ROOMS)
                assert len(rooms) == len(facts().rooms) - len(UNSEEN_ROOMS)
    assert sum(map(len, ids.values())) == len(set().union(*ids.values())) == 18_000
    assert not seeds["train"] & seeds["seen"]


def test_kinds_take_turns() -> None:
    kinds = [task.kind for task in tasks("small", "train", 12)]
    assert kinds == [*KINDS, *KINDS]
    only = HouseholdEnv(kinds=["heat", "two"]).tasks("train", 4)
    assert [task.kind for task in only] == [KINDS[3], KINDS[5], KINDS[3], KINDS[5]]


def test_a_slice_of_the_tasks_is_the_same_wherever_it_begins() -> None:
    whole = tasks("small", "seen", 30)
    assert tasks("small", "seen", 10, first=15) == whole[15:25]


FINGERPRINT = """
import asyncio, hashlib, json
from agentkd_envs.household import HouseholdEnv
from agentkd_envs.household.generator import build_game
from agentkd_envs.household.pddl import game_file
from agentkd_envs.household.tasks import plan_from

async def main():
    digest = hashlib.sha256()
    for preset in ("small", "full", "varied"):
        env = HouseholdEnv(preset=preset)
        for task in env.tasks("train", 12):
            digest.update(task.id.encode())
            game = build_game(plan_from(task.payload))
            digest.update(json.dumps(game_file(game, "x")).encode())
            observation = await env.reset(task)
            expert = env.expert()
            move = expert.first(observation.text)
            for _ in range(50):
                result = await env.step(move.action)
                digest.update(f"{move}{result.text}{result.admissible()}".encode())
                if result.terminated:
                    break
                move = expert.next(result.text)
    print(digest.hexdigest())

asyncio.run(main())
"""


def test_nothing_depends_on_the_process_or_its_hash_seed() -> None:
    fingerprints = set()
    for hash_seed in ("0", "1", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        result = subprocess.run(
            [sys.executable, "-c", FINGERPRINT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        fingerprints.add(result.stdout)
    assert len(fingerprints) == 1


def test_the_games_of_this_version_never_change_by_accident() -> None:
    """Task ids stand in results: whoever changes what they mean must intend it.

    Whoever does raises `GENERATOR_VERSION` and puts the new digest here.
    """
    digest = hashlib.sha256()
    digests = {}
    for preset in PRESETS:
        for split in SPLITS:
            for task in tasks(preset, split, 30):
                game = built(task)
                digest.update(f"{task.id}{game.sentence}{problem_text(game, 'x')}".encode())
        digests[preset] = digest.hexdigest()[:16]
    assert digests == {
        "full": "1bcc1914524674a7",
        "small": "9e734888c4539a01",
        "varied": "506c5b1ee0cdf707",
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("preset", "tiny", "no preset 'tiny'"),
        ("kind", "pick", "no kind 'pick'"),
        ("room", 999, "no room 999"),
        ("room", "10", "room='10' is not int"),
        ("thing", "Unicorn", "'Unicorn'"),
        ("receptacle", "Moon", "'Moon'"),
        ("seed", True, "seed=True is not int"),
        ("version", 0, "made for generator 0"),
    ],
)
def test_a_wrong_payload_is_named(field: str, value: object, message: str) -> None:
    payload = {**tasks("small", "train", 1)[0].payload, field: value}
    with pytest.raises(TaskDataError, match=message):
        plan_from(payload)


def test_a_payload_with_missing_or_further_fields_is_refused() -> None:
    payload = dict(tasks("small", "train", 1)[0].payload)
    with pytest.raises(TaskDataError, match="fields"):
        plan_from({**payload, "extra": 1})
    del payload["room"]
    with pytest.raises(TaskDataError, match="fields"):
        plan_from(payload)


def test_shipped_rooms_are_sound() -> None:
    assert len(facts().rooms) == 120
    for room in facts().rooms.values():
        ids = [receptacle.pddl_id for receptacle in room.receptacles]
        assert len(set(ids)) == len(ids)
        for receptacle in room.receptacles:
            # The agent must read the class in the name, or the text alone would not be enough.
            stem = receptacle.pddl_id.split("_bar_")[0]
            stem += "basin" if "basin" in receptacle.pddl_id else ""
            assert stem == receptacle.name.lower()


@given(st.text(), st.lists(st.integers(), min_size=1))
def test_dice_choose_what_there_is(seed: str, options: list[int]) -> None:
    dice = Dice(seed)
    assert dice.pick(options) in options
    assert sorted(dice.shuffled(options)) == sorted(options)
    assert 3 <= dice.between(3, 5) <= 5
    assert Dice(seed).shuffled(options) == Dice(seed).shuffled(options)
