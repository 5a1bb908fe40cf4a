"""The `tiny_shop` student: a small Llama with a tokenizer for the generated shop.

The tokenizer is byte-level BPE, learnt when the student is loaded from episodes of the training
goals in the shop's format `react` and the words of the shop (`agentkd.students.shop_texts`), always
the same. It takes any text and gives it back unchanged; in the other formats a page has more
tokens. What stands on every page and what the expert says at every step is one token each, and so
are words and whole dollars. A product's code is six tokens wherever it stands, most of them pairs
of characters, which nearly always differ from product to product of a page: copying a code is
copying the same few tokens.

The model is that of `tiny_questions`: random weights, from a seed, but for a few heads that can
copy from the start, and embeddings in which words of different case begin alike
(`agentkd.students.copying`).
"""

import re
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

from agentkd.students.shop_texts import served_customers, words_of_the_shop
from agentkd.students.tiny import trained_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CUSTOMERS = 300
"""Training tasks that the tokenizer reads."""
VOCABULARY = 6144
_REPEATS = 40
"""How often a piece is shown, so that it becomes one token."""

_SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SIGN, _NO_SIGN = "[A-Z0-9]", "[^A-Za-z0-9]"
_CODE = (
    f"B(?={_SIGN}{{9}}(?!{_SIGN}))",
    *(
        f"(?<={_NO_SIGN}B{_SIGN * before}){_SIGN}{{2}}(?={_SIGN}{{{7 - before}}}(?!{_SIGN}))"
        for before in (0, 2, 4, 6)
    ),
)
"""The `B` that a code begins with, and of the nine characters behind it four pairs."""
_CENTS = (".99", ".49")
_BUTTONS = " \nRating: N.A. \n[Description] \n[Features] \n[Reviews] \n[Buy Now] "
_PHRASES = (
    "\nWebShop \nInstruction:  \n",
    " \n[Search] ",
    "\n[Back to Search] \n",
    "\nPage 1 (Total results: ",
    ") \n[Next >] \n",
    " \n$",
    "[< Prev] \n",
    "[Back to Search] \n",
    " \nPrice: $",
    "[Description] \n",
    "[Features] \n",
    "[Reviews] \n",
    "[Buy Now] ",
    "] \n",
    " \n[",
    "][",
    " [",
    ".00 dollars",
    "\n[Back to Search] \n[< Prev] \n",
    "\n[Back to Search] \nPage 1 (Total results: 50) \n[Next >] \n[",
    "Thought: All is chosen. Buy.\nAction: click[Buy Now]",
    "Nothing here fits. Search again.",
    "Other words may find more.",
    "Thought: This fits. Choose ",
    "Thought: Need: ",
    ", up to $",
    *(cents + behind for cents in _CENTS for behind in (" \n[", _BUTTONS, " ", ".")),
    "Thought: ",
    "\nAction: click[",
    "\nAction: search[",
    " may fit, $",
    ". Choose ",
    "You have clicked ",
)


def build_shop_tokenizer() -> "PreTrainedTokenizerFast":
    """Learn the tokenizer; the result is always the same."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    phrases = sorted(_PHRASES, key=lambda phrase: (-len(phrase), phrase))
    pieces = "|".join((*_CODE, r"\d{1,3}", *map(re.escape, phrases), f" ?(?!{_CODE[0]})[A-Za-z]+"))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pieces), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return trained_tokenizer(tokenizer, _texts(), VOCABULARY)


def _texts() -> Iterator[str]:
    yield from (message.content for turns in served_customers(CUSTOMERS) for message in turns)
    for word in words_of_the_shop():
        yield from [f" {word} [{word}]"] * _REPEATS
    for first, second in product(_SIGNS, _SIGNS):
        yield from [f"[B{first}{second}0000000]"] * _REPEATS
    for phrase in _PHRASES:
        yield from [phrase] * _REPEATS
