"""Seeded choices that come out the same on every machine, Python version and hash seed.

Only `random.Random.random` keeps its sequence across Python versions by promise; `choice`, `sample`
and `shuffle` do not. Everything here is therefore built on `random` alone.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A stream of choices that depends on nothing but its seed text."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed).random

    def chance(self, probability: float) -> bool:
        """Return true with the given probability."""
        return self.random() < probability

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self.random() * (high - low + 1))

    def spread(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return low + self.random() * (high - low)

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options; there must be at least one."""
        return options[int(self.random() * len(options))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in a random order (Fisher-Yates)."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = int(self.random() * (last + 1))
            result[last], result[other] = result[other], result[last]
        return result
