"""The environment as others use it: options, tasks, identity, episodes, bad input."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import anyio
import pytest
from agentkd_envs import (
    CanErr,
    EnvError,
    HasExpert,
    Task,
    TaskDataError,
    UnknownNameError,
    env_names,
    make_env,
)
from agentkd_envs.shop import ShopEnv
from agentkd_envs.shop.formats import RENDERERS
from hypothesis import given, settings
from hypothesis import strategies as st


def test_the_shop_is_registered() -> None:
    assert "shop" in env_names()
    env = make_env("shop")
    assert isinstance(env, HasExpert)
    assert set(env.spec.splits) == {"train", "seen", "unseen"}
    assert env.spec.max_steps == 15
    assert env.spec.versions == {
        "engine": "1",
        "data": "generated-1",
        "format": "text-1",
        "nouns": "heuristic-1",
    }
    assert env.spec.licence


@pytest.mark.parametrize("name", RENDERERS)
def test_the_description_names_the_actions(name: str) -> None:
    spec = ShopEnv(format=name).spec
    assert "search[WORDS]" in spec.description
    assert "click[LABEL]" in spec.description
    assert ("think[" in spec.description) == (name == "react")
    assert spec.versions["format"].startswith(name)


async def test_an_episode_from_start_to_success() -> None:
    env = make_env("shop")
    observation = await env.reset(env.tasks("train", 1)[0])
    assert isinstance(env, HasExpert)
    assert list(observation.admissible()) == ["search[...]"]
    expert = env.expert()
    assert isinstance(expert, CanErr)
    move = expert.first(observation.text)
    for _ in range(env.spec.max_steps):
        result = await env.step(move.action)
        assert result.valid
        assert list(result.admissible()) == sorted(result.admissible())
        if result.terminated:
            break
        assert (result.reward, result.success) == (0.0, False)
        move = expert.next(result.text)
        assert move.action.startswith("search[") or move.action in result.admissible()
    assert (result.reward, result.success) == (1.0, True)
    assert result.info["options"] == result.info["wanted_options"]
    json.dumps(result.info)
    await env.close()
    await env.close()


def test_tasks_are_the_same_in_any_order_and_their_kinds_take_turns() -> None:
    env = make_env("shop")
    tasks = env.tasks("train", 40)
    assert [task.kind for task in tasks[:5]] == [
        *("beauty", "fashion", "garden", "grocery", "electronics"),
    ]
    assert len({task.id for task in tasks}) == 40
    later = ShopEnv().tasks("train", 3, 20)
    assert list(later) == list(tasks[20:23])
    assert env.tasks("train", 3, 10**6) == []
    assert len(json.dumps(tasks[0].payload)) < 700


async def test_a_task_read_from_json_gives_the_same_episode() -> None:
    for name in RENDERERS:
        env = ShopEnv(format=name)
        task = env.tasks("unseen", 1, 7)[0]
        payload = json.loads(json.dumps(task.payload))
        again = Task("shop", "elsewhere", 0, task.kind, payload)
        assert again.id == task.id
        one, other = await env.reset(task), await ShopEnv().reset(again)
        assert one.text == other.text


def test_ids_tell_formats_goals_and_catalogues_apart() -> None:
    tasks = [ShopEnv(format=name).tasks("train", 1)[0] for name in RENDERERS]
    tasks.append(ShopEnv(attributes_page=True).tasks("train", 1)[0])
    tasks.append(ShopEnv().tasks("seen", 1)[0])
    assert len({task.id for task in tasks}) == len(tasks)
    kinds = ShopEnv(kinds=["grocery"]).tasks("train", 10)
    assert {task.kind for task in kinds} == {"grocery"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "rich"}, "Did you mean 'text_rich'"),
        ({"kinds": ["beauti"]}, "Did you mean 'beauty'"),
        ({"kinds": []}, "task kind"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        make_env("shop", **options)


def test_unknown_options_splits_and_ranges_are_named() -> None:
    with pytest.raises(EnvError, match="colour"):
        make_env("shop", colour="red")
    env = ShopEnv()
    with pytest.raises(UnknownNameError, match="seen, train, unseen"):
        env.tasks("test", 1)
    with pytest.raises(EnvError, match="negative"):
        env.tasks("train", -1)


async def test_without_reset_there_is_no_episode() -> None:
    env = ShopEnv()
    with pytest.raises(EnvError, match="reset"):
        await env.step("search[x]")
    with pytest.raises(EnvError, match="reset"):
        env.expert()
    assert await (await env.fork()).close() is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "has the fields"),
        ({"asin": "B0"}, "no product B0"),
        ({"asin": 7}, "asin=7 is not str"),
        ({"format": "html"}, "no format 'html'"),
        ({"catalogue": "files-0"}, "made for the products 'files-0'"),
        ({"attributes": []}, "at least one"),
        ({"attributes": [1]}, "texts"),
        ({"options": {"size": None}}, "texts"),
        ({"price_upper": "40"}, "price_upper"),
        ({"price_upper": True}, "price_upper"),
        ({"attributes_page": 1}, "attributes_page"),
    ],
)
async def test_damaged_payloads_are_named(change: dict[str, Any], message: str) -> None:
    env = ShopEnv()
    task = env.tasks("train", 1)[0]
    with pytest.raises(TaskDataError, match=message):
        await env.reset(replace(task, payload={**task.payload, **change}))


async def test_tasks_of_other_environments_are_refused() -> None:
    env = ShopEnv()
    task = env.tasks("train", 1)[0]
    with pytest.raises(TaskDataError, match="'household'"):
        await env.reset(replace(task, env="household"))
    with pytest.raises(TaskDataError, match="has the fields"):
        await env.reset(replace(task, payload={}))


ACTIONS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["search[...]", "click[< Prev]", "click[Buy Now]", "click[Next >]"]),
    st.text(max_size=20).map(lambda words: f"search[{words}]"),
    st.text(max_size=20).map(lambda label: f"click[{label}]"),
    st.integers(0, 10_000),
)


@settings(max_examples=80)
@given(
    name=st.sampled_from(sorted(RENDERERS)),
    index=st.integers(0, 500),
    actions=st.lists(ACTIONS, max_size=14),
    cut=st.integers(0, 13),
)
def test_no_actions_break_the_shop_and_a_fork_is_a_replay(
    name: str, index: int, actions: list[str | int], cut: int
) -> None:
    async def play() -> None:
        env = ShopEnv(format=name)
        task = env.tasks("train", 1, index)[0]
        admissible = (await env.reset(task)).admissible
        done: list[str] = []
        seen: list[tuple[str, float, bool]] = []
        fork = await env.fork()
        for number, action in enumerate(actions):
            if number == cut:
                fork = await env.fork()
            if isinstance(action, int):
                offered = list(admissible()) or ["nothing"]
                action = offered[action % len(offered)]
            result = await env.step(action)
            admissible = result.admissible
            done.append(action)
            seen.append((result.text, result.reward, result.valid))
            assert 0 <= result.reward <= 1
        start = cut if cut < len(actions) else 0
        for action, before in zip(done[start:], seen[start:], strict=True):
            result = await fork.step(action)
            assert (result.text, result.reward, result.valid) == before
        replay = ShopEnv()
        await replay.reset(task)
        for action, before in zip(done, seen, strict=True):
            result = await replay.step(action)
            assert (result.text, result.reward, result.valid) == before

    anyio.run(play)


@settings(max_examples=25)
@given(name=st.sampled_from(sorted(RENDERERS)), seed=st.integers(0, 10**6))
def test_what_is_admissible_is_valid(name: str, seed: int) -> None:
    async def play() -> None:
        random = Random(seed)
        env = ShopEnv(format=name)
        observation = await env.reset(env.tasks("seen", 1, seed % 500)[0])
        admissible = observation.admissible
        for _ in range(12):
            action = random.choice(list(admissible()))
            if action == "search[...]":
                action = f"search[{random.choice(['tea', 'color black', 'gift'])}]"
            result = await env.step(action)
            assert result.valid
            if result.terminated:
                break
            admissible = result.admissible

    anyio.run(play)
