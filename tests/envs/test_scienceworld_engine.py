"""ScienceWorld in play: scores, isolation, forks, and engines that die."""

import json
import os
import signal
import subprocess
import sys
import time

import anyio
import pytest
from agentkd_envs import EnvCrashedError, EnvError, Task
from agentkd_envs.scienceworld import ScienceWorldEnv
from agentkd_envs.scienceworld.catalogue import KINDS
from processes import below, wait_until_gone, workers

WORKER = "agentkd_envs.scienceworld.worker"


async def solve(env: ScienceWorldEnv, task: Task) -> list[str]:
    """Play the gold path; return all texts."""
    observation = await env.reset(task)
    texts = [observation.text]
    expert = env.expert()
    move = expert.first(observation.text)
    for _ in range(250):
        result = await env.step(move.action)
        texts.append(result.text)
        assert result.valid, (move, result)
        if result.terminated:
            assert (result.success, result.reward, result.info["score_raw"]) == (True, 1.0, 1.0)
            return texts
        move = expert.next(result.text)
    pytest.fail(f"the gold path of {task} did not end")


@pytest.mark.parametrize("topic", ["1 2", "3 4 5", "6 7 8 9"])
async def test_gold_paths_score_100(topic: str) -> None:
    names = [name for name, kind in KINDS.items() if kind.id.split("-")[0] in topic.split()]
    env = ScienceWorldEnv(kinds=names, gold=True, workers=1)
    tasks = env.tasks("test", len(names))
    assert [task.kind for task in tasks] == names
    for task in tasks:
        await solve(env, task)
    await env.close()


async def test_an_episode_speaks_of_its_task_and_takes_commands() -> None:
    env = ScienceWorldEnv(kinds="boil")
    first = await env.reset(env.tasks("train", 1)[0])
    assert first.text.startswith("Your task is to boil water.")
    assert "This room is called the" in first.text
    assert list(first.admissible()) == []
    result = await env.step("teleport to outside")
    assert (result.text, result.valid) == ("You teleport to the outside.", True)
    assert 0 < result.reward == result.info["score_raw"] < 1
    assert not (result.terminated or result.success)
    await env.close()
    await env.close()
    with pytest.raises(EnvError, match="reset"):
        await env.step("look around")


@pytest.mark.parametrize(
    "action", ["", "  ", "fly to the moon", "\ud800", "a\nb\x00", "x" * 20_000]
)
async def test_what_is_not_understood_is_data(action: str) -> None:
    env = ScienceWorldEnv(kinds="boil", workers=1)
    await env.reset(env.tasks("train", 1)[0])
    result = await env.step(action)
    assert (result.valid, result.terminated, result.reward) == (False, False, 0.0)
    assert (await env.step("inventory")).valid
    await env.close()


async def test_a_wrong_focus_fails_the_task_and_best_remembers_the_score() -> None:
    task = ScienceWorldEnv(kinds="boil").tasks("train", 1)[0]
    for reward, expected in (("final", 0.0), ("best", 1 / 30)):
        env = ScienceWorldEnv(kinds="boil", reward=reward, workers=1)
        await env.reset(task)
        await env.step("teleport to outside")
        result = await env.step("focus on fountain")
        assert (result.terminated, result.success) == (True, False)
        assert result.info["score_raw"] == -1.0
        assert result.reward == pytest.approx(expected)
        await env.close()


async def test_a_question_is_answered_by_number() -> None:
    env = ScienceWorldEnv(kinds="boil", simplifications="", workers=1)
    await env.reset(env.tasks("train", 1)[0])
    await env.step("go to hallway")
    asked = await env.step("open door")
    assert asked.valid
    assert asked.text.startswith("Ambiguous request")
    assert (await env.step("0")).text.startswith("The door is now open")
    await env.close()


async def test_admissible_actions_are_listed_on_request() -> None:
    env = ScienceWorldEnv(kinds="boil", admissible=True, workers=1)
    first = await env.reset(env.tasks("train", 1)[0])
    assert "look around" in first.admissible()
    result = await env.step("teleport to kitchen")
    assert "pick up thermometer" in result.admissible()
    assert "pick up thermometer" not in first.admissible()
    listed = list(result.admissible())
    assert listed == sorted(set(listed))
    await env.close()


