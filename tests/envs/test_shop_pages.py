"""What the agent reads, to the letter, and what its actions do: every page, in every format."""

from pathlib import Path

import pytest
from agentkd_envs.shop.data_folder import open_data
from agentkd_envs.shop.engine import Engine
from agentkd_envs.shop.product import Goal

from tests.envs.shop_files import CANDLES, SHOE, write_files

GOAL = Goal(SHOE, "i need a shoe", ("rubber sole",), ("navy", "9"), 60.0)
HEAD = "Instruction: [SEP] i need a shoe [SEP] Back to Search"
ITEM = (
    f"{HEAD} [SEP] < Prev [SEP] color [SEP] blue | white [SEP] navy [SEP] size [SEP] 9 [SEP] 10 "
    "[SEP] Nordvale Trail Running Shoe [SEP] Price: $49.99 [SEP] Rating: N.A. [SEP] Description "
    "[SEP] Features [SEP] Reviews [SEP] Buy Now"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("webshop"))


@pytest.fixture
def engine(folder: Path) -> Engine:
    return Engine(open_data(folder).catalogue, GOAL)


def play(engine: Engine, *actions: str) -> str:
    for action in actions:
        response = engine.step(action)
        assert response.valid, action
    return response.text


def test_the_first_page(engine: Engine) -> None:
    assert engine.observation() == "WebShop [SEP] Instruction: [SEP] i need a shoe [SEP] Search"
    assert engine.admissible() == ["search[...]"]


def test_results(engine: Engine) -> None:
    text = play(engine, "search[trail shoe]")
    assert text == (
        f"{HEAD} [SEP] Page 1 (Total results: 1) [SEP] Next > [SEP] {SHOE} [SEP] "
        "Nordvale Trail Running Shoe [SEP] $49.99"
    )
    assert engine.admissible() == [f"click[{SHOE}]", "click[Back to Search]", "click[Next >]"]


def test_pages_of_results_go_on_after_the_last_result(engine: Engine) -> None:
    first = play(engine, "search[candle]")
    assert first.startswith(f"{HEAD} [SEP] Page 1 (Total results: 12) [SEP] Next > [SEP] B0")
    assert first.count("[SEP] $9.5") == 10
    second = play(engine, "click[Next >]")
    assert second == (
        f"{HEAD} [SEP] Page 2 (Total results: 12) [SEP] < Prev [SEP] Next > [SEP] "
        f"{CANDLES[10]} [SEP] Candle number 20 [SEP] $9.5 [SEP] "
        f"{CANDLES[11]} [SEP] Candle number 21 [SEP] $9.5"
    )
    assert play(engine, "click[next >]") == (
        f"{HEAD} [SEP] Page 3 (Total results: 12) [SEP] < Prev [SEP] Next >"
    )
    assert play(engine, "click[< Prev]") == second
    assert play(engine, "click[< prev]") == first


def test_an_item_and_its_sub_pages(engine: Engine) -> None:
    assert play(engine, "search[shoe]", f"click[{SHOE.lower()}]") == ITEM
    assert engine.admissible() == [
        "click[10]",
        "click[9]",
        "click[< Prev]",
        "click[Back to Search]",
        "click[Buy Now]",
        "click[Description]",
        "click[Features]",
        "click[Reviews]",
        "click[blue | white]",
        "click[navy]",
    ]
    assert play(engine, "click[Description]") == f"{HEAD} [SEP] < Prev [SEP] A shoe for long ways."
    assert engine.admissible() == ["click[< Prev]", "click[Back to Search]"]
    assert play(engine, "click[< Prev]", "click[features]") == (
        f"{HEAD} [SEP] < Prev [SEP] rubber sole [SEP] machine washable"
    )
    assert play(engine, "click[< Prev]", "click[Reviews]") == f"{HEAD} [SEP] < Prev"
    assert play(engine, "click[< Prev]") == ITEM
    assert play(engine, "click[< Prev]").startswith(f"{HEAD} [SEP] Page 1 (Total results: 1)")


def test_a_product_without_options_or_description(folder: Path) -> None:
    engine = Engine(open_data(folder).catalogue, GOAL)
    assert play(engine, "search[globe]", "click[B000000003]") == (
        f"{HEAD} [SEP] < Prev [SEP] Globe Lamp [SEP] Price: $100.0 [SEP] Rating: N.A. [SEP] "
        "Description [SEP] Features [SEP] Reviews [SEP] Buy Now"
    )
    assert play(engine, "click[Description]") == f"{HEAD} [SEP] < Prev"


