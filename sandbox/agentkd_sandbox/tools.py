"""Host functions that the episode may call: the only way out of the sandbox.

The registry is a plain mapping, so a name from the episode is looked up and never resolved. The
arguments are JSON that the episode wrote: they are bound to the function's signature here, and it
is the function's own duty to distrust their content.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from agentkd_sandbox.errors import UsageError
from agentkd_sandbox.limits import Limits
from agentkd_sandbox.result import Answer, ToolCall

FINAL_ANSWER = "final_answer"
MAX_JSON_DEPTH = 100
FINAL_ANSWER_DOC = "Give the final answer (a JSON value) and end the block."


def refuse_constant(name: str) -> Any:
    """JSON has no NaN and no Infinity; Python's parser would take them."""
    raise ValueError(f"{name} is not JSON")


def parse_json(data: bytes) -> Any:
    """Decode JSON that an episode wrote; ValueError whatever is wrong with it.

    What Python takes and other programs do not is refused too, as the host will store and pass on
    what came: numbers that are not finite, halves of surrogate pairs, nesting over MAX_JSON_DEPTH.
    """
    try:
        text = data.decode()
        value = json.loads(text, parse_constant=refuse_constant, parse_float=_finite)
        if text.count("[") + text.count("{") > MAX_JSON_DEPTH:
            _refuse_depth(value)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (RecursionError, UnicodeError) as error:
        raise ValueError(f"not JSON: {error}") from None
    return value


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is more than a float holds")
    return number


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child
            for part in level
            if isinstance(part, (list, dict))
            for child in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_JSON_DEPTH} deep")


class Toolbox:
    """The tools of one session: counts, times and records every call."""

    def __init__(self, tools: Mapping[str, Callable[..., Any]], limits: Limits) -> None:
        for name, function in tools.items():
            if not name.isidentifier() or name == FINAL_ANSWER or not callable(function):
                raise UsageError(
                    f"tool {name!r}: give a callable under a Python name other than {FINAL_ANSWER}"
                )
        self._tools = dict(tools)
        self._limits = limits
        self.calls: list[ToolCall] = []
        self.count = 0
        self.is_exhausted = False
        self.answer: Answer | None = None

    def copy(self) -> Toolbox:
        """For a branch: the same tools, the same budget used up, its own record."""
        copy = Toolbox(self._tools, self._limits)
        copy.count, copy.answer = self.count, self.answer
        return copy

    def docs(self) -> dict[str, str]:
        """Name -> docstring, for the functions that the guest makes."""
        docs = {name: inspect.getdoc(f) or "" for name, f in self._tools.items()}
        return {**docs, FINAL_ANSWER: FINAL_ANSWER_DOC}

    async def answer_call(self, payload: bytes) -> bytes:
        """Run one call and return the reply for the guest. Never raises for what the episode
        did.
        """
        started = time.perf_counter()
        name, arguments, value, error, is_final = "", {}, None, "", False
        deadline = None
        try:
            name, args, kwargs = self._parse(payload)
            self._count()
            if name == FINAL_ANSWER:
                bound = inspect.signature(_final_answer).bind(*args, **kwargs)
                arguments = dict(bound.arguments)
                is_final = True
                if self.answer is None:
                    self.answer = Answer(arguments["answer"])
            else:
                function = self._tools[name]
                arguments, call = self._bind(function, args, kwargs)
                deadline = asyncio.timeout(self._limits.tool_timeout_s)
                async with deadline:
                    value = await call()
        except _Refused as refusal:
            error = str(refusal)
        except Exception as failure:
            error = f"{name}() raised {type(failure).__name__}: {failure}"[:4000]
            if deadline is not None and deadline.expired():
                error = f"{name}() took longer than {self._limits.tool_timeout_s:g} s; given up"
        reply, error = self._reply(name, value, error, is_final)
        seconds = time.perf_counter() - started
        if len(self.calls) < 10 * self._limits.tool_calls + 10:  # refused calls are free to make
            self.calls.append(
                ToolCall(name, arguments, None if error else value, error, round(seconds, 6))
            )
        return reply

    def _parse(self, payload: bytes) -> tuple[str, list[Any], dict[str, Any]]:
        if len(payload) > self._limits.tool_bytes + 1024:
            raise _Refused(f"arguments over {self._limits.tool_bytes} bytes")
        try:
            call = parse_json(payload)
            name, args, kwargs = call["name"], call["args"], call["kwargs"]
        except ValueError as error:
            raise _Refused(f"a malformed call: {error}") from None
        except (KeyError, TypeError):
            raise _Refused("a malformed call") from None
        if not (isinstance(name, str) and isinstance(args, list) and isinstance(kwargs, dict)):
            raise _Refused("a malformed call")
        if name != FINAL_ANSWER and name not in self._tools:
            raise _Refused(f"no tool is called {name[:100]!r}")
        return name, args, kwargs

    def _count(self) -> None:
        if self.count >= self._limits.tool_calls:
            self.is_exhausted = True
            raise _Refused(f"all {self._limits.tool_calls} tool calls of this session are used up")
        self.count += 1

    @staticmethod
    def _bind(
        function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> tuple[dict[str, Any], Callable[[], Any]]:
        name = getattr(function, "__name__", "tool")
        try:
            bound = inspect.signature(function).bind(*args, **kwargs)
        except TypeError as error:
            raise _Refused(f"{name}(): {error}") from None
        except ValueError:  # a builtin without a signature
            return {"args": args, **kwargs}, _call(function, args, kwargs)
        return dict(bound.arguments), _call(function, args, kwargs)

    def _reply(self, name: str, value: Any, error: str, is_final: bool) -> tuple[bytes, str]:
        if not error:
            try:
                body = json.dumps({"value": value, "final": is_final}, allow_nan=False).encode()
                if len(body) <= self._limits.tool_bytes + 1024:
                    return body, ""
                error = f"{name}() returned {len(body)} bytes, over {self._limits.tool_bytes}"
            except (TypeError, ValueError, RecursionError) as failure:
                error = f"{name}() returned what is not JSON: {failure}"
        return json.dumps({"error": error}).encode(), error


class _Refused(Exception):
    """A call that is not made; the text is for the agent."""


def _final_answer(answer: Any) -> None:
    """Only its signature is used."""


def _call(
    function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
) -> Callable[[], Any]:
    async def call() -> Any:
        if inspect.iscoroutinefunction(function):
            return await function(*args, **kwargs)
        value = await _in_thread(function, args, kwargs)
        return await value if inspect.isawaitable(value) else value

    return call


async def _in_thread(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """A daemon thread per call: a tool that hangs blocks neither other tools nor the exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, failure: BaseException | None) -> None:
        if not future.done():
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)

    def work() -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = (function(*args, **kwargs), None)
        except Exception as failure:
            outcome = (None, failure)
        with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=work, daemon=True, name="sandbox tool").start()
    return await future
