"""Many episodes: concurrently, into one store, each once.

What is in the store already is not done again, unless a broken machine had ended it. Workers take
tasks from one queue; each has its own copy of the environment. Cancelling (Ctrl-C) loses only the
episodes in flight, since every finished one is on disk.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from agentkd_envs import Env, Task
from anyio.lowlevel import checkpoint

from agentkd.episode import run_episode
from agentkd.policies import Policy
from agentkd.prompts import ActionFormat
from agentkd.prompts.narration import PLAIN, Narration
from agentkd.protocols.examples import Examples
from agentkd.store import EpisodeReader, EpisodeStore
from agentkd.trajectory import Trajectory


@dataclass(frozen=True)
class Setting:
    """How every episode of a run is played."""

    make_env: Callable[[], Env]
    format: ActionFormat
    max_steps: int
    system_prompt: str | None = None
    seed: int = 0
    is_training: bool = False
    narration: Narration = PLAIN
    examples: Examples = field(default_factory=Examples)
    max_steps_by_kind: Mapping[str, int] = field(default_factory=dict)
    """Step limits of single task kinds, instead of `max_steps`."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Facts that are kept with every episode."""

    def system_prompt_for(self, task: Task) -> str | None:
        """Instructions, and examples that suit the task; None if there are neither."""
        parts = [self.system_prompt or "", self.examples.text_for(task)]
        return "\n\n".join(part for part in parts if part) or None

    def max_steps_for(self, task: Task) -> int:
        """Step limit of a task."""
        return self.max_steps_by_kind.get(task.kind, self.max_steps)


@dataclass
class Tally:
    """What has happened so far; `on_episode` observers read it."""

    planned: int
    resumed: int = 0
    """Episodes that were in the store already."""
    finished: int = 0
    successes: int = 0
    steps: int = 0
    infrastructure_failures: int = 0

    def add(self, trajectory: Trajectory) -> None:
        """Count one more episode."""
        if not trajectory.is_graded:
            self.infrastructure_failures += 1
            return
        self.finished += 1
        self.successes += trajectory.outcome.success
        self.steps += len(trajectory.steps)


async def collect(
    policy: Policy,
    tasks: Sequence[Task],
    path: Path,
    setting: Setting,
    *,
    attempts: int = 1,
    concurrency: int = 64,
    on_episode: Callable[[Tally, Trajectory | None], None] = lambda tally, trajectory: None,
) -> Tally:
    """Play every task `attempts` times into the store at `path`; return what happened.

    `on_episode` is called once at the start, with None, and after each episode.
    """
    wanted = {(task.id, attempt): task for task in tasks for attempt in range(attempts)}
    tally = Tally(planned=len(wanted))
    for trajectory in EpisodeReader(path):
        if trajectory.is_graded and wanted.pop(trajectory.key, None) is not None:
            tally.add(trajectory)
            tally.resumed += 1
    on_episode(tally, None)
    queue = iter([(task, attempt) for (_, attempt), task in wanted.items()])

    with EpisodeStore(path) as store:

        async def work() -> None:
            env = setting.make_env()
            try:
                for task, attempt in queue:
                    trajectory = await run_episode(
                        policy,
                        env,
                        task,
                        setting.format,
                        max_steps=setting.max_steps_for(task),
                        system_prompt=setting.system_prompt_for(task),
                        attempt=attempt,
                        seed=setting.seed,
                        is_training=setting.is_training,
                        narration=setting.narration,
                        extra=setting.extra,
                    )
                    store.append(trajectory)
                    tally.add(trajectory)
                    on_episode(tally, trajectory)
                    await checkpoint()
            finally:
                await env.close()

        async with policy, anyio.create_task_group() as workers:
            for _ in range(min(concurrency, len(wanted))):
                workers.start_soon(work)
    return tally
