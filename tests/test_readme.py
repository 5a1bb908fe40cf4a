"""The README's commands run as they stand, made small by overrides."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.partition("#")[0].split()
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith("agentkd ")
]
SMALL = {
    "--collect.episodes": "40",
    "--train.max_steps": "1",
    "--train.batch_size": "1",
    "--train.micro_batch_size": "1",
    "--train.checkpoints": "0",
    "--eval.episodes": "1",
    "--eval.max_new_tokens": "8",
    "--agent.max_steps": "8",
}


def test_the_readme_shows_both_make_commands() -> None:
    assert any("make demo" in block and "make test" in block for block in BLOCKS)


def test_the_readme_has_commands() -> None:
    assert {command[1] for command in COMMANDS} >= {"demo", "collect", "train", "eval", "report"}


@pytest.mark.parametrize("recipe", ["household_small", "household_smollm2"])
def test_the_readme_commands_run(tmp_path: Path, recipe: str) -> None:
    """The stage commands in their order for the first recipe, the demo line for the second."""
    for command in COMMANDS:
        is_demo_of_other = "household_smollm2" in command
        has_run = any("runs/" in part for part in command)
        if not has_run or is_demo_of_other != (recipe == "household_smollm2"):
            continue
        arguments = [part.replace("runs/", f"{tmp_path}/") for part in command[1:]]
        begins = arguments[0] in {"demo", "collect"}
        small = [f"{name}={value}" for name, value in SMALL.items()] if begins else []
        done = subprocess.run(
            [sys.executable, "-m", "agentkd", *arguments, *small],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stdout}\n{done.stderr}"
    assert len(list(tmp_path.glob("*/report.html"))) == 1