async def test_interleaved_episodes_are_as_those_played_alone() -> None:
    envs = [ScienceWorldEnv(gold=True, workers=1) for _ in range(3)]
    tasks = [
        ScienceWorldEnv(kinds=name).tasks("test", 1)[0]
        for name in ("grow-plant", "use-thermometer", "identify-life-stages-2")
    ]
    alone = [await solve(env, task) for env, task in zip(envs, tasks, strict=True)]
    together: dict[int, list[str]] = {}

    async def play(number: int) -> None:
        together[number] = await solve(envs[number], tasks[number])

    async with anyio.create_task_group() as group:
        for number in range(len(envs)):
            group.start_soon(play, number)
    assert [together[number] for number in range(len(envs))] == alone
    for env in envs:
        await env.close()


async def test_episodes_are_the_same_in_another_process() -> None:
    task = ScienceWorldEnv(kinds="identify-life-stages-2").tasks("test", 1)[0]
    before = workers(WORKER)
    envs = [ScienceWorldEnv(gold=True, workers=2, heap_mb=257) for _ in range(2)]
    for env in envs:
        await env.reset(task)
    assert len(workers(WORKER) - before) == 2
    assert await solve(envs[0], task) == await solve(envs[1], task)
    for env in envs:
        await env.close()


async def test_a_fork_is_in_the_same_state_and_goes_its_own_way() -> None:
    env = ScienceWorldEnv(kinds="grow-plant", gold=True, workers=1)
    observation = await env.reset(env.tasks("test", 1)[0])
    expert = env.expert()
    move = expert.first(observation.text)
    for _ in range(20):
        result = await env.step(move.action)
        move = expert.next(result.text)
    fork = await env.fork()
    resumed = fork.expert().first("")
    assert resumed.action == move.action
    await fork.step("teleport to kitchen")
    assert "called the kitchen" in (await fork.step("look around")).text
    assert "called the kitchen" not in (await env.step("look around")).text
    unstarted = ScienceWorldEnv()
    await (await unstarted.fork()).close()
    await fork.close()
    await env.close()


async def test_a_fork_without_a_place_says_so_and_a_reset_waits_for_one() -> None:
    task = ScienceWorldEnv(kinds="boil").tasks("train", 1)[0]
    envs = [ScienceWorldEnv(workers=1, heap_mb=160) for _ in range(3)]
    for env in envs:
        await env.reset(task)
    with pytest.raises(EnvError, match="no place for a fork"):
        await envs[0].fork()
    waiting = ScienceWorldEnv(workers=1, heap_mb=160)
    with anyio.move_on_after(0.3) as scope:
        await waiting.reset(task)
    assert scope.cancelled_caught
    del env, envs
    with anyio.fail_after(60):
        await waiting.reset(task)
    await waiting.close()


async def test_the_heap_holds_only_live_episodes() -> None:
    env = ScienceWorldEnv(kinds="find-plant", workers=1, heap_mb=96)
    for task in env.tasks("train", 20):
        await env.reset(task)
    assert (await env.step("look around")).valid
    await env.close()


async def test_the_event_loop_goes_on_while_the_engine_works() -> None:
    env = ScienceWorldEnv(gold=True, workers=1)
    beats = []

    async def beat() -> None:
        while True:
            beats.append(time.monotonic())
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        await env.reset(ScienceWorldEnv(kinds="chemistry-mix").tasks("test", 1)[0])
        group.cancel_scope.cancel()
    assert len(beats) > 10
    await env.close()


