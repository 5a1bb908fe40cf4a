import asyncio
import time

import pytest
from agentkd_sandbox import Limit, Limits, SandboxPool, Status, UsageError

pytestmark = pytest.mark.asyncio(loop_scope="module")


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def later(text: str) -> dict[str, str]:
    await asyncio.sleep(0.01)
    return {"text": text}


def fail() -> None:
    raise ValueError("the index is down")


def hang() -> None:
    time.sleep(5)


TOOLS = {
    "add": add, "later": later, "fail": fail, "hang": hang,
    "nan": lambda: float("nan"), "weird": lambda: {1, 2}, "huge": lambda: "x" * 1_000_000,
}  # fmt: skip


async def test_functions_appear_as_plain_python(pool: SandboxPool) -> None:
    async with pool.session(tools=TOOLS) as session:
        result = await session.run("add(1, b=2), later('x')['text'], add.__doc__, add.__name__")
        assert result.value == "(3, 'x', 'Add two numbers.', 'add')"
        first, second = result.tool_calls
        assert (first.name, first.arguments, first.value) == ("add", {"a": 1, "b": 2}, 3)
        assert second.seconds >= 0.01
        assert session.tool_calls == result.tool_calls


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("add()", "missing a required argument: 'a'"),
        ("add(1, 2, 3)", "too many positional arguments"),
        ("fail()", "raised ValueError: the index is down"),
        ("hang()", "took longer than 0.2 s"),
        ("nan()", "not JSON"),
        ("weird()", "not JSON"),
        ("huge()", "over 262144"),
        ("add({1})", "set is not JSON"),
        ("add(float('inf'))", "not JSON compliant"),
        ("add('x' * 300_000)", "at most 262144"),
        ("x = []; x.append(x); add(x)", "Circular reference"),
    ],
)
async def test_what_goes_wrong_is_said_to_the_agent(
    process_pool: SandboxPool, code: str, error: str
) -> None:
    limits = Limits(tool_timeout_s=0.2)
    async with process_pool.session(tools=TOOLS, limits=limits) as session:
        result = await session.run(code)
        assert result.status is Status.ERROR
        assert error in result.traceback
        assert (await session.run("add(1)")).value == "2"


async def test_calls_are_counted(process_pool: SandboxPool) -> None:
    limits = Limits(tool_calls=3)
    async with process_pool.session(tools=TOOLS, limits=limits) as session:
        assert (await session.run("[add(1) for _ in range(3)]")).ok
        result = await session.run("add(1)")
    assert (result.status, result.limit) == (Status.LIMIT, Limit.TOOL_CALLS)
    assert "all 3 tool calls" in result.traceback


async def test_waiting_for_a_tool_is_not_the_blocks_time(process_pool: SandboxPool) -> None:
    async def slow() -> int:
        await asyncio.sleep(0.6)
        return 1

    async with process_pool.session(tools={"slow": slow}) as session:
        result = await session.run("slow() + 1", timeout_s=0.3)
    assert result.value == "2"


async def test_numpy_like_arguments_become_json(process_pool: SandboxPool) -> None:
    code = "class A:\n    def tolist(self): return [1, 2]\nadd(3), later(A())['text']"
    async with process_pool.session(tools=TOOLS) as session:
        assert (await session.run(code)).value == "(4, [1, 2])"


async def test_final_answer_ends_the_block_and_the_first_counts(pool: SandboxPool) -> None:
    async with pool.session() as session:
        result = await session.run("final_answer([1])\nraise SystemExit")
        assert result.ok
        assert result.answer is not None
        assert result.answer.value == [1]
        again = await session.run("final_answer(2)")
        assert again.answer is not None
        assert again.answer.value == [1]
        assert session.answer == result.answer


async def test_no_answer_differs_from_none(process_pool: SandboxPool) -> None:
    async with process_pool.session() as session:
        assert (await session.run("1")).answer is None
        answer = (await session.run("final_answer(None)")).answer
        assert answer is not None
        assert answer.value is None


async def test_threads_may_call_tools(process_pool: SandboxPool) -> None:
    code = """
import threading
out = []
threads = [threading.Thread(target=lambda n=n: out.append(add(n))) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
sorted(out)
"""
    async with process_pool.session(tools=TOOLS) as session:
        assert (await session.run(code)).value == str(list(range(1, 9)))


@pytest.mark.parametrize("name", ["final_answer", "not a name", ""])
async def test_bad_tool_names(name: str) -> None:
    with pytest.raises(UsageError, match="tool"):
        SandboxPool("process", tools={name: add})


async def test_tools_with_mixed_parameters(process_pool: SandboxPool) -> None:
    def tool(a: int, *rest: int, flag: bool = False, **more: int) -> list[object]:
        return [a, rest, flag, more]

    async with process_pool.session(tools={"tool": tool}) as session:
        assert (await session.run("tool(1, 2, 3, flag=True, z=4)")).value == (
            "[1, [2, 3], True, {'z': 4}]"
        )
