"""Whatever happens to the host, nothing stays behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from agentkd_sandbox import PoolExhausted, ProcessBackend, SandboxLost, SandboxPool
from agentkd_sandbox.backends.docker import OWNER_LABEL, DockerBackend
from agentkd_sandbox.gc import collect_garbage

from .conftest import make_backend, require_docker

HOST = """
import asyncio, json, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from agentkd_sandbox import SandboxPool, ProcessBackend, DockerBackend, Limits
name = sys.argv[1]
backend = {"process": lambda: ProcessBackend(tiers=("ns",)), "docker": DockerBackend,
           "process-landlock": lambda: ProcessBackend(tiers=("landlock",), run_as=65534,
                                                      python="/usr/bin/python3")}[name]()
async def main():
    async with SandboxPool(backend) as pool:
        session = await pool.open()
        await session.run("import os; open('left', 'w').write('x')")
        if name != "process-landlock":
            await session.run("import os, time\\nif os.fork() == 0:\\n  os.setsid(); time.sleep(600)")
        print(json.dumps({"ready": pool.tier}), flush=True)
        if sys.argv[2] == "error":
            sys.stdin.readline()
            raise RuntimeError("host bug")
        await session.run("while True: pass", timeout_s=10)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    todo = [pid]
    while todo:
        parent = todo.pop()
        children = {child for child, its in parents.items() if its == parent}
        found |= children
        todo += children
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def left_behind(pid: int) -> list[str]:
    found = [str(path) for path in Path("/tmp").glob(f"agentkd-sandbox-{pid}-*")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/agentkd-{pid}-*")]
    return found


def containers_of(pid: int) -> list[str]:
    client = DockerBackend().connect()
    try:
        label = f"{OWNER_LABEL}"
        every = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
        return [c.short_id for c in every if f":{pid}:" in c.labels[OWNER_LABEL]]
    finally:
        client.close()


@pytest.mark.parametrize("how", ["kill", "interrupt", "terminate", "error"])
@pytest.mark.parametrize("name", ["process", "docker", "process-landlock"])
def test_host_ends(name: str, how: str) -> None:
    if name == "docker":
        require_docker()
    elif os.geteuid() != 0:
        pytest.skip("needs root to start a guest as another user")
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, name, how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert host.stdin is not None and host.stdout is not None
    with host.stdin, host.stdout:
        assert json.loads(host.stdout.readline())["ready"].startswith(name.split("-")[0])
        guests = descendants(host.pid)
        if name == "docker":
            assert containers_of(host.pid)
        else:
            assert len(guests) >= 3
        signals = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM}
        if how in signals:
            host.send_signal(signals[how])
        else:
            host.stdin.write("\n")
            host.stdin.flush()
        host.wait(10)
    deadline = time.monotonic() + 5
    while True:
        alive = [pid for pid in guests if is_running(pid)]
        left = left_behind(host.pid) + (containers_of(host.pid) if name == "docker" else [])
        if not alive and not left:
            break
        assert time.monotonic() < deadline, (alive, left)
        time.sleep(0.05)


async def test_guest_killed_under_a_session() -> None:
    async with SandboxPool(make_backend("process")) as pool, pool.session() as session:
        await session.run("import time")  # Its guest has begun.
        running = asyncio.ensure_future(session.run("time.sleep(60)"))
        await asyncio.sleep(0.3)
        for pid in descendants(os.getpid()):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(SandboxLost, match="guest ended"):
            await running
        async with pool.session() as fresh:  # the pool starts another guest
            assert (await fresh.run("1 + 1")).value == "2"


async def test_fork_server_killed_under_a_session() -> None:
    async with SandboxPool(make_backend("process"), prefork=0) as pool:
        async with pool.session() as session:
            await session.run("x = 1")
            parents = [p for p in descendants(os.getpid()) if "fork_server_main" in cmdline(p)]
            assert len(parents) >= 1
            for pid in parents:
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(SandboxLost):
                await session.run("x")
        async with pool.session() as fresh:
            assert (await fresh.run("1 + 1")).value == "2"


def cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


async def test_container_removed_under_a_session() -> None:
    require_docker()
    async with SandboxPool(DockerBackend()) as pool, pool.session() as session:
        running = asyncio.ensure_future(session.run("import time; time.sleep(60)"))
        await asyncio.sleep(0.3)
        client = DockerBackend().connect()
        for short_id in containers_of(os.getpid()):
            client.containers.get(short_id).remove(force=True)
        client.close()
        with pytest.raises(SandboxLost):
            await running
        async with pool.session() as fresh:
            assert (await fresh.run("1 + 1")).value == "2"


async def test_guests_that_no_longer_start_are_an_infrastructure_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = ProcessBackend(tiers=("ns",))
    async with SandboxPool(backend, prefork=0) as pool:
        async with pool.session() as session:
            assert (await session.run("1")).ok
        await pool.guests[0].close()
        monkeypatch.setattr(
            "agentkd_sandbox.guests.guest_source", lambda: b"raise SystemExit('broken')"
        )
        with pytest.raises(PoolExhausted, match=r"no sandbox guest starts.*broken"):
            await pool.open()


def test_threads_with_their_own_loops() -> None:
    values: list[str | None] = []

    async def work(number: int) -> None:
        async with (
            SandboxPool(make_backend("process"), prefork=0) as pool,
            pool.session() as session,
        ):
            await session.run(f"x = {number}")
            values.append((await session.run("x * 2")).value)

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(values, key=str) == ["0", "2", "4", "6"]


def test_a_forked_child_does_not_keep_guests_alive() -> None:
    code = """
import asyncio, os, sys, time
from agentkd_sandbox import SandboxPool, ProcessBackend
async def main():
    async with SandboxPool(ProcessBackend(tiers=("ns",))) as pool:
        async with pool.session() as session:
            await session.run("1")
            child = os.fork()
            if child == 0:
                os.close(1); time.sleep(8); os._exit(0)
            print(child, flush=True)
            await asyncio.sleep(60)
asyncio.run(main())
"""
    host = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True
    )
    assert host.stdout is not None
    with host.stdout:
        child = int(host.stdout.readline())
        guests = descendants(host.pid) - {child}
        host.kill()
        host.wait()
    deadline = time.monotonic() + 5
    while any(is_running(pid) for pid in guests):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert is_running(child)
    os.kill(child, signal.SIGKILL)


def test_gc_removes_what_a_dead_host_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = subprocess.Popen(["true"])
    dead.wait()
    folder = tmp_path / f"agentkd-sandbox-{dead.pid}-x"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep").chmod(0)
    ours = tmp_path / f"agentkd-sandbox-{os.getpid()}-x"
    ours.mkdir()
    assert f"folder {folder}" in list(collect_garbage())
    assert not folder.exists()
    assert ours.exists()


async def test_many_hostile_sessions_leave_nothing() -> None:
    """A short form of the 1,500-session soak in benchmarks/sandbox.py."""
    hostile = [
        "import os; os._exit(1)",
        "import os\nwhile True:\n  try: os.fork()\n  except OSError: break",
        "while True: pass",
        "import os; os.closerange(0, 99)",
        "open('f', 'wb').write(bytes(1 << 20))",
        "1 + 1",
    ]
    async with SandboxPool(make_backend("process"), size=8, prefork=0) as pool:

        async def one(number: int) -> None:
            async with pool.session() as session:
                await session.run(hostile[number % len(hostile)], timeout_s=0.1)

        await asyncio.gather(*(one(n) for n in range(12)))
        before = await pool.guests[0].link.statistics()
        files = len(list(Path("/proc/self/fd").iterdir()))
        await asyncio.gather(*(one(n) for n in range(120)))
        after = await pool.guests[0].link.statistics()
    assert after["processes"] == before["processes"]
    assert after["episodes"] == 0
    assert after["files"] <= before["files"]
    assert after["rss"] < 1.1 * before["rss"]
    assert len(list(Path("/proc/self/fd").iterdir())) <= files
