"""The leaderboard: stored evaluations of runs and studies as tables, one per world and split.

A world is an environment with its options, protocol and step limit; only rows of one table can be
held against each other. A row says from which model and by which method its student was made, and
has the number of the run or study that it comes from, below with command, software and machine. The
command of a single run is told from its settings, as those that differ from its recipe; that of a
study is the one that wrote its results.

A file may hold other text: only what stands between the two markers is replaced.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agentkd.errors import ConfigError, MissingStageError, StorageError
from agentkd.evaluate.provenance import hardware, machine, revision, software
from agentkd.evaluate.standing import Standing, folders_of, is_evaluated, standings
from agentkd.recipe import build_recipe, flat, recipe_values, shipped_recipes
from agentkd.run_folder import RunFolder

BEGIN = "<!-- leaderboard: written by agentkd leaderboard -->"
END = "<!-- end of the leaderboard -->"
TRAINED_BY_NO_RUN = ("expert", "random")
COLUMNS = (
    *("policy", "model", "method", "trained tokens", "success", "95 % CI", "episodes", "seeds"),
    *("reward", "steps", "tokens", "made by"),
)
NOTHING, NONE = "-", "none"
_SEED = re.compile(r"seed-\d+")


@dataclass(frozen=True)
class Entry:
    """A run, or a run of a study, with its rows."""

    source: Path
    """The run or study as it was named."""
    path: Path
    command: str
    rows: tuple[Standing, ...]
    manifest: Mapping[str, Any]
    train: Mapping[str, Any]
    """The section `train` of its recipe."""

    @property
    def name(self) -> str:
        """Run, or study and run."""
        is_run = self.path == self.source
        return self.path.name if is_run else f"{self.source.name}/{self.path.name}"


def read_entries(paths: Sequence[Path]) -> tuple[list[Entry], list[str]]:
    """Read runs and studies; return what has an evaluation, and what is to be said of the others.

    Raises `MissingStageError` if none has one, `StorageError` if what is stored is damaged.
    """
    entries: list[Entry] = []
    remarks: list[str] = []
    for path in paths:
        if not path.is_dir():
            raise MissingStageError(f"there is no folder '{path}' with a run or a study")
        of_study = _study(path)
        for run in _runs_of(path, of_study):
            if not is_evaluated(run):
                remarks.append(f"{run}: not evaluated yet; left out")
                continue
            rows = standings(run.name, run)
            command = of_study["command"] if of_study else _command(run)
            train = RunFolder(folders_of(run)[0]).recipe_values().get("train") or {}
            entries.append(Entry(path, run, command, tuple(rows), machine(run), train))
    if not any(entry.rows for entry in entries):
        raise MissingStageError(
            f"none of {', '.join(map(str, paths))} is evaluated; evaluate a run with: "
            f"agentkd eval --run {paths[0] if paths else 'RUN'}"
        )
    remarks += [caution for entry in entries for row in entry.rows for caution in row.cautions]
    return entries, list(dict.fromkeys(remarks))


def leaderboard(entries: Sequence[Entry], remarks: Sequence[str], command: str) -> str:
    """The section in Markdown, without its markers."""
    return "\n".join(_section(entries, remarks, command))


def with_section(page: str, section: str) -> str:
    """The page with its leaderboard replaced, or added behind everything else.

    Raises `ConfigError` if one of the markers is missing or they are in the wrong order.
    """
    block = f"{BEGIN}\n{section}\n{END}\n"
    if BEGIN not in page and END not in page:
        return f"{page.rstrip()}\n\n{block}".lstrip("\n")
    start, end = page.find(BEGIN), page.find(END)
    if start < 0 or end < start or page.count(BEGIN) > 1 or page.count(END) > 1:
        raise ConfigError(
            f"the page must hold '{BEGIN}' once and '{END}' once behind it; mend it, or take both "
            "out to have the leaderboard added at the end"
        )
    return page[:start] + block + page[end + len(END) :].removeprefix("\n")


def _study(path: Path) -> dict[str, Any]:
    """The command of a study and its runs that are evaluated; empty for a run."""
    results = path / "results.json"
    if not results.is_file():
        return {}
    try:
        found = json.loads(results.read_text(encoding="utf-8"))
        played = [
            name
            for name, run in found["study"]["runs"].items()
            if "eval" in run.get("stages", ["eval"])
        ]
        return {"command": str(found["command"]), "runs": played}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{results} is damaged ({type(error).__name__}: {error}); write it again with the "
            "study's command"
        ) from error


def _runs_of(path: Path, study: Mapping[str, Any]) -> list[Path]:
    return [path / name for name in study["runs"]] if study else [path]


def _command(path: Path) -> str:
    """What makes the run: its recipe, and the settings that differ from it."""
    run = RunFolder(folders_of(path)[0])
    values, stages = run.recipe_values(), run.recorded()
    name = str(values.get("name", ""))
    if name not in shipped_recipes():
        return f"agentkd eval --run {shlex.quote(str(path))} (recipe '{name}', not a shipped one)"
    own = flat(build_recipe(recipe_values(name), {}).model_dump(mode="json"))
    held = flat({key: value for stage in stages.values() for key, value in stage.items()})
    ignored = ("collect.concurrency", "eval.concurrency")
    changes = [
        part
        for key, value in held.items()
        if key not in ignored and key in {**own, **held} and own.get(key) != value
        for part in (f"--{key}", _on_command_line(value))
    ]
    stage = "demo" if {"collect", "curate", "train", "eval"} <= stages.keys() else "eval"
    return shlex.join(["agentkd", stage, "--run", str(path), "--recipe", name, *changes])


def _on_command_line(value: Any) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return str(dumped.removesuffix("\n").removesuffix("\n...").strip())


def _section(entries: Sequence[Entry], remarks: Sequence[str], command: str) -> Iterator[str]:
    yield "## Leaderboard"
    yield ""
    yield f"    {command}"
    yield ""
    sources = list(dict.fromkeys(entry.source for entry in entries))
    numbers = {source: number for number, source in enumerate(sources, start=1)}
    tables: dict[tuple[str, str], list[tuple[Entry, Standing]]] = {}
    for entry in entries:
        for row in entry.rows:
            tables.setdefault((_world(row.about), row.result.split), []).append((entry, row))
    for (world, split), rows in sorted(tables.items()):
        yield f"### {world}, {split}"
        yield ""
        yield f"| {' | '.join(COLUMNS)} |"
        yield "|---" * len(COLUMNS) + "|"
        rows.sort(key=lambda one: (-one[1].result.success_rate, one[0].name, one[1].result.policy))
        yield from _rows(rows, numbers)
        yield ""
    yield (
        "Model: what the training began from. Trained tokens: with loss, counted each time. Seeds: "
        "how many, and the range of their success rates. Tokens: written per episode. Intervals "
        "are Wilson's, or the cluster bootstrap over tasks where a task was played several times."
    )
    yield ""
    yield from _sources(entries, numbers)
    if remarks:
        yield ""
        yield from (f"- {remark}" for remark in remarks)


def _sources(entries: Sequence[Entry], numbers: Mapping[Path, int]) -> Iterator[str]:
    """What made the rows of each number; software and machine once, if all had the same."""
    stands_on = {entry.path: _stands_on(entry) for entry in entries}
    is_same = len(set(stands_on.values())) == 1
    for source, number in numbers.items():
        own = [entry for entry in entries if entry.source == source]
        yield f"{number}. `{own[0].command}`  "
        revisions = _each(revision(entry.manifest) for entry in own)
        facts = [*_played(own), f"revision{'s' * (len(revisions) > 1)} {', '.join(revisions)}"]
        if not is_same:
            facts += _each(stands_on[entry.path] for entry in own)
        yield f"   {'; '.join(facts)}"
    if is_same:
        yield ""
        yield f"All of them: {next(iter(stands_on.values()))}."


def _stands_on(entry: Entry) -> str:
    return f"{software(entry.manifest)}; {hardware(entry.manifest)}"


def _played(entries: Sequence[Entry]) -> list[str]:
    """Environments with the versions of what decides an episode."""
    return _each(
        f"{row.about.get('env', 'unknown world')}: "
        + (
            ", ".join(f"{name} {version or NONE}" for name, version in versions.items())
            if (versions := row.about.get("versions"))
            else "versions not recorded"
        )
        for entry in entries
        for row in entry.rows
    )


def _each(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _rows(rows: Sequence[tuple[Entry, Standing]], numbers: Mapping[Path, int]) -> Iterator[str]:
    """One line per row; what no run trains stands once, if it did the same in several runs."""
    lines: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for entry, row in rows:
        policy, label = row.result.policy, f"{entry.name}: {row.result.policy}"
        key = (policy if policy in TRAINED_BY_NO_RUN else label, *_made(entry, row), *_cells(row))
        lines.setdefault(key, []).append((label, numbers[entry.source]))
    for key, same in lines.items():
        label = key[0] if len(same) > 1 else same[0][0]
        sources = ", ".join(str(number) for number in sorted({number for _, number in same}))
        yield f"| {' | '.join([label, *key[1:], sources])} |"


def _made(entry: Entry, row: Standing) -> tuple[str, str, str]:
    """Model, method and trained tokens."""
    who = row.result.policy.partition("+")[0]
    model = _model(entry) if who in ("student", "untrained") else NOTHING
    if who != "student":
        return model, NOTHING, NOTHING
    method = str(entry.train.get("method") or NOTHING) + (
        ", LoRA" if entry.train.get("lora") else ""
    )
    tokens = row.trained_tokens
    return model, method, NOTHING if tokens is None else f"{tokens:,.0f}"


def _model(entry: Entry) -> str:
    """What the student was before its training.

    A path is told from where the runs are, also if they have been moved; of several seeds it is the
    student of the same one.
    """
    student = str(entry.train.get("student") or NOTHING)
    if not Path(student).is_absolute():
        return student
    parts = [part for part in Path(student).parts if not _SEED.fullmatch(part)]
    beside = entry.source.absolute().parent
    if Path(student).is_relative_to(beside):
        parts = parts[len(beside.parts) :]
    elif entry.source.name in parts:
        parts = parts[parts.index(entry.source.name) :]
    else:
        parts = parts[-2:]
    return "/".join(parts)


def _cells(row: Standing) -> tuple[str, ...]:
    result = row.result
    low, high = min(row.seed_rates), max(row.seed_rates)
    has_range = len(row.seeds) > 1
    return (
        f"{100 * result.success_rate:.1f} %" if result.episodes else "-",
        f"{100 * result.ci_low:.1f}-{100 * result.ci_high:.1f} %",
        f"{result.episodes:,}",
        f"{len(row.seeds)} ({100 * low:.1f}-{100 * high:.1f} %)" if has_range else "1",
        f"{result.mean_reward:.3f}",
        f"{result.mean_steps:.1f}",
        f"{result.mean_completion_tokens:,.0f}",
    )


def _world(about: Mapping[str, Any]) -> str:
    options = [f"{key} {value}" for key, value in (about.get("options") or {}).items()]
    protocol = (about.get("protocol") or {}).get("name")
    facts = [*options, f"protocol {protocol}" if protocol else ""]
    if about.get("max_steps"):
        facts.append(f"{about['max_steps']} steps")
    return ", ".join([str(about.get("env", "unknown world")), *(fact for fact in facts if fact)])
