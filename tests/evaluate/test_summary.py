"""Summaries: counted by hand, and broken machines are not failures."""

from dataclasses import replace
from pathlib import Path

from agentkd.evaluate.statistics import wilson_interval
from agentkd.evaluate.summary import (
    KindResult,
    read_about,
    read_summary,
    summarise,
    write_summary,
)
from agentkd.policies import RandomPolicy
from agentkd.run_folder import write_json
from agentkd.trajectory import Outcome, Step, Trajectory, Usage


def test_summary_counts_by_hand(play) -> None:
    solved = play(count=4)
    lost = play(RandomPolicy(), count=2, max_steps=5)
    broken = replace(solved[0], outcome=Outcome(0.0, False, "env_error", "error", "died"))
    result = summarise("mixed", "train", [*solved, *lost, broken])
    wins = sum(episode.outcome.success for episode in lost) + 4
    steps = [len(episode.steps) for episode in (*solved, *lost)]
    assert (result.episodes, result.successes) == (6, wins)
    assert result.infrastructure_failures == 1
    assert result.success_rate == wins / 6
    assert result.mean_steps == sum(steps) / 6
    invalid = sum(not step.valid for episode in (*solved, *lost) for step in episode.steps)
    assert result.invalid_rate == invalid / sum(steps)
    assert sum(kind.episodes for kind in result.by_kind.values()) == 6
    assert sum(kind.successes for kind in result.by_kind.values()) == wins


def test_nothing_graded_is_not_a_perfect_score(play) -> None:
    broken = [
        replace(episode, outcome=Outcome(0.0, False, "provider_error", "error", "down"))
        for episode in play(count=2)
    ]
    result = summarise("student", "unseen", broken)
    assert (result.episodes, result.success_rate, result.infrastructure_failures) == (0, 0.0, 2)
    assert (result.ci_low, result.ci_high) == (0.0, 1.0)


def test_a_summary_is_read_back(play, tmp_path: Path) -> None:
    result = summarise("expert", "train", play(count=3))
    write_summary(tmp_path / "summary.json", [result], {"recipe": "test"})
    assert read_summary(tmp_path / "summary.json") == [result]


def test_cost_tokens_and_latency_per_episode(play) -> None:
    def priced(episode: Trajectory, cost: float | None) -> Trajectory:
        step = Step("Action: look", "", action="look", usage=Usage(100, 20, 0, cost), latency_s=0.5)
        return replace(episode, steps=(step, step))

    episodes = play(count=2)
    known = summarise("teacher", "train", [priced(one, 0.25) for one in episodes])
    assert (known.mean_prompt_tokens, known.mean_completion_tokens) == (200, 40)
    assert (known.mean_cost_usd, known.mean_latency_s) == (0.5, 1.0)
    partly = summarise("teacher", "train", [priced(episodes[0], 0.25), priced(episodes[1], None)])
    assert partly.mean_cost_usd is None
    assert summarise("expert", "train", episodes).mean_cost_usd == 0


def test_intervals_by_kind_are_wilsons_for_single_attempts(play) -> None:
    result = summarise("expert", "train", play(count=6))
    assert result.interval == "wilson"
    for kind in result.by_kind.values():
        assert (kind.ci_low, kind.ci_high) == wilson_interval(kind.successes, kind.episodes)


def test_attempts_at_one_task_tell_no_more_than_the_task(play) -> None:
    episode = play(count=1)[0]
    result = summarise("expert", "train", [replace(episode, attempt=n) for n in range(8)])
    assert (result.episodes, result.tasks, result.attempts) == (8, 1, 8)
    assert result.ci_low < 0.25
    assert result.ci_high == 1
    assert result.pass_hat_k == {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}


def test_a_summary_of_an_older_version_is_read(tmp_path: Path) -> None:
    older = {
        **{"policy": "expert", "split": "seen", "episodes": 4, "successes": 3, "invalid_rate": 0.1},
        **{"success_rate": 0.75, "ci_low": 0.3, "ci_high": 0.95, "mean_reward": 0.75},
        **{"mean_steps": 9.5, "by_kind": {"heat": {"episodes": 4, "successes": 3}}},
    }
    write_json(tmp_path / "summary.json", {"recipe": "old", "results": [older]})
    (result,) = read_summary(tmp_path / "summary.json")
    assert result.failures == {}
    low, high = wilson_interval(3, 4)
    assert result.by_kind["heat"] == KindResult(4, 3, low, high)
    assert read_about(tmp_path / "summary.json") == {"recipe": "old"}
