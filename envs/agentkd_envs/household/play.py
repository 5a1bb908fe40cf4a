"""A game in play, on the native engine or on the real one, behind the same few calls."""

import importlib.util
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol

from agentkd_envs.engine_pool import EnginePool, Lease
from agentkd_envs.errors import EnvError
from agentkd_envs.household.engine import Engine, Response

ENGINES = ("native", "textworld")
_WORKER_MB = 200
_EPISODES_PER_WORKER = 8


class Play(Protocol):
    """One game in play."""

    def admissible(self) -> Sequence[str]:
        """All commands that are possible now, sorted."""
        ...

    async def step(self, command: str) -> Response:
        """Execute a command; one that is not possible now changes nothing."""
        ...

    async def fork(self) -> "Play":
        """Return an independent copy in the same state."""
        ...

    def close(self) -> None:
        """Let go of the game; calling it twice is fine."""
        ...


class NativePlay:
    """On the native engine: nothing waits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.admissible = engine.admissible

    async def step(self, command: str) -> Response:
        """Execute a command."""
        return self._engine.step(command)

    async def fork(self) -> "NativePlay":
        """Copy the state."""
        return NativePlay(self._engine.fork())

    def close(self) -> None:
        """Nothing to let go of."""


class _Situation(NamedTuple):
    text: str
    admissible: list[str]
    won: bool


@cache
def _pool() -> EnginePool:
    return EnginePool(
        "agentkd_envs.household.textworld_worker",
        {},
        memory_mb=_WORKER_MB,
        episodes=_EPISODES_PER_WORKER,
    )


def require_textworld() -> None:
    """Raise `EnvError` that names the extra where the real engine is not installed."""
    if (
        importlib.util.find_spec("alfworld") is None
        or importlib.util.find_spec("textworld") is None
    ):
        raise EnvError(
            "engine='textworld' is the real engine, and that is not installed: "
            "pip install 'agentkd[alfworld]' (compiles a GPL planner; needs cmake and g++)"
        )


def textworld_version() -> str:
    """Versions of the real engine, for the record."""
    return f"textworld-{version('textworld')}+alfworld-{version('alfworld')}"


class TextWorldPlay:
    """On TextWorld, in a worker process."""

    def __init__(self, lease: Lease, content: dict[str, Any]) -> None:
        self._lease = lease
        self._content = content
        self._commands: list[str] = []
        self._now = _Situation("", [], False)

    @classmethod
    async def start(cls, lease: Lease, content: dict[str, Any]) -> "TextWorldPlay":
        """Load the content of a `game.tw-pddl` file."""
        play = cls(lease, content)
        await play._ask("start", game=content)
        return play

    @property
    def text(self) -> str:
        """What the engine said last."""
        return self._now.text

    def admissible(self) -> Sequence[str]:
        """Commands that are possible now, sorted."""
        return self._now.admissible

    async def step(self, command: str) -> Response:
        """Execute a command."""
        is_possible = command.strip() in self._now.admissible
        sent = command.encode(errors="replace").decode()
        await self._ask("step", command=sent)
        self._commands.append(sent)
        return Response(self._now.text, is_possible, self._now.won)

    async def fork(self) -> "TextWorldPlay":
        """Play the same commands again, which takes as long as they did."""
        lease = _pool().lease_beside(self._lease, _pool().default_limit())
        copy = await TextWorldPlay.start(lease, self._content)
        for command in self._commands:
            await copy.step(command)
        if copy._now != self._now:
            copy.close()
            raise EnvError("TextWorld did not answer the same commands in the same way")
        return copy

    def close(self) -> None:
        """Give back the place in the worker."""
        self._lease.release()

    async def _ask(self, method: str, **parameters: Any) -> None:
        self._now = _Situation(**await self._lease.ask(method, **parameters))


async def start_textworld(content: dict[str, Any]) -> TextWorldPlay:
    """Begin a game on the real engine; waits while all places in the workers are taken."""
    lease = await _pool().lease(_pool().default_limit())
    return await TextWorldPlay.start(lease, content)
