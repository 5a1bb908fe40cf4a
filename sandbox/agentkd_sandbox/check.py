"""`agentkd sandbox check`: probe the backends, then conformance and an attack smoke test on
each.
"""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator
from dataclasses import dataclass

from agentkd_sandbox.backends import Backend
from agentkd_sandbox.backends.docker import DockerBackend
from agentkd_sandbox.backends.process import ProcessBackend
from agentkd_sandbox.conformance import ATTACKS
from agentkd_sandbox.conformance.arena import Arena
from agentkd_sandbox.conformance.behaviour import BEHAVIOUR
from agentkd_sandbox.errors import BackendUnavailable, SandboxError


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report; `passed` is None for what is told and not tested."""

    text: str
    passed: bool | None = None


async def check(wanted: str = "all") -> AsyncIterator[Line]:
    """Check "docker" (with gVisor, if the daemon knows it), "process", or "all".

    Of "all", a backend that is not there is told and not failed.
    """
    yield Line(
        f"python {platform.python_version()}, kernel {os.uname().release}, {os.uname().machine}, "
        f"uid {os.geteuid()}, {os.cpu_count()} cores"
    )
    todo: list[tuple[str, Backend]] = [("docker", DockerBackend()), ("process", ProcessBackend())]
    todo = [(name, backend) for name, backend in todo if wanted in ("all", name)]
    found = 0
    while todo:
        name, backend = todo.pop(0)
        try:
            await backend.probe()
            if isinstance(backend, DockerBackend) and backend.runtime is None:
                yield Line(f"docker: {backend.version()}; runtimes {', '.join(backend.runtimes())}")
                if "runsc" in backend.runtimes():
                    todo.insert(0, ("docker with gVisor", DockerBackend(runtime="runsc")))
        except BackendUnavailable as refusal:
            yield Line(str(refusal), None if wanted == "all" else False)
            await backend.close()
            continue
        found += 1
        try:
            async for line in _check_backend(name, backend):
                yield line
        except SandboxError as error:
            yield Line(f"{name}: {type(error).__name__}: {error}", False)
    if not found:
        yield Line("no backend works on this machine", False)


async def _check_backend(name: str, backend: Backend) -> AsyncIterator[Line]:
    async with Arena(backend) as arena:
        pool = arena.pool
        info = pool.guests[0].info
        yield Line(f"{name}: tier {pool.tier}, guest python {info['python']}")
        for claim, test in BEHAVIOUR.items():
            try:
                passed, detail = await test(pool), ""
            except SandboxError as error:
                passed, detail = False, f" ({error})"
            yield Line(f"{pool.tier}: {claim}{detail}", passed)
        for attack in ATTACKS:
            if attack.is_smoke and arena.applies(attack):
                failures = await arena.run(attack)
                detail = f" ({'; '.join(failures)})" if failures else ""
                yield Line(f"{pool.tier}: contains {attack.name}{detail}", not failures)