def test_options_leave_the_text_as_it_is_and_are_in_the_receipt(engine: Engine) -> None:
    play(engine, "search[shoe]", f"click[{SHOE}]")
    assert play(engine, "click[10]", "click[navy]", "click[9]") == ITEM
    text = play(engine, "click[Buy Now]")
    assert text == (
        "Thank you for shopping with us! [SEP] Your code: [SEP] None [SEP] (Paste it in your MTurk "
        f"interface.) [SEP] Purchased [SEP] asin [SEP] {SHOE} [SEP] options [SEP] "
        '{"color": "navy", "size": "9"} [SEP] attrs [SEP] None [SEP] category [SEP] None [SEP] '
        "query [SEP] None [SEP] product category [SEP] None [SEP] Target [SEP] asin [SEP] options "
        "[SEP] attrs [SEP] price upper [SEP] instuction text [SEP] category [SEP] product category "
        "[SEP] query [SEP] Goal [SEP] None [SEP] Reward [SEP] Your score (min 0.0, max 1.0) [SEP] "
        "1.0 [SEP] Reward Details [SEP] None"
    )


def test_options_are_forgotten_on_the_way_back_to_the_results(engine: Engine) -> None:
    play(engine, "search[shoe]", f"click[{SHOE}]", "click[navy]", "click[< Prev]")
    text = play(engine, f"click[{SHOE}]", "click[9]", "click[buy now]")
    assert '[SEP] {"size": "9"} [SEP]' in text
    assert "[SEP] 0.75 [SEP]" in text


def test_the_attributes_page_is_shown_on_request(folder: Path) -> None:
    engine = Engine(open_data(folder).catalogue, GOAL, shows_attributes=True)
    text = play(engine, "search[shoe]", f"click[{SHOE}]")
    assert text.endswith("Reviews [SEP] Attributes [SEP] Buy Now")
    assert play(engine, "click[Attributes]") == (
        f"{HEAD} [SEP] < Prev [SEP] rubber sole [SEP] trail running [SEP] fashion [SEP] "
        "trail shoes [SEP] Clothing \u203a Shoes \u203a Running"
    )


def test_search_works_on_every_page(engine: Engine) -> None:
    found = play(engine, "search[shoe]")
    assert play(engine, "search[candle]") != found
    assert play(engine, f"click[{CANDLES[0]}]", "search[shoe]") == found
    assert play(engine, f"click[{SHOE}]", "click[Reviews]", "search[SHOE]") == found
    assert play(engine, "click[Back to Search]").startswith("WebShop [SEP]")


def test_a_search_without_known_words_finds_nothing(engine: Engine) -> None:
    empty = f"{HEAD} [SEP] Page 1 (Total results: 0) [SEP] Next >"
    assert play(engine, "search[the of and]") == empty
    assert play(engine, "search[xyzzy]") == empty
    assert play(engine, "search[...]") == empty


@pytest.mark.parametrize(
    "action",
    [
        "",
        "buy",
        "Click[navy]",
        "CLICK[Buy Now]",
        "click[ navy ]",
        "click [navy]",
        "click[]",
        "search[]",
        "click[green]",
        "click[search]",
        "click[next >]",
        "click[Attributes]",
        "click[na\nvy]",
        "click[color]",
        "click[B000000002]",
        "x" * 10_000,
        "click[" + "y" * 10_000 + "]",
    ],
)
def test_what_is_not_possible_changes_nothing(engine: Engine, action: str) -> None:
    play(engine, "search[shoe]", f"click[{SHOE}]")
    response = engine.step(action)
    assert (response.text, response.valid) == (ITEM, False)
    assert (response.reward, response.is_done) == (0.0, False)


def test_long_searches_and_spaces_around_an_action_are_fine(engine: Engine) -> None:
    words = "shoe " * 2000
    assert f" {SHOE} " in play(engine, f"  search[{words}]\n")
    assert play(engine, f" click[{SHOE}] and then I wait") == ITEM


def test_after_the_purchase_nothing_happens(engine: Engine) -> None:
    text = play(engine, "search[shoe]", f"click[{SHOE}]", "click[Buy Now]")
    response = engine.step("search[shoe]")
    assert (response.text, response.valid, response.is_done) == (text, False, True)
    assert engine.admissible() == []


# The format of upstream's richer text mode.


