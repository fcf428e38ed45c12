"""A small folder of results whose means, ratios and verdict are easy to work out by hand."""

import json

import pandas as pd
import pytest

from report_toys import make_summary
from xtalshift.jsonio import write_json

# mean absolute error by method, split, role: one value per seed
ERRORS = {
    ("dummy", "random", "id"): (10.0, 10.0),
    ("dummy", "tail", "id"): (10.0, 10.0),
    ("dummy", "tail", "ood"): (20.0, 20.0),
    ("dummy", "oxides", "id"): (10.0, 10.0),
    ("dummy", "oxides", "ood"): (16.0, 16.0),
    ("erm", "random", "id"): (4.0, 6.0),
    ("erm", "tail", "id"): (4.0, 4.0),
    ("erm", "tail", "ood"): (24.0, 26.0),
    ("erm", "oxides", "id"): (5.0, 5.0),
    ("erm", "oxides", "ood"): (8.0, 10.0),
    ("cal", "random", "id"): (5.0, 7.0),
    ("cal", "tail", "id"): (5.0, 5.0),
    ("cal", "tail", "ood"): (22.0, 28.0),
    ("cal", "oxides", "id"): (4.0, 4.0),
    ("cal", "oxides", "ood"): (7.0, 5.0),
    ("cal:ema", "random", "id"): (1.0, 1.0),
}
FORMULAS = ("NaCl", "MgO", "<script>alert(1)</script>", "Fe2O3")


def make_results():
    records = [
        {
            "method": method,
            "split": split,
            "role": role,
            "seed": seed,
            "n": 60,
            "mae": mae,
            "rmse": 2 * mae,
            "r2": 0.5,
            "mae_over_dummy": mae / ERRORS["dummy", split, role][seed],
            "seconds": 3.0 + seed,
            "status": "ok",
        }
        for (method, split, role), errors in ERRORS.items()
        for seed, mae in enumerate(errors)
    ]
    splits = [
        {"name": name, "description": f"the {name} rule", "role": role, "seed": seed}
        | {"n_train": 400, "n_val": 50, "n_test": 60}
        for name, role in (("tail", "ood"), ("random", "id"), ("oxides", "ood"))
        for seed in (0, 1)
    ]
    epochs = [
        {"epoch": 0, "train_loss": 1.0, "val_mae": 9.0},
        {"epoch": 1, "train_loss": 0.5, "val_mae": 6.0, "phase": "cal"}
        | {"displacement_rms": 0.2, "displacement_max": 0.4, "weight_min": 10.0, "gamma": 0.1},
    ]
    return {
        "schema_version": 1,
        "config": {"data": {"dataset": "demo"}},
        "provenance": {
            "python": "3.11.9",
            "versions": {"numpy": "2.1.0"},
            "host": {"time": "2025-01-02T03:04:05+00:00", "peak_memory_mib": 512.0},
            "data": {"source": "demo", "target": "gap", "unit": "eV", "rows": 500},
        },
        "cleaning": {
            "rows_read": 520,
            "rows_kept": 500,
            "rows_dropped": 5,
            "rows_merged": 15,
            "dropped": [
                {
                    "kind": "formula: an unknown element",
                    "count": 5,
                    "examples": [{"row": 7, "id": "m7", "value": "X<b>2", "reason": "no X"}],
                }
            ],
            "notes": [],
            "duplicates": "mean",
            "duplicate_groups": 12,
            "duplicate_rows": 27,
            "duplicate_scatter": 0.25,
            "error_floor": 0.01,
            "zero_share": 0.0,
            "zero_inflated": False,
            "remedy": "",
        },
        "splits": splits,
        "records": records,
        "histories": [{"method": "cal", "split": "all", "seed": 0, "epochs": epochs}],
    }


def make_predictions():
    rows = [
        (method, split, role, seed, f"{split}-{role}-{row}", formula, float(row), row + 0.5)
        for method, split, role in ERRORS
        for seed in (0, 1)
        for row, formula in enumerate(FORMULAS)
    ]
    columns = ["method", "split", "role", "seed", "id", "formula", "target", "prediction"]
    return pd.DataFrame(rows, columns=columns)


def make_map():
    size = 12
    return pd.DataFrame(
        {
            "id": ["random-id-0", "random-id-1", *(f"row-{row}" for row in range(2, size))],
            "formula": [FORMULAS[row % 4] for row in range(size)],
            "target": [float(row) for row in range(size)],
            "pc1": [float(row) for row in range(size)],
            "pc2": [float(-row) for row in range(size)],
            "in_tail": [row >= 9 for row in range(size)],
            "in_oxides": [row < 2 for row in range(size)],
        }
    )


@pytest.fixture
def results():
    return make_results()


@pytest.fixture
def folder(tmp_path, results):
    save(tmp_path, results)
    make_predictions().to_parquet(tmp_path / "predictions.parquet")
    make_map().to_parquet(tmp_path / "map.parquet")
    return tmp_path


def save(path, results):
    (path / "results.json").write_text(json.dumps(results), encoding="utf-8")


@pytest.fixture
def with_control():
    """Results with ``cal-eps0``, whose errors are 4/3 of those of ``cal``."""
    results = make_results()
    results["records"] += [
        record | {"method": "cal-eps0", "mae": record["mae"] * 4 / 3}
        for record in results["records"]
        if record["method"] == "cal"
    ]
    epoch = {"epoch": 0, "phase": "cal", "displacement_rms": 0.0}
    results["histories"].append(
        {"method": "cal-eps0", "split": "all", "seed": 0, "best_epoch": 0, "epochs": [epoch]}
    )
    return results


@pytest.fixture
def three_seeds():
    """Results with a third seed like the first: erm leads on random, cal on oxides, always."""
    results = make_results()
    results["records"] += [
        record | {"seed": 2} for record in results["records"] if record["seed"] == 0
    ]
    return results


@pytest.fixture
def rewrite(folder):
    """Replace the results of the folder."""
    return lambda results: save(folder, results)


@pytest.fixture
def predictions():
    return make_predictions()


@pytest.fixture
def place(tmp_path):
    """Put the summary of a benchmark into a folder of its own; see `make_summary`."""

    def put(**values):
        folder = tmp_path / f"benchmark-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        write_json(folder / "summary.json", make_summary(**values))
        return folder

    return put
