"""What an attack is: code that prints ESCAPED if the sandbox let it do what it must not.

The code runs beside a live victim session in the same guest. `@NAME@` in it is replaced by the
runner: a listening port and an abstract socket of the host, a file and the pid of the host process.
"""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = """
import ctypes, errno, os, sys, time, socket, struct, signal, threading, mmap, glob, json
_libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *[
        ctypes.c_long(x) if isinstance(x, int) else x for x in arguments])
    return result, ctypes.get_errno()
def escaped(*what):
    print("ESCAPED", *what, flush=True)
def refused(number, *arguments):
    result, code = call(number, *arguments)
    if result >= 0 or code not in (errno.EPERM, errno.ENOSYS, errno.EACCES, errno.EAFNOSUPPORT):
        escaped("system call", number, "returned", result, errno.errorcode.get(code))
def unreadable(*paths):
    for path in paths:
        try:
            data = open(path, "rb").read(64)
        except OSError:
            continue
        escaped("read", path, data)
def unwritable(*paths):
    for path in paths:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(fd, b"x")
        except OSError:
            continue
        escaped("wrote", path)
def unconnectable(family, kind, address):
    try:
        s = socket.socket(family, kind)
        s.settimeout(0.3)
        s.connect(address)
    except OSError:
        return
    escaped("connected to", address)
os.write(1, b"BEGUN\\n")
"""

WITH_LINUX = ("-ns", "-uid", "-bwrap", "-landlock")
"""Tiers on the host's own kernel. In gVisor what these cases look for is there and leads nowhere."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One case of the suite."""

    name: str
    code: str
    expect: str = ""
    """A regular expression that `status limit text` must match, where the outcome is certain."""
    is_smoke: bool = False
    """Whether `agentkd sandbox check` runs it too."""
    is_alive: bool | None = None
    """Whether the attacker's interpreter must have survived; None if either is fine."""
    second: str = ""
    """A second block, run in the same session."""
    tiers: tuple[str, ...] = ()
    """Only for tiers whose name contains one of these; empty for all."""
