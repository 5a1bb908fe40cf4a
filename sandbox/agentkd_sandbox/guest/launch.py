"""Start the fork server: a Python of its own, exec'ed, so that it holds no byte of any episode."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket

from agentkd_sandbox.guest.bootstrap import BOOTSTRAP
from agentkd_sandbox.guest.kernel import PR_SET_PDEATHSIG, Json, prctl, reset_signals


def launch_fork_server(config: Json, source: bytes) -> tuple[socket.socket, int, list[str]]:
    """(our end of its channel, its pid, the profile's modules that it could not import)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    source_read, source_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            reset_signals()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for fd, target in ((theirs.fileno(), 3), (source_read, 4)):
                os.dup2(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100), target, True)
            null = os.open("/dev/null", os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            os.closerange(5, 4096)
            argv = [*config["python"], "-c", BOOTSTRAP % (4, "fork_server_main(3, 4)")]
            os.execvp(argv[0], argv)
        finally:
            os._exit(98)
    theirs.close()
    os.close(source_read)
    settings = json.dumps(config).encode()
    view = memoryview(b"%010d" % len(source) + source)
    tail = memoryview(b"%010d" % len(settings) + settings)
    try:
        for part in (view, tail):
            while part:
                part = part[os.write(source_write, part) :]
        ready = ours.recv(1 << 16)
    except OSError:
        ready = b""
    os.close(source_write)
    if not ready:
        program = config["python"][0]
        raise SystemExit("uid %d cannot start %s in the sandbox" % (os.geteuid(), program))
    missing: list[str] = json.loads(ready)["missing"]
    return ours, pid, missing
