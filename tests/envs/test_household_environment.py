"""The environment as others use it: options, tasks, episodes, a user's files, and bad input."""

import json
from pathlib import Path

import anyio
import pytest
from agentkd_envs import (
    EnvError,
    HasExpert,
    Task,
    TaskDataError,
    UnknownNameError,
    make_env,
)
from agentkd_envs.household import HouseholdEnv, write_game
from agentkd_envs.household.pddl import parse_game, read_game
from agentkd_envs.household.tasks import plan_from
from hypothesis import given, settings
from hypothesis import strategies as st


async def test_an_episode_from_start_to_success() -> None:
    env = make_env("household", preset="small")
    assert isinstance(env, HasExpert)
    observation = await env.reset(env.tasks("train", 1)[0])
    expert = env.expert()
    move = expert.first(observation.text)
    assert move.action in observation.admissible()
    for _ in range(env.spec.max_steps):
        result = await env.step(move.action)
        assert result.valid
        assert result.reward == float(result.success) == float(result.terminated)
        if result.terminated:
            break
        assert "look" in result.admissible()
        move = expert.next(result.text)
    assert result.success
    await env.close()
    await env.close()


async def test_an_impossible_action_is_data() -> None:
    env = HouseholdEnv()
    await env.reset(env.tasks("seen", 1)[0])
    result = await env.step("levitate " * 2000)
    assert (result.text, result.valid, result.terminated) == ("Nothing happens.", False, False)


async def test_a_fork_goes_its_own_way() -> None:
    env = HouseholdEnv(preset="small")
    observation = await env.reset(env.tasks("train", 1)[0])
    places = [command for command in observation.admissible() if command.startswith("go to")]
    fork = await env.fork()
    await fork.step(places[0])
    assert (await env.step("look")).text.endswith("you see nothing.")
    assert (await fork.step("look")).text.startswith("You are facing")
    await env.close()
    assert (await fork.step("inventory")).valid


async def test_without_reset_there_is_no_episode() -> None:
    env = HouseholdEnv()
    with pytest.raises(EnvError, match="reset"):
        await env.step("look")
    with pytest.raises(EnvError, match="reset"):
        env.expert()
    assert await (await env.fork()).close() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "smal"}, "Did you mean 'small'"),
        ({"train_preset": "variety"}, "Did you mean 'varied'"),
        ({"dialect": "Move"}, "Did you mean 'move'"),
        ({"kinds": ["heat", "coool"]}, "Did you mean 'cool'"),
        ({"kinds": []}, "task kind"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        make_env("household", **options)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(EnvError, match="colour"):
        make_env("household", colour="red")


def test_wrong_splits_and_ranges_are_named() -> None:
    env = HouseholdEnv()
    with pytest.raises(UnknownNameError, match="seen, train, unseen"):
        env.tasks("test", 1)
    with pytest.raises(EnvError, match="give a count"):
        env.tasks("train")
    with pytest.raises(EnvError, match="negative"):
        env.tasks("train", -1)


def test_many_tasks_are_drawn_without_building_games(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a game was built")

    monkeypatch.setattr("agentkd_envs.household.environment.build_game", refuse)
    env = HouseholdEnv()
    tasks = env.tasks("train", 2_000)
    assert len({task.id for task in tasks}) == 2_000
    with pytest.raises(AssertionError, match="a game was built"):
        anyio.run(env.reset, tasks[0])


def test_tasks_are_json_and_small() -> None:
    task = HouseholdEnv(preset="small").tasks("unseen", 1)[0]
    assert len(json.dumps(task.payload)) < 260
    assert task.id.startswith("household-")


async def test_foreign_tasks_and_payloads_are_refused() -> None:
    env = HouseholdEnv()
    task = env.tasks("train", 1)[0]
    with pytest.raises(TaskDataError, match="'shop'"):
        await env.reset(Task("shop", "train", 0, "buy", task.payload))
    with pytest.raises(TaskDataError, match="fields"):
        await env.reset(Task("household", "train", 0, "pick", {"room": 1}))
    with pytest.raises(TaskDataError, match=r"no/such/game\.tw-pddl"):
        await env.reset(Task("household", "train", 0, "pick", {"file": "no/such/game.tw-pddl"}))


def test_the_description_shows_the_dialect() -> None:
    assert "move OBJECT to RECEPTACLE" in HouseholdEnv().spec.description
    assert "put OBJECT in/on RECEPTACLE" in HouseholdEnv(dialect="put").spec.description
    assert "\\" not in HouseholdEnv().spec.description
    assert HouseholdEnv(dialect="put").spec.versions["dialect"] == "put"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, name in (("train", "train"), ("unseen", "valid_unseen")):
        for task in HouseholdEnv(preset="small", dialect="put").tasks(split, 12):
            write_game(plan_from(task.payload), tmp_path / "json_2.1.1" / name)
    return tmp_path


async def test_a_folder_of_games_is_played(folder: Path) -> None:
    env = HouseholdEnv(data=folder)
    assert set(env.spec.splits) == {"train", "unseen"}
    tasks = env.tasks("train")
    assert len(tasks) == 12
    assert len({task.id for task in tasks}) == 12
    assert env.tasks("train", 3, 2) == tasks[2:5]
    for task in tasks:
        observation = await env.reset(task)
        expert = env.expert()
        move = expert.first(observation.text)
        for _ in range(50):
            result = await env.step(move.action)
            if result.terminated:
                break
            move = expert.next(result.text)
        assert result.success


async def test_a_folder_can_be_filtered_by_kind_and_a_changed_file_is_refused(
    folder: Path,
) -> None:
    env = HouseholdEnv(data=folder, kinds="heat")
    (first, _) = env.tasks("unseen")
    assert first.kind == "pick_heat_then_place_in_recep"
    path = folder / first.payload["file"]
    path.write_text(path.read_text() + " ")
    with pytest.raises(TaskDataError, match="SHA-256"):
        await env.reset(first)
    with pytest.raises(UnknownNameError, match="split"):
        env.tasks("seen")


def test_a_folder_without_games_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="alfworld-download"):
        HouseholdEnv(data=tmp_path)


def a_game_file(tmp_path: Path) -> Path:
    task = HouseholdEnv(preset="small").tasks("train", 1)[0]
    return write_game(plan_from(task.payload), tmp_path)


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=200) | st.from_type(dict).map(repr))
def test_text_that_is_no_game_is_refused(text: str) -> None:
    with pytest.raises(TaskDataError, match="somewhere"):
        parse_game(text, "somewhere")


