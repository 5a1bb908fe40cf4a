"""Evaluates policies on held-out tasks: every policy on the same tasks, every episode recorded."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from agentkd_envs import Task

from agentkd.collect import Setting, Tally, collect
from agentkd.errors import RunStopped
from agentkd.evaluate.summary import Result, summarise, write_summary
from agentkd.policies import Policy
from agentkd.store import EpisodeReader
from agentkd.trajectory import Trajectory

PolicyFactory = Callable[[], Policy]


def evaluate(
    policies: dict[str, PolicyFactory],
    tasks: dict[str, Sequence[Task]],
    setting: Setting,
    store: Callable[[str, str], Path],
    summary: Path,
    about: dict[str, Any],
    *,
    concurrency: int,
    on_episode: Callable[[str, str, Tally, Trajectory | None], None],
) -> list[Result]:
    """Let every policy play the tasks of every split; write and return the summary.

    `store(policy, split)` says where episodes go; those that are there already are not played
    again. The summary is written anew after each policy and split. Raises `RunStopped` if the
    teacher's budget is spent.
    """
    results: list[Result] = []
    for name, make_policy in policies.items():
        policy: Policy | None = None
        for split, chosen in tasks.items():
            path = store(name, split)
            wanted = {task.id for task in chosen}
            policy = policy or make_policy()
            tally = anyio.run(
                partial(
                    collect,
                    policy,
                    chosen,
                    path,
                    setting,
                    concurrency=concurrency,
                    on_episode=partial(on_episode, name, split),
                )
            )
            if tally.stopped:
                raise RunStopped(f"{tally.stopped}; the evaluation is not finished")
            episodes = (t for t in EpisodeReader(path).episodes() if t.task.id in wanted)
            results.append(summarise(name, split, episodes))
            write_summary(summary, results, about)
    return results
