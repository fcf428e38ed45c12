"""One task: what it records, and what a failure spoils."""

import numpy as np
import pandas as pd
import pytest
from xtalshift.jobs.run.prepare import plan_fits, prepare
from xtalshift.jobs.run.spec import RunConfig
from xtalshift.jobs.run.task import PREDICTION_COLUMNS, find_domain, join_predictions, run_task

from xtalshift.benchmark.records import JUDGED_COLUMNS
from xtalshift.chem.elements import SYMBOLS, load_elements
from xtalshift.data import TargetTransform
from xtalshift.errors import DataError
from xtalshift.estimators import ConstantRegressor
from xtalshift.methods import METHODS, Method
from xtalshift.progress import NO_PROGRESS

ELEMENTS = ("Li", "Na", "K", "Rb", "Cs", "Ag", "Cu", "Tl")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se", "N")


def run(config, prepared, fit, method, place):
    domain = find_domain(config, prepared, fit)
    return run_task(config, prepared, fit, method, place, {}, domain, NO_PROGRESS)


def write(path, targets=None, more=()):
    formulas = [f"{a}{n}{b}" for a in ELEMENTS for b in ANIONS for n in (1, 2)]
    values = np.linspace(1.0, 9.0, len(formulas)) if targets is None else targets
    rows = [*zip(formulas, values, strict=True), *more]
    pd.DataFrame(rows, columns=["formula", "gap"]).to_csv(path, index=False)
    return path


def config_for(path, **data):
    return RunConfig.from_dict(
        {"threads": 1, "data": {"dataset": str(path), "target": "gap", **data}}
    )


def test_records_and_predictions_of_a_task(tmp_path):
    config = config_for(write(tmp_path / "gaps.csv"))
    prepared = prepare(config)
    (fit,) = plan_fits(config, prepared)
    task, predictions = run_task(
        config,
        prepared,
        fit,
        "dummy",
        tmp_path,
        {},
        find_domain(config, prepared, fit),
        NO_PROGRESS,
    )
    assert task["status"] == "ok"
    keys = [(record["split"], record["role"]) for record in task["records"]]
    assert keys == [("random", "id")] + [
        (split, role) for split in ("covariate", "prior", "family:F") for role in ("id", "ood")
    ]
    mean = prepared.y[fit.train].mean()
    for record, test in zip(task["records"], fit.tests, strict=True):
        assert record["n"] == len(test.rows)
        assert record["mae"] == pytest.approx(np.abs(prepared.y[test.rows] - mean).mean())
        assert record["mae_over_dummy"] == pytest.approx(1.0)
    assert predictions.columns.tolist() == PREDICTION_COLUMNS
    # the ID rows stand once, under the first split
    assert predictions.groupby(["split", "role"]).ngroups == 4
    assert (predictions["prediction"] == mean).all()
    assert (tmp_path / "model" / "model.json").exists()


def test_the_usual_weights_say_how_far_to_trust_them_and_others_do_not(tmp_path, monkeypatch):
    method = Method(lambda settings, seed: Averaged(), saved=True)
    monkeypatch.setitem(METHODS._items, "averaged", method)
    monkeypatch.setattr("xtalshift.jobs.run.task.save_model", lambda model, folder: folder)
    values = config_for(write(tmp_path / "gaps.csv"), transform="log1p").to_dict()
    values["split"]["random_share"] = 0.3  # 20 rows and more
    config = RunConfig.from_dict(values)
    prepared = prepare(config)
    (fit,) = plan_fits(config, prepared)
    task, predictions = run_task(
        config,
        prepared,
        fit,
        "averaged",
        tmp_path,
        {},
        find_domain(config, prepared, fit),
        NO_PROGRESS,
    )
    usual = predictions[predictions["method"] == "averaged"]
    other = predictions[predictions["method"] == "averaged:ema"]
    assert len(usual) == len(other)
    assert usual[JUDGED_COLUMNS].notna().all(axis=None)
    assert other[JUDGED_COLUMNS].isna().all(axis=None)
    assert str(predictions["in_domain"].dtype) == "boolean"
    assert usual["ood_score"].between(0, 1).all()
    # no other material has fluorine
    assert not usual.loc[usual["split"] == "family:F", "in_domain"].any()
    held = usual["target"].between(usual["lower"], usual["upper"])
    assert (held == (usual["needed_level"] < 0.9)).all()
    assert (usual["prediction"].between(usual["lower"], usual["upper"])).all()
    for record in task["records"]:
        assert list(record)[-4:-2] == ["coverage_90", "median_width_90"]
        split = record["split"] if record["role"] == "ood" else "random"
        rows = usual[(usual["split"] == split) & (usual["role"] == record["role"])]
        if record["method"] == "averaged":
            assert record["coverage_90"] == (rows["needed_level"] < 0.9).mean()
            width = (rows["upper"] - rows["lower"]).median()
            assert record["median_width_90"] == pytest.approx(width)
        else:
            assert (record["coverage_90"], record["median_width_90"]) == (None, None)

    old = predictions.drop(columns=JUDGED_COLUMNS)  # as an earlier version left it
    joined = join_predictions([old, predictions])
    assert joined.columns.tolist() == PREDICTION_COLUMNS
    assert joined["lower"].isna().sum() == len(old) + len(other)
    assert str(joined["in_domain"].dtype) == "boolean"


