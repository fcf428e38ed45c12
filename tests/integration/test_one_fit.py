"""One way to fit: every door gives the same model, bit for bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from xtalshift.benchmark.engine import RunOptions, run_benchmark
from xtalshift.benchmark.prepare import prepare_shared
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.benchmark.store import RECORDS_FILE, read_records
from xtalshift.benchmark.worker import task_folder
from xtalshift.data import clean_table, read_table
from xtalshift.jobs.run import run, spec_of
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.model import FitRows, FormulaRegressor, fit, load_model
from xtalshift.parallel import InProcessExecutor
from xtalshift.parallel.processes import ProcessExecutor
from xtalshift.uncertainty.settings import IntervalConfig

METHODS = ("ridge", "lightgbm", "erm", "cal")
SEED = 3
SETTINGS = {
    "threads": 1,
    "erm": {"epochs": 4},
    "cal": {"epochs": 3, "warmup_epochs": 1, "partial_batches": 1},
    "lightgbm": {"n_estimators": 10},
    "network": {"architecture": [8], "dropout": 0.2},
}
NO_INTERVALS = IntervalConfig(method="none")


def state_of(model):
    """Return all arrays of what was fitted."""
    return {name: np.asarray(values) for name, values in model.regressor._get_state().items()}


def assert_same_bits(models):
    first = state_of(models[0])
    assert first
    for model in models[1:]:
        other = state_of(model)
        assert first.keys() == other.keys()
        for name, values in first.items():
            assert values.dtype == other[name].dtype, name
            np.testing.assert_array_equal(values, other[name], err_msg=name)


def kept_models(out):
    """Return the model of each method that a benchmark left in a folder."""
    _, records = read_records(out / RECORDS_FILE)
    assert {record.status for record in records.values()} == {"ok"}
    return {
        record.name: load_model(task_folder(out, record.id) / "model")
        for record in records.values()
    }


@pytest.fixture(scope="module")
def config(table):
    return RunConfig.from_dict(
        {
            "data": {"dataset": str(table), "target": "gap", "features": "magpie"},
            "methods": METHODS,
            "seed": SEED,
            "split": {"schemes": ["random", "prior"]},
            "choice": {"folds": 2, "repeats": 1},
            **SETTINGS,
        }
    )


@pytest.fixture(scope="module")
def fold(config):
    """Return the rows of the run, by name."""
    shared, _ = prepare_shared(spec_of(config).check_methods(), {})
    (found,) = shared.folds.values()
    return found


@pytest.fixture(scope="module")
def split(table, fold, tmp_path_factory):
    """Return the rows of the run as a file, with another fold before them."""
    data = clean_table(read_table(table, target="gap"))
    parts = np.full(len(data), "", dtype=object)
    for name, rows in (("train", fold.train), ("val", fold.val), ("test", fold.test_rows)):
        parts[rows] = name
    other = np.where(np.arange(len(data)) % 2, "train", "test")
    frames = [
        pd.DataFrame({"id": data.ids, "formula": data.formulas, "fold": number, "part": part})
        for number, part in enumerate((other, parts))
    ]
    path = tmp_path_factory.mktemp("split") / "folds.parquet"
    pd.concat(frames).to_parquet(path, index=False)
    return path


@pytest.fixture(scope="module")
def from_run(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    run(config, out / "out", ProcessExecutor(workers=1))
    return kept_models(out / "out")


@pytest.fixture(scope="module")
def from_benchmark(table, split, tmp_path_factory):
    spec = BenchmarkSpec.from_dict(
        {
            "data": {"gaps": {"dataset": str(table), "target": "gap"}},
            "methods": list(METHODS),
            "splits": {"mine": {"scheme": "folds", "params": {"given": str(split)}}},
            "seed": SEED, "seeds": 1, "id_share": 0, "audit": False, **SETTINGS,
        }
    )  # fmt: skip
    out = tmp_path_factory.mktemp("benchmark")
    run_benchmark(spec, out, InProcessExecutor(), options=RunOptions(keep=True))
    _, records = read_records(out / RECORDS_FILE)
    return {
        record.name: load_model(task_folder(out, record.id) / "model")
        for record in records.values()
        if record.fold == 1
    }


@pytest.mark.parametrize("method", METHODS)
def test_all_doors_give_the_same_bits(
    method, table, config, fold, split, from_run, from_benchmark, tmp_path, xtalshift
):
    data = clean_table(read_table(table, target="gap"))
    in_python = fit(
        data, method, settings=config, rows=FitRows(fold.train, fold.val),
        intervals=NO_INTERVALS, seed=SEED,
    )  # fmt: skip
    settings = tmp_path / "settings.toml"
    settings.write_text(config.to_toml())
    outcome = xtalshift(
        "train", table, "--config", settings, "--method", method, "-o", tmp_path / "model",
        "--split", split, "--fold", 1, "--intervals", "none",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    trained = load_model(tmp_path / "model")
    assert_same_bits([in_python, trained, from_run[method], from_benchmark[method]])
    asked = ["GaN", "LiFePO4", *data.formulas[:5]]
    values = [
        model.predict(asked).prediction
        for model in (in_python, trained, from_run[method], from_benchmark[method])
    ]
    assert np.isfinite(values).all()
    for other in values[1:]:
        np.testing.assert_array_equal(values[0], other)
    another = fit(
        data, method, settings=config, rows=FitRows(fold.val, fold.train),
        intervals=NO_INTERVALS, seed=SEED,
    )  # fmt: skip
    assert not np.array_equal(another.predict(asked).prediction, values[0])


@pytest.mark.parametrize("method", ["ridge", "lightgbm", "erm"])
def test_the_command_and_python_draw_the_same_rows(method, table, config, tmp_path, xtalshift):
    settings = tmp_path / "settings.toml"
    settings.write_text(config.to_toml())
    outcome = xtalshift(
        "train", table, "--config", settings, "--method", method, "-o", tmp_path / "model"
    )
    assert outcome.code == 0, outcome.err
    trained = load_model(tmp_path / "model")
    in_python = fit(read_table(table, target="gap"), method, settings=config, seed=SEED)
    assert_same_bits([in_python, trained])
    np.testing.assert_array_equal(in_python.calibration.scores, trained.calibration.scores)
    asked = ["GaN", "LiFePO4", "NaCl", "Xx"]
    one, two = (model.predict(asked, explain=True).frame for model in (in_python, trained))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_the_face_of_scikit_learn_holds_the_same_model(table):
    data = read_table(table, target="gap")
    face = FormulaRegressor("ridge", random_state=SEED).fit(data.formulas.tolist(), data.y)
    assert_same_bits([face.model_, fit(data, "ridge", intervals=NO_INTERVALS, seed=SEED)])
