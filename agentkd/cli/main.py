"""The commands."""

import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated, Literal

from agentkd_envs import EnvError
from agentkd_sandbox.cli import app as sandbox_app
from cyclopts import App, Parameter
from rich.table import Table

from agentkd import __version__
from agentkd.cli.cascade import cascade
from agentkd.cli.compare import compare
from agentkd.cli.envs import app as envs_app
from agentkd.cli.formats import add_format_commands
from agentkd.cli.goals import goals
from agentkd.cli.groups import arrange
from agentkd.cli.index import app as index_app
from agentkd.cli.judge import add_judge_command
from agentkd.cli.leaderboard import leaderboard
from agentkd.cli.overrides import split_overrides
from agentkd.cli.play import play
from agentkd.cli.questions import app as questions_app
from agentkd.cli.rows import add_rows_command
from agentkd.cli.serve import add_serving_commands
from agentkd.cli.stages import (
    STOPPED_BY_CTRL_C,
    collect_run,
    curate_run,
    eval_run,
    report_run,
    train_run,
)
from agentkd.cli.study import add_study_command
from agentkd.cli.terminal import SaidOnce, console, errors, heading, name_next
from agentkd.cli.view import add_view_command
from agentkd.errors import AgentkdError, ConfigError
from agentkd.recipe import Recipe, build_recipe, recipe_values, setting_help, shipped_recipes
from agentkd.run_folder import RunFolder

DEFAULT_RECIPE = "household_small"

app = App(
    name="agentkd",
    version=__version__,
    help="Turn a strong LLM agent into a small one: collect, curate, train, measure.",
    help_epilogue=(
        "Any setting of a recipe is overridden by its dotted name: --train.epochs 3. "
        "'agentkd recipes' lists the recipes and all settings."
    ),
)

app.command(sandbox_app, name="sandbox")
app.command(envs_app, name="envs")
app.command(index_app, name="index")
app.command(questions_app, name="questions")
app.command(play)
app.command(compare)
app.command(cascade)
app.command(goals)
app.command(leaderboard)

RunOption = Annotated[
    Path | None,
    Parameter(help="Run folder, made if it is not there; runs/RECIPE if a recipe is named."),
]
RecipeOption = Annotated[
    str | None,
    Parameter(
        help="Recipe by name or YAML file; the run folder's own if it has one, "
        f"else {DEFAULT_RECIPE}."
    ),
]

EngineOption = Annotated[
    Literal["local", "ray"],
    Parameter(
        help="Where episodes are played: in this process, or on the Ray cluster that RAY_ADDRESS "
        "names (without it, one on this machine)."
    ),
]
WorkersOption = Annotated[
    int | None, Parameter(help="Worker processes of the cluster; one per processor if not set.")
]

_overrides: dict[str, str] = {}


@app.command
def demo(recipe: RecipeOption = None, *, run: RunOption = None) -> None:
    """Distil a small agent from an expert, and measure it: the whole loop, minutes on a laptop.

    No key, no GPU and no Docker are needed. A demo that was interrupted goes on where it stopped.
    """
    started = time.monotonic()
    run = _folder(run or (None if recipe else Path("runs/demo")), recipe)
    resolved = _recipe(recipe, run)
    console.print(f"[bold]agentkd demo[/bold]: {resolved.description}\n")
    collect_run(run, resolved)
    curate_run(run, resolved)
    train_run(run, resolved)
    eval_run(run, resolved)
    path = report_run(run)
    minutes = (time.monotonic() - started) / 60
    console.print(f"\nDone in {minutes:.1f} minutes. Open {path} in a browser.")
    if resolved.name == DEFAULT_RECIPE:
        longer = "agentkd demo --run runs/longer --collect.episodes 60000"
        name_next(longer, "train longer for more")


@app.command
def collect(
    recipe: RecipeOption = None,
    *,
    run: RunOption = None,
    dry_run: Annotated[
        bool, Parameter(help="Say what would be done and what it may cost, and call nobody.")
    ] = False,
    cache: Annotated[
        bool, Parameter(help="Take answers that an earlier run got to the same questions.")
    ] = True,
    engine: EngineOption = "local",
    workers: WorkersOption = None,
) -> None:
    """Let the teacher play, and keep every episode.

    Ctrl-C lets the episodes under way finish; a second one stops at once.
    """
    run = _folder(run, recipe)
    resolved = _recipe(recipe, run)
    if not cache and resolved.teacher is not None:
        teacher = resolved.teacher.model_copy(update={"cache": False})
        resolved = resolved.model_copy(update={"teacher": teacher})
    if dry_run:
        from agentkd.cli.preview import show_dry_run

        show_dry_run(console, RunFolder(run), resolved)
        return
    collect_run(run, resolved, engine, workers)
    name_next(f"agentkd curate --run {run}")


