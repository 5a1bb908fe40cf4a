"""The program inside every sandbox: supervisor, fork server and episodes, sent as one stdlib-only
file.

It runs unchanged in a container, in a namespace jail of its own making, or under Landlock; the host
sends this source over the control channel at start, so any image with Python 3.8 or newer will do.

    host <-frames-> supervisor <-SOCK_SEQPACKET-> fork server --fork--> episode (untrusted)

1. The supervisor owns every channel. It stamps each frame to the host with the episode it came from
   and measures what it attests (output bytes, CPU, memory, how an episode ended). An episode can
   only say `R` (a result) or `C` (a tool call), and only while a block runs.
2. The fork server is exec'ed, never forked from the supervisor, so it holds no byte of any episode.
   It imports the profile's packages once; an episode is a fork of it.
3. An episode drops into namespaces, a uid or a Landlock domain of its own, loses every capability,
   gets rlimits and a seccomp filter, and only then reads its first instruction.
4. A branch is a copy of a live episode, made by the episode itself with one clone() that only the
   supervisor can unlock, moved to a file system of its own, and run only after the supervisor has
   read from /proc that it shares no descriptor, mapping or process with anything.

Not covered: bugs in the kernel below the system calls that remain, and timing side channels.

The modules here are joined into that one file by `source`, in an order in which each needs only
the ones before it; imports between them are dropped on the way. On the host they are also
ordinary modules.
"""

from __future__ import annotations

import re
from importlib import resources

MODULES = (
    "bootstrap",
    "kernel",
    "seccomp",
    "jail",
    "worker",
    "episode",
    "removal",
    "branch",
    "record",
    "branching",
    "watch",
    "launch",
    "supervisor",
    "start",
)
BETWEEN_US = re.compile(
    r"^( *)from agentkd_sandbox\.guest\.\w+ import (?:\([^)]*\)|[^\n(]*)$", re.MULTILINE
)


def source() -> bytes:
    """The guest program."""
    folder = resources.files(__name__)
    parts = ["from __future__ import annotations"]
    for module in MODULES:
        text = (folder / f"{module}.py").read_text("utf-8")
        text = text.replace("from __future__ import annotations\n", "")
        parts.append(BETWEEN_US.sub(r"\1pass", text))
    return "\n\n".join(parts).encode()
