import pytest
from agentkd_sandbox import Limit, Limits, SandboxPool, SessionClosed, Status, UsageError

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1 << 20
LIMITS = Limits(
    timeout_s=10, grace_s=0.3, memory_bytes=256 * MIB, disk_bytes=8 * MIB, file_bytes=4 * MIB,
    inodes=200, output_kill_bytes=8 * MIB, processes=16, block_cpu_s=0.5, cpu_s=4,
)  # fmt: skip

CASES = {
    "wall": ("import time; time.sleep(60)", Limit.WALL, True),
    "cpu": ("while True: pass", Limit.CPU, True),
    "memory": ("x = bytearray(1 << 34)", Limit.MEMORY, True),
    "disk": ("for n in range(9): open(f'{n}', 'wb').write(bytes(1 << 20))", Limit.DISK, True),
    "inodes": ("for n in range(300): open(f'{n}', 'w').close()", Limit.DISK, True),
    "file": ("open('f', 'wb').write(bytes(5 << 20))", Limit.FILE_SIZE, True),
    "files": ("x = [open('/dev/null') for _ in range(300)]", Limit.FILES, True),
    "threads": (
        "import threading, time\n"
        "for _ in range(99): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        Limit.PROCESSES,
        True,
    ),
    "output": ("while True: print('x' * 100000)", Limit.OUTPUT, False),
}


@pytest.mark.parametrize("name", CASES)
async def test_breach_is_typed_and_the_episode_goes_on(pool: SandboxPool, name: str) -> None:
    code, limit, is_alive = CASES[name]
    async with pool.session(limits=LIMITS) as session:
        await session.run("state = 5")
        result = await session.run(code, timeout_s=1 if name == "wall" else None)
        assert (result.status, result.limit) == (Status.LIMIT, limit), result.text
        assert result.is_alive is is_alive
        assert result.message in result.text
        after = await session.run("state")
        assert after.value == ("5" if is_alive else None)
        assert after.is_restarted is not is_alive


async def test_memory_of_all_processes_is_one_budget(pool: SandboxPool) -> None:
    code = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        x = bytearray(os.urandom(1 << 20)) * 70
        time.sleep(60)
time.sleep(60)
"""
    async with pool.session(limits=LIMITS) as session:
        result = await session.run(code)
    assert result.limit is Limit.MEMORY
    assert result.facts.killed_for == "memory"


async def test_hard_kill_comes_in_time(pool: SandboxPool) -> None:
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    limits = Limits(timeout_s=0.3, grace_s=0.3)
    async with pool.session(limits=limits) as session:
        result = await session.run(code)
    assert result.limit is Limit.WALL
    assert not result.is_alive
    assert result.facts.wall_s < 5


async def test_interrupt_before_the_block_begins_is_not_lost(process_pool: SandboxPool) -> None:
    late = f"{'a' * 400_000!r}\nwhile True: pass"  # still being parsed at its time limit
    async with process_pool.session() as session:
        await session.run("x = 1")
        for _ in range(30):
            assert (await session.run(late, timeout_s=0.001)).limit is Limit.WALL
        result = await session.run("x")
    assert (result.value, result.is_restarted) == ("1", False)


async def test_session_cpu_budget_outlives_interpreters(process_pool: SandboxPool) -> None:
    limits = Limits(timeout_s=3, cpu_s=1, block_cpu_s=20)
    async with process_pool.session(limits=limits) as session:
        result = await session.run("while True: pass")
        assert result.limit is Limit.CPU
        assert not result.is_alive
        with pytest.raises(SessionClosed, match="CPU budget"):
            await session.run("1")


async def test_output_keeps_head_and_tail(pool: SandboxPool) -> None:
    async with pool.session() as session:
        result = await session.run("print('HEAD' + 'x' * 300000 + 'TAIL')")
    assert result.stdout.startswith("HEAD")
    assert result.stdout.endswith("TAIL\n")
    assert "bytes not shown" in result.stdout
    assert len(result.stdout) < 70_000
    assert result.facts.stdout_bytes == 300_009


async def test_result_of_300_megabytes(pool: SandboxPool) -> None:
    async with pool.session() as session:
        result = await session.run("'x' * 300_000_000")
    assert result.status in (Status.OK, Status.LIMIT)
    assert result.value is None or (len(result.value) <= 65536 and result.is_value_cut)


async def test_invalid_utf8_output(pool: SandboxPool) -> None:
    async with pool.session() as session:
        result = await session.run("import os; n = os.write(1, b'a\\xff\\xfeb')")
    assert result.stdout == "a\ufffd\ufffdb"


async def test_missing_package_is_an_error_of_the_code(pool: SandboxPool) -> None:
    async with pool.session() as session:
        result = await session.run("import torchvision_of_nobody")
    assert result.status is Status.ERROR
    assert result.error == "ModuleNotFoundError"


@pytest.mark.parametrize("field", ["timeout_s", "memory_bytes", "processes"])
async def test_limits_must_be_positive(field: str) -> None:
    with pytest.raises(UsageError, match=field):
        Limits(**{field: 0})
