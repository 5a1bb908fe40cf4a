"""The frame of a chart of shares: its legend and its axis."""

from collections.abc import Sequence

from markupsafe import Markup

from agentkd.report.marks import role_mark
from agentkd.report.plain_text import shorten
from agentkd.report.quantities import THIN
from agentkd.report.roles import Role
from agentkd.report.svg import Scale, line, text


def legend(roles: Sequence[Role], left: float, width: float) -> tuple[list[Markup], float]:
    """Draw the mark and the name of each role, in as many rows as needed; return where it ends."""
    marks: list[Markup] = []
    x, y = left, 10.0
    for role in roles:
        label = shorten(role.label, 22)
        extent = 24 + 7.2 * len(label)
        if x > left and x + extent > width:
            x, y = left, y + 20
        marks += [role_mark(role, x + 5, y), text(label, x + 15, y + 4, "tick")]
        x += extent + 8
    return marks, y + 18


def share_axis(
    x: Scale, spans: Sequence[tuple[float, float]], bottom: float, title: str
) -> list[Markup]:
    """Draw the grid within `spans` and, at `bottom`, the ticks of an axis from 0 to 1."""
    marks = [
        line(x(share), top, x(share), end, "baseline" if share == 0 else "grid")
        for share in (0, 0.25, 0.5, 0.75, 1)
        for top, end in spans
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        label = f"{share * 100:.0f}" + (f"{THIN}%" if share == 1 else "")
        marks.append(text(label, x(share), bottom + 16, "tick", "middle"))
    marks.append(text(title, x(0.5), bottom + 35, "axis", "middle"))
    return marks
