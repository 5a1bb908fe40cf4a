"""The guest claims to run on Python 3.8: its syntax, what it imports, and every interpreter here."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from agentkd_sandbox import ProcessBackend, SandboxPool, guest
from agentkd_sandbox.conformance.behaviour import BEHAVIOUR

from .conftest import VERSIONS, interpreters


def test_source_is_python_3_8_syntax() -> None:
    tree = ast.parse(guest.source(), feature_version=(3, 8))
    assert any(isinstance(x, ast.FunctionDef) and x.name == "supervisor_main" for x in tree.body)


def test_source_uses_only_what_python_3_8_has(tmp_path: Path) -> None:
    program = tmp_path / "guest.py"
    program.write_bytes(guest.source())
    command = [str(Path(sys.executable).with_name("vermin")), "--target=3.8-", "--no-tips"]
    command += ["--violations", str(program)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    program.write_text(program.read_text() + "\nos.pidfd_open(1)\n")  # new in 3.9
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "'os.pidfd_open' member requires !2, 3.9" in answer.stdout


@pytest.mark.parametrize("python", interpreters().values())
async def test_guest_works_on(python: str) -> None:
    async with SandboxPool(ProcessBackend(tiers=("ns",), python=python), size=2) as pool:
        failed = [claim for claim, test in BEHAVIOUR.items() if not await test(pool)]
        async with pool.session() as session:
            version = (await session.run("import sys; '%d.%d' % sys.version_info[:2]")).value
    assert failed == []
    assert str(version).strip("'") in VERSIONS
