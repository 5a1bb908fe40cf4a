"""What an instruction asks for, as far as its words tell.

Kinds of things and their properties are common knowledge, so the vocabulary of the generated shop
is used where an instruction speaks it. Other instructions are cut at their joints, and each part
that is left counts as a property.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from agentkd_envs.shop.product import NO_CAP
from agentkd_envs.shop.vocabulary import facets, families

_CAP = re.compile(r",? and price lower than (\d+(?:\.\d+)?) dollars")
_JOINT = re.compile(r"[,.;]| (?:and|with|that|for|in) ")
_POLITE = re.compile(
    r"\b(?:i am|i'm|i|we|my|me|please|find|show|buy|get|give|looking for|look for|interested in|"
    r"need|want|would|could|can|you|like|a|an|some|the|to|of|it|should|be|is|are)\b"
)


@dataclass(frozen=True)
class Wishes:
    """What to look for."""

    instruction: str
    thing: str
    """Kind of thing; empty if it is none that is known."""
    properties: tuple[str, ...]
    cap: float
    """Highest price in dollars."""

    @property
    def queries(self) -> tuple[str, ...]:
        """What to search for: all that is wished, then leaving out one property each time."""
        fewer = [[other for other in self.properties if other != wish] for wish in self.properties]
        words = [" ".join([*wishes, self.thing]).strip() for wishes in (self.properties, *fewer)]
        return tuple(dict.fromkeys(filter(None, words))) or (self.instruction,)

    def confirmed(self, text: str) -> list[str]:
        """Return the properties that a text says."""
        text = text.lower()
        return [wish for wish in self.properties if wish in text]

    def contradiction(self, text: str) -> str:
        """Return a property in a text that excludes one that is wished for; empty if none."""
        text = text.lower()
        for wish in self.properties:
            others = [value for value in _alternatives().get(wish, ()) if value in text]
            if others and wish not in text:
                return others[0]
        return ""

    def is_thing(self, title: str) -> bool:
        """Return whether a title may name the kind of thing."""
        return self.thing in title.lower()

    def wanted_values(self, options: Mapping[str, Iterable[str]]) -> dict[str, str]:
        """Return the values to choose, by option; empty for an option whose value is missing.

        Options that the instruction does not mention are left out.
        """
        wanted = {}
        for name, values in options.items():
            pattern = rf"\b{re.escape(name)}(?::| should be)? "
            said = [
                self.instruction[match.end() :] for match in re.finditer(pattern, self.instruction)
            ]
            fitting = [
                value
                for value in values
                if any(re.match(rf"{re.escape(value)}(?!\w)", text) for text in said)
            ]
            if not fitting and not self.thing:
                fitting = [
                    value
                    for value in values
                    if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", self.instruction)
                ]
            if fitting:
                wanted[name] = max(fitting, key=len)
            elif self.thing and said:
                wanted[name] = ""
        return wanted


def read_wishes(instruction: str) -> Wishes:
    """Read an instruction."""
    text = instruction.lower()
    match = _CAP.search(text)
    cap = float(match.group(1)) if match else NO_CAP
    text = _CAP.sub("", text)
    things = [family.name for family in families() if f" {family.name}" in text]
    thing = max(things, key=len, default="")
    if thing:
        said = [value for value in _alternatives() if value in text]
        return Wishes(text, thing, tuple(sorted(said, key=text.index)), cap)
    parts = (part.strip() for part in _JOINT.split(" ".join(_POLITE.sub(" ", text).split())))
    return Wishes(text, "", tuple(dict.fromkeys(part for part in parts if part)), cap)


@cache
def _alternatives() -> dict[str, tuple[str, ...]]:
    """Return each property of the vocabulary with those that exclude it."""
    return {
        value: tuple(other for other in facet.values if other != value)
        for facet in facets().values()
        for value in facet.values
    }
