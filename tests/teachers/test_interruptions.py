"""Runs that are cut off from outside: killed, interrupted, out of disk, endpoint gone."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from fault_server import FaultServer
from lessons import COUNT, clean_run, command, serve, trajectories

from agentkd.store import EpisodeReader

PROCESSES = multiprocessing.get_context("forkserver")
KILLS = 20


@pytest.fixture(scope="module", autouse=True)
def warm_server_of_forks() -> None:
    """Children start in milliseconds, with everything imported."""
    PROCESSES.set_forkserver_preload(
        ["agentkd.cli.display", "agentkd.cli.interrupt", "agentkd.calls.openai_client", "lessons"]
    )


def collect_in_child(arguments: list[str], cache: str) -> None:
    from agentkd.cli import main

    os.environ["XDG_CACHE_HOME"] = cache
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    main(arguments)


def begin(*arguments: str) -> "subprocess.Popen[str]":
    line = [sys.executable, "-m", "agentkd", *arguments]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def agentkd(*arguments: str, file_size: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Run to the end; a file that grows beyond `file_size` meets the error of a full disk."""
    line = [sys.executable, "-m", "agentkd", *arguments]
    if file_size is not None:
        line = ["sh", "-c", f'ulimit -f {file_size // 512}; exec "$@"', "sh", *line]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)


def wait_for_requests(server: FaultServer, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(server.requests) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(server.requests) >= count


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    clean = clean_run(tmp_path)
    store = tmp_path / "run" / "trajectories.jsonl"
    dice = random.Random(5)
    killed = 0
    with serve(delay_s=0.01) as server:
        arguments = command(tmp_path / "run", server.url, COUNT, "--collect.concurrency=3")
        for _ in range(KILLS):
            given = (arguments, str(tmp_path / "cache"))
            child = PROCESSES.Process(target=collect_in_child, args=given)
            before = len(server.requests)
            child.start()
            while child.is_alive() and len(server.requests) == before:
                time.sleep(0.002)
            child.join(dice.random() * 0.08)
            killed += child.is_alive()
            child.kill()
            child.join()
        last = agentkd(*arguments)
        assert last.returncode == 0, last.stderr
    assert killed > KILLS // 4
    reader = EpisodeReader(store)
    assert set(Counter(episode.key for episode in reader if episode.is_graded).values()) == {1}
    assert not reader.damaged
    assert trajectories(store) == clean


def test_ctrl_c_lets_what_is_under_way_finish(tmp_path: Path) -> None:
    clean = clean_run(tmp_path)
    store = tmp_path / "run" / "trajectories.jsonl"
    with serve(delay_s=0.02) as server:
        arguments = command(tmp_path / "run", server.url, COUNT, "--collect.concurrency=3")
        process = begin(*arguments)
        wait_for_requests(server, 6)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 130, errors
        assert "Ctrl-C again stops now" in out
        assert f"3 of {COUNT} episodes are kept" in out
        begun = {request.body["messages"][0]["content"] for request in server.requests}
        kept = trajectories(store)
        assert {said[0] for _, said in kept.values()} == begun
        again = agentkd(*arguments)
        assert again.returncode == 0, again.stderr
    assert trajectories(store) == clean


def test_ctrl_c_twice_stops_now(tmp_path: Path) -> None:
    with serve(delay_s=30) as server:
        process = begin(*command(tmp_path / "run", server.url))
        wait_for_requests(server, COUNT)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        while "Ctrl-C again" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=25)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        assert server.answered == 0
    assert trajectories(tmp_path / "run" / "trajectories.jsonl") == {}


@pytest.mark.parametrize("size", [8_192, 16_384])
def test_a_full_disk_stops_with_a_message_and_room_lets_it_go_on(tmp_path: Path, size: int) -> None:
    clean = clean_run(tmp_path)
    with serve() as server:
        arguments = command(tmp_path / "run", server.url, COUNT, "--no-cache")
        full = agentkd(*arguments, file_size=size)
        assert full.returncode == 2
        assert "cannot write to" in full.stderr
        assert "Traceback" not in full.stderr
        roomy = agentkd(*arguments)
        assert roomy.returncode == 0, roomy.stderr
    assert trajectories(tmp_path / "run" / "trajectories.jsonl") == clean


def test_a_cache_on_a_full_disk_says_how_to_go_on(tmp_path: Path) -> None:
    with serve() as server:
        full = agentkd(*command(tmp_path / "run", server.url), file_size=30_000)
    assert full.returncode == 2
    assert "--no-cache" in full.stderr
    assert "Traceback" not in full.stderr


def test_an_endpoint_that_is_down_for_the_whole_run(tmp_path: Path) -> None:
    with serve() as server:
        url = server.url
    more = "--teacher.limits.patience_s=0.2"
    done = agentkd(*command(tmp_path / "run", url, COUNT, more))
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert f"no answer from {url}" in done.stderr
    assert "100" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_server_that_dies_and_comes_back(tmp_path: Path) -> None:
    clean = clean_run(tmp_path)
    with serve(delay_s=0.02) as server:
        arguments = command(tmp_path / "run", server.url)
        process = begin(*arguments)
        wait_for_requests(server, 20)
        port = server.port
    with serve(port=port):
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert trajectories(tmp_path / "run" / "trajectories.jsonl") == clean


def test_a_changed_teacher_is_refused_and_a_moved_one_is_not(tmp_path: Path) -> None:
    with serve() as server:
        arguments = command(tmp_path / "run", server.url, 2)
        assert agentkd(*arguments).returncode == 0
        hotter = agentkd(*arguments, "--teacher.sampling.temperature=0.9")
        assert hotter.returncode == 2
        assert "teacher.sampling.temperature: was None, is now 0.9" in hotter.stderr
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["recipe"]["teacher"]["model"] == "stub"
    with serve() as moved:
        more = ["--teacher.limits.tries=3", "--teacher.budget.tokens=1000000"]
        done = agentkd(*command(tmp_path / "run", moved.url, 2), *more)
        assert done.returncode == 0, done.stderr
        assert moved.requests == []
