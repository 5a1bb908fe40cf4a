"""Price caps of goals, and how an instruction names them."""

from agentkd_envs.dice import Dice
from agentkd_envs.shop.product import NO_CAP

_STEP = 10.0
_HIGHEST = 990.0


def price_cap(price: float, dice: Dice) -> float:
    """Return a cap as WebShop draws it: the larger of two of the next four multiples of $10.

    Returns `NO_CAP` where fewer than two multiples up to $990 are above the price.
    """
    lowest = int(price // _STEP) + 1
    steps = [number * _STEP for number in range(lowest, lowest + 4)]
    steps = [step for step in steps if step <= _HIGHEST]
    if len(steps) < 2:
        return NO_CAP
    return max(dice.shuffled(steps)[:2])


def price_words(cap: float) -> str:
    """Return how an instruction ends, as WebShop's do."""
    return "" if cap >= NO_CAP else f", and price lower than {cap:.2f} dollars"
