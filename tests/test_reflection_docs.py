"""The page on reflection and the studies of STeP: what they name exists, and what they say runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agentkd.recipe import build_recipe, recipe_values
from agentkd.study import plan, read_study

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reflection.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = [
    shlex.split(command)
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    for command in line.split(" && ")
]
SMALL = ["--collect.episodes=30", "--train.max_steps=1", "--train.batch_size=1"]
SMALL += ["--train.checkpoints=0", "--eval.episodes=1", "--eval.max_new_tokens=8"]
SMALL += ["--agent.max_steps=8", "--curate.only_successes=false", "--eval.policies=[student]"]


def test_the_first_block_is_a_whole_run(tmp_path: Path) -> None:
    commands = [line for line in LINES if "runs/demo" in line or "runs/step" in line]
    assert [line[1] for line in commands] == ["demo", "collect", "curate", "train", "eval"]
    for command in commands:
        small = SMALL if command[1] in {"demo", "collect"} else []
        done = subprocess.run(
            [sys.executable, "-m", *command, *small],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        if command[1] == "collect":
            assert "steps were judged" in done.stdout
            assert "base agent runs/demo with a scripted critic" in done.stdout


@pytest.mark.parametrize("world", ["household", "shop"])
def test_the_studies_compare_arms_of_one_size(tmp_path: Path, world: str) -> None:
    planned = plan(read_study(ROOT / "benchmarks" / "step" / f"study_{world}.yaml"), tmp_path, {})
    arms = {run.name: run.recipe for run in planned if "eval" in run.stages}
    assert {"expert_only", "rejection_sampling", "mix_all", "step"} <= arms.keys()
    assert len({arm.train.trained_tokens for arm in arms.values()}) == 1
    student = {"household": "tiny", "shop": "tiny_shop"}[world]
    assert {arm.train.student for arm in arms.values()} == {student}
    assert {(arm.eval.episodes, *(arm.eval.splits or ())) for arm in arms.values()} == {
        (200, "seen", "unseen")
    }
    assert {run.seed for run in planned if run.name == "step"} == {0, 1, 2}
    assert (arms["step"].curate.error_steps, arms["mix_all"].curate.error_steps) == (
        "mask",
        "train",
    )
    by_name = {run.name: run.recipe for run in planned}
    halves = [by_name[name].collect for name in ("experts", "reflected")]
    assert halves[0].first + halves[0].episodes <= halves[1].first


def test_boosting_reads_the_recipe_of_teachers() -> None:
    (command,) = [line for line in LINES if "boosted" in line]
    overrides = dict(zip(command[6::2], command[7::2], strict=True))
    overrides = {name.removeprefix("--"): value for name, value in overrides.items()}
    recipe = build_recipe(recipe_values("household_teacher"), overrides)
    assert recipe.boost is not None
    assert (recipe.collect.policy, recipe.boost.failed) == ("boosted", "runs/plain")
