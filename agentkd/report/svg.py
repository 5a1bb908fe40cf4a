"""SVG elements as escaped markup, and the scales and ticks that charts need.

Colours come from the page's style sheet through class names, so that a chart follows dark mode and
print.
"""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from agentkd.report.plain_text import presentable

Scale = Callable[[float], float]


def element(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """Build one element; every attribute and every child that is not markup is escaped.

    A trailing underscore in an attribute's name is dropped and the others become hyphens:
    `class_`, `text_anchor`.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(_attribute_name(key), _attribute_value(value))
        for key, value in attributes.items()
    )
    inner = Markup("").join(
        child if isinstance(child, Markup) else escape(presentable(child)) for child in children
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, inner)


def picture(
    identity: str, width: float, height: float, title: str, description: str, *children: Markup
) -> Markup:
    """Build the root of a chart, with the title and description that a screen reader speaks."""
    return element(
        "svg",
        element("title", title, id=f"{identity}-title"),
        element("desc", description, id=f"{identity}-desc"),
        *children,
        class_="chart",
        role="img",
        aria_labelledby=f"{identity}-title {identity}-desc",
        viewBox=f"0 0 {_compact(width)} {_compact(height)}",
        width=width,
        height=height,
    )


def text(content: str, x: float, y: float, class_: str = "", anchor: str = "start") -> Markup:
    """Build a line of text whose baseline is at `y`."""
    return element("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Build a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """Build a line through points."""
    path = " ".join(f"{_compact(x)},{_compact(y)}" for x, y in points)
    return element("polyline", points=path, class_=class_)


def linear(domain: tuple[float, float], span: tuple[float, float]) -> Scale:
    """Map `domain` onto `span` evenly; a domain without extent maps to the middle."""
    (low, high), (start, end) = domain, span
    if high == low:
        return lambda value: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def logarithmic(domain: tuple[float, float], span: tuple[float, float]) -> Scale:
    """Map `domain`, above 0, onto `span` by its logarithm."""
    inner = linear((math.log(domain[0]), math.log(domain[1])), span)
    return lambda value: inner(math.log(value))


def linear_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values from at most `low` to at least `high`, evenly spaced by 1, 2 or 5 times a power
    of ten.
    """
    if high <= low:
        high = low + (abs(low) or 1.0)
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10, 20):
        first, last = math.floor(low / step / factor), math.ceil(high / step / factor)
        if last - first < most:
            break
    return [round(index * step * factor, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round values from at most `low` to at least `high`: powers of ten, with as many values
    between them as there is room for.
    """
    ticks: list[float] = []
    for mantissas in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
        values = [mantissa * 10.0**exponent for exponent in exponents for mantissa in mantissas]
        first = max(index for index, value in enumerate(values) if value <= low)
        last = next(index for index, value in enumerate(values) if value >= high)
        ticks = [float(f"{value:.6g}") for value in values[first : max(last, first + 1) + 1]]
        if len(ticks) <= most:
            break
    return ticks


def _attribute_name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _attribute_value(value: str | float) -> str:
    return presentable(value) if isinstance(value, str) else _compact(value)


def _compact(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
