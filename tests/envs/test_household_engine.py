"""The native engine by itself: invariants that must hold whatever is done."""

import string
from collections import Counter

import pytest
from agentkd_envs.household import HouseholdEnv
from agentkd_envs.household.engine import NOTHING_HAPPENS, Engine
from agentkd_envs.household.game import Game, entity_names
from agentkd_envs.household.generator import build_game
from agentkd_envs.household.tasks import plan_from
from agentkd_envs.household.world import listing
from hypothesis import given, settings
from hypothesis import strategies as st


def game(index: int, preset: str = "small", dialect: str = "move") -> Game:
    env = HouseholdEnv(preset=preset, dialect=dialect)
    return build_game(plan_from(env.tasks("train", 1, index)[0].payload))


def snapshot(engine: Engine) -> tuple[object, ...]:
    return (
        engine.place,
        engine.held,
        tuple(engine.contents),
        frozenset(engine.opened),
        frozenset(engine.toggled),
        frozenset(engine.sliced),
        tuple((verb, frozenset(things)) for verb, things in engine.treated.items()),
    )


walks = st.lists(st.integers(0, 10**6), max_size=40)


@settings(max_examples=60, deadline=None)
@given(index=st.integers(0, 10**6), walk=walks, dialect=st.sampled_from(["move", "put"]))
def test_admissible_commands_are_sorted_unique_and_possible(
    index: int, walk: list[int], dialect: str
) -> None:
    engine = Engine(game(index, dialect=dialect))
    for number in walk:
        commands = engine.admissible()
        assert commands == sorted(set(commands))
        for command in commands:
            assert engine.fork().step(command).text != NOTHING_HAPPENS
        engine.step(commands[number % len(commands)])


@settings(max_examples=60, deadline=None)
@given(index=st.integers(0, 10**6), walk=walks)
def test_every_thing_is_always_in_exactly_one_place(index: int, walk: list[int]) -> None:
    engine = Engine(game(index, "full"))
    for number in walk:
        commands = engine.admissible()
        engine.step(commands[number % len(commands)])
        where = Counter(thing for things in engine.contents for thing in things)
        where.update([engine.held] if engine.held >= 0 else [])
        assert where == Counter(range(len(engine.world.thing_names)))


@settings(max_examples=100, deadline=None)
@given(
    index=st.integers(0, 1000),
    walk=walks,
    action=st.text(max_size=60) | st.text(string.ascii_lowercase + " 1", max_size=30),
)
def test_impossible_actions_change_nothing(index: int, walk: list[int], action: str) -> None:
    engine = Engine(game(index))
    for number in walk:
        commands = engine.admissible()
        engine.step(commands[number % len(commands)])
    if action.strip() in engine.admissible():
        return
    before = snapshot(engine)
    assert engine.step(action)[:2] == (NOTHING_HAPPENS, False)
    assert snapshot(engine) == before


@settings(max_examples=40, deadline=None)
@given(index=st.integers(0, 1000), walk=walks, other=walks)
def test_forks_are_independent(index: int, walk: list[int], other: list[int]) -> None:
    engine = Engine(game(index))

    def run(copy: Engine, numbers: list[int]) -> list[str]:
        texts = []
        for number in numbers:
            commands = copy.admissible()
            texts.append(copy.step(commands[number % len(commands)]).text)
        return texts

    run(engine, walk)
    before = snapshot(engine)
    first, second, third = engine.fork(), engine.fork(), engine.fork()
    texts = run(first, other)
    run(second, walk)
    assert snapshot(engine) == before
    assert run(third, other) == texts
    assert snapshot(third) == snapshot(first)
    assert snapshot(first.fork()) == snapshot(first)


def test_actions_are_compared_exactly_but_for_outer_white_space() -> None:
    engine = Engine(game(0))
    go_to = next(c for c in engine.admissible() if c.startswith("go to"))
    for wrong in ("", go_to.upper(), go_to.replace(" ", "  "), go_to + "x", "x" * 10_000):
        assert not engine.step(wrong).valid
    assert engine.step(f" \t{go_to}\n").valid
    assert not engine.step(go_to).valid, "TextWorld refuses to go to where one is"


def test_look_from_the_start_sees_nothing_as_in_textworld() -> None:
    engine = Engine(game(0))
    assert engine.introduction().startswith("-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the")
    assert engine.step("look").text.endswith("Looking quickly around you, you see nothing.")


def test_dialects_differ_where_the_data_sets_do() -> None:
    move, put = Engine(game(0)), Engine(game(0, dialect="put"))
    assert "help" in move.admissible()
    assert "help" not in put.admissible()
    go_to = next(c for c in move.admissible() if c.startswith("go to"))
    assert move.step(go_to).text.startswith(f"You arrive at {go_to[6:]}. ")
    assert put.step(go_to).text.startswith("You arrive at loc ")


@pytest.mark.parametrize(
    ("names", "text"),
    [([], "nothing"), (["a"], "a"), (["a", "b"], "a, and b"), (["a", "b", "c"], "a, b, and c")],
)
def test_lists_are_joined_as_textworld_does(names: list[str], text: str) -> None:
    assert listing(names) == text


@given(st.sets(st.from_regex(r"(mug|cup|sink)_bar_[a-z0-9_]{1,8}(basin)?", fullmatch=True)))
def test_entity_names_are_unique_and_numbered_from_one(ids: set[str]) -> None:
    names = entity_names(ids)
    assert len(set(names.values())) == len(ids)
    for stem in {name.split()[0] for name in names.values()}:
        numbers = sorted(int(n.split()[1]) for n in names.values() if n.split()[0] == stem)
        assert numbers == list(range(1, len(numbers) + 1))
