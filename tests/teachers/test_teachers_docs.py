"""The page on teachers: its commands, recipes and scripts run, only at another address."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fault_server import FaultServer

from agentkd.recipe import build_recipe, shipped_recipes
from agentkd.store import EpisodeReader

PAGE = (Path(__file__).parents[2] / "docs" / "teachers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
RECIPES = [text for kind, text in BLOCKS if kind == "yaml"]
SCRIPTS = [text for kind, text in BLOCKS if kind == "python"]
COMMANDS = [
    line.split()
    for kind, text in BLOCKS
    if not kind
    for line in text.splitlines()
    if line.startswith("agentkd ")
]


def run(folder: Path, *line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(folder / "cache"), **variables}
    return subprocess.run(
        [sys.executable, *line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_every_recipe_of_the_page_is_valid() -> None:
    assert len(RECIPES) == 4
    for text in RECIPES:
        assert build_recipe(yaml.safe_load(text), {}).teacher is not None


def test_commands_and_scripts_run_in_their_order(tmp_path: Path) -> None:
    assert (len(COMMANDS), len(SCRIPTS)) == (2, 2)
    with FaultServer(lambda body: "Thought: x\nAction: look", model=None) as server:
        recipe = RECIPES[0].replace("https://api.deepseek.com/v1", server.url)
        recipe = recipe.replace("budget: {usd: 5.0}", "budget: {tokens: 10000000}")
        recipe = recipe.replace("episodes: 500", "episodes: 4").replace(
            "max_tokens: 50000", "max_steps: 3"
        )
        (tmp_path / "teacher.yaml").write_text(recipe)
        for command in COMMANDS:
            done = run(tmp_path, "-m", *command, DEEPSEEK_API_KEY="k")
            assert done.returncode == 0, done.stderr
            asked = len(server.requests)
            assert (asked == 0) == ("--dry-run" in command)
        ledger, script = SCRIPTS
        done = run(tmp_path, "-c", ledger)
        assert done.stdout.split()[:2] == ["teacher", "12"], done.stderr
        script = script.replace("http://localhost:8000/v1", server.url)
        script = script.replace("max_steps=50", "max_steps=2")
        done = run(tmp_path, "-c", script)
        assert done.stdout.split()[:2] == ["20", "0"], done.stderr


def test_the_dry_run_shows_what_will_be_done_and_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "teacher.yaml").write_text(RECIPES[0])
    done = run(tmp_path, "-m", *COMMANDS[0])
    assert done.returncode == 0, done.stderr
    assert "Your task is to:" in done.stdout
    assert "Answer each observation with exactly two lines:" in done.stdout
    assert "model: deepseek-chat" in done.stdout
    assert "episodes: 500 planned, 0 there already" in done.stdout
    assert re.search(r"cost: about \$\d+\.\d\d to \$\d+\.\d\d", done.stdout)
    assert re.search(r"time: about [\d.]+ minutes", done.stdout)
    assert not (tmp_path / "runs").exists()


def test_the_first_prompt_of_the_dry_run_is_the_first_prompt_of_the_run(tmp_path: Path) -> None:
    with FaultServer(lambda body: "Action: look", model=None) as server:
        recipe = RECIPES[0].replace("https://api.deepseek.com/v1", server.url)
        recipe = recipe.replace("budget: {usd: 5.0}", "seeded: true")
        (tmp_path / "teacher.yaml").write_text(recipe)
        small = ["--agent.max_steps=1", "--collect.episodes=1"]
        shown = run(tmp_path, "-m", *COMMANDS[0], *small).stdout
        assert "cost: unknown" in shown
        done = run(tmp_path, "-m", *COMMANDS[1], *small, DEEPSEEK_API_KEY="k")
        assert done.returncode == 0, done.stderr
        (request,) = server.requests
    for message in request.body["messages"]:
        assert f"[{message['role']}]\n{message['content']}\n" in shown


@pytest.mark.parametrize("missing", ["model", "base_urls", "api_key_env", "budget"])
def test_the_shipped_recipe_shows_what_a_teacher_needs(missing: str) -> None:
    recipe = yaml.safe_load(shipped_recipes()["household_teacher"].read_text())
    assert missing in recipe["teacher"]
    assert build_recipe(recipe, {}).collect.policy == "teacher"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--collect.policy=teacher", "--collect.mistakes=0"], "no section 'teacher'"),
        (["--teacher.seeded=false"], "teacher.model is not set"),
        (["--teacher.model=x", "--teacher.modle=y"], "Did you mean 'teacher.model'"),
        (["--teacher.model=x", "--teacher.limits.trys=2"], "Did you mean 'teacher.limits.tries'"),
        (["--teacher.model=x", "--collect.policy=teacher"], "collect.mistakes"),
        (
            [
                *("--teacher.model=x", "--collect.policy=teacher", "--collect.mistakes=0"),
                "--teacher.api_key_env=NO_SUCH_KEY",
            ],
            "export NO_SUCH_KEY=",
        ),
        (
            [
                *("--teacher.model=x", "--collect.policy=teacher", "--collect.mistakes=0"),
                "--teacher.budget.usd=1",
            ],
            "teacher.price.prompt",
        ),
        (
            [
                *("--teacher.model=x", "--collect.policy=teacher", "--collect.mistakes=0"),
                "--teacher.continuation=text",
            ],
            "teacher.tokenizer",
        ),
        (
            [
                *("--teacher.model=x", "--collect.policy=teacher", "--collect.mistakes=0"),
                "--teacher.api=langchain",
            ],
            "teacher.chat_model",
        ),
    ],
)
def test_a_mistake_in_the_teacher_gets_a_message(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run(tmp_path, "-m", "agentkd", "collect", "--run", "r", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_local_model_teaches(tmp_path: Path) -> None:
    settings = [
        *("--collect.policy=teacher", "--collect.mistakes=0", "--collect.episodes=3"),
        *("--teacher.api=local", "--teacher.model=tiny", "--agent.max_steps=3"),
    ]
    done = run(tmp_path, "-m", "agentkd", "collect", "--run", "r", *settings)
    assert done.returncode == 0, done.stderr
    episodes = list(EpisodeReader(tmp_path / "r" / "trajectories.jsonl"))
    assert [(e.policy.kind, e.policy.name, len(e.steps)) for e in episodes] == [
        ("teacher", "tiny", 3)
    ] * 3
