"""The results of a study: one table over all runs, and the comparisons that its file asks for.

They are computed from the stored evaluations, so that they can be written at any time: runs without
an evaluation yet are named instead. `RESULTS.md` is for readers, `results.json` for programs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agentkd.errors import PairingError, StorageError
from agentkd.evaluate.compare import Comparison, compare
from agentkd.evaluate.provenance import hardware, machine, revision, software
from agentkd.evaluate.side import read_side
from agentkd.evaluate.standing import Standing, is_evaluated, standings
from agentkd.evaluate.summary import Share
from agentkd.run_folder import write_json, write_text
from agentkd.study import Study

INTERVALS = (
    "Intervals are 95 %. With several episodes of a task, of several seeds or attempts, tasks are "
    "drawn whole (cluster bootstrap): the interval is about tasks, for the seeds that were run; "
    "the range beside it is that of the seeds' own success rates."
)


@dataclass
class StudyResults:
    """What is known so far."""

    standings: list[Standing] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    """What is missing or must be known."""


def study_results(study: Study, folder: Path) -> StudyResults:
    """Read the evaluations of all runs; what cannot be read yet is named in `cautions`."""
    results = StudyResults()
    missing = set()
    for name in study.runs:
        if not is_evaluated(folder / name):
            missing.add(name)
            if "eval" in study.runs[name].stages:
                results.cautions.append(f"{name}: not evaluated yet")
            continue
        rows = standings(name, folder / name)
        results.standings += rows
        results.cautions += [caution for row in rows for caution in row.cautions]
    for first, second in study.compare:
        if {side.partition(":")[0] for side in (first, second)} & missing:
            results.cautions.append(f"{first} against {second}: not evaluated yet")
            continue
        try:
            results.comparisons += compare(
                read_side(str(folder / first)),
                read_side(str(folder / second)),
                despite=study.despite,
            )
        except (PairingError, StorageError) as error:
            results.cautions.append(f"{first} against {second}: {error}")
    results.cautions = list(dict.fromkeys(results.cautions))
    return results


def write_study_results(
    study: Study, folder: Path, results: StudyResults, command: str
) -> tuple[Path, Path]:
    """Write `RESULTS.md` and `results.json`; return their paths."""
    page, data = folder / "RESULTS.md", folder / "results.json"
    manifest = next((found for name in study.runs if (found := machine(folder / name))), {})
    write_text(page, "\n".join(_page(study, folder, results, command)) + "\n")
    write_json(
        data,
        {
            "study": study.model_dump(mode="json"),
            "command": command,
            "manifest": manifest,
            "standings": [asdict(row) for row in results.standings],
            "comparisons": [asdict(one) for one in results.comparisons],
            "cautions": results.cautions,
        },
    )
    return page, data


def seed_range(row: Standing) -> str:
    """Number of seeds, and the range of their success rates."""
    if len(row.seeds) < 2:
        return ", ".join(map(str, row.seeds)) or "-"
    low, high = min(row.seed_rates), max(row.seed_rates)
    return f"{len(row.seeds)}: {100 * low:.1f}-{100 * high:.1f} %"


def short_side(name: str, folder: Path) -> str:
    """A side as the study file names it."""
    return name.removeprefix(f"{folder}/")


def p_value(value: float) -> str:
    """Rounded to what a reader can use."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _page(study: Study, folder: Path, results: StudyResults, command: str) -> Iterator[str]:
    yield f"# {study.name}"
    yield ""
    if study.description:
        yield study.description
        yield ""
    yield f"    {command}"
    yield ""
    yield (
        "| run | policy | split | episodes | success | 95 % CI | seeds | reward | steps "
        "| errors repeated | recovered | trained tokens |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    yield from map(_row, results.standings)
    yield ""
    yield INTERVALS
    if results.comparisons:
        yield ""
        yield "## Comparisons"
        yield ""
        yield "| second | against first | split | tasks | points | 95 % CI | p | gained | lost |"
        yield "|---|---|---|---|---|---|---|---|---|"
        for one in results.comparisons:
            yield _comparison(one, folder)
        yield ""
        yield _tests(results.comparisons)
        yield from _despite(results.comparisons, folder)
    if results.cautions:
        yield ""
        yield from (f"- {caution}" for caution in results.cautions)
    yield ""
    yield "## Made with"
    yield ""
    for facts in dict.fromkeys(_made_with(study, folder)):
        yield f"- {facts}"


def _row(row: Standing) -> str:
    result = row.result
    tokens = "-" if row.trained_tokens is None else f"{row.trained_tokens:,.0f}"
    cells = [
        row.run,
        result.policy,
        result.split,
        f"{result.episodes:,}",
        f"{100 * result.success_rate:.1f} %" if result.episodes else "-",
        f"{100 * result.ci_low:.1f}-{100 * result.ci_high:.1f} %",
        seed_range(row),
        f"{result.mean_reward:.3f}",
        f"{result.mean_steps:.1f}",
        _share(result.error_repeats),
        _share(result.recoveries),
        tokens,
    ]
    return f"| {' | '.join(cells)} |"


def _share(share: Share | None) -> str:
    """A rate with its interval."""
    if share is None:
        return "-"
    low, high = 100 * share.ci_low, 100 * share.ci_high
    return f"{100 * share.rate:.1f} % ({low:.1f}-{high:.1f})"


def _comparison(one: Comparison, folder: Path) -> str:
    cells = [
        short_side(one.second.side, folder),
        short_side(one.first.side, folder),
        one.split,
        f"{one.tasks:,}",
        f"{100 * one.effect:+.1f}",
        f"{100 * one.ci_low:+.1f} to {100 * one.ci_high:+.1f}",
        p_value(one.p_value),
        f"{len(one.gained):,}",
        f"{len(one.lost):,}",
    ]
    return f"| {' | '.join(cells)} |"


def _tests(comparisons: Sequence[Comparison]) -> str:
    tests = " or ".join(dict.fromkeys(one.test for one in comparisons))
    count = len(comparisons)
    many = f"; each p is of one comparison, not corrected for being {count}" if count > 1 else ""
    return f"p: {tests}{many}. Paired by task, and by seed where both sides have the same seeds."


def _despite(comparisons: Sequence[Comparison], folder: Path) -> Iterator[str]:
    """What differed between the sides besides the policies."""
    lines = {
        f"- {short_side(one.second.side, folder)} against {short_side(one.first.side, folder)}, "
        f"despite {condition.name}: {condition.second} against {condition.first}": None
        for one in comparisons
        for condition in one.despite
    }
    if lines:
        yield ""
        yield from lines


def _made_with(study: Study, folder: Path) -> Iterator[str]:
    manifests = [found for name in study.runs if (found := machine(folder / name))]
    for found in manifests:
        yield f"machine: {hardware(found)}"
    for found in manifests:
        yield f"software: {software(found)}, revision {revision(found)}"
    yield f"recipe: {study.recipe}"
