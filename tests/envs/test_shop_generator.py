"""The generated shop: its size, its words, its traps; and the goals of its splits."""

import statistics
import subprocess
import sys
from itertools import permutations

import pytest
from agentkd_envs.dice import Dice
from agentkd_envs.shop.engine import Engine
from agentkd_envs.shop.generator import build_products, generated_catalogue, is_decoy
from agentkd_envs.shop.goals import SPLITS, GoalList, goal_list
from agentkd_envs.shop.matching import base_colour, is_match
from agentkd_envs.shop.price_caps import price_cap, price_words
from agentkd_envs.shop.product import CATEGORIES, NO_CAP, Product
from agentkd_envs.shop.reward import has_attribute
from agentkd_envs.shop.vocabulary import OPTIONS, Family, facets, families

PINNED = "14cce373528528c4b86c8722f5dff427c2bac31d93b97f46b368401239c9fc4f"
FINGERPRINT = """
import hashlib, json
from dataclasses import asdict
from agentkd_envs.shop.generator import generated_catalogue
from agentkd_envs.shop.goals import goal_list
shop = generated_catalogue()
facts = [asdict(product) for product in shop.products]
goals = [asdict(goal_list(s)[i]) for s in ("train", "seen", "unseen") for i in range(0, 9000, 300)]
found = [[one.asin for one in shop.search(goal["instruction"])] for goal in goals]
text = json.dumps([facts, goals, found], sort_keys=True)
print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_the_shop_has_thousands_of_products_in_five_categories() -> None:
    shop = generated_catalogue()
    assert len(shop.products) == len(shop.by_asin) == 5355
    counts = [sum(one.category == kind for one in shop.products) for kind in CATEGORIES]
    assert counts == [1071] * 5
    assert len({(one.title, one.price) for one in shop.products}) > 5300


def test_the_shop_is_the_same_in_any_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FINGERPRINT],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7"},
    )
    # A change of the shop, its goals or its ranking needs a new GENERATOR_VERSION.
    assert done.stdout.strip() == PINNED


def test_more_copies_are_more_products_with_their_own_numbers() -> None:
    products = build_products(copies=2)
    assert len({one.asin for one in products}) == len(products) == 2 * 5355


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_values_of_a_family_never_pass_for_each_other(family: Family) -> None:
    values = [value for facet in (*family.front, family.deep) for value in facet.values]
    assert len(values) == len(set(values)) == 9
    for one, other in permutations(values, 2):
        assert not is_match(one, other)
        assert one not in other


def test_option_values_never_pass_for_each_other() -> None:
    for name, values in OPTIONS.values():
        for wanted, chosen in permutations(values, 2):
            assert not is_match(str((name, wanted)), base_colour(chosen)), (name, wanted, chosen)


def test_products_have_their_own_values_and_no_others() -> None:
    by_name = {family.name: family for family in families()}
    for product in generated_catalogue().products[::7]:
        family = by_name[product.query]
        for facet in (*family.front, family.deep):
            for value in facet.values:
                assert has_attribute(product, value) == (value in product.attributes), product


def test_half_of_the_siblings_tell_a_value_only_on_their_pages() -> None:
    products = [one for one in generated_catalogue().products if not is_decoy(one)]
    silent = [one for one in products if one.attributes[2] not in one.title.lower()]
    assert 0.35 < len(silent) / len(products) < 0.55
    assert all(has_attribute(one, one.attributes[2]) for one in silent)
    in_features = [one for one in silent if one.attributes[2] in " ".join(one.bullets)]
    assert 0 < len(in_features) < len(silent)
    assert not any(one.attributes[2] in one.bullets[0] for one in silent)


def test_unseen_families_are_in_every_category() -> None:
    unseen = [family for family in families() if family.is_unseen]
    assert {family.category for family in unseen} == set(CATEGORIES)
    assert len(unseen) == 15


def test_the_splits_have_thousands_of_goals() -> None:
    assert [len(goal_list(split)) for split in SPLITS] == [53_766, 14_742, 13_032]


def test_splits_share_no_goal_and_repeat_none() -> None:
    keys = {}
    for split in SPLITS:
        goals = GoalList(split, ("garden",))
        listed = [(goals[i].asin, str(goals[i].options)) for i in range(len(goals))]
        keys[split] = set(listed)
        assert len(keys[split]) == len(listed)
    assert not keys["train"] & keys["seen"]
    products = {split: {asin for asin, _ in found} for split, found in keys.items()}
    assert products["seen"] >= products["train"]
    assert not products["seen"] & products["unseen"]
    by_asin = generated_catalogue().by_asin
    names = {split: {by_asin[asin].query for asin in found} for split, found in products.items()}
    assert not names["train"] & names["unseen"]
    assert names["unseen"] == {"coat rack", "wall sconce", "seed starter kit"}


def test_every_goal_can_be_met_in_full() -> None:
    shop = generated_catalogue()
    for split in SPLITS:
        goals = goal_list(split)
        for index in range(0, len(goals), 601):
            goal = goals[index]
            product = shop.by_asin[goal.asin]
            engine = Engine(shop, goal)
            engine.place = engine.place.opened(product)
            for action in [*dict(goal.options).values(), "Buy Now"]:
                response = engine.step(f"click[{action}]")
            assert response.reward == 1.0, goal
            assert goal.price_upper > product.price or goal.price_upper == NO_CAP


def test_instructions_say_all_that_counts() -> None:
    goals = goal_list("train")
    for index in range(0, len(goals), 997):
        goal = goals[index]
        values = dict(goal.options).values()
        assert all(words in goal.instruction for words in [*goal.attributes, *values])
        assert goal.instruction.endswith(price_words(goal.price_upper))


def test_goals_of_some_kinds_are_of_those_kinds() -> None:
    shop = generated_catalogue()
    goals = GoalList("seen", ("garden", "grocery"))
    kinds = [shop.by_asin[goals[index].asin].category for index in range(6)]
    assert kinds == ["garden", "grocery"] * 3
    with pytest.raises(IndexError):
        goals[len(goals)]


@pytest.mark.parametrize(
    ("price", "caps"),
    [
        (0.5, {20.0, 30.0, 40.0}),
        (20.0, {40.0, 50.0, 60.0}),
        (19.99, {30.0, 40.0, 50.0}),
        (975.0, {990.0}),
        (985.0, {NO_CAP}),
        (5000.0, {NO_CAP}),
    ],
)
def test_caps_are_the_larger_of_two_of_the_next_four_tens(price: float, caps: set[float]) -> None:
    assert {price_cap(price, Dice(str(seed))) for seed in range(60)} == caps
    assert price_words(NO_CAP) == ""
    assert price_words(40.0) == ", and price lower than 40.00 dollars"


@pytest.mark.parametrize("split", SPLITS)
def test_who_buys_the_first_hit_gets_less_than_half(split: str) -> None:
    shop, goals = generated_catalogue(), goal_list(split)
    rewards = []
    for index in range(500):
        engine = Engine(shop, goals[index])
        engine.step(f"search[{goals[index].instruction}]")
        first = next(action for action in engine.observation().split(" [SEP] ")[5:])
        engine.step(f"click[{first}]")
        rewards.append(engine.step("click[Buy Now]").reward)
    assert statistics.mean(rewards) < 0.5
    assert max(rewards) < 1


def test_all_facets_are_used() -> None:
    used = [facet for family in families() for facet in (*family.front, family.deep)]
    assert all(facet in used for facet in facets().values())
    assert {option for family in families() for option in family.options} == set(OPTIONS)


def test_documents_are_what_upstream_indexes() -> None:
    product = Product(
        "B1",
        "A Lamp",
        1.0,
        "$1.0",
        "garden",
        "lamps",
        "",
        description="Bright.",
        bullets=("First", "second"),
        options={"color": ("red", "blue"), "size": ("s",)},
    )
    assert product.document() == "a lamp bright. first color: red, blue, and size: s"
