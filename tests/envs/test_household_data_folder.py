"""A user's own folder of ALFWorld games: what is listed, in which order, and what is refused."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from agentkd_envs import EnvError, TaskDataError
from agentkd_envs.household import HouseholdEnv, write_game
from agentkd_envs.household.pddl import parse_game
from agentkd_envs.household.tasks import plan_from


def fill(folder: Path, dialect: str = "put", count: int = 6, first: int = 0) -> list[Path]:
    tasks = HouseholdEnv(preset="small", dialect=dialect).tasks("train", count, first)
    return [write_game(plan_from(task.payload), folder) for task in tasks]


def change(path: Path, **values: Any) -> None:
    data = json.loads(path.read_text())
    path.write_text(json.dumps({key: v for key, v in (data | values).items() if v is not None}))


def listed(folder: Path, split: str = "train") -> list[str]:
    return [str(folder / task.payload["file"]) for task in HouseholdEnv(data=folder).tasks(split)]


def test_all_splits_that_are_there_are_listed_in_the_order_of_paths(tmp_path: Path) -> None:
    for name in ("train", "valid_seen", "valid_unseen", "valid_train"):
        fill(tmp_path / "json_2.1.1" / name)
    env = HouseholdEnv(data=tmp_path)
    assert list(env.spec.splits) == ["train", "seen", "unseen", "valid_train"]
    for split in env.spec.splits:
        files = [task.payload["file"] for task in env.tasks(split)]
        assert len(files) == 6
        assert files == sorted(files)


def test_the_games_choose_the_dialect_and_the_record_says_which(tmp_path: Path) -> None:
    for dialect, command in (("put", "put OBJECT in/on"), ("move", "move OBJECT to")):
        fill(tmp_path / dialect / "json_2.1.1" / "train", dialect)
        env = HouseholdEnv(data=tmp_path / dialect)
        assert command in env.spec.description
        assert env.spec.versions == {"engine": "1", "data": "json_2.1.1", "dialect": dialect}


async def test_mixed_dialects_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train", "put")
    fill(tmp_path / "valid_seen", "move")
    env = HouseholdEnv(data=tmp_path)
    await env.reset(env.tasks("train", 1)[0])
    with pytest.raises(TaskDataError, match="folder of their own"):
        await env.reset(env.tasks("seen", 1)[0])
    generated = HouseholdEnv(dialect="put").tasks("train", 1)[0]
    with pytest.raises(TaskDataError, match="make the environment with dialect='put'"):
        await HouseholdEnv().reset(generated)


def test_what_alfworld_leaves_out_is_left_out(tmp_path: Path) -> None:
    paths = fill(tmp_path / "train", count=12)
    change(paths[0], solvable=False)
    change(paths[1], solvable=None)
    for path, name in (
        (paths[2], "pick_and_place_with_movable_recep-Mug-Bowl-Shelf-1"),
        (paths[3], "pick_and_place_simple-AppleSliced-None-Shelf-1"),
    ):
        (tmp_path / "train" / name).mkdir()
        path.parent.rename(tmp_path / "train" / name / "trial")
    change(paths[4].with_name("traj_data.json"), task_type="pick_and_place_with_movable_recep")
    paths[5].with_name("traj_data.json").unlink()
    assert listed(tmp_path) == sorted(map(str, paths[6:]))


def test_the_kind_is_that_of_the_trajectory_data(tmp_path: Path) -> None:
    (path,) = fill(tmp_path / "train", count=1)
    change(path.with_name("traj_data.json"), task_type="look_at_obj_in_light")
    (task,) = HouseholdEnv(data=tmp_path, kinds="light").tasks("train")
    assert task.kind == "look_at_obj_in_light"


def test_a_solvable_flag_far_from_the_end_is_found(tmp_path: Path) -> None:
    (path,) = fill(tmp_path / "train", count=1)
    change(path, walkthrough=["look"] * 10_000)
    assert listed(tmp_path) == [str(path)]


def test_the_folder_can_be_named_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "json_2.1.1" / "train")
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    assert len(HouseholdEnv(data="$ALFWORLD_DATA").tasks("train")) == 6
    monkeypatch.delenv("ALFWORLD_DATA")
    with pytest.raises(EnvError, match="variable that is not set"):
        HouseholdEnv(data="$ALFWORLD_DATA")


def test_archives_and_missing_folders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="alfworld-download"):
        HouseholdEnv(data=tmp_path / "nowhere")
    archive = tmp_path / "json_2.1.1_tw-pddl.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("json_2.1.1/train/game.tw-pddl", "x" * 1000)
    with pytest.raises(TaskDataError, match="unpack it, and give the folder"):
        HouseholdEnv(data=archive)
    with pytest.raises(TaskDataError, match=r"unpack json_2\.1\.1_tw-pddl\.zip, or fetch"):
        HouseholdEnv(data=tmp_path)
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(TaskDataError, match="damaged zip archive"):
        HouseholdEnv(data=archive)


def test_a_folder_without_a_game_of_the_kinds_says_so(tmp_path: Path) -> None:
    (path,) = fill(tmp_path / "train", count=1)
    change(path, solvable=False)
    with pytest.raises(
        TaskDataError, match=r"no game below .* is solvable and of the chosen kinds"
    ):
        HouseholdEnv(data=tmp_path)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    paths = fill(tmp_path / "train", count=2)
    paths[1].write_bytes(paths[1].read_bytes()[:5000])
    with pytest.raises(TaskDataError, match=r"game\.tw-pddl is damaged, its end is missing"):
        HouseholdEnv(data=tmp_path)
    paths[1].with_name("traj_data.json").write_text("{}")
    with pytest.raises(TaskDataError, match=r"traj_data\.json is damaged"):
        HouseholdEnv(data=tmp_path)


@pytest.mark.parametrize(
    ("key", "old", "new", "what"),
    [
        ("grammar", "put {o} in/on {r}", "place {o} on {r}", r"place \{o\} on \{r\}"),
        ("pddl_domain", "(:action SliceObject", "(:action PeelObject", "the actions PeelObject"),
    ],
)
def test_unknown_versions_are_refused(
    tmp_path: Path, key: str, old: str, new: str, what: str
) -> None:
    (path,) = fill(tmp_path, count=1)
    data = json.loads(path.read_text())
    assert old in data[key]
    data[key] = data[key].replace(old, new)
    with pytest.raises(TaskDataError, match=f"version of ALFWorld that is not known here.*{what}"):
        parse_game(json.dumps(data), "a later game")
