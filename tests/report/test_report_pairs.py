"""What a report says of the student against the others, task by task."""

from collections.abc import Callable

from html_page import Page
from sample_runs import evaluate, fill_stages, make_episode, rates
from statsmodels.stats.contingency_tables import mcnemar

from agentkd.evaluate.compare import compare
from agentkd.evaluate.side import read_side
from agentkd.report.quantities import points
from agentkd.run_folder import RunFolder

Report = Callable[[RunFolder], Page]


def evaluated(run: RunFolder) -> None:
    evaluate(
        run,
        {
            ("student", "unseen"): rates("student", "unseen", 26, 40),
            ("untrained", "unseen"): rates("untrained", "unseen", 15, 40),
            ("expert", "unseen"): rates("expert", "unseen", 39, 40),
            ("expert", "seen"): rates("expert", "seen", 39, 40),
        },
    )


def test_the_numbers_are_those_of_compare(run: RunFolder, report: Report) -> None:
    evaluated(run)
    text = report(run).text
    student = read_side(f"{run.path}:student")
    for policy, label in (("untrained", "Untrained student"), ("expert", "Expert")):
        (expected,) = compare(read_side(f"{run.path}:{policy}"), student)
        p = "<0.001" if expected.p_value < 0.001 else f"{expected.p_value:.3f}"
        assert (
            f"{label} unseen 40 {points(expected.effect)} {points(expected.ci_low)} to "
            f"{points(expected.ci_high)} {p} {len(expected.gained)} {len(expected.lost)}"
        ) in text


def test_against_a_reference(run: RunFolder, report: Report) -> None:
    solved = {"student": range(12), "untrained": range(9, 15)}
    evaluate(
        run,
        {
            (policy, "unseen"): [
                make_episode(policy, "unseen", seed, success=seed in wins) for seed in range(20)
            ]
            for policy, wins in solved.items()
        },
    )
    p = mcnemar([[3, 9], [3, 5]], exact=True).pvalue
    text = report(run).text
    assert "Untrained student unseen 20 +30.0" in text
    assert f"{p:.3f} 9 3" in text


def test_other_tasks_are_not_paired(run: RunFolder, report: Report) -> None:
    evaluate(
        run,
        {
            ("student", "unseen"): rates("student", "unseen", 3, 6),
            ("expert", "unseen"): rates("expert", "unseen", 9, 9),
        },
    )
    text = report(run).text
    assert "Not paired:" in text
    assert "tasks" in text[text.index("Not paired:") :]


def test_a_store_that_is_gone(run: RunFolder, report: Report) -> None:
    evaluated(run)
    run.eval_store("expert", "unseen").unlink()
    text = report(run).text
    assert "Not paired:" in text
    assert "Untrained student unseen 40" in text


def test_nothing_to_pair(run: RunFolder, report: Report) -> None:
    fill_stages(run)
    evaluate(run, {("expert", "unseen"): rates("expert", "unseen", 3, 6)})
    assert "There is no trained student beside another policy" in report(run).text
