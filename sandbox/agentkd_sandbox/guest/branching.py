"""Branches as the supervisor sees them: ask, isolate, settle, verify, or refuse all."""

from __future__ import annotations

import array
import errno
import json
import os
import select
import signal
import socket
import struct
import time
from typing import TYPE_CHECKING

from agentkd_sandbox.guest.branch import (
    isolate_branch,
    proc_children,
    proc_pid,
    proc_status,
    verify_confined,
)
from agentkd_sandbox.guest.kernel import BRANCH_TIMEOUT_S, MAX_BRANCH_DEPTH, check, libc, read_text
from agentkd_sandbox.guest.record import Episode

if TYPE_CHECKING:
    from agentkd_sandbox.guest.supervisor import Supervisor

CLOSING_TRIES, CLOSING_PAUSE_S = 50, 0.002
"""A parent that was not scheduled since its last clone() has yet to close the copy's channels."""


class Branching:
    """Copies of live episodes: asked for, isolated by a helper process, verified, or refused."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.helpers: dict[int, tuple[Episode, int]] = {}  # result pipe -> (branch, pid)

    def start_branches(self, episode: Episode, numbers: list[int]) -> None:
        reason = ""
        if self.supervisor.tier != "ns":
            reason = "this tier (%s) has no namespaces to copy into" % self.supervisor.tier
        elif episode.is_busy or episode.branches or episode.branch_deadline:
            reason = "the interpreter is busy"
        elif episode.depth >= MAX_BRANCH_DEPTH:
            reason = "branches are nested %d deep" % episode.depth
        else:
            reason = self.why_not_alone(episode)
        if reason:
            self.supervisor.send_json(episode.number, "B", {"error": reason})
            return
        if episode.is_stopped:
            episode.is_stopped = False
            self.supervisor.signal(episode, signal.SIGCONT)
        episode.pending = list(numbers)
        episode.branch_deadline = time.monotonic() + BRANCH_TIMEOUT_S
        self.next_branch(episode)

    def why_not_alone(self, episode: Episode) -> str:
        try:
            for name in os.listdir("/proc"):
                if name.isdigit() and int(name) != episode.pid:
                    try:
                        inode = os.stat("/proc/%s/ns/pid" % name).st_ino
                    except OSError:
                        continue
                    if inode == episode.pid_namespace:
                        state = read_text("/proc/%s/stat" % name).rpartition(")")[2].split()[0]
                        if state != "Z":
                            return "a background process is running"
            if proc_status(episode.pid)["Threads"] != ["1"]:
                return "a background thread is running"
        except OSError as error:
            return str(error)
        return ""

    def next_branch(self, parent: Episode) -> None:
        branch = Episode(parent.pending.pop(0), parent.limits)
        branch.parent, branch.depth, branch.stage = parent, parent.depth + 1, "hello"
        branch.key = parent.key  # the copy inherits the filter, and with it the key
        branch.cpu = parent.cpu
        assert branch.control is not None and parent.control is not None
        branch.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        parent.branches.append(branch)
        body = json.dumps({"op": "branch", "key": branch.key}).encode()
        fds = array.array("i", [branch.theirs.fileno(), branch.out_write, branch.err_write])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        try:
            parent.control.sendmsg([struct.pack(">I", len(body)) + body], rights)
        except OSError:
            self.supervisor.kill(parent, "closed")
        self.supervisor.adopt_channels(branch)
        self.start_helper(branch)

    def on_hello(self, branch: Episode) -> None:
        assert branch.control is not None and branch.parent is not None
        try:
            data, ancillary, _, _ = branch.control.recvmsg(1, socket.CMSG_SPACE(12))
        except BlockingIOError:
            return
        pids = [struct.unpack("3i", x)[0] for _, kind, x in ancillary if kind == 2]  # credentials
        if data != b"B" or not pids:
            self.refuse_branches(branch.parent, "the copy did not say hello")
            return
        branch.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        parent = branch.parent
        try:
            branch.pidfd = check(libc.syscall(434, pids[0], 0), "pidfd_open")
            os.set_inheritable(branch.pidfd, False)
            branch.pid = proc_pid(pids[0])
            branch.pid_namespace = os.stat("/proc/%d/ns/pid" % branch.pid).st_ino
            status = proc_status(branch.pid)
            if status["PPid"] != [str(parent.pid)] or status["NSpid"][-1] != "1":
                raise OSError(errno.EPERM, "the copy is not the interpreter's own child")
        except OSError as error:
            self.refuse_branches(parent, str(error))
            return
        self.supervisor.by_fd[branch.pidfd] = (branch, "pidfd")
        self.supervisor.inner.register(branch.pidfd, select.EPOLLIN)
        branch.stage = "isolating"
        os.write(branch.helper_order, b"%d %d" % (branch.pid, parent.pid))
        self.close_order(branch)

    def start_helper(self, branch: Episode) -> None:
        """Fork the process that will isolate the copy; it waits until the copy has said hello."""
        limits = branch.limits
        options = "size=%d,mode=755,nr_inodes=%d" % (limits["disk"], limits["inodes"])
        read, write = os.pipe()
        order, branch.helper_order = os.pipe()
        helper = os.fork()
        if helper == 0:
            try:
                os.close(branch.helper_order)
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(int(BRANCH_TIMEOUT_S))
                pids = os.read(order, 100).split()
                if pids:
                    try:
                        report = isolate_branch(int(pids[0]), int(pids[1]), options)
                    except Exception as error:
                        report = {"error": str(error)}
                    os.write(write, json.dumps(report).encode())
            finally:
                os._exit(0)
        os.close(write)
        os.close(order)
        self.helpers[read] = (branch, helper)
        self.supervisor.main.register(read, select.EPOLLIN)

    def close_order(self, branch: Episode) -> None:
        if branch.helper_order >= 0:
            os.close(branch.helper_order)
            branch.helper_order = -1

    def on_isolated(self, read: int) -> None:
        branch, _ = self.helpers.pop(read)
        self.supervisor.main.unregister(read)
        with open(read, "rb") as file:
            report = json.loads(file.read() or b'{"error": "the helper was stopped"}')
        assert branch.parent is not None
        if branch.stage != "isolating" or branch.killed_why:
            return
        if "error" in report:
            self.refuse_branches(branch.parent, report["error"])
            return
        branch.stage, branch.device = "settling", report["device"]
        request = {"op": "settle", "id": 0, "cwd": report["cwd"], "files": report["files"]}
        self.supervisor.write_control(branch, json.dumps(request).encode())

    def on_settled(self, branch: Episode, payload: bytes) -> None:
        parent = branch.parent
        assert parent is not None
        try:
            reason = verify_confined(branch.pid, branch.device, branch.channels)
        except (OSError, ValueError, KeyError, IndexError) as error:
            reason = "the copy could not be inspected: %s" % error
        if reason or b'"ok": true' not in payload:
            self.refuse_branches(parent, reason or "the copy could not reopen its files")
            return
        branch.stage, branch.is_ready = "live", True
        if parent.pending:
            self.next_branch(parent)
            return
        for _ in range(CLOSING_TRIES):
            if not self.why_parent_holds(parent):
                break
            time.sleep(CLOSING_PAUSE_S)
        parent.branch_deadline = 0.0
        parent.is_stopped = True
        self.supervisor.signal(parent, signal.SIGSTOP)
        try:
            reason = self.why_not_alone(parent)
            reason = reason or self.why_parent_holds(parent)
            if len(proc_children(parent.pid)) != len(parent.branches):
                reason = "the interpreter started other processes"
        except OSError as error:
            reason = str(error)
        if reason:
            self.refuse_branches(parent, reason)
        else:
            self.supervisor.send_json(parent.number, "B", {"ok": True})

    def why_parent_holds(self, parent: Episode) -> str:
        """The parent stays stopped while copies live; it must not hold their channels either."""
        theirs = {inode for branch in parent.branches for inode in branch.channels.values()}
        try:
            for name in os.listdir("/proc/%d/fd" % parent.pid):
                if os.stat("/proc/%d/fd/%s" % (parent.pid, name)).st_ino in theirs:
                    return "the interpreter kept a copy's channel"
        except OSError as error:  # it closed one meanwhile, or it is gone
            return str(error)
        return ""

    def refuse_branches(self, parent: Episode, reason: str) -> None:
        if not parent.branch_deadline and not parent.branches:
            return
        parent.branch_deadline, parent.pending = 0.0, []
        branches, parent.branches = parent.branches, []
        for branch in branches:
            branch.stage = "refused"
            self.supervisor.kill(branch, "refused")
        self.supervisor.send_json(parent.number, "B", {"error": reason})
