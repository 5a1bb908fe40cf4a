"""Run code that a model wrote: isolated per episode, in milliseconds.

    from agentkd_sandbox import SandboxPool

    async with SandboxPool() as pool:
        async with pool.session() as session:
            result = await session.run("2 + 2")

See sandbox/README.md for the threat model.
"""

from agentkd_sandbox.backends.docker import DockerBackend
from agentkd_sandbox.backends.process import ProcessBackend
from agentkd_sandbox.errors import (
    BackendUnavailable,
    ForkRefused,
    ImageMissing,
    InfrastructureError,
    PackageMissing,
    PoolExhausted,
    SandboxError,
    SandboxLost,
    SessionClosed,
    UsageError,
)
from agentkd_sandbox.limits import Limits
from agentkd_sandbox.pool import SandboxPool
from agentkd_sandbox.profiles import Profile
from agentkd_sandbox.result import Answer, Facts, Limit, RunResult, Status, ToolCall
from agentkd_sandbox.session import Session

__all__ = [
    "Answer",
    "BackendUnavailable",
    "DockerBackend",
    "Facts",
    "ForkRefused",
    "ImageMissing",
    "InfrastructureError",
    "Limit",
    "Limits",
    "PackageMissing",
    "PoolExhausted",
    "ProcessBackend",
    "Profile",
    "RunResult",
    "SandboxError",
    "SandboxLost",
    "SandboxPool",
    "Session",
    "SessionClosed",
    "Status",
    "ToolCall",
    "UsageError",
]
