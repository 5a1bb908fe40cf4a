"""What a report says: golden numbers and sentences."""

from collections.abc import Callable

import pytest
from html_page import Page
from sample_runs import evaluate, fill_stages, make_episode, rates

from agentkd.errors import MissingStageError, StorageError
from agentkd.report import build_report
from agentkd.report.quantities import duration, interval, percent, significant, whole
from agentkd.run_folder import RunFolder, write_json
from agentkd.trajectory import Outcome, Step, Trajectory, Usage

Report = Callable[[RunFolder], Page]


def full(run: RunFolder) -> None:
    fill_stages(run)
    evaluate(
        run,
        {
            ("random", "seen"): rates("random", "seen", 1, 50),
            ("random", "unseen"): rates("random", "unseen", 1, 50),
            ("expert", "unseen"): rates("expert", "unseen", 50, 50),
            ("untrained", "unseen"): rates("untrained", "unseen", 0, 50),
            ("student", "seen"): rates("student", "seen", 39, 50),
            ("student", "unseen"): rates("student", "unseen", 142, 200),
        },
        recipe="household-demo",
        env="household",
        preset="small",
    )


def test_headline_and_deck(run: RunFolder, report: Report) -> None:
    full(run)
    text = report(run).text
    assert "The trained student solves 71 % of unseen tasks" in text
    assert "95 % confidence interval 64\u201377 %, from 142 of 200 episodes." in text
    assert (
        "A random agent solves 2 %, the untrained student 0 % and the expert (teacher) 100 %."
    ) in text
    assert "The trained student solves 78 % of seen tasks." in text


def test_the_world_is_named_for_what_it_is(run: RunFolder, report: Report) -> None:
    full(run)
    text = report(run).text
    assert "household (generated games), preset small" in text
    assert text.count("ALFWorld") == 2
    assert "these are not ALFWorld results" in text


def test_results_table(run: RunFolder, report: Report) -> None:
    full(run)
    text = report(run).text
    row = "Trained student unseen 71.0 64.4\u201376.8 142 of 200 3.0 33.3"
    assert text.index("Expert (teacher) unseen 100.0") < text.index(row)
    assert "Random agent unseen 2.0" in text


def test_charts_speak(run: RunFolder, report: Report) -> None:
    full(run)
    page = report(run)
    charts = [tag for tag in page.tags if tag.name == "svg"]
    assert len(charts) == 8
    assert all(chart.attributes["role"] == "img" for chart in charts)
    spoken = page.html.replace("\u202f", " ")
    assert "student on unseen: 71 % (142 of 200, 95 % interval 64\u201377 %)" in spoken
    assert "over 200 steps: training ends at 0.0201, validation ends at 0.0250" in spoken


def test_what_was_run(run: RunFolder, report: Report) -> None:
    full(run)
    text = report(run).text
    for words in (
        "episodes read 3,000",
        "not successful 12",
        "training rows 2,931",
        "changed: masked: invalid action 41",
        "tokens: trained 603,112",
        "expert, 1,000 tasks",
        "tiny, all weights trained",
        "200 steps, 2 epochs, 16 rows a step, peak learning rate 0.001, 3 min",
        "collect.mistakes 0",
    ):
        assert words in text, words


def test_footer_names_a_version_only_if_there_is_one(run: RunFolder, report: Report) -> None:
    full(run)
    for version, words in (("1.2.3", "agentkd 1.2.3 from"), (None, "agentkd from")):
        write_json(run.manifest, {"versions": {"agentkd": version}})
        assert f"Made by {words} the files of the run folder" in report(run).text


def test_student_shows_one_success_and_one_failure(run: RunFolder, report: Report) -> None:
    full(run)
    text = report(run).text
    episodes = text[text.index("Chosen by rule") :]
    assert episodes.count("\u2713 solved") == 2  # the student's and the expert's
    assert episodes.count("\u2717 not solved") == 3
    assert "Episode student-unseen-0," in episodes and "Episode student-unseen-1," in episodes
    assert "invalid: not possible" in episodes


def test_a_store_in_another_order_gives_the_same_page(run: RunFolder) -> None:
    shuffled = RunFolder(run.path.parent / "elsewhere" / run.path.name)
    for folder, step in ((run, 1), (shuffled, -1)):
        evaluate(folder, {("student", "unseen"): rates("student", "unseen", 7, 9)[::step]})
    assert build_report(run).read_text() == build_report(shuffled).read_text().replace(
        "/elsewhere/", "/"
    )


