"""The two programs of the guest: what the bootstrap calls."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket

from agentkd_sandbox.guest.episode import serve_forks
from agentkd_sandbox.guest.jail import become, enter_jail, enter_namespaces
from agentkd_sandbox.guest.kernel import (
    PR_SET_DUMPABLE,
    PROC_FLAGS,
    Json,
    mount,
    prctl,
    read_exactly,
)
from agentkd_sandbox.guest.supervisor import Supervisor


def take_config(fd: int) -> Json:
    config: Json = json.loads(read_exactly(fd, int(read_exactly(fd, 10))))
    return config


def fork_server_main(control: int, source: int) -> None:
    config = take_config(source)
    os.close(source)
    serve_forks(socket.socket(fileno=control), config)


def supervisor_main(read_fd: int, write_fd: int) -> None:
    config = take_config(read_fd)
    host_read = fcntl.fcntl(read_fd, fcntl.F_DUPFD_CLOEXEC, 10)
    host_write = fcntl.fcntl(write_fd, fcntl.F_DUPFD_CLOEXEC, 10)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in {0, 1, read_fd, write_fd}:
        os.dup2(null, fd)
    if config["is_jailed"]:
        enter_jail(config)
    elif config["tier"] == "ns":
        enter_namespaces(os.geteuid(), os.getegid())
        try:
            mount("proc", "/proc", "proc", PROC_FLAGS)
        except OSError:
            pass  # masked in a container: /proc then shows the container's pids (see proc_pid)
    elif config["tier"] == "landlock" and os.geteuid() == 0:
        become(config["kernel_uid"])
    if config["tier"] != "ns":
        prctl(PR_SET_DUMPABLE, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Supervisor(host_read, host_write, config, globals()["__source__"]).serve()
