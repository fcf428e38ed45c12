"""Pages of results: one HTML file each, offline, with errors, their spread and their limits."""

from __future__ import annotations

from pathlib import Path

from xtalshift.benchmark.records import RESULTS_FILE, SUMMARY_FILE
from xtalshift.benchmark.several_results import is_several, read_several
from xtalshift.errors import DataError
from xtalshift.files import replace_file
from xtalshift.report.benchmark.benchmark_page import (
    build_benchmark_report,
    render_benchmark,
)
from xtalshift.report.run.run_page import RunReport, build_run_report, render_run
from xtalshift.report.several.several_page import render_several

__all__ = ["build_run_report", "write_report"]


def write_report(folder: Path, report: RunReport | None = None) -> Path:
    """Write ``report.html`` beside the results of a run or of a benchmark.

    Parameters
    ----------
    folder : Path
        Holds ``summary.json`` of a benchmark, or ``results.json`` of a run, also of several
        targets, whose own pages are not written again.
    report : RunReport, optional
        Of the run in the folder, if it has been built before.

    Returns
    -------
    Path
        The file, replaced at once or not at all; equal results give equal bytes.

    Raises
    ------
    DataError
        If the folder holds neither, or the results cannot be read.
    """
    if report is not None:
        text = render_run(report)
    elif is_several(folder):
        text = render_several(read_several(folder))
    elif (folder / RESULTS_FILE).exists():  # a run has the summary of a benchmark too
        text = render_run(build_run_report(folder))
    elif (folder / SUMMARY_FILE).is_file():
        text = render_benchmark(build_benchmark_report(folder))
    else:
        raise DataError(
            f"{folder} holds neither {RESULTS_FILE} nor {SUMMARY_FILE}; give the folder that "
            "`xtalshift run` or `xtalshift benchmark` wrote"
        )
    path = folder / "report.html"
    replace_file(path, text)
    return path
