"""`sandbox/Dockerfile` on a base with a Python of its own, as python:3.12-slim is."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import agentkd_sandbox
import pytest
from agentkd_sandbox import DockerBackend, SandboxPool
from agentkd_sandbox.image import build_image

from .conftest import interpreters, require_docker

BASE = "agentkd-test-slim"
ROOTFS = """
import sys
from pathlib import Path
from agentkd_sandbox.image.host import write_host_rootfs
write_host_rootfs(Path(sys.argv[1]))
"""


@pytest.fixture
def base() -> Iterator[tuple[str, str]]:
    """(version, tag) of an image with, where there is one, another Python than the running one."""
    require_docker()
    here = {v: python for v, python in interpreters().items() if int(v.split(".")[1]) >= 11}
    version = max(here, key=lambda v: int(v.split(".")[1]))
    client = DockerBackend().connect()
    with tempfile.TemporaryDirectory() as folder:
        rootfs = Path(folder, "rootfs.tar")
        environment = {**os.environ, "PYTHONPATH": str(Path(agentkd_sandbox.__file__).parents[1])}
        subprocess.run([here[version], "-c", ROOTFS, str(rootfs)], env=environment, check=True)
        client.api.import_image_from_file(str(rootfs), repository=BASE, tag=version)
    yield version, f"{BASE}:{version}"
    client.images.remove(f"{BASE}:{version}", force=True)
    client.close()


async def test_default_base_when_the_daemon_has_it(
    base: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version, tag = base
    monkeypatch.setattr("agentkd_sandbox.image.build.SLIM", tag)
    client = DockerBackend().connect()
    image = build_image(client, ("iniconfig",))
    try:
        assert (image.base, image.name) == (tag, "agentkd-sandbox:1-iniconfig")
        labels = client.images.get(image.name).labels
        assert labels["agentkd.sandbox.packages"] == "iniconfig"
        async with SandboxPool(DockerBackend(image=image.name)) as pool, pool.session() as session:
            code = "import sys, iniconfig; '%d.%d' % sys.version_info[:2], iniconfig.__file__"
            value = (await session.run(code)).value
    finally:
        client.images.remove(image.name, force=True)
        client.close()
    assert value == repr((version, "/opt/agentkd/site/iniconfig/__init__.py"))
