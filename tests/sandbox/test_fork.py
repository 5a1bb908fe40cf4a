import asyncio

import pytest
from agentkd_sandbox import ForkRefused, SandboxPool, SessionClosed, UsageError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_copies_have_everything_and_share_nothing(pool: SandboxPool) -> None:
    async with pool.session(tools={"ping": lambda: "pong"}) as session:
        await session.run(
            "import math, os, tempfile\nx = [1]\nlog = open('log', 'w+'); log.write('a'); log.flush()\n"
            "os.makedirs('/tmp/d/e'); open('/tmp/d/e/f', 'w').write('deep')\n"
            "os.symlink('log', 'link'); hidden = tempfile.TemporaryFile(); n = hidden.write(b'hidden')"
        )
        copies = await session.fork(3)
        results = await asyncio.gather(
            *(
                copy.run(
                    f"x.append({n}); n = log.write('{n}'); log.flush(); open('own{n}', 'w').close()\n"
                    "n = hidden.seek(0)\n"
                    "x, open('link').read(), sorted(os.listdir()), open('/tmp/d/e/f').read(), "
                    "hidden.read(), ping(), os.getuid(), math.pi > 3"
                )
                for n, copy in enumerate(copies)
            )
        )
        for n, result in enumerate(results):
            assert result.value == str(
                ([1, n], f"a{n}", ["link", "log", f"own{n}"], "deep", b"hidden", "pong", 1000, True)
            ), result.text
        await session.adopt(copies[1])
        assert (await session.run("x, open('log').read()")).value == "([1, 1], 'a1')"
        assert len(session.tool_calls) == 1
        with pytest.raises(SessionClosed, match="adopted"):
            await copies[1].run("1")
        with pytest.raises(SessionClosed, match="another branch"):
            await copies[0].run("1")


async def test_closing_all_copies_goes_back(pool: SandboxPool) -> None:
    async with pool.session() as session:
        await session.run("x = 1")
        copies = await session.fork(2)
        with pytest.raises(UsageError, match=r"adopt\(\) or close"):
            await session.run("x")
        for copy in copies:
            await copy.run("x = 2; open('f', 'w').close()")
            await copy.close()
        assert (await session.run("import os; x, os.listdir()")).value == "(1, [])"


async def test_fork_again_and_again(process_pool: SandboxPool) -> None:
    async with process_pool.session() as session:
        await session.run("x = []")
        for step in range(20):
            copies = await session.fork(2)
            await copies[step % 2].run(f"x.append({step})")
            await session.adopt(copies[step % 2])
        assert (await session.run("x")).value == str(list(range(20)))
        with pytest.raises(ForkRefused, match="nested 24 deep"):
            for _ in range(10):
                await session.adopt((await session.fork(1))[0])
        assert (await session.run("len(x)")).value == "20"


async def test_a_copy_that_dies_leaves_the_others(pool: SandboxPool) -> None:
    async with pool.session() as session:
        await session.run("x = 1")
        one, two = await session.fork(2)
        assert not (await one.run("import os; os._exit(1)")).is_alive
        assert (await two.run("x")).value == "1"
        with pytest.raises(SessionClosed, match="fork again"):
            await one.run("x")
        await session.adopt(two)
        assert (await session.run("x + 1")).value == "2"


async def test_a_kill_everywhere_attack_stays_in_its_copy(pool: SandboxPool) -> None:
    async with pool.session() as session:
        await session.run("import os, signal; signal.signal(signal.SIGTERM, signal.SIG_DFL)")
        evil, good = await session.fork(2)
        await evil.run("for n in range(-1, 50):\n  try: os.kill(n, 9)\n  except OSError: pass")
        await evil.run("os.kill(0, 15); os.killpg(os.getpgid(0), 9)")
        assert (await good.run("1 + 1")).value == "2"
        await evil.close()
        await session.adopt(good)
        assert (await session.run("2 + 2")).value == "4"


async def test_copies_cannot_talk_over_sockets(process_pool: SandboxPool) -> None:
    async with process_pool.session() as session:
        await session.run("import socket")
        for copy in await session.fork(2):
            result = await copy.run("a, b = socket.socketpair(type=socket.SOCK_DGRAM)")
            assert result.error == "PermissionError"
            result = await copy.run("a, b = socket.socketpair(); a.bind('\\0name')")
            assert result.error == "PermissionError"


