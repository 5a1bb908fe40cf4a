"""Calls an environment from code that is not asynchronous, inside or outside an event loop.

All environments that are wrapped share one event loop in one background thread.
"""

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

from agentkd_envs.base import Env, Observation, StepResult, Task

T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="agentkd-envs", daemon=True).start()
    return loop


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end in the background loop, and return the result."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()


class Synchronous:
    """An environment whose methods wait."""

    def __init__(self, env: Env) -> None:
        self.env = env

    def reset(self, task: Task) -> Observation:
        """Begin the task."""
        return run(self.env.reset(task))

    def step(self, action: str) -> StepResult:
        """Execute one command."""
        return run(self.env.step(action))

    def close(self) -> None:
        """Release what the episode holds."""
        run(self.env.close())
