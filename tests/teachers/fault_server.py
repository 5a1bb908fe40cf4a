"""A real HTTP server that speaks the OpenAI API and breaks in every way that such servers break.

In tests it runs in a thread of its own (`with FaultServer(answer, plan) as server`); as a program
(`python tests/teachers/fault_server.py --delay 1`) it is the stub of the collection benchmark.
Answers are a function of the conversation, so that a run with faults can be compared with one
without.
"""

import argparse
import asyncio
import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

Body = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What the server does instead of answering well."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    """Body of an error answer, under the key `error`."""
    change: Callable[[Body], Body] | None = None
    """Applied to the good answer before it is sent."""
    cut: Literal["reset", "stall", "close"] | None = None
    """What happens after half of the body; `close` ends the body there as if it were whole."""
    hang: bool = False
    """Accept the request and say nothing."""


@dataclass(frozen=True)
class Request:
    """One request, as the plan sees it."""

    number: int
    """Counted from 1 over all conversations."""
    visit: int
    """Counted from 1 over requests with the same body."""
    path: str
    headers: Mapping[str, str]
    body: Body


Answer = Callable[[Body], str]
Plan = Callable[[Request], Fault | None]


def count_tokens(text: str) -> int:
    """A stand-in for a tokenizer: four characters each, as estimates go."""
    return len(text) // 4 + 1


class FaultServer:
    """Serves `/v1/chat/completions`, `/v1/completions` and `/v1/models` on a free local port."""

    def __init__(
        self,
        answer: Answer,
        plan: Plan = lambda request: None,
        *,
        delay_s: float = 0.0,
        model: str | None = "stub",
        key: str | None = None,
        port: int = 0,
        keep_requests: bool = True,
    ) -> None:
        self.answer, self.plan, self.delay_s = answer, plan, delay_s
        self.model, self.key, self.port = model, key, port
        self.requests: list[Request] = []
        self.usage: dict[str, int] = {"prompt_tokens": 0, "completion_tokens": 0, "cached": 0}
        self.answered = 0
        self.in_flight = self.peak_in_flight = 0
        self.keep_requests = keep_requests
        self._visits: dict[str, int] = {}
        self._prefixes: set[int] = set()
        self._numbers = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(
        self, connection: "Connection", path: str, headers: dict[str, str], raw: bytes
    ) -> None:
        task = asyncio.create_task(self._serve(connection, path, headers, raw))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, connection: "Connection", path: str, headers: dict[str, str], raw: bytes
    ) -> None:
        if path.endswith("/models"):
            connection.send(200, {"data": [{"id": self.model}]})
            return
        body: Body = json.loads(raw)
        identity = json.dumps(body, sort_keys=True)
        visit = self._visits[identity] = self._visits.get(identity, 0) + 1
        self._numbers += 1
        request = Request(self._numbers, visit, path, headers, body)
        if self.keep_requests:
            self.requests.append(request)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._reply(connection, request)
        finally:
            self.in_flight -= 1

    async def _reply(self, connection: "Connection", request: Request) -> None:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            error = {"message": "Incorrect API key provided", "code": "invalid_api_key"}
            connection.send(401, {"error": error})
            return
        if self.model and request.body["model"] != self.model:
            error = {"message": "The model does not exist", "code": "model_not_found"}
            connection.send(404, {"error": error})
            return
        fault = self.plan(request) or Fault()
        if fault.hang:
            await asyncio.Event().wait()
        if fault.error is not None or fault.status != 200:
            connection.send(fault.status, {"error": fault.error or "broken"}, fault.headers)
            return
        good = self._good(request)
        answer = fault.change(good) if fault.change else good
        if request.body.get("stream"):
            await connection.stream(answer, fault.cut)
        else:
            connection.send(200, answer, fault.headers, fault.cut)
        if fault.change is None and fault.cut is None:
            usage = answer["usage"]
            self.answered += 1
            self.usage["prompt_tokens"] += usage["prompt_tokens"]
            self.usage["completion_tokens"] += usage["completion_tokens"]
            self.usage["cached"] += usage["prompt_tokens_details"]["cached_tokens"]

    def _good(self, request: Request) -> Body:
        body = request.body
        text = self.answer(body)
        number = int(body.get("n") or 1)
        if "messages" in body:
            parts = [str(message["content"]) for message in body["messages"]]
            message = {"role": "assistant", "content": text}
            choices: list[Body] = [
                {"index": index, "message": message, "finish_reason": "stop"}
                for index in range(number)
            ]
        else:
            prompt = body["prompt"]
            parts = [prompt if isinstance(prompt, str) else " " * 4 * len(prompt)]
            choices = [
                {"index": index, "text": text, "finish_reason": "stop"} for index in range(number)
            ]
        cached = 0
        for end in range(len(parts), 0, -1):
            key = hash(tuple(parts[:end]))
            if key in self._prefixes:
                cached = sum(count_tokens(part) for part in parts[:end])
                break
        self._prefixes.add(hash(tuple(parts)))
        prompt_tokens = sum(count_tokens(part) for part in parts)
        completion_tokens = count_tokens(text) * number
        return {
            "id": f"call-{request.number}",
            "object": "chat.completion",
            "model": self.model,
            "choices": choices,
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, server: FaultServer) -> None:
        self._server = server
        self._received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._server._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            head, separator, rest = self._received.partition(b"\r\n\r\n")
            if not separator:
                return
            lines = head.decode("latin-1").split("\r\n")
            path = lines[0].split(" ")[1]
            pairs = (line.partition(":") for line in lines[1:])
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self._received = rest[length:]
            self._server.begin(self, path, headers, rest[:length])

    def send(
        self,
        status: int,
        body: Body,
        headers: Mapping[str, str] | None = None,
        cut: str | None = None,
    ) -> None:
        if self.transport is None:
            return
        content = json.dumps(body).encode()
        half = content[: len(content) // 2]
        length = len(half) if cut == "close" else len(content)
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n{extra}\r\n"
        )
        self.transport.write(head.encode() + (half if cut else content))
        if cut == "reset":
            self.transport.close()

    async def stream(self, answer: Body, cut: str | None) -> None:
        """Send the answer as server-sent events, a few characters each."""
        head = "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"
        self._write(f"{head}\r\n\r\n".encode())
        for choice in answer["choices"]:
            text = choice["message"]["content"]
            for start in range(0, len(text), 8):
                if cut and start >= len(text) // 2:
                    if cut != "stall" and self.transport is not None:
                        self.transport.close()
                    return
                delta = {"content": text[start : start + 8]}
                self._event({"choices": [{"index": choice["index"], "delta": delta}]})
                await asyncio.sleep(0)
            reason = choice["finish_reason"]
            last = {"index": choice["index"], "delta": {}, "finish_reason": reason}
            self._event({"choices": [last], "model": answer["model"]})
        self._event({"choices": [], "usage": answer["usage"]})
        self._chunk(b"data: [DONE]\n\n")
        self._write(b"0\r\n\r\n")

    def _event(self, value: Body) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, content: bytes) -> None:
        self._write(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    def _write(self, content: bytes) -> None:
        if self.transport is not None:
            self.transport.write(content)


async def _serve_forever(arguments: argparse.Namespace) -> None:
    replies = json.loads(arguments.replies)

    def answer(body: Body) -> str:
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        return str(replies[min(turn, len(replies) - 1)])

    server = FaultServer(answer, delay_s=arguments.delay, keep_requests=False)
    await server.listen()
    print(server.url, flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=1.0, help="seconds that a call takes")
    parser.add_argument("--replies", default='["Thought: look around\\nAction: look"]')
    asyncio.run(_serve_forever(parser.parse_args()))
