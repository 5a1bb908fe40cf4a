from collections.abc import Callable
from pathlib import Path

import pytest
from html_page import Page, check_is_inert

from agentkd.report import build_report
from agentkd.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "household-demo")


@pytest.fixture
def report() -> Callable[[RunFolder], Page]:
    """Build the report, parse it, and check what must hold for every report."""

    def build(run: RunFolder) -> Page:
        path = build_report(run)
        assert path == run.report
        page = Page(path.read_text(encoding="utf-8"))
        check_is_inert(page)
        return page

    return build
