"""What a working sandbox does: one small claim each, checked on a live pool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agentkd_sandbox.errors import ForkRefused
from agentkd_sandbox.pool import SandboxPool
from agentkd_sandbox.result import Limit, Status

Check = Callable[[SandboxPool], Awaitable[bool]]


async def _value(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        return (await session.run("x = 6\nx * 7")).value == "42"


async def _state(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        await session.run("def f(n): return n + 1")
        return (await session.run("f(1)")).value == "2"


async def _order(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        code = "import sys\nprint('a'); print('b', file=sys.stderr); print('c')"
        result = await session.run(code)
        return (result.output, result.stdout, result.stderr) == ("a\nb\nc\n", "a\nc\n", "b\n")


async def _traceback(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        result = await session.run("x = 1\nraise KeyError('here')")
        return result.error == "KeyError" and "line 2, in <module>\n    raise" in result.traceback


async def _interrupt(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        await session.run("x = 1")
        late = await session.run("while True: pass", timeout_s=0.2)
        return late.limit is Limit.WALL and (await session.run("x")).value == "1"


async def _kill(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        stuck = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
        late = await session.run(stuck, timeout_s=0.2)
        fresh = await session.run("1 + 1")
        return late.limit is Limit.WALL and not late.is_alive and fresh.is_restarted


async def _memory(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        result = await session.run("x = bytearray(1 << 36)")
        return result.status is Status.LIMIT and result.limit is Limit.MEMORY


async def _tool(pool: SandboxPool) -> bool:
    async with pool.session(tools={"double": lambda x: 2 * x}) as session:
        result = await session.run("double(4)")
        return result.value == "8" and result.tool_calls[0].arguments == {"x": 4}


async def _answer(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        result = await session.run("final_answer({'a': [1, None]})\nprint('not reached')")
        return result.answer is not None and result.answer.value == {"a": [1, None]}


async def _put(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        await session.put("data/x.bin", bytes(range(256)))
        return (await session.run("open('data/x.bin', 'rb').read()[255]")).value == "255"


async def _fork(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        await session.run("x = [1]\nf = open('log', 'w+')")
        try:
            copies = await session.fork(2)
        except ForkRefused:
            return not pool.tier.endswith("-ns")
        for number, copy in enumerate(copies):
            await copy.run(f"x.append({number}); f.write('{number}'); f.flush()")
        await session.adopt(copies[1])
        return (await session.run("x, open('log').read()")).value == "([1, 1], '1')"


async def _seed(pool: SandboxPool) -> bool:
    values = []
    for _ in range(2):
        async with pool.session(seed=5) as session:
            values.append((await session.run("import random; random.random()")).value)
    return values[0] == values[1]


async def _tier(pool: SandboxPool) -> bool:
    async with pool.session() as session:
        return (await session.run("1")).tier == pool.tier != ""


BEHAVIOUR: dict[str, Check] = {
    "value of the last expression": _value,
    "state between blocks": _state,
    "stdout and stderr in order": _order,
    "traceback points at the line": _traceback,
    "interrupt at the time limit": _interrupt,
    "kill after the grace period": _kill,
    "memory limit": _memory,
    "tool call": _tool,
    "final answer": _answer,
    "put a file": _put,
    "fork and adopt": _fork,
    "seed": _seed,
    "tier in the result": _tier,
}