def test_rich_text_marks_buttons_and_what_was_clicked(folder: Path) -> None:
    engine = Engine(open_data(folder).catalogue, GOAL, "text_rich")
    assert engine.observation() == (
        "WebShop\nInstruction: \ni need a shoe\n[button] Search [button_]\n"
    )
    assert play(engine, "search[trail shoe]") == (
        "Instruction:\ni need a shoe\n[button] Back to Search [button_]\n"
        "Page 1 (Total results: 1)\n[button] Next > [button_]\n"
        f"\n[button] {SHOE} [button_]\nNordvale Trail Running Shoe\n$49.99\n"
    )
    item = play(engine, f"click[{SHOE}]", "click[navy]", "click[9]")
    assert item.startswith("You have clicked 9.\nYou have clicked navy.\nInstruction:\n")
    assert (
        "color\n  [button] blue | white [button_]\n  [clicked button] navy [clicked button_]\n"
        "size\n  [clicked button] 9 [clicked button_]\n  [button] 10 [button_]\n"
    ) in item
    assert f"\n[clicked button] {SHOE} [clicked button_]\n" in play(engine, "click[< Prev]")
    assert f"\n[button] {SHOE} [button_]\n" in play(engine, "click[Back to Search]", "search[shoe]")


# The ReAct paper's format.


def react(folder: Path) -> Engine:
    return Engine(open_data(folder).catalogue, GOAL, "react")


def test_react_shows_three_products_and_says_what_was_clicked(folder: Path) -> None:
    engine = react(folder)
    assert engine.observation() == "\nWebShop \nInstruction:  \ni need a shoe \n[Search] "
    text = play(engine, "search[candle]")
    assert text.startswith("\n[Back to Search] \nPage 1 (Total results: 12) \n[Next >] \n[B0")
    assert text.count("Candle number") == 3
    assert len(engine.admissible()) == 4
    play(engine, "click[Back to Search]", "search[shoe]")
    assert play(engine, f"click[{SHOE}]") == (
        "\n[Back to Search] \n[< Prev] \ncolor [blue | white][navy]\nsize [9][10]"
        "\nNordvale Trail Running Shoe \nPrice: $49.99 \nRating: N.A. \n[Description] "
        "\n[Features] \n[Reviews] \n[Buy Now] "
    )
    assert play(engine, "think[this is it]") == "OK."
    assert play(engine, "click[navy]") == "You have clicked navy."
    assert play(engine, "click[Features]") == (
        "\n[Back to Search] \n[< Prev] \n rubber sole \n machine washable "
    )
    assert "[blue | white][[navy]]" in play(engine, "click[< Prev]")
    assert play(engine, "click[9]", "click[Buy Now]") == "Your score (min 0.0, max 1.0): 1.0"


@pytest.mark.parametrize(
    "action",
    [
        "search[candle]",
        "click[Next >]",
        "click[buy now]",
        "click[Navy]",
        "buy",
        "",
        "click[< Prev]",
    ],
)
def test_react_refuses_what_its_pages_do_not_offer(folder: Path, action: str) -> None:
    engine = react(folder)
    play(engine, "search[shoe]")
    response = engine.step(action)
    assert (response.text, response.valid) == ("Invalid action!", False)
    assert play(engine, f"click[{SHOE}]").endswith("[Buy Now] ")


def test_an_unknown_format_is_named(folder: Path) -> None:
    with pytest.raises(KeyError, match="Did you mean 'text'"):
        Engine(open_data(folder).catalogue, GOAL, "txt")


def test_words_that_collide_with_buttons_press_the_button(folder: Path) -> None:
    catalogue = open_data(folder).catalogue
    shoe = catalogue.by_asin[SHOE]
    odd = type(shoe)(
        asin="B0ODD",
        title="Odd [one]",
        price=1.0,
        price_text="$1.0",
        category="fashion",
        query="odd",
        product_category="",
        bullets=("",),
        options={"a": ("features", "twice", "x [y]"), "b": ("twice",)},
    )
    shop = type(catalogue)("odd", [odd])
    engine = Engine(shop, Goal("B0ODD", "odd", ("odd",), ()))
    item = play(engine, "search[odd]", "click[B0ODD]")
    head = HEAD.replace("i need a shoe", "odd")
    assert play(engine, "click[features]") == f"{head} [SEP] < Prev [SEP] "
    assert play(engine, "click[< Prev]") == item
    play(engine, "click[twice]")
    assert engine.place.chosen == (("b", "twice"),)
    assert not engine.step("click[x [y]]").valid
    assert "click[x [y]]" not in engine.admissible()
