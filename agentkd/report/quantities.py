"""Numbers as a reader likes to see them: no false precision, units set off by a narrow space."""

import math
from typing import Any

THIN = "\u202f"
"""Narrow no-break space, between a number and its unit."""
EN_DASH = "\u2013"
"""Between the ends of an interval, and for a number that does not exist."""
MINUS = "\u2212"
"""Sign of a negative number."""


def percent(rate: float, digits: int = 0) -> str:
    """Write a share as a percentage; close to 0 and 1, one more digit keeps it from looking
    exact.
    """
    return f"{percent_number(rate, digits)}{THIN}%"


def percent_number(rate: float, digits: int = 0) -> str:
    """Write a share as a percentage without its unit, halves rounded up."""
    if not math.isfinite(rate):
        return EN_DASH
    if digits == 0 and (0 < rate < 0.015 or 0.985 <= rate < 1):
        digits = 1
    shift = 10**digits
    return f"{math.floor(rate * 100 * shift + 0.5 + 1e-9) / shift:.{digits}f}"


def points(difference: float) -> str:
    """Write a difference of two rates in percentage points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", MINUS)


def interval(low: float, high: float) -> str:
    """Write an interval of shares: `64-77 %` with an en dash."""
    return f"{percent_number(low)}{EN_DASH}{percent_number(high)}{THIN}%"


def whole(number: float) -> str:
    """Write a count with thousands separated; a number that is not whole keeps one decimal."""
    if not math.isfinite(number):
        return str(number)
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.1f}"


def significant(number: float) -> str:
    """Write three significant digits, as for a loss."""
    if number == 0:
        return "0"
    if not 1e-4 <= abs(number) < 1e5:
        return f"{number:.2e}"
    decimals = max(0, 2 - math.floor(math.log10(abs(number))))
    return f"{number:,.{decimals}f}"


def duration(seconds: float) -> str:
    """Write a time span in the units that a person would use."""
    if seconds < 60:
        return f"{seconds:.0f}{THIN}s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes}{THIN}min"
    return f"{minutes // 60}{THIN}h {minutes % 60}{THIN}min"


def plural(number: float, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{whole(number)} {noun}{'' if number == 1 else 's'}"


def amount(value: Any) -> str:
    """Write a value of unknown type: numbers as numbers, the rest as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return whole(value) if float(value).is_integer() else f"{value:g}"


def likelihood(loss: float) -> float:
    """Return the geometric mean of the probabilities behind a mean loss in nats."""
    return math.exp(-loss)
