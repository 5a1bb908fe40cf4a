"""Imports files into the store of a run, from where they are curated and trained like collected
episodes.

The store appears whole or not at all: it is written beside and renamed at the end. Episodes that
share a task are told apart by their attempt, counted in the order in which they come.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agentkd.errors import DamagedFileError, StorageError
from agentkd.formats.base import Damage, Format, refuse_damage
from agentkd.formats.contents import Contents, Observer, counted
from agentkd.run_folder import RunFolder
from agentkd.store import EpisodeStore

DATA_SUFFIXES = {".json", ".jsonl", ".parquet"}
"""Which files of a folder are read."""


@dataclass
class ImportResult:
    """What was imported, and what was left out."""

    contents: Contents = field(default_factory=Contents)
    damaged: list[Damage] = field(default_factory=list)


def import_files(
    files: Sequence[Path],
    source: Format,
    run: RunFolder,
    *,
    skip_damaged: bool = False,
    on_episode: Observer = lambda contents: None,
) -> ImportResult:
    """Read files into a run that has no episodes yet.

    Raises `DamagedFileError` at the first damaged record unless `skip_damaged`, and always if a
    file breaks off or nothing can be read; `StorageError` if the run holds episodes already or a
    file cannot be opened; `RunLockedError` if another process is writing to the run.
    """
    result = ImportResult()
    on_damage = result.damaged.append if skip_damaged else refuse_damage
    attempts: Counter[str] = Counter()
    partial = run.trajectories.with_name(run.trajectories.name + ".partial")
    paths = [file for path in files for file in _files_of(path)]
    is_new = not run.path.exists()
    with EpisodeStore(run.trajectories):
        if run.trajectories.stat().st_size:
            raise StorageError(
                f"'{run.path}' holds episodes already; import into another folder with --run "
                "(several files may be imported at once)"
            )
        try:
            partial.unlink(missing_ok=True)
            with EpisodeStore(partial) as store:
                for path in paths:
                    found = source.read(path, on_damage)
                    for trajectory in counted(found, result.contents, on_episode):
                        attempt = attempts[trajectory.task.id]
                        attempts[trajectory.task.id] += 1
                        store.append(replace(trajectory, attempt=attempt))
            if not result.contents.episodes:
                raise DamagedFileError(_nothing_found(files, source, result))
            run.record_import({"files": [path.name for path in files], "format": source.name})
            partial.replace(run.trajectories)
        except BaseException:
            partial.unlink(missing_ok=True)
            run.trajectories.unlink(missing_ok=True)
            if is_new:
                run.path.rmdir()
            raise
    return result


def _files_of(path: Path) -> list[Path]:
    """Return the file itself, or the data files of a folder and the folders in it, sorted."""
    if not path.exists():
        raise StorageError(f"there is no file or folder '{path}'")
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in DATA_SUFFIXES)


def _nothing_found(files: Sequence[Path], source: Format, result: ImportResult) -> str:
    names = ", ".join(str(path) for path in files)
    if result.damaged:
        return (
            f"none of {len(result.damaged)} records of {names} could be read as {source.name}; "
            f"the first: {result.damaged[0]}"
        )
    return f"{names} holds no episode"
