"""What the tests of teachers share: a teacher whose every answer is known, and runs with it."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from agentkd_envs import Task, make_env
from fault_server import Body, FaultServer, Plan

from agentkd.calls import Caller, Ledger, Patience
from agentkd.calls.openai_client import OpenAIClient
from agentkd.collect import Setting, Tally, collect
from agentkd.episode import run_episode
from agentkd.policies import ExpertPolicy
from agentkd.policies.chat import ChatPolicy
from agentkd.prompts import action_format
from agentkd.store import EpisodeReader

COUNT = 8
SETTING = Setting(lambda: make_env("household", preset="small"), action_format("react"), 50)


def tasks(count: int = COUNT) -> Sequence[Task]:
    return SETTING.make_env().tasks("train", count)


class Book:
    """The expert's episodes as answers to conversations: a function of what was said so far."""

    def __init__(self, count: int = COUNT) -> None:
        self.answers: dict[str, str] = {}
        self.calls = 0
        for task in tasks(count):
            played = partial(
                run_episode, ExpertPolicy(), SETTING.make_env(), task, SETTING.format, max_steps=50
            )
            said = [message.content for message in anyio.run(played).messages()]
            for place in range(1, len(said), 2):
                self.answers[json.dumps(said[:place])] = said[place]
                self.calls += 1

    def __call__(self, body: Body) -> str:
        return self.answers[json.dumps([message["content"] for message in body["messages"]])]


BOOK = Book()


def serve(plan: Plan = lambda request: None, **options: Any) -> FaultServer:
    return FaultServer(BOOK, plan, **options)


QUICK = Patience(tries=6, patience_s=20.0, backoff_s=0.01)


def teacher(
    *urls: str,
    ledger: Ledger | None = None,
    patience: Patience = QUICK,
    caller: dict[str, Any] | None = None,
    **client: Any,
) -> ChatPolicy:
    chat = OpenAIClient("stub", **{"timeout_s": 20.0, "stall_s": 20.0} | client)
    return ChatPolicy(Caller(chat, urls, ledger=ledger, patience=patience, **(caller or {})))


def run(policy: ChatPolicy, path: Path, count: int = COUNT, **options: Any) -> Tally:
    return anyio.run(partial(collect, policy, tasks(count), path, SETTING, **options))


def trajectories(path: Path) -> dict[tuple[str, int], tuple[bool, list[str]]]:
    """Graded episodes by key: whether they succeeded, and all that was said in them."""
    return {
        episode.key: (episode.outcome.success, [message.content for message in episode.messages()])
        for episode in EpisodeReader(path).episodes()
        if episode.is_graded
    }


def clean_run(folder: Path, count: int = COUNT) -> dict[tuple[str, int], tuple[bool, list[str]]]:
    """What a run without faults gives."""
    path = folder / "clean.jsonl"
    with serve() as server:
        assert run(teacher(server.url), path, count).successes == count
    return trajectories(path)


def command(run_folder: Path, url: str, count: int = COUNT, *more: str) -> list[str]:
    """Arguments of `agentkd collect` for the same run."""
    settings = {
        "collect.policy": "teacher",
        "collect.mistakes": "0",
        "collect.episodes": str(count),
        "teacher.model": "stub",
        "teacher.base_urls": f"[{url}]",
        "teacher.limits.backoff_s": "0.01",
    }
    given = [f"--{name}={value}" for name, value in settings.items()]
    return ["collect", "--run", str(run_folder), "--recipe", "household_small", *given, *more]
