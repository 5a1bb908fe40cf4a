"""Text of unknown origin, made fit to be shown.

Models, tools and files of other people may hold anything. `visible` turns what a browser would hide
or obey (control characters, overrides of the writing direction, invisible tags, halves of surrogate
pairs) into marks that can be seen; `clip` keeps one text from filling the page. Neither escapes
HTML: that is the job of the template and of `svg`, which do it for every value.
"""

import re

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\uffff"
    "\U000e0000-\U000e007f]"
)
_CONTROL_PICTURES = 0x2400
LONGEST = 20_000
"""Characters of one value on a page, whatever it is."""


def visible(text: str) -> str:
    """Replace each character that cannot be seen and may mislead by a mark; keep line breaks."""
    return _HIDDEN.sub(_mark, text.replace("\r\n", "\n"))


def presentable(text: str) -> str:
    """Make a value of any origin fit for a page: `visible`, and not endless."""
    shown, hidden = clip(text, LONGEST)
    return visible(shown) + ("…" if hidden else "")


def clip(text: str, limit: int) -> tuple[str, int]:
    """Cut a text to `limit` characters; also return how many were left out."""
    return text[:limit], max(0, len(text) - limit)


def name_of(text: str) -> str:
    """Write the name of a policy, a split, an episode: on one line, never endless."""
    return shorten(text, 80)


def kind_name(kind: str) -> str:
    """Write the name of a task kind as words."""
    return name_of(kind.replace("_", " "))


def shorten(text: str, limit: int) -> str:
    """Put a text on one line of at most `limit` characters, with an ellipsis if it is cut."""
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _mark(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    return f"[U+{code:04X}]"
