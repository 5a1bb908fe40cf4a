import asyncio

import pytest
from agentkd_sandbox import Limits, SandboxPool, SessionClosed, Status, UsageError
from agentkd_sandbox.conformance.behaviour import BEHAVIOUR

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("claim", BEHAVIOUR)
async def test_behaviour(pool: SandboxPool, claim: str) -> None:
    assert await BEHAVIOUR[claim](pool)


async def test_facts_and_tier(pool: SandboxPool) -> None:
    async with pool.session() as session:
        result = await session.run("print('x' * 10)\n'v'")
    assert result.status is Status.OK
    assert result.tier == pool.tier
    assert result.facts.stdout_bytes == 11
    assert 0 < result.facts.wall_s < 5
    assert result.facts.rss_bytes > 1 << 20
    assert result.text == "xxxxxxxxxx\n'v'"


async def test_traceback_names_blocks_and_hides_the_guest(process_pool: SandboxPool) -> None:
    async with process_pool.session() as session:
        await session.run("def f(x):\n    return 1 / x")
        result = await session.run("\nf(0)")
    assert 'File "<block 2>", line 2, in <module>\n    f(0)' in result.traceback
    assert 'File "<block 1>", line 2, in f\n    return 1 / x' in result.traceback
    assert "guest" not in result.traceback


async def test_syntax_error_points_at_the_line(process_pool: SandboxPool) -> None:
    async with process_pool.session() as session:
        result = await session.run("x = 1\nif x\n    pass")
        assert result.error == "SyntaxError"
        assert 'File "<block 1>", line 2' in result.traceback
        assert (await session.run("1")).ok


async def test_real_python(process_pool: SandboxPool) -> None:
    code = """
import asyncio, dataclasses, subprocess, sys, threading, pickle
@dataclasses.dataclass
class A:
    x: int
async def f():
    await asyncio.sleep(0.001)
    return pickle.loads(pickle.dumps(A(3))).x
done = []
t = threading.Thread(target=lambda: done.append(1)); t.start(); t.join()
out = subprocess.run([sys.executable, "-S", "-c", "print(5)"], capture_output=True, text=True).stdout
asyncio.run(f()), done, out
"""
    async with process_pool.session() as session:
        result = await session.run(code)
    assert result.value == "(3, [1], '5\\n')", result.text


async def test_sessions_share_nothing(pool: SandboxPool) -> None:
    async with pool.session() as one, pool.session() as two:
        await one.run("x = 1; open('f', 'w').write('1')")
        result = await two.run("import os; ('x' in globals(), os.path.exists('f'))")
    assert result.value == "(False, False)"


async def test_sessions_run_at_the_same_time(pool: SandboxPool) -> None:
    async def one(number: int) -> str | None:
        async with pool.session() as session:
            await session.run(f"import time; time.sleep(0.1); x = {number}")
            return (await session.run("x * 2")).value

    assert await asyncio.gather(*(one(n) for n in range(20))) == [str(2 * n) for n in range(20)]


async def test_a_session_that_is_over_says_so(process_pool: SandboxPool) -> None:
    session = await process_pool.open()
    await session.close()
    await session.close()
    with pytest.raises(SessionClosed, match="it was closed"):
        await session.run("1")


async def test_one_block_at_a_time(process_pool: SandboxPool) -> None:
    async with process_pool.session() as session:
        first = asyncio.ensure_future(session.run("import time; time.sleep(0.2); 1"))
        await asyncio.sleep(0.05)
        with pytest.raises(UsageError, match="still running"):
            await session.run("2")
        assert (await first).value == "1"


async def test_cancelled_run_ends_the_interpreter_only(process_pool: SandboxPool) -> None:
    async with process_pool.session() as session:
        await session.run("x = 1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.run("import time; time.sleep(60)"), 0.2)
        await asyncio.sleep(0.2)
        result = await session.run("'x' in globals()")
    assert result.value == "False"
    assert result.is_restarted


async def test_put_text_bytes_and_too_much(pool: SandboxPool) -> None:
    async with pool.session() as session:
        await session.put("a.txt", "naïve ☃")
        await session.put("b.bin", bytes(1_500_000))
        result = await session.run(
            "open('a.txt', encoding='utf-8').read(), len(open('b.bin','rb').read())"
        )
        assert result.value == "('naïve ☃', 1500000)"
        with pytest.raises(UsageError, match=r"put\('/usr/x', 1 bytes\)"):
            await session.put("/usr/x", b"x")
        with pytest.raises(UsageError, match="put"):
            await session.put("big", bytes(60 << 20))


@pytest.mark.parametrize(
    ("code", "error"), [(b"1", "not bytes"), ("x" * 600_000, "at most 500000")]
)
async def test_bad_code_argument(process_pool: SandboxPool, code: str, error: str) -> None:
    async with process_pool.session() as session:
        with pytest.raises(UsageError, match=error):
            await session.run(code)


async def test_unpaired_surrogates_in_code(process_pool: SandboxPool) -> None:
    async with process_pool.session() as session:
        result = await session.run("'\ud800'")
        assert result.status is Status.ERROR
        assert (await session.run("1")).value == "1"


async def test_own_limits_per_session(process_pool: SandboxPool) -> None:
    async with process_pool.session(limits=Limits(value_bytes=10)) as session:
        result = await session.run("'x' * 100")
    assert result.value == "'xxxxxxxxx"
    assert result.is_value_cut


async def test_pool_must_be_open() -> None:
    with pytest.raises(UsageError, match="async with SandboxPool"):
        await SandboxPool("process").open()


@pytest.mark.parametrize("name", ["nope", "kubernetes"])
async def test_unknown_names(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        async with SandboxPool(name):
            pass
    with pytest.raises(UsageError, match=name):
        SandboxPool("process", profile=name)


async def test_put_where_the_code_set_traps(pool: SandboxPool) -> None:
    """No path hangs the host or ends the interpreter; it is the episode that opens the file."""
    async with pool.session() as session:
        code = "import os\nos.symlink('/etc/passwd', 'link'); os.mkdir('folder'); os.symlink('loop', 'loop')\nx = 1"
        assert (await session.run(code)).ok
        for path in (
            "link",
            "folder",
            "loop",
            "loop/x",
            "a\0b",
            "",
            "x" * 5000,
            "../" * 30 + "usr/x",
            "\ud800",
        ):
            with pytest.raises(UsageError, match="put"):
                await session.put(path, b"x")
        await session.put("two\nlines", b"y")
        result = await session.run("x, open('two\\nlines').read()")
        assert (result.value, result.is_restarted) == ("(1, 'y')", False)
