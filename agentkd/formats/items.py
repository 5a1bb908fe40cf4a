"""Streams the items of a data file: a JSON array, JSON lines, one JSON document, or parquet.

The layout is told from the first bytes, not from the file's name, except that a file called
`*.json` whose first character is `{` is one document. Each item comes with its place, for messages.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from agentkd.errors import DamagedFileError, StorageError
from agentkd.formats.base import Damage, OnDamage

CHUNK = 1 << 20
ROWS_PER_BATCH = 500


@dataclass(frozen=True)
class Item:
    """One record of a file as its format wrote it."""

    value: Mapping[str, Any]
    number: int
    """Counted from 0, damaged ones included."""
    place: str


def read_items(path: Path, on_damage: OnDamage) -> Iterator[Item]:
    """Stream the items of a file; an item that is no object goes to `on_damage`.

    Raises `StorageError` if the file cannot be opened, and `DamagedFileError` where a JSON array or
    a parquet file is broken, since nothing behind that point can be told apart.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"PAR1"):
        found = _parquet(path)
    elif begin.startswith(b"["):
        found = _array(path)
    elif begin.startswith(b"{") and path.suffix == ".json":
        found = _document(path)
    else:
        found = _lines(path, on_damage)
    for number, (value, place) in enumerate(found):
        if isinstance(value, dict):
            yield Item(value, number, place)
        else:
            on_damage(Damage(path, place, f"an object belongs here, not {_kind_of(value)}"))


def _kind_of(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _lines(path: Path, on_damage: OnDamage) -> Iterator[tuple[Any, str]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.isspace():
                continue
            place = f"line {number}"
            try:
                value = json.loads(line.decode("utf-8-sig"))
            except ValueError as error:
                on_damage(Damage(path, place, f"not JSON ({error})"))
            else:
                yield value, place


def _document(path: Path) -> Iterator[tuple[Any, str]]:
    try:
        yield json.loads(path.read_text(encoding="utf-8-sig")), "line 1"
    except json.JSONDecodeError as error:
        raise DamagedFileError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path} is not UTF-8 text: {error}") from error


def _array(path: Path) -> Iterator[tuple[Any, str]]:
    with path.open(encoding="utf-8-sig") as file:
        window = _Window(path, file)
        try:
            yield from window.values()
        except UnicodeDecodeError as error:
            raise DamagedFileError(
                f"{path}, after line {window.line}: not UTF-8 text: {error}"
            ) from error


class _Window:
    """The part of a long JSON array that is in memory."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path, self.file = path, file
        self.text, self.at, self.line = "", 0, 1
        self.is_whole = False

    def values(self) -> Iterator[tuple[Any, str]]:
        """Decode one value after the other, up to the closing bracket."""
        decoder = json.JSONDecoder()
        self._expect("[")
        number = 0
        while self._peek() != "]":
            if number:
                self._expect(",")
                self._peek()
            number += 1
            place = f"item {number}, line {self.line}"
            while True:
                try:
                    value, end = decoder.raw_decode(self.text, self.at)
                    break
                except json.JSONDecodeError as error:
                    line = self.line + self.text.count("\n", self.at, error.pos)
                    if not self._read(max(CHUNK, len(self.text))):
                        raise DamagedFileError(
                            f"{self.path}, line {line}: not JSON ({error.msg}), in item {number}; "
                            "nothing behind it can be read. Mend the file"
                        ) from error
            self._move_to(end)
            yield value, place

    def _peek(self) -> str:
        """Skip white space and return the next character, empty at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at].isspace():
                self.line += self.text[self.at] == "\n"
                self.at += 1
            if self.at < len(self.text) or not self._read(CHUNK):
                return self.text[self.at : self.at + 1]

    def _expect(self, mark: str) -> None:
        found = self._peek()
        if found != mark:
            instead = f"'{found}'" if found else "the end of the file"
            raise DamagedFileError(
                f"{self.path}, line {self.line}: '{mark}' belongs here, not {instead}; "
                "nothing behind it can be read. Mend the file"
            )
        self.at += 1

    def _move_to(self, end: int) -> None:
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def _read(self, size: int) -> bool:
        """Take in more of the file, and forget what has been decoded."""
        more = "" if self.is_whole else self.file.read(size)
        self.is_whole = not more
        self.text, self.at = self.text[self.at :] + more, 0
        return bool(more)


def _parquet(path: Path) -> Iterator[tuple[Any, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_PER_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield row, f"row {number}"
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(f"{path} is damaged after row {number}: {error}") from error
