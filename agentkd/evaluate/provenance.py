"""Which software and which machine made a run, from its manifest, in words for tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentkd.evaluate.standing import folders_of
from agentkd.run_folder import RunFolder


def machine(path: Path) -> dict[str, Any]:
    """What a run's manifest says of versions and hardware; empty if it has none."""
    for folder in folders_of(path):
        try:
            found = json.loads(RunFolder(folder).manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def hardware(manifest: Mapping[str, Any]) -> str:
    """The machine of a manifest in words."""
    if not manifest:
        return "not recorded"
    gpus = manifest.get("gpus") or []
    cards = f"; {len(gpus)} x {gpus[0]}" if gpus else ""
    processor = manifest.get("processor") or manifest.get("platform") or "unknown processor"
    return f"{processor}, {manifest.get('cpu_cores', '?')} cores{cards}"


def software(manifest: Mapping[str, Any]) -> str:
    """The packages of a manifest in words."""
    known = {name: value for name, value in (manifest.get("versions") or {}).items() if value}
    listed = [f"{name} {value}" for name, value in known.items()]
    if manifest.get("python"):
        listed.append(f"Python {manifest['python']}")
    return ", ".join(listed) or "software not recorded"


def revision(manifest: Mapping[str, Any]) -> str:
    """The git revision of a manifest in words."""
    return str(manifest.get("git_revision") or "not recorded")
