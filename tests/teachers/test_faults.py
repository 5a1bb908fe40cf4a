"""The fault table: whatever the endpoint does, the run ends with what a clean run gives."""

import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from fault_server import Body, Fault, Plan, Request
from lessons import BOOK, COUNT, clean_run, run, serve, teacher, trajectories

from agentkd.calls import Patience
from agentkd.errors import EndpointDownError, ProviderRefusedError
from agentkd.store import EpisodeReader


def first_visits(fault: Fault, every: int = 2) -> Plan:
    """The fault at every second request, unless it is asked again."""
    return lambda request: fault if request.visit == 1 and request.number % every == 0 else None


def no_choices(answer: Body) -> Body:
    return answer | {"choices": []}


def filtered(answer: Body) -> Body:
    message = {"role": "assistant", "content": ""}
    choices = [{"index": 0, "message": message, "finish_reason": "content_filter"}]
    return answer | {"choices": choices}


def in_disguise(answer: Body) -> Body:
    return {"error": {"message": "upstream is down", "code": 502}}


FILTER_ERROR = {"message": "The response was filtered", "code": "content_filter"}
FAULTS: dict[str, tuple[Fault, dict[str, Any]]] = {
    "429 without Retry-After": (Fault(429), {}),
    "429 with Retry-After": (Fault(429, {"Retry-After": "0.02"}), {}),
    "429 with a date": (Fault(429, {"Retry-After": formatdate(0, usegmt=True)}), {}),
    "429 with nonsense": (Fault(429, {"Retry-After": "soon"}), {}),
    "500": (Fault(500), {}),
    "502": (Fault(502), {}),
    "503": (Fault(503, {"Retry-After": "0.02"}), {}),
    "error under status 200": (Fault(change=in_disguise), {}),
    "reset in mid-body": (Fault(cut="reset"), {}),
    "truncated JSON": (Fault(cut="close"), {}),
    "stalled body": (Fault(cut="stall"), {"stall_s": 0.2}),
    "hang": (Fault(hang=True), {"timeout_s": 0.5}),
    "empty choices": (Fault(change=no_choices), {}),
    "content filter in the answer": (Fault(change=filtered), {}),
    "content filter as an error": (Fault(400, error=FILTER_ERROR), {}),
    "stream reset": (Fault(cut="reset"), {"stream": True}),
    "stream stalled": (Fault(cut="stall"), {"stream": True, "stall_s": 0.2}),
}


@pytest.mark.parametrize(("fault", "client"), FAULTS.values(), ids=FAULTS)
def test_the_same_trajectories_as_without_faults(
    tmp_path: Path, fault: Fault, client: dict[str, Any]
) -> None:
    clean = clean_run(tmp_path)
    path = tmp_path / "faulty.jsonl"
    with serve(first_visits(fault, every=9 if client else 2)) as server:
        tally = run(teacher(server.url, **client), path)
        assert len(server.requests) > BOOK.calls
    assert tally.infrastructure_failures == 0
    assert trajectories(path) == clean


def test_a_burst_of_429_narrows_the_limit_and_loses_nothing(tmp_path: Path) -> None:
    clean = clean_run(tmp_path)
    path = tmp_path / "faulty.jsonl"
    server = serve(delay_s=0.01)
    server.plan = lambda request: Fault(429) if server.in_flight > 2 else None
    with server:
        policy = teacher(server.url)
        run(policy, path)
        limiter = policy.caller.endpoints.best().limiter
    assert limiter.limit < limiter.most
    assert trajectories(path) == clean


def test_retry_after_holds_back_every_call(tmp_path: Path) -> None:
    told_at: list[float] = []
    seen_at: list[float] = []

    def plan(request: Request) -> Fault | None:
        now = time.monotonic()
        if request.number == 5:
            told_at.append(now)
            return Fault(429, {"Retry-After": "0.5"})
        if told_at:
            seen_at.append(now)
        return None

    with serve(plan) as server:
        run(teacher(server.url), tmp_path / "store.jsonl", concurrency=1)
    assert min(seen_at) >= told_at[0] + 0.5


def test_an_answer_that_was_cut_off_is_recorded_and_the_episode_goes_on(tmp_path: Path) -> None:
    def cut_off(answer: Body) -> Body:
        message = {"role": "assistant", "content": "Thought: the mug is surely on"}
        return answer | {"choices": [{"index": 0, "message": message, "finish_reason": "length"}]}

    plan = first_visits(Fault(change=cut_off), every=7)
    server = serve(plan)
    server.answer = lambda body: "Thought: x\nAction: look"
    path = tmp_path / "store.jsonl"
    with server:
        assert run(teacher(server.url), path).finished == COUNT
    steps = [step for episode in EpisodeReader(path) for step in episode.steps]
    cut = [step for step in steps if step.finish_reason == "length"]
    assert cut
    assert all(step.action is None and step.format_error == "truncated" for step in cut)


