"""gVisor (`runtime="runsc"`): the same guest and the same claims on a kernel of its own."""

import pytest
from agentkd_sandbox import ForkRefused, SandboxPool
from agentkd_sandbox.result import Limit, Status

from .conftest import make_backend


async def test_state_files_tools_and_tier() -> None:
    async with SandboxPool(
        make_backend("docker-runsc"), size=2, tools={"twice": lambda x: 2 * x}
    ) as pool:
        async with pool.session() as session:
            await session.put("data.txt", "6")
            await session.run("x = int(open('data.txt').read())")
            result = await session.run("twice(x) + 30")
        async with pool.session() as other:
            assert (await other.run("'x' in globals()")).value == "False"
    assert (result.value, result.tier) == ("42", "docker-runsc")
    assert result.tool_calls[0].arguments == {"x": 6}


async def test_kernel_is_not_the_hosts() -> None:
    async with SandboxPool(make_backend("docker-runsc")) as pool, pool.session() as session:
        code = "import os; (os.uname().release, os.getuid() >= 20000, len(os.sched_getaffinity(0)) > 0)"
        assert (await session.run(code)).value == "('4.4.0', True, True)"


async def test_fork_is_refused_with_the_reason() -> None:
    async with SandboxPool(make_backend("docker-runsc")) as pool, pool.session() as session:
        await session.run("x = 1")
        with pytest.raises(ForkRefused, match="no namespaces to copy into"):
            await session.fork(2)
        assert (await session.run("x")).value == "1"


async def test_limits() -> None:
    async with SandboxPool(make_backend("docker-runsc"), size=2) as pool, pool.session() as session:
        forks = "import os, time\nfor _ in range(60):\n    if os.fork() == 0: time.sleep(60)"
        for code, limit in (
            ("x = bytearray(1 << 36)", Limit.MEMORY),
            ("open('f', 'wb').write(bytes(1 << 26))", Limit.FILE_SIZE),
            ("while True: pass", Limit.WALL),
            (forks, Limit.PROCESSES),
        ):
            result = await session.run(code, timeout_s=4)
            assert (result.status, result.limit) == (Status.LIMIT, limit)
