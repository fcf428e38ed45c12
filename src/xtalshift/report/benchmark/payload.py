"""The summary of a benchmark to one dictionary of plain data, which its page only draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xtalshift.benchmark.records import RESULTS_FILE
from xtalshift.errors import DataError
from xtalshift.jsonio import finite as plain_values
from xtalshift.report.benchmark.board import Cells, build_board, list_places
from xtalshift.report.benchmark.curves import describe_curves, describe_folds
from xtalshift.report.benchmark.text import list_cautions, write_verdict

__all__ = ["SUMMARY_FILE", "benchmark_payload", "holds_benchmark"]

SUMMARY_FILE = "summary.json"
# as in `xtalshift.benchmark.summary`, which brings all methods and their libraries
_KIND = "xtalshift-benchmark-summary"
_VERSION = 1
_NEEDED = ("spec", "methods", "splits", "cells", "scenarios", "curves", "folds", "failures")
_N_FAILED_PLACES = 6


def holds_benchmark(folder: Path) -> bool:
    """Return whether a folder is that of a benchmark, by its ``summary.json``."""
    path = folder / SUMMARY_FILE
    if not path.is_file():
        return False
    if not (folder / RESULTS_FILE).exists():
        return True  # what is wrong with the file, reading it tells
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("kind") == _KIND


def benchmark_payload(folder: Path) -> dict[str, Any]:
    """Read the summary of a benchmark and work out everything that its page shows.

    Parameters
    ----------
    folder : Path
        Holds ``summary.json``.

    Returns
    -------
    dict
        Plain values only (finite or None), equal for equal files: ``title``, ``counts``,
        ``tables``, ``verdict`` and ``cautions`` (sentences), ``places`` (each split of each table),
        ``boards`` (one per number of target labels, see `build_board`), ``curves``, ``drill``
        (folds), ``failures``, ``facts``, ``spec`` and ``provenance``.

    Raises
    ------
    DataError
        If the file is missing, is not JSON, is no summary of this version, or has no results.
    """
    summary = _read_summary(folder / SUMMARY_FILE)
    places = list_places(summary)
    cells = Cells(summary)
    boards = [build_board(summary, scenario, places, cells) for scenario in summary["scenarios"]]
    seeds = summary["spec"].get("seeds") or 1
    payload: dict[str, Any] = {
        "title": summary.get("title") or f"{len(summary['methods'])} methods compared",
        "counts": _counts(summary, seeds),
        "tables": [_table(one) for one in summary.get("data") or []],
        "places": places,
        "boards": boards,
        "methods": summary["methods"],
        "curves": describe_curves(summary, places, cells),
        "drill": describe_folds(summary, places, boards),
        "failures": _failures(summary["failures"]),
        "facts": _facts(summary),
        "spec": summary["spec"],
        "provenance": summary.get("provenance") or {},
    }
    payload["verdict"] = write_verdict(payload)
    payload["cautions"] = list_cautions(payload)
    plain: dict[str, Any] = plain_values(payload)
    return plain


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}; give the folder that `xtalshift benchmark` "
            "wrote"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{path} is not valid JSON ({error}); the same `xtalshift benchmark` command writes it "
            "again"
        ) from error
    kind = summary.get("kind") if isinstance(summary, dict) else None
    if kind != _KIND:
        raise DataError(
            f"{path} is of kind {kind!r}, expected {_KIND!r}; give the folder that `xtalshift "
            "benchmark` wrote"
        )
    if summary.get("schema_version") != _VERSION:
        raise DataError(
            f"{path} has schema_version {summary.get('schema_version')!r}, but this version reads "
            f"{_VERSION}; the same `xtalshift benchmark` command of this version writes it again"
        )
    for key in _NEEDED:
        if key not in summary:
            raise DataError(f"{path} has no {key!r}; run the same `xtalshift benchmark` again")
    return dict(summary)


def _counts(summary: dict[str, Any], seeds: int) -> dict[str, Any]:
    done, failed = summary["n_done"], summary["n_failed"]
    return {
        "seeds": seeds,
        "splits": len({one["split"] for one in summary["splits"]}),
        "methods": len(summary["methods"]),
        "tasks": summary["n_tasks"],
        "done": done,
        "failed": failed,
        "left": summary["n_tasks"] - done - failed,
    }


def _table(info: dict[str, Any]) -> dict[str, Any]:
    cleaning = info.get("cleaning") or {}
    keys = ("name", "target", "unit", "rows", "source", "conditions", "transform", "sha256")
    found = {key: info.get(key) for key in keys}
    return found | {key: cleaning.get(key) for key in ("rows_read", "rows_merged", "rows_dropped")}


def _failures(failures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return failures of one method for one reason together, in order of the first of each."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for failure in failures:
        key = (failure["name"], failure.get("budget") or 0, failure.get("reason"))
        one = found.setdefault(
            key,
            {
                "name": failure["name"],
                "budget": failure.get("budget") or 0,
                "reason": failure.get("reason") or "unknown",
                "traceback": failure.get("traceback") or "",
                "count": 0,
                "places": [],
            },
        )
        one["count"] += 1
        if len(one["places"]) < _N_FAILED_PLACES:
            one["places"].append(
                f"{failure['data']}, {failure['split']}, fold {failure['fold']}, "
                f"seed {failure['seed']}"
            )
    return list(found.values())


def _facts(summary: dict[str, Any]) -> list[list[str]]:
    """Return the lines of settings and provenance that a reader looks for first."""
    spec, provenance = summary["spec"], summary.get("provenance") or {}
    host, versions = provenance.get("host") or {}, provenance.get("versions") or {}
    memory, tuning = host.get("peak_memory_mib"), spec.get("tuning") or {}
    changed = [
        f"{one['name']}: {json.dumps(one['params'], ensure_ascii=False)}"
        for one in spec.get("methods") or []
        if isinstance(one, dict) and one.get("params")
    ]
    hashes = [
        f"{one['name']}: SHA-256 {one['sha256']}"
        for one in summary.get("data") or []
        if one.get("sha256")
    ]
    trials = tuning.get("trials")
    facts = {
        "features": ", ".join(spec.get("features") or []),
        "seeds": f"{spec.get('seeds')}, from {spec.get('seed')} on" if "seeds" in spec else None,
        "target labels": ", ".join(str(budget) for budget in spec.get("budgets") or []),
        "own arguments": "; ".join(changed),
        "tuning": f"{trials} trainings per task, by validation error" if trials else "none",
        "data hash": "; ".join(hashes),
        "device": provenance.get("device"),
        "threads": provenance.get("threads"),
        "machine": host.get("platform"),
        "peak memory": f"{memory:,.0f} MiB" if memory is not None else None,
        "time": host.get("time"),
        "Python": provenance.get("python"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return [[name, str(value)] for name, value in facts.items() if value not in (None, "")]
