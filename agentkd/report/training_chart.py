"""The training chart: the loss by optimizer step, on a logarithmic axis if it falls far."""

from collections.abc import Sequence

from markupsafe import Markup

from agentkd.report.marks import diamond, dot
from agentkd.report.quantities import significant, whole
from agentkd.report.svg import (
    Scale,
    element,
    line,
    linear,
    linear_ticks,
    log_ticks,
    logarithmic,
    picture,
    polyline,
    text,
)
from agentkd.report.training_log import LogPoint, TrainingLog

MOST_POINTS = 300
LOG_SCALE_FROM = 8.0
"""Ratio of the largest to the smallest loss from which the loss axis is logarithmic."""


def training_chart(log: TrainingLog, is_likelihood: bool, width: int, identity: str) -> Markup:
    """Loss by optimizer step: the logged values thin, their moving mean thick, validation as
    points.

    `is_likelihood` says that the loss is the mean surprise at a trained token, not a method's own.
    """
    is_narrow = width < 600
    height, left, right, top, bottom = (
        (250, 44, 104, 30, 206) if is_narrow else (320, 56, 124, 34, 274)
    )
    losses = [point.loss for point in log.points]
    is_log = min(losses) > 0 and max(losses) / min(losses) >= LOG_SCALE_FROM
    ticks = (
        log_ticks(min(losses), max(losses))
        if is_log
        else linear_ticks(min(0.0, *losses), max(losses))
    )
    domain = (ticks[0], ticks[-1])
    y = (logarithmic if is_log else linear)(domain, (bottom, top))
    step_ticks = linear_ticks(0, log.steps, 4 if is_narrow else 7)
    x = linear((0, step_ticks[-1]), (left, width - right))
    frame = [_grid_row(tick, y, left, width - right) for tick in ticks]
    frame += [text(whole(tick), x(tick), bottom + 18, "tick", "middle") for tick in step_ticks]
    meaning = "nats per trained token" if is_likelihood else "as the method defines it"
    unit = f"loss, {meaning}" + (" (log scale)" if is_log else "")
    frame.append(text(unit, 0, 12, "axis"))
    frame.append(text("optimizer step", (left + width - right) / 2, bottom + 38, "axis", "middle"))

    def place(points: Sequence[LogPoint]) -> list[tuple[float, float]]:
        return [(x(point.step), y(point.loss)) for point in thinned(points)]

    marks: list[Markup] = []
    ends: list[tuple[float, float, str, str]] = []
    if log.training:
        smooth = smoothed(log.training)
        if smooth is not log.training:
            marks.append(polyline(place(log.training), "raw"))
        marks.append(polyline(place(smooth), "curve student"))
        if len(log.training) == 1:
            marks.append(dot(*place(smooth)[0], 4, "student"))
        ends.append((*place(smooth)[-1], "training", significant(smooth[-1].loss)))
    if log.validation:
        spots = place(log.validation)
        if len(spots) > 1:
            marks.append(polyline(spots, "curve thin heldout"))
        marks += [diamond(cx, cy, 4.5, "heldout") for cx, cy in spots[-40:]]
        ends.append((*spots[-1], "validation", significant(log.validation[-1].loss)))
    marks += _end_labels(ends, bottom)
    spoken = ", ".join(f"{name} ends at {value}" for _, _, name, value in ends)
    return picture(
        identity,
        width,
        height,
        "Training curve",
        f"Loss, {meaning}, over {whole(log.steps)} steps: {spoken}.",
        *frame,
        *marks,
    )


def smoothed(points: Sequence[LogPoint]) -> Sequence[LogPoint]:
    """Centred moving mean over a fortieth of the points, over half as many at both ends; the points
    themselves if they are few.
    """
    half = len(points) // 80
    if half == 0:
        return points
    totals = [0.0]
    for point in points:
        totals.append(totals[-1] + point.loss)
    result = []
    for index, point in enumerate(points):
        low, high = max(0, index - half), min(len(points), index + half + 1)
        result.append(LogPoint(point.step, (totals[high] - totals[low]) / (high - low)))
    return result


def thinned(points: Sequence[LogPoint], most: int = MOST_POINTS) -> Sequence[LogPoint]:
    """At most about `most` points: of each stretch the lowest and the highest, and both ends."""
    if len(points) <= most:
        return points
    stretch = -(-2 * len(points) // most)
    kept = {0, len(points) - 1}
    for start in range(0, len(points), stretch):
        indices = range(start, min(start + stretch, len(points)))
        kept |= {
            min(indices, key=lambda index: points[index].loss),
            max(indices, key=lambda index: points[index].loss),
        }
    return [points[index] for index in sorted(kept)]


def _grid_row(tick: float, y: Scale, left: float, right: float) -> Markup:
    return element(
        "g",
        line(left, y(tick), right, y(tick), "grid"),
        text(f"{tick:g}", left - 8, y(tick) + 4, "tick", "end"),
    )


def _end_labels(ends: list[tuple[float, float, str, str]], bottom: float) -> list[Markup]:
    """Labels beside the last points, apart from each other and above the axis."""
    marks: list[Markup] = []
    edge = max((x for x, _, _, _ in ends), default=0)
    ceiling = bottom - 10
    for _, y, name, value in sorted(ends, key=lambda end: -end[1]):
        y = min(y, ceiling)
        ceiling = y - 34
        if name == "validation":
            marks.append(diamond(edge + 16, y - 8, 4.5, "heldout"))
        else:
            marks.append(line(edge + 11, y - 8, edge + 22, y - 8, "curve student"))
        marks.append(text(name, edge + 28, y - 4, "tick"))
        marks.append(text(value, edge + 28, y + 11, "value"))
    return marks
