"""A user's files: what is read, what is refused, which goals there are and in which order."""

import json
from pathlib import Path
from typing import Any

import pytest
from agentkd_envs import EnvError, TaskDataError, UnknownNameError, make_env
from agentkd_envs.shop import ShopEnv
from agentkd_envs.shop.data_folder import open_data
from agentkd_envs.shop.json_records import JsonRecords
from agentkd_envs.shop.product import NO_CAP
from agentkd_envs.shop.published_goals import PublishedGoals, published_splits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.envs.shop_files import (
    CANDLES,
    GLOBE,
    SHOE,
    TEA,
    product,
    write_files,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("webshop"))


def test_products_are_read_as_upstream_reads_them(folder: Path) -> None:
    catalogue = open_data(folder).catalogue
    assert list(catalogue.by_asin) == [SHOE, TEA, GLOBE, *CANDLES]
    shoe, tea, globe = (catalogue.by_asin[asin] for asin in (SHOE, TEA, GLOBE))
    assert shoe.title == "Nordvale Trail Running Shoe"
    assert shoe.options == {"color": ("blue | white", "navy"), "size": ("9", "10")}
    assert (shoe.price, shoe.price_text, shoe.query) == (49.99, "$49.99", "trail shoes")
    assert shoe.attributes == ("rubber sole", "trail running")
    assert tea.title == "Th\u00e9 vert \u00ab Cr\u00e8me \u00bb & more"
    assert (tea.description, tea.bullets, tea.options) == ("", ("fair trade",), None)
    assert tea.price_text == "$1017.5 to $1032.0"
    assert 1017.5 <= tea.price <= 1032.0
    assert (globe.price, globe.price_text) == (100.0, "$100.0")
    assert (globe.options, globe.bullets) == ({}, ())
    assert globe.attributes == ("DUMMY_ATTR",)


@pytest.mark.parametrize(
    ("pricing", "price", "text"),
    [
        ("", 100.0, "$100.0"),
        ("$5", 5.0, "$5.0"),
        ("$1,234.50", 1234.5, "$1234.5"),
        ("free", 100.0, "$100.0"),
        ("$", 100.0, "$100.0"),
        ("$3.00 $3.00", 3.0, "$3.0 to $3.0"),
        (12, 100.0, "$100.0"),
    ],
)
def test_prices(tmp_path: Path, pricing: Any, price: float, text: str) -> None:
    folder = write_files(tmp_path)
    items = folder / "items_shuffle_1000.json"
    items.write_text(json.dumps([product("B1", "One", pricing=pricing)]))
    one = open_data(folder).catalogue.by_asin["B1"]
    assert (one.price, one.price_text) == (price, text)


def test_prices_of_ranges_and_the_catalogues_name_are_the_same_in_any_folder(
    folder: Path, tmp_path: Path
) -> None:
    one, other = open_data(folder), open_data(write_files(tmp_path / "copy"))
    assert one is not other
    assert one is open_data(folder / "items_shuffle_1000.json")
    assert one.catalogue.name == other.catalogue.name
    assert one.catalogue.by_asin[TEA].price == other.catalogue.by_asin[TEA].price
    without = open_data(write_files(tmp_path / "without", human=False))
    assert without.catalogue.name != one.catalogue.name


def test_the_crowds_goals(folder: Path) -> None:
    goals = PublishedGoals(open_data(folder), "human")
    assert [goals[index].asin for index in range(len(goals))] == [TEA, SHOE]
    tea, shoe = goals[0], goals[1]
    assert tea.instruction == "fair trade green tea"
    assert (tea.options, tea.price_upper) == ((), NO_CAP)
    assert shoe.instruction.startswith("i want running shoes in navy, size 9, and price lower than")
    assert shoe.instruction.endswith(f" {shoe.price_upper:.2f} dollars")
    assert shoe.price_upper in (60.0, 70.0, 80.0, 90.0)
    assert shoe.options == ("navy", "9")
    assert shoe.attributes == ("rubber sole", "machine washable")


def test_synthetic_goals_combine_all_options(folder: Path) -> None:
    goals = PublishedGoals(open_data(folder), "synthetic")
    assert len(goals) == 5
    by_words = {goals[index].instruction.partition(", and price")[0] for index in range(5)}
    assert by_words == {
        "i need trail running shoes with color: blue | white, and size: 9",
        "i need trail running shoes with color: blue | white, and size: 10",
        "i need trail running shoes with color: navy, and size: 9",
        "i need trail running shoes with color: navy, and size: 10",
        "find a long burning candle",
    }
    assert all(goals[index].attributes for index in range(5))


