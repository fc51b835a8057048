"""The report of a run: figures from its tables, and one HTML page with all results."""

from layerbits.report.run_report import write_report

__all__ = ["write_report"]
