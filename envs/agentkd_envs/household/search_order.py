"""In which order the expert looks for something: a pure function, so that others can be tried."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from agentkd_envs.household.rooms import facts

SearchOrder = Callable[[str, Sequence[str]], Sequence[str]]
"""Takes an object kind and the receptacles as the room lists them; returns them in search order."""


def kind_of(name: str) -> str:
    """Return the kind of a numbered name: `mug` of `mug 2`."""
    return name.partition(" ")[0]


@lru_cache(maxsize=512)
def plausible_kinds(thing: str) -> frozenset[str]:
    """Return the receptacle kinds where an object kind can be, in lower case."""
    shipped = facts()
    kinds = {
        receptacle.lower()
        for receptacle, things in shipped.holds.items()
        if any(name.lower() == thing for name in things)
    }
    for name, hosts in shipped.stands_on.items():
        if name.lower() == thing:
            kinds.update(host.lower() for host in hosts)
    return frozenset(kinds)


@lru_cache(maxsize=1)
def openable_kinds() -> frozenset[str]:
    """Return the receptacle kinds that have a door or a drawer front, in lower case."""
    return frozenset(name.lower() for name in facts().openable)


def plausible_first(thing: str, listing: Sequence[str]) -> list[str]:
    """Plausible open places, then plausible ones to be opened, then the rest, each as listed."""
    plausible, openable = plausible_kinds(thing), openable_kinds()

    def rank(name: str) -> int:
        kind = kind_of(name)
        if kind not in plausible:
            return 2
        return 1 if kind in openable else 0

    return sorted(listing, key=rank)


def as_listed(thing: str, listing: Sequence[str]) -> list[str]:
    """Every place in the order of the room's listing, plausible or not: for small rooms."""
    return list(listing)


SEARCH_ORDERS: dict[str, SearchOrder] = {
    "plausible_first": plausible_first,
    "as_listed": as_listed,
}
"""Search orders by name, as the environment's option `search` takes them."""
