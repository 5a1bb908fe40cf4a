"""Goals in the generated shop: which product, which options, which words.

A goal asks for a product's two front values, mostly for its deep value, for one value of each of
its options, and for a price below a cap. For each product and choice of options there is one goal,
so splits can share products without sharing goals.
"""

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import product as combinations
from math import prod

from agentkd_envs.dice import Dice
from agentkd_envs.shop.generator import (
    CATALOGUE_NAME,
    generated_catalogue,
    is_decoy,
    noun_phrase,
)
from agentkd_envs.shop.price_caps import price_cap, price_words
from agentkd_envs.shop.product import CATEGORIES, Goal, Product
from agentkd_envs.shop.vocabulary import OCCASIONS, Family, families

SPLITS = {
    "train": "families of training; four in five of the goals of each product",
    "seen": "families and products of training, goals that training never has",
    "unseen": "families of products that training never asks for: "
    + ", ".join(family.name for family in families() if family.is_unseen),
}

_SEEN_SHARE = 5
"""One in so many goals of a product of training is kept for the split `seen`."""
_OPENINGS = ("i am looking for", "i need", "i want to buy", "please find me", "show me")

Choice = tuple[tuple[str, str], ...]
"""One value per option."""


class GoalList:
    """All goals of a split, computed when asked for.

    The order goes through the products again and again, each time with the next choice of options;
    categories take turns as long as all have products left.
    """

    def __init__(self, split: str, kinds: Sequence[str]) -> None:
        self.split = split
        self._rounds: list[list[Product]] = []
        products = list(_taking_turns(split, kinds))
        while products:
            self._rounds.append(products)
            number = len(self._rounds)
            products = [one for one in products if _choice_count(one, split) > number]

    def __len__(self) -> int:
        return sum(map(len, self._rounds))

    def __getitem__(self, index: int) -> Goal:
        position = index
        for number, products in enumerate(self._rounds):
            if position < len(products):
                product = products[position]
                return build_goal(product, _choices(product, self.split)[number])
            position -= len(products)
        raise IndexError(index)


@cache
def goal_list(split: str, kinds: tuple[str, ...] = CATEGORIES) -> GoalList:
    """Return the goals of a split of the generated shop, of some categories."""
    return GoalList(split, kinds)


def build_goal(product: Product, choice: Choice) -> Goal:
    """Write the goal for a product and a choice of its options."""
    dice = Dice(f"{CATALOGUE_NAME}/goal/{product.asin}/{choice}")
    family = _family(product)
    first, second, deep = product.attributes
    wanted = [(family.front[0], first), (family.front[1], second)]
    if dice.chance(0.75):
        wanted.append((family.deep, deep))
    wanted = dice.shuffled(wanted)
    phrase = noun_phrase(family, wanted)
    cap = price_cap(product.price, dice)
    occasion = f"{dice.pick(OCCASIONS)[0]}. " if dice.chance(0.6) else ""
    instruction = (
        f"{occasion}{dice.pick(_OPENINGS)} {_article(family, phrase)}{phrase}"
        f"{_option_words(dice, choice)}{price_words(cap)}"
    )
    values = tuple(value for _, value in wanted)
    return Goal(product.asin, instruction, values, dict(choice), cap)


def _article(family: Family, phrase: str) -> str:
    if family.name.endswith("s"):
        return ""
    return "an " if phrase[0] in "aeiou" else "a "


def _option_words(dice: Dice, choice: Choice) -> str:
    style = dice.between(0, 2)
    if style == 0:
        return ", with " + " and ".join(f"{name} {value}" for name, value in choice)
    if style == 1:
        return ", " + ", and ".join(f"{name}: {value}" for name, value in choice)
    return ". " + " and ".join(f"the {name} should be {value}" for name, value in choice)


def _taking_turns(split: str, kinds: Sequence[str]) -> Iterator[Product]:
    """Yield the products that a split may ask for, of one category after the other."""
    by_kind: dict[str, list[Product]] = {kind: [] for kind in kinds}
    for product in generated_catalogue().products:
        if product.category not in by_kind or is_decoy(product):
            continue
        is_eligible = _family(product).is_unseen == (split == "unseen")
        if is_eligible and _choice_count(product, split):
            by_kind[product.category].append(product)
    longest = max(map(len, by_kind.values()))
    for number in range(longest):
        for products in by_kind.values():
            if number < len(products):
                yield products[number]


def _choice_count(product: Product, split: str) -> int:
    """Return how many choices of a product's options belong to a split."""
    every = prod(len(values) for values in (product.options or {}).values())
    kept = -(-every // _SEEN_SHARE)
    return {"train": every - kept, "seen": kept, "unseen": every}[split]


@lru_cache(maxsize=65_536)
def _choices(product: Product, split: str) -> tuple[Choice, ...]:
    """Return the choices of a product's options that belong to a split."""
    options = product.options or {}
    every = [tuple(zip(options, values, strict=True)) for values in combinations(*options.values())]
    every = Dice(f"{CATALOGUE_NAME}/choices/{product.asin}").shuffled(every)
    count = _choice_count(product, split)
    return tuple(every[-count:] if split == "train" else every[:count])


def _family(product: Product) -> Family:
    return _families_by_name()[product.query]


@cache
def _families_by_name() -> dict[str, Family]:
    return {family.name: family for family in families()}
