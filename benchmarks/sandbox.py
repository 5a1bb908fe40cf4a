"""The sandbox's figures, beside what others do, in one run on one machine.

    python benchmarks/sandbox.py [--json] [--quick] [--soak] [--only NAME]

Every figure is the median of three runs (`--quick`: one). A peer that is not installed is
reported with its reason, and so is a backend. `--soak` adds 1,500 mixed sessions with hostile
ones among them on each backend, and counts what is left afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agentkd_sandbox import DockerBackend, Limits, ProcessBackend, SandboxPool
from agentkd_sandbox.errors import SandboxError

MUST = {
    "run p50 ms": {"process": 2, "docker": 3},
    "run p95 ms": {"process": 5, "docker": 8},
    "runs/s, 32 sessions": {"process": 1500, "docker": 700},
    "open + first result, pre-forked ms": {"process": 10, "docker": 10},
    "open + first result, cold ms": {"process": 40, "docker": 40},
    "open+run+close/s, bare": {"process": 100, "docker": 25},
    "open+run+close/s, numpy": {"process": 70, "docker": 25},
    "open+run+close/s, numpy+sympy": {"process": 50, "docker": 25},
    "memory per further session MB": {"process": 8, "docker": 8},
    "tool call p50 ms": {"process": 2, "docker": 2},
    "fork p50 ms": {"process": 10, "docker": 10},
    "hard kill after deadline s": {"process": 1.5, "docker": 1.5},
}
ROUNDS = 3
BACKENDS: dict[str, Callable[[], Any]] = {
    "process": lambda: ProcessBackend(tiers=("ns",)),
    "docker": DockerBackend,
}


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def latency(pool: SandboxPool) -> dict[str, float]:
    async with pool.session(tools={"ping": lambda: 1}) as session:
        for _ in range(30):
            await session.run("1 + 1")
        times, calls = [], []
        for _ in range(300):
            start = time.perf_counter()
            await session.run("1 + 1")
            times.append((time.perf_counter() - start) * 1e3)
        for _ in range(9):
            code = "import time\nt = time.perf_counter()\nfor _ in range(20): ping()\n"
            result = await session.run(code + "(time.perf_counter() - t) / 20 * 1e3")
            calls.append(float(result.value or "nan"))
    return {
        "run p50 ms": percentile(times, 0.5),
        "run p95 ms": percentile(times, 0.95),
        "tool call p50 ms": percentile(calls, 0.5),
    }


async def throughput(pool: SandboxPool) -> dict[str, float]:
    sessions = [await pool.open() for _ in range(32)]
    await asyncio.gather(*(session.run("1") for session in sessions))

    async def work(session: Any) -> None:
        for _ in range(60):
            await session.run("1 + 1")

    start = time.perf_counter()
    await asyncio.gather(*(work(session) for session in sessions))
    rate = 32 * 60 / (time.perf_counter() - start)
    for session in sessions:
        await session.close()
    return {"runs/s, 32 sessions": rate}


async def opening(pool: SandboxPool, name: str, pause_s: float) -> dict[str, float]:
    times = []
    for _ in range(25):
        await asyncio.sleep(pause_s)
        start = time.perf_counter()
        session = await pool.open()
        await session.run("1 + 1")
        times.append((time.perf_counter() - start) * 1e3)
        await session.close()
    return {name: percentile(times, 0.5)}


async def episodes(pool: SandboxPool, name: str) -> dict[str, float]:
    count = 120

    async def work(share: int) -> None:
        for _ in range(share):
            async with pool.session() as session:
                await session.run("1 + 1")

    start = time.perf_counter()
    await asyncio.gather(*(work(count // 4) for _ in range(4)))
    return {name: count / (time.perf_counter() - start)}


async def forks(pool: SandboxPool) -> dict[str, float]:
    times = []
    async with pool.session() as session:
        await session.run("x = list(range(1000)); f = open('log', 'w')")
        for _ in range(25):
            start = time.perf_counter()
            copies = await session.fork(1)
            times.append((time.perf_counter() - start) * 1e3)
            for copy in copies:
                await copy.close()
    return {"fork p50 ms": percentile(times, 0.5)}


async def hard_kill(pool: SandboxPool) -> dict[str, float]:
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    async with pool.session() as session:
        await session.run("1")
        start = time.perf_counter()
        await session.run(code, timeout_s=0.5)
        return {"hard kill after deadline s": time.perf_counter() - start - 0.5}


def guest_pss(pool_pid: int) -> int:
    """Proportional memory of this process's guests: children, or the container's processes."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
            if b"_main(" in command and int(path.name) != pool_pid:
                rollup = (path / "smaps_rollup").read_text()
                total += int(rollup.split("Pss:")[1].split()[0]) * 1024
        except (OSError, IndexError):
            continue
    return total


