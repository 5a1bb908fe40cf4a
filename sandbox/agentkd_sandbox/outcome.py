"""From the supervisor's facts and the interpreter's claims to a `RunResult`."""

from __future__ import annotations

import signal
from typing import Any

from agentkd_sandbox.errors import SandboxLost
from agentkd_sandbox.interpreter import Reply
from agentkd_sandbox.limits import Limits
from agentkd_sandbox.result import Answer, Facts, Limit, RunResult, Status, ToolCall

FRESH = "The interpreter was ended: variables are gone, and the next block starts a new one."


def outcome(
    reply: Reply,
    *,
    tier: str,
    limits: Limits,
    timeout_s: float,
    is_restarted: bool,
    tool_calls: tuple[ToolCall, ...],
    answer: Answer | None,
    is_tool_budget_used: bool,
) -> RunResult:
    """Classify one block. Raises SandboxLost if it ended for a reason that is not the code's."""
    head = reply.head
    body = reply.body or {}
    facts = Facts(
        wall_s=head["wall"],
        cpu_s=head["cpu"],
        rss_bytes=head["rss"],
        stdout_bytes=head["out_bytes"],
        stderr_bytes=head["err_bytes"],
        killed_for=head.get("why", ""),
        interrupted_for=head["soft"],
        exit_code=head.get("code"),
        signal=head.get("signal"),
    )
    if reply.body is None:
        status, limit, message = _ended(head, facts, limits, timeout_s)
    else:
        status, limit, message = _answered(body, facts, limits, timeout_s)
        if is_tool_budget_used and status is not Status.OK:
            status, limit = Status.LIMIT, Limit.TOOL_CALLS
            message = f"All {limits.tool_calls} tool calls of this session are used up."
    value = body.get("value")
    length = body.get("value_length")
    return RunResult(
        status=status,
        tier=tier,
        facts=facts,
        stdout=head["out"],
        stderr=head["err"],
        output=_interleave(head, body.get("order")),
        value=value if isinstance(value, str) else None,
        is_value_cut=isinstance(value, str) and isinstance(length, int) and length > len(value),
        error=_text(body, "error"),
        message=message,
        traceback=_text(body, "traceback"),
        limit=limit,
        is_alive=reply.body is not None,
        is_restarted=is_restarted,
        tool_calls=tool_calls,
        answer=answer,
    )


def describe(limit: Limit, limits: Limits, timeout_s: float) -> str:
    """One sentence for the agent."""
    mib = 1 << 20
    return {
        Limit.WALL: f"The block ran longer than {timeout_s:g} s.",
        Limit.CPU: f"More CPU time than a block ({limits.block_cpu_s:g} s) or the session "
        f"({limits.cpu_s:g} s) may use.",
        Limit.MEMORY: f"More memory than {limits.memory_bytes // mib} MiB.",
        Limit.PROCESSES: f"More than {limits.processes} processes and threads.",
        Limit.FILES: f"More than {limits.open_files} open files.",
        Limit.FILE_SIZE: f"A file larger than {limits.file_bytes // mib} MiB.",
        Limit.DISK: f"More than {limits.disk_bytes // mib} MiB or {limits.inodes} files.",
        Limit.OUTPUT: f"More than {limits.output_kill_bytes // mib} MiB of output.",
        Limit.TOOL_CALLS: f"More than {limits.tool_calls} tool calls.",
    }[limit]


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key, "")
    return value if isinstance(value, str) else ""


def _answered(
    body: dict[str, Any], facts: Facts, limits: Limits, timeout_s: float
) -> tuple[Status, Limit | None, str]:
    if facts.interrupted_for:
        limit = Limit(facts.interrupted_for)
        return Status.LIMIT, limit, describe(limit, limits, timeout_s)
    claimed = _text(body, "limit")
    if claimed in set(Limit):
        limit = Limit(claimed)
        detail = _text(body, "message").splitlines()[:1]
        sentence = describe(limit, limits, timeout_s)
        return Status.LIMIT, limit, f"{sentence} ({_text(body, 'error')}: {' '.join(detail)})"
    if "exit" in body:
        return Status.EXIT, None, f"The code called exit with {_text(body, 'exit')}."
    if body.get("ok") is True:
        return Status.OK, None, ""
    return Status.ERROR, None, _text(body, "message").split("\n", 1)[0][:1000]


def _ended(
    head: dict[str, Any], facts: Facts, limits: Limits, timeout_s: float
) -> tuple[Status, Limit | None, str]:
    why = facts.killed_for
    if why in ("lost", "closed by host"):
        raise SandboxLost(f"the interpreter was ended from outside: {why}")
    if not head["ready"]:  # it never got as far as the episode's code
        detail = "".join(head["err"].strip().splitlines()[-1:])
        raise SandboxLost(f"an interpreter could not be started: {detail or why or 'no reason'}")
    if why == "violation":
        return Status.VIOLATION, None, "The code wrote to the sandbox's control channel."
    if why in set(Limit):
        limit = Limit(why)
        return Status.LIMIT, limit, f"{describe(limit, limits, timeout_s)} {FRESH}"
    if facts.signal in (signal.SIGKILL, signal.SIGXCPU) and why == "":
        is_cpu = facts.signal == signal.SIGXCPU or facts.cpu_s >= limits.cpu_s
        limit = Limit.CPU if is_cpu else Limit.MEMORY  # RLIMIT_CPU, or the kernel's OOM killer
        return Status.LIMIT, limit, f"{describe(limit, limits, timeout_s)} {FRESH}"
    if facts.exit_code is not None:
        return Status.EXIT, None, f"The process exited with code {facts.exit_code}. {FRESH}"
    if facts.signal and why in ("", "closed"):
        name = signal.Signals(facts.signal).name if facts.signal < 32 else str(facts.signal)
        closed = " after it closed its control channel" if why else ""
        return Status.CRASH, None, f"The process died of {name}{closed}. {FRESH}"
    return Status.CRASH, None, f"The process ended. {FRESH}"


def _interleave(head: dict[str, Any], order: Any) -> str:
    """Merge both streams by the interpreter's own record of turns, if it matches the bytes."""
    out, err = head["out"], head["err"]
    if not err or not out:
        return str(out or err)
    streams = {1: out.encode(), 2: err.encode()}
    turns = order if isinstance(order, list) else []
    parts = []
    for turn in turns:
        if not (isinstance(turn, list) and len(turn) == 2 and turn[0] in (1, 2)):
            break
        if not isinstance(turn[1], int) or turn[1] < 0:
            break
        parts.append(streams[turn[0]][: turn[1]])
        streams[turn[0]] = streams[turn[0]][turn[1] :]
    return b"".join([*parts, streams[1], streams[2]]).decode("utf-8", "replace")