def test_cut_off_files_are_refused_or_lack_only_the_end(tmp_path: Path) -> None:
    content = a_game_file(tmp_path).read_text()
    for length in range(0, len(content) - 1, 997):
        with pytest.raises(TaskDataError, match="cut"):
            parse_game(content[:length], "cut")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(:domain alfred)", "(:domain blocks)", "not of that domain"),
        ("(:goal", "(:gaol", "not of that domain"),
        ("(:init", "(:start", "not of that domain"),
        ("(atLocation agent1", "(atHome agent1", "no agent"),
        ("(receptacleAtLocation ", "(receptacleAtLocation x ", "damaged"),
        ("(objectAtLocation ", "(objectAtLocation ghost", "has no type"),
        ("(and (inReceptacle", "(and (isSliced ?o) (inReceptacle", "sliced"),
        ("(receptacleType ?r", "(colour ?r", "goal of a form"),
    ],
)
def test_damaged_problems_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    data = json.loads(a_game_file(tmp_path).read_text())
    assert old in data["pddl_problem"]
    data["pddl_problem"] = data["pddl_problem"].replace(old, new)
    with pytest.raises(TaskDataError, match=message):
        parse_game(json.dumps(data), "damaged file")


@pytest.mark.parametrize("what", ["Your task is to", "action PutObject", "GotoLocation.feedback"])
def test_foreign_grammars_are_named(tmp_path: Path, what: str) -> None:
    data = json.loads(a_game_file(tmp_path).read_text())
    data["grammar"] = data["grammar"].replace(what, "something else")
    with pytest.raises(TaskDataError, match="grammar of ALFWorld"):
        parse_game(json.dumps(data), "foreign file")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match=r"missing\.tw-pddl"):
        read_game(tmp_path / "missing.tw-pddl")
    binary = tmp_path / "binary.tw-pddl"
    binary.write_bytes(b"\xff\xfe\x00game")
    with pytest.raises(TaskDataError, match=r"binary\.tw-pddl"):
        read_game(binary)