async def memory(pool: SandboxPool) -> dict[str, float]:
    first = await pool.open()
    await first.run("1")
    before = guest_pss(os.getpid())
    sessions = [await pool.open() for _ in range(31)]
    await asyncio.gather(*(session.run("1 + 1") for session in sessions))
    after = guest_pss(os.getpid())
    for session in [first, *sessions]:
        await session.close()
    return {"memory per further session MB": (after - before) / 31 / 1e6}


async def ours(backend: Callable[[], Any]) -> dict[str, float]:
    """All figures of one backend, one round."""
    figures: dict[str, float] = {}
    plan: list[tuple[str, int, list[Callable[[SandboxPool], Awaitable[dict[str, float]]]]]] = [
        ("plain", 0, [latency, throughput, lambda p: episodes(p, "open+run+close/s, bare")]),
        ("numpy", 0, [lambda p: episodes(p, "open+run+close/s, numpy")]),
        (
            "math",
            0,
            [
                memory,
                forks,
                hard_kill,
                lambda p: opening(p, "open + first result, cold ms", 0.01),
                lambda p: episodes(p, "open+run+close/s, numpy+sympy"),
            ],
        ),
        ("math", 2, [lambda p: opening(p, "open + first result, pre-forked ms", 0.1)]),
    ]
    for profile, prefork, parts in plan:
        async with SandboxPool(backend(), profile=profile, size=32, prefork=prefork) as pool:
            for part in parts:
                figures.update(await part(pool))
    return figures


async def soak(backend: Callable[[], Any], count: int = 1500) -> dict[str, float]:
    """Mixed sessions, hostile ones among them; what is left afterwards."""
    mixed = [
        "1 + 1", "x = list(range(10**5)); sum(x)", "open('f', 'wb').write(bytes(1 << 20))",
        "import os; os._exit(3)", "import os\nfor _ in range(20):\n  os.fork()",
        "while True: pass", "import os; os.closerange(0, 99)", "x = bytearray(1 << 34)",
        "import os; os.write(3, b'zzzzzzzzzzzz')", "print('x' * 10**6)",
    ]  # fmt: skip
    limits = Limits(grace_s=0.1)
    async with SandboxPool(backend(), limits=limits, size=16, prefork=0) as pool:

        async def one(number: int) -> None:
            async with pool.session() as session:
                await session.run(mixed[number % len(mixed)], timeout_s=0.2)

        async def many(first: int, last: int) -> None:
            numbers = iter(range(first, last))

            async def worker() -> None:
                for number in numbers:
                    await one(number)

            await asyncio.gather(*(worker() for _ in range(8)))

        await many(0, 100)
        before = await pool.guests[0].link.statistics()
        own = own_state()
        start = time.perf_counter()
        await many(100, count)
        seconds = time.perf_counter() - start
        after = await pool.guests[0].link.statistics()
        own_after = own_state()
    return {
        "sessions/s": (count - 100) / seconds,
        "processes left": after["processes"] - before["processes"],
        "guest descriptors left": after["files"] - before["files"],
        "guest memory growth %": 100 * (after["rss"] / before["rss"] - 1),
        "host descriptors left": own_after[0] - own[0],
        "host memory growth %": 100 * (own_after[1] / own[1] - 1),
    }


def own_state() -> tuple[int, int]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(list(Path("/proc/self/fd").iterdir())), pages * os.sysconf("SC_PAGE_SIZE")


# -- peers


def per_call(call: Callable[[], Any], count: int) -> dict[str, float]:
    call()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return {"run p50 ms": percentile(times, 0.5), "run p95 ms": percentile(times, 0.95)}


def gvisor() -> dict[str, float]:
    async def measure() -> dict[str, float]:
        async with SandboxPool(DockerBackend(runtime="runsc"), size=2, prefork=0) as pool:
            figures = await latency(pool)
            figures |= await hard_kill(pool)
            return figures | await opening(pool, "open + first result, cold ms", 0)

    return asyncio.run(measure())


def docker_exec() -> dict[str, float]:
    from agentkd_sandbox.image import build_image, image_name

    client = DockerBackend().connect()
    name = image_name(())
    if not client.images.list(name):
        build_image(client, (), from_host=True)
    command = ["python3", "-c", "import time; time.sleep(600)"]
    container = client.containers.run(name, command, detach=True, network_mode="none")
    try:
        code = ["python3", "-S", "-c", "print(1 + 1)"]
        figures = per_call(lambda: container.exec_run(code), 15)
    finally:
        container.remove(force=True)
        client.close()
    return figures


