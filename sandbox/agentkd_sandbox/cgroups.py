"""A memory and pid bound around a whole guest, where root can make one (cgroup v1 and v2).

Each episode is bounded by the supervisor's own accounting; this is the wall behind it, for what is
faster than a look every 50 ms. A plain user's guest goes without.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path

from agentkd_sandbox.limits import MIB, Limits

log = logging.getLogger(__name__)
ROOT = Path("/sys/fs/cgroup")


def memory_bytes(limits: Limits, sessions: int) -> int:
    """Room for a few sessions at their limit and the rest at ordinary size."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    wanted = 768 * MIB + limits.memory_bytes * min(sessions, 3) + 8 * MIB * sessions
    return max(limits.memory_bytes + 512 * MIB, min(wanted, physical * 3 // 4))


def pids(limits: Limits, sessions: int) -> int:
    """Tasks of a whole guest."""
    return 64 + sessions * (limits.processes + 8)


def create(limits: Limits, sessions: int) -> list[str]:
    """Make the groups for one guest; the guest's launcher joins them and removes them at its
    end.
    """
    name = f"agentkd-{os.getpid()}-{secrets.token_hex(4)}"
    memory, tasks = str(memory_bytes(limits, sessions)), str(pids(limits, sessions))
    if (ROOT / "cgroup.controllers").exists():
        groups = {ROOT / name: {"memory.max": memory, "memory.swap.max": "0", "pids.max": tasks}}
    else:
        groups = {
            ROOT / "memory" / name: {"memory.limit_in_bytes": memory},
            ROOT / "pids" / name: {"pids.max": tasks},
        }
    made = []
    for path, settings in groups.items():
        try:
            path.mkdir()
        except OSError as error:
            log.info("no cgroup %s: %s", path, error)
            continue
        made.append(str(path))
        for file, value in settings.items():
            with contextlib.suppress(OSError):  # a controller that is not enabled
                (path / file).write_text(value)
    return made


def remove(paths: list[str]) -> None:
    """Remove groups whose processes have gone."""
    for path in paths:
        with contextlib.suppress(OSError):
            Path(path).rmdir()


def leftovers() -> list[Path]:
    """Groups whose host process is gone."""
    found = []
    for parent in (ROOT, ROOT / "memory", ROOT / "pids"):
        for path in parent.glob("agentkd-*-*"):
            pid = path.name.split("-")[1]
            if pid.isdigit() and not Path("/proc", pid).exists():
                found.append(path)
    return found
