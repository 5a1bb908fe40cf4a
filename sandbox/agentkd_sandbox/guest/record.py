"""What the supervisor remembers of an episode and of its output."""

from __future__ import annotations

import os
import socket
import sys

from agentkd_sandbox.guest.kernel import CONTROL, Json


class Output:
    """One captured stream: the first and the last half of `keep` bytes, and the true count."""

    def __init__(self, fd: int, keep: int) -> None:
        self.fd: int | None = fd
        self.half = keep // 2
        self.clear()

    def clear(self) -> None:
        self.head, self.tail, self.count = bytearray(), bytearray(), 0

    def feed(self, chunk: bytes) -> None:
        self.count += len(chunk)
        room = self.half - len(self.head)
        if room > 0:
            self.head += chunk[:room]
            chunk = chunk[room:]
        self.tail += chunk
        if len(self.tail) > 2 * self.half:
            del self.tail[: len(self.tail) - self.half]

    def text(self) -> str:
        tail = self.tail[max(0, len(self.tail) - self.half) :]
        skipped = self.count - len(self.head) - len(tail)
        if not skipped:
            return bytes(self.head + tail).decode("utf-8", "replace")
        gap = "\n[... %d bytes not shown ...]\n" % skipped
        return self.head.decode("utf-8", "replace") + gap + tail.decode("utf-8", "replace")


class Episode:
    """What the supervisor knows about one episode."""

    def __init__(self, number: int, limits: Json) -> None:
        ours, theirs = socket.socketpair()
        out, self.out_write = os.pipe()
        err, self.err_write = os.pipe()
        self.number = number
        self.limits = limits
        self.control: socket.socket | None = ours
        self.theirs = theirs
        self.channels = {
            1: os.fstat(out).st_ino,
            2: os.fstat(err).st_ino,
            CONTROL: os.fstat(theirs.fileno()).st_ino,
        }
        for fd in (ours.fileno(), out, err):
            os.set_blocking(fd, False)
        self.out, self.err = Output(out, limits["output"]), Output(err, limits["output"])
        self.inbox, self.outbox = bytearray(), bytearray()
        self.is_busy = self.is_answering = self.is_ready = False
        self.soft_s = 0.0
        self.request = 0
        self.soft_at = self.hard_at = 0.0
        self.paused_s = 0.0  # time that was left when a tool call went to the host
        self.started_at = 0.0
        self.soft_why = self.killed_why = ""
        self.pid = 0  # as /proc knows it
        self.pid_namespace = 0
        self.cpu = self.block_cpu = 0.0
        self.rss = 0
        self.uid = 0
        self.folder = ""
        self.key = int.from_bytes(os.urandom(8), sys.byteorder)
        # branches
        self.parent: Episode | None = None
        self.pidfd = -1
        self.helper_order = -1
        self.depth = 0
        self.device = 0
        self.stage = "live"  # a branch: hello, isolating, settling, live
        self.branches: list[Episode] = []
        self.pending: list[int] = []
        self.branch_deadline = 0.0
        self.is_stopped = False

    def close_theirs(self) -> None:
        self.theirs.close()
        os.close(self.out_write)
        os.close(self.err_write)
