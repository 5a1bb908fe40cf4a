"""Collection: each episode once, whatever happens to the process."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import anyio
import pytest
from agentkd_envs import make_env

from agentkd.collect import Setting, Tally, collect
from agentkd.policies import ExpertPolicy, RandomPolicy, ScriptedPolicy
from agentkd.prompts import action_format
from agentkd.store import EpisodeReader


def setting(max_steps: int = 50) -> Setting:
    return Setting(lambda: make_env("household", preset="small"), action_format("react"), max_steps)


def tasks(count: int):
    return make_env("household", preset="small").tasks("train", count)


def run(policy, path: Path, count: int, **options) -> Tally:
    return anyio.run(partial(collect, policy, tasks(count), path, setting(), **options))


def test_every_task_once_and_again_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    first = run(ExpertPolicy(), path, 20, concurrency=7)
    assert (first.planned, first.finished, first.resumed) == (20, 20, 0)
    before = path.read_bytes()
    second = run(ExpertPolicy(), path, 20)
    assert (second.finished, second.resumed) == (20, 20)
    assert path.read_bytes() == before


def test_more_tasks_later_are_added(tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    run(ExpertPolicy(), path, 5)
    assert run(ExpertPolicy(), path, 12).resumed == 5
    assert Counter(e.key for e in EpisodeReader(path)) == {(t.id, 0): 1 for t in tasks(12)}


def test_attempts_are_separate_episodes(tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    assert run(RandomPolicy(), path, 3, attempts=4).finished == 12
    episodes = list(EpisodeReader(path))
    assert {e.attempt for e in episodes} == {0, 1, 2, 3}
    assert len({e.seed for e in episodes}) == 12


def test_concurrency_changes_nothing_but_the_order(tmp_path: Path) -> None:
    run(RandomPolicy(), tmp_path / "one.jsonl", 12, concurrency=1)
    run(RandomPolicy(), tmp_path / "many.jsonl", 12, concurrency=12)
    one, many = (
        {e.task.id: [s.text for s in e.steps] for e in EpisodeReader(tmp_path / name)}
        for name in ("one.jsonl", "many.jsonl")
    )
    assert one == many


def test_infrastructure_failures_are_retried_and_counted_apart(tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    broken = run(ScriptedPolicy(lambda _: []), path, 4)
    assert (broken.finished, broken.infrastructure_failures) == (0, 4)
    mended = run(ExpertPolicy(), path, 4)
    assert (mended.finished, mended.resumed) == (4, 0)
    assert [e.is_graded for e in EpisodeReader(path).episodes()] == [True] * 4


@pytest.mark.parametrize("moment", [0.05, 0.3, 0.8])
def test_kill_9_and_resume_gives_every_episode_once(tmp_path: Path, moment: float) -> None:
    command = [
        *(sys.executable, "-m", "agentkd", "collect", "--run", str(tmp_path / "run")),
        *("--collect.episodes", "3000"),
    ]
    store = tmp_path / "run" / "trajectories.jsonl"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (store.exists() and store.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moment)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with store.open("ab") as torn:
        torn.write(b'{"id": "torn in mid-wri')
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3,000" in done.stdout
    reader = EpisodeReader(store)
    counts = Counter(episode.key for episode in reader)
    assert not reader.damaged
    assert len(counts) == 3000
    assert set(counts.values()) == {1}
