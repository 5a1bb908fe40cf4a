"""The leaderboard: what is stored, in tables that name their source; other text is left alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_compare import ABOUT, BROKEN, episode, episodes, store
from test_pooling import seeded

from agentkd.errors import ConfigError, MissingStageError, StorageError
from agentkd.evaluate.leaderboard import BEGIN, END, leaderboard, read_entries, with_section
from agentkd.evaluate.summary import summarise, write_summary
from agentkd.recipe import build_recipe, recipe_values
from agentkd.run_folder import RunFolder, write_json


def made(folder: Path, outcomes: list[int]) -> Path:
    store(folder, episodes(outcomes))
    changes = {"train.epochs": "3", "eval.policies": "[student]", "env.options.kinds": "[heat]"}
    recipe = build_recipe(recipe_values("household_small"), changes)
    for stage in ("collect", "curate", "train", "eval"):
        RunFolder(folder).claim(stage, recipe)
    return folder


def page(*paths: Path) -> str:
    entries, remarks = read_entries(paths)
    return leaderboard(entries, remarks, "agentkd leaderboard ...")


def test_a_row_has_its_interval_and_the_command_that_makes_it(tmp_path: Path) -> None:
    low, high = made(tmp_path / "low", [1, 0, 0, 0]), made(tmp_path / "high", [1, 1, 1, 0])
    low.joinpath("student").mkdir()
    write_json(low / "student" / "training.json", {"trained_tokens_seen": 500})
    text = page(low, high)
    rows = [line for line in text.splitlines() if line.startswith("| ") and "student" in line]
    assert rows == [
        "| high: student | tiny | sft | - | 75.0 % | 30.1-95.4 % | 4 | 1 | 0.750 | 2.0 | 20 | 2 |",
        "| low: student | tiny | sft | 500 | 25.0 % | 4.6-69.9 % | 4 | 1 | 0.250 | 2.0 | 20 | 1 |",
    ]
    assert "### household, preset small, 50 steps, unseen" in text
    command = (
        f"`agentkd demo --run {tmp_path}/low --recipe household_small --env.options.kinds '[heat]' "
        "--train.epochs 3.0 --eval.policies '[student]'`"
    )
    assert f"1. {command}" in text
    assert "household: engine 1; revision " in text
    assert text.count("All of them: agentkd 0.1.0, torch ") == 1
    assert "cores" in text


def test_software_that_differs_stands_with_each_run(tmp_path: Path) -> None:
    runs = [made(tmp_path / name, [1, 0]) for name in "ab"]
    for run, version in zip(runs, ("1.0", "2.0"), strict=True):
        write_json(RunFolder(run).manifest, {"versions": {"torch": version}, "processor": "P"})
    text = page(*runs)
    assert "All of them" not in text
    assert "torch 1.0; P, ? cores" in text
    assert "torch 2.0; P, ? cores" in text


@pytest.mark.parametrize(
    ("student", "told"),
    [
        ("models/own", "models/own"),
        ("{folder}/demo/student", "demo/student"),
        ("{folder}/study/sft/seed-1/student", "study/sft/student"),
        ("/elsewhere/runs/run/base/seed-1/student", "run/base/student"),
        ("/elsewhere/demo/student", "demo/student"),
    ],
)
def test_a_student_says_from_which_model_and_how_it_was_trained(
    tmp_path: Path, student: str, told: str
) -> None:
    store(tmp_path / "run", episodes([1, 0]))
    model = student.format(folder=tmp_path)
    changes = {"train.student": model, "train.method": "gkd", "train.lora.r": "8"}
    RunFolder(tmp_path / "run").claim(
        "train", build_recipe(recipe_values("household_small"), changes)
    )
    assert f"| run: student | {told} | gkd, LoRA | - |" in page(tmp_path / "run")


def test_one_seed_has_no_range(tmp_path: Path) -> None:
    seeded(tmp_path / "a", [[1, 0]])
    assert "| 2 | 1 | 0.500 |" in page(tmp_path / "a")


def test_a_study_stands_with_its_own_command_and_the_range_of_its_seeds(tmp_path: Path) -> None:
    study = tmp_path / "study"
    seeded(study / "a", [[1, 0, 1, 0], [1, 1, 1, 0]])
    runs = {"a": {}, "b": {}, "teacher": {"stages": ["collect"]}}
    results = {"command": "agentkd study x.yaml --run study", "study": {"runs": runs}}
    write_json(study / "results.json", results)
    text = page(study)
    assert "| study/a: student | - | - | - | 62.5 % |" in text
    assert "| 8 | 2 (50.0-75.0 %) |" in text
    assert text.count("`agentkd study x.yaml --run study`") == 1
    assert f"- {study}/b: not evaluated yet; left out" in text
    assert "teacher" not in text


def test_what_no_run_trains_stands_once_and_untrained_students_have_names(tmp_path: Path) -> None:
    for run, outcomes in (("a", [1, 0]), ("b", [1, 0]), ("c", [1, 1])):
        played = episodes(outcomes)
        for policy in ("expert", "untrained"):
            store(tmp_path / run, played, policy)
        both = [summarise(policy, "unseen", played) for policy in ("expert", "untrained")]
        write_summary(RunFolder(tmp_path / run).summary, both, ABOUT)
        student = f"{tmp_path}/models/{run}" if run == "c" else f"models/{run}"
        recipe = build_recipe(recipe_values("household_small"), {"train.student": student})
        RunFolder(tmp_path / run).claim("eval", recipe)
    text = page(*(tmp_path / run for run in "abc"))
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    told = {(row[0].removeprefix("| "), row[1], row[-1].removesuffix(" |")) for row in rows[1:]}
    assert told == {
        ("expert", "-", "1, 2"),
        ("c: expert", "-", "3"),
        ("a: untrained", "models/a", "1"),
        ("b: untrained", "models/b", "2"),
        ("c: untrained", "models/c", "3"),
    }


def test_what_broke_is_said(tmp_path: Path) -> None:
    store(tmp_path / "run", [episode(0, True), episode(1, False, outcome=BROKEN)])
    assert "1 episodes ended in an infrastructure failure" in page(tmp_path / "run")


def test_damaged_lines_and_results_are_said(tmp_path: Path) -> None:
    study = tmp_path / "study"
    seeded(study / "a", [[1, 0], [1, 1]])
    path = RunFolder(study / "a" / "seed-1").eval_store("student", "unseen")
    path.write_bytes(path.read_bytes() + b'{"torn": \n')
    write_json(study / "results.json", {"command": "c", "study": {"runs": {"a": {}}}})
    assert f"a: skipped {path}, line 3" in page(study)
    (study / "results.json").write_text("{")
    with pytest.raises(StorageError, match=r"results.json is damaged"):
        page(study)


def test_nothing_to_show_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingStageError, match=f"agentkd eval --run {tmp_path}/empty"):
        page(tmp_path / "empty")
    with pytest.raises(MissingStageError, match="there is no folder"):
        page(tmp_path / "nothing")


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    first = with_section("# Measured\n\nby hand\n", "one")
    assert first == f"# Measured\n\nby hand\n\n{BEGIN}\none\n{END}\n"
    behind = first + "\nmore by hand\n"
    assert with_section(behind, "    two") == behind.replace("one\n", "    two\n")
    assert with_section("", "x") == f"{BEGIN}\nx\n{END}\n"
    for broken in (BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"):
        with pytest.raises(ConfigError, match="mend it"):
            with_section(broken, "x")


def test_the_command_writes_the_same_page_twice(tmp_path: Path) -> None:
    run, out = made(tmp_path / "run", [1, 0]), tmp_path / "RESULTS.md"
    out.write_text("# Measured\n")
    command = [sys.executable, "-m", "agentkd", "leaderboard", str(run), "--write", str(out)]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert f"1 rows of 1 runs kept in {out}" in done.stdout
    text = out.read_text()
    assert text.count("| run: student | tiny | sft |") == 1
    assert f"    agentkd leaderboard {run} --write {out}" in text
    assert json.loads((run / "eval" / "summary.json").read_text())["results"]
