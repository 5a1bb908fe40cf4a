"""Rows that begin alike, laid out as a tree: what they share is computed once.

One row for each turn of an episode, several candidates for one step, the two sides of a pair: such
rows begin with the same tokens. A *node* is a run of tokens that the same rows share; its tokens
attend to those of the nodes above it and to the earlier ones of its own, and stand at the positions
at which they stand in their rows. A token's hidden state is then the same as in each row on its
own, so loss and gradients are too, up to rounding.

Only tokens that carry no loss are shared, and never the one before a trained token: each trained
token stays with its row, behind the token that predicts it.

Episodes of one task set share their instructions as well, but each node takes an attention call of
its own: rows that have no more in common than that are shared from `WORTHWHILE` tokens on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import NamedTuple

from agentkd.train.labels import IGNORED, LabelledRow

ROOT = -1
WORTHWHILE = 32
"""Tokens from which on it is quicker to compute them once than to keep rows in one piece."""


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

    def append(self, other: "Line") -> None:
        """Lay another line behind this one."""
        tokens, nodes = len(self.input_ids), len(self.nodes)
        for node in other.nodes:
            parent = node.parent if node.parent == ROOT else node.parent + nodes
            self.nodes.append(Node(node.start + tokens, node.length, parent))
        self.input_ids += other.input_ids
        self.labels += other.labels
        self.weights += other.weights
        self.shifts += [shift + tokens for shift in other.shifts]


def positions(nodes: Sequence[Node]) -> list[int]:
    """Position of each token of a line in its row, from 0."""
    ends: list[int] = []
    result: list[int] = []
    for node in nodes:
        begin = 0 if node.parent == ROOT else ends[node.parent]
        ends.append(begin + node.length)
        result += range(begin, begin + node.length)
    return result


def share(rows: Sequence[LabelledRow], at_least: int = 1) -> Line:
    """Lay out rows as a tree whose shared nodes have `at_least` so many tokens."""
    line = Line(shifts=[0] * len(rows))
    entries = [_Entry(number, row, _shareable(row)) for number, row in enumerate(rows)]
    _grow(line, entries, at_least, laid_out=0, agreed=0, parent=ROOT)
    return line


def end_to_end(rows: Sequence[LabelledRow]) -> Line:
    """Lay out rows one behind the other, each whole."""
    line = Line(shifts=[0] * len(rows))
    for number, row in enumerate(rows):
        _finish(line, _Entry(number, row, 0), 0, ROOT)
    return line


def common_beginning(rows: Sequence[LabelledRow]) -> float:
    """Tokens that each row, on average, can share with the one behind it."""
    pairs = list(pairwise(rows))
    saved = (
        sum(len(row.input_ids) for row in pair) - len(share(pair, WORTHWHILE).input_ids)
        for pair in pairs
    )
    return sum(saved) / len(pairs) if pairs else 0.0


class _Entry(NamedTuple):
    """A row that is being laid out."""

    number: int
    row: LabelledRow
    shareable: int

    def token(self, place: int) -> int:
        return self.row.input_ids[place]


def _grow(
    line: Line, entries: list[_Entry], at_least: int, *, laid_out: int, agreed: int, parent: int
) -> None:
    """Lay out rows that have their first `agreed` tokens in common, `laid_out` of which are there.

    `parent` is the node that ends with the last of those.
    """
    for entry in entries:
        if entry.shareable <= agreed:
            _finish(line, entry, laid_out, parent)
    rest = [entry for entry in entries if entry.shareable > agreed]
    rest.sort(key=lambda entry: entry.token(agreed))
    for _, alike in groupby(rest, key=lambda entry: entry.token(agreed)):
        group = list(alike)
        if len(group) == 1:
            _finish(line, group[0], laid_out, parent)
            continue
        end = _agree_until(group, agreed)
        if end - laid_out < at_least:
            _grow(line, group, at_least, laid_out=laid_out, agreed=end, parent=parent)
            continue
        _append(line, group[0].row, laid_out, end, parent)
        node = len(line.nodes) - 1
        _grow(line, group, at_least, laid_out=end, agreed=end, parent=node)


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
