"""When two short phrases count as the same: WebShop's rule, fuzzy but blind to word order.

Upstream calls `thefuzz.fuzz.token_set_ratio` with its default processing and accepts a score above
85. Here rapidfuzz computes it, after the same processing: characters 128 to 255 are dropped,
whatever is neither letter nor digit becomes a space, and case does not count.
"""

from functools import lru_cache

from rapidfuzz.fuzz import token_set_ratio
from rapidfuzz.utils import default_process

LOWEST_MATCH = 86

_DROPPED = dict.fromkeys(range(128, 256))

_COLOURS = """
black white grey gray silver charcoal graphite slate ivory cream beige tan taupe khaki camel
brown chocolate coffee espresso walnut chestnut mahogany bronze copper brass gold golden
champagne yellow mustard lemon amber honey orange apricot peach coral salmon rust terracotta red
scarlet crimson burgundy maroon wine ruby cherry pink rose blush fuchsia magenta purple violet
lilac lavender plum mauve orchid eggplant blue navy indigo cobalt sapphire denim sky azure
turquoise teal cyan aqua mint green olive sage emerald jade lime forest moss pine multicolor
rainbow camouflage leopard transparent clear
"""
BASE_COLOURS = tuple(_COLOURS.split())
"""Colours to which longer names are reduced; the first that a name contains decides."""


@lru_cache(maxsize=65_536)
def similarity(one: str, other: str) -> int:
    """Return how alike two phrases are, from 0 to 100; 100 if one has all words of the other."""
    return round(token_set_ratio(_processed(one), _processed(other)))


def is_match(one: str, other: str) -> bool:
    """Return whether two phrases count as the same."""
    return similarity(one, other) >= LOWEST_MATCH


def base_colour(name: str) -> str:
    """Return the base colour that an option value contains, or the value itself."""
    return next((colour for colour in BASE_COLOURS if colour in name), name)


def _processed(phrase: str) -> str:
    return default_process(phrase.translate(_DROPPED))
