"""The report of a run: its figures, plotted from its tables, and one HTML page."""

from layerbits.report.run_report import write_report

__all__ = ["write_report"]
