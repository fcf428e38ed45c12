"""A folder of results to one dictionary of plain data, which the report only draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from xtalshift.benchmark.records import RESULTS_FILE, SCHEMA_VERSION
from xtalshift.errors import DataError
from xtalshift.jsonio import finite as plain_values
from xtalshift.report.run.attacks import ATTACK_COLUMNS, attack_curves, attack_sizes, last_attacks
from xtalshift.report.run.samples import POINTS_PER_PANEL, histograms, map_panels, parity_panels
from xtalshift.report.run.scores import DUMMY, Scores, finite, mean_sd
from xtalshift.report.run.trust import trust_payload
from xtalshift.report.run.verdict import (
    adversarial_gain,
    cautions,
    describe_attack,
    judge_column,
    verdict_sentence,
)
from xtalshift.report.shared.methods import describe_gap, method_note

__all__ = ["build_payload"]

_NEEDED = ("records", "splits")
_CURVES = ("train_loss", "val_mae", *ATTACK_COLUMNS)
_LABELS = {
    "random": "random split",
    "covariate": "covariate shift",
    "prior": "prior shift",
    "relation": "relation shift",
}
_CLEANING = (
    "rows_read", "rows_kept", "rows_dropped", "rows_merged", "dropped", "notes", "duplicates",
    "duplicate_groups", "duplicate_rows", "duplicate_scatter", "error_floor",
    "zero_inflated", "remedy",
)  # fmt: skip


def build_payload(folder: Path) -> dict[str, Any]:
    """Read the results of one benchmark and work out everything that the report shows.

    Parameters
    ----------
    folder : Path
        Holds ``results.json``; ``predictions.parquet`` and ``map.parquet`` are optional, and the
        pictures that need a missing one are left out.

    Returns
    -------
    dict
        Plain values only (finite or None), equal for equal files.

    Raises
    ------
    DataError
        If ``results.json`` is missing, is not JSON, has another schema version or no records, or if
        a parquet file cannot be read.
    """
    results = _read_results(folder / RESULTS_FILE)
    predictions = _read_table(folder / "predictions.parquet")
    table = _read_table(folder / "map.parquet")
    scores = Scores(results["records"])
    provenance = results.get("provenance") or {}
    config = results.get("config") or {}
    data = provenance.get("data") or {}
    columns = _columns(results["splits"], scores)
    methods = scores.methods()
    everything = scores.methods(variants=True)
    payload: dict[str, Any] = {
        "target": {"name": data.get("target") or "target", "unit": data.get("unit") or ""},
        "source": data.get("source") or folder.name,
        "n_rows": data.get("rows"),
        "n_seeds": len({record["seed"] for record in results["records"]}),
        "methods": [{"name": name, "note": method_note(name, config)} for name in everything],
        "columns": columns,
        "headline": _rows(scores, methods, columns),
        "judged": [judge_column(scores, column) for column in columns],
        "gain": adversarial_gain(scores, columns, describe_gap(config)),
        "metrics": _metrics(scores, everything, columns),
        "costs": _costs(scores, methods, columns),
        "failures": scores.failures(),
        "histories": _histories(results.get("histories") or []),
        "cleaning": _cleaning(results.get("cleaning") or {}),
        "provenance": provenance,
        "config": config,
    }
    payload |= _pictures(payload, predictions, table)
    saved = (results.get("model") or {}).get("method")
    payload["trust"] = trust_payload(predictions, columns, saved)
    payload["curve_methods"] = list(dict.fromkeys(c["method"] for c in payload["histories"]))
    payload["parity_methods"] = list(dict.fromkeys(p["method"] for p in payload["parity"]))
    payload["facts"] = _facts(provenance, results.get("model") or {})
    payload["points_per_panel"] = POINTS_PER_PANEL
    payload["attacks"] = last_attacks(payload["histories"])
    payload["attack_curves"] = attack_curves(payload["histories"])
    payload["attack_sizes"] = attack_sizes(payload["histories"])
    payload["attack_sentences"] = [describe_attack(size) for size in payload["attack_sizes"]]
    payload["verdict"] = verdict_sentence(payload["judged"], payload["target"]["unit"])
    payload["cautions"] = cautions(payload)
    plain: dict[str, Any] = plain_values(payload)
    return plain


def _read_results(path: Path) -> dict[str, Any]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}; give the folder that `xtalshift run` wrote"
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}); run the benchmark again") from error
    version = results.get("schema_version") if isinstance(results, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema_version {version!r}, but this version reads {SCHEMA_VERSION}; "
            "run the benchmark again with this version"
        )
    for key in _NEEDED:
        if not results.get(key):
            raise DataError(f"{path} has no {key!r}: the benchmark stopped before its first run")
    return dict(results)


def _read_table(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise DataError(f"cannot read {path}: {error}; delete it to report without it") from error


def _columns(splits: list[dict[str, Any]], scores: Scores) -> list[dict[str, Any]]:
    """One column per split, in distribution first."""
    first: dict[str, dict[str, Any]] = {}
    # an OOD split may be listed with its ID rows too; it is the OOD rows that make it one
    for split in sorted(splits, key=lambda split: split["role"] != "ood"):
        first.setdefault(split["name"], split)
    names = dict.fromkeys(split["name"] for split in splits)
    columns = [
        {
            "split": name,
            "role": split["role"],
            "label": _LABELS.get(name, name.replace("_", " ").replace(":", " ")),
            "fit": split.get("fit") or name,
            "description": split.get("description") or "",
            "sizes": {part: split.get(f"n_{part}") for part in ("train", "val", "test")},
            "n_rows": _tested_rows(scores, name, split["role"]),
        }
        for name in names
        for split in [first[name]]
    ]
    return sorted(columns, key=lambda column: column["role"] != "id")


def _tested_rows(scores: Scores, split: str, role: str) -> int | None:
    counts = [
        run["n"]
        for method in scores.methods()
        for run in scores.runs(method, split, role)
        if run.get("n") is not None
    ]
    return min(counts, default=None)


def _rows(
    scores: Scores, methods: list[str], columns: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {
            "method": method,
            "cells": [scores.cell(method, column["split"], column["role"]) for column in columns],
        }
        for method in methods
    ]


def _metrics(
    scores: Scores, methods: list[str], columns: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Every cell, with the ID rows of the OOD splits and the variants."""
    keys = [
        (column["split"], role)
        for column in columns
        for role in (("id",) if column["role"] == "id" else ("id", "ood"))
    ]
    cells = [scores.cell(method, *key) for key in keys for method in methods]
    return [cell for cell in cells if cell]