class Averaged(ConstantRegressor):
    """A constant that keeps another one beside it, as networks keep averaged weights."""

    def predict_variants(self, X):
        return {"": self.predict(X), "ema": self.predict(X) + 0.1}


class Exploding(ConstantRegressor):
    """Predicts a value whose exponential overflows for the rows with the largest feature."""

    def _predict(self, X):
        return np.where(X[:, -1] > 8.0, 1e6, 1.0)


def test_an_overflow_spoils_its_own_records_only(tmp_path, monkeypatch):
    method = Method(lambda settings, seed: Exploding(), saved=True)
    monkeypatch.setitem(METHODS._items, "exploding", method)
    monkeypatch.setattr("xtalshift.jobs.run.task.save_model", lambda model, folder: folder)
    monkeypatch.setattr(
        "xtalshift.jobs.run.task.target_transform",
        lambda regressor, name: TargetTransform("log"),
    )
    path = write(tmp_path / "gaps.csv")
    frame = pd.read_csv(path)
    frame["size"] = frame["gap"]  # the prior shift holds out the largest of both
    frame.to_csv(path, index=False)
    config = config_for(path, feature_cols=["size"])
    prepared = prepare(config)
    (fit,) = plan_fits(config, prepared)
    task, _ = run(config, prepared, fit, "exploding", tmp_path)
    status = {(r["split"], r["role"]): r["status"] for r in task["records"]}
    assert status["prior", "ood"] == "failed"
    assert status["random", "id"] == status["prior", "id"] == "ok"
    failed = next(record for record in task["records"] if record["status"] == "failed")
    assert (failed["mae"], "is inf" in failed["reason"]) == (None, True)
    done = next(record for record in task["records"] if record["status"] == "ok")
    assert failed.keys() - done.keys() == {"reason"}
    assert done.keys() <= failed.keys()


def test_a_row_without_features_is_dropped_with_its_reason(tmp_path):
    states = load_elements().oxidation_states
    symbols = [SYMBOLS[z] for z in range(1, 119) if len(states[z]) > 1]
    amounts = np.random.default_rng(0).random(len(symbols))
    awkward = "".join(f"{s}{a:.9f}" for s, a in zip(symbols, amounts, strict=True)) + "O20"
    path = write(tmp_path / "gaps.csv", more=[(awkward, 2.0)])
    prepared = prepare(config_for(path))
    assert len(prepared.table) == 128
    (finding,) = prepared.cleaning.dropped
    assert (finding.kind, finding.count) == ("formula without features", 1)
    assert "charge" in finding.examples[0].reason
    with pytest.raises(DataError, match="no features for"):
        prepare(config_for(path, strict=True))


def test_a_target_outside_the_transform_is_named_by_its_row_of_the_file(tmp_path):
    targets = np.linspace(1.0, 9.0, 128)
    targets[[3, 4]] = np.nan, 0.0
    path = write(tmp_path / "gaps.csv", targets)
    with pytest.raises(DataError, match="row 5: 0 "):
        prepare(config_for(path, transform="log"))


def test_joining_nothing_gives_the_columns():
    assert join_predictions([]).columns.tolist() == PREDICTION_COLUMNS
