"""Summaries: counted by hand, and broken machines are not failures."""

from dataclasses import replace
from pathlib import Path

from agentkd.evaluate.summary import read_summary, summarise, write_summary
from agentkd.policies import RandomPolicy
from agentkd.trajectory import Outcome


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