REFUSED = {
    "shared memory": "import mmap; m = mmap.mmap(-1, 4096)",
    "background thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(30,), daemon=True).start()",
    "background process": "import os, time\nif os.fork() == 0: time.sleep(30)",
    "shared memory mapping": "import mmap; f = open('m', 'wb+'); f.write(b'x' * 4096); f.flush()\n"
    "m = mmap.mmap(f.fileno(), 4096)",
}


@pytest.mark.parametrize("reason", REFUSED)
async def test_what_copies_would_share_is_refused(pool: SandboxPool, reason: str) -> None:
    async with pool.session() as session:
        await session.run(REFUSED[reason] + "\nx = 1")
        with pytest.raises(ForkRefused, match=reason):
            await session.fork(2)
        assert (await session.run("x")).value == "1"


CHANNELS = {
    "pipe": ("import os; r, w = os.pipe()", "os.write(w, b'x')"),
    "socketpair": ("import socket; a, b = socket.socketpair()", "a.send(b'x')"),
    "deleted file": ("import tempfile, os; f = tempfile.TemporaryFile(); w = f.fileno()",
                     "os.write(w, b'x'); assert os.fstat(w).st_size == 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANNELS)
async def test_no_descriptor_is_shared_between_copies(pool: SandboxPool, name: str) -> None:
    setup, use = CHANNELS[name]
    async with pool.session() as session:
        await session.run(setup)
        for copy in await session.fork(2):
            result = await copy.run(use)
            assert result.error == ("" if name == "deleted file" else "OSError"), result.text


GUEST = "import sys\nguest = sys._getframe(1).f_globals\n"
HOSTILE = {
    "kept a copy's channel": "import os\nos.close = lambda fd: None",
    "process group": "import os\nos.setsid = lambda: None",
    "kept capabilities": GUEST + "guest['drop_capabilities'] = lambda: None",
    "descriptor": "import os\nr, w = os.pipe()\nos.closerange = lambda a, b: None",
    "did not say hello": "import os\nos.setsid = lambda: os._exit(0)",
    "ended before it was ready": "import os\nos.chdir = lambda path: os._exit(0)",
    "did not answer": "import os, time\nos.setsid = lambda: time.sleep(60)",
}


@pytest.mark.parametrize("reason", HOSTILE)
async def test_an_interpreter_that_cheats_while_it_is_copied(
    process_pool: SandboxPool, reason: str
) -> None:
    """The worker's own steps are user code's to change: only what /proc shows counts."""
    async with process_pool.session() as session, process_pool.session() as victim:
        await victim.run("x = 1")
        await session.run(HOSTILE[reason])
        with pytest.raises(ForkRefused, match=reason):
            await session.fork(2)
        assert (await session.run("1 + 1")).value == "2"
        assert (await victim.run("x")).value == "1"
    assert (await process_pool.guests[0].link.statistics())["episodes"] <= 3


async def test_namespaces_stay_locked_after_a_fork(process_pool: SandboxPool) -> None:
    """Even with the branch key found in memory, an unverified copy gets no system call it lacked."""
    async with process_pool.session() as session:
        await session.run("x = 1")
        (copy,) = await session.fork(1)
        await session.adopt(copy)
        result = await session.run(
            "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n"
            "out = []\n"
            "for flag in (0x10000000, 0x20000, 0x20000000, 0x10000000|0x20000|0x20000000):\n"
            "    out.append((libc.unshare(flag), ctypes.get_errno()))\n"
            "    out.append((libc.syscall(56, flag | 17, 0, 1, 0, 0), ctypes.get_errno()))\n"
            "set(out)"
        )
        assert result.value == "{(-1, 1)}", result.text


async def test_copies_roll_the_same_dice(process_pool: SandboxPool) -> None:
    async with process_pool.session(seed=3) as session:
        await session.run("import random")
        copies = await session.fork(2)
        values = [(await copy.run("random.random()")).value for copy in copies]
        await copies[0].close()
        await copies[1].close()
        assert [*values, (await session.run("random.random()")).value] == [
            "0.23796462709189137"
        ] * 3


async def test_fork_count_is_bounded(process_pool: SandboxPool) -> None:
    async with process_pool.session() as session:
        for count in (0, -1, 32, 65):
            with pytest.raises(UsageError, match="between 1 and 31"):
                await session.fork(count)


async def test_fork_before_any_block(process_pool: SandboxPool) -> None:
    async with process_pool.session(tools={"ping": lambda: 1}) as session:
        copies = await session.fork(2)
        assert (await copies[0].run("ping()")).value == "1"
