"""What an episode may use. Every field is enforced outside the episode's own process."""

from __future__ import annotations

from dataclasses import dataclass, fields

from agentkd_sandbox.errors import UsageError

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits per block and per episode.

    A breach is a typed outcome (`RunResult.limit`). Where the kernel can say no to one call (disk,
    files, processes, address space) the code gets an exception and the episode goes on; where it
    cannot, the block is interrupted, and after `grace_s` the interpreter is killed.
    """

    timeout_s: float = 10.0
    """Wall-clock seconds per block, not counting time the host spends in tools."""
    grace_s: float = 1.0
    """Seconds between the interrupt at a limit and the kill."""
    block_cpu_s: float = 20.0
    """CPU seconds per block, over all processes of the episode."""
    cpu_s: float = 120.0
    """CPU seconds per episode, over all its processes."""
    memory_bytes: int = 1024 * MIB
    """Address space per process, and resident memory over all processes of the episode."""
    processes: int = 32
    """Processes and threads of the episode at a time."""
    open_files: int = 128
    """Open descriptors per process."""
    file_bytes: int = 16 * MIB
    """Largest single file."""
    disk_bytes: int = 32 * MIB
    """All files of the episode together (/box, /tmp and /dev/shm are one memory file system)."""
    inodes: int = 4096
    """Number of files and directories."""
    output_bytes: int = 64 * 1024
    """Kept of stdout and of stderr each: the first and the last half."""
    output_kill_bytes: int = 64 * MIB
    """Output of one block after which the interpreter is killed."""
    value_bytes: int = 64 * 1024
    """Kept of the value of the last expression."""
    tool_bytes: int = 256 * 1024
    """JSON size of the arguments, and of the result, of one tool call."""
    tool_calls: int = 200
    """Tool calls per session."""
    tool_timeout_s: float = 30.0
    """Seconds that one tool call may take on the host."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name != "tool_calls"):
                raise UsageError(f"Limits.{field.name} is {value}; it must be above 0")
        if self.tool_bytes > MIB - 4096:
            raise UsageError(f"Limits.tool_bytes is {self.tool_bytes}; a frame carries under 1 MiB")

    def for_guest(self) -> dict[str, int | float]:
        """The part that the guest enforces, under the guest's names."""
        return {
            "memory": self.memory_bytes,
            "file": self.file_bytes,
            "files": self.open_files,
            "processes": self.processes,
            "cpu": self.cpu_s,
            "block_cpu": self.block_cpu_s,
            "disk": self.disk_bytes,
            "inodes": self.inodes,
            "output": self.output_bytes,
            "output_kill": self.output_kill_bytes,
            "value_bytes": self.value_bytes,
            "tool_bytes": self.tool_bytes,
            "grace_ms": int(self.grace_s * 1000),
        }
