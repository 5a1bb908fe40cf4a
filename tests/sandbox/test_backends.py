"""Choosing a backend, refusing, images, the command line, and what the package may import."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import agentkd_sandbox
import pytest
from agentkd_sandbox import (
    BackendUnavailable,
    DockerBackend,
    ImageMissing,
    PackageMissing,
    ProcessBackend,
    Profile,
    SandboxPool,
)
from agentkd_sandbox.backends import choose_backend

from .conftest import make_backend, require_docker

PACKAGE = Path(agentkd_sandbox.__file__).parent
NO_NAMESPACES = """
import asyncio, ctypes, os, struct, sys
from agentkd_sandbox import BackendUnavailable, SandboxPool
steps = [(0x20, 0, 0, 0)]
for number in (272, 444, 56):  # unshare, landlock_create_ruleset, and clone where it is for bwrap
    if number == 56:
        steps += [(0x15, 0, 3, 56), (0x20, 0, 0, 16), (0x45, 0, 1, 0x10000000), (6, 0, 0, 0x50001)]
        steps += [(0x20, 0, 0, 0)]
    else:
        steps += [(0x15, 0, 1, number), (6, 0, 0, 0x50001)]
steps += [(6, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *s) for s in steps))
program = ctypes.create_string_buffer(struct.pack("=H6xQ", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, program, 0, 0) == 0
async def main():
    async with SandboxPool("auto"):
        print("STARTED")
try:
    asyncio.run(main())
except BackendUnavailable as refusal:
    print(refusal)
"""


async def test_auto_takes_docker_when_a_daemon_answers() -> None:
    require_docker()
    assert isinstance(await choose_backend("auto"), DockerBackend)


async def test_auto_takes_process_without_a_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    async with SandboxPool("auto") as pool, pool.session() as session:
        assert (await session.run("1")).tier == "process-ns"


def test_refuses_without_docker_and_namespaces() -> None:
    """No fall-back to less: the error names the packages and sysctls."""
    answer = subprocess.run(
        [sys.executable, "-c", NO_NAMESPACES],
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere.sock"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "STARTED" not in answer.stdout, answer.stderr
    for needed in ("no sandbox works", "docker.io", "user.max_user_namespaces", "bubblewrap",
                   "apparmor_restrict_unprivileged_userns", "landlock"):  # fmt: skip
        assert needed in answer.stdout, answer.stdout + answer.stderr


async def test_docker_asked_for_and_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(BackendUnavailable, match=r"apt-get install docker\.io"):
        async with SandboxPool("docker"):
            pass


async def test_image_missing() -> None:
    require_docker()
    with pytest.raises(ImageMissing, match="agentkd sandbox build"):
        async with SandboxPool(DockerBackend(image="agentkd-no-such-image:1")):
            pass


async def test_runtime_missing() -> None:
    require_docker()
    with pytest.raises(BackendUnavailable, match="no runtime 'nope'"):
        async with SandboxPool(DockerBackend(runtime="nope")):
            pass


async def test_package_missing() -> None:
    profile = Profile("odd", ("no-such-package-of-ours",))
    with pytest.raises(PackageMissing, match="pip install no-such-package-of-ours"):
        async with SandboxPool("process", profile=profile):
            pass
    with pytest.raises(PackageMissing, match="no_such_module"):
        async with SandboxPool("process", profile=Profile("odd", (), ("no_such_module",))):
            pass


@pytest.mark.parametrize("name", ["process", "process-user", "docker"])
async def test_math_profile(name: str) -> None:
    backend = make_backend(name)
    async with SandboxPool(backend, profile="math") as pool, pool.session(seed=1) as session:
        code = "import numpy, sympy\nx = sympy.symbols('x')\nstr(sympy.integrate(x**2, x)), float(numpy.random.rand())"
        assert (await session.run(code)).value == "('x**3/3', 0.417022004702574)"


@pytest.mark.parametrize("name", ["docker-uid", "process-landlock"])
async def test_tiers_without_namespaces(name: str) -> None:
    async with SandboxPool(make_backend(name), size=2, prefork=0) as pool:
        async with pool.session() as one:
            assert (await one.run("x = 1; open('f', 'w').write('1'); x")).tier == name
            async with pool.session() as two:
                assert (await two.run("'x' in globals()")).value == "False"
        async with pool.session() as three:
            assert (await three.run("import os; os.path.exists('f')")).value == "False"


async def test_bwrap_tier() -> None:
    if subprocess.run(["which", "bwrap"], capture_output=True, check=False).returncode:
        pytest.skip("bwrap is not installed (apt-get install bubblewrap)")
    user = 65534 if os.geteuid() == 0 else None
    backend = ProcessBackend(tiers=("bwrap",), run_as=user, python="/usr/bin/python3")
    async with SandboxPool(backend) as pool, pool.session() as session:
        await session.run("x = 1")
        copies = await session.fork(2)
        await session.adopt(copies[0])
        assert (await session.run("x")).tier == "process-bwrap"


async def test_docker_container_is_hardened() -> None:
    require_docker()
    async with SandboxPool(DockerBackend()) as pool:
        client = DockerBackend().connect()
        containers = client.containers.list(
            filters={"label": "agentkd.sandbox.owner"}, ignore_removed=True
        )
        mine = [c for c in containers if f":{os.getpid()}:" in c.labels["agentkd.sandbox.owner"]]
        host = mine[0].attrs["HostConfig"]
        client.close()
        assert pool.tier == "docker-ns"
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert not host["Binds"]
    assert host["Memory"] == host["MemorySwap"] > 0
    assert host["PidsLimit"] > 0
    assert host["LogConfig"]["Type"] == "none"
    assert "no-new-privileges" in host["SecurityOpt"]
    assert mine[0].attrs["Config"]["User"] == "65534:65534"


def test_check_command() -> None:
    backend = "all" if os.environ.get("AGENTKD_REQUIRE_DOCKER") == "1" else "process"
    answer = subprocess.run(
        [sys.executable, "-m", "agentkd_sandbox", "check", "--backend", backend],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert re.fullmatch(r"[1-9]\d+ passed, 0 failed", answer.stdout.strip().splitlines()[-1]), (
        answer.stdout + answer.stderr
    )
    assert answer.returncode == 0


def test_imports_nothing_else_of_ours() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in ("agentkd", "agentkd_envs"), path


def test_importing_starts_nothing() -> None:
    code = "import sys, agentkd_sandbox; print([m for m in ('docker', 'torch', 'numpy') if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_exported_names_are_sorted_and_there() -> None:
    assert agentkd_sandbox.__all__ == sorted(agentkd_sandbox.__all__)
    assert all(hasattr(agentkd_sandbox, name) for name in agentkd_sandbox.__all__)