def _costs(
    scores: Scores, methods: list[str], columns: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Seconds of one fit: the mean over splits and seeds."""
    costs = []
    for method in methods:
        runs = [
            run
            for column in columns
            for run in scores.runs(method, column["split"], column["role"])
        ]
        seconds, _ = mean_sd(finite(run.get("seconds")) for run in runs)
        costs.append({"method": method, "seconds": seconds, "runs": len(runs)})
    return costs


def _histories(histories: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Training curves as columns."""
    curves = []
    for history in histories:
        epochs = history.get("epochs") or []
        if not epochs:
            continue
        curve: dict[str, Any] = {key: history.get(key) for key in ("method", "split", "seed")}
        curve["epoch"] = [row.get("epoch", index) for index, row in enumerate(epochs)]
        phases = dict(zip(curve["epoch"], (row.get("phase") for row in epochs), strict=True))
        curve["best_phase"] = phases.get(history.get("best_epoch"))
        for key in _CURVES:
            values = [finite(row.get(key)) for row in epochs]
            if any(value is not None for value in values):
                curve[key] = values
        curves.append(curve)
    return curves


def _cleaning(report: dict[str, Any]) -> dict[str, Any]:
    return {key: report.get(key) for key in _CLEANING} if report else {}


def _facts(provenance: dict[str, Any], model: dict[str, Any]) -> list[list[str]]:
    """Return the lines of provenance that a reader looks for first."""
    data, host = provenance.get("data") or {}, provenance.get("host") or {}
    versions = provenance.get("versions") or {}
    memory = finite(host.get("peak_memory_mib"))
    facts = {
        "saved model": f"{model['method']} ({model['rule']})" if model else None,
        "data": data.get("source"),
        "conditions": data.get("conditions"),
        "data hash": f"SHA-256 {data['sha256']}" if data.get("sha256") else None,
        "device": provenance.get("device"),
        "threads": provenance.get("threads"),
        "machine": host.get("platform"),
        "peak memory": f"{memory:,.0f} MiB" if memory is not None else None,
        "time": host.get("time"),
        "Python": provenance.get("python"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return [[name, str(value)] for name, value in facts.items() if value not in (None, "")]


def _pictures(
    payload: dict[str, Any], predictions: pd.DataFrame | None, table: pd.DataFrame | None
) -> dict[str, Any]:
    columns = payload["columns"]
    fits = {
        one["split"]: [other["split"] for other in columns if other["fit"] == one["fit"]]
        for one in columns
    }
    shifted = [column["split"] for column in columns if column["role"] == "ood"]
    pictures: dict[str, Any] = {"parity": [], "maps": [], "histograms": []}
    if table is not None:
        pictures["maps"] = map_panels(table, shifted)
    if predictions is not None:
        pictures["parity"] = parity_panels(predictions, _shown_methods(payload["judged"]), fits)
        pictures["histograms"] = histograms(predictions, table, fits)
    return pictures


def _shown_methods(judged: list[dict[str, Any]]) -> list[str]:
    """Return at most three methods: the most frequent winner that is not a network, erm and cal."""
    winners = [column["best"]["method"] for column in judged if column["best"]]
    others = [name for name in winners if name not in {"erm", "cal", "cal-eps0", DUMMY}]
    best = max(dict.fromkeys(others), key=others.count, default=None)
    return [name for name in (best, "erm", "cal") if name]