@pytest.mark.parametrize(
    ("solved", "episodes", "title"),
    [
        (0, 30, "The trained student solves none of the 30 unseen tasks"),
        (30, 30, "The trained student solves all of the 30 unseen tasks"),
        (0, 1, "The trained student does not solve the one unseen task that it was given"),
        (1, 1, "The trained student solves the one unseen task that it was given"),
        (199, 200, "The trained student solves 99.5 % of unseen tasks"),
    ],
)
def test_extreme_outcomes(
    run: RunFolder, report: Report, solved: int, episodes: int, title: str
) -> None:
    evaluate(run, {("student", "unseen"): rates("student", "unseen", solved, episodes)})
    assert title in report(run).text


def test_without_a_student(run: RunFolder, report: Report) -> None:
    evaluate(run, {("random", "test"): rates("random", "test", 1, 4)})
    text = report(run).text
    assert "A random agent solves 25 % of test tasks" in text
    assert "No trained student has been evaluated on this split." in text


def test_broken_machines_are_counted_apart(run: RunFolder, report: Report) -> None:
    broken = Outcome(0.0, False, "provider_error", "error", "connection refused")
    crashed = make_episode("student", "unseen", 0, success=False, outcome=broken)
    evaluate(run, {("student", "unseen"): [crashed]})
    text = report(run).text
    assert "No episode could be graded" in text
    assert "It was ended by a broken machine, not by the agent." in text
    assert "connection refused" in text and "not graded" in text


def test_no_results(run: RunFolder, report: Report) -> None:
    evaluate(run, {})
    text = report(run).text
    assert "Nothing has been evaluated yet" in text
    assert f"agentkd eval --run {run.path}" in text


def test_no_summary(run: RunFolder) -> None:
    with pytest.raises(MissingStageError, match=r"agentkd eval --run .*household-demo"):
        build_report(run)
    assert not run.report.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"results": 3}', '{"results": [{"x": 1}]}'])
def test_damaged_summary(run: RunFolder, content: str) -> None:
    run.eval.mkdir(parents=True)
    run.summary.write_text(content)
    with pytest.raises(StorageError, match="agentkd eval --run"):
        build_report(run)


def test_numbers() -> None:
    assert [percent(x).replace("\u202f", " ") for x in (0, 0.004, 0.5, 0.765, 0.999, 1)] == [
        "0 %",
        "0.4 %",
        "50 %",
        "77 %",
        "99.9 %",
        "100 %",
    ]
    assert interval(0.6434, 0.7684) == "64\u201377\u202f%"
    assert [significant(x) for x in (0, 0.03349, 1.5, 1234.5, 1e-9)] == [
        "0",
        "0.0335",
        "1.50",
        "1,234",
        "1.00e-09",
    ]
    assert [duration(x).replace("\u202f", " ") for x in (8, 89, 5400, 9000)] == [
        "8 s",
        "1 min",
        "1 h 30 min",
        "2 h 30 min",
    ]
    assert whole(3000) == "3,000"


def test_errors_and_recoveries_stand_beside_success(run: RunFolder, report: Report) -> None:
    full(run)
    text = report(run).text
    assert "Errors repeated, % Recovered, %" in text
    table = text[text.index("Errors repeated") :]
    row = table[table.index("142 of 200") :][:40]
    assert "0.0 71.0" in row, row
    assert "An episode with an error recovered if it was solved all the same" in text


def test_tokens_and_cost_have_columns_where_there_are_any(run: RunFolder, report: Report) -> None:
    def played(policy: str, cost: float | None) -> list[Trajectory]:
        usage = Usage(900, 1250, 0, cost)
        steps = [Step("Action: look", "A room.", action="look", usage=usage)]
        return [make_episode(policy, "unseen", 0, success=True, steps=steps)]

    evaluate(run, {("student", "unseen"): played("student", None)})
    assert "Cost, USD" not in report(run).text
    priced = RunFolder(run.path.parent / "priced")
    evaluate(
        priced,
        {
            ("student", "unseen"): played("student", None),
            ("teacher", "unseen"): played("teacher", 0.0125),
        },
    )
    text = report(priced).text
    assert "Tokens written Cost, USD" in text
    assert "1 of 1 1.0 1,250 0.0125 0.0" in text
    assert "1 of 1 1.0 1,250 \u2013 0.0" in text


def test_a_reward_that_is_more_than_success_has_a_column(run: RunFolder, report: Report) -> None:
    def played(reward: float) -> list[Trajectory]:
        outcome = Outcome(reward, False, "ok", "max_steps")
        return [make_episode("student", "unseen", 0, success=False, outcome=outcome)]

    evaluate(run, {("student", "unseen"): played(0.0)})
    assert "Mean reward" not in report(run).text
    partial = RunFolder(run.path.parent / "partial")
    evaluate(partial, {("student", "unseen"): played(0.62)})
    text = report(partial).text
    assert "Mean reward" in text
    assert "0 of 1 0.62 3.0" in text
