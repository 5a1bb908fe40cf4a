"""envs/README.md: its snippets run, its new environment is a real plugin, its links lead on."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from agentkd_envs import env_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "envs" / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [content for name, content in found if name == language]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The README's environment as an installed package: a module and its entry point."""
    (source,) = (block for block in blocks("python") if "class Guess" in block)
    (project,) = map(tomllib.loads, blocks("toml"))
    (tmp_path / "guess.py").write_text(source)
    about = tmp_path / "guess-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: guess\nVersion: 1\n")
    groups = project["project"]["entry-points"]
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


def agentkd(folder: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentkd", *arguments],
        capture_output=True,
        text=True,
        input=typed,
        timeout=120,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )


def test_a_new_environment_takes_about_twenty_lines() -> None:
    (source,) = (block for block in blocks("python") if "class Guess" in block)
    assert len([line for line in source.splitlines() if line.strip()]) <= 26


def test_the_new_environment_is_one_like_those_that_ship(plugin: Path) -> None:
    assert "guess" in agentkd(plugin, "envs").stdout
    played = agentkd(plugin, "play", "guess", typed="?\n5\nx\n1\n")
    assert "no hint: this environment has no expert" in played.stdout
    assert "Less." in played.stdout
    assert "Solved after 3 steps; reward 1." in played.stdout, played.stderr


def test_what_is_missing_is_named_with_its_remedy(plugin: Path) -> None:
    points = plugin / "guess-1.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "\nbig = guess:big\nlost = lost_module:Lost\n")
    with (plugin / "guess.py").open("a") as module:
        module.write(
            "\nfrom agentkd_envs import EnvError\n"
            "def big():\n    raise EnvError(\"pip install 'guess[big]'\")\n"
        )
    done = agentkd(plugin, "envs")
    assert done.returncode == 0
    assert "big  not here\n  pip install 'guess[big]'" in done.stdout
    assert "No module named 'lost_module'" in done.stdout
    assert "digits in turn" in done.stdout


def test_the_commands_of_the_readme_run(plugin: Path) -> None:
    commands = [
        line.partition("#")[0].split()[1:]
        for block in blocks("")
        for line in block.splitlines()
        if line.startswith("agentkd ")
    ]
    assert len(commands) >= 7
    for arguments in commands:
        if arguments[:2] == ["envs", "serve"]:
            continue  # Runs until it is stopped; tests of its own start it.
        done = agentkd(plugin, *arguments)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert len((plugin / "runs/guess/trajectories.jsonl").read_text().splitlines()) == 20


@pytest.mark.parametrize("number", range(2))
def test_the_adapters_snippets_run(number: int) -> None:
    snippets = re.findall(r"<!-- run -->\n```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 2
    subprocess.run([sys.executable, "-W", "error", "-c", snippets[number]], check=True)


@pytest.mark.parametrize("name", env_names())
def test_every_environment_has_a_row_and_a_readme(name: str) -> None:
    (link,) = re.findall(rf"^\| `{name}` \|.*\[README\]\((.*?)\) \|$", README, re.MULTILINE)
    assert (ROOT / "envs" / link).is_file()


def test_links_to_code_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+\.py)\)", README)
    assert len(links) >= 2
    assert all((ROOT / "envs" / link).is_file() for link in links)
