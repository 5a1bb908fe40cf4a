"""Money: the ledger is the servers' own count, the budget stops calls, nothing is paid twice."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from fault_server import Body, Fault, FaultServer
from hypothesis import given
from hypothesis import strategies as st
from lessons import (
    BOOK,
    COUNT,
    SETTING,
    clean_run,
    command,
    run,
    serve,
    tasks,
    teacher,
    trajectories,
)

from agentkd.calls import Budget, CallCache, Ledger, Price, Prices
from agentkd.episode import run_episode
from agentkd.errors import ConfigError
from agentkd.store import EpisodeReader
from agentkd.trajectory import Usage


def test_the_ledger_is_the_sum_of_the_servers_usage(tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    with serve(lambda request: Fault(503) if request.number % 5 == 0 else None) as server:
        policy = teacher(server.url, ledger=Ledger(tmp_path / "ledger.jsonl"))
        run(policy, path)
    spent = policy.caller.ledger.roles["teacher"]
    assert spent.calls == server.answered
    assert spent.prompt_tokens == server.usage["prompt_tokens"]
    assert spent.completion_tokens == server.usage["completion_tokens"]
    assert spent.cached_tokens == server.usage["cached"]
    assert spent.prefix_cache_hit_rate == server.usage["cached"] / server.usage["prompt_tokens"]
    recorded = sum((episode.usage for episode in EpisodeReader(path)), Usage())
    assert recorded.prompt_tokens == spent.prompt_tokens
    assert recorded.completion_tokens == spent.completion_tokens


def test_the_ledger_survives_the_process_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with serve() as server:
        run(teacher(server.url, ledger=Ledger(path)), tmp_path / "store.jsonl", 2)
        with path.open("ab") as torn:
            torn.write(b'{"role": "teacher", "mod')
        run(teacher(server.url, ledger=Ledger(path)), tmp_path / "store.jsonl", 4)
    with Ledger(path) as ledger:
        assert ledger.roles["teacher"].calls == server.answered
        assert ledger.roles["teacher"].prompt_tokens == server.usage["prompt_tokens"]


def test_a_spent_budget_stops_new_calls_and_keeps_what_is_finished(tmp_path: Path) -> None:
    clean = clean_run(tmp_path)
    path, book = tmp_path / "store.jsonl", tmp_path / "ledger.jsonl"
    with serve(delay_s=0.005) as server:

        def collect_with(tokens: int | None):
            cache = CallCache(tmp_path / "calls.sqlite")
            return run(
                teacher(
                    server.url,
                    ledger=Ledger(book, Budget(tokens=tokens)),
                    caller={"cache": cache},
                ),
                path,
                concurrency=3,
            )

        half = sum(len(" ".join(said)) for _, said in clean.values())
        tally = collect_with(half)
        assert tally.stopped == f"the budget of {half:,} tokens is spent"
        assert tally.infrastructure_failures == 0
        used = server.usage["prompt_tokens"] + server.usage["completion_tokens"]
        one_call = max(r.number for r in server.requests) and used / server.answered
        assert half <= used <= half + 4 * 3 * one_call
        kept = trajectories(path)
        assert 0 < len(kept) < COUNT
        assert kept.items() <= clean.items()
        calls_before = server.answered
        assert collect_with(half).stopped is not None
        assert server.answered == calls_before
        assert collect_with(None).stopped is None
    assert trajectories(path) == clean
    assert server.answered == BOOK.calls


def test_a_budget_of_dollars_and_one_of_seconds(tmp_path: Path) -> None:
    prices = Prices("stub", None, Price(prompt=10.0, completion=30.0))
    with serve() as server:
        policy = teacher(
            server.url, ledger=Ledger(None, Budget(usd=0.05)), caller={"prices": prices}
        )
        tally = run(policy, tmp_path / "dollars.jsonl", concurrency=1)
        assert tally.stopped == "the budget of $0.05 is spent"
        usage = server.usage
        expected = (usage["prompt_tokens"] * 10 + usage["completion_tokens"] * 30) / 1e6
        assert policy.caller.ledger.total.cost_usd == pytest.approx(expected)
        assert 0.05 <= expected < 0.1
        hurried = teacher(server.url, ledger=Ledger(None, Budget(seconds=0.0)))
        before = len(server.requests)
        assert run(hurried, tmp_path / "seconds.jsonl").stopped is not None
        assert len(server.requests) == before


def test_limits_of_an_episode(tmp_path: Path) -> None:
    def play(**limits: float):
        with serve() as server:
            policy = teacher(server.url)

            async def once():
                async with policy:
                    return await run_episode(
                        policy, SETTING.make_env(), tasks(1)[0], SETTING.format, **limits
                    )

            return anyio.run(once)

    by_tokens = play(max_steps=50, max_tokens=300)
    assert (by_tokens.outcome.status, by_tokens.outcome.ended_by) == ("budget", "max_tokens")
    counts = [step.usage.prompt_tokens + step.usage.completion_tokens for step in by_tokens.steps]
    assert sum(counts) >= 300 > sum(counts[:-1])
    by_seconds = play(max_steps=50, max_seconds=1e-9)
    assert (by_seconds.outcome.ended_by, len(by_seconds.steps)) == ("max_seconds", 1)
    assert by_seconds.is_graded


def test_a_run_done_again_costs_nothing_and_says_so(tmp_path: Path) -> None:
    def collect_into(name: str):
        return run(
            teacher(server.url, caller={"cache": CallCache(tmp_path / "calls.sqlite")}),
            tmp_path / name,
        )

    with serve() as server:
        collect_into("first.jsonl")
        asked = len(server.requests)
        again = collect_into("again.jsonl")
        assert len(server.requests) == asked
        uncached = run(teacher(server.url), tmp_path / "uncached.jsonl")
        assert len(server.requests) == 2 * asked
    assert again.steps_from_cache == again.steps > 0
    assert uncached.steps_from_cache == 0
    first, second = (trajectories(tmp_path / name) for name in ("first.jsonl", "again.jsonl"))
    assert first == second
    steps = [step for episode in EpisodeReader(tmp_path / "again.jsonl") for step in episode.steps]
    assert all(step.from_cache for step in steps)
    assert b"from_cache" not in (tmp_path / "first.jsonl").read_bytes()


def test_attempts_are_never_served_one_anothers_answers(tmp_path: Path) -> None:
    cache = {"cache": CallCache(tmp_path / "calls.sqlite")}
    with serve() as server:
        run(teacher(server.url, caller=cache), tmp_path / "a.jsonl", 2, attempts=3)
        seeds = [request.body["seed"] for request in server.requests]
        assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    "change",
    [
        lambda policy: policy.sampling.update(temperature=0.5),
        lambda policy: setattr(policy, "max_tokens", 7),
        lambda policy: setattr(policy.caller.client, "model", "stub "),
        lambda policy: setattr(policy, "n", 2),
    ],
    ids=["sampling", "max_tokens", "model", "n"],
)
def test_another_question_is_another_call(
    tmp_path: Path, change: Callable[[object], object]
) -> None:
    def first_answer(changed: bool) -> int:
        policy = teacher(server.url, caller={"cache": CallCache(tmp_path / "calls.sqlite")})
        if changed:
            change(policy)
        before = len(server.requests)

        async def once() -> None:
            async with policy:
                env = SETTING.make_env()
                await run_episode(policy, env, tasks(1)[0], SETTING.format, max_steps=1)

        anyio.run(once)
        return len(server.requests) - before

    with serve(model=None) as server:
        assert first_answer(False) == 1
        assert first_answer(False) == 0
        assert first_answer(True) == 1


@pytest.mark.parametrize(
    ("model", "url", "is_known"),
    [
        ("gpt-4o-mini", "https://api.openai.com/v1", True),
        ("deepseek-chat", "https://api.deepseek.com/v1", True),
        ("gpt-4o-mini", "http://localhost:8000/v1", False),
        ("no-such-model", "https://api.openai.com/v1", False),
        ("gpt-4o-mini", None, False),
    ],
)
def test_a_price_is_listed_or_unknown(model: str, url: str | None, is_known: bool) -> None:
    prices = Prices(model, url)
    cost = prices.cost_usd(Usage(1_000_000, 1_000_000))
    assert prices.is_known == is_known
    assert (cost is not None and cost > 0) == is_known


usages = st.builds(
    Usage,
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    cost_usd=st.none() | st.floats(0, 100),
)


@given(st.lists(usages))
def test_a_sum_with_an_unknown_part_is_unknown(parts: list[Usage]) -> None:
    total = Usage.total(parts)
    together = sum(parts, Usage())
    assert replace(total, cost_usd=None) == replace(together, cost_usd=None)
    assert total.cost_usd == pytest.approx(together.cost_usd)
    paid = [part for part in parts if part != Usage()]
    if any(part.cost_usd is None for part in paid) or not paid:
        assert total.cost_usd is None
    else:
        assert total.cost_usd == pytest.approx(sum(part.cost_usd or 0 for part in paid))


def test_a_ledger_that_is_opened_again_counts_nothing_twice(tmp_path: Path) -> None:
    book = Ledger(tmp_path / "ledger.jsonl")
    with serve() as server:
        policy = teacher(server.url, ledger=book)
        run(policy, tmp_path / "one.jsonl", 1)
        run(policy, tmp_path / "two.jsonl", 2)
    assert book.roles["teacher"].calls == server.answered
    assert book.roles["teacher"].prompt_tokens == server.usage["prompt_tokens"]


def test_a_ledger_line_is_json_with_the_counts_of_one_call(tmp_path: Path) -> None:
    with serve() as server:
        run(teacher(server.url, ledger=Ledger(tmp_path / "l.jsonl")), tmp_path / "s.jsonl", 1)
    rows = [json.loads(line) for line in (tmp_path / "l.jsonl").read_text().splitlines()]
    assert {row["role"] for row in rows} == {"teacher"}
    assert sum(row["prompt_tokens"] for row in rows) == server.usage["prompt_tokens"]
    assert {row["cost_usd"] for row in rows} == {None}


def test_a_server_that_counts_nothing_is_not_taken_to_be_free(tmp_path: Path) -> None:
    def uncounted(answer: Body) -> Body:
        return {name: value for name, value in answer.items() if name != "usage"}

    with serve(lambda request: Fault(change=uncounted)) as server:
        prices = Prices("stub", None, Price(prompt=10.0, completion=30.0))
        policy = teacher(server.url, caller={"prices": prices})
        assert run(policy, tmp_path / "store.jsonl", 1).finished == 1
        spent = policy.caller.ledger.roles["teacher"]
        assert spent.uncounted_calls == spent.unpriced_calls == spent.calls > 0
        limited = teacher(server.url, ledger=Ledger(None, Budget(tokens=10**9)))
        with pytest.raises(BaseExceptionGroup) as caught:
            run(limited, tmp_path / "limited.jsonl", 1)
        assert caught.group_contains(ConfigError, match="does not say how many tokens")


def test_a_spent_budget_on_the_command_line(tmp_path: Path) -> None:
    def agentkd(*more: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "agentkd", *command(tmp_path / "run", server.url), *more]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)

    with serve() as server:
        price = ["--teacher.price.prompt=1", "--teacher.price.completion=2"]
        poor = agentkd(*price, "--teacher.budget.tokens=4000")
        assert poor.returncode == 3, poor.stderr
        assert "stopped: the budget of 4,000 tokens is spent" in poor.stdout
        assert "agentkd curate" not in poor.stdout
        rich = agentkd(*price)
    assert rich.returncode == 0, rich.stderr
    usage = server.usage
    cost = (usage["prompt_tokens"] + 2 * usage["completion_tokens"]) / 1e6
    assert f"{BOOK.calls:,} calls, {usage['prompt_tokens']:,} prompt tokens" in rich.stdout
    assert f"${cost:.4f}" in rich.stdout


def test_a_teacher_is_measured_on_held_out_tasks(tmp_path: Path) -> None:
    settings = ["--eval.policies=[random, teacher]", "--eval.episodes=2", "--agent.max_steps=2"]
    with FaultServer(lambda body: "Thought: x\nAction: look") as server:
        _, *line = command(tmp_path / "run", server.url)
        done = subprocess.run(
            [sys.executable, "-m", "agentkd", "eval", *line, *settings],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(server.requests) == 2 * 2 * 2
    with Ledger(tmp_path / "run" / "ledger.jsonl") as ledger:
        assert ledger.roles["teacher"].calls == 8
    rows = json.loads((tmp_path / "run" / "eval" / "summary.json").read_text())["results"]
    assert {(row["policy"], row["episodes"]) for row in rows} == {("random", 2), ("teacher", 2)}
