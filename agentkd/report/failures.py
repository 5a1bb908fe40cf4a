"""Why episodes failed: a chart of one split, and a table for each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from agentkd.evaluate.failures import DEFINITIONS
from agentkd.evaluate.summary import Result
from agentkd.report.frame import legend, share_axis
from agentkd.report.marks import role_mark
from agentkd.report.plain_text import kind_name, name_of, shorten
from agentkd.report.quantities import percent, whole
from agentkd.report.roles import Role
from agentkd.report.svg import element, line, linear, picture, text


@dataclass(frozen=True)
class FailureTable:
    """Failed episodes by cause on one split, for the policies that failed."""

    split: str
    roles: tuple[Role, ...]
    lines: tuple[tuple[str, tuple[int, ...]], ...]
    """Cause, and its episodes by role; the most frequent cause first."""
    failed: tuple[int, ...]
    """By role."""
    episodes: tuple[int, ...]
    """Graded, by role."""


def failure_table(results: Sequence[Result], roles: Sequence[Role], split: str) -> FailureTable:
    """Count causes on one split; the table has no line if no cause is known."""
    by_policy = {
        result.policy: result for result in results if result.split == split and result.failures
    }
    present = tuple(role for role in roles if role.policy in by_policy)
    counts = [Counter(dict(by_policy[role.policy].failures)) for role in present]
    total = sum(counts, Counter())
    causes = sorted(total, key=lambda cause: (-total[cause], cause))
    return FailureTable(
        split,
        present,
        tuple((cause, tuple(count[cause] for count in counts)) for cause in causes),
        tuple(count.total() for count in counts),
        tuple(by_policy[role.policy].episodes for role in present),
    )


def definitions(tables: Sequence[FailureTable]) -> list[tuple[str, str]]:
    """What the causes mean that occur in any of the tables."""
    occurring = {cause for table in tables for cause, _ in table.lines}
    return [(cause, text) for cause, text in DEFINITIONS.items() if cause in occurring]


def failures_chart(table: FailureTable, width: int, identity: str) -> Markup:
    """Share of episodes that failed in each way: one lane per policy."""
    is_narrow = width < 600
    left, right, lane = (14, 52, 13) if is_narrow else (240, 70, 13)
    x = linear((0, 1), (left, width - right))
    marks, y = legend(table.roles, 0 if is_narrow else left, width)
    top = y
    spans: list[tuple[float, float]] = []
    for cause, counts in table.lines:
        if is_narrow:
            marks.append(text(kind_name(cause), 0, y + 11, "name"))
            y += 18
        else:
            marks.append(text(kind_name(cause), 0, y + lane * len(counts) / 2 + 4, "name"))
        start = y
        for role, count, episodes in zip(table.roles, counts, table.episodes, strict=True):
            end = x(count / episodes)
            marks += _stem(role, cause, count, episodes, left, end, y + lane / 2)
            y += lane
        spans.append((start, y + 5))
        marks.append(line(left, y + 5, width - right, y + 5, "rule"))
        y += 11
    bottom = y - 6
    axis = f"share of the episodes on {shorten(table.split, 20)}"
    frame = share_axis(x, spans if is_narrow else [(top, bottom)], bottom, axis)
    description = "; ".join(
        f"{kind_name(cause)}: "
        + ", ".join(
            f"{name_of(role.policy)} {whole(count)} of {whole(episodes)}"
            for role, count, episodes in zip(table.roles, counts, table.episodes, strict=True)
        )
        for cause, counts in table.lines
    )
    title = f"Why episodes failed on {name_of(table.split)}"
    return picture(identity, width, bottom + 40, title, description, *frame, *marks)


def _stem(
    role: Role, cause: str, count: int, episodes: int, left: float, end: float, y: float
) -> list[Markup]:
    """A stem with the mark of its role and the count; nothing for a cause that did not occur."""
    if not count:
        return []
    share = percent(count / episodes)
    hint = f"{role.label}, {kind_name(cause)}: {whole(count)} of {whole(episodes)} ({share})"
    stem = element(
        "rect", x=left, y=y - 1.5, width=end - left, height=3, class_=f"bar {role.style}"
    )
    mark = element("g", element("title", hint), role_mark(role, end, y))
    return [stem, mark, text(whole(count), end + 10, y + 4, "tick")]