def test_goals_are_in_the_published_order(tmp_path: Path) -> None:
    names = [f"B{number:09}" for number in range(12)]
    folder = write_files(tmp_path)
    (folder / "items_shuffle_1000.json").write_text(
        json.dumps([product(name, "Thing") for name in names])
    )
    human = {
        name: [{"instruction": name, "instruction_attributes": ["x"], "instruction_options": []}]
        for name in names
    }
    (folder / "items_human_ins.json").write_text(json.dumps(human))
    goals = PublishedGoals(open_data(folder), "human")
    # What `random.seed(233); random.shuffle(list(range(12)))` gives in any Python since 3.2.
    published = [5, 9, 0, 1, 4, 7, 6, 3, 8, 2, 11, 10]
    assert [names.index(goals[index].asin) for index in range(12)] == published


def test_splits_by_the_place_of_the_goals(folder: Path, tmp_path: Path) -> None:
    goals = PublishedGoals(open_data(folder), "synthetic")
    assert {name: list(at) for name, at in published_splits("paper", goals).items()} == {
        "train": [],
        "eval": [],
        "test": [0, 1, 2, 3, 4],
    }
    listed = tmp_path / "test_indices.json"
    listed.write_text(json.dumps([4, "webshop_2", {"item_id": "fixed_0"}]))
    own = published_splits({"test": str(listed), "train": [1, 3], "rest": (3, None)}, goals)
    assert {name: list(at) for name, at in own.items()} == {
        "test": [4, 2, 0],
        "train": [1, 2],
        "rest": [3, 4],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [("[7]", "goal 7, but there are 5"), ("{", "no JSON list"), ('["x"]', "no number")],
)
def test_wrong_lists_of_goals_are_named(
    folder: Path, tmp_path: Path, content: str, message: str
) -> None:
    goals = PublishedGoals(open_data(folder), "synthetic")
    listed = tmp_path / "list.json"
    listed.write_text(content)
    with pytest.raises(TaskDataError, match=message):
        published_splits({"test": listed}, goals)


def test_wrong_splits_are_named(folder: Path) -> None:
    goals = PublishedGoals(open_data(folder), "human")
    with pytest.raises(UnknownNameError, match="Did you mean 'paper'"):
        published_splits("papers", goals)
    with pytest.raises(EnvError, match="split 'test' is 7"):
        published_splits({"test": 7}, goals)
    with pytest.raises(UnknownNameError, match="human, synthetic"):
        PublishedGoals(open_data(folder), "crowd")


async def test_an_episode_in_a_users_shop(folder: Path) -> None:
    env = make_env("shop", data=folder, splits="react")
    assert set(env.spec.splits) == {"test"}
    assert env.spec.versions["data"].startswith("files-")
    assert env.spec.versions["goals"] == "human"
    tea, shoe = env.tasks("test")
    assert (tea.kind, shoe.kind) == ("grocery", "fashion")
    assert env.tasks("test", 5, 1) == [shoe]
    await env.reset(shoe)
    await env.step("search[running shoes]")
    for action in (f"click[{SHOE}]", "click[navy]", "click[9]"):
        assert (await env.step(action)).valid
    result = await env.step("click[Buy Now]")
    assert (result.reward, result.success, result.terminated) == (1.0, True, True)
    assert result.info["asin"] == SHOE
    assert result.info["nouns"] == "heuristic-1"


async def test_the_expert_buys_in_a_users_shop(folder: Path) -> None:
    env = ShopEnv(data=folder)
    _, shoe = env.tasks("test")
    observation = await env.reset(shoe)
    expert = env.expert()
    move = expert.first(observation.text)
    for _ in range(env.spec.max_steps):
        result = await env.step(move.action)
        if result.terminated:
            break
        move = expert.next(result.text)
    assert result.reward == 1.0


async def test_kinds_and_foreign_tasks(folder: Path) -> None:
    env = ShopEnv(data=folder, kinds="grocery")
    (tea,) = env.tasks("test")
    assert tea.kind == "grocery"
    with pytest.raises(TaskDataError, match="these are 'generated-1'"):
        await ShopEnv().reset(tea)


