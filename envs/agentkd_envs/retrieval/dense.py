"""Dense retrieval: the nearest vectors by inner product, with usearch.

Up to `EXACT_UP_TO` documents every vector is compared; beyond, a graph (HNSW) finds nearly all of
the nearest. Vectors are kept in 16 bits. While an index is built they lie in one file, with the
count of those that are done beside it, so that encoding goes on where it was killed; a graph is
built from them in one go and takes their place.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agentkd_envs.errors import RetrievalError
from agentkd_envs.retrieval.documents import Documents, OnCount
from agentkd_envs.retrieval.encoders import Encoder
from agentkd_envs.retrieval.engine import Hits, need_package, ranked

EXACT_UP_TO = 20_000
SAME_GRAPH_UP_TO = 200_000
"""Vectors of which one thread builds the graph, so that it is the same each time; what several
threads build depends on which of them is first."""
SHARD = 4096
"""Documents that are encoded between two notes of how far it is."""

_VECTORS, _DONE, _GRAPH = "vectors.npy", "done.json", "graph.usearch"
_EXPANSION = 128
_SAME_VECTOR = 0.99


class DenseIndex:
    """Finds documents by meaning."""

    def __init__(self, folder: Path, encoder: Encoder, first_text: str) -> None:
        """Open an index; `first_text` is what is indexed of its first document.

        Raises `RetrievalError` if the encoder does not make the vectors that are in the index.
        """
        self._usearch = need_package("usearch.index", "dense")
        self._encoder = encoder
        self._graph = self._vectors = None
        if (folder / _GRAPH).exists():
            self._graph = self._usearch.Index.restore(str(folder / _GRAPH), view=True)
            stored = np.asarray(self._graph.get(0))
        else:
            self._vectors = np.load(folder / _VECTORS, mmap_mode="r")
            stored = self._vectors[0]
        fresh = encoder.encode_passages([first_text])[0]
        if stored.shape != fresh.shape or float(stored.astype(np.float32) @ fresh) < _SAME_VECTOR:
            raise RetrievalError(
                f"{folder}: the encoder '{encoder.settings.model}' does not give the vectors that "
                "this index was built with; build it again, or give the encoder of then"
            )

    def search(self, queries: Sequence[str], count: int) -> list[Hits]:
        """Return for each query the `count` nearest documents."""
        vectors = self._encoder.encode_queries(queries).astype(np.float16)
        if self._graph is not None:
            found = self._graph.search(vectors, count)
        else:
            metric = self._usearch.MetricKind.IP
            found = self._usearch.search(self._vectors, vectors, count, metric, exact=True)
        keys = np.atleast_2d(found.keys).tolist()
        scores = (1.0 - np.atleast_2d(found.distances)).tolist()
        return [
            ranked(list(zip(row, row_scores, strict=True)), count)
            for row, row_scores in zip(keys, scores, strict=True)
        ]


def encode_documents(
    folder: Path, documents: Documents, encoder: Encoder, on_count: OnCount, shard: int = SHARD
) -> None:
    """Encode all documents into `folder`, but for those that an earlier build encoded."""
    folder.mkdir(exist_ok=True)
    done = _done(folder)
    shape = (len(documents), encoder.dimensions)
    vectors = (
        np.lib.format.open_memmap(folder / _VECTORS, mode="r+")
        if done
        else np.lib.format.open_memmap(folder / _VECTORS, mode="w+", dtype=np.float16, shape=shape)
    )
    if vectors.shape != shape:
        raise RetrievalError(f"{folder / _VECTORS} has the shape {vectors.shape}, not {shape}")
    on_count(done)
    for first in range(done, len(documents), shard):
        end = min(first + shard, len(documents))
        vectors[first:end] = encoder.encode_passages(list(documents.indexed_texts(first, end)))
        vectors.flush()
        _note_done(folder, end)
        on_count(end)


def build_graph(
    folder: Path, on_count: OnCount, exact_up_to: int = EXACT_UP_TO, batch: int = SHARD
) -> None:
    """Build the graph over encoded documents, if there are too many to compare each."""
    vectors = np.load(folder / _VECTORS, mmap_mode="r")
    if len(vectors) <= exact_up_to:
        return
    graph: Any = need_package("usearch.index", "dense").Index(
        ndim=vectors.shape[1],
        metric="ip",
        dtype="f16",
        expansion_add=_EXPANSION,
        expansion_search=_EXPANSION,
    )
    threads = 1 if len(vectors) <= SAME_GRAPH_UP_TO else 0  # 0: as many as there are cores
    for first in range(0, len(vectors), batch):
        rows = np.asarray(vectors[first : first + batch])
        graph.add(np.arange(first, first + len(rows)), rows, threads=threads)
        on_count(first + len(rows))
    draft = folder / f"{_GRAPH}.new"
    graph.save(str(draft))
    draft.replace(folder / _GRAPH)
    del vectors
    (folder / _VECTORS).unlink()


def is_built(folder: Path) -> bool:
    """Whether the graph has taken the place of the vectors already."""
    return (folder / _GRAPH).exists()


def _done(folder: Path) -> int:
    try:
        return int(json.loads((folder / _DONE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return 0


def _note_done(folder: Path, count: int) -> None:
    draft = folder / f"{_DONE}.new"
    draft.write_text(json.dumps(count), encoding="utf-8")
    draft.replace(folder / _DONE)
