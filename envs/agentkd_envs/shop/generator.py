"""Builds the generated shop: some five thousand products that one has to read to tell apart.

For each family and each pair of front values there is a cluster of seven near-duplicates of
different brands. Their titles agree but for brand and line. Six differ in what matters: the deep
facet (which half of them tell only on their pages), the price, and which option values they have.
The seventh is a decoy: dear, without options, and with a description that lists whatever people
type into a search bar.

Everything is drawn from seeds made of names, so the shop is the same on every machine.
"""

import hashlib
from collections.abc import Sequence
from functools import cache

from agentkd_envs.dice import Dice
from agentkd_envs.shop.catalogue import Catalogue
from agentkd_envs.shop.product import Product
from agentkd_envs.shop.vocabulary import (
    BRANDS,
    LINES,
    OCCASIONS,
    OPTIONS,
    PROMISES,
    Facet,
    Family,
    families,
)

GENERATOR_VERSION = "1"
CATALOGUE_NAME = f"generated-{GENERATOR_VERSION}"

_PRICE_STEPS = (1.0, 1.12, 1.3, 1.55, 1.85, 2.2)
_DECOY_PRICE = (3.0, 5.0)
_PLACES = (
    ("title", "features", "title", "features", "title", "features"),
    ("title", "features", "title", "description", "title", "title"),
)
"""Where the six siblings of a cluster tell their deep value."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@cache
def generated_catalogue() -> Catalogue:
    """Return the generated shop; it is built once per process."""
    return Catalogue(CATALOGUE_NAME, build_products())


def build_products(copies: int = 1) -> list[Product]:
    """Return `copies` times 5,355 products, in an order that says nothing."""
    products = [
        product
        for family in families()
        for first in family.front[0].values
        for second in family.front[1].values
        for copy in range(copies)
        for product in _cluster(family, first, second, copy)
    ]
    return Dice(f"{CATALOGUE_NAME}/order").shuffled(products)


def is_decoy(product: Product) -> bool:
    """Return whether a generated product is the decoy of its cluster, which no goal asks for."""
    return not product.options


def noun_phrase(family: Family, values: Sequence[tuple[Facet, str]]) -> str:
    """Return `plant based face moisturizer for dry skin`, in lower case."""

    def having(form: str) -> list[str]:
        return [value for facet, value in values if facet.form == form]

    words = [", ".join(having("adjective")), family.name]
    if having("for"):
        words.append("for " + " and ".join(having("for")))
    if having("with"):
        words.append("with " + " and ".join(having("with")))
    return " ".join(word for word in words if word)


def _cluster(family: Family, first: str, second: str, copy: int) -> list[Product]:
    seed = f"{CATALOGUE_NAME}/{family.name}/{first}/{second}/{copy}"
    dice = Dice(seed)
    brands = dice.shuffled(BRANDS)
    deep_values = dice.shuffled(family.deep.values * 2)
    places = dice.pick(_PLACES)
    steps = dice.shuffled(_PRICE_STEPS)
    is_full = dice.shuffled((True, True, True, True, False, False))
    low, high = family.prices
    price = dice.spread(low, low + 0.4 * (high - low))
    front = [(family.front[0], first), (family.front[1], second)]
    brand_first = dice.chance(0.5)

    def product(number: int, deep: str, place: str, cost: float, full: bool | None) -> Product:
        brand = f"{brands[number]} {dice.pick(LINES)}"
        in_title = [*front, (family.deep, deep)] if place == "title" else front
        phrase = noun_phrase(family, in_title).title()
        is_range = full is not None and dice.chance(0.15)
        return Product(
            asin=_asin(f"{seed}/{number}"),
            title=f"{brand} {phrase}" if brand_first else f"{phrase} by {brand}",
            price=cost,
            price_text=f"${_cents(cost * 0.8)} to ${cost}" if is_range else f"${cost}",
            category=family.category,
            query=family.name,
            product_category=family.path,
            description=_search_bait(family)
            if full is None
            else _description(dice, family, deep if place == "description" else ""),
            bullets=_bullets(dice, family, deep if place == "features" else ""),
            options=None if full is None else _options(dice, family, full),
            attributes=(first, second, deep),
        )

    siblings = [
        product(number, deep_values[number], places[number], _cents(price * steps[number]), full)
        for number, full in enumerate(is_full)
    ]
    dear = _cents(high * dice.spread(*_DECOY_PRICE))
    return [*siblings, product(6, dice.pick(family.deep.values), "title", dear, None)]


def _description(dice: Dice, family: Family, deep: str) -> str:
    sentences = [dice.pick(PROMISES)]
    if dice.chance(0.5):
        sentences.append(dice.pick(OCCASIONS)[1])
    if deep:
        sentences.append(_sentence(family.deep, deep))
    return " ".join(dice.shuffled(sentences))


def _search_bait(family: Family) -> str:
    """Return words that searches match, though they do not say what the product is."""
    options = [OPTIONS[kind] for kind in family.options]
    words = [f"{name} {' '.join(values)}" for name, values in options]
    words += [" ".join(reversed(value.split())) for value in family.deep.values if " " in value]
    return f"Also found under: {family.name}, {', '.join(words)}."


def _bullets(dice: Dice, family: Family, deep: str) -> tuple[str, ...]:
    first, second, third = dice.shuffled(PROMISES)[:3]
    return (first, _sentence(family.deep, deep), second) if deep else (first, second, third)


def _sentence(facet: Facet, value: str) -> str:
    opening = {"adjective": "What sets it apart: it is", "for": "Made for", "with": "Comes with"}
    return f"{opening[facet.form]} {value}."


def _options(dice: Dice, family: Family, full: bool) -> dict[str, tuple[str, ...]]:
    """Return all option values but one, or only half of them, in the usual order."""
    options = {}
    for kind in family.options:
        name, values = OPTIONS[kind]
        count = len(values) - 1 if full else (len(values) + 1) // 2
        kept = set(dice.shuffled(values)[:count])
        options[name] = tuple(value for value in values if value in kept)
    return options


def _cents(dollars: float) -> float:
    """Return the price just below, ending in .49 or .99."""
    return int(dollars) + (0.49 if dollars % 1 < 0.5 else 0.99)


def _asin(seed: str) -> str:
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    digits = []
    for _ in range(9):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "B" + "".join(digits)
