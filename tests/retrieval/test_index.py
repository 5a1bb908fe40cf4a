"""Index folders: what is found, what is refused by name, and building that was cut short."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import numpy as np
import pytest
from agentkd_envs import CorpusError, RetrievalError, UnknownNameError
from agentkd_envs.retrieval import (
    EncoderSettings,
    IndexSettings,
    Passage,
    build_index,
    open_retriever,
    read_preset,
)
from agentkd_envs.retrieval.bm25 import Bm25Index
from agentkd_envs.retrieval.dense import DenseIndex, build_graph, encode_documents
from agentkd_envs.retrieval.documents import Documents, store_documents
from agentkd_envs.retrieval.encoders import Encoder
from agentkd_envs.retrieval.tantivy_index import TantivyIndex, build_tantivy
from corpora import town_lines, write_corpus, write_static_encoder


def unobserved(step: str, done: int, planned: int | None) -> None:
    """Progress that nobody watches."""


def uncounted(done: int) -> None:
    """A count that nobody watches."""


def found(place: Path, query: str, count: int = 3) -> list[Passage]:
    async def run() -> list[Passage]:
        retriever = open_retriever(str(place))
        try:
            return (await retriever.search([query], count))[0]
        finally:
            await retriever.close()

    return anyio.run(run)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "towns.jsonl", town_lines(300))


@pytest.fixture(scope="module")
def static_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_static_encoder(tmp_path_factory.mktemp("static") / "model")


@pytest.mark.parametrize("kind", ["bm25", "tantivy", "dense"])
def test_an_index_finds_what_was_indexed(
    kind: str, corpus: Path, static_encoder: str, tmp_path: Path
) -> None:
    encoder = static_encoder if kind == "dense" else None
    manifest = build_index(
        corpus, tmp_path, IndexSettings().with_choices(kind, encoder), unobserved
    )
    passages = found(tmp_path, "Sava 1237")
    assert passages[0].id == "d237"
    assert passages[0].title == "Sava 237"
    assert passages[0].text.endswith("in 1237.")
    scores = [passage.score for passage in passages]
    assert scores == sorted(scores, reverse=True)
    assert open_retriever(str(tmp_path), version=manifest.version).version == manifest.version
    with pytest.raises(RetrievalError, match=f"{manifest.version}, not bm25-7-0"):
        open_retriever(str(tmp_path), version="bm25-7-0")
    again = build_index(corpus, tmp_path, IndexSettings().with_choices(kind, encoder), unobserved)
    assert again == manifest


def test_the_kind_follows_from_the_size_and_the_encoder() -> None:
    assert IndexSettings().kind_for(100_000) == "bm25"
    assert IndexSettings().kind_for(100_001) == "tantivy"
    assert IndexSettings(encoder=EncoderSettings("minilm")).kind_for(10) == "dense"
    assert IndexSettings(kind="bm25").kind_for(10**7) == "bm25"


def test_a_real_encoder_finds_by_meaning(tmp_path: Path) -> None:
    lines = [
        {"text": "The feline slept on the sofa all afternoon."},
        {"text": "Interest rates were raised by the central bank."},
        {"text": "The orchestra rehearsed a symphony."},
    ]
    corpus = write_corpus(tmp_path / "corpus.jsonl", lines)
    build_index(
        corpus, tmp_path / "index", IndexSettings().with_choices(None, "minilm"), unobserved
    )
    for query, number in (("a cat resting", "0"), ("monetary policy", "1"), ("music", "2")):
        assert found(tmp_path / "index", query)[0].id == number


def test_published_forms_of_a_line_are_read(tmp_path: Path) -> None:
    lines = [
        {"id": 7, "contents": '"Aaron"\nAaron is a prophet.\nHe has a brother.'},
        {"contents": "a single line about deserts"},
        {"id": "x", "title": "Sinai", "contents": "A mountain.", "url": "ignored"},
    ]
    path = tmp_path / "corpus.jsonl.gz"
    path.write_bytes(gzip.compress("\n\n".join(map(json.dumps, lines)).encode()))
    build_index(path, tmp_path / "index", IndexSettings(), unobserved)
    assert [replace(found(tmp_path / "index", query)[0], score=0.0) for query in
            ("prophet", "deserts", "mountain")] == [
        Passage("7", "Aaron", "Aaron is a prophet.\nHe has a brother."),
        Passage("1", "", "a single line about deserts"),
        Passage("x", "Sinai", "A mountain."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": 1, "title": "Alone"}', "line 2: a document without text; it has id, title"),
        ('{"text": "   "}', "line 2: a document without text"),
        ('{"text": ["a", "list"]}', "line 2: a document without text"),
        ('{"contents": "\\"Title\\"\\n"}', "line 2: a document without text"),
        ("{not json", "line 2: not JSON"),
        ('["a"]', "line 2: not a JSON object"),
    ],
)
def test_a_bad_line_is_named_with_its_number(line: str, message: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"text": "good"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        build_index(corpus, tmp_path / "index", IndexSettings(), unobserved)
    corpus.write_text('{"text": "good"}\n', encoding="utf-8")
    build_index(corpus, tmp_path / "index", IndexSettings(), unobserved)
    assert found(tmp_path / "index", "good")[0].id == "0"


def test_a_corpus_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere\.jsonl"):
        build_index(tmp_path / "nowhere.jsonl", tmp_path / "a", IndexSettings(), unobserved)
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(CorpusError, match="has no document"):
        build_index(tmp_path / "empty.jsonl", tmp_path / "b", IndexSettings(), unobserved)
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 9)[:-12])
    with pytest.raises(CorpusError, match=r"cut\.jsonl\.gz to its end"):
        build_index(tmp_path / "cut.jsonl.gz", tmp_path / "c", IndexSettings(), unobserved)


def test_an_index_of_something_else_is_refused_by_name(
    corpus: Path, static_encoder: str, tmp_path: Path
) -> None:
    build_index(corpus, tmp_path / "index", IndexSettings(), unobserved)
    other = write_corpus(tmp_path / "other.jsonl", town_lines(299))
    with pytest.raises(RetrievalError, match=r"its corpus was 'towns.jsonl'.*'other.jsonl'"):
        build_index(other, tmp_path / "index", IndexSettings(), unobserved)
    with pytest.raises(RetrievalError, match="kind was 'bm25', is now 'tantivy'"):
        build_index(corpus, tmp_path / "index", IndexSettings(kind="tantivy"), unobserved)
    with pytest.raises(RetrievalError, match="holds other things"):
        build_index(corpus, tmp_path, IndexSettings(), unobserved)
    with pytest.raises(RetrievalError, match="needs an encoder"):
        build_index(corpus, tmp_path / "d", IndexSettings(kind="dense"), unobserved)
    with pytest.raises(RetrievalError, match=r"no index at .* agentkd index CORPUS"):
        open_retriever(str(tmp_path / "nothing"))
    manifest = tmp_path / "index" / "manifest.json"
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**values, "format": 99}))
    with pytest.raises(RetrievalError, match="format 99, and this version reads format 1"):
        open_retriever(str(tmp_path / "index"))
    manifest.write_text("{}")
    with pytest.raises(RetrievalError, match="not the manifest of an index"):
        open_retriever(str(tmp_path / "index"))


@pytest.mark.parametrize("damaged", ["documents.jsonl", "bm25/vocab.index.json"])
def test_a_damaged_index_is_refused(damaged: str, corpus: Path, tmp_path: Path) -> None:
    build_index(corpus, tmp_path, IndexSettings(), unobserved)
    content = (tmp_path / damaged).read_bytes()
    (tmp_path / damaged).write_bytes(content[: len(content) // 2])
    with pytest.raises(RetrievalError, match="build"):
        open_retriever(str(tmp_path))


def test_vectors_of_another_encoder_are_refused(corpus: Path, tmp_path: Path) -> None:
    encoder = write_static_encoder(tmp_path / "model", seed=0)
    build_index(corpus, tmp_path / "index", IndexSettings().with_choices(None, encoder), unobserved)
    write_static_encoder(tmp_path / "model", seed=1)
    with pytest.raises(RetrievalError, match="does not give the vectors"):
        open_retriever(str(tmp_path / "index"))


class Killed(BaseException):
    """Stands for the end of a process in mid-build."""


def killing_at(step: str, count: int) -> Callable[[str, int, int | None], None]:
    def observe(name: str, done: int, planned: int | None) -> None:
        if name == step and done >= count:
            raise Killed

    return observe


@pytest.mark.parametrize("kind", ["tantivy", "dense"])
def test_a_build_that_was_killed_goes_on(kind: str, static_encoder: str, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", town_lines(900))
    encoder = static_encoder if kind == "dense" else None
    settings = IndexSettings().with_choices(kind, encoder)
    step = "encode" if kind == "dense" else "tantivy"
    with pytest.raises(Killed):
        build_index(corpus, tmp_path / "index", settings, killing_at(step, 0))
    with pytest.raises(RetrievalError, match="is not finished"):
        open_retriever(str(tmp_path / "index"))
    documents = Documents(tmp_path / "index")
    folder = tmp_path / "index" / kind
    counts: list[int] = []

    def kill_at_500(done: int) -> None:
        if done >= 500:
            raise Killed

    def build(on_count: Callable[[int], None]) -> None:
        if kind == "dense":
            encode_documents(
                folder, documents, Encoder(EncoderSettings.parse(static_encoder)), on_count, 250
            )
        else:
            build_tantivy(folder, documents, on_count, 250)

    with pytest.raises(Killed):
        build(kill_at_500)
    build(counts.append)
    assert counts[0] == 500
    documents.close()
    build_index(corpus, tmp_path / "index", settings, unobserved)
    for number in (0, 499, 500, 899):
        title = town_lines(900)[number]["title"]
        assert found(tmp_path / "index", f"{title} {1000 + number}")[0].id == f"d{number}"


def test_both_lexical_engines_agree_on_the_best_document(corpus: Path, tmp_path: Path) -> None:
    store_documents(corpus, tmp_path, uncounted)
    documents = Documents(tmp_path)
    build_tantivy(tmp_path / "tantivy", documents, uncounted)
    on_disk = TantivyIndex(tmp_path / "tantivy")
    in_memory = Bm25Index.over(documents.indexed_texts())
    queries = [f"What came to {line['title']} in {1000 + n}?" for n, line in
               enumerate(town_lines(300))]  # fmt: skip
    best = [hits[0][0] for hits in in_memory.search(queries, 1)]
    assert best == [hits[0][0] for hits in on_disk.search(queries, 1)] == list(range(300))
    ties = in_memory.search(["harbour"], 50)[0], on_disk.search(["harbour"], 50)[0]
    assert [number for number, _ in ties[0]] == [number for number, _ in ties[1]]
    assert on_disk.search(["the of", "nowhere"], 3) == [[], []]


@pytest.mark.parametrize("exact_up_to", [10_000, 0], ids=["exact", "graph"])
def test_dense_search_is_that_of_brute_force(
    exact_up_to: int, corpus: Path, static_encoder: str, tmp_path: Path
) -> None:
    store_documents(corpus, tmp_path, uncounted)
    documents, encoder = Documents(tmp_path), Encoder(EncoderSettings.parse(static_encoder))
    texts = list(documents.indexed_texts())
    encode_documents(tmp_path / "dense", documents, encoder, uncounted)
    build_graph(tmp_path / "dense", uncounted, exact_up_to)
    assert (tmp_path / "dense" / "vectors.npy").exists() == (exact_up_to > 0)
    index = DenseIndex(tmp_path / "dense", encoder, texts[0])
    queries = [f"{line['title']} harbour {n}" for n, line in enumerate(town_lines(60))]
    similarity = encoder.encode_queries(queries) @ encoder.encode_passages(texts).T
    for row, hits in zip(similarity, index.search(queries, 5), strict=True):
        expected = np.sort(row)[::-1][:5]
        assert [score for _, score in hits] == pytest.approx(expected, abs=2e-3)
        assert all(abs(row[number] - score) < 2e-3 for number, score in hits)


def test_a_graph_is_the_same_each_time(corpus: Path, static_encoder: str, tmp_path: Path) -> None:
    store_documents(corpus, tmp_path, uncounted)
    documents, encoder = Documents(tmp_path), Encoder(EncoderSettings.parse(static_encoder))
    graphs = []
    for name in ("one", "two"):
        encode_documents(tmp_path / name, documents, encoder, uncounted)
        build_graph(tmp_path / name, uncounted, exact_up_to=0)
        graphs.append((tmp_path / name / "graph.usearch").read_bytes())
    assert graphs[0] == graphs[1]


def test_presets_are_the_published_set_up(tmp_path: Path) -> None:
    preset = read_preset("wiki18-e5")
    assert preset.kind == "dense"
    assert preset.corpus is not None
    assert preset.corpus.repo == "PeterJinGo/wiki-18-corpus"
    assert preset.encoder == EncoderSettings(
        "intfloat/e5-base-v2", query_prefix="query: ", passage_prefix="passage: ", max_tokens=256
    )
    assert read_preset("wiki18-bm25").encoder is None
    with pytest.raises(UnknownNameError, match="Did you mean 'wiki18-e5'"):
        read_preset("wiki18-e55")
    own = tmp_path / "own.yaml"
    own.write_text("kind: dense\nencoder: {model: minilm, prefix: x}\n")
    with pytest.raises(UnknownNameError, match=r"own.yaml: encoder 'prefix'. .*query_prefix"):
        read_preset(str(own))
    own.write_text("kind: sparse\n")
    with pytest.raises(UnknownNameError, match="index kind 'sparse'"):
        read_preset(str(own))
