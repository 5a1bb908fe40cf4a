"""The scripted customer: how often it gets all that was wished for, and how it takes mistakes."""

from random import Random

import pytest
from agentkd_envs import StepResult, Task
from agentkd_envs.shop import ShopEnv, ShopExpert
from agentkd_envs.shop.reading import read_page
from agentkd_envs.shop.wishes import read_wishes
from hypothesis import given
from hypothesis import strategies as st

from agentkd.episode import run_episode
from agentkd.policies.mistakes import ErringExpertPolicy
from agentkd.prompts import action_format


async def play(env: ShopEnv, task: Task) -> tuple[StepResult, list[tuple[str, str]]]:
    observation = await env.reset(task)
    expert = env.expert()
    move = expert.first(observation.text)
    moves = []
    for _ in range(env.spec.max_steps):
        moves.append((move.thought, move.action))
        result = await env.step(move.action)
        assert result.valid, move
        if result.terminated:
            break
        move = expert.next(result.text)
    return result, moves


@pytest.mark.parametrize("split", ["train", "seen", "unseen"])
async def test_nearly_all_goals_are_met_in_full(split: str) -> None:
    env = ShopEnv()
    tasks = env.tasks(split, 250)
    results = [(await play(env, task))[0] for task in tasks]
    assert sum(result.success for result in results) / len(results) >= 0.95
    assert sum(result.terminated for result in results) == len(results)


@pytest.mark.parametrize(("name", "least"), [("text_rich", 0.95), ("react", 0.6)])
async def test_other_formats_are_understood(name: str, least: float) -> None:
    env = ShopEnv(format=name)
    results = [(await play(env, task))[0] for task in env.tasks("seen", 80)]
    assert sum(result.success for result in results) / len(results) >= least


async def test_thoughts_are_short_and_say_what_is_done() -> None:
    env = ShopEnv()
    for task in env.tasks("train", 40):
        _, moves = await play(env, task)
        assert all(0 < len(thought) <= 120 and "\n" not in thought for thought, _ in moves)
        assert moves[0][0].startswith("Need: ")
        for thought, action in moves:
            if action.startswith("click[B") and action != "click[Buy Now]":
                assert action[6:-1] in thought


async def test_mistakes_are_plausible_and_are_repaired() -> None:
    env = ShopEnv()
    policy = ErringExpertPolicy(0.15)
    kept = erred = solved = 0
    for task in env.tasks("train", 120):
        trajectory = await run_episode(
            policy, env, task, action_format("react"), max_steps=15, seed=3
        )
        errors = [step for step in trajectory.steps if step.tag == "error"]
        assert all(not step.loss for step in errors)
        assert not any(step.action == "click[Buy Now]" for step in errors)
        kept += 1
        erred += bool(errors)
        solved += trajectory.outcome.success
    assert erred > kept / 4
    assert solved / kept > 0.85


async def test_mistakes_are_offered_on_every_page() -> None:
    env = ShopEnv()
    task = env.tasks("train", 1)[0]
    random = Random(0)
    observation = await env.reset(task)
    expert = env.expert()
    move = expert.first(observation.text)
    wrong = set()
    for _ in range(15):
        wrong |= {expert.mistake(random).action for _ in range(20)}
        result = await env.step(move.action)
        if result.terminated:
            break
        move = expert.next(result.text)
    assert len(wrong) > 10


def test_wishes_of_a_generated_instruction() -> None:
    wishes = read_wishes(
        "i start university in september. show me a plant based makeup brush set with steel handle "
        "and boar bristles. the color should be mustard and the set should be six, and price "
        "lower than 80.00 dollars"
    )
    assert wishes.thing == "makeup brush set"
    assert wishes.properties == ("plant based", "steel handle", "boar bristles")
    assert wishes.cap == 80.0
    assert wishes.queries[0] == "plant based steel handle boar bristles makeup brush set"
    assert wishes.wanted_values({"color": ("mustard",), "set": ("six", "two")}) == {
        "color": "mustard",
        "set": "six",
    }
    assert wishes.wanted_values({"color": ("teal",), "size": ("s", "m")}) == {"color": ""}
    assert wishes.contradiction("Plant Based, with Nylon Bristles") == "nylon bristles"
    assert wishes.contradiction("Boar Bristles") == ""


def test_wishes_of_other_instructions_are_cut_at_their_joints() -> None:
    wishes = read_wishes("I'm looking for a women's long dress in navy, with pockets")
    assert (wishes.thing, wishes.cap) == ("", 1_000_000.0)
    assert wishes.properties == ("women's long dress", "navy", "pockets")
    assert wishes.wanted_values({"color": ("navy", "na"), "size": ("long", "l")}) == {
        "color": "navy",
        "size": "long",
    }
    assert read_wishes("???").queries


@given(text=st.text(max_size=300), name=st.sampled_from(["text", "text_rich", "react"]))
def test_any_text_can_be_read(text: str, name: str) -> None:
    read_page(text, name)
    read_page(f"Instruction: [SEP] {text} [SEP] Back to Search [SEP] < Prev [SEP] {text}", name)
    read_wishes(text)


@given(answers=st.lists(st.text(max_size=60), max_size=8), random=st.randoms())
def test_the_expert_survives_answers_of_any_kind(answers: list[str], random: Random) -> None:
    expert = ShopExpert()
    expert.first("WebShop [SEP] Instruction: [SEP] i need a granola [SEP] Search")
    for answer in answers:
        assert expert.mistake(random).action
        assert expert.next(answer).action
        expert.note_action(answer)
