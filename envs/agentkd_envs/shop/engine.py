"""Plays one episode: takes actions, moves between places, values the purchase.

Two dialects speak the same protocol. That of WebShop's text environment (formats `text` and
`text_rich`) lower-cases arguments, searches from any page, and answers whatever it does not
understand with the page as it is. That of the ReAct paper (format `react`) searches from the first
page only, has no further pages of results, knows `think[...]`, and says `Invalid action!`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentkd_envs.errors import UnknownNameError
from agentkd_envs.shop.catalogue import Catalogue
from agentkd_envs.shop.formats import REACT_PRODUCTS, RENDERERS
from agentkd_envs.shop.nouns import nouns_by
from agentkd_envs.shop.pages import BACK, BUY, NEXT, TO_SEARCH, Piece, pieces, shown
from agentkd_envs.shop.product import Goal, Product
from agentkd_envs.shop.reward import reward_for
from agentkd_envs.shop.session import SUB_PAGES, Place

ENGINE_VERSION = "1"
SEARCH_PLACEHOLDER = "search[...]"
"""Stands in the list of admissible actions for a search with any words."""

_ACTION = re.compile(r"(.+)\[(.+)\]")


@dataclass(frozen=True, slots=True)
class Response:
    """What an action led to."""

    text: str
    valid: bool = True
    reward: float = 0.0
    is_done: bool = False
    info: Mapping[str, Any] | None = None


class Engine:
    """One episode in one shop."""

    def __init__(
        self,
        catalogue: Catalogue,
        goal: Goal,
        format_name: str = "text",
        nouns: str = "heuristic",
        shows_attributes: bool = False,
    ) -> None:
        """Raises `UnknownNameError` for a format, `EnvError` for a spaCy model."""
        if format_name not in RENDERERS:
            raise UnknownNameError("shop format", format_name, RENDERERS)
        self.catalogue = catalogue
        self.goal = goal
        self.format = format_name
        self.place = Place()
        self._render = RENDERERS[format_name]
        self._nouns, self._nouns_version = nouns_by(nouns)
        self._shows_attributes = shows_attributes
        self._laid_out: tuple[Place, list[Piece]] | None = None
        """The last place whose page was laid out, and its pieces."""

    def fork(self) -> "Engine":
        """Return a copy in the same state; the state itself is never changed, only replaced."""
        copy = Engine.__new__(Engine)
        copy.__dict__.update(self.__dict__)
        return copy

    def observation(self) -> str:
        """Return the current page as text."""
        return self._render(self._pieces(), self.place)

    def admissible(self) -> Sequence[str]:
        """Return what can be clicked here, sorted, and `search[...]` where the search bar is."""
        place, found = self.place, set()
        if place.page == "index":
            found.add(SEARCH_PLACEHOLDER)
        products = 0
        for piece in self._pieces():
            products += piece.role == "product"
            if self.format == "react" and (piece.text == NEXT or products > REACT_PRODUCTS):
                continue
            if piece.role != "text" and _is_clickable(piece.text):
                found.add(f"click[{piece.text}]")
        return sorted(found)

    def step(self, action: str) -> Response:
        """Execute one action."""
        if self.place.page == "done":
            return Response(self.observation(), False, self.place.score, True)
        if self.format == "react":
            return self._react(action.strip())
        return self._click_or_search(action.strip())

    # WebShop's text environment.

    def _click_or_search(self, action: str) -> Response:
        match = _ACTION.match(action)
        name, argument = match.groups() if match else (action, "")
        argument = argument.lower()
        if name == "search" and argument:
            return self._go(self.place.searched(argument))
        if name == "click":
            return self._click(argument)
        return Response(self.observation(), False)

    def _click(self, label: str) -> Response:
        place = self.place
        targets = {
            piece.text.lower() if piece.role != "option" else piece.text: piece
            for piece in self._pieces()
            if piece.role != "text"
        }
        if label not in targets or label == "search":
            return Response(self.observation(), False)
        if label == BUY.lower():
            return self._buy()
        if label == TO_SEARCH.lower():
            return self._go(Place())
        if label == NEXT.lower() and place.page == "results":
            return self._go(place.turned(1))
        if label == BACK.lower():
            return self._go(place.back())
        sub_page = next((name for name in SUB_PAGES if name.lower() == label), "")
        if sub_page:
            return self._go(place.showing(sub_page))
        return self._go(self._follow(targets[label]))

    # The ReAct paper's environment.

    def _react(self, action: str) -> Response:
        place, page = self.place, self.place.page
        if action.startswith("think["):
            return Response("OK.")
        if action.startswith("search[") and action[7:-1].strip() and page == "index":
            return self._go(Place().searched(action[7:-1]))
        label = action[6:-1] if action.startswith("click[") else ""
        if label == BUY and page == "item":
            return self._buy()
        if label == TO_SEARCH and page != "index":
            return self._go(Place())
        if label == BACK and page in ("item", "sub"):
            return self._go(place.back())
        if label in SUB_PAGES and page == "item":
            return self._go(place.showing(label))
        for piece in self._pieces():
            if piece.role in ("option", "product") and piece.text == label:
                response = self._go(self._follow(piece))
                if piece.role == "option":
                    return Response(f"You have clicked {label}.")
                return response
        return Response("Invalid action!", False)

    # Both.

    def _pieces(self) -> list[Piece]:
        if self._laid_out is None or self._laid_out[0] is not self.place:
            page = pieces(self.place, self.goal, self._results(), self._shows_attributes)
            self._laid_out = self.place, page
        return self._laid_out[1]

    def _results(self) -> Sequence[Product]:
        if self.place.page != "results":
            return ()
        return self.catalogue.search(self.place.keywords)

    def _follow(self, piece: Piece) -> Place:
        if piece.role == "option":
            return self.place.choosing(piece.option, piece.text)
        products = shown(self.place, self._results())
        return self.place.opened(next(one for one in products if one.asin == piece.text))

    def _go(self, place: Place) -> Response:
        self.place = place
        return Response(self.observation())

    def _buy(self) -> Response:
        product = self.place.product
        assert product is not None
        wanted = self.catalogue.by_asin[self.goal.asin]
        reward = reward_for(product, dict(self.place.chosen), self.goal, wanted, self._nouns)
        self.place = self.place.bought(reward.total)
        info = {"asin": product.asin, "nouns": self._nouns_version, **reward.as_info()}
        return Response(self.observation(), True, reward.total, True, info)


def _is_clickable(label: str) -> bool:
    """Return whether the protocol's grammar can name a button: none with `[` or a line break."""
    return "[" not in label and "\n" not in label and label != "Search"