@app.command
def curate(
    recipe: RecipeOption = None,
    *,
    run: RunOption = None,
    dry_run: Annotated[
        bool, Parameter(help="Say what each filter would drop, with examples, and write nothing.")
    ] = False,
) -> None:
    """Turn episodes into training rows, and say how many fell to each filter."""
    run = _folder(run, recipe)
    resolved = _recipe(recipe, run)
    if dry_run:
        from agentkd.cli.curation import show_curation_preview

        heading("Curate", "what would become training rows")
        show_curation_preview(console, RunFolder(run), resolved)
        return
    curate_run(run, resolved)
    name_next(f"agentkd train --run {run}")


@app.command
def train(recipe: RecipeOption = None, *, run: RunOption = None) -> None:
    """Train the student on the rows; goes on from the last checkpoint if there is one."""
    run = _folder(run, recipe)
    train_run(run, _recipe(recipe, run))
    name_next(f"agentkd eval --run {run}")


@app.command(name="eval")
def evaluate(
    recipe: RecipeOption = None,
    *,
    run: RunOption = None,
    engine: EngineOption = "local",
    workers: WorkersOption = None,
) -> None:
    """Compare policies on held-out tasks, with 95 % intervals."""
    run = _folder(run, recipe)
    eval_run(run, _recipe(recipe, run), engine, workers)
    name_next(f"agentkd report --run {run}")


@app.command
def report(*, run: Annotated[Path, Parameter(help="Run folder with an evaluation.")]) -> None:
    """Write report.html: results, training curve, and episodes to read."""
    console.print(f"Open {report_run(RunFolder(run).path)} in a browser.")


@app.command
def recipes() -> None:
    """List the recipes that ship, and every setting with its default."""
    for name, path in shipped_recipes().items():
        console.print(f"[bold]{name}[/bold]  {recipe_values(str(path)).get('description', '')}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("setting", "default", "meaning"):
        table.add_column(column, overflow="fold")
    for row in setting_help():
        table.add_row(*row)
    console.print()
    console.print(table)


@app.command
def doctor() -> None:
    """Say what this machine can do, and how to get what is missing."""
    from agentkd.cli.doctor import examine_machine

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for finding in examine_machine():
        mark = "[green]yes[/green]" if finding.is_there else "[yellow]no[/yellow]"
        detail = finding.detail
        if not finding.is_there:
            detail = "; ".join(part for part in (finding.detail, finding.remedy) if part)
        table.add_row(mark, finding.name, detail)
    console.print(table)
    name_next("agentkd demo")


add_serving_commands(app, console)
add_format_commands(app, console, lambda run: _recipe(None, run))
add_rows_command(app, console)
add_view_command(app, console)
add_judge_command(app, console, lambda run: _recipe(None, run))


def main(arguments: list[str] | None = None) -> None:
    """Entry point: a user's mistake prints its message and exits with 2, Ctrl-C with 130."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(SaidOnce())
    _quiet_libraries()
    try:
        rest, overrides = split_overrides(sys.argv[1:] if arguments is None else arguments)
        _overrides.clear()
        _overrides.update(overrides)
        app(rest)
    except* (AgentkdError, EnvError) as group:
        errors.print("[red]error:[/red]", end=" ")
        errors.print(str(_first(group)), highlight=False, markup=False)
        sys.exit(2)
    except* KeyboardInterrupt:
        console.print("\nstopped; run the same command again to go on")
        sys.exit(STOPPED_BY_CTRL_C)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The innermost first exception: what went wrong before everything else was cancelled."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _folder(run: Path | None, recipe: str | None) -> Path:
    """Where a command works: the run that is named, else the one that a recipe gives its name."""
    if run is not None:
        return run
    if recipe is None:
        raise ConfigError(
            "name a recipe, as in: agentkd collect household, or a run: agentkd collect --run DIR"
        )
    return Path("runs") / Path(recipe).stem


def _recipe(name: str | None, run: Path) -> Recipe:
    recorded = RunFolder(run).recipe_values()
    values = recipe_values(name or DEFAULT_RECIPE) if name or not recorded else recorded
    return build_recipe(values, _overrides)


def _quiet_libraries() -> None:
    """Keep libraries' progress bars and advice for developers off the user's screen."""
    import os

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DATASETS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", module=r"(torch|transformers|trl|accelerate)(\..*)?")


add_study_command(
    app,
    console,
    {"collect": collect_run, "curate": curate_run, "train": train_run, "eval": eval_run},
    _overrides,
)
arrange(app)
