"""Parsers and buffers, for any input."""

import ast
import asyncio
import contextlib
import itertools
import json

from agentkd_sandbox import guest
from agentkd_sandbox.guest.record import Output
from agentkd_sandbox.link import FRAME_MAX, HEAD, Link
from agentkd_sandbox.outcome import _interleave
from agentkd_sandbox.tools import parse_json
from hypothesis import given, settings
from hypothesis import strategies as st

FRAMES = st.lists(
    st.tuples(st.integers(1, 2**32 - 1), st.sampled_from("RCXBN"), st.binary(max_size=300)),
    max_size=8,
)


def received(data: bytes, cuts: list[int], numbers: set[int], is_multiplexed: bool) -> list[object]:
    got: list[object] = []

    async def feed() -> None:
        link = Link(is_multiplexed)
        for number in numbers:
            link.handlers[number] = lambda kind, payload, n=number: got.append((n, kind, payload))
        edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        for start, end in itertools.pairwise(edges):
            link.data_received(data[start:end])

    asyncio.run(feed())
    return got


@settings(deadline=None, max_examples=60)
@given(FRAMES, st.lists(st.integers(0, 5000), max_size=10), st.booleans())
def test_frames_survive_any_fragmentation(
    frames: list[tuple[int, str, bytes]], cuts: list[int], is_multiplexed: bool
) -> None:
    packed = [HEAD.pack(len(p), n, ord(k)) + p for n, k, p in frames]
    if is_multiplexed:
        packed = [b"\x01\0\0\0" + len(x).to_bytes(4, "big") + x for x in packed]
    assert received(b"".join(packed), cuts, {n for n, _, _ in frames}, is_multiplexed) == frames


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=400), st.booleans())
def test_garbage_from_a_guest_never_raises(data: bytes, is_multiplexed: bool) -> None:
    if not is_multiplexed and len(data) >= 9 and data[8] in b"HP":
        data = data[:8] + b"Z" + data[9:]  # the supervisor's own frames are trusted JSON
    received(data[:FRAME_MAX], [], {1}, is_multiplexed)


@given(st.binary(max_size=300))
def test_json_from_an_episode_is_a_value_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        json.dumps(parse_json(data))


def test_deep_and_long_json_is_a_value_error() -> None:
    for data in (b"[" * 500_000, b'{"a":' * 100_000, b"9" * 100_000, b"NaN", b"-Infinity", b"\xff"):
        try:
            parse_json(data)
        except ValueError:
            continue
        raise AssertionError(data[:20])


@given(st.lists(st.binary(max_size=50)), st.integers(2, 60))
def test_output_keeps_head_tail_and_count(chunks: list[bytes], keep: int) -> None:
    output = Output(0, keep)
    for chunk in chunks:
        output.feed(chunk)
    data = b"".join(chunks)
    half = keep // 2
    assert output.count == len(data)
    if len(data) <= 2 * half:
        assert output.text() == data.decode("utf-8", "replace")
    else:
        assert output.text().startswith(data[:half].decode("utf-8", "replace"))
        assert output.text().endswith(data[-half:].decode("utf-8", "replace"))
        assert f"{len(data) - 2 * half} bytes not shown" in output.text()


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.text("abc\n", min_size=1, max_size=5))),
    st.one_of(st.none(), st.lists(st.integers()), st.lists(st.lists(st.integers(-3, 9)))),
)
def test_interleaving_never_loses_output(turns: list[tuple[int, str]], forged: object) -> None:
    head = {
        "out": "".join(text for stream, text in turns if stream == 1),
        "err": "".join(text for stream, text in turns if stream == 2),
    }
    order = [[stream, len(text)] for stream, text in turns]
    assert _interleave(head, order) == "".join(text for _, text in turns)
    assert sorted(_interleave(head, forged)) == sorted(head["out"] + head["err"])


def test_guest_is_one_file_of_python_3_8() -> None:
    tree = ast.parse(guest.source(), feature_version=(3, 8))
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.startswith("agentkd") for name in names)
