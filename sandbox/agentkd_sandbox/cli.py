"""The commands `agentkd sandbox build | check | gc`, also `python -m agentkd_sandbox ...`."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Annotated, Literal

from cyclopts import App, Parameter

from agentkd_sandbox.check import check as run_checks
from agentkd_sandbox.errors import SandboxError
from agentkd_sandbox.gc import collect_garbage

app = App(name="sandbox", help="Sandboxes for code that a model wrote: build, check, clean up.")


@app.command
def build(
    *,
    packages: str = "",
    base: str | None = None,
    from_host: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Build the Docker image: from python:3.12-slim, or from this interpreter without a registry.

    Parameters
    ----------
    packages
        Wheels to add, such as numpy,sympy.
    base
        Another base image with Python 3.8 or newer.
    from_host
        Use the running interpreter even if a registry answers.
    """
    from agentkd_sandbox.backends.docker import DockerBackend
    from agentkd_sandbox.image import build_image

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    started = time.monotonic()
    try:
        client = DockerBackend().connect()
        names = [name.strip() for name in packages.split(",") if name.strip()]
        image = build_image(client, names, base=base, from_host=from_host)
        client.close()
    except SandboxError as error:
        print(error)
        return 1
    seconds = time.monotonic() - started
    print(f"built {image.name} on {image.base}: {image.size_bytes / 1e6:.0f} MB, {seconds:.1f} s")
    print("next: agentkd sandbox check")
    return 0


@app.command
def check(backend: Literal["all", "docker", "process"] = "all") -> int:
    """Probe the backends, run conformance and an attack smoke test; ends with N passed, N
    failed.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return asyncio.run(_check(backend))


async def _check(backend: str) -> int:
    passed = failed = 0
    async for line in run_checks(backend):
        if line.passed is None:
            print(line.text)
        else:
            passed, failed = passed + line.passed, failed + (not line.passed)
            print(f"{'ok    ' if line.passed else 'FAILED'} {line.text}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


@app.command
def gc() -> int:
    """Remove containers, folders and cgroups that a crashed host left on this machine."""
    removed = 0
    for line in collect_garbage():
        removed += 1
        print("removed", line)
    print(f"{removed} removed" if removed else "nothing to remove")
    return 0
