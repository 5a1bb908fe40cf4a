"""Guests as containers."""

from __future__ import annotations

from agentkd_sandbox.errors import BackendUnavailable
from agentkd_sandbox.guests import Guest
from agentkd_sandbox.limits import Limits
from agentkd_sandbox.profiles import Profile


class DockerBackend:
    """Not yet."""

    async def probe(self) -> str:
        raise BackendUnavailable("docker: not written yet")

    async def start(self, profile: Profile, limits: Limits, sessions: int) -> Guest:
        raise BackendUnavailable("docker: not written yet")
