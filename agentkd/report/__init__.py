"""The report of a run: one HTML file that needs no server and no network."""

from agentkd.report.build import build_report

__all__ = ["build_report"]
