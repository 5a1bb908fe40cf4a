"""Answers of chat models on disk, so that the same question is paid for once.

The key holds everything that the answer depends on, the seed of the attempt included: two attempts
at a task are two samples, and the same run done again is free. One SQLite file serves many runs and
many processes. Whatever the file's format, a row is an answer whole or it is not there.
"""

import sqlite3
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from agentkd.calls.request import ChatAnswer
from agentkd.errors import StorageError

_ADAPTER = TypeAdapter(ChatAnswer)
_BUSY_TIMEOUT_S = 30.0


class CallCache:
    """The answers at `path`. Use it as a context manager; raises `StorageError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        """Open the file, and make it if it is not there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer BLOB NOT NULL) "
                "WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise self._problem(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, key: str) -> ChatAnswer | None:
        """The answer to a question that was asked before."""
        assert self._connection is not None
        try:
            row = self._connection.execute(
                "SELECT answer FROM answers WHERE key = ?", (key,)
            ).fetchone()
        except sqlite3.Error as error:
            raise self._problem(error) from error
        return _ADAPTER.validate_json(row[0]) if row else None

    def put(self, key: str, answer: ChatAnswer) -> None:
        """Keep an answer."""
        assert self._connection is not None
        try:
            self._connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?)",
                (key, _ADAPTER.dump_json(answer, exclude_defaults=True)),
            )
        except sqlite3.Error as error:
            raise self._problem(error) from error

    def _problem(self, error: Exception) -> StorageError:
        return StorageError(
            f"cannot use the cache of calls at {self.path}: {error}. Make room, put it elsewhere "
            "with --teacher.cache PATH, or do without it: --no-cache"
        )
