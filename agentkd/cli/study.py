"""`agentkd study FILE --run DIR`: several runs from one file, their table and comparisons."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from agentkd.errors import ConfigError
from agentkd.recipe import Recipe
from agentkd.run_folder import RunFolder
from agentkd.study import PlannedRun, Stage, Study, chosen, plan, read_study

if TYPE_CHECKING:
    from agentkd.study_results import StudyResults

Do = Callable[[Path, Recipe], None]
"""Does one stage of a run, and shows how far it is."""


def add_study_command(
    app: App, console: Console, stages: Mapping[Stage, Do], overrides: Mapping[str, str]
) -> None:
    """Add the command; `stages` does the single stages, `overrides` are those of the call."""

    @app.command
    def study(
        file: Annotated[Path, Parameter(help="Study file.")],
        *,
        run: Annotated[Path, Parameter(help="Folder of the study; each run is a folder in it.")],
        only: Annotated[
            list[str] | None,
            Parameter(help="Runs to do, with those that they refer to; all if not given."),
        ] = None,
        dry_run: Annotated[bool, Parameter(help="Say what would be done, and do nothing.")] = False,
    ) -> None:
        """Make several runs from one file, and compare them in one table.

        What is finished is skipped, so that a study that was interrupted goes on with the same
        command. docs/studies.md has the format.
        """
        found = read_study(file)
        runs = chosen(found, plan(found, run, overrides), only or [])
        if dry_run:
            _show_plan(console, found, runs)
            return
        for number, one in enumerate(runs, start=1):
            console.print(
                f"[bold]Run {one.title}[/bold]  {number} of {len(runs)}, in {one.folder}",
                highlight=False,
            )
            _make(console, one, stages)
            console.print()
        _finish(console, found, run, _command(file, run, overrides))


def _make(console: Console, one: PlannedRun, stages: Mapping[Stage, Do]) -> None:
    from agentkd.finished import is_finished

    for stage in one.stages:
        if is_finished(stage, RunFolder(one.folder), one.recipe):
            console.print(f"  {stage}: finished already", highlight=False)
        else:
            stages[stage](one.folder, one.recipe)


def _finish(console: Console, study: Study, folder: Path, command: str) -> None:
    from agentkd.study_results import study_results, write_study_results

    results = study_results(study, folder)
    if not results.standings and any("eval" in one.stages for one in study.runs.values()):
        console.print(f"nothing is evaluated yet; the whole study: {command}", highlight=False)
        return
    if not results.standings:
        raise ConfigError(
            f"no run of '{study.name}' is evaluated; add the stage eval to one of its runs"
        )
    _show(console, study, folder, results)
    page, data = write_study_results(study, folder, results, command)
    console.print(f"  kept in {page} and {data}", highlight=False)


def _show_plan(console: Console, study: Study, runs: Sequence[PlannedRun]) -> None:
    from agentkd.finished import is_finished

    console.print(f"[bold]{study.name}[/bold]  {study.description}", highlight=False)
    for one in runs:
        console.print(f"[bold]{one.title}[/bold]  {one.folder}", highlight=False)
        for key, value in one.changes.items():
            console.print(f"  {key} = {value!r}", highlight=False, markup=False)
        for stage in one.stages:
            is_done = is_finished(stage, RunFolder(one.folder), one.recipe)
            console.print(f"  {stage}: {'finished' if is_done else 'to do'}", highlight=False)


def _show(console: Console, study: Study, folder: Path, results: "StudyResults") -> None:
    from agentkd.cli.results import show_table
    from agentkd.study_results import p_value, seed_range, short_side

    table = Table(title=study.name, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("run", "policy", "split"):
        table.add_column(name, no_wrap=True)
    for name in ("episodes", "success", "95 % CI", "seeds", "reward", "steps", "trained tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in results.standings:
        result, tokens = row.result, row.trained_tokens
        table.add_row(
            row.run,
            result.policy,
            result.split,
            f"{result.episodes:,}",
            f"{result.success_rate:.1%}" if result.episodes else "-",
            f"{100 * result.ci_low:.1f}-{100 * result.ci_high:.1f} %",
            seed_range(row),
            f"{result.mean_reward:.3f}",
            f"{result.mean_steps:.1f}",
            "-" if tokens is None else f"{tokens:,.0f}",
        )
    show_table(console, table)
    for one in results.comparisons:
        sides = (short_side(side.side, folder) for side in (one.second, one.first))
        console.print(
            f"  {' against '.join(sides)} on {one.split}: {100 * one.effect:+.1f} points "
            f"({100 * one.ci_low:+.1f} to {100 * one.ci_high:+.1f}), p {p_value(one.p_value)}, "
            f"{one.tasks:,} tasks",
            highlight=False,
        )
    for caution in results.cautions:
        console.print(f"  {caution}", highlight=False, markup=False)


def _command(file: Path, run: Path, overrides: Mapping[str, str]) -> str:
    changed = [part for key, value in overrides.items() for part in (f"--{key}", value)]
    return shlex.join(["agentkd", "study", str(file), "--run", str(run), *changed])
