"""`agentkd envs` and `agentkd play` as a stranger uses them: real processes, piped input."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from agentkd_envs import HasExpert, env_names, make_env


def agentkd(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentkd", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, input=typed, timeout=120, check=False
    )


def test_envs_lists_what_there_is() -> None:
    out = agentkd("envs").stdout
    for name in env_names():
        assert name in out
    for fact in ("unseen", "endless", "dialect move", "licence: engine Apache-2.0", "agentkd play"):
        assert fact in out


def test_protocols_are_listed_with_facts_and_readings() -> None:
    out = agentkd("envs", "protocols").stdout
    for fact in ("react", "2210.03629", "eto", "agentgym", "verl", "our reading", "seen 140"):
        assert fact in out


async def test_a_person_solves_a_task_with_the_hints_of_the_expert() -> None:
    env = make_env("household", preset="small")
    assert isinstance(env, HasExpert)
    first = await env.reset(env.tasks("train", 1, 2)[0])
    expert = env.expert()
    moves = [expert.first(first.text)]
    while not (answer := await env.step(moves[-1].action)).terminated:
        moves.append(expert.next(answer.text))
    typed = "".join(f"?\n{move.action}\n" for move in moves)
    out = agentkd("play", "household", "--set", "preset=small", "--task", "2", typed=typed).stdout
    hints = re.findall(r"^hint: (.*?)   \((.*)\)$", out, re.MULTILINE)
    assert hints == [(move.action, move.thought) for move in moves]
    assert f"Solved after {len(moves)} steps; reward 1." in out
    assert "agentkd play household --split train --task 3 --set preset=small" in out


def test_play_shows_actions_and_history_and_a_clear_end() -> None:
    typed = "inventory\n\nactions\nfly away\nhistory\nquit\nlook\n"
    out = agentkd("play", "household", "--set", "preset=small", typed=typed).stdout
    assert "Your task is to:" in out
    assert out.count("|  inventory  |") == 4
    assert "You are not carrying anything." in out
    assert "Nothing happens." in out
    assert "1. inventory\n2. fly away" in out
    assert "Stopped after 2 steps; reward 0." in out


def test_play_ends_at_the_step_limit_and_at_the_end_of_input() -> None:
    options = ("play", "household", "--set", "preset=small", "--set", "dialect=put")
    out = agentkd(*options, typed="look\n" * 60).stdout
    assert "The step limit is reached after 50 steps" in out
    assert "Stopped after 1 step; reward 0." in agentkd(*options, typed="look").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["play", "houshold"], "Did you mean 'household'"),
        (["play", "household", "--split", "trian"], "Did you mean 'train'"),
        (["play", "household", "--set", "preset"], "--set preset=small"),
        (["play", "household", "--set", "preset=smal"], "Did you mean 'small'"),
        (["play", "household", "--task", "-1"], "negative"),
        (["envs", "serve", "houshold"], "Did you mean 'household'"),
    ],
)
def test_a_mistake_gets_a_message_and_no_traceback(arguments: list[str], message: str) -> None:
    done = agentkd(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_tasks_behind_the_last_one_are_named(tmp_path: Path) -> None:
    shop = ("--env.name", "shop", "--env.options", "{}", "--run", str(tmp_path))
    for stage, setting in (("collect", "collect.first"), ("eval", "eval.first")):
        done = agentkd(stage, "household", *shop, f"--{setting}", "1000000")
        assert done.returncode == 2
        shown = " ".join((done.stdout + done.stderr).split())
        assert "tasks, none from number 1,000,000 on; lower " + setting in shown
