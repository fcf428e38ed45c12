"""The report: one HTML file, offline, that says how large the errors are and what to trust."""

from __future__ import annotations

from xtalshift.report.run.payload import build_payload
from xtalshift.report.shared.html import render_report, write_report

__all__ = ["build_payload", "render_report", "write_report"]
