"""From a run folder to its report."""

from pathlib import Path

from agentkd.report.headline import headline, main_split
from agentkd.report.inputs import read_inputs
from agentkd.report.page import render_page
from agentkd.report.pairs import pair_student
from agentkd.report.pick import pick_trajectories
from agentkd.report.roles import cast
from agentkd.report.setting import describe_setting
from agentkd.run_folder import RunFolder, write_text


def build_report(run: RunFolder) -> Path:
    """Write `report.html` of a run and return its path.

    Of the run only `eval/summary.json` must exist; without it this raises `MissingStageError`.
    The report says what else is missing. The episodes are streamed, so memory use does not grow
    with their number.
    """
    inputs = read_inputs(run)
    results = inputs.results
    split = main_split(results)
    teacher = inputs.setting("collect.policy")
    roles = cast((result.policy for result in results), teacher)
    page = render_page(
        run=run.path.resolve().name,
        folder=run.path,
        inputs=inputs,
        roles=roles,
        split=split,
        headline=headline(results, roles, str(run.path)),
        setting=describe_setting(inputs),
        pairings=pair_student(run, inputs, roles, split),
        picks=pick_trajectories(run, results, roles, split),
    )
    write_text(run.report, page)
    return run.report
