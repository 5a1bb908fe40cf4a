"""Where guests come from. `choose_backend` decides, and never for less isolation than was asked."""

from __future__ import annotations

import logging
from typing import Protocol

from agentkd_sandbox.errors import BackendUnavailable, UsageError
from agentkd_sandbox.guests import Guest
from agentkd_sandbox.limits import Limits
from agentkd_sandbox.profiles import Profile

log = logging.getLogger(__name__)


class Backend(Protocol):
    """Starts guests."""

    async def probe(self) -> str:
        """The tier that works here; raises BackendUnavailable with what is missing."""

    async def start(self, profile: Profile, limits: Limits, sessions: int) -> Guest:
        """Start one guest for up to `sessions` sessions.

        Raises InfrastructureError if a retry may help, BackendUnavailable if it cannot.
        """

    async def close(self) -> None:
        """Let go of connections; the backend may be used again."""


async def choose_backend(wanted: str | Backend) -> Backend:
    """Resolve "auto", "docker" or "process"; a backend object is taken as it is.

    Raises BackendUnavailable with everything that was tried and what to install.
    """
    from agentkd_sandbox.backends.docker import DockerBackend
    from agentkd_sandbox.backends.process import ProcessBackend

    if not isinstance(wanted, str):
        return wanted
    if wanted == "docker":
        return DockerBackend()
    if wanted == "process":
        return ProcessBackend()
    if wanted != "auto":
        raise UsageError(f"no backend {wanted!r}; there are auto, docker and process")
    refusals = []
    candidates: list[Backend] = [DockerBackend(), ProcessBackend()]
    for backend in candidates:
        try:
            tier = await backend.probe()
        except BackendUnavailable as refusal:
            log.info("%s", refusal)
            refusals.append(str(refusal))
            await backend.close()
            continue
        log.info("sandbox tier %s", tier)
        return backend
    raise BackendUnavailable("no sandbox works on this machine:\n" + "\n".join(refusals))
