"""Mistakes that a careless customer makes, for transcripts that show how to recover from them.

None of them ends the episode: a wrong purchase could not be repaired. They are to open what the
list of results already rules out, to choose a wrong value, to read what does not help, to search
for too little, and to press what is not there.
"""

from collections.abc import Callable
from random import Random

from agentkd_envs.base import Move
from agentkd_envs.shop.pages import BACK, NEXT
from agentkd_envs.shop.reading import Page
from agentkd_envs.shop.wishes import Wishes

Slip = Callable[[Page, Wishes, Random], Move]


def mistake(page: Page, wishes: Wishes, random: Random) -> Move:
    """Return a wrong move that is plausible on a page."""
    slips: dict[str | None, list[Slip]] = {
        "index": [_search_for_too_little, _press_nothing],
        "results": [_open_carelessly, _open_carelessly, _turn_the_page],
        "item": [_read_reviews, _press_nothing],
        "sub": [_press_nothing],
    }
    options = slips.get(page.name, [_press_nothing])
    if page.name == "item" and any(len(values) > 1 for values in page.options.values()):
        options = [*options, _choose_wrongly, _choose_wrongly]
    if page.name == "results" and not page.offers:
        options = [_turn_the_page]
    return random.choice(options)(page, wishes, random)


def _search_for_too_little(page: Page, wishes: Wishes, random: Random) -> Move:
    word = (wishes.thing or wishes.instruction).split()[-1]
    return Move(f"I need a {word}.", f"search[{word}]")


def _open_carelessly(page: Page, wishes: Wishes, random: Random) -> Move:
    offer = random.choice(page.offers)
    return Move(f"{offer.asin} fits, {offer.price_text}.", f"click[{offer.asin}]")


def _turn_the_page(page: Page, wishes: Wishes, random: Random) -> Move:
    return Move("Nothing here fits. Next page.", f"click[{NEXT}]")


def _read_reviews(page: Page, wishes: Wishes, random: Random) -> Move:
    return Move("What do others say? Read Reviews.", "click[Reviews]")


def _choose_wrongly(page: Page, wishes: Wishes, random: Random) -> Move:
    name, values = random.choice([pair for pair in page.options.items() if len(pair[1]) > 1])
    wanted = wishes.wanted_values(page.options).get(name)
    value = random.choice([value for value in values if value != wanted])
    return Move(f"This fits. Choose {name}: {value}.", f"click[{value}]")


def _press_nothing(page: Page, wishes: Wishes, random: Random) -> Move:
    words = [*wishes.properties, wishes.thing or "the thing"]
    label = random.choice([*words, BACK] if page.name == "index" else words)
    return Move(f"It is {label}.", f"click[{label}]")
