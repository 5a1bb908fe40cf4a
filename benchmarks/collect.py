"""Collection beside smolagents' `CodeAgent` in a thread pool, against the same stub server.

    python benchmarks/collect.py
    python benchmarks/collect.py --json --in-flight 64 256 --steps 1000000

The stub speaks the OpenAI API, takes one second for a call, and runs in a process of its own. An
episode is five calls. Each figure is measured in a fresh process:

- efficiency: ideal time / wall time, where the ideal is rounds x calls x delay;
- CPU per step, and the part of it that the HTTP client alone needs for the same requests;
- memory: the largest resident size of the process;
- store: appending a million steps, then opening the store and finding out what is missing.

smolagents runs as many agents as episodes are in flight, one thread each, with its own OpenAI
client and its local Python executor; it is left out where it is not installed
(`pip install smolagents openai`).
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
from measuring import hardware

CALLS = 5
ROUNDS = 4
STUB = Path(__file__).parents[1] / "tests" / "teachers" / "fault_server.py"
REACT = "Thought: look around once more\nAction: look"
CODE = "Thought: I compute.\n<code>\nx = 1 + 1\nprint(x)\n</code>"
LAST_CODE = "Thought: I know.\n<code>\nfinal_answer(2)\n</code>"
STEPS_PER_EPISODE = 20


class Stub:
    """The server, as a child process."""

    def __init__(self, delay_s: float, replies: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, STUB, "--delay", str(delay_s), "--replies", json.dumps(replies)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def __enter__(self) -> "Stub":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def collect_with_agentkd(url: str, episodes: int, in_flight: int) -> int:
    from agentkd_envs import make_env

    from agentkd.calls import Caller
    from agentkd.calls.openai_client import OpenAIClient
    from agentkd.collect import Setting, collect
    from agentkd.policies.chat import ChatPolicy
    from agentkd.prompts import action_format

    setting = Setting(lambda: make_env("household", preset="small"), action_format("react"), CALLS)
    tasks = setting.make_env().tasks("train", episodes)
    client = OpenAIClient("stub", connections=in_flight)
    policy = ChatPolicy(Caller(client, [url], concurrency=in_flight), max_tokens=64)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.jsonl"
        run = partial(collect, policy, tasks, store, setting, concurrency=in_flight)
        return anyio.run(run).steps


def post_with_the_client_alone(url: str, episodes: int, in_flight: int) -> int:
    """The same number of requests of the same size, without an agent."""
    from agentkd.calls.http_client import HttpClient

    turns = [{"role": "user", "content": "x" * 250}, {"role": "assistant", "content": REACT}]
    bodies = [
        json.dumps({"model": "stub", "messages": (turns * CALLS)[: 2 * turn + 1]}).encode()
        for turn in range(CALLS)
    ]

    async def episode(client: HttpClient) -> None:
        for _ in range(episodes // in_flight):
            for body in bodies:
                with client.borrow() as one:
                    answer = await one.post(f"{url}/chat/completions", content=body)
                answer.json()

    async def work() -> None:
        async with HttpClient(in_flight) as client, anyio.create_task_group() as group:
            for _ in range(in_flight):
                group.start_soon(episode, client)

    anyio.run(work)
    return episodes * CALLS


def run_smolagents(url: str, episodes: int, in_flight: int) -> int:
    from smolagents import CodeAgent, LogLevel, OpenAIServerModel

    def episode(number: int) -> int:
        model = OpenAIServerModel("stub", api_base=url, api_key="none")
        agent = CodeAgent([], model, max_steps=CALLS + 1, verbosity_level=LogLevel.OFF)
        agent.run(f"What is 1 + 1? ({number})")
        return len([step for step in agent.memory.steps if hasattr(step, "code_action")])

    with ThreadPoolExecutor(in_flight) as pool:
        return sum(pool.map(episode, range(episodes)))


RUNNERS = {
    "agentkd": (collect_with_agentkd, [REACT]),
    "HTTP client alone": (post_with_the_client_alone, [REACT]),
    "smolagents": (run_smolagents, [CODE] * (CALLS - 1) + [LAST_CODE]),
}


def measure(name: str, url: str, episodes: int, in_flight: int) -> dict[str, float]:
    """Run in this process, after a warm-up that imports and connects."""
    run, _ = RUNNERS[name]
    run(url, 1, 1)
    began, cpu_began = time.perf_counter(), time.process_time()
    steps = run(url, episodes, in_flight)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "steps": steps,
        "wall_s": wall_s,
        "cpu_ms_per_step": 1000 * cpu_s / steps,
        "memory_mb": peak / 1024 if sys.platform != "darwin" else peak / 2**20,
    }


def measure_elsewhere(name: str, delay_s: float, in_flight: int) -> dict[str, float]:
    _, replies = RUNNERS[name]
    with Stub(delay_s, replies) as stub:
        line = [sys.executable, __file__, "--worker", name, "--url", stub.url]
        numbers = ["--episodes", str(ROUNDS * in_flight), "--in-flight", str(in_flight)]
        done = subprocess.run([*line, *numbers], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    found["efficiency"] = ROUNDS * CALLS * delay_s / found["wall_s"]
    return found


def measure_store(steps: int) -> dict[str, float]:
    from agentkd_envs import Task

    from agentkd.store import EpisodeReader, EpisodeStore
    from agentkd.trajectory import Message, Outcome, PolicyInfo, Step, Trajectory, Usage

    seen = "You arrive at drawer 1. The drawer 1 is open. In it, you see a soapbar 1 and a pen 1."
    step = Step(REACT, seen, "look", "look around", usage=Usage(700, 20, 650), latency_s=1.2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.jsonl"
        began = time.perf_counter()
        with EpisodeStore(path) as store:
            for number in range(steps // STEPS_PER_EPISODE):
                store.append(
                    Trajectory(
                        id=f"{number:032x}",
                        task=Task("household", "train", number, "pick", {"room": number}),
                        policy=PolicyInfo("teacher", "stub"),
                        prompt=(Message("user", seen),),
                        steps=(step,) * STEPS_PER_EPISODE,
                        outcome=Outcome(1.0, True, "ok", "success"),
                    )
                )
        append_s = time.perf_counter() - began
        began = time.perf_counter()
        with EpisodeStore(path):
            known = {s.key for s in EpisodeReader(path).summaries() if s.is_graded}
        resume_s = time.perf_counter() - began
        assert len(known) == steps // STEPS_PER_EPISODE
        size = path.stat().st_size
    return {
        "steps": steps,
        "append_steps_per_s": steps / append_s,
        "open_and_resume_s": resume_s,
        "file_mb": size / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--delay", type=float, default=1.0)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--steps", type=int, default=1_000_000, help="stored steps")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--episodes", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        found = measure(given.worker, given.url, given.episodes, given.in_flight[0])
        print(json.dumps(found))
        return
    names = [name for name in RUNNERS if name != "smolagents" or find_spec("smolagents")]
    runs = [
        {"runner": name, "in_flight": in_flight, **measure_elsewhere(name, given.delay, in_flight)}
        for in_flight in given.in_flight
        for name in names
    ]
    result: dict[str, Any] = {
        "hardware": hardware(),
        "delay_s": given.delay,
        "calls_per_episode": CALLS,
        "runs": runs,
        "framework_cpu_ms_per_step": {
            str(in_flight): by_name["agentkd"] - by_name["HTTP client alone"]
            for in_flight in given.in_flight
            for by_name in [
                {r["runner"]: r["cpu_ms_per_step"] for r in runs if r["in_flight"] == in_flight}
            ]
        },
        "store": measure_store(given.steps),
    }
    if given.json:
        print(json.dumps(result, indent=2))
        return
    print(result["hardware"])
    for run in runs:
        print(
            f"{run['runner']:<18} {run['in_flight']:>4} in flight  efficiency "
            f"{run['efficiency']:6.1%}  CPU {run['cpu_ms_per_step']:6.2f} ms/step  "
            f"{run['memory_mb']:6.0f} MB"
        )
    for in_flight, cost in result["framework_cpu_ms_per_step"].items():
        print(f"CPU of agentkd beyond the HTTP client, {in_flight} in flight: {cost:.2f} ms/step")
    store = result["store"]
    print(
        f"store of {store['steps']:,} steps ({store['file_mb']:,.0f} MB): append "
        f"{store['append_steps_per_s']:,.0f} steps/s, open and resume "
        f"{store['open_and_resume_s']:.2f} s"
    )


if __name__ == "__main__":
    main()
