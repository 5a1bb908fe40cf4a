"""The host's end of one guest: frames in, frames out, and what happens when it breaks.

Frame: `>I` payload length, `>I` episode, `>B` type, payload. The supervisor stamps episode and
type; nothing an episode writes can change them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import weakref
from collections.abc import Callable
from typing import Any

from agentkd_sandbox.errors import SandboxLost

FRAME_MAX = 8 << 20
HEAD = struct.Struct(">IIB")

_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_in_child() -> None:
    """A forked child (a DataLoader worker, say) must not keep our guests alive after we die."""
    for sock in list(_sockets):
        with contextlib.suppress(OSError):
            sock.close()


os.register_at_fork(after_in_child=_close_in_child)


class Link(asyncio.Protocol):
    """One connection to a supervisor, shared by all its episodes."""

    def __init__(self, is_multiplexed: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.hello: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()
        self.handlers: dict[int, Callable[[str, bytes], None]] = {}
        self.notes = bytearray()
        """What a container wrote to stderr (the guest's own troubles), the first 16 KiB."""
        self._is_multiplexed = is_multiplexed
        self._raw = bytearray()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._pongs: list[asyncio.Future[dict[str, Any]]] = []
        self._number = 0

    async def connect(self, sock: socket.socket) -> None:
        """Take the socket over."""
        sock.setblocking(False)
        _sockets.add(sock)
        await asyncio.get_running_loop().create_connection(lambda: self, sock=sock)

    @property
    def is_open(self) -> bool:
        """Whether the guest still answers, as far as we know."""
        return not self.lost.done()

    def new_number(self) -> int:
        """A number no episode of this guest had before."""
        self._number += 1
        return self._number

    def send(self, number: int, kind: str, payload: bytes = b"") -> None:
        """Queue one frame."""
        if self._transport is None or not self.is_open:
            raise SandboxLost(self.reason())
        self._transport.write(HEAD.pack(len(payload), number, ord(kind)) + payload)

    def write(self, data: bytes) -> None:
        """Queue raw bytes: the guest's source and configuration, before the first frame."""
        assert self._transport is not None
        self._transport.write(data)

    async def statistics(self, timeout_s: float = 10.0) -> dict[str, Any]:
        """The supervisor's own count of episodes, processes, descriptors and memory."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.send(0, "P")
        self._pongs.append(future)
        return await asyncio.wait_for(future, timeout_s)

    def reason(self) -> str:
        """Why the link is down."""
        return self.lost.result() if self.lost.done() else "the guest is not connected"

    def close(self) -> None:
        """Hang up; the guest ends itself."""
        if self._transport is not None:
            self._transport.abort()
        self._fail("closed by the host")

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The guest is gone: so is everything in it."""
        self._fail("the sandbox guest ended" + (f": {exc}" if exc else ""))

    def data_received(self, data: bytes) -> None:
        """Reassemble frames, below Docker's own 8-byte framing where there is one."""
        if self._is_multiplexed:
            self._raw += data
            while len(self._raw) >= 8:
                size = int.from_bytes(self._raw[4:8], "big")
                if len(self._raw) < 8 + size:
                    break
                if self._raw[0] == 1:
                    self._buffer += self._raw[8 : 8 + size]
                elif len(self.notes) < 16384:
                    self.notes += self._raw[8 : 8 + size]
                del self._raw[: 8 + size]
        else:
            self._buffer += data
        while len(self._buffer) >= HEAD.size:
            size, number, kind = HEAD.unpack_from(self._buffer)
            if size > FRAME_MAX:
                self._fail("the guest sent a frame that is too long")
                self.close()
                return
            end = HEAD.size + size
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[HEAD.size : end])
            del self._buffer[:end]
            self._dispatch(number, chr(kind), payload)

    def _dispatch(self, number: int, kind: str, payload: bytes) -> None:
        if kind == "H":
            if not self.hello.done():
                self.hello.set_result(json.loads(payload))
        elif kind == "P":
            if self._pongs:
                future = self._pongs.pop(0)
                if not future.done():
                    future.set_result(json.loads(payload))
        elif (handler := self.handlers.get(number)) is not None:
            handler(kind, payload)

    def _fail(self, reason: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(reason)
        if not self.hello.done():
            self.hello.set_exception(SandboxLost(reason))
            self.hello.exception()  # whoever still wants it gets it; nobody has to
        for future in self._pongs:
            if not future.done():
                future.set_exception(SandboxLost(reason))
        for handler in list(self.handlers.values()):
            handler("lost", reason.encode())
