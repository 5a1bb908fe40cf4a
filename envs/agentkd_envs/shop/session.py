"""Where a customer is in the shop, as one immutable value, and how clicks lead on.

A `Place` is all of an episode's state, so that a copy of an episode costs nothing. The two dialects
of the protocol, WebShop's own text environment and that of the ReAct paper, move between the same
places; what they accept differs.
"""

from dataclasses import dataclass, replace
from typing import Literal

from agentkd_envs.shop.product import Product

PageName = Literal["index", "results", "item", "sub", "done"]
SUB_PAGES = ("Description", "Features", "Reviews", "Attributes")
PER_PAGE = 10


@dataclass(frozen=True, slots=True)
class Place:
    """The page that is shown, with all that it depends on."""

    page: PageName = "index"
    keywords: str = ""
    """The last search."""
    number: int = 1
    """Page of the results, from 1."""
    product: Product | None = None
    """The product of the item page."""
    chosen: tuple[tuple[str, str], ...] = ()
    """Option names and values clicked so far, by first click."""
    sub_page: str = ""
    """One of `SUB_PAGES`, if one is open."""
    visited: frozenset[str] = frozenset()
    """Products whose pages were opened since the index page."""
    score: float = 0.0
    """Reward, on the last page."""

    def searched(self, keywords: str) -> "Place":
        """Return the first page of results; chosen options are forgotten."""
        return Place("results", keywords, visited=self.visited)

    def turned(self, pages: int) -> "Place":
        """Return results that many pages further."""
        return Place("results", self.keywords, self.number + pages, visited=self.visited)

    def opened(self, product: Product) -> "Place":
        """Return the page of a product of the results."""
        return replace(self, page="item", product=product, visited=self.visited | {product.asin})

    def choosing(self, option: str, value: str) -> "Place":
        """Return the same item page with one more option chosen."""
        return replace(self, chosen=tuple({**dict(self.chosen), option: value}.items()))

    def showing(self, sub_page: str) -> "Place":
        """Return a sub page of the item."""
        return replace(self, page="sub", sub_page=sub_page)

    def back(self) -> "Place":
        """Return where `< Prev` leads from an item page, a sub page or a page of results."""
        if self.page == "sub":
            return replace(self, page="item", sub_page="")
        return self.turned(0 if self.page == "item" else -1)

    def bought(self, score: float) -> "Place":
        """Return the last page."""
        return replace(self, page="done", score=score)
