"""Looks at the processes that this one has started."""

import os
import subprocess
import time
from pathlib import Path


def below(process: int) -> list[int]:
    """Process ids below a process, at any depth."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [process]
    for parent in found:
        found += [pid for pid, ppid in pairs if ppid == parent]
    return found[1:]


def workers(module: str) -> set[int]:
    """Process ids below this one that run a module."""
    found = set()
    for pid in below(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if module.encode() in command:
            found.add(pid)
    return found


def wait_until_gone(processes: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        assert time.monotonic() < deadline, f"still there: {processes}"
        time.sleep(0.05)