@pytest.mark.parametrize(("victim", "heap_mb"), [("worker", 250), ("java", 251)])
async def test_a_dead_engine_is_an_error_and_the_next_reset_works(
    victim: str, heap_mb: int
) -> None:
    before = workers(WORKER)
    env = ScienceWorldEnv(kinds="boil", workers=1, heap_mb=heap_mb)
    task = env.tasks("train", 1)[0]
    await env.reset(task)
    (worker,) = workers(WORKER) - before
    (java,) = below(worker)
    os.kill(worker if victim == "worker" else java, signal.SIGKILL)
    with pytest.raises(EnvCrashedError):
        await env.step("look around")
    with pytest.raises(EnvError, match="reset"):
        await env.step("look around")
    wait_until_gone([worker, java])
    assert "boil water" in (await env.reset(task)).text
    assert worker not in workers(WORKER)
    await env.close()


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    env = ScienceWorldEnv(kinds="mendelian-genetics-known-plant", gold=True, workers=1)
    with anyio.move_on_after(3) as scope:
        await env.reset(env.tasks("train", 1)[0])
    assert scope.cancelled_caught
    with pytest.raises(EnvError, match="reset"):
        await env.step("look around")
    boil = ScienceWorldEnv(kinds="boil", workers=1)
    await boil.reset(boil.tasks("train", 1)[0])
    await boil.close()


_HOST = """
import anyio, os, signal, sys, time
from agentkd_envs.scienceworld import ScienceWorldEnv

# A shell that runs the tests in the background has its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    env = ScienceWorldEnv(workers=1)
    await env.reset(env.tasks("train", 1)[0])
    if sys.argv[1] == "fork" and os.fork() == 0:
        time.sleep(600)
    print("ready", flush=True)
    if sys.argv[1] != "end":
        await anyio.sleep(600)

anyio.run(main)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None])
def test_no_process_survives_the_host(end: signal.Signals | None) -> None:
    command = [sys.executable, "-c", _HOST, "end" if end is None else "wait"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as host:
        assert host.stdout is not None
        family: list[int] = []
        try:
            if end is None:
                host.stdout.read()
            else:
                assert host.stdout.readline() == "ready\n"
                family = below(host.pid)
                assert len(family) == 2
                host.send_signal(end)
            host.wait(20)
        finally:
            host.kill()
    wait_until_gone(family)
    assert (host.returncode == 0) == (end is None)


def test_no_engine_survives_a_host_that_leaves_a_child_with_its_sockets() -> None:
    command = [sys.executable, "-c", _HOST, "fork"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as host:
        assert host.stdout is not None
        try:
            assert host.stdout.readline() == "ready\n"
            family = below(host.pid)
            engine = [worker for worker in family if below(worker)]
            (child,) = set(family) - {*engine, *below(engine[0])}
        finally:
            host.kill()
        host.wait(20)
        wait_until_gone([pid for pid in family if pid != child])
        os.kill(child, signal.SIGKILL)


async def test_a_full_heap_says_what_to_raise() -> None:
    env = ScienceWorldEnv(kinds="boil", heap_mb=12)
    with pytest.raises(EnvCrashedError, match="heap of 12 MB is full; raise the option heap_mb"):
        await env.reset(env.tasks("test", 1)[0])


async def test_too_small_a_heap_and_too_large_a_one_are_explained() -> None:
    for heap_mb in (1, 10**9):
        env = ScienceWorldEnv(kinds="boil", heap_mb=heap_mb)
        with pytest.raises(EnvError, match=r"memory|heap|MB"):
            await env.reset(env.tasks("train", 1)[0])


_VARIATIONS = """
import json
from agentkd_envs.scienceworld.java import start_gateway

simulator = start_gateway(256).jvm.scienceworld.runtime.pythonapi.PythonInterface()
found = {}
for name in simulator.getTaskNames():
    simulator.load(name, 0, "", False)
    found[name] = [
        list(listed)
        for listed in (
            simulator.getVariationsTrain(),
            simulator.getVariationsDev(),
            simulator.getVariationsTest(),
        )
    ]
print(json.dumps(found))
"""


def test_the_catalogue_agrees_with_the_engine() -> None:
    listed = subprocess.run([sys.executable, "-c", _VARIATIONS], capture_output=True, text=True)
    assert json.loads(listed.stdout) == {
        kind.name: [[*kind.variations(split)] for split in ("train", "dev", "test")]
        for kind in KINDS.values()
    }
