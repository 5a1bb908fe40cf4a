"""What a report says of failures and of repeated attempts."""

import json
from collections.abc import Callable
from dataclasses import replace

from html_page import Page
from sample_runs import evaluate, make_episode, rates

from agentkd.run_folder import RunFolder, write_json
from agentkd.trajectory import Step

Report = Callable[[RunFolder], Page]

STUCK = [Step("Action: look", "A room.", action="look")] * 12
CHATTER = [Step("Hello", "No action.", valid=False, format_error="malformed")] * 12


def failing(run: RunFolder) -> None:
    evaluate(
        run,
        {
            ("student", "unseen"): [
                *(make_episode("student", "unseen", n, success=False, steps=STUCK) for n in (0, 1)),
                make_episode("student", "unseen", 2, success=False, steps=CHATTER),
                make_episode("student", "unseen", 3, success=True),
            ],
            ("student", "seen"): [make_episode("student", "seen", 0, success=False, steps=STUCK)],
            ("expert", "unseen"): rates("expert", "unseen", 4, 4),
        },
    )


def test_causes_are_counted_and_explained(run: RunFolder, report: Report) -> None:
    failing(run)
    page = report(run)
    section = page.text[page.text.index("Every failed episode") :]
    assert "Cause Trained student repeated loop 2 format 1 all failures 3 of 4" in section
    assert "Causes on seen" in section
    assert "more than three cycles (Reflexion's meaning of a loop)" in section
    assert "sandbox limit" not in section
    spoken = "repeated loop: student 2 of 4; format: student 1 of 4"
    assert spoken in page.html


def test_nothing_failed(run: RunFolder, report: Report) -> None:
    evaluate(run, {("expert", "unseen"): rates("expert", "unseen", 4, 4)})
    assert "No graded episode failed." in report(run).text


def test_a_summary_of_an_older_version_has_no_causes(run: RunFolder, report: Report) -> None:
    failing(run)
    summary = json.loads(run.summary.read_text())
    for result in summary["results"]:
        for key in ("failures", "interval", "attempts", "tasks", "pass_at_k", "pass_hat_k"):
            del result[key]
        for kind in result["by_kind"].values():
            del kind["ci_low"], kind["ci_high"]
    write_json(run.summary, summary)
    text = report(run).text
    assert "The summary does not say why episodes failed" in text
    assert "Intervals are 95 % Wilson score intervals." in text


def test_contaminated_tasks_are_named(run: RunFolder, report: Report) -> None:
    episodes = {("student", "unseen"): rates("student", "unseen", 2, 4)}
    evaluate(run, episodes, contaminated_tasks={"unseen": 3})
    assert "3 tasks of unseen were in the training rows" in report(run).text
    write_json(run.summary, json.loads(run.summary.read_text()) | {"contaminated_tasks": [3]})
    assert "were in the training rows" not in report(run).text


def test_several_attempts(run: RunFolder, report: Report) -> None:
    attempts = [
        replace(make_episode("student", "unseen", n, success=n > attempt), attempt=attempt)
        for n in range(4)
        for attempt in range(2)
    ]
    evaluate(run, {("student", "unseen"): attempts})
    text = report(run).text
    assert "pass@2, % pass^2, %" in text
    assert "5 of 8 75.0 50.0" in text
    assert "cluster bootstrap over tasks" in text
