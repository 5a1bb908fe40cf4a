"""The scripted expert: how often it solves, what it says, and how it gets over disturbances."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from agentkd_envs import Move, Task, TaskDataError, UnknownNameError
from agentkd_envs.household import HouseholdEnv, HouseholdExpert
from agentkd_envs.household.belief import Belief, read_sentence
from agentkd_envs.household.engine import Engine
from agentkd_envs.household.game import KINDS
from agentkd_envs.household.generator import PRESETS, build_game
from agentkd_envs.household.search_order import as_listed, plausible_first
from agentkd_envs.household.tasks import SPLITS, plan_from

LIMIT = 50


async def play(
    env: HouseholdEnv, task: Task, foreign: float = 0.0, expert: HouseholdExpert | None = None
) -> tuple[bool, list[tuple[Move, str]]]:
    """Let the expert play; with probability `foreign` a random action is taken instead."""
    observation = await env.reset(task)
    expert = expert or env.expert()
    rng = random.Random(task.id)
    move, admissible = expert.first(observation.text), observation.admissible
    moves = []
    for _ in range(LIMIT):
        action = move.action
        if rng.random() < foreign:
            action = rng.choice(admissible())
            expert.note_action(action)
        result = await env.step(action)
        moves.append((move, result.text))
        if result.terminated:
            return True, moves
        admissible = result.admissible
        move = expert.next(result.text)
    return False, moves


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("split", SPLITS)
async def test_it_solves_almost_every_game(preset: str, split: str) -> None:
    env = HouseholdEnv(preset=preset)
    solved = [(await play(env, task))[0] for task in env.tasks(split, 300)]
    assert sum(solved) >= 0.98 * len(solved)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("split", SPLITS)
async def test_it_recovers_when_one_action_in_ten_is_random(preset: str, split: str) -> None:
    env = HouseholdEnv(preset=preset)
    solved = [(await play(env, task, foreign=0.1))[0] for task in env.tasks(split, 200)]
    assert sum(solved) >= 0.95 * len(solved)


async def test_it_recovers_when_every_third_action_is_random() -> None:
    env = HouseholdEnv(preset="small", dialect="put")
    solved = [(await play(env, task, foreign=1 / 3))[0] for task in env.tasks("train", 200)]
    assert sum(solved) >= 0.9 * len(solved)


async def test_it_plays_the_older_dialect() -> None:
    env = HouseholdEnv(preset="full", dialect="put")
    solved = [(await play(env, task))[0] for task in env.tasks("unseen", 120)]
    assert sum(solved) >= 0.98 * len(solved)


async def test_it_repairs_its_own_mistakes() -> None:
    env = HouseholdEnv(preset="small")
    solved = 0
    for task in env.tasks("train", 200):
        observation = await env.reset(task)
        expert, rng = env.expert(), random.Random(task.id)
        move = expert.first(observation.text)
        for _ in range(LIMIT):
            if rng.random() < 0.2:
                move = expert.mistake(rng)
                expert.note_action(move.action)
            result = await env.step(move.action)
            if result.terminated:
                solved += 1
                break
            move = expert.next(result.text)
    assert solved >= 0.95 * 200


def test_it_puts_an_unwanted_thing_elsewhere_after_a_refusal() -> None:
    room = "Looking quickly around you, you see a desk 1, and a shelf 1.\n\nYour task is to: "
    expert = HouseholdExpert()
    expert.first(f"{room}put a mug in desk.")
    expert.note_action("take book 1 from desk 1")
    expert.next("You pick up the book 1 from the desk 1.")
    refused = expert.next("You are carrying: a book 1.")
    assert refused == Move("Find mug. Have book 1. desk 1 is here.", "move book 1 to desk 1")
    assert expert.next("Nothing happens.").action == "go to shelf 1"


CONTEXT = r"(One is done\. )?(Have \w+ \d+\. )?"
SHAPES = [
    rf"{CONTEXT}(Find \w+\.|Any \w+\? No\.) Next: (?P<to>\w+ \d+)\.",
    rf"{CONTEXT}Find \w+\. (?P<e>\w+ \d+) is (closed|here)\.",
    rf"{CONTEXT}Any \w+\? (?P<e>\w+ \d+)\.",
    rf"{CONTEXT}Where is \w+\? \w+ \d+ at (?P<e>\w+ \d+)\.",
    r"Have \w+ \d+\. (Put it|Clean it|Heat it|Cool it): (?P<e>\w+ \d+)\.",
    r"Have \w+ \d+\. (?P<e>\w+ \d+) is (here|closed)\.",
]


async def test_thoughts_have_few_shapes_and_name_what_the_action_uses() -> None:
    shapes = [re.compile(rf"(That did nothing\. )?{shape}") for shape in SHAPES]
    for preset in PRESETS:
        env = HouseholdEnv(preset=preset)
        for task in env.tasks("train", 120):
            for move, _ in (await play(env, task))[1]:
                assert any(shape.fullmatch(move.thought) for shape in shapes), move
                named = re.findall(r"[a-z]+ \d+", move.thought)
                assert named
                assert named[-1] in move.action, move
                assert len(move.thought.split()) <= 12


async def test_a_whole_transcript() -> None:
    env = HouseholdEnv(preset="small")
    task = next(t for t in env.tasks("train", 600) if t.kind == KINDS[3])
    _, moves = await play(env, task)
    assert re.fullmatch(r"Find \w+\. Next: \w+ \d+\.", moves[0][0].thought)
    assert [move.action.split()[0] for move, _ in moves][-3:] in (
        ["heat", "go", "move"],
        ["go", "open", "move"],
        ["heat", "go", "open", "move"][-3:],
    )
    assert moves[-1][0].thought.startswith("Have ")


async def test_it_says_when_an_action_did_nothing() -> None:
    env = HouseholdEnv(preset="small")
    task = env.tasks("train", 1)[0]
    observation = await env.reset(task)
    expert = env.expert()
    first = expert.first(observation.text)
    expert.note_action("dance")
    again = expert.next((await env.step("dance")).text)
    assert again == Move(f"That did nothing. {first.thought}", first.action)


async def test_it_finds_what_shares_a_location() -> None:
    """Where all receptacles share two locations, `go to` often does nothing."""
    for task in HouseholdEnv(preset="small").tasks("train", 60):
        game = build_game(plan_from(task.payload))
        places = sorted({receptacle.place for receptacle in game.receptacles})[:2]
        moved = {r.id: places[n % 2] for n, r in enumerate(game.receptacles)}
        game = replace(
            game,
            receptacles=tuple(replace(r, place=moved[r.id]) for r in game.receptacles),
            lies_at=tuple((thing, moved[holder]) for thing, holder in game.inside),
        )
        engine, expert = Engine(game), HouseholdExpert()
        move = expert.first(engine.introduction())
        for _ in range(LIMIT):
            response = engine.step(move.action)
            if response.won:
                break
            move = expert.next(response.text)
        assert engine.won, game


async def test_it_depends_on_nothing_but_the_text() -> None:
    env = HouseholdEnv(preset="small")
    task = env.tasks("seen", 1)[0]
    _, moves = await play(env, task)
    expert = HouseholdExpert(search_order=as_listed)
    replayed = [expert.first((await env.reset(task)).text)]
    replayed += [expert.next(text) for _, text in moves[:-1]]
    assert replayed == [move for move, _ in moves]


async def test_the_search_order_can_be_replaced() -> None:
    def backwards(thing: str, listing: Sequence[str]) -> list[str]:
        return list(reversed(listing))

    env = HouseholdEnv(preset="small")
    task = env.tasks("train", 1)[0]
    observation = await env.reset(task)
    listed = Belief(observation.text).listing
    assert env.expert(backwards).first(observation.text).action == f"go to {listed[-1]}"


def test_plausible_places_come_first_and_closed_ones_later() -> None:
    listed = ["bed 1", "cabinet 2", "cabinet 1", "countertop 1", "drawer 1", "fridge 1", "shelf 1"]
    order = ["countertop 1", "shelf 1", "cabinet 2", "cabinet 1", "fridge 1", "bed 1", "drawer 1"]
    assert plausible_first("mug", listed) == order
    assert plausible_first("mug", []) == []
    assert plausible_first("unicorn", listed) == listed


@pytest.mark.parametrize(
    ("sentence", "kind", "thing", "target"),
    [
        ("put a mug in desk.", 0, "mug", "desk"),
        ("put some mug on desk.", 0, "mug", "desk"),
        ("look at bowl under the desklamp.", 1, "bowl", "desklamp"),
        ("examine the bowl with the desklamp.", 1, "bowl", "desklamp"),
        ("put a clean cup in shelf.", 2, "cup", "shelf"),
        ("clean some cup and put it in shelf.", 2, "cup", "shelf"),
        ("put a hot cup in shelf.", 3, "cup", "shelf"),
        ("heat some cup and put it in shelf.", 3, "cup", "shelf"),
        ("put a cool cup in shelf.", 4, "cup", "shelf"),
        ("cool some cup and put it in shelf.", 4, "cup", "shelf"),
        ("put two pen in drawer.", 5, "pen", "drawer"),
        ("find two pen and put them in drawer.", 5, "pen", "drawer"),
    ],
)
def test_all_task_sentences_are_understood(
    sentence: str, kind: int, thing: str, target: str
) -> None:
    goal = read_sentence(f"You are in a room.\n\nYour task is to: {sentence}")
    assert (goal.kind, goal.thing) == (KINDS[kind], thing)
    assert target in (goal.receptacle, goal.lamp)


def test_another_sentence_is_an_error_that_shows_it() -> None:
    with pytest.raises(TaskDataError, match="make me a sandwich"):
        HouseholdExpert().first("A room.\n\nYour task is to: make me a sandwich.")


def test_an_unsolvable_room_leads_to_harmless_moves() -> None:
    room = (
        "Looking quickly around you, you see a desk 1.\n\nYour task is to: put a hot mug in safe."
    )
    expert = HouseholdExpert()
    assert expert.first(room).action == "go to desk 1"
    seen = "You arrive at desk 1. On the desk 1, you see a mug 1."
    assert expert.next(seen).action == "take mug 1 from desk 1"
    move = expert.next("You pick up the mug 1 from the desk 1.")
    assert move == Move("Have mug 1. There is no microwave.", "look")


def test_small_rooms_are_searched_as_listed() -> None:
    listing = ["shelf 2", "shelf 1", "cabinet 1", "bed 1"]
    assert as_listed("mug", listing) == listing
    assert HouseholdEnv(preset="small").search == "as_listed"
    assert HouseholdEnv(preset="full").search == "plausible_first"
    with pytest.raises(UnknownNameError, match="as_listed"):
        HouseholdEnv(search="as_listd")
