"""A user's folder of ALFWorld games, as `alfworld-download` leaves it.

`FOLDER/json_2.1.*/{train,valid_seen,valid_unseen}/.../game.tw-pddl`, or the split folders directly
in `FOLDER`. Only games of the six kinds that ALFWorld plays are listed, ordered by path.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from agentkd_envs.base import Task
from agentkd_envs.errors import TaskDataError

_SPLIT_FOLDERS = {"train": "train", "seen": "valid_seen", "unseen": "valid_unseen"}


class DataFolder:
    """Lists the games of a folder by split."""

    def __init__(self, root: Path, kinds: Sequence[str]) -> None:
        self.root = root.expanduser()
        self.kinds = tuple(kinds)
        self._files: dict[str, list[Path]] = {}
        if not self.splits():
            raise TaskDataError(
                f"no ALFWorld games below {self.root}: looked for json_2.1.*/train and the like; "
                "fetch them with `alfworld-download --data-dir FOLDER`"
            )

    def _folders(self, split: str) -> list[Path]:
        name = _SPLIT_FOLDERS[split]
        return [
            path
            for path in (self.root / name, *sorted(self.root.glob(f"json_*/{name}")))
            if path.is_dir()
        ]

    def splits(self) -> dict[str, str]:
        """Splits that have a folder, each with what is in it."""
        return {
            split: f"ALFWorld games in {', '.join(str(path) for path in self._folders(split))}"
            for split in _SPLIT_FOLDERS
            if self._folders(split)
        }

    def tasks(self, split: str, count: int | None, first: int) -> list[Task]:
        """Tasks of a split; reads only the files that are asked for, to hash them."""
        files = self._list(split)
        last = len(files) if count is None else first + count
        tasks = []
        for index, path in enumerate(files[first:last], first):
            payload = {
                "file": path.relative_to(self.root).as_posix(),
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            tasks.append(Task("household", split, index, self._kind(path), payload))
        return tasks

    def _list(self, split: str) -> list[Path]:
        if split not in self._files:
            self._files[split] = [
                path
                for folder in self._folders(split)
                for path in sorted(folder.glob("**/game.tw-pddl"))
                if self._kind(path) in self.kinds and "Sliced" not in path.parent.parent.name
            ]
        return self._files[split]

    def _kind(self, path: Path) -> str:
        return path.parent.parent.name.partition("-")[0]
