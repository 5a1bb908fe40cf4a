"""Reading data files as a stream: every layout, with places, and damage where it is."""

import json
import tracemalloc
from pathlib import Path

import pytest
from arbitrary import objects
from hypothesis import given
from hypothesis import strategies as st

from agentkd.errors import DamagedFileError, StorageError
from agentkd.formats import Damage
from agentkd.formats.items import read_items


def values(path: Path) -> list[object]:
    found: list[Damage] = []
    items = [item.value for item in read_items(path, found.append)]
    assert found == []
    return items


@given(items=st.lists(objects, max_size=4), indent=st.sampled_from([None, 1]))
def test_arrays_and_lines_hold_the_same(tmp_path_factory, items, indent) -> None:
    folder = tmp_path_factory.mktemp("items")
    array, lines = folder / "array.json", folder / "lines.jsonl"
    array.write_text(json.dumps(items, indent=indent, ensure_ascii=False), encoding="utf-8")
    lines.write_text("".join(json.dumps(item) + "\n" for item in items))
    assert values(array) == values(lines) == items


def test_items_that_span_many_reads_come_whole(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("agentkd.formats.items.CHUNK", 7)
    items = [{"n": n, "text": "äö\n" * n} for n in range(20)]
    path = tmp_path / "a.json"
    path.write_text("\ufeff" + json.dumps(items, indent=2, ensure_ascii=False), encoding="utf-8")
    assert values(path) == items


def test_a_long_array_is_not_loaded_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    with path.open("w") as file:
        file.write("[")
        for n in range(3_000):
            file.write(f'{"," if n else ""}\n{{"n": {n}, "text": "{"x" * 10_000}"}}')
        file.write("]")
    tracemalloc.start()
    count = sum(1 for _ in read_items(path, pytest.fail))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3_000
    assert peak < path.stat().st_size / 3


def test_damaged_lines_are_told_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": \n\n"text"\n\xff\xfe\n{"n": 2}\n{"n')
    found: list[Damage] = []
    items = [item.value["n"] for item in read_items(path, found.append)]
    assert items == [1, 2]
    assert [damage.place for damage in found] == ["line 2", "line 4", "line 5", "line 7"]
    assert "not a string" in found[1].reason


def test_a_wrong_item_of_an_array_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('[\n {"n": 1},\n 7,\n {"n": 2}\n]')
    found: list[Damage] = []
    items = [item.value["n"] for item in read_items(path, found.append)]
    assert items == [1, 2]
    assert str(found[0]) == f"{path}, item 2, line 3: an object belongs here, not a number"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[\n{"n": 1},\n{"n": }\n]', 3),
        ('[\n{"n": 1}\n{"n": 2}]', 3),
        ('[\n{"n": 1},\n', 3),
        ('[\n{"n": 1}\n', 3),
        ('{\n"n": ]', 2),
    ],
)
def test_a_broken_file_cannot_be_skipped_past(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(DamagedFileError, match=rf"b\.json, line {line}: "):
        list(read_items(path, lambda damage: None))


def test_broken_text_and_parquet_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(b'[{"n": "\xff"}]')
    with pytest.raises(DamagedFileError, match="not UTF-8"):
        list(read_items(path, pytest.fail))
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DamagedFileError, match="damaged after row 0"):
        list(read_items(path, pytest.fail))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*nowhere\.json"):
        list(read_items(tmp_path / "nowhere.json", pytest.fail))
