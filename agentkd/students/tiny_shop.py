"""The `tiny_shop` student: a small Llama with a tokenizer for the generated shop.

The tokenizer is byte-level BPE, learnt when the student is loaded from episodes of the training
goals and the words of the shop (`agentkd.students.shop_texts`), always the same. It takes any text
and gives it back unchanged. Words are one token each, and so are the buttons of a page with what
separates them. Two kinds of pieces are never merged with what stands around them, so that copying
them is copying the same few tokens wherever they stand: digits, and the pairs of characters of a
product's code, which nearly always differ from product to product of a page.

The model is that of `tiny_questions`: random weights, from a seed, but for a few heads that can
copy from the start (`agentkd.students.copying`).
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
_PHRASES = (
    "Instruction: [SEP] ",
    " [SEP] Back to Search [SEP] ",
    " [SEP] Next > [SEP] ",
    "< Prev [SEP] ",
    "Page ",
    " (Total results: ",
    ") [SEP] ",
    " [SEP] $",
    " [SEP] Price: $",
    " [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews [SEP] Buy Now",
    " [SEP] ",
    "Thought: ",
    "\nAction: click[",
    "\nAction: search[",
    " may fit, $",
    ". Choose ",
)


def build_shop_tokenizer() -> "PreTrainedTokenizerFast":
    """Learn the tokenizer; the result is always the same."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    phrases = sorted(_PHRASES, key=lambda phrase: (-len(phrase), phrase))
    pieces = "|".join((*_CODE, r"\d", *map(re.escape, phrases), " ?[A-Za-z]+"))
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
        yield from (f" B{first}{second}0000000" for _ in range(_REPEATS))
    for phrase in _PHRASES:
        yield from [phrase] * _REPEATS
