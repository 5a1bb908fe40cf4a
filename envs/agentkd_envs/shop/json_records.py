"""Reads the members of one huge JSON array or object one after the other.

The file may be larger than the memory: only the member that is being read is held. Members are
decoded by the standard library, so `NaN` is understood as Python understands it.
"""

import codecs
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentkd_envs.errors import TaskDataError

_CHUNK_BYTES = 1 << 22
_LONGEST_MEMBER = 1 << 26
_SKIPPED = " \t\r\n,"


class JsonRecords:
    """Iterates over a file once; afterwards `digest` is that of its bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest = ""
        """SHA-256 in hexadecimal, once the file was read to its end."""
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0

    def __iter__(self) -> Iterator[tuple[str | int, Any]]:
        """Yield keys (numbers, for an array) and values.

        Raises `TaskDataError` if the file cannot be read or is no JSON array or object.
        """
        self._chunks = self._read()
        self._text, self._at = "", 0
        opening = self._next_character()
        if opening not in ("[", "{"):
            raise self._damaged("it is neither a JSON array nor a JSON object")
        self._at += 1
        number = 0
        while self._next_character() not in ("]", "}"):
            key: str | int = number
            if opening == "{":
                key = str(self._decode())
                if self._next_character() != ":":
                    raise self._damaged("a ':' is missing")
                self._at += 1
                self._next_character()
            yield key, self._decode()
            number += 1
        for _ in self._chunks:
            pass

    def _read(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    yield decoder.decode(chunk)
                yield decoder.decode(b"", final=True)
        except OSError as error:
            raise TaskDataError(f"cannot read {self.path}: {error}") from error
        except UnicodeDecodeError as error:
            raise self._damaged("it is not UTF-8 text") from error
        self.digest = digest.hexdigest()

    def _more(self) -> bool:
        """Append the next chunk to what is not used yet; return whether there was one."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return True

    def _next_character(self) -> str:
        """Go to the next character that matters and return it."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SKIPPED:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise self._damaged("it ends too early")

    def _decode(self) -> Any:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise self._damaged("it is nested too deeply") from error
            except json.JSONDecodeError as error:
                is_hopeless = len(self._text) - self._at > _LONGEST_MEMBER
                if is_hopeless or not self._more():
                    raise self._damaged(error.msg) from error
                continue
            if end < len(self._text) or not self._more():
                self._at = end
                return value

    def _damaged(self, what: str) -> TaskDataError:
        return TaskDataError(
            f"{self.path} is damaged: {what}; fetch it again and compare its size with the source's"
        )
