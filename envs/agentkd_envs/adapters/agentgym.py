"""An environment that a server of AgentGym (Xi et al., 2406.04151) serves.

    make_env("agentgym", url="http://127.0.0.1:36001", name="alfworld", size=2420)

These servers do not describe themselves and number their tasks, so that a name and the number of
tasks must be given. They name things differently: a shop says `env_idx`, `session_id` and `state`
where others say `id`, `game` or `data_idx`, and `observation`. All the names are sent, and whatever
comes back is read. `max_score` is the score of a solved task: 1, but 100 in ScienceWorld.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agentkd_envs.adapters.http_session import HttpSession, listed
from agentkd_envs.base import EnvSpec, Observation, StepResult, Task
from agentkd_envs.errors import EnvError, UnknownNameError


class AgentGymEnv:
    """One live episode on a server of AgentGym's."""

    def __init__(
        self, *, url: str, name: str, size: int, max_score: float = 1.0, timeout_s: float = 300.0
    ) -> None:
        """Check that something answers; raises `EnvError` if nothing does."""
        self._session = HttpSession(url, timeout_s)
        self._session.get("/")
        self._size, self._max_score = size, max_score
        self.spec = EnvSpec(
            name=name,
            description="",
            splits={"all": f"the {size} tasks of the server, by index"},
            max_steps=30,
            success_rule=f"the server says that it is over, with a score of {max_score:g}",
            versions={"engine": "agentgym", "data": url},
            is_deterministic=False,
        )

    def tasks(self, split: str, count: int | None = None, first: int = 0) -> Sequence[Task]:
        """Tasks `first` to `first + count` of the server."""
        if split not in self.spec.splits:
            raise UnknownNameError(f"split of {self.spec.name}", split, self.spec.splits)
        last = self._size if count is None else min(first + count, self._size)
        name = self.spec.name
        return [Task(name, split, index, name, {"index": index}) for index in range(first, last)]

    async def reset(self, task: Task) -> Observation:
        """Begin the task on the server."""
        if self._session.id is None:
            made = await self._session.post("create", {})
            self._session.id = made["id"] if isinstance(made, Mapping) else made
        index = task.payload["index"]
        wanted = {"game": index, "data_idx": index, "session_id": index, "world_type": "Text"}
        answer = await self._ask("reset", wanted)
        if not isinstance(answer, Mapping):  # The shop answers with a list.
            return Observation(str(answer[0]))
        parts = [answer.get("task_description"), _text(answer)]
        return Observation("\n".join(part for part in parts if part), listed(answer))

    async def step(self, action: str) -> StepResult:
        """Execute one command on the server."""
        answer = await self._ask("step", {"action": action})
        reward = float(answer.get("score", answer["reward"])) / self._max_score
        return StepResult(
            text=_text(answer),
            reward=reward,
            terminated=bool(answer["done"]),
            success=bool(answer["done"]) and reward >= 1,
            admissible=listed(answer),
        )

    async def fork(self) -> "AgentGymEnv":
        """Raise `EnvError`: these servers cannot copy an episode."""
        raise EnvError(f"{self.spec.name} runs on a server that cannot copy an episode")

    async def close(self) -> None:
        """Hang up; calling it twice is fine. Most of these servers keep the episode."""
        await self._session.close()

    async def _ask(self, verb: str, fields: Mapping[str, Any]) -> Any:
        number = self._session.id
        if number is None:
            raise EnvError(f"{self.spec.name} has no episode: call reset(task) first")
        return await self._session.post(verb, {"id": number, "env_idx": number, **fields})


def _text(answer: Mapping[str, Any]) -> str:
    return str(answer["observation"] if "observation" in answer else answer["state"])
