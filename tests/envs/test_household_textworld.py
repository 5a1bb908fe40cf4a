"""The household environment on the real engine: the same episodes, from a worker process."""

import os
import signal
from pathlib import Path
from random import Random

import pytest
from agentkd_envs import EnvCrashedError, Task, UnknownNameError, make_env
from agentkd_envs.household import HouseholdEnv, write_game
from agentkd_envs.household.tasks import plan_from
from processes import workers
from real_textworld import require_alfworld

require_alfworld()


async def compare(real: HouseholdEnv, native: HouseholdEnv, task: Task, steps: int) -> None:
    """Play one task in both, by the expert with some random moves, and compare all there is."""
    theirs, ours = await real.reset(task), await native.reset(task)
    assert theirs.text == ours.text
    expert, random = real.expert(), Random(0)
    move = expert.first(theirs.text)
    for _ in range(steps):
        assert list(theirs.admissible()) == list(ours.admissible())
        action = move.action
        if random.random() < 0.2:
            action = random.choice([*ours.admissible(), "sing", " look\n", "\ud800"])
            expert.note_action(action)
        theirs, ours = await real.step(action), await native.step(action)
        assert (theirs.text, theirs.valid, theirs.reward) == (ours.text, ours.valid, ours.reward)
        assert (theirs.terminated, theirs.success) == (ours.terminated, ours.success)
        if theirs.terminated:
            return
        move = expert.next(theirs.text)


@pytest.mark.parametrize("dialect", ["move", "put"])
async def test_generated_games_are_the_same(dialect: str) -> None:
    options = {"preset": "small", "dialect": dialect}
    real = make_env("household", engine="textworld", **options)
    native = make_env("household", **options)
    assert real.spec.versions["engine"].startswith("textworld-")
    assert real.spec.versions["dialect"] == dialect
    for task in native.tasks("seen", 1, 700):
        assert real.tasks("seen", 1, 700) == [task]
        await compare(real, native, task, 10)
    await real.close()


async def test_files_and_forks_are_the_same(tmp_path: Path) -> None:
    (task,) = HouseholdEnv(preset="small", dialect="put").tasks("unseen", 1)
    write_game(plan_from(task.payload), tmp_path / "json_2.1.1" / "valid_unseen")
    real = HouseholdEnv(data=tmp_path, engine="textworld")
    native = HouseholdEnv(data=tmp_path)
    (task,) = real.tasks("unseen")
    await compare(real, native, task, 3)
    fork = await real.fork()
    commands = list((await native.step("look")).admissible())
    assert (await fork.step(commands[2])).text == (await native.step(commands[2])).text
    assert (await real.step("look")).text != (await fork.step("look")).text
    await fork.close()
    (worker,) = workers("agentkd_envs.household.textworld_worker")
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(EnvCrashedError):
        await real.step("look")
    await real.reset(task)
    await real.close()
    await real.close()


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'textworld'"):
        HouseholdEnv(engine="textword")
