"""What a format offers, and how a damaged file is reported.

A format reads a file into a stream of trajectories, and writes a stream of trajectories into a
folder. Neither holds more than one trajectory, or one row group of them, in memory.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentkd.errors import DamagedFileError
from agentkd.trajectory import Trajectory


@dataclass(frozen=True)
class Damage:
    """A record that could not be read; the ones behind it still can."""

    path: Path
    place: str
    """Line, or item and line, or row; counted from 1."""
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, {self.place}: {self.reason}"


OnDamage = Callable[[Damage], None]
"""Told of each damaged record. It raises to stop, or returns to go on without the record."""

Reader = Callable[[Path, OnDamage], Iterator[Trajectory]]
Writer = Callable[[Iterable[Trajectory], Path], None]


def refuse_damage(damage: Damage) -> None:
    """Raise `DamagedFileError`: the default way to treat damage."""
    raise DamagedFileError(
        f"{damage}.\nMend the file, or leave out what cannot be read with --skip-damaged"
    )


@dataclass(frozen=True)
class Format:
    """A file format by name."""

    name: str
    summary: str
    """What it is, in one line of help."""
    read: Reader
    """Streams the trajectories of a file. Raises `DamagedFileError` if the file cannot be read any
    further, whatever becomes of single damaged records."""
    write: Writer | None = None
    """Writes trajectories into an existing, empty folder; None for a format of others' data."""
    files: str = ""
    """Which files `write` makes, as a pattern relative to the folder."""
    is_training_data: bool = False
    """True if it holds conversations to train on, so that only curated episodes belong in it; a
    format of whole records gets every episode."""
