"""A search server with Search-R1's request format, over any retriever.

    GET  /           -> {"version": "bm25-..."}
    POST /retrieve   {"queries": [...], "topk": 3, "return_scores": true}
                     -> {"result": [[{"document": {...}, "score": ...}, ...], ...]}

A document has `id` and `contents`, as in Search-R1's corpus, and `title` and `text` beside them.
With `return_scores` false the documents stand alone. There is no authentication; concurrent
requests share the retriever's batches.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from agentkd_envs.adapters.http_transport import HttpProblem, Request, listen
from agentkd_envs.errors import RetrievalError
from agentkd_envs.retrieval.corpus import join_contents
from agentkd_envs.retrieval.passage import Passage, Retriever

MAX_QUERIES, MAX_TOPK = 1024, 1000


class SearchServer:
    """Serves one retriever."""

    def __init__(self, retriever: Retriever, *, default_topk: int = 3) -> None:
        """Choose how many documents a request gets that does not say."""
        self._retriever, self._default_topk = retriever, default_topk

    async def run(self, host: str, port: int, on_ready: Callable[[int], None]) -> None:
        """Serve until cancelled; `on_ready` gets the port. Raises `EnvError` if it is in use."""
        server = await listen(self._answer, host, port)
        on_ready(server.sockets[0].getsockname()[1])
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            await self._retriever.close()

    async def _answer(self, request: Request) -> Any:
        if (request.method, request.path) == ("GET", "/"):
            return {"version": self._retriever.version}
        if (request.method, request.path) != ("POST", "/retrieve"):
            message = f"no {request.method} {request.path} here; there is: POST /retrieve, GET /"
            raise HttpProblem(HTTPStatus.NOT_FOUND, message)
        queries, topk, with_scores = self._read(request)
        try:
            found = await self._retriever.search(queries, topk) if queries else []
        except RetrievalError as error:
            raise HttpProblem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error
        return {
            "result": [
                [_scored(passage) if with_scores else _document(passage) for passage in passages]
                for passages in found
            ]
        }

    def _read(self, request: Request) -> tuple[list[str], int, bool]:
        queries = request.fields.get("queries")
        topk = request.fields.get("topk") or self._default_topk
        if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
            raise HttpProblem(HTTPStatus.BAD_REQUEST, "'queries' must be a list of strings")
        if len(queries) > MAX_QUERIES:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, f"more than {MAX_QUERIES} queries")
        if not isinstance(topk, int) or not 1 <= topk <= MAX_TOPK:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, f"'topk' must be from 1 to {MAX_TOPK}")
        return queries, topk, bool(request.fields.get("return_scores", False))


def _document(passage: Passage) -> dict[str, str]:
    return {
        "id": passage.id,
        "title": passage.title,
        "text": passage.text,
        "contents": join_contents(passage),
    }


def _scored(passage: Passage) -> dict[str, Any]:
    return {"document": _document(passage), "score": passage.score}
