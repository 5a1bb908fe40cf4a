"""One Python interpreter inside a guest, seen from the host: requests, replies, its end.

A reply has two parts: a head of facts, written by the supervisor, and a body, written by the
episode. The body must echo the request's random number; a body that cannot be read or echoes
another number is an attempt to answer for another block, and ends the interpreter.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from agentkd_sandbox.errors import ForkRefused, SandboxLost
from agentkd_sandbox.limits import Limits
from agentkd_sandbox.link import Link
from agentkd_sandbox.tools import parse_json

ANSWER_SLACK_S = 15.0
"""How much later than its own deadline a supervisor may answer before we call it lost."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: `body` is None if the interpreter ended instead of answering."""

    head: dict[str, Any]
    body: dict[str, Any] | None


class Interpreter:
    """The host's handle on one episode of a guest."""

    def __init__(self, link: Link, limits: Limits, number: int | None = None) -> None:
        self.link = link
        self.limits = limits
        self.number = link.new_number() if number is None else number
        self.on_call: Callable[[bytes], Awaitable[bytes]] | None = None
        self.end: dict[str, Any] | None = None
        """The supervisor's report of how it ended."""
        self.is_initialised = False
        self._is_violated = False
        self._request = 0
        self._pending: asyncio.Future[Reply] | None = None
        self._branching: asyncio.Future[None] | None = None
        self._ended = asyncio.get_running_loop().create_future()
        self._calls: set[asyncio.Task[None]] = set()
        link.handlers[self.number] = self._on_frame

    @classmethod
    def start(cls, link: Link, limits: Limits) -> Interpreter:
        """Ask for a fresh fork; the first request waits for it."""
        interpreter = cls(link, limits)
        body = json.dumps({"limits": limits.for_guest()}).encode()
        link.send(interpreter.number, "S", body)
        return interpreter

    @property
    def is_alive(self) -> bool:
        """Whether it can take another request."""
        return self.end is None and not self._is_violated and self.link.is_open

    async def request(self, operation: dict[str, Any], timeout_s: float) -> Reply:
        """Send one operation and wait for its result or for the interpreter's end.

        Raises SandboxLost if the guest goes away or stops answering.
        """
        if self.end is not None:
            return Reply(self.end, None)
        self._request = secrets.randbits(53)
        self._pending = asyncio.get_running_loop().create_future()
        body = json.dumps({**operation, "id": self._request}).encode("utf-8", "surrogatepass")
        head = struct.pack(">IQ", max(1, int(timeout_s * 1000)), self._request)
        self.link.send(self.number, "E", head + body)
        try:
            return await self._wait(self._pending, timeout_s + self.limits.grace_s)
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            self._pending = None

    async def _wait(self, pending: asyncio.Future[Reply], expected_s: float) -> Reply:
        while True:
            done, _ = await asyncio.wait([pending], timeout=expected_s + ANSWER_SLACK_S)
            if done:
                return pending.result()
            if not self._calls:  # the clock stands still while a tool works
                pending.cancel()
                self.link.close()
                raise SandboxLost("the sandbox supervisor stopped answering; the guest was ended")

    async def branch(self, count: int) -> list[Interpreter]:
        """Copy the live interpreter; ForkRefused if it holds what copies would share."""
        copies = [Interpreter(self.link, self.limits) for _ in range(count)]
        self._branching = asyncio.get_running_loop().create_future()
        numbers = [copy.number for copy in copies]
        self.link.send(self.number, "F", json.dumps({"ids": numbers}).encode())
        try:
            await asyncio.wait_for(self._branching, 60)
        except TimeoutError:
            self.link.close()
            raise SandboxLost("the sandbox supervisor stopped answering") from None
        except ForkRefused:
            for copy in copies:
                copy.forget()
            raise
        finally:
            self._branching = None
        for copy in copies:
            copy.is_initialised = True
        return copies

    def kill(self) -> None:
        """Ask for its end; `wait_closed` tells when it has come."""
        if self.is_alive or self._is_violated:
            self.link.send(self.number, "K")

    async def wait_closed(self, timeout_s: float = 10.0) -> None:
        """Wait until the supervisor says that nothing is left of it."""
        if self.end is None and self.link.is_open:
            await asyncio.wait([self._ended, self.link.lost], timeout=timeout_s,
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        self.forget()

    def forget(self) -> None:
        """Stop listening."""
        self.link.handlers.pop(self.number, None)
        if not self._ended.done():
            self._ended.set_result(None)

    def _on_frame(self, kind: str, payload: bytes) -> None:
        if kind == "R":
            self._on_result(payload)
        elif kind == "C":
            task = asyncio.ensure_future(self._on_call(payload))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        elif kind == "B":
            self._on_branched(json.loads(payload))
        elif kind == "N":
            self._resolve(SandboxLost("the supervisor refused the request: the episode is busy"))
        elif kind == "X":
            self.end = json.loads(payload)
            if self._is_violated:
                self.end["why"] = "violation"
            self._finish(Reply(self.end, None))
        elif kind == "lost":
            self._finish(SandboxLost(payload.decode()))

    def _finish(self, outcome: Reply | SandboxLost) -> None:
        self._resolve(outcome)
        for task in self._calls:
            task.cancel()
        if self._branching is not None and not self._branching.done():
            self._branching.set_exception(
                outcome if isinstance(outcome, SandboxLost) else ForkRefused("the episode ended")
            )
        if not self._ended.done():
            self._ended.set_result(None)

    def _resolve(self, outcome: Reply | Exception) -> None:
        if self._pending is not None and not self._pending.done():
            if isinstance(outcome, Reply):
                self._pending.set_result(outcome)
            else:
                self._pending.set_exception(outcome)

    def _on_branched(self, report: dict[str, Any]) -> None:
        if self._branching is None or self._branching.done():
            return
        if "error" in report:
            self._branching.set_exception(ForkRefused(f"cannot fork now: {report['error']}"))
        else:
            self._branching.set_result(None)

    def _on_result(self, payload: bytes) -> None:
        (size,) = struct.unpack_from(">I", payload)
        head = json.loads(payload[4 : 4 + size])
        try:
            body = parse_json(payload[4 + size :])
            is_ours = isinstance(body, dict) and body.get("id") == head["request"] == self._request
        except ValueError:
            is_ours = False
        if is_ours:
            self._resolve(Reply(head, body))
        else:
            self._is_violated = True
            self.link.send(self.number, "K")

    async def _on_call(self, payload: bytes) -> None:
        if self.on_call is None:
            reply = b'{"error": "no tools here"}'
        else:
            reply = await self.on_call(payload)
        if self.is_alive:
            self.link.send(self.number, "A", reply)
