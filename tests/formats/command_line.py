"""Runs the command line in this process."""

import io
from contextlib import redirect_stderr, redirect_stdout

from agentkd.cli import main


def agentkd(*arguments: str) -> tuple[int, str, str]:
    """Run a command line; return its exit status and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as stopped:
            status = int(stopped.code or 0)
    return status, out.getvalue(), err.getvalue()


def succeed(*arguments: str) -> str:
    status, out, err = agentkd(*arguments)
    assert status == 0, out + err
    return out


def fail(*arguments: str) -> str:
    status, _, err = agentkd(*arguments)
    assert status == 2
    return err
