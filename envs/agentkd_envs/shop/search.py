"""The shop's search engine: BM25 over the products' texts, as Lucene would set it up.

k1 is 0.9 and b is 0.4, the words are stemmed by Porter's algorithm, and Lucene's English stop words
are left out; these are the settings of WebShop's index. The scores come from bm25s, method
`lucene`. Lucene itself rounds document lengths to one byte, so that its ranking differs here and
there from this one.

Scores are compared after rounding and ties go to the earlier product, so that the order does not
depend on the last bit of a floating point number.
"""

import logging
import re
from collections.abc import Iterable, Sequence

import bm25s
import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

# bm25s turns its own logger to DEBUG when it is imported.
logging.getLogger("bm25s").setLevel(logging.WARNING)

MOST_RESULTS = 50

_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['\u2019]s\b")
_STOP_WORDS = frozenset(STOPWORDS_EN)
_REMEMBERED_QUERIES = 4096
_STOPPED = -1


class SearchIndex:
    """Finds products by words; products are numbered in the order in which they are given."""

    def __init__(self, documents: Iterable[str]) -> None:
        self._stem = Stemmer.Stemmer("porter").stemWord
        self._ids: dict[str, int] = {}
        self._vocabulary: dict[str, int] = {}
        self._found: dict[str, tuple[int, ...]] = {}
        corpus = [self._learn(document) for document in documents]
        self._ranker: bm25s.BM25 | None = None
        if self._vocabulary:
            self._ranker = bm25s.BM25(k1=0.9, b=0.4, method="lucene", backend="numpy")
            self._ranker.index((corpus, self._vocabulary), show_progress=False)

    def _learn(self, document: str) -> list[int]:
        ids, found = self._ids, []
        for word in _words(document):
            number = ids.get(word)
            if number is None:
                number = ids[word] = self._number(word)
            if number != _STOPPED:
                found.append(number)
        return found

    def _number(self, word: str) -> int:
        if word in _STOP_WORDS:
            return _STOPPED
        return self._vocabulary.setdefault(self._stem(word), len(self._vocabulary))

    def search(self, keywords: str) -> Sequence[int]:
        """Return the numbers of at most 50 products that share a word with the query, best first.

        A query of stop words or unknown words alone finds nothing.
        """
        query = keywords.lower()
        found = self._found.get(query)
        if found is None:
            if len(self._found) >= _REMEMBERED_QUERIES:
                self._found.clear()
            found = self._found[query] = self._rank(query)
        return found

    def _rank(self, query: str) -> tuple[int, ...]:
        stems = (self._stem(word) for word in _words(query) if word not in _STOP_WORDS)
        known = [self._vocabulary[stem] for stem in stems if stem in self._vocabulary]
        if self._ranker is None or not known:
            return ()
        scores = self._ranker.get_scores(known).round(4)
        candidates = np.flatnonzero(scores > 0)
        if len(candidates) > MOST_RESULTS:
            kth = np.partition(scores[candidates], -MOST_RESULTS)[-MOST_RESULTS]
            candidates = candidates[scores[candidates] >= kth]
        order = np.lexsort((candidates, -scores[candidates]))
        return tuple(candidates[order][:MOST_RESULTS].tolist())


def _words(text: str) -> list[str]:
    return _WORD.findall(_POSSESSIVE.sub("", text))
