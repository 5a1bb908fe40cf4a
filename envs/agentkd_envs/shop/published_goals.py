"""WebShop's published goals over a user's files, in the published order, and their splits.

Goals are listed product by product, then shuffled with seed 233; papers name them by their place
in that order. The crowd's goals (`human`) have their words and their lists of options; `synthetic`
goals have one goal for each combination of a product's options.

WebShop draws the price caps before it seeds its generator, so that they differ from process to
process. Here they are drawn from the product's number and the goal's place among the product's.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod
from pathlib import Path
from random import Random
from typing import Any

from agentkd_envs.dice import Dice
from agentkd_envs.errors import EnvError, TaskDataError, UnknownNameError
from agentkd_envs.shop.data_folder import DataFolder
from agentkd_envs.shop.price_caps import price_cap, price_words
from agentkd_envs.shop.product import Goal, Product

GOAL_KINDS = ("human", "synthetic")
PUBLISHED_SPLITS: dict[str, dict[str, tuple[int, int | None]]] = {
    "paper": {"train": (1500, None), "eval": (500, 1500), "test": (0, 500)},
    "react": {"test": (0, 500)},
    "verl": {"train": (500, None), "test": (0, 500)},
    "agentbench": {"test": (0, 200)},
}
"""Splits by the place of the goals, first and behind the last: WebShop's paper (2207.01206), ReAct
(2210.03629), verl-agent (2505.10978) and AgentBench (2308.03688)."""

_SHUFFLE_SEED = 233
_LAST_NUMBER = re.compile(r"(\d+)\D*$")


class PublishedGoals:
    """All goals of one kind, in the published order; each is built when asked for."""

    def __init__(self, data: DataFolder, kind: str) -> None:
        if kind not in GOAL_KINDS:
            raise UnknownNameError("kind of shop goals", kind, GOAL_KINDS)
        if kind == "human" and not data.human:
            raise TaskDataError(
                "goals='human' needs items_human_ins.json beside the products; add it, or choose "
                "goals='synthetic'"
            )
        self._data, self._kind = data, kind
        self._products = [one for one in data.catalogue.products if self._count(one)]
        self._ends = list(accumulate(self._count(one) for one in self._products))
        self._order = list(range(self._ends[-1] if self._ends else 0))
        Random(_SHUFFLE_SEED).shuffle(self._order)
        if not self._order:
            raise TaskDataError(f"the files have no {kind} goal for any of their products")

    def __len__(self) -> int:
        return len(self._order)

    def product(self, index: int) -> Product:
        """Return the product that goal number `index` is written for."""
        return self._products[bisect_right(self._ends, self._order[index])]

    def __getitem__(self, index: int) -> Goal:
        product = self.product(index)
        position = bisect_right(self._ends, self._order[index])
        start = self._ends[position - 1] if position else 0
        number = self._order[index] - start
        cap = price_cap(product.price, Dice(f"cap/{product.asin}/{number}"))
        if self._kind == "human":
            return self._human(product, number, cap)
        return self._synthetic(product, number, cap)

    def _count(self, product: Product) -> int:
        if self._kind == "human":
            return len(self._told(product))
        entry = self._data.synthetic.get(product.asin) or {}
        if not entry.get("instruction") or not entry.get("instruction_attributes"):
            return 0
        return prod(len(values) for values in (product.options or {}).values())

    def _told(self, product: Product) -> list[Any]:
        """Return the crowd's instructions for a product that name attributes."""
        entries = self._data.human.get(product.asin, ())
        try:
            return [entry for entry in entries if entry["instruction_attributes"]]
        except (TypeError, KeyError) as error:
            raise TaskDataError(
                f"items_human_ins.json: the instructions for {product.asin} are not a list of "
                "objects with 'instruction_attributes'"
            ) from error

    def _human(self, product: Product, number: int, cap: float) -> Goal:
        entry = self._told(product)[number]
        wanted = entry.get("instruction_options") or ()
        if not isinstance(entry.get("instruction"), str):
            raise TaskDataError(
                f"items_human_ins.json: a goal for {product.asin} has no 'instruction'"
            )
        return Goal(
            asin=product.asin,
            instruction=entry["instruction"].strip(".") + price_words(cap),
            attributes=tuple(entry["instruction_attributes"]),
            options=dict(wanted) if isinstance(wanted, dict) else tuple(wanted),
            price_upper=cap,
        )

    def _synthetic(self, product: Product, number: int, cap: float) -> Goal:
        entry = self._data.synthetic[product.asin]
        options = _combination(product, number)
        words = ", and ".join(f"{name}: {value}" for name, value in options.items())
        with_options = f" with {words}" if words else ""
        return Goal(
            asin=product.asin,
            instruction=f"{entry['instruction']}{with_options}{price_words(cap)}",
            attributes=tuple(entry["instruction_attributes"]),
            options=options,
            price_upper=cap,
        )


def published_splits(
    splits: str | Mapping[str, Any], goals: PublishedGoals
) -> dict[str, Sequence[int]]:
    """Return the places of the goals of each split.

    `splits` is a name of `PUBLISHED_SPLITS`, or a mapping from split names to a pair (first, behind
    the last), or to a JSON file with a list of places, as some papers publish them.
    Raises `UnknownNameError`, `EnvError` or `TaskDataError`.
    """
    if isinstance(splits, str):
        if splits not in PUBLISHED_SPLITS:
            raise UnknownNameError("published splits of shop goals", splits, PUBLISHED_SPLITS)
        table: Mapping[str, Any] = PUBLISHED_SPLITS[splits]
    else:
        table = splits
    return {name: _places(name, where, len(goals)) for name, where in table.items()}


def _places(name: str, where: Any, count: int) -> Sequence[int]:
    if isinstance(where, str | Path):
        return _places_in_file(Path(where).expanduser(), count)
    try:
        first, last = where
        return range(first, count if last is None else last)[: max(0, count - first)]
    except (TypeError, ValueError) as error:
        raise EnvError(
            f"shop split '{name}' is {where!r}: give [first, behind the last], or a JSON file with "
            "a list of goal numbers"
        ) from error


def _places_in_file(path: Path, count: int) -> list[int]:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        places = [_place(entry) for entry in listed]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TaskDataError(f"{path} is no JSON list of goal numbers: {error}") from error
    outside = [place for place in places if not 0 <= place < count]
    if outside:
        raise TaskDataError(
            f"{path} names goal {outside[0]}, but there are {count} goals: it belongs to other "
            "files or to the other kind of goals"
        )
    return places


def _place(entry: Any) -> int:
    """Read `17`, `"webshop_17"`, `"fixed_17"` or `{"item_id": "webshop_17"}`."""
    if isinstance(entry, dict):
        entry = entry["item_id"]
    match = _LAST_NUMBER.search(str(entry))
    if match is None:
        raise ValueError(f"{entry!r} ends in no number")
    return int(match.group(1))


def _combination(product: Product, number: int) -> dict[str, str]:
    """Return combination `number` of the options, names sorted, the last name turning fastest."""
    options = product.options or {}
    chosen: dict[str, str] = {}
    for name in sorted(options, reverse=True):
        number, position = divmod(number, len(options[name]))
        chosen[name] = options[name][position]
    return {name: chosen[name] for name in sorted(chosen)}
