"""What the guest asks of the kernel: constants, thin wrappers over libc, and its own limits.

No libc wrapper exists for most of these calls in Python 3.8, so they go through ctypes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from typing import TYPE_CHECKING, Any

ABI = 1
EPISODE_GID = EPISODE_UID = 1000
FRAME_MAX = 1 << 20
"""Largest frame an episode may send; a longer one is a protocol violation."""
OUT_QUEUE_HIGH = 8 << 20
"""Bytes queued for a slow host above which episodes are no longer read."""
MAX_BRANCH_DEPTH = 24
"""Branches of branches: the kernel nests pid and user namespaces 32 deep."""
BRANCH_TIMEOUT_S = 5.0
START_TIMEOUT_S = 10.0
UID_END_S = 5.0  # in which all processes of a killed episode's user must be gone
BUSY_TICK_S, IDLE_TICK_S = 0.05, 0.25
NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
ANY_NEW = 0x7E020000 | 0x80
BRANCH_FLAGS = NEWUSER | NEWPID | NEWNS | signal.SIGCHLD
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PROC_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = (
    1, 4, 22, 24, 38,
)  # fmt: skip
if TYPE_CHECKING:
    Json = dict[str, Any]
else:
    Json = dict  # the guest runs on 3.8, where dict[str, Any] is not a value
libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """Turn a C return value into an OSError that names the call."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, "%s: %s" % (what, os.strerror(code)))
    return result


def unshare(flags: int) -> None:
    check(libc.unshare(flags), "unshare(%#x)" % flags)


def setns(fd: int, kind: int) -> None:
    check(libc.setns(fd, kind), "setns(%#x)" % kind)


def mount(
    source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None
) -> None:
    encoded = [None if x is None else os.fsencode(x) for x in (source, target, kind, data)]
    result = libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    check(result, "mount %s on %s" % (kind or source, target))


def prctl(option: int, value: int) -> int:
    rest = [ctypes.c_ulong(x) for x in (value, 0, 0, 0)]
    return check(libc.prctl(option, *rest), "prctl(%d)" % option)


def read_text(path: str) -> str:
    """A file of /proc. Processes choose what they are called: any bytes must be readable."""
    with open(path, errors="backslashreplace") as file:
        return file.read()


def read_exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(fd, min(size - len(data), 1 << 20))
        if not chunk:
            os._exit(0)
        data += chunk
    return data


def reset_signals() -> None:
    """Default handlers, nothing blocked; SIGPIPE and SIGXFSZ ignored so that they become errors."""
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def drop_capabilities() -> None:
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # EINVAL past the last one; EPERM where there is none to drop
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    check(libc.capset(header, ctypes.create_string_buffer(24)), "capset")


CONTROL = 3
"""The episode's end of its channel to the supervisor."""
