"""The main job: every method, on every split, for every seed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import xtalshift
from xtalshift.benchmark.records import RESULTS_FILE, SCHEMA_VERSION
from xtalshift.jobs.run.prepare import Fit, Prepared, plan_fits, prepare
from xtalshift.jobs.run.spec import RunConfig
from xtalshift.jobs.run.store import RunFolder
from xtalshift.jobs.run.task import find_domain, join_predictions, run_task
from xtalshift.jsonio import write_json
from xtalshift.nn.device import describe_device, resolve_device
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.provenance import collect_provenance, hash_text
from xtalshift.splits.feature_space import embed

__all__ = ["run"]


def run(
    config: RunConfig, out: Path, *, progress: Progress = NO_PROGRESS, overwrite: bool = False
) -> dict[str, Any]:
    """Run every method on every split and seed, and write the results.

    Parameters
    ----------
    config : RunConfig
        Settings.
    out : Path
        Folder for ``results.json``, ``predictions.parquet``, ``map.parquet`` and ``model/``. A
        task that finished in an earlier, interrupted run of the same configuration is not repeated.
    progress : Progress
        Told how far the job is.
    overwrite : bool
        Replace another run in the folder.

    Returns
    -------
    dict
        What ``results.json`` holds.

    Raises
    ------
    XtalshiftError
        If the data, a split or the folder cannot be used. A method that fails is a record with
        status ``failed``.
    """
    device = describe_device(resolve_device(config.device))
    prepared = prepare(config, progress)
    fits = list(plan_fits(config, prepared))
    for test in fits[0].tests:
        if test.role == "ood" or test.split == "random":
            what = prepared.descriptions.get(test.split, "")
            progress.say(f"  {test.split} ({test.role}): {len(test.rows):,} test rows, {what}")
    data = prepared.table.describe()
    header = {
        "version": xtalshift.__version__,
        "config": config.to_dict(),
        "device": device,
        "data_sha256": data["sha256"],
        # a file that declares a relation shift may change while the table stays
        "tests_sha256": hash_text(
            f"{name} {np.flatnonzero(mask).tolist()}" for name, mask in prepared.shifted.items()
        ),
    }
    folder = RunFolder.open(out, header, overwrite=overwrite)
    (folder.path / "config.toml").write_text(config.to_toml(), encoding="utf-8")

    tasks = []
    for fit in fits:
        domain = None
        for method in config.methods:
            place = folder.task(method, fit.name, fit.seed)
            task = folder.load_task(place)
            if task is not None:
                progress.say(f"{method} ({fit.name}, seed {fit.seed}): done before, kept")
            else:
                progress.say(f"{method} ({fit.name}, seed {fit.seed}): {len(fit.train):,} rows")
                shutil.rmtree(place, ignore_errors=True)  # what a killed task left
                domain = domain or find_domain(config, prepared, fit)
                task, predictions = run_task(
                    config, prepared, fit, method, place, data, domain, progress
                )
                folder.save_task(place, task, predictions)
            tasks.append((place, task))

    provenance = collect_provenance(device=device, threads=config.threads)
    results = {
        "schema_version": SCHEMA_VERSION,
        "config": config.to_dict(),
        "provenance": {**provenance, "data": data},
        "cleaning": prepared.cleaning.to_dict(),
        "splits": [_describe(fit, test, prepared) for fit in fits for test in fit.tests],
        "model": _save_best(folder, tasks),
        "records": [record for _, task in tasks for record in task["records"]],
        "histories": [task["history"] for _, task in tasks if task.get("history")],
    }
    parts = [pd.read_parquet(place / "predictions.parquet") for place, _ in tasks]
    join_predictions(parts).to_parquet(folder.path / "predictions.parquet", index=False)
    _map(prepared).to_parquet(folder.path / "map.parquet", index=False)
    write_json(folder.path / RESULTS_FILE, results)
    return results


def _save_best(
    folder: RunFolder, tasks: list[tuple[Path, dict[str, Any]]]
) -> dict[str, Any] | None:
    """Copy the model with the smallest validation error to ``model/``; test rows have no say."""
    target = folder.path / "model"
    shutil.rmtree(target, ignore_errors=True)
    seed = min(task["seed"] for _, task in tasks)
    usual = [
        (place, task)
        for place, task in tasks
        if task["status"] == "ok" and task["seed"] == seed and task["fit"] in ("all", "random")
    ]
    if not usual:
        return None
    place, task = min(usual, key=lambda item: item[1]["val_mae"])
    shutil.copytree(place / "model", target)
    return {
        "method": task["method"],
        "fit": task["fit"],
        "seed": task["seed"],
        "val_mae": task["val_mae"],
        "rule": "smallest validation error (rows of the training distribution)",
    }


def _describe(fit: Fit, test: Any, prepared: Prepared) -> dict[str, Any]:
    return {
        "name": test.split,
        "role": test.role,
        "seed": fit.seed,
        "fit": fit.name,
        "description": prepared.descriptions.get(test.split, ""),
        "n_train": len(fit.train),
        "n_val": len(fit.validation),
        "n_test": len(test.rows),
    }


def _map(prepared: Prepared) -> pd.DataFrame:
    points: NDArray[np.float64] = embed(prepared.X, 2)
    frame = pd.DataFrame(
        {
            "id": prepared.table.ids,
            "formula": prepared.table.formulas,
            "target": prepared.y,
            "pc1": points[:, 0],
            "pc2": points[:, 1] if points.shape[1] > 1 else 0.0,
        }
    )
    for name, mask in prepared.shifted.items():
        frame[f"in_{name}"] = mask
    return frame