def ipykernel() -> dict[str, float]:
    from jupyter_client.manager import start_new_kernel

    start = time.perf_counter()
    manager, client = start_new_kernel(kernel_name="python3")
    opened = (time.perf_counter() - start) * 1e3
    try:
        figures = per_call(lambda: client.execute_interactive("1 + 1", output_hook=id), 100)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return {**figures, "open + first result, cold ms": opened}


def smolagents_local() -> dict[str, float]:
    from smolagents.local_python_executor import LocalPythonExecutor

    executor = LocalPythonExecutor(additional_authorized_imports=[])
    executor.send_tools({})
    return per_call(lambda: executor("1 + 1"), 200)


def llm_sandbox() -> dict[str, float]:
    from agentkd_sandbox.image import image_name
    from llm_sandbox import SandboxSession

    start = time.perf_counter()
    with SandboxSession(
        lang="python",
        image=image_name(()),
        keep_template=True,
        skip_environment_setup=True,
        workdir="/tmp",
    ) as session:
        opened = (time.perf_counter() - start) * 1e3
        answer = session.run("print(1 + 1)")
        figures = per_call(lambda: session.run("print(1 + 1)"), 8)
    if answer.exit_code:
        raise RuntimeError(f"its run() exits {answer.exit_code}: {answer.stderr[:100]}")
    return {**figures, "open + first result, cold ms": opened}


PEERS: dict[str, Callable[[], dict[str, float]]] = {
    "docker with gvisor": gvisor,
    "docker exec": docker_exec,
    "ipykernel": ipykernel,
    "smolagents local": smolagents_local,
    "llm-sandbox": llm_sandbox,
}


def median_of(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(x[key] for x in rounds), 3) for key in rounds[0] if rounds}


def machine() -> dict[str, Any]:
    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines()
         if x.startswith("model name")), platform.processor(),
    )  # fmt: skip
    return {
        "cpu": cpu, "cores": os.cpu_count(), "kernel": os.uname().release,
        "python": platform.python_version(), "load": os.getloadavg()[0],
        "uid": os.geteuid(), "nice": os.nice(0),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="one round instead of three")
    parser.add_argument("--soak", action="store_true", help="add 1,500 mixed sessions")
    parser.add_argument("--only", default="", help="a backend or peer whose name contains this")
    options = parser.parse_args()
    rounds = 1 if options.quick else ROUNDS
    report: dict[str, Any] = {"machine": machine(), "rounds": rounds, "figures": {}, "skipped": {}}
    for name, backend in BACKENDS.items():
        if options.only in name:
            try:
                measured = [asyncio.run(ours(backend)) for _ in range(rounds)]
                report["figures"][name] = median_of(measured)
                if options.soak:
                    report.setdefault("soak", {})[name] = asyncio.run(soak(backend))
            except SandboxError as error:
                report["skipped"][name] = str(error)
    for name, peer in PEERS.items():
        if options.only in name:
            try:
                report["figures"][name] = median_of([peer() for _ in range(rounds)])
            except ImportError as error:
                report["skipped"][name] = f"not installed ({error})"
            except Exception as error:
                report["skipped"][name] = f"{type(error).__name__}: {error}"
    missed = [
        f"{name}: {key} is {value}, must be {MUST[key][name]}"
        for name, figures in report["figures"].items()
        for key, value in figures.items()
        if name in MUST.get(key, {})
        and (value < MUST[key][name] if "/s" in key else value > MUST[key][name])
    ]
    report["missed"] = missed
    print(json.dumps(report, indent=2) if options.json else table(report))
    return 0


def table(report: dict[str, Any]) -> str:
    columns = list(report["figures"])
    keys = list(dict.fromkeys(key for figures in report["figures"].values() for key in figures))
    lines = [f"| figure | {' | '.join(columns)} | must |", "|---" * (len(columns) + 2) + "|"]
    for key in keys:
        cells = [f"{report['figures'][c].get(key, ''):.4g}" if key in report["figures"][c] else ""
                 for c in columns]  # fmt: skip
        must = " · ".join(str(x) for x in dict.fromkeys(MUST.get(key, {}).values()))
        lines.append(f"| {key} | {' | '.join(cells)} | {must} |")
    lines += [f"\nskipped {name}: {reason}" for name, reason in report["skipped"].items()]
    for name, left in report.get("soak", {}).items():
        lines.append(f"\nsoak {name}: " + ", ".join(f"{k} {v:.3g}" for k, v in left.items()))
    lines += [f"\nmissed {line}" for line in report["missed"]]
    lines.append(f"\n{json.dumps(report['machine'])}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
