"""Backends under test. A backend that this machine lacks skips with its reason, unless
AGENTKD_REQUIRE_DOCKER=1 (AGENTKD_REQUIRE_GVISOR=1) says that a Docker daemon (which knows runsc) must
be there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from agentkd_sandbox import DockerBackend, ProcessBackend, SandboxPool
from agentkd_sandbox.backends import Backend
from agentkd_sandbox.errors import BackendUnavailable

SYSTEM_PYTHON = "/usr/bin/python3"
NOBODY = 65534
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def interpreters() -> dict[str, str]:
    """One interpreter per version, from PATH and from pyenv; the running one for its own version."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    for version in VERSIONS:
        candidates = [shutil.which(f"python{version}") or ""]
        candidates += sorted(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python3")))
        for candidate in candidates:
            said = "import sys, ctypes; print('%d.%d' % sys.version_info[:2])"
            if candidate and version not in found:
                answer = subprocess.run(
                    [candidate, "-c", said], capture_output=True, text=True, check=False
                )
                if answer.stdout.strip() == version:
                    found[version] = candidate
    return {version: found[version] for version in VERSIONS if version in found}


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
