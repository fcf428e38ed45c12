"""Own methods from the command line: `train`, `run` and `benchmark` with FILE.py:NAME."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from xtalshift.model import load_model

OWN = """
import os, sys
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from xtalshift.estimators import LightGBMRegressor

class Mean:
    def fit(self, X, y):
        self.mean = y.mean()
        return self

    def predict(self, X):
        return np.full(len(X), self.mean)

forest = RandomForestRegressor(10)
boosted = HistGradientBoostingRegressor(max_iter=20)
mean = Mean()
scaler = StandardScaler()
clusters = KMeans()

def svr(settings, seed):
    return make_pipeline(StandardScaler(), SVR(C=10))

def small():
    return LightGBMRegressor(n_estimators=20)

def odd(one):
    return one

def broken(settings, seed):
    raise RuntimeError("no such luck")

def leaving():
    sys.exit(0)

def ending():
    os._exit(0)
"""
SPEC = """
methods = ["ridge", "sub/own.py:forest", "sub/own.py:svr@fractions",
           { name = "shallow", method = "sub/own.py:forest", params = { max_depth = 1 } },
           { name = "sub/own.py:mean" }]
seeds = 2
audit = false
[data.gaps]
dataset = "TABLE"
target = "gap"
[splits.shift]
scheme = "prior"
params = { share = 0.3 }
"""


@pytest.fixture
def place(tmp_path, monkeypatch, table):
    """Return a folder with a table and a file of own methods, in which commands run."""
    (tmp_path / "own.py").write_text(OWN)
    shutil.copy(table, tmp_path / "t.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(outcome, words):
    assert outcome.code in {1, 2}
    (line,) = outcome.err.splitlines()  # nothing was read or fitted before
    assert words in line


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("own.py", "own.py names a file but no method; write own.py:NAME"),
        ("own.py:", "own.py:: '' is no name in Python; write own.py:NAME"),
        (
            "own.py:forest2",
            "own.py has no 'forest2' (did you mean 'forest'?); it has: boosted, broken",
        ),
        ("own.py:Mean", "own.py:Mean is the class Mean; give an object of it: Mean(...)"),
        ("own.py:scaler", "own.py:scaler is a transformer, StandardScaler"),
        ("own.py:clusters", "own.py:clusters is a clusterer, KMeans"),
        (
            "own.py:odd",
            "the function own.py:odd takes (one); it must take (settings, seed)",
        ),
        ("own.py:broken", "own.py:broken failed: RuntimeError: no such luck"),
        ("own.py:leaving", "own.py:leaving failed: SystemExit: 0"),
        ("own.py:ending", "the plugin own.py failed: the worker process ended with exit code 0"),
        ("none.py:forest", "cannot read the plugin none.py"),
        ("own.py:forest", "own.py:forest: RandomForestRegressor cannot be saved: only pickle"),
        ("own.py:svr", "own.py:svr: StandardScaler + SVR cannot be saved"),
        ("own.py:mean", "own.py:mean: Mean cannot be saved"),
    ],
)
def test_train_refuses_before_it_trains(place, xtalshift, method, words):
    before = sorted(place.iterdir())
    refused(xtalshift("train", "t.csv", "--target", "gap", "--method", method, "-o", "m"), words)
    assert sorted(place.iterdir()) == before


def test_train_saves_a_regressor_of_the_package_with_own_settings(place, xtalshift):
    done = xtalshift("train", "t.csv", "--target", "gap", "--method", "own.py:small", "-o", "m")
    assert done.code == 0, done.err
    assert done.out.startswith("own.py:small: validation MAE ")
    model = load_model(place / "m")
    assert model.card.provenance["method"] == "own.py:small"
    assert model.regressor.n_estimators == 20
    assert len(model.calibration) == 60
    assert xtalshift("predict", "m", "t.csv", "-o", "p.csv").code == 0
    frame = pd.read_csv(place / "p.csv", keep_default_na=False)  # Na N
    found = model.predict(frame["formula"].tolist()).prediction
    assert frame["prediction"].to_numpy() == pytest.approx(found, rel=1e-12)


def test_run_compares_own_methods_and_saves_the_best_that_can_be_saved(place, xtalshift, quick):
    command = ("run", "t.csv", "--target", "gap", "--splits", "random", "-o", "r", "--methods",
               "own.py:forest,own.py:svr,own.py:boosted,own.py:mean", *quick)  # fmt: skip
    done = xtalshift(*command)
    assert done.code == 0, done.err
    results = json.loads((place / "r" / "results.json").read_text())
    errors = {one["method"]: one["mae"] for one in results["records"]}
    assert list(errors) == ["dummy", "forest", "svr", "boosted", "mean"]
    assert errors["mean"] == pytest.approx(errors["dummy"])
    assert errors["forest"] < 0.8 * errors["dummy"]
    model = results["model"]
    assert model["method"] == "dummy"
    assert model["unsaved"] in {"forest", "svr", "boosted"}
    assert "Model:  r/model\n  dummy, trained on all 60 rows" in done.out
    assert f"{model['unsaved']} has a smaller error, but cannot be saved." in done.out
    assert load_model(place / "r" / "model").card.provenance["method"] == "dummy"
    rows = pd.read_parquet(place / "r" / "predictions.parquet")
    forest = rows[rows["method"] == "forest"]
    assert forest["ood_score"].notna().all()
    assert (place / "r" / "own.py").read_text() == OWN
    assert "5 tasks, 5 of them done before" in xtalshift(*command).err
    assert xtalshift("report", "r").code == 0


def test_run_names_what_is_wrong_before_it_writes(place, xtalshift):
    command = ("run", "t.csv", "--target", "gap", "-o", "r", "--methods")
    refused(xtalshift(*command, "ridge,own.py:scaler"), "own.py:scaler is a transformer")
    refused(xtalshift(*command, "ridge,own.py"), "own.py names a file but no method")
    refused(xtalshift(*command, "ridgee"), "or name your own, FILE.py:NAME")
    assert not (place / "r").exists()


def test_benchmark_takes_own_methods_and_continues_from_its_folder(place, xtalshift):
    (place / "sub").mkdir()
    shutil.move(place / "own.py", place / "sub" / "own.py")
    (place / "b.toml").write_text(SPEC.replace("TABLE", str(place / "t.csv")))
    done = xtalshift("benchmark", "b.toml", "-o", "b", "--workers", "1")
    assert done.code == 0, done.err
    lines = (place / "b" / "records.jsonl").read_text().splitlines()
    records = [one for line in lines if "name" in (one := json.loads(line))]
    assert {one["name"] for one in records} == {
        "dummy", "ridge", "forest", "svr@fractions", "shallow", "mean",
    }  # fmt: skip
    assert {one["status"] for one in records} == {"ok"}

    def error(name):
        found = [score["mae"] for one in records if one["name"] == name
                 for score in one["results"] if score["role"] == "id"]  # fmt: skip
        return sum(found) / len(found)

    assert error("mean") == pytest.approx(error("dummy"))
    assert error("forest") < error("shallow")  # their parameters reached them
    again = xtalshift("benchmark", "b/benchmark.toml", "-o", "b", "--workers", "1")
    assert "12 tasks, 12 of them done before" in again.err


def test_a_file_of_registered_methods_may_register_any_estimator(place, xtalshift):
    (place / "own.py").write_text(
        "from sklearn.neighbors import KNeighborsRegressor\n"
        "from xtalshift.methods import register_method\n"
        "@register_method('neighbours-of-mine', space={'n_neighbors': ('int', 1, 9)})\n"
        "def build(settings, seed):\n"
        "    return KNeighborsRegressor()\n"
    )
    spec = SPEC.replace("TABLE", str(place / "t.csv"))
    methods = spec.index("methods"), spec.index("seeds")
    head = 'plugins = ["own.py"]\nmethods = ["neighbours-of-mine"]\ntuning = { trials = 2 }\n'
    (place / "b.toml").write_text(head + spec[methods[1] :])
    done = xtalshift("benchmark", "b.toml", "-o", "b", "--workers", "1")
    assert done.code == 0, done.err
    lines = (place / "b" / "records.jsonl").read_text().splitlines()
    records = [one for line in lines if "name" in (one := json.loads(line))]
    tuned = [one for one in records if one["name"] == "neighbours-of-mine"]
    assert {one["status"] for one in tuned} == {"ok"}
    assert {one["tuning"]["trials"] for one in tuned} == {2}


def test_two_files_of_one_name_are_refused(place, xtalshift):
    (place / "sub").mkdir()
    shutil.copy(place / "own.py", place / "sub" / "own.py")
    command = ("run", "t.csv", "--target", "gap", "-o", "r", "--methods")
    refused(xtalshift(*command, "own.py:forest,sub/own.py:svr"), "two plugins have the name own.py")
