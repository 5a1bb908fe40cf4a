"""What a purchase is worth: WebShop's reward of Yao et al. (2207.01206, section 3), from 0 to 1.

`type * (attributes + options + price) / (wanted attributes + wanted options + 1)`, where
`attributes` and `options` count what was wanted and is there, `price` is 1 if the cap is kept, and
`type` falls below 1 if the purchase is another kind of thing than the goal's product.
"""

from dataclasses import asdict, dataclass
from typing import Any

from agentkd_envs.shop.matching import BASE_COLOURS, base_colour, is_match
from agentkd_envs.shop.nouns import Nouns
from agentkd_envs.shop.product import Goal, Product


@dataclass(frozen=True)
class Reward:
    """The reward and its parts."""

    total: float
    type: float
    """1, or 0.5, 0.1, 0 for purchases that are another kind of thing."""
    attributes: int
    """Wanted attributes that the product has."""
    wanted_attributes: int
    options: int
    """Wanted options that were chosen."""
    wanted_options: int
    price: bool
    """Whether the price cap is kept."""
    title_overlap: float
    """Share of the nouns in the goal's title that the purchase's title has."""

    def as_info(self) -> dict[str, Any]:
        """Return the parts for `StepResult.info`."""
        return asdict(self)


def reward_for(
    bought: Product, chosen: dict[str, str], goal: Goal, wanted: Product, nouns: Nouns
) -> Reward:
    """Value the purchase of `bought` with the `chosen` option values.

    `wanted` is the product that the goal was written for.
    """
    attributes = sum(has_attribute(bought, attribute) for attribute in goal.attributes)
    options = _options_met(chosen, goal)
    price = bought.price <= goal.price_upper
    overlap = _title_overlap(bought, wanted, nouns)
    kind = _type(bought, wanted, overlap)
    points = (attributes + options + price) / (len(goal.attributes) + len(goal.options) + 1)
    return Reward(
        total=points * kind,
        type=kind,
        attributes=attributes,
        wanted_attributes=len(goal.attributes),
        options=options,
        wanted_options=len(goal.options),
        price=price,
        title_overlap=overlap,
    )


def has_attribute(product: Product, attribute: str) -> bool:
    """Return whether a product is known to have an attribute, or says so in its texts."""
    return (
        any(is_match(known, attribute) for known in product.attributes)
        or attribute in product.title.lower()
        or attribute in " ".join(product.bullets).lower()
        or attribute in product.description.lower()
    )


def _options_met(chosen: dict[str, str], goal: Goal) -> int:
    have = [base_colour(value) for value in chosen.values()]
    return sum(any(is_match(value, want) for value in have) for want in _wanted_options(goal))


def _wanted_options(goal: Goal) -> list[str]:
    """Return the wanted values as upstream compares them.

    Values by name are compared together with their name, as a pair's text, and their colours stay
    as they are unless the value is itself a base colour.
    """
    if isinstance(goal.options, tuple):
        return [base_colour(value) for value in goal.options]
    return [
        next((colour for colour in BASE_COLOURS if colour in pair), str(pair))
        for pair in goal.options.items()
    ]


def _title_overlap(bought: Product, wanted: Product, nouns: Nouns) -> float:
    target = nouns(wanted.title)
    if not target:
        return 0.2
    return len(set(nouns(bought.title)) & set(target)) / len(target)


def _type(bought: Product, wanted: Product, overlap: float) -> float:
    if overlap == 0:
        return 0.0
    if overlap < 0.1:
        return 0.1
    is_same_query = bought.query == wanted.query
    shared_levels = _levels(bought) & _levels(wanted)
    return 1.0 if is_same_query or len(shared_levels) >= 2 or overlap > 0.2 else 0.5


def _levels(product: Product) -> set[str]:
    return {level.strip() for level in product.product_category.split("\u203a")}
