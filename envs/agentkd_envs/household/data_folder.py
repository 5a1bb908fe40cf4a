"""A user's folder of ALFWorld games, as `alfworld-download` leaves it.

`FOLDER/json_2.1.*/{train,valid_seen,valid_unseen,valid_train}/.../game.tw-pddl`, or the split
folders directly in `FOLDER`. As in ALFWorld, a game counts if its `traj_data.json` is of one of the
six kinds, its path does not speak of movable receptacles or sliced objects, and its file says that
it is solvable.

Games are ordered by path. ALFWorld itself takes them in the order in which the file system lists
them, which differs between machines, and TextWorld then shuffles them; so no order is the usual
one, and only the whole of a split can be compared (134 unseen games, 140 seen, 3,321 for training).
"""

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from agentkd_envs.base import Task
from agentkd_envs.errors import EnvError, TaskDataError
from agentkd_envs.household.dialect import Dialect
from agentkd_envs.household.pddl import read_game

SPLIT_FOLDERS = {
    "train": "train",
    "seen": "valid_seen",
    "unseen": "valid_unseen",
    "valid_train": "valid_train",
}
_LEFT_OUT = ("movable", "Sliced")
_SOLVABLE = re.compile(rb'"solvable":\s*(true|false)')
_TAIL_BYTES = 16_384
_HOW_TO_GET = "fetch them with `alfworld-download --data-dir FOLDER`"


def data_root(data: str | Path) -> Path:
    """Return the folder that the option `data` names; raises `EnvError` or `TaskDataError`.

    `~` and variables such as `$ALFWORLD_DATA` are expanded.
    """
    text = os.path.expandvars(str(data))
    if "$" in text:
        raise EnvError(
            f"household: data={str(data)!r} names an environment variable that is not set; "
            "set it to the folder with ALFWorld's games"
        )
    root = Path(text).expanduser()
    if zipfile.is_zipfile(root):
        raise TaskDataError(f"{root} is a zip archive: unpack it, and give the folder instead")
    if root.suffix == ".zip" and root.is_file():
        raise TaskDataError(f"{root} is a damaged zip archive: fetch it again")
    if not root.is_dir():
        raise TaskDataError(f"there is no folder {root} with ALFWorld games: {_HOW_TO_GET}")
    return root


class DataFolder:
    """Lists the games of a folder by split."""

    def __init__(self, data: str | Path, kinds: Sequence[str]) -> None:
        """Raises `TaskDataError` if there are no games."""
        self.root = data_root(data)
        self.kinds = tuple(kinds)
        self._games: dict[str, list[tuple[Path, str]]] = {}
        if not self.splits():
            archives = sorted(path.name for path in self.root.glob("*.zip"))
            unpacked = f"; unpack {', '.join(archives)}, or" if archives else ";"
            raise TaskDataError(
                f"no ALFWorld games below {self.root}: looked for json_2.1.*/train and the like"
                f"{unpacked} {_HOW_TO_GET}"
            )

    def _folders(self, split: str) -> list[Path]:
        name = SPLIT_FOLDERS[split]
        return [
            path
            for path in (self.root / name, *sorted(self.root.glob(f"json_*/{name}")))
            if path.is_dir()
        ]

    def splits(self) -> dict[str, str]:
        """Splits that have a folder, each with what is in it."""
        return {
            split: f"ALFWorld games in {', '.join(str(path) for path in self._folders(split))}"
            for split in SPLIT_FOLDERS
            if self._folders(split)
        }

    def version(self) -> str:
        """Names of the folders that the games are in, such as `json_2.1.1`."""
        parents = {folder.parent.name for split in self.splits() for folder in self._folders(split)}
        return "+".join(sorted(parents))

    def dialect(self) -> Dialect:
        """Return the dialect of the first game; raises `TaskDataError` if no game counts."""
        for split in self.splits():
            for path, _ in self._list(split):
                return read_game(path).dialect
        raise TaskDataError(f"no game below {self.root} is solvable and of the chosen kinds")

    def tasks(self, split: str, count: int | None, first: int) -> list[Task]:
        """Tasks of a split; reads whole only the files that are asked for, to hash them."""
        games = self._list(split)
        last = len(games) if count is None else first + count
        tasks = []
        for index, (path, kind) in enumerate(games[first:last], first):
            payload = {
                "file": path.relative_to(self.root).as_posix(),
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            tasks.append(Task("household", split, index, kind, payload))
        return tasks

    def _list(self, split: str) -> list[tuple[Path, str]]:
        if split not in self._games:
            self._games[split] = [
                (path, kind)
                for folder in self._folders(split)
                for path in sorted(folder.glob("**/game.tw-pddl"))
                if not any(word in str(path.relative_to(folder)) for word in _LEFT_OUT)
                and (kind := _kind(path)) in self.kinds
                and _is_solvable(path)
            ]
        return self._games[split]


def _kind(game: Path) -> str | None:
    """Return the kind in the `traj_data.json` beside a game, None if there is no such file."""
    path = game.with_name("traj_data.json")
    if not path.exists():
        return None
    try:
        return str(json.loads(path.read_bytes())["task_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TaskDataError(f"{path} is damaged, it has no task_type: {error!r}") from error


def _is_solvable(game: Path) -> bool:
    """Whether a game's file says so. The flag stands near the end; reading it all takes long."""
    with game.open("rb") as file:
        file.seek(max(0, game.stat().st_size - _TAIL_BYTES))
        found = _SOLVABLE.findall(file.read())
    if not found:
        found = _SOLVABLE.findall(game.read_bytes())
    if not found and not game.read_bytes().rstrip().endswith(b"}"):
        raise TaskDataError(f"{game} is damaged, its end is missing: fetch it again")
    return bool(found) and found[-1] == b"true"
