"""The Gymnasium adapter, under Gymnasium's own checker and in play."""

import asyncio
import warnings

import gymnasium
import pytest
from agentkd_envs import EnvError, HasExpert, UnknownNameError, make_env
from agentkd_envs.adapters.gym import AnyText, GymnasiumEnv
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import TimeLimit


def test_gymnasiums_checker_passes() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env = gymnasium.make(
            "agentkd/household-v0", disable_env_checker=True, preset="small", render_mode="ansi"
        )
        check_env(env.unwrapped)
    assert not [str(warning.message) for warning in caught]


async def test_five_tuples_until_the_task_is_solved() -> None:
    env = GymnasiumEnv("household", preset="small", split="seen")
    plain = make_env("household", preset="small")
    assert isinstance(plain, HasExpert)
    task = plain.tasks("seen", 1, 4)[0]
    text, info = env.reset(options={"index": 4})
    assert text == (await plain.reset(task)).text
    assert (info["task_id"], info["kind"]) == (task.id, task.kind)
    expert = plain.expert()
    move = expert.first(text)
    terminated = truncated = False
    while not terminated and not truncated:
        assert move.action in info["admissible"]
        text, reward, terminated, truncated, info = env.step(move.action)
        assert env.observation_space.contains(text)
        move = expert.next(text)
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)
    env.close()
    env.close()


def test_a_seed_draws_a_task_and_the_same_one_again() -> None:
    env = GymnasiumEnv("household", preset="small")
    ids = [env.reset(seed=seed)[1]["task_id"] for seed in (1, 2, 1)]
    assert ids[0] == ids[2] != ids[1]
    assert env.reset()[1]["task_id"] != env.reset()[1]["task_id"]
    env.close()


def test_the_step_limit_truncates() -> None:
    env = GymnasiumEnv("household", preset="small", max_steps=3)
    env.reset(seed=0)
    assert [env.step("look")[3] for _ in range(3)] == [False, False, True]
    env.close()


def test_gymnasiums_wrappers_work() -> None:
    env = TimeLimit(GymnasiumEnv("household", preset="small"), 2)
    env.reset(seed=0)
    env.step("look")
    text, reward, terminated, truncated, info = env.step("levitate")
    assert (reward, terminated, truncated, info["valid"]) == (0.0, False, True, False)
    assert text == "Nothing happens."
    env.close()


def test_it_works_inside_an_event_loop() -> None:
    async def inside() -> str:
        env = GymnasiumEnv("household", preset="small")
        text, _ = env.reset(seed=0)
        env.close()
        return text

    assert asyncio.run(inside()).startswith("-= Welcome")


def test_mistakes_are_named() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'household'"):
        GymnasiumEnv("houshold")
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        GymnasiumEnv("household", split="trian")
    with pytest.raises(EnvError, match="negative"):
        GymnasiumEnv("household").reset(options={"index": -1})


def test_the_space_contains_texts_up_to_its_length() -> None:
    space = AnyText(5, min_length=0)
    assert space.contains("é: 1")
    assert space.contains("")
    assert not space.contains("123456")
    assert not space.contains(5)
    assert space == AnyText(5, min_length=0) != AnyText(6, min_length=0)
