"""Ten thousand episodes: a small page, made without holding them."""

import tracemalloc

from sample_runs import evaluate, make_episode

from agentkd.report import build_report
from agentkd.report.pick import pick_trajectories
from agentkd.report.roles import cast
from agentkd.run_folder import RunFolder
from agentkd.trajectory import Step

EPISODES = 10_000


def test_ten_thousand_episodes(run: RunFolder) -> None:
    steps = [
        Step(f"Thought: go on.\nAction: go to desk {n}", "You see a mug 1. " * 5, f"go to desk {n}")
        for n in range(20)
    ]
    evaluate(
        run,
        {
            ("student", "unseen"): [
                make_episode("student", "unseen", seed, success=seed % 3 > 0, steps=steps)
                for seed in range(EPISODES)
            ]
        },
    )
    page = build_report(run).read_text()
    assert "6,666 of 10,000" in page and len(page) < 200_000


def test_memory_does_not_grow_with_the_store(run: RunFolder) -> None:
    evaluate(
        run,
        {
            ("student", "unseen"): [
                make_episode("student", "unseen", seed, success=seed % 2 > 0)
                for seed in range(2_000)
            ]
        },
    )
    from agentkd.evaluate.summary import read_summary

    results = read_summary(run.summary)
    roles = cast(["student"], None)
    tracemalloc.start()
    picks = pick_trajectories(run, results, roles, "unseen")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [one.id for one in picks[0].trajectories] == ["student-unseen-1", "student-unseen-0"]
    assert peak < 1_000_000
