"""An engine that blocks, in a process of its own: the engine's side.

`serve` answers the calls of one host, one after the other, until the host is gone. Two things
notice that: the socket, whose other end closes with the host, and a thread that watches the
parent's process id, for a host that left a forked child behind which still holds the socket. Either
kills the whole process group, and with it whatever the engine had started.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NoReturn, Protocol

from agentkd_envs.errors import EnvError, TaskDataError

WATCH_INTERVAL_S = 0.5


class EngineHandler(Protocol):
    """What an engine offers to `serve`."""

    def call(self, method: str, parameters: dict[str, Any]) -> Any:
        """Answer with something JSON-able; an `EnvError` is a refusal, all else is a bug."""
        ...

    def forget(self, episode: int) -> None:
        """Let go of an episode, which may be unknown."""
        ...


def _end() -> NoReturn:
    os.killpg(os.getpgrp(), signal.SIGKILL)
    raise SystemExit


def _watch(host: int) -> None:
    while os.getppid() == host:
        time.sleep(WATCH_INTERVAL_S)
    _end()


def _answer(work: Callable[[], Any]) -> tuple[dict[str, Any], bool]:
    """Return the answer to send, and whether the engine can go on."""
    try:
        return {"result": work()}, True
    except EnvError as error:
        name = "TaskDataError" if isinstance(error, TaskDataError) else "EnvError"
        return {"refusal": name, "message": str(error)}, True
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return {
            "bug": f"{type(error).__name__}: {error!s:.1000} ({frame.filename}:{frame.lineno})"
        }, False


def _call(handler: EngineHandler, request: dict[str, Any]) -> Any:
    for episode in request["forgotten"]:
        handler.forget(episode)
    return handler.call(request["method"], request["parameters"])


def serve(start: Callable[..., EngineHandler]) -> None:
    """Serve the host that is named on the command line; `start` gets its first message."""
    connection, host = Connection(int(sys.argv[1])), int(sys.argv[2])
    threading.Thread(target=_watch, args=(host,), daemon=True).start()
    handlers: list[EngineHandler] = []
    try:
        arguments = json.loads(connection.recv_bytes())
        answer, can_go_on = _answer(lambda: handlers.append(start(**arguments)))
        connection.send_bytes(json.dumps(answer).encode())
        while can_go_on and handlers:
            request = json.loads(connection.recv_bytes())
            answer, can_go_on = _answer(partial(_call, handlers[0], request))
            connection.send_bytes(json.dumps(answer).encode())
    except (EOFError, OSError):
        pass
    _end()
