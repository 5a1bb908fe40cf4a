"""An environment that `agentkd envs serve` serves on this or another machine.

    make_env("http", url="http://127.0.0.1:8000")

Tasks, texts and versions are those of the server. A server that fails ends an episode as a broken
machine does. There is no expert on this side.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agentkd_envs.adapters.http_session import HttpSession, listed
from agentkd_envs.adapters.wire import spec_from_json, task_from_json, task_to_json
from agentkd_envs.base import Observation, StepResult, Task
from agentkd_envs.errors import EnvError, UnknownNameError


class RemoteEnv:
    """One live episode on a server of ours."""

    def __init__(self, *, url: str, timeout_s: float = 60.0) -> None:
        """Ask the server what it is; raises `EnvError` if nothing of ours answers there."""
        self._url, self._timeout_s = url, timeout_s
        self._session = HttpSession(url, timeout_s)
        described = self._session.get("/")
        if not isinstance(described, Mapping) or "splits" not in described:
            raise EnvError(
                f"what answers at {url} does not describe itself; for a server of AgentGym's "
                "take the environment 'agentgym'"
            )
        self.spec = spec_from_json(described)
        self._task: Task | None = None
        self._actions: list[str] = []

    def tasks(self, split: str, count: int | None = None, first: int = 0) -> Sequence[Task]:
        """Tasks `first` to `first + count` of a split; the count must be given."""
        if split not in self.spec.splits:
            raise UnknownNameError(f"split of {self.spec.name}", split, self.spec.splits)
        if count is None:
            raise EnvError(f"tasks behind {self._url} are asked for by number: give a count")
        told = self._session.get("/tasks", split=split, count=count, first=first)
        return [task_from_json(values) for values in told]

    async def reset(self, task: Task) -> Observation:
        """Begin the task on the server."""
        if self._session.id is None:
            self._session.id = (await self._session.post("create", {}))["id"]
        self._task, self._actions = task, []
        answer = await self._ask("reset", {"task": task_to_json(task)})
        return Observation(answer["observation"], listed(answer))

    async def step(self, action: str) -> StepResult:
        """Execute one command on the server."""
        answer = await self._ask("step", {"action": action})
        self._actions.append(action)
        return StepResult(
            text=answer["observation"],
            reward=answer["reward"],
            terminated=answer["done"],
            success=answer["success"],
            valid=answer["valid"],
            admissible=listed(answer),
            info=answer["info"],
        )

    async def fork(self) -> "RemoteEnv":
        """Return a copy in the same state, made by playing the same actions again."""
        if not self.spec.is_deterministic:
            raise EnvError(f"{self.spec.name} is not deterministic, so a fork would differ")
        copy = RemoteEnv(url=self._url, timeout_s=self._timeout_s)
        if self._task is not None:
            await copy.reset(self._task)
            for action in self._actions:
                await copy.step(action)
        return copy

    async def close(self) -> None:
        """Close the episode on the server; calling it twice is fine."""
        try:
            if self._session.id is not None:
                await self._session.post("close", {"id": self._session.id})
        finally:
            await self._session.close()

    async def _ask(self, verb: str, fields: Mapping[str, Any]) -> Any:
        if self._session.id is None:
            raise EnvError(f"{self.spec.name} has no episode: call reset(task) first")
        return await self._session.post(verb, {"id": self._session.id, **fields})