def test_missing_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match=r"setup\.sh"):
        ShopEnv(data=tmp_path)
    folder = write_files(tmp_path, human=False)
    with pytest.raises(TaskDataError, match="goals='synthetic'"):
        ShopEnv(data=folder)
    assert len(ShopEnv(data=folder, goals="synthetic").tasks("test")) == 5
    (folder / "items_shuffle.json").write_text("[]")
    with pytest.raises(TaskDataError, match="say which one"):
        ShopEnv(data=folder)
    with pytest.raises(TaskDataError, match=r"items_ins_v2\.json is missing"):
        ShopEnv(data=folder / "items_shuffle.json")
    with pytest.raises(TaskDataError, match="not named"):
        ShopEnv(data=folder / "items_ins_v2_1000.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "ends too early"),
        ("17", "neither a JSON array"),
        ("[", "ends too early"),
        ('[{"asin": "B1"', "damaged"),
        ("[1]", "product 0 is not a JSON object"),
        ("[]", "has no products"),
        ('[{"asin": "B1", "name": null}]', "name, category, query, product_category"),
        ("\xff\xfe", "damaged"),
        ("[" * 200_000, "nested too deeply"),
    ],
)
def test_damaged_products_are_named(tmp_path: Path, content: str, message: str) -> None:
    folder = write_files(tmp_path)
    (folder / "items_shuffle_1000.json").write_text(content, encoding="latin-1")
    with pytest.raises(TaskDataError, match=message):
        ShopEnv(data=folder)


@pytest.mark.parametrize("options", [["Size"], {"Size": ["s"]}, {"Size": [{"v": 1}]}, {"Size": 3}])
def test_damaged_options_are_named(tmp_path: Path, options: Any) -> None:
    folder = write_files(tmp_path)
    (folder / "items_shuffle_1000.json").write_text(
        json.dumps([product("B1", "One", customization_options=options)])
    )
    with pytest.raises(TaskDataError, match="product 0"):
        ShopEnv(data=folder)


@pytest.mark.parametrize("entries", [3, ["x"], [{"instruction": "x"}]])
def test_damaged_instructions_are_named(tmp_path: Path, entries: Any) -> None:
    folder = write_files(tmp_path)
    (folder / "items_human_ins.json").write_text(json.dumps({SHOE: entries}))
    with pytest.raises(TaskDataError, match=r"items_human_ins\.json: the instructions for"):
        ShopEnv(data=folder)


def test_files_without_goals_are_refused(tmp_path: Path) -> None:
    folder = write_files(tmp_path)
    (folder / "items_human_ins.json").write_text('{"B0ELSEWHERE": []}')
    with pytest.raises(TaskDataError, match="no human goal"):
        ShopEnv(data=folder)


def test_records_are_read_across_chunks(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    members = [{"text": "\u00e9" * 700_000, "n": number, "x": None} for number in range(9)]
    path.write_text(json.dumps(members, ensure_ascii=False, indent=1), encoding="utf-8")
    records = JsonRecords(path)
    assert [value for _, value in records] == members
    digest = records.digest
    path.write_text(json.dumps({str(n): v for n, v in enumerate(members)}), encoding="utf-8")
    table = JsonRecords(path)
    assert dict(table) == {str(n): v for n, v in enumerate(members)}
    assert len(digest) == 64
    assert digest != table.digest


MEMBERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.lists(MEMBERS, max_size=5) | st.dictionaries(st.text(max_size=4), MEMBERS),
    indent=st.sampled_from([None, 2]),
    is_ascii=st.booleans(),
)
def test_any_array_or_object_is_read_as_python_reads_it(
    tmp_path: Path, members: Any, indent: int | None, is_ascii: bool
) -> None:
    path = tmp_path / "any.json"
    text = json.dumps(members, indent=indent, ensure_ascii=is_ascii)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    expected = list(members.items()) if isinstance(members, dict) else list(enumerate(members))
    assert list(JsonRecords(path)) == expected


def test_nan_is_read_as_python_does(tmp_path: Path) -> None:
    path = tmp_path / "nan.json"
    path.write_text('[NaN, 1, -2.5e3 , "x"]')
    values = [value for _, value in JsonRecords(path)]
    assert values[0] != values[0]
    assert values[1:] == [1, -2500.0, "x"]
