"""The supervisor: relays between the host and its episodes, measures, enforces; trusts no
episode.
"""

from __future__ import annotations

import array
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time

from agentkd_sandbox.guest.branch import proc_children
from agentkd_sandbox.guest.branching import Branching
from agentkd_sandbox.guest.kernel import (
    ABI,
    FRAME_MAX,
    OUT_QUEUE_HIGH,
    START_TIMEOUT_S,
    UID_END_S,
    Json,
    libc,
    read_text,
)
from agentkd_sandbox.guest.launch import launch_fork_server
from agentkd_sandbox.guest.record import Episode, Output
from agentkd_sandbox.guest.removal import remove, remove_user
from agentkd_sandbox.guest.seccomp import MACHINE
from agentkd_sandbox.guest.watch import Watch


class Supervisor:
    """Relays between the host and its episodes, measures, enforces; trusts no episode."""

    def __init__(self, host_read: int, host_write: int, config: Json, source: bytes) -> None:
        self.host_read, self.host_write = host_read, host_write
        self.config, self.source = config, source
        self.tier: str = config["tier"]
        self.from_host, self.to_host = bytearray(), bytearray()
        self.episodes: dict[int, Episode] = {}
        self.by_fd: dict[int, tuple[Episode, str]] = {}
        self.main, self.inner = select.epoll(), select.epoll()
        self.branching = Branching(self)
        self.is_writing = self.is_throttled = False
        self.watch = Watch(self)
        self.next_uid = 0
        for fd in (host_read, host_write):
            os.set_blocking(fd, False)
        self.wake, wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for fd in (host_read, self.wake, self.inner.fileno()):
            self.main.register(fd, select.EPOLLIN)
        self.start_fork_server()

    # -- fork server

    def start_fork_server(self) -> None:
        self.fork_server, self.fork_server_pid, self.missing = launch_fork_server(
            self.config, self.source
        )
        self.watch.measure_fork_server()
        self.main.register(self.fork_server, select.EPOLLIN)

    def on_fork_server(self) -> None:
        message = self.fork_server.recv(1 << 16)
        if not message:
            self.main.unregister(self.fork_server)
            self.fork_server.close()
            for episode in list(self.episodes.values()):
                episode.killed_why = "lost"
                self.finish(episode, {})
            self.start_fork_server()
            return
        event = json.loads(message)
        if "started" in event:
            started = self.episodes.get(event["started"])
            if started is not None:
                self.note_pid(started, event["pid"])
        else:
            ended = self.episodes.get(event["ended"])
            if ended is not None:
                self.finish(ended, event)

    def note_pid(self, episode: Episode, pid: int) -> None:
        try:
            episode.pid = self.watch.in_proc(pid)
            if self.tier == "ns":
                episode.pid_namespace = os.stat("/proc/%d/ns/pid" % episode.pid).st_ino
        except OSError:
            pass  # it has already ended, and the exit is on its way

    # -- episodes

    def start(self, number: int, message: Json) -> None:
        episode = Episode(number, message["limits"])
        message.update(tier=self.tier, episode=number)
        key = bytes(8)
        if self.tier == "ns":
            key = episode.key.to_bytes(8, sys.byteorder)
        elif self.tier == "uid":
            self.next_uid = self.next_uid % 40000 + 1
            episode.uid = message["uid"] = 20000 + self.next_uid
            episode.folder = "/tmp/%d" % episode.uid
        else:
            episode.folder = "%s/%d" % (self.config["scratch"], number)
            os.mkdir(episode.folder, 0o700)
            message["read_only"] = self.config["read_only"]
        message["folder"] = episode.folder
        fds = array.array("i", [episode.theirs.fileno(), episode.out_write, episode.err_write])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        self.fork_server.sendmsg([key + json.dumps(message).encode()], rights)
        self.adopt_channels(episode)

    def adopt_channels(self, episode: Episode) -> None:
        episode.close_theirs()
        self.episodes[episode.number] = episode
        assert episode.control is not None
        fds = [(episode.control.fileno(), "control")]
        fds += [(x.fd, kind) for x, kind in ((episode.out, "out"), (episode.err, "err")) if x.fd]
        for fd, kind in fds:
            self.by_fd[fd] = (episode, kind)
            self.inner.register(fd, select.EPOLLIN)

    def drop(self, fd: int) -> None:
        self.by_fd.pop(fd, None)
        try:
            self.inner.unregister(fd)
        except OSError:
            pass

    def signal(self, episode: Episode, number: int) -> None:
        if episode.pidfd >= 0:
            libc.syscall(424, episode.pidfd, number, None, 0)
        else:
            message = {"episode": episode.number, "signal": number}
            self.fork_server.send(bytes(8) + json.dumps(message).encode())

    def kill(self, episode: Episode, why: str) -> None:
        if not episode.killed_why:
            episode.killed_why = why
            if episode.pidfd < 0 and episode.parent is not None:
                self.finish(episode, {})  # a branch that never said hello
            else:
                self.signal(episode, signal.SIGKILL)

    def finish(self, episode: Episode, event: Json) -> None:
        """The episode's first process is gone: read what is left, clean up, tell the host."""
        self.episodes.pop(episode.number, None)
        for output in (episode.out, episode.err):
            self.drain(episode, output)
            self.close_output(output)
        if episode.control is not None:
            self.drop(episode.control.fileno())
            episode.control.close()
            episode.control = None
        if episode.pidfd >= 0:
            self.drop(episode.pidfd)
            os.close(episode.pidfd)
        self.clean(episode)
        self.branching.close_order(episode)
        if episode.parent is not None and episode in episode.parent.branches:
            episode.parent.branches.remove(episode)
            if episode.stage != "live":
                said = episode.err.text().strip().rpartition("\n")[2]
                self.branching.refuse_branches(
                    episode.parent, "the copy ended before it was ready " + said
                )
        if episode.branch_deadline:
            self.branching.refuse_branches(episode, "the episode ended")
        status = event.get("status", -1)
        exited = status >= 0 and os.WIFEXITED(status)
        signaled = status >= 0 and os.WIFSIGNALED(status)
        if episode.parent is not None and episode.stage != "live":
            return
        self.send_json(
            episode.number,
            "X",
            {
                "why": episode.killed_why,
                "code": os.WEXITSTATUS(status) if exited else None,
                "signal": os.WTERMSIG(status) if signaled else None,
                "ready": episode.is_ready,
                "cpu": max(event.get("cpu", 0.0), episode.cpu),
                "rss": max(event.get("rss", 0), episode.rss),
                **self.facts(episode),
            },
        )

    def clean(self, episode: Episode) -> None:
        """Where no namespace takes the episode's processes and files with it, remove them."""
        if self.tier == "uid":
            pause, last = 0.001, time.monotonic() + UID_END_S
            while True:
                helper = os.fork()
                if helper == 0:
                    remove_user(episode.uid, ["/tmp", "/box", "/dev/shm"])
                os.waitpid(helper, 0)
                if not self.is_user_alive(episode.uid):
                    return
                if time.monotonic() > last:
                    os._exit(3)  # not containable: the host sees a lost guest, not a dirty one
                time.sleep(pause)  # killed processes give their memory back before they are gone
                pause = min(2 * pause, 0.05)
        elif self.tier == "landlock":
            remove(episode.folder)

    def is_user_alive(self, uid: int) -> bool:
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.stat("/proc/" + name).st_uid == uid:
                    if "Z" not in read_text("/proc/%s/stat" % name).rpartition(")")[2].split()[0]:
                        return True
            except OSError:
                pass
        return False

    def facts(self, episode: Episode) -> Json:
        now = time.monotonic()
        return {
            "out": episode.out.text(),
            "err": episode.err.text(),
            "out_bytes": episode.out.count,
            "err_bytes": episode.err.count,
            "wall": round(now - episode.started_at, 6) if episode.started_at else 0.0,
            "soft": episode.soft_why,
            "request": episode.request,
        }

    # -- channels to episodes

    def drain(self, episode: Episode, output: Output) -> None:
        for _ in range(64):
            if output.fd is None:
                return
            try:
                chunk = os.read(output.fd, 65536)
            except BlockingIOError:
                return
            if not chunk:
                self.close_output(output)
                return
            output.feed(chunk)
            if output.count > episode.limits["output_kill"]:
                self.kill(episode, "output")
                return

    def close_output(self, output: Output) -> None:
        if output.fd is not None:
            self.drop(output.fd)
            os.close(output.fd)
            output.fd = None

    def write_control(self, episode: Episode, body: bytes = b"") -> None:
        if body:
            episode.outbox += struct.pack(">I", len(body)) + body
        if episode.control is None:
            return
        try:
            while episode.outbox:
                del episode.outbox[: episode.control.send(episode.outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self.kill(episode, "closed")
            return
        wanted = select.EPOLLIN | (select.EPOLLOUT if episode.outbox else 0)
        self.inner.modify(episode.control.fileno(), wanted)

    def on_control(self, episode: Episode) -> None:
        assert episode.control is not None
        if episode.stage == "hello":
            self.branching.on_hello(episode)
            return
        try:
            chunk = episode.control.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.drop(episode.control.fileno())
            episode.control.close()
            episode.control = None
            self.kill(episode, "closed")
            return
        episode.inbox += chunk
        while len(episode.inbox) >= 5 and not episode.killed_why:
            size, kind = struct.unpack_from(">IB", episode.inbox)
            if kind == 83 and size == 0 and not episode.is_ready:
                del episode.inbox[:5]
                episode.is_ready = True
                if episode.is_busy:  # the time it took to fork is not the block's
                    episode.started_at = time.monotonic()
                    episode.soft_at = episode.started_at + episode.soft_s
                continue
            expected = kind in (82, 67) and (episode.is_busy or episode.stage == "settling")
            if size > FRAME_MAX or not expected or episode.is_answering:
                episode.inbox.clear()
                self.kill(episode, "violation")
                return
            if len(episode.inbox) < 5 + size:
                return
            payload = bytes(episode.inbox[5 : 5 + size])
            del episode.inbox[: 5 + size]
            if episode.stage == "settling":
                self.branching.on_settled(episode, payload)
            elif kind == 82:
                self.on_result(episode, payload)
            else:
                episode.is_answering = True
                episode.paused_s = max(0.0, episode.soft_at - time.monotonic())
                episode.soft_at = 0.0 if not episode.hard_at else episode.soft_at
                self.send(episode.number, "C", payload)

    def on_result(self, episode: Episode, payload: bytes) -> None:
        episode.is_busy = False
        episode.soft_at = episode.hard_at = 0.0
        self.drain(episode, episode.out)
        self.drain(episode, episode.err)
        try:
            episode.cpu, episode.rss = self.watch.sample(episode.pid)
        except (OSError, ValueError, IndexError):
            pass
        facts = self.facts(episode)
        facts["cpu"] = round(max(0.0, episode.cpu - episode.block_cpu), 4)
        facts["rss"] = episode.rss
        head = json.dumps(facts, ensure_ascii=False).encode()
        self.send(episode.number, "R", struct.pack(">I", len(head)) + head + payload)
        episode.out.clear()
        episode.err.clear()

    # -- requests from the host

    def on_host(self) -> None:
        try:
            chunk = os.read(self.host_read, 1 << 18)
        except BlockingIOError:
            return
        if not chunk:
            self.leave()
        self.from_host += chunk
        while len(self.from_host) >= 9:
            size, number, kind = struct.unpack_from(">IIB", self.from_host)
            if len(self.from_host) < 9 + size:
                return
            payload = bytes(self.from_host[9 : 9 + size])
            del self.from_host[: 9 + size]
            self.on_request(number, chr(kind), payload)

    def leave(self) -> None:
        """The host is gone: everything goes with us."""
        if self.tier == "landlock":
            for episode in list(self.episodes.values()):
                self.signal(episode, signal.SIGKILL)
            time.sleep(0.05)
            remove(self.config["scratch"])
        os._exit(0)

    def on_request(self, number: int, kind: str, payload: bytes) -> None:
        episode = self.episodes.get(number)
        if kind == "S":
            self.start(number, json.loads(payload))
        elif kind == "P":
            self.send_json(number, "P", self.statistics())
        elif episode is None:
            if kind == "F":
                self.send_json(number, "B", {"error": "the episode has ended"})
        elif kind == "K":
            self.kill(episode, "closed by host")
        elif kind == "E":
            if episode.is_busy or episode.branches or episode.branch_deadline:
                self.send_json(number, "N", {"error": "busy"})
                return
            if episode.is_stopped:
                episode.is_stopped = False
                self.signal(episode, signal.SIGCONT)
            soft_ms, request = struct.unpack_from(">IQ", payload)
            episode.started_at = now = time.monotonic()
            episode.is_busy, episode.request = True, request
            episode.soft_s = soft_ms / 1000
            episode.soft_at, episode.hard_at, episode.soft_why = now + episode.soft_s, 0.0, ""
            if not episode.is_ready:
                episode.soft_at += START_TIMEOUT_S
            episode.block_cpu = episode.cpu
            self.write_control(episode, payload[12:])
        elif kind == "A" and episode.is_answering:
            episode.is_answering = False
            if not episode.hard_at:
                episode.soft_at = time.monotonic() + episode.paused_s
            self.write_control(episode, payload)
        elif kind == "F":
            self.branching.start_branches(episode, json.loads(payload)["ids"])

    def statistics(self) -> Json:
        if self.tier == "landlock":  # whose /proc is the host's
            processes = 2 + len(proc_children(self.fork_server_pid))
        else:
            processes = sum(name.isdigit() for name in os.listdir("/proc"))
        return {
            "episodes": len(self.episodes),
            "processes": processes,
            "files": len(os.listdir("/proc/self/fd")),
            "rss": self.watch.sample("self")[1],
        }

    def send(self, number: int, kind: str, payload: bytes) -> None:
        self.to_host += struct.pack(">IIB", len(payload), number, ord(kind)) + payload
        self.flush()

    def send_json(self, number: int, kind: str, value: Json) -> None:
        text = json.dumps(value, ensure_ascii=False)
        self.send(number, kind, text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        try:
            while self.to_host:
                del self.to_host[: os.write(self.host_write, self.to_host)]
        except BlockingIOError:
            pass
        except OSError:
            self.leave()
        if bool(self.to_host) != self.is_writing:
            self.is_writing = bool(self.to_host)
            if self.is_writing:
                self.main.register(self.host_write, select.EPOLLOUT)
            else:
                self.main.unregister(self.host_write)
        is_full = len(self.to_host) > OUT_QUEUE_HIGH
        if is_full != self.is_throttled:
            self.is_throttled = is_full
            self.main.modify(self.inner.fileno(), 0 if is_full else select.EPOLLIN)

    # -- the loop

    def on_inner(self) -> None:
        for fd, event in self.inner.poll(0):
            found = self.by_fd.get(fd)
            if found is None:
                continue
            episode, kind = found
            if kind == "pidfd":
                self.finish(episode, {})
            elif kind == "out":
                self.drain(episode, episode.out)
            elif kind == "err":
                self.drain(episode, episode.err)
            else:
                if event & select.EPOLLOUT:
                    self.write_control(episode)
                if event & ~select.EPOLLOUT and fd in self.by_fd:
                    self.on_control(episode)

    def serve(self) -> None:
        hello = {"abi": ABI, "tier": self.tier, "missing": self.missing}
        hello.update(python=sys.version.split()[0], kernel=os.uname().release, machine=MACHINE)
        self.send_json(0, "H", hello)
        while True:
            for fd, _ in self.main.poll(self.watch.timeout()):
                if fd == self.host_read:
                    self.on_host()
                elif fd == self.inner.fileno():
                    self.on_inner()
                elif fd == self.fork_server.fileno():
                    self.on_fork_server()
                elif fd == self.wake:
                    self.reap()
                elif fd in self.branching.helpers:
                    self.branching.on_isolated(fd)
                elif fd == self.host_write:
                    self.flush()
            self.watch.on_time()

    def reap(self) -> None:
        os.read(self.wake, 4096)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
