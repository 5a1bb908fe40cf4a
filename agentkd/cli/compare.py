"""`agentkd compare RUN RUN ...`: policies side by side on the same tasks."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from agentkd.errors import PairingError

if TYPE_CHECKING:
    from agentkd.evaluate.compare import Comparison, Score

SHOWN_TASKS = 5
"""Tasks gained and lost that are named on the terminal; the JSON has all."""


def compare(
    *runs: Annotated[
        str,
        Parameter(help="RUN or RUN:POLICY, the first is what the others are compared with."),
    ],
    split: Annotated[str | None, Parameter(help="Split to compare on; all that both have.")] = None,
    despite: Annotated[
        str,
        Parameter(help="Conditions that may differ, separated by commas: max_steps,tasks."),
    ] = "",
    json: Annotated[Path | None, Parameter(help="Also write the result to this file.")] = None,
) -> None:
    """Compare evaluated policies, task by task: effect, interval, p-value, tasks gained and lost.

    A side is a run folder and a policy, RUN:POLICY; without a policy it is the student. Two
    policies of one run are RUN:untrained RUN:student. What was not played under the same conditions
    is refused, with what differs.
    """
    from agentkd.evaluate.compare import compare as compare_sides
    from agentkd.evaluate.side import read_side
    from agentkd.run_folder import write_json

    if len(runs) < 2:
        raise PairingError(
            "name at least two sides, as in: agentkd compare runs/demo:untrained runs/demo:student"
        )
    first, *others = [read_side(name) for name in runs]
    allowed = [name.strip() for name in despite.split(",") if name.strip()]
    compared = [
        result for other in others for result in compare_sides(first, other, split, allowed)
    ]
    results = _without_common_folder(compared)
    console = Console(soft_wrap=True)
    for name in dict.fromkeys(result.split for result in results):
        _show(console, name, [result for result in results if result.split == name])
    if json is not None:
        write_json(json, {"comparisons": [asdict(result) for result in compared]})
        console.print(f"  kept in {json}", highlight=False)


def _without_common_folder(results: "list[Comparison]") -> "list[Comparison]":
    """Name the sides without the folders that all their runs stand in, so that a line is short."""
    runs = [
        Path(score.side.rpartition(":")[0]).parent
        for result in results
        for score in (result.first, result.second)
    ]
    if len(set(runs)) != 1:
        return results

    def short(score: "Score") -> "Score":
        run, _, policy = score.side.rpartition(":")
        return replace(score, side=f"{Path(run).name}:{policy}")

    return [
        replace(result, first=short(result.first), second=short(result.second))
        for result in results
    ]


def _show(console: Console, split: str, results: "Sequence[Comparison]") -> None:
    from agentkd.cli.results import show_table

    scores = [results[0].first, *(result.second for result in results)]
    columns: list[tuple[str, Callable[[Score], str]]] = [
        ("steps/success", lambda score: _price(score.steps_per_success, "{:,.1f}"))
    ]
    if any(score.tokens_per_success for score in scores):
        columns.append(
            ("tokens/success", lambda score: _price(score.tokens_per_success, "{:,.0f}"))
        )
    columns.append(("cost/success", lambda score: _price(score.cost_per_success_usd, "${:,.4f}")))
    if any(score.error_repeat_rate is not None for score in scores):
        columns.append(("repeats", lambda score: _price(score.error_repeat_rate, "{:.1%}")))
        columns.append(("recovery", lambda score: _price(score.recovery_rate, "{:.1%}")))
    counts = sorted({result.tasks for result in results})
    noun = "task" if counts == [1] else "tasks"
    title = f"{split}, {' and '.join(f'{count:,}' for count in counts)} {noun} paired"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    longest = max(len(score.side) for score in scores)
    table.add_column("side", overflow="fold", min_width=min(longest, 32))
    for name in ("success", "effect", "95 % CI", "p", "gained", "lost", *dict(columns)):
        table.add_column(name, justify="right", no_wrap=True)
    effects = [("",) * 5, *map(_effect, results)]
    for score, effect in zip(scores, effects, strict=True):
        prices = (write(score) for _, write in columns)
        table.add_row(score.side, f"{score.success_rate:.1%}", *effect, *prices)
    show_table(console, table)
    for result in results:
        for line in _lines(result):
            console.print(f"  {line}", highlight=False)
    if len(results) > 1:
        console.print(
            f"  each p is of one comparison; they are not corrected for being {len(results)}",
            highlight=False,
        )
    console.print()


def _effect(result: "Comparison") -> tuple[str, ...]:
    return (
        f"{100 * result.effect:+.1f}",
        f"{100 * result.ci_low:+.1f} to {100 * result.ci_high:+.1f}",
        "<0.001" if result.p_value < 0.001 else f"{result.p_value:.3f}",
        f"{len(result.gained):,}",
        f"{len(result.lost):,}",
    )


def _lines(result: "Comparison") -> list[str]:
    """What the row of a comparison means, and what to know of it."""
    first, second = result.first.side, result.second.side
    points = (
        f"{abs(100 * result.effect):.1f} points {'more' if result.effect > 0 else 'fewer'} than"
    )
    solves = f"{second} solves {points if result.effect else 'as much as'} {first}"
    lines = [f"{solves} (p: {result.test})"]
    if result.ci_low <= 0 <= result.ci_high:
        tasks = "1 task does" if result.tasks == 1 else f"{result.tasks:,} tasks do"
        lines.append(f"the interval holds 0: {tasks} not tell the two apart")
    for what, ids in (("gained", result.gained), ("lost", result.lost)):
        if ids:
            rest = f" and {len(ids) - SHOWN_TASKS:,} more" * (len(ids) > SHOWN_TASKS)
            lines.append(f"{what}: {', '.join(ids[:SHOWN_TASKS])}{rest}")
    if result.ungraded:
        lines.append(
            f"{result.ungraded:,} tasks are left out: a broken machine ended their episodes"
        )
    lines += [f"despite {one.name}: {one.first} against {one.second}" for one in result.despite]
    return [*lines, *result.cautions]


def _price(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
