"""Rows that begin alike, laid out as a tree: what they share is computed once.

One row for each turn of an episode, several candidates for one step, the two sides of a pair: such
rows begin with the same tokens. A *node* is a run of tokens that the same rows share; its tokens
attend to those of the nodes above it and to the earlier ones of its own, and stand at the positions
at which they stand in their rows. A token's hidden state is then the same as in each row on its
own, so loss and gradients are too, up to rounding.

Only tokens that carry no loss are shared, and never the one before a trained token: each trained
token stays with its row, behind the token that predicts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from agentkd.train.labels import IGNORED, LabelledRow

ROOT = -1


class Node(NamedTuple):
    """A run of tokens in a line."""

    start: int
    length: int
    parent: int
    """Index of the node that it goes on from; `ROOT` for one that begins a row."""


@dataclass
class Line:
    """Rows laid end to end, shared beginnings once; lists of the same length, and the nodes."""

    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    shifts: list[int] = field(default_factory=list)
    """Of each row: how much further along the line its trained tokens, and those that predict them,
    stand than in the row."""

    def positions(self) -> list[int]:
        """Where each token stands in its row."""
        return positions(self.nodes)


def positions(nodes: Sequence[Node]) -> list[int]:
    """Position of each token of a line in its row, from 0."""
    ends: list[int] = []
    result: list[int] = []
    for node in nodes:
        begin = 0 if node.parent == ROOT else ends[node.parent]
        ends.append(begin + node.length)
        result += range(begin, begin + node.length)
    return result


def share(rows: Sequence[LabelledRow]) -> Line:
    """Lay out rows as a tree."""
    line = Line(shifts=[0] * len(rows))
    entries = [_Entry(number, row, _shareable(row)) for number, row in enumerate(rows)]
    _grow(line, entries, 0, ROOT)
    return line


class _Entry(NamedTuple):
    """A row that is being laid out."""

    number: int
    row: LabelledRow
    shareable: int

    def token(self, place: int) -> int:
        return self.row.input_ids[place]


def _grow(line: Line, entries: list[_Entry], begin: int, parent: int) -> None:
    """Lay out rows that agree up to `begin`, which is laid out already."""
    for entry in entries:
        if entry.shareable <= begin:
            _finish(line, entry, begin, parent)
    rest = [entry for entry in entries if entry.shareable > begin]
    rest.sort(key=lambda entry: entry.token(begin))
    for _, alike in groupby(rest, key=lambda entry: entry.token(begin)):
        group = list(alike)
        if len(group) == 1:
            _finish(line, group[0], begin, parent)
            continue
        end = _agree_until(group, begin)
        _append(line, group[0].row, begin, end, parent)
        _grow(line, group, end, len(line.nodes) - 1)


def _finish(line: Line, entry: _Entry, begin: int, parent: int) -> None:
    """Lay out the part of a row that is its own."""
    line.shifts[entry.number] = len(line.input_ids) - begin
    _append(line, entry.row, begin, len(entry.row.input_ids), parent)


def _shareable(row: LabelledRow) -> int:
    """Tokens of a row before the one that predicts its first trained token."""
    first = next((n for n, label in enumerate(row.labels) if label != IGNORED), len(row.labels))
    return max(first - 1, 0)


def _agree_until(entries: list[_Entry], begin: int) -> int:
    end = min(entry.shareable for entry in entries)
    columns = zip(*(entry.row.input_ids[begin:end] for entry in entries), strict=True)
    return next((begin + n for n, column in enumerate(columns) if len(set(column)) > 1), end)


def _append(line: Line, row: LabelledRow, begin: int, end: int, parent: int) -> None:
    line.nodes.append(Node(len(line.input_ids), end - begin, parent))
    line.input_ids += row.input_ids[begin:end]
    line.labels += row.labels[begin:end]
    line.weights += row.weight_of_each()[begin:end]
