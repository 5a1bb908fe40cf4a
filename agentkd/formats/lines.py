"""Writes JSON lines."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_lines(items: Iterable[Mapping[str, Any] | None], path: Path) -> None:
    """Write one JSON object a line; None is left out."""
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            if item is not None:
                file.write(json.dumps(item, ensure_ascii=False) + "\n")
