"""The command line as a stranger uses it: real processes, real folders."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

QUICK = [
    *("--collect.episodes", "60"),
    *("--train.max_steps", "4"),
    *("--eval.episodes", "4"),
    *("--eval.max_new_tokens", "16"),
    *("--agent.max_steps", "6"),
]


def agentkd(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentkd", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=300)


def test_the_stages_one_by_one_name_each_other(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    collected = agentkd("collect", "--run", run, *QUICK)
    assert "60/60" in collected.stdout
    assert f"agentkd curate --run {run}" in collected.stdout
    curated = agentkd("curate", "--run", run)
    assert "episodes read" in curated.stdout
    trained = agentkd("train", "--run", run)
    assert "carry loss" in trained.stdout
    trained_on = (tmp_path / "run" / "student" / "trained_tasks.txt").read_text().split()
    own_tasks = ("--eval.splits", "[train]", "--eval.episodes", "60")
    refused = agentkd("eval", "--run", run, *own_tasks, check=False)
    assert f"{len(trained_on)} of the 60 tasks of 'train' were in the train" in refused.stderr
    evaluated = agentkd("eval", "--run", run)
    assert "95 % CI" in evaluated.stdout
    assert "Why episodes failed" in evaluated.stdout
    compared = agentkd("compare", f"{run}:untrained", run, "--split", "seen")
    assert "4 tasks paired" in compared.stdout
    assert "ALFWorld" not in evaluated.stdout
    reported = agentkd("report", "--run", run)
    assert "report.html" in reported.stdout
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<svg" in page
    summary = json.loads((tmp_path / "run" / "eval" / "summary.json").read_text())
    names = {(row["policy"], row["split"]) for row in summary["results"]}
    policies = ("random", "expert", "untrained", "student")
    assert names == {(policy, split) for policy in policies for split in ("seen", "unseen")}
    wanted = {"episodes", "successes", "success_rate", "ci_low", "ci_high"}
    wanted |= {"mean_reward", "mean_steps", "invalid_rate"}
    assert all(wanted <= set(row) for row in summary["results"])


def test_the_demo_is_the_whole_loop_and_does_nothing_twice(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    first = agentkd("demo", "--run", run, *QUICK)
    for stage in ("Collect", "Curate", "Train", "Evaluate", "report.html"):
        assert stage in first.stdout
    assert "agentkd demo --run runs/longer --collect.episodes 60000" in first.stdout
    store = (tmp_path / "run" / "trajectories.jsonl").read_bytes()
    again = agentkd("demo", "--run", run)
    assert "finished already" in again.stdout
    assert (tmp_path / "run" / "trajectories.jsonl").read_bytes() == store


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["collect", "--run", "RUN", "--env.name", "houshold"], "Did you mean 'household'"),
        (["collect", "--run", "RUN", "--env.options.preset", "smal"], "small"),
        (["collect", "--run", "RUN", "--env.options.colour", "red"], "colour"),
        (["collect", "--run", "RUN", "--collect.split", "trian"], "Did you mean 'train'"),
        (["collect", "--run", "RUN", "--collect.policy", "exprt"], "Did you mean 'expert'"),
        (["collect", "--run", "RUN", "--collect.epsiodes", "3"], "collect.episodes"),
        (["collect", "--run", "RUN", "--agent.format", "raect"], "Did you mean 'react'"),
        (["collect", "--run", "RUN", "--recipe", "nothing"], "household_small"),
        (["collect"], "agentkd collect household"),
        (["curate", "--run", "RUN"], "agentkd collect --run"),
        (["train", "--run", "RUN"], "agentkd curate --run"),
        (["eval", "--run", "RUN"], "agentkd train --run"),
        (["eval", "--run", "RUN", "--eval.policies", "[studnet]"], "Did you mean 'student'"),
        (["report", "--run", "RUN"], "agentkd eval --run"),
    ],
)
def test_a_mistake_gets_a_message_and_no_traceback(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    run = str(tmp_path / "run")
    done = agentkd(*(run if part == "RUN" else part for part in arguments), check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    agentkd("collect", "--run", run, "--collect.episodes", "3")
    done = agentkd("collect", "--run", run, "--collect.seed", "5", check=False)
    assert done.returncode == 2
    assert "collect.seed: was 0, is now 5" in done.stderr


def test_an_unknown_command_suggests_the_nearest() -> None:
    done = agentkd("trian", check=False)
    assert done.returncode != 0
    assert 'Did you mean "train"' in done.stdout + done.stderr


def test_doctor_names_what_is_missing_and_how_to_get_it() -> None:
    out = agentkd("doctor").stdout
    for name in ("torch", "memory", "docker", "java", "household"):
        assert name in out


def test_recipes_lists_every_setting() -> None:
    out = agentkd("recipes").stdout
    assert "household_small" in out
    assert "train.learning_rate" in out


def test_a_recipe_alone_names_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    collected = agentkd("collect", "household_small", *QUICK)
    assert "agentkd curate --run runs/household_small" in collected.stdout
    assert (tmp_path / "runs" / "household_small" / "trajectories.jsonl").is_file()


def test_the_help_arranges_every_command() -> None:
    shown = agentkd("--help").stdout
    headings = ["The loop", "Look", "Worlds", "Exchange", "This machine", "Options"]
    assert sorted(headings, key=shown.index) == headings
    assert shown.index(" demo ") < shown.index(" collect ") < shown.index(" doctor ")


def test_one_task_and_a_damaged_line_are_said_once_and_in_words(tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = ("--eval.policies", "[random, expert]", "--eval.episodes", "1")
    agentkd("eval", "--run", str(run), "--recipe", "household_small", *settings)
    with (run / "eval" / "random-seen.jsonl").open("a") as store:
        store.write('{"torn": \n')
    compared = agentkd("compare", f"{run}:random", f"{run}:expert", "--split", "seen")
    assert "1 task paired" in compared.stdout
    assert "1 task does not tell the two apart" in compared.stdout
    assert compared.stderr.count("random-seen.jsonl, line 2") == 1
    assert "100.0%" in compared.stdout
