"""The fork server, and how a fork of it becomes an episode that has no rights left."""

from __future__ import annotations

import array
import ctypes
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import sys

from agentkd_sandbox.guest.jail import (
    hide_terminals,
    mount_episode_proc,
    mount_scratch,
    restrict_with_landlock,
    write_id_maps,
)
from agentkd_sandbox.guest.kernel import (
    CONTROL,
    EPISODE_UID,
    NEWCGROUP,
    NEWIPC,
    NEWNET,
    NEWNS,
    NEWPID,
    NEWUSER,
    NEWUTS,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    Json,
    drop_capabilities,
    prctl,
    reset_signals,
    setns,
    unshare,
)
from agentkd_sandbox.guest.seccomp import SyscallFilter
from agentkd_sandbox.guest.worker import run_worker


def set_limits(limits: Json) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["file"]),
        (resource.RLIMIT_NOFILE, limits["files"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_CPU, int(limits["cpu"]) + 2),  # behind the supervisor's own count
        (resource.RLIMIT_STACK, 64 << 20),
        (resource.RLIMIT_CORE, 1),  # 0 would still run a core_pattern program of the host, as root
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 256),
    ):
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            value = min(value, ceiling)
        try:
            resource.setrlimit(kind, (value, value))
        except ValueError:  # gVisor has neither of these two, and nothing that they would limit
            if kind not in (resource.RLIMIT_MSGQUEUE, resource.RLIMIT_SIGPENDING):
                raise


def become_episode(fds: list[int], start: Json, key: memoryview, syscalls: SyscallFilter) -> None:
    """In a fresh fork: take every right away, then serve. Any failure before that is fatal."""
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass  # a container may hide it; its memory limit then picks by size
    tier, limits = start["tier"], start["limits"]
    if tier == "ns":
        unshare(NEWNS | NEWIPC | NEWUTS | NEWCGROUP | NEWNET)
        mount_scratch("size=%d,mode=755,nr_inodes=%d" % (limits["disk"], limits["inodes"]))
        myself = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
        mount_episode_proc()
        hide_terminals()
        unshare(NEWUSER)  # no rights over the fork server's namespaces; NPROC counts us alone
        write_id_maps(myself, EPISODE_UID, 0, 0)
        folder = "/box"
    else:
        folder = start["folder"]
        if tier == "uid":
            os.setgroups([])
            os.setresgid(start["uid"], start["uid"], start["uid"])
            os.setresuid(start["uid"], start["uid"], start["uid"])
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of uid cleared it
            os.mkdir(folder, 0o700)
        import tempfile

        tempfile.tempdir = os.environ["TMPDIR"] = folder
    os.environ["HOME"] = folder
    os.chdir(folder)
    os.umask(0o077)
    if tier == "landlock":
        restrict_with_landlock(start["read_only"], [folder, "/dev/null"])
    reset_signals()
    spare = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
    null = os.open("/dev/null", os.O_RDONLY)
    for fd, target in ((null, 0), (spare[1], 1), (spare[2], 2), (spare[0], CONTROL)):
        os.dup2(fd, target, target != CONTROL)
    os.closerange(CONTROL + 1, 4096)
    channel = socket.socket(fileno=CONTROL)
    set_limits(limits)
    drop_capabilities()
    prctl(PR_SET_DUMPABLE, 0 if tier == "uid" else 1)  # 1: the supervisor reads its /proc entry
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscalls.install(key, os.getpid())
    ctypes.memset((ctypes.c_char * len(key)).from_buffer(key.obj), 0, len(key))
    run_worker(channel, limits)


def preload(config: Json) -> list[str]:
    """Import the profile once, so that episodes share its memory; returns what is missing."""
    missing = []
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    sys.path.extend(config["path"])
    always = "ast base64 collections datetime decimal fractions functools importlib itertools io"
    always += " linecache math random re statistics string tempfile threading traceback shutil"
    for name in always.split() + config["preload"]:
        try:
            __import__(name)
        except Exception as error:
            missing.append("%s: %s: %s" % (name, type(error).__name__, error))
    return missing


def serve_forks(control: socket.socket, config: Json) -> None:
    """The fork server: fork an episode a message, kill on request, report every exit."""
    missing = preload(config)
    syscalls = SyscallFilter(config["tier"])
    my_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
    wake, wake_write = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"ready": True, "missing": missing}).encode())
    live: dict[int, int] = {}  # pid -> episode
    buffer = bytearray(1 << 16)
    space = socket.CMSG_SPACE(3 * 4)
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake, select.POLLIN)
    while True:
        for fd, _ in poller.poll():
            if fd == wake:
                os.read(wake, 4096)
                report_exits(control, live)
                continue
            size, ancillary, _, _ = control.recvmsg_into([buffer], space)
            if size == 0:
                os._exit(0)
            message = json.loads(bytes(memoryview(buffer)[8:size]))
            if "signal" in message:
                for pid, episode in live.items():
                    if episode == message["episode"]:
                        os.kill(pid, message["signal"])
                continue
            fds = array.array("i")
            for _, _, data in ancillary:
                fds.frombytes(data)
            pid = fork_episode(message, list(fds), memoryview(buffer)[:8], syscalls, control)
            if config["tier"] == "ns":
                setns(my_pid_namespace, NEWPID)
            buffer[:8] = bytes(8)
            for fd in fds:
                os.close(fd)
            if pid > 0:
                live[pid] = message["episode"]
                answer: Json = {"started": message["episode"], "pid": pid}
            else:
                answer = {"ended": message["episode"], "status": -1, "cpu": 0.0, "rss": 0}
            control.send(json.dumps(answer).encode())


def fork_episode(
    message: Json,
    fds: list[int],
    key: memoryview,
    syscalls: SyscallFilter,
    control: socket.socket,
) -> int:
    try:
        if message["tier"] == "ns":
            unshare(NEWPID)
        pid = os.fork()
    except OSError:
        return -1
    if pid == 0:
        try:
            control.detach()
            become_episode(fds, message, key, syscalls)
        except BaseException:
            import traceback

            report = traceback.format_exc().encode()
            try:
                os.write(fds[2], report)
            except (OSError, IndexError):  # it had already been moved to its place
                os.write(2, report)
        finally:
            os._exit(99)
    return pid


def report_exits(control: socket.socket, live: dict[int, int]) -> None:
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        episode = live.pop(pid, None)
        if episode is not None:
            cpu = round(usage.ru_utime + usage.ru_stime, 4)
            ended = {"ended": episode, "status": status, "cpu": cpu, "rss": usage.ru_maxrss * 1024}
            control.send(json.dumps(ended).encode())
