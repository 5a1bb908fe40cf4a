"""Backends under test. A backend that this machine lacks skips with its reason, unless
AGENTKD_REQUIRE_DOCKER=1 (AGENTKD_REQUIRE_GVISOR=1) says that a Docker daemon (which knows runsc) must
be there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from agentkd_sandbox import DockerBackend, ProcessBackend, SandboxPool
from agentkd_sandbox.backends import Backend
from agentkd_sandbox.errors import BackendUnavailable

SYSTEM_PYTHON = "/usr/bin/python3"
NOBODY = 65534


def make_backend(name: str) -> Backend:
    if name == "process":
        return ProcessBackend(tiers=("ns",))
    if name == "process-user":
        if os.geteuid() == 0:
            if not Path(SYSTEM_PYTHON).exists():
                pytest.skip(f"no {SYSTEM_PYTHON} for another user to run")
            return ProcessBackend(tiers=("ns",), run_as=NOBODY, python=SYSTEM_PYTHON)
        return ProcessBackend(tiers=("ns",))
    if name == "process-landlock":
        user = NOBODY if os.geteuid() == 0 else None
        return ProcessBackend(tiers=("landlock",), run_as=user, python=SYSTEM_PYTHON)
    if name == "docker-runsc":
        require_docker("runsc", "AGENTKD_REQUIRE_GVISOR")
        return DockerBackend(runtime="runsc")
    require_docker()
    return DockerBackend(tiers=("uid",) if name == "docker-uid" else ("ns",))


def require_docker(runtime: str | None = None, variable: str = "AGENTKD_REQUIRE_DOCKER") -> None:
    try:
        DockerBackend(runtime=runtime).connect().close()
    except BackendUnavailable as refusal:
        if os.environ.get(variable) == "1":
            pytest.fail(f"{variable}=1, but {refusal}")
        pytest.skip(str(refusal))


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["process", "process-user", "docker"]
)
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[SandboxPool]:
    async with SandboxPool(make_backend(request.param), size=8) as pool:
        yield pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process_pool() -> AsyncIterator[SandboxPool]:
    async with SandboxPool(make_backend("process"), size=8) as pool:
        yield pool
