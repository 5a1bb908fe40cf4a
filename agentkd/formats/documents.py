"""Names of the files of formats that have one for each trajectory."""

import hashlib
import re

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


class FileNames:
    """Gives every trajectory a file name of its own: its id, if that can be one."""

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix
        self._given: set[str] = set()

    def name_of(self, trajectory_id: str) -> str:
        """Return the next free name; an id that is taken or no file name gets a number or hash."""
        stem = trajectory_id
        if not _SAFE.fullmatch(stem):
            stem = hashlib.sha256(trajectory_id.encode()).hexdigest()[:32]
        name, number = stem, 1
        while name.lower() in self._given:
            number += 1
            name = f"{stem}-{number}"
        self._given.add(name.lower())
        return name + self.suffix
