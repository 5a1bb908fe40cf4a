"""Reads observations of the shop back into pages, for the expert: it knows nothing but the text.

The formats differ in their marks; without them a page is a list of lines, and its first lines say
which page it is. The format `text` does not tell names of options from their values, so the names
of options have to be known words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentkd_envs.shop.pages import BACK, BUY, NEXT, TO_SEARCH
from agentkd_envs.shop.session import PageName
from agentkd_envs.shop.vocabulary import OPTIONS

_USUAL_NAMES = """
style, flavour, colour, scent, pattern, material, length, width, capacity, quantity, edition,
configuration, item shape, flavor name, scent name, size name, color name, special size type
"""
OPTION_NAMES = frozenset(name for name, _ in OPTIONS.values()) | frozenset(
    " ".join(name.split()) for name in _USUAL_NAMES.split(",")
)
"""Words that are known to name an option."""

_RESULTS = re.compile(r"Page (\d+) \(Total results: (\d+)\)")
_RICH_MARK = re.compile(r"\[(?:clicked )?button\] (.*) \[(?:clicked )?button_\]$")
_ASIN = re.compile(r"[A-Z0-9]{1,10}$")
_PRICE = re.compile(r"\$(\d+(?:\.\d+)?)(?: to \$(\d+(?:\.\d+)?))?$")


@dataclass(frozen=True)
class Offer:
    """One product in a list of results."""

    asin: str
    title: str
    price_text: str

    @property
    def highest_price(self) -> float:
        """Price in dollars, the upper end of a range."""
        match = _PRICE.match(self.price_text)
        return float(match.group(2) or match.group(1)) if match else 0.0


@dataclass(frozen=True)
class Page:
    """What an observation shows."""

    name: PageName | None
    """None for answers that show no page."""
    instruction: str = ""
    number: int = 1
    total: int = 0
    offers: tuple[Offer, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    title: str = ""
    text: str = ""
    """Text of a sub page."""


def read_page(observation: str, format_name: str) -> Page:
    """Read an observation; what is no page of the shop is a `Page` without a name."""
    lines = _LINES[format_name](observation)
    instruction = ""
    if lines[:2] == ["WebShop", "Instruction:"] and len(lines) > 2:
        return Page("index", lines[2])
    if lines[:1] == ["Instruction:"] and len(lines) > 2:
        instruction, lines = lines[1], lines[2:]
    if not lines or lines[0] != TO_SEARCH:
        is_over = bool(lines) and lines[0].startswith(("Thank you", "Your score"))
        return Page("done" if is_over else None, instruction)
    match = _RESULTS.match(lines[1]) if len(lines) > 1 else None
    if match:
        number, total = map(int, match.groups())
        return Page("results", instruction, number, total, offers=_offers(lines[2:]))
    if lines[1:2] != [BACK]:
        return Page(None, instruction)
    if lines[-1] == BUY:
        return _item(instruction, lines[2:])
    return Page("sub", instruction, text=" ".join(lines[2:]))


def _offers(lines: list[str]) -> tuple[Offer, ...]:
    lines = [line for line in lines if line not in (NEXT, BACK)]
    offers = []
    for position, line in enumerate(lines[:-2]):
        title, price = lines[position + 1 : position + 3]
        if _ASIN.match(line) and price.startswith("$"):
            offers.append(Offer(line, title, price))
    return tuple(offers)


def _item(instruction: str, lines: list[str]) -> Page:
    prices = [number for number, line in enumerate(lines) if line.startswith("Price: ")]
    if not prices or not prices[-1]:
        return Page("item", instruction)
    title = lines[prices[-1] - 1]
    options: dict[str, list[str]] = {}
    name = ""
    for line in lines[: prices[-1] - 1]:
        if line in OPTION_NAMES or not options:
            name = line
            options[name] = []
        else:
            options[name].append(line)
    table = {option: tuple(values) for option, values in options.items()}
    return Page("item", instruction, options=table, title=title)


def _text_lines(observation: str) -> list[str]:
    return observation.split(" [SEP] ")


def _rich_lines(observation: str) -> list[str]:
    lines = [line.strip() for line in observation.splitlines()]
    lines = [line for line in lines if line and not line.startswith("You have clicked ")]
    return [_RICH_MARK.sub(r"\1", line) for line in lines]


def _react_lines(observation: str) -> list[str]:
    found: list[str] = []
    for line in filter(None, (line.strip() for line in observation.splitlines())):
        name, bracket, values = line.partition("[")
        is_button = not name and bracket
        if is_button or (name.strip() in OPTION_NAMES and line.endswith("]")):
            found += filter(None, [name.strip()])
            found += [value.strip("[]") for value in values.rstrip("]").split("][")]
        else:
            found.append(line)
    return found


_LINES = {"text": _text_lines, "text_rich": _rich_lines, "react": _react_lines}