def test_what_stays_filtered_ends_its_episode_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    with serve(lambda request: Fault(change=filtered)) as server:
        tally = run(teacher(server.url), path, 2)
    assert (tally.finished, tally.successes) == (2, 0)
    assert {episode.outcome.ended_by for episode in EpisodeReader(path)} == {"content_filter"}


def test_a_conversation_that_does_not_fit_ends_its_episode(tmp_path: Path) -> None:
    error = {"message": "This model's maximum context length is 4096 tokens", "code": None}
    path = tmp_path / "store.jsonl"

    def plan(request: Request) -> Fault | None:
        return Fault(400, error=error) if len(request.body["messages"]) > 5 else None

    with serve(plan) as server:
        run(teacher(server.url), path, 2)
    ends = {(e.outcome.status, e.outcome.ended_by) for e in EpisodeReader(path)}
    assert ends == {("budget", "context")}


def stopping(run_it: Callable[[], object], kind: type[Exception]) -> str:
    with pytest.raises(BaseExceptionGroup) as caught:
        run_it()
    matching = caught.value.subgroup(kind)
    assert matching is not None
    error: BaseException = matching
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def test_a_wrong_model_name_stops_the_run(tmp_path: Path) -> None:
    with serve(model="other") as server:
        message = stopping(
            lambda: run(teacher(server.url), tmp_path / "store.jsonl"), ProviderRefusedError
        )
        assert len(server.requests) <= COUNT
    assert "there is no model 'stub'" in message


def test_a_key_that_expires_stops_the_run_at_once_and_a_new_one_goes_on(tmp_path: Path) -> None:
    clean = clean_run(tmp_path)
    path = tmp_path / "store.jsonl"
    expired = {"message": "Incorrect API key provided", "code": "invalid_api_key"}
    server = serve(lambda request: Fault(401, error=expired) if request.number > 40 else None)
    with server:
        message = stopping(
            lambda: run(teacher(server.url, key="k"), path, concurrency=2), ProviderRefusedError
        )
        assert "the key was refused" in message
        assert len(server.requests) <= 42
        kept = len(trajectories(path))
        assert 0 < kept < COUNT
        server.plan = lambda request: None
        assert run(teacher(server.url, key="new"), path).resumed == kept
    assert trajectories(path) == clean


def test_no_credit_is_not_mistaken_for_a_rate_limit(tmp_path: Path) -> None:
    error = {"message": "You exceeded your current quota", "code": "insufficient_quota"}
    with serve(lambda request: Fault(429, error=error)) as server:
        message = stopping(
            lambda: run(teacher(server.url), tmp_path / "store.jsonl"), ProviderRefusedError
        )
    assert "no credit" in message


def test_a_request_that_makes_no_sense_stops_a_run_that_never_worked(tmp_path: Path) -> None:
    error = {"message": "unknown parameter: temprature"}
    with serve(lambda request: Fault(400, error=error)) as server:
        message = stopping(
            lambda: run(teacher(server.url), tmp_path / "store.jsonl"), ProviderRefusedError
        )
    assert "temprature" in message


def test_one_poisoned_conversation_does_not_stop_the_others(tmp_path: Path) -> None:
    def plan(request: Request) -> Fault | None:
        task = request.body["messages"][0]["content"]
        is_poisoned = task == first and len(request.body["messages"]) > 3
        return Fault(500) if is_poisoned else None

    path = tmp_path / "store.jsonl"
    first = next(iter(clean_run(tmp_path).values()))[1][0]
    with serve(plan) as server:
        tally = run(teacher(server.url), path, concurrency=COUNT)
    assert (tally.finished, tally.infrastructure_failures) == (COUNT - 1, 1)


def test_an_outage_shorter_than_the_patience_is_waited_out(tmp_path: Path) -> None:
    clean = clean_run(tmp_path)
    path = tmp_path / "store.jsonl"
    with serve(lambda request: Fault(503) if 20 < request.number < 60 else None) as server:
        assert run(teacher(server.url), path).infrastructure_failures == 0
    assert trajectories(path) == clean


def test_an_endpoint_that_is_down_stops_the_run_with_nothing_graded(tmp_path: Path) -> None:
    path = tmp_path / "store.jsonl"
    with serve() as server:
        url = server.url
    policy = teacher(url, patience=Patience(tries=3, patience_s=0.1, backoff_s=0.02))
    message = stopping(lambda: run(policy, path), EndpointDownError)
    assert url in message
    assert trajectories(path) == {}


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = clean_run(tmp_path)
    jumps = iter(range(10**9))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + (-1) ** next(jumps) * 86_400 * 365)
    soon = Fault(429, {"Retry-After": formatdate(real() - 86_400 * 800, usegmt=True)})
    path = tmp_path / "faulty.jsonl"
    with serve(first_visits(soon)) as server:
        run(teacher(server.url), path)
    assert trajectories(path) == clean
    assert all(0 <= episode.wall_s < 600 for episode in EpisodeReader(path))
