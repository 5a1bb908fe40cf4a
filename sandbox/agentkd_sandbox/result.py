"""What a block of code came to: facts from the supervisor, and claims by the code.

`Facts` is measured outside the episode. `value`, `error`, `message` and `traceback` are said by the
interpreter that ran the code, and code can make its own interpreter say anything: show them to the
agent, never grade by them. What the host itself did, the tool calls and the final answer, is in
`tool_calls` and `answer`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a block ended."""

    OK = "ok"
    """It ran to its end."""
    ERROR = "error"
    """It raised, and nobody caught it; the interpreter and its variables live on."""
    LIMIT = "limit"
    """It met a limit, named by `RunResult.limit`."""
    EXIT = "exit"
    """It called sys.exit() (the interpreter lives on) or os._exit() (it does not)."""
    CRASH = "crash"
    """A signal that was not ours ended the interpreter."""
    VIOLATION = "violation"
    """It wrote to the control channel what no interpreter writes; the session is over."""


class Limit(StrEnum):
    """Which limit a block met."""

    WALL = "wall"
    CPU = "cpu"
    MEMORY = "memory"
    PROCESSES = "processes"
    FILES = "files"
    FILE_SIZE = "file_size"
    DISK = "disk"
    OUTPUT = "output"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the supervisor attests about one block."""

    wall_s: float
    """Seconds from the request to the result, tool calls included."""
    cpu_s: float
    """CPU seconds of the episode's processes during the block (10 ms steps)."""
    rss_bytes: int
    """Resident memory of the interpreter when the block ended, or its peak if it died."""
    stdout_bytes: int
    stderr_bytes: int
    killed_for: str = ""
    """Why the supervisor killed the interpreter; empty if it did not."""
    interrupted_for: str = ""
    """The limit at which the supervisor interrupted the block; empty if it did not."""
    exit_code: int | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a host function, as the host saw it."""

    name: str
    arguments: dict[str, Any]
    value: Any
    error: str
    """Empty if the function returned."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The first value that the episode passed to final_answer()."""

    value: Any


@dataclass(frozen=True, slots=True)
class RunResult:
    """The outcome of one block. `text` is what to show the agent."""

    status: Status
    tier: str
    """The isolation that the code ran in, such as `docker-ns` or `process-landlock`."""
    facts: Facts
    stdout: str = ""
    stderr: str = ""
    output: str = ""
    """stdout and stderr in the order in which they were written."""
    value: str | None = None
    """repr() of the last expression, or None if the block did not end in one."""
    is_value_cut: bool = False
    error: str = ""
    """Name of the exception."""
    message: str = ""
    """One line that the agent can act on."""
    traceback: str = ""
    limit: Limit | None = None
    is_alive: bool = True
    """Whether the variables are still there for the next block."""
    is_restarted: bool = False
    """Whether this block ran in a fresh interpreter, because an earlier one had died."""
    tool_calls: tuple[ToolCall, ...] = field(default=())
    answer: Answer | None = None

    @property
    def ok(self) -> bool:
        """Whether the block ran to its end."""
        return self.status is Status.OK

    @property
    def text(self) -> str:
        """Output, value and error as one observation for the agent."""
        parts = [self.output.rstrip("\n")] if self.output else []
        if self.value is not None:
            parts.append(self.value + (" [cut]" if self.is_value_cut else ""))
        if self.traceback:
            parts.append(self.traceback.rstrip("\n"))
        if self.status in (Status.LIMIT, Status.CRASH, Status.VIOLATION, Status.EXIT):
            parts.append(f"[{self.message}]")
        if self.is_restarted:
            parts.insert(0, "[the interpreter had died: this is a new one, without variables]")
        return "\n".join(parts)
