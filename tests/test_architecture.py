"""Rules of the tree: dependencies point one way, importing is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    ROOT / "sandbox" / "agentkd_sandbox": {"agentkd", "agentkd_envs"},
    ROOT / "envs" / "agentkd_envs": {"agentkd"},
}


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN, ids=lambda path: path.name)
def test_dependencies_point_one_way(package: Path) -> None:
    offenders = {
        str(path.relative_to(ROOT)): imported_packages(path) & FORBIDDEN[package]
        for path in package.rglob("*.py")
    }
    assert not {path: names for path, names in offenders.items() if names}


@pytest.mark.parametrize(
    "module", ["agentkd", "agentkd.pipeline", "agentkd.cli", "agentkd_envs", "agentkd_sandbox"]
)
def test_importing_is_light(module: str) -> None:
    code = (
        f"import sys, {module}; "
        "print(*sorted({'torch', 'docker', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
