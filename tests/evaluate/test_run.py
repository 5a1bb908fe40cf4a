"""Evaluations of real policies: attempts, retries, resuming, runs of older versions."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from agentkd_envs import make_env

from agentkd.collect import Setting
from agentkd.errors import RunChangedError
from agentkd.evaluate.run import RETRIES, evaluate
from agentkd.evaluate.summary import read_about, read_summary
from agentkd.pipeline import eval_stage
from agentkd.policies import Policy, RandomPolicy, ScriptedPolicy
from agentkd.policies.base import EpisodeContext
from agentkd.prompts import action_format
from agentkd.recipe import Recipe, build_recipe
from agentkd.run_folder import RunFolder, write_json
from agentkd.store import EpisodeReader


def recipe(**overrides: Any) -> Recipe:
    settings = {
        "env.options": "{preset: small}",
        "agent.max_steps": "20",
        "eval.policies": "[random, expert]",
        "eval.splits": "[unseen]",
        "eval.episodes": "5",
    }
    return build_recipe({}, settings | {f"eval.{key}": str(v) for key, v in overrides.items()})


def run_stage(run: RunFolder, settings: Recipe):
    return eval_stage(run, settings, lambda *_: None)


def evaluate_one(policy: Policy, path: Path, tasks: int = 4):
    world = make_env("household", preset="small")
    return evaluate(
        {"one": lambda: policy},
        {"unseen": world.tasks("unseen", tasks)},
        Setting(lambda: make_env("household", preset="small"), action_format("react"), 20),
        lambda policy, split: path / f"{policy}-{split}.jsonl",
        path / "summary.json",
        {},
        attempts=1,
        concurrency=4,
        on_episode=lambda *_: None,
    )[0]


def test_several_attempts(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    random, expert = run_stage(run, recipe(attempts=4))
    assert (expert.episodes, expert.tasks, expert.attempts) == (20, 5, 4)
    assert expert.pass_at_k == expert.pass_hat_k == {1: 1.0, 2: 1.0, 4: 1.0}
    assert expert.interval == "cluster bootstrap"
    assert expert.ci_low < 0.6
    assert random.pass_at_k[4] >= random.success_rate >= random.pass_hat_k[4]
    assert read_summary(run.summary) == [random, expert]
    assert read_about(run.summary)["attempts"] == 4
    seeds = {episode.seed for episode in EpisodeReader(run.eval_store("random", "unseen"))}
    assert len(seeds) == 20


def test_broken_episodes_are_played_again_at_once(tmp_path: Path) -> None:
    begun: Counter[str] = Counter()

    def breaks_at_first(episode: EpisodeContext) -> list[str]:
        begun[episode.task.id] += 1
        return [] if begun[episode.task.id] <= RETRIES else ["Action: look"] * 20

    result = evaluate_one(ScriptedPolicy(breaks_at_first), tmp_path)
    assert (result.episodes, result.infrastructure_failures) == (4, 0)
    assert set(begun.values()) == {1 + RETRIES}


def test_what_stays_broken_is_counted_apart_and_played_on_resume(tmp_path: Path) -> None:
    result = evaluate_one(ScriptedPolicy(lambda _: []), tmp_path)
    assert (result.episodes, result.infrastructure_failures) == (0, 4)
    assert (result.failures, result.tasks) == ({}, 0)
    mended = evaluate_one(RandomPolicy(), tmp_path)
    assert (mended.episodes, mended.infrastructure_failures) == (4, 0)


def test_a_damaged_line_is_played_again(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    before = run_stage(run, recipe())
    store = run.eval_store("expert", "unseen")
    lines = store.read_bytes().splitlines(keepends=True)
    store.write_bytes(b"".join([lines[0][:40] + b"\n", *lines[1:]]))
    after = run_stage(run, recipe())
    assert [(one.episodes, one.successes) for one in after] == [
        (one.episodes, one.successes) for one in before
    ]


def test_a_folder_of_an_older_version_had_the_defaults(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run_stage(run, recipe())
    config = json.loads(run.config.read_text())
    del config["stages"]["eval"]["eval"]["attempts"]
    write_json(run.config, config)
    with pytest.raises(RunChangedError, match=r"eval.attempts: was 1, is now 2"):
        run_stage(run, recipe(attempts=2))
    run_stage(run, recipe())
