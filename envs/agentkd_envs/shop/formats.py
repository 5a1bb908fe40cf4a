"""How a page becomes an observation: WebShop's `text` and `text_rich`, and `react`.

`text` joins the pieces of a page by ` [SEP] `. `text_rich` marks buttons and says what was clicked.
`react` is the bracket format of the ReAct paper (Yao et al., 2210.03629): three products a page,
buttons in brackets, no instruction after the first page.
"""

import json
from collections.abc import Callable, Sequence

from agentkd_envs.shop.pages import Piece
from agentkd_envs.shop.session import Place

FORMAT_VERSION = "1"
REACT_PRODUCTS = 3

Renderer = Callable[[Sequence[Piece], Place], str]


def as_text(page: Sequence[Piece], place: Place) -> str:
    """Join the pieces by ` [SEP] `."""
    return " [SEP] ".join(piece.text.strip() for piece in page)


def as_rich_text(page: Sequence[Piece], place: Place) -> str:
    """Write a line per piece, mark what can be clicked and what was."""
    address = _address(place)
    lines, clicked = [], []
    for piece in page:
        text = piece.text
        if piece.role == "button":
            text = f"[button] {text} [button_]"
        elif piece.role == "option":
            if f'"{text}"' in address:
                clicked.append(f"You have clicked {text}.\n")
                text = f"  [clicked button] {text} [clicked button_]"
            else:
                text = f"  [button] {text} [button_]"
        elif piece.role == "product":
            mark = "clicked button" if text in place.visited else "button"
            text = f"\n[{mark}] {text} [{mark}_]"
        lines.append(text + "\n")
    return "".join([*reversed(clicked), *lines])


def as_react(page: Sequence[Piece], place: Place) -> str:
    """Write the page as the ReAct paper's prompts have it."""
    if place.page == "done":
        return f"Your score (min 0.0, max 1.0): {place.score}"
    chosen = str(dict(place.chosen))
    page = [piece for piece in page if piece.text.replace("\\n", "").strip(" \n")]
    products = 0
    written = []
    for piece in page if place.page == "index" else page[2:]:
        products += piece.role == "product"
        if products > REACT_PRODUCTS:
            break
        if piece.role == "option":
            text = f"[{piece.text}]"
            written.append(f"[{text}]" if repr(piece.text) in chosen else text)
        elif piece.role == "text":
            written.append(f"\n{piece.text} ")
        else:
            written.append(f"\n[{piece.text}] ")
    return "".join(written)


def _address(place: Place) -> str:
    """Return the end of the page's address, in which upstream looks for what was clicked."""
    asin = place.product.asin if place.product else ""
    words = place.keywords.replace(" ", "+")
    return f"{asin}/{words}/{place.number}/{json.dumps(dict(place.chosen))}"


RENDERERS: dict[str, Renderer] = {
    "text": as_text,
    "text_rich": as_rich_text,
    "react": as_react,
}
"""Formats by name, as the environment's option `format` takes them."""
