"""A small HTTP/1.1 server for JSON: one handler, keep-alive, one write per answer.

Enough for a trusted network or the loopback; no TLS, no chunked requests, no authentication. The
answer's head and body go out in one write, since two of them would wait for each other's
acknowledgement for tens of milliseconds (Nagle's algorithm and delayed acknowledgements).
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from agentkd_envs.errors import EnvError

_LOG = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    method: str
    path: str
    fields: Mapping[str, Any]
    """The JSON object of the body, and the parameters of the address."""


@dataclass(frozen=True)
class HttpProblem(Exception):
    """A request that cannot be served; its message goes to the client."""

    status: HTTPStatus
    message: str


Handler = Callable[[Request], Awaitable[Any]]


async def listen(handler: Handler, host: str, port: int) -> asyncio.Server:
    """Start to answer requests with what `handler` returns, as JSON.

    Raises `EnvError` if the port is in use or not allowed.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _answer_one(handler, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The client has gone.
        finally:
            writer.close()

    try:
        return await asyncio.start_server(serve, host, port, limit=MAX_HEAD_BYTES)
    except OSError as error:
        raise EnvError(
            f"cannot listen on {host}:{port}: {error.strerror}; "
            "choose another port with --port, or a free one with --port 0"
        ) from error


async def _answer_one(
    handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Return whether the connection stays open."""
    keeps_open = False
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in map(_colon, lines)}
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(_length(headers))
        keeps_open = headers.get("connection", "").lower() != "close"
        answer = await handler(_request(request_line, body))
        status = HTTPStatus.OK
    except asyncio.LimitOverrunError:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        answer, keeps_open = {"error": f"the head has more than {MAX_HEAD_BYTES} bytes"}, False
    except HttpProblem as problem:
        status, answer = problem.status, {"error": problem.message}
    except (ConnectionError, asyncio.IncompleteReadError):
        raise
    except Exception as error:
        _LOG.exception("a request failed")
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        answer = {"error": f"the server failed: {type(error).__name__}"}
    payload = json.dumps(answer).encode()
    writer.write(
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\n"
        f"Connection: {'keep-alive' if keeps_open else 'close'}\r\n\r\n".encode()
        + payload
    )
    await writer.drain()
    return keeps_open


def _colon(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def _length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise HttpProblem(HTTPStatus.LENGTH_REQUIRED, "send the body whole, with Content-Length")
    length = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise HttpProblem(HTTPStatus.BAD_REQUEST, f"Content-Length {length!r} is not a number")
    if int(length) > MAX_BODY_BYTES:
        raise HttpProblem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {MAX_BODY_BYTES} bytes"
        )
    return int(length)


def _request(line: str, body: bytes) -> Request:
    method, _, rest = line.partition(" ")
    address = urlsplit(rest.partition(" ")[0])
    fields: dict[str, Any] = dict(parse_qsl(address.query))
    if body:
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise HttpProblem(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
        fields |= content
    return Request(method, address.path, fields)
