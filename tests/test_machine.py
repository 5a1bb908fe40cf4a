"""What a process may use of its machine."""

import os
from pathlib import Path

from agentkd.machine import memory_bytes


def test_memory_is_that_of_the_machine_or_the_container(tmp_path: Path) -> None:
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = tmp_path / "memory.max"
    missing = tmp_path / "missing"
    assert memory_bytes([missing]) == physical
    for written, expected in (
        ("max\n", physical),
        (f"{2**28}\n", 2**28),
        (f"{2**62}\n", physical),
    ):
        limit.write_text(written)
        assert memory_bytes([missing, limit]) == expected
    assert 0 < memory_bytes() <= physical
