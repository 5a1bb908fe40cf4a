"""Puts an answer that comes in pieces (server-sent events) back together.

The result has the shape of an answer that was not streamed. A stream that ends before its last
event is a failed call: half an answer is never kept.
"""

from collections.abc import Mapping
from typing import Any

import anyio
import httpx2
import pydantic_core

from agentkd.errors import CallError

_TEXTS = ("content", "reasoning_content", "reasoning")


async def assemble(response: httpx2.Response, stall_s: float, where: str) -> dict[str, Any]:
    """Read the whole stream; raises `TimeoutError` after `stall_s` of silence, or `CallError`."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    lines = response.aiter_lines()
    is_done = False
    while True:
        with anyio.fail_after(stall_s):
            line = await anext(lines, None)
        if line is None:
            break
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            is_done = True
            break
        try:
            event = pydantic_core.from_json(data)
        except ValueError as error:
            raise CallError("bad_answer", f"{where} streamed broken JSON: {error}") from error
        if event.get("error"):
            raise CallError("unavailable", f"{where} broke off: {str(event['error'])[:200]}")
        for key in ("model", "usage", "timings"):
            if event.get(key):
                answer[key] = event[key]
        for part in event.get("choices") or ():
            _add(choices.setdefault(part.get("index", 0), {"message": {}}), part)
    is_whole = choices and all(choice.get("finish_reason") for choice in choices.values())
    if not is_done and not is_whole:
        raise CallError("bad_answer", f"{where} ended its stream in mid-answer")
    answer["choices"] = [choices[index] for index in sorted(choices)]
    return answer


def _add(choice: dict[str, Any], part: Mapping[str, Any]) -> None:
    delta = part.get("delta") or {}
    message = choice["message"]
    for name in _TEXTS:
        if delta.get(name):
            message[name] = message.get(name, "") + delta[name]
    if part.get("finish_reason"):
        choice["finish_reason"] = part["finish_reason"]
    if part.get("token_ids"):
        choice.setdefault("token_ids", []).extend(part["token_ids"])
    logprobs = (part.get("logprobs") or {}).get("content")
    if logprobs:
        choice.setdefault("logprobs", {"content": []})["content"].extend(logprobs)
