"""What stands on each page of the shop, piece by piece; how it is written is `formats`' business.

The pieces are the visible text nodes of WebShop's HTML pages, in their order.
"""

import json
from collections.abc import Sequence
from typing import Literal, NamedTuple

from agentkd_envs.shop.product import Goal, Product
from agentkd_envs.shop.session import PER_PAGE, Place

BUY = "Buy Now"
NEXT = "Next >"
BACK = "< Prev"
TO_SEARCH = "Back to Search"

_HTML_SPACES = " \n\t\f\r"


class Piece(NamedTuple):
    """One text node."""

    role: Literal["text", "button", "option", "product"]
    text: str
    option: str = ""
    """Name of the option, if the piece is one of its values."""


def pieces(
    place: Place, goal: Goal, results: Sequence[Product], shows_attributes: bool
) -> list[Piece]:
    """Return the pieces of the page; `results` are all products that the last search found."""
    if place.page == "index":
        page = [
            _text("WebShop"),
            _text("Instruction: "),
            _text(goal.instruction),
            _button("Search"),
        ]
    elif place.page == "done":
        page = [_text(text) for text in _receipt(place)]
    else:
        page = [_text("Instruction:"), _text(goal.instruction), _button(TO_SEARCH)]
        if place.page == "results":
            page += _results(place, results)
        elif place.page == "item":
            page += _item(place, shows_attributes)
        else:
            page += [_button(BACK), *(_text(text) for text in _sub_page(place))]
    return [piece for piece in map(_as_html_keeps_it, page) if piece.text]


def shown(place: Place, results: Sequence[Product]) -> Sequence[Product]:
    """Return the products on the current page of the results."""
    return results[(place.number - 1) * PER_PAGE : place.number * PER_PAGE]


def _results(place: Place, results: Sequence[Product]) -> list[Piece]:
    page = [_text(f"Page {place.number} (Total results: {len(results)})")]
    if place.number > 1:
        page.append(_button(BACK))
    page.append(_button(NEXT))
    for product in shown(place, results):
        page += [
            Piece("product", product.asin),
            _text(product.title),
            _text(product.price_text),
        ]
    return page


def _item(place: Place, shows_attributes: bool) -> list[Piece]:
    product = place.product
    assert product is not None
    page = [_button(BACK)]
    for name, values in (product.options or {}).items():
        page.append(_text(name))
        page += [Piece("option", value, name) for value in values]
    page += [
        _text(product.title),
        _text(f"Price: {product.price_text}"),
        _text(f"Rating: {product.rating}"),
        *map(_button, ("Description", "Features", "Reviews")),
    ]
    if shows_attributes:
        page.append(_button("Attributes"))
    return [*page, _button(BUY)]


def _sub_page(place: Place) -> Sequence[str]:
    product = place.product
    assert product is not None
    if place.sub_page == "Description":
        return [product.description]
    if place.sub_page == "Features":
        return [f" {line}" for line in product.bullets]
    if place.sub_page == "Attributes":
        lines = [f" {attribute}" for attribute in product.attributes]
        return [*lines, product.category, product.query, product.product_category]
    return []


def _receipt(place: Place) -> list[str]:
    """Texts of the last page; many are empty headings of a form that WebShop hides."""
    product = place.product
    assert product is not None
    chosen = json.dumps(dict(place.chosen), sort_keys=True)
    for character in "<>&'":
        chosen = chosen.replace(character, f"\\u{ord(character):04x}")
    empty_form = ("options", "attrs", "price upper", "instuction text", "category")
    return [
        "Thank you for shopping with us!",
        "Your code: ",
        "None",
        " (Paste it in your MTurk interface.)",
        *("Purchased", "asin", product.asin, "options", chosen, "attrs", "None"),
        *("category", "None", "query", "None", "product category", "None"),
        *("Target", "asin", *empty_form, "product category", "query", "Goal ", "None", "Reward"),
        *("Your score (min 0.0, max 1.0)", str(place.score), "Reward Details ", "None"),
    ]


def _text(text: str) -> Piece:
    return Piece("text", text)


def _button(text: str) -> Piece:
    return Piece("button", text)


def _as_html_keeps_it(piece: Piece) -> Piece:
    """Empty a piece that is only white space with a line break, as an HTML parser's reader does."""
    if piece.text.strip(_HTML_SPACES):
        return piece
    return piece._replace(text="" if "\n" in piece.text or not piece.text else " ")
