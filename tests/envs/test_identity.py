"""An episode is the same to the byte, whoever plays it, beside whom, where and in which order."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from agentkd_envs import EnvError, Task, env_names, make_env
from agentkd_envs.adapters.wire import task_to_json
from identity_player import play

from agentkd.trajectory import Trajectory

EPISODES = 64
SLOW = {"scienceworld": 8}
"""Environments of which fewer episodes are played, because a step takes milliseconds."""
OPTIONS = {"scienceworld": {"admissible": True}}
"""What random play needs."""
PLAYER = Path(__file__).with_name("identity_player.py")


def worlds() -> list[Any]:
    """Every deterministic environment as it comes, and further options of our own."""
    found = [
        pytest.param("household", {"preset": "small", "dialect": "put"}, id="household-small-put")
    ]
    for name in env_names():
        try:
            if make_env(name).spec.is_deterministic:
                found.append(pytest.param(name, OPTIONS.get(name, {}), id=name))
        except EnvError:
            assert name in {"http", "agentgym"}
    return found


def tasks_of(name: str, options: dict[str, Any]) -> list[Task]:
    env = make_env(name, **options)
    splits = list(env.spec.splits)[:2]
    episodes = SLOW.get(name, EPISODES)
    return [task for split in splits for task in env.tasks(split, episodes // len(splits))]


async def alone(name: str, options: dict[str, Any], tasks: list[Task]) -> dict[str, str]:
    digests = {}
    for task in tasks:
        env = make_env(name, **options)
        digests[task.id] = (await play(env, task))[0]
        await env.close()
    return digests


async def together(name: str, options: dict[str, Any], tasks: list[Task]) -> dict[str, Any]:
    """Play all tasks at once, a step of each in turn; return digest and record per task."""
    episodes: dict[str, Any] = {}

    async def one(task: Task) -> None:
        env = make_env(name, **options)
        episodes[task.id] = await play(env, task)
        await env.close()

    async with anyio.create_task_group() as group:
        for task in tasks:
            group.start_soon(one, task)
    return episodes


def elsewhere(name: str, options: dict[str, Any], tasks: list[Task], hash_seed: str) -> Any:
    command = [sys.executable, str(PLAYER), name, json.dumps(options)]
    done = subprocess.run(
        command,
        input=json.dumps([task_to_json(task) for task in tasks]),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(("name", "options"), worlds())
def test_an_episode_is_the_same_everywhere(name: str, options: dict[str, Any]) -> None:
    tasks = tasks_of(name, options)
    count = SLOW.get(name, EPISODES)
    assert len({task.id for task in tasks}) == count
    expected = anyio.run(alone, name, options, tasks)
    episodes = anyio.run(together, name, options, tasks)
    assert {task_id: digest for task_id, (digest, _) in episodes.items()} == expected
    assert len(set(expected.values())) == count
    random.Random(0).shuffle(tasks)
    halves = tasks[: count // 2], tasks[count // 2 :]
    apart = {}
    for hash_seed, half in zip(("1", "2"), halves, strict=True):
        apart |= elsewhere(name, options, half, hash_seed)
    assert apart == expected
    assert elsewhere(name, options, tasks[::-1][:16], "3").items() <= expected.items()


@pytest.mark.parametrize(("name", "options"), worlds())
def test_results_carry_versions(name: str, options: dict[str, Any]) -> None:
    task = tasks_of(name, options)[0]
    _, episode = anyio.run(together, name, options, [task])[task.id]
    assert episode.versions == dict(make_env(name, **options).spec.versions)
    assert episode.versions["engine"]
    if name == "household":
        assert episode.versions["data"].startswith("generated-")
        assert episode.versions["dialect"] == options.get("dialect", "move")
    assert Trajectory.from_json(episode.to_json()).versions == episode.versions
