"""What this machine has, as far as a process may use it."""

import os
from collections.abc import Sequence
from pathlib import Path

MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where the limit of a container stands, in control groups of version 2 and 1."""


def memory_bytes(limits: Sequence[Path] = MEMORY_LIMITS) -> int:
    """Main memory, or the limit of the container that this process runs in if it is less."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in limits:
        try:
            sizes.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return min(sizes)
