"""An environment behind HTTP, with AgentGym's verbs, so that other projects can use it.

    GET  /                    name, splits, step limit, versions, licence
    GET  /tasks               ?split=train&count=10&first=0
    POST /create              -> {"id"}
    POST /reset               {"id"} and one of "task", "index", or AgentGym's "game", "data_idx"
    POST /step                {"id", "action"} -> {"observation", "reward", "done", ...}
    GET  /observation         ?id=0
    GET  /available_actions   ?id=0
    POST /close               {"id"}

Each id is one live episode; one that is not used for a while is closed. A client's mistake is
answered by a 4xx status and `{"error": ...}`. Answers of environments that list their admissible
actions at no cost have them as `available_actions`.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from agentkd_envs.adapters.http_transport import HttpProblem, Request, listen
from agentkd_envs.adapters.wire import answer_to_json, spec_to_json, task_from_json, task_to_json
from agentkd_envs.base import Env, Observation, StepResult, Task
from agentkd_envs.errors import EnvError, TaskDataError, UnknownNameError

INDEX_NAMES = ("index", "game", "data_idx", "session_id")
_VERBS = {
    "/": "GET",
    "/tasks": "GET",
    "/create": "POST",
    "/reset": "POST",
    "/step": "POST",
    "/observation": "GET",
    "/available_actions": "GET",
    "/close": "POST",
}


@dataclass
class _Session:
    env: Env
    last: Observation | StepResult | None = None
    used: float = field(default_factory=time.monotonic)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class EnvServer:
    """Serves the environments that `make_env` makes, one per id."""

    def __init__(
        self,
        make_env: Callable[[], Env],
        *,
        split: str = "train",
        idle_s: float = 1800.0,
        max_episodes: int = 1024,
    ) -> None:
        """Choose the split that indices count in, and when an idle episode is closed."""
        self._make_env, self._split = make_env, split
        self._idle_s, self._max_episodes = idle_s, max_episodes
        self._template = make_env()
        self._sessions: dict[int, _Session] = {}
        self._ids = itertools.count()

    async def run(self, host: str, port: int, on_ready: Callable[[int], None]) -> None:
        """Serve until cancelled; `on_ready` gets the port. Raises `EnvError` if it is in use."""
        server = await listen(self._answer, host, port)
        on_ready(server.sockets[0].getsockname()[1])
        try:
            while True:
                await asyncio.sleep(min(self._idle_s / 2, 60.0))
                await self._close_idle()
        finally:
            server.close()
            for number in list(self._sessions):
                await self._sessions.pop(number).env.close()

    async def _close_idle(self) -> None:
        oldest = time.monotonic() - self._idle_s
        for number, session in list(self._sessions.items()):
            if session.used < oldest and not session.turn.locked():
                del self._sessions[number]
                await session.env.close()

    async def _answer(self, request: Request) -> Any:
        wanted = _VERBS.get(request.path)
        if wanted is None:
            verbs = ", ".join(_VERBS)
            raise HttpProblem(HTTPStatus.NOT_FOUND, f"no '{request.path}' here; there is: {verbs}")
        if request.method != wanted:
            message = f"{request.path} is asked for with {wanted}, not {request.method}"
            raise HttpProblem(HTTPStatus.METHOD_NOT_ALLOWED, message)
        try:
            return await self._verb(request.path, request.fields)
        except (UnknownNameError, TaskDataError) as error:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, str(error)) from error
        except EnvError as error:
            raise HttpProblem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error

    async def _verb(self, path: str, fields: Mapping[str, Any]) -> Any:
        if path == "/":
            return spec_to_json(self._template.spec)
        if path == "/tasks":
            count, first = _integer(fields, "count", 1), _integer(fields, "first", 0)
            return [task_to_json(task) for task in self._tasks(fields, count, first)]
        if path == "/create":
            return self._create()
        session = self._session(fields)
        async with session.turn:
            session.used = time.monotonic()
            if path == "/reset":
                return await self._reset(session, fields)
            if path == "/step":
                return await self._step(session, fields)
            if path == "/close":
                self._sessions.pop(_integer(fields, "id"), None)
                await session.env.close()
                return {"closed": True}
            last = _begun(session)
            return last.text if path == "/observation" else list(last.admissible())

    def _tasks(self, fields: Mapping[str, Any], count: int, first: int) -> Sequence[Task]:
        try:
            return self._template.tasks(str(fields.get("split", self._split)), count, first)
        except EnvError as error:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, str(error)) from error

    def _create(self) -> dict[str, int]:
        if len(self._sessions) >= self._max_episodes:
            message = f"{self._max_episodes} episodes are live already; close some"
            raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, message)
        number = next(self._ids)
        self._sessions[number] = _Session(self._make_env())
        return {"id": number}

    def _session(self, fields: Mapping[str, Any]) -> _Session:
        number = _integer(fields, "id")
        if number not in self._sessions:
            message = f"there is no episode {number}: it was closed, or never made; POST /create"
            raise HttpProblem(HTTPStatus.NOT_FOUND, message)
        return self._sessions[number]

    async def _reset(self, session: _Session, fields: Mapping[str, Any]) -> dict[str, Any]:
        if "task" in fields:
            task = task_from_json(fields["task"])
        else:
            name = next((name for name in INDEX_NAMES if name in fields), INDEX_NAMES[0])
            index = _integer(fields, name)
            tasks = self._tasks(fields, 1, index)
            if not tasks:
                raise HttpProblem(HTTPStatus.BAD_REQUEST, f"the split has no task {index}")
            task = tasks[0]
        session.last = first = await session.env.reset(task)
        return {
            "id": fields["id"],
            "observation": first.text,
            "reward": 0.0,
            "score": 0.0,
            "done": False,
            "task_type": task.kind,
            "task": task_to_json(task),
            **self._actions(first),
        }

    async def _step(self, session: _Session, fields: Mapping[str, Any]) -> dict[str, Any]:
        last, action = _begun(session), fields.get("action")
        if not isinstance(action, str):
            raise HttpProblem(HTTPStatus.BAD_REQUEST, f"'action' is not a text: {action!r}")
        if isinstance(last, StepResult) and last.terminated:
            raise HttpProblem(HTTPStatus.CONFLICT, "the episode is over: POST /reset")
        session.last = answer = await session.env.step(action)
        return {**answer_to_json(answer), **self._actions(answer)}

    def _actions(self, answer: Observation | StepResult) -> dict[str, Any]:
        if self._template.spec.is_blocking:
            return {}
        return {"available_actions": list(answer.admissible())}


def _begun(session: _Session) -> Observation | StepResult:
    if session.last is None:
        raise HttpProblem(HTTPStatus.CONFLICT, "the episode has not begun: POST /reset")
    return session.last


def _integer(fields: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = fields.get(name, default)
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError
        return int(value)
    except ValueError:
        message = f"'{name}' is missing" if value is None else f"'{name}' is no number: {value!r}"
        raise HttpProblem(HTTPStatus.BAD_REQUEST, message) from None
