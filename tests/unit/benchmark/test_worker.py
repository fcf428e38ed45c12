"""One task: what a method is given, and what is recorded of it."""

import gc
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from benchmark_toys import make_shared
from estimator_toys import Spy
from xtalshift.benchmark import fit_task
from xtalshift.benchmark.prepare import prepare_shared
from xtalshift.benchmark.records import (
    HISTORY_FILE,
    PREDICTIONS_FILE,
    TRUST_COLUMNS,
    TaskRecord,
)
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.benchmark.tasks import TaskContext, plan_tasks
from xtalshift.benchmark.worker import (
    outcome_record,
    prepare_worker,
    run_task,
    task_folder,
    work,
)
from xtalshift.data import TargetTransform
from xtalshift.errors import WorkerDiedError
from xtalshift.estimators import ConstantRegressor, RidgeRegressor
from xtalshift.jsonio import read_json
from xtalshift.methods import METHODS
from xtalshift.methods.registry import Method
from xtalshift.model import load_model
from xtalshift.parallel import Outcome, Policy
from xtalshift.parallel.processes import ProcessExecutor


@pytest.fixture
def spy(monkeypatch):
    def register(sees):
        method = Method(lambda settings, seed: Spy(random_state=seed), "constant", sees)
        monkeypatch.setitem(METHODS._items, "spy", method)
        return "spy"

    return register


def run(spec, shared, name, **changes):
    settings = spec([name], **changes)
    tasks = [task for task in plan_tasks(settings, shared) if task.name == name]
    return [run_task(task, shared, TaskContext.of(settings)) for task in tasks]


@pytest.mark.parametrize("sees", ["source", "features", "labels"])
def test_a_method_gets_what_it_declares_and_no_test_label(spec, shared, spy, sees):
    records = run(spec, shared, spy(sees))
    assert {record.status for record in records} == {"ok"}
    problem, fold = shared.problems["toy"], shared.folds["toy/shift/0/1"]
    seen = Spy.seen
    y = problem.data.y
    assert np.array_equal(seen.train.y, y[fold.train])
    assert np.array_equal(seen.validation.y, y[fold.val])
    if sees == "source":
        assert seen.target is None
    elif sees == "features":
        both = np.sort(np.concatenate([fold.target, fold.test_rows]))
        order = np.lexsort(seen.target.X.T)
        pool = problem.X["magpie"][both]
        assert np.array_equal(seen.target.X[order], pool[np.lexsort(pool.T)])
        assert not np.array_equal(seen.target.X, pool)  # not in the order of the table
        assert np.isnan(seen.target.y).all()
    else:
        assert [record.budget for record in records] == [10, 20, 10, 20]
        assert np.array_equal(seen.target.y, y[fold.target[:20]])


def test_target_features_are_a_sample_of_bounded_size(spec, shared, spy, monkeypatch):
    monkeypatch.setattr(fit_task, "MAX_UNLABELLED", 7)
    run(spec, shared, spy("features"))
    fold = shared.folds["toy/shift/0/1"]
    both = np.concatenate([fold.target, fold.test_rows])
    pool = shared.problems["toy"].X["magpie"][both]
    assert Spy.seen.target.X.shape == (7, 4)
    assert all((pool == row).all(axis=1).any() for row in Spy.seen.target.X)


def test_scores_are_those_of_the_prediction(spec, shared):
    record = run(spec, shared, "ridge")[0]
    problem, fold = shared.problems["toy"], shared.folds["toy/shift/0/0"]
    X, y = problem.X["magpie"], problem.data.y
    model = RidgeRegressor().fit(X[fold.train], y[fold.train], X_val=X[fold.val], y_val=y[fold.val])
    results = {score.role: score for score in record.results}
    for role, rows in (("ood", fold.test_rows), ("id", fold.id_rows)):
        errors = np.abs(model.predict(X[rows]) - y[rows])
        dummy = np.abs(y[fold.train].mean() - y[rows])
        assert results[role].mae == pytest.approx(errors.mean())
        assert results[role].mae_over_dummy == pytest.approx(errors.mean() / dummy.mean())
        assert results[role].mae_low <= results[role].mae <= results[role].mae_high
    pool = np.concatenate([fold.id_rows, fold.test_rows])
    found = results["pool"]
    assert found.n == len(pool) == 22
    assert found.n_tail == np.sum(y[pool] >= np.quantile(y, 0.95))
    picked = pool[np.argsort(-model.predict(X[pool]))[:10]]
    assert found.regret == pytest.approx(y[pool].max() - y[picked].max())
    assert found.regret_over_range == pytest.approx(found.regret / np.ptp(y[pool]))
    assert found.top5_recall == (np.argmax(y[pool]) == np.argmax(model.predict(X[pool])))
    assert found.top5_enrichment == 22 * found.top5_recall
    assert record.val_mae == pytest.approx(np.abs(model.predict(X[fold.val]) - y[fold.val]).mean())
    assert (record.n_train, record.n_val, record.n_id) == (40, 8, 7)
    assert (record.n_test, record.budget) == (15, 0)


def test_the_extremes_of_an_id_split_are_sought_among_its_test_rows(spec):
    shared = make_shared(seeds=1, role="id", budgets=())
    (record,) = run(spec, shared, "ridge")
    fold = shared.folds["toy/shift/0/0"]
    scores = {score.role: score for score in record.results}
    assert list(scores) == ["id", "pool"]
    assert scores["pool"].n == len(fold.test_rows) == 15  # not the validation rows


def test_the_low_side_is_sought_if_the_fold_says_so(spec):
    shared = make_shared(seeds=1)
    (key,) = shared.folds
    shared.folds[key] = replace(shared.folds[key], tail="low")
    (record,) = run(spec, shared, "ridge")
    problem, fold = shared.problems["toy"], shared.folds[key]
    X, y = problem.X["magpie"], problem.data.y
    model = RidgeRegressor().fit(X[fold.train], y[fold.train], X_val=X[fold.val], y_val=y[fold.val])
    pool = np.concatenate([fold.id_rows, fold.test_rows])
    picked = pool[np.argsort(model.predict(X[pool]))[:10]]
    (found,) = [score for score in record.results if score.role == "pool"]
    assert found.regret == pytest.approx(y[picked].min() - y[pool].min())
    assert found.n_tail == np.sum(y[pool] <= np.quantile(y, 0.05))


def test_a_failure_is_a_record_with_its_traceback(spec, shared, monkeypatch):
    def broken(settings, seed):
        raise RuntimeError("no such luck")

    monkeypatch.setitem(METHODS._items, "broken", Method(broken))
    record = run(spec, shared, "broken")[0]
    assert record.status == "failed"
    assert record.reason == "RuntimeError: no such luck"
    assert 'raise RuntimeError("no such luck")' in record.traceback


def test_the_cap_of_rows_is_recorded(spec, shared):
    entry = {"name": "near", "method": "nearest", "params": {"max_rows": 25}}
    settings = spec([entry])
    task = next(task for task in plan_tasks(settings, shared) if task.name == "near")
    record = run_task(task, shared, TaskContext.of(settings))
    assert (record.row_cap, record.n_used, record.n_train) == (25, 25, 40)


def test_id_rows_calibrate_the_intervals_of_the_usual_weights(spec, shared):
    fold = shared.folds["toy/shift/0/0"]
    inside = np.sort(np.concatenate([fold.id_rows, fold.target]))  # enough for two halves
    tests = (replace(fold.tests[0], rows=inside), fold.tests[1])
    wide = replace(fold, target=fold.target[:0], budgets=(), tests=tests)
    record = run(spec, replace(shared, folds={wide.key: wide}), "ensemble")[0]
    usual = {score.role: score for score in record.results if score.variant == ""}
    for role, n in (("id", 27), ("ood", 15)):
        assert 0 <= usual[role].coverage_90 <= 1
        assert usual[role].coverage_90 * n == pytest.approx(round(usual[role].coverage_90 * n))
        assert usual[role].median_width_90 > 0
    assert {score.variant for score in record.results} == {"", "last", "ema"}
    others = [score for score in record.results if score.variant or score.role == "pool"]
    assert {score.coverage_90 for score in others} == {None}
    few = run(spec, shared, "ensemble")[0]  # 7 ID rows
    assert {score.coverage_90 for score in few.results} == {None}


def test_tuning_never_loses_on_the_rows_it_looks_at(spec, shared):
    record = run(spec, shared, "lightgbm", tuning={"trials": 3}, lightgbm={"n_estimators": 5})[0]
    tuning = record.tuning
    assert tuning["trials"] == 3
    assert tuning["val_mae"] <= tuning["usual_val_mae"]
    assert record.val_mae == pytest.approx(tuning["val_mae"])
    # a method with nothing to tune is trained once, as it is
    assert run(spec, shared, "dummy", tuning={"trials": 3})[0].tuning == {"trials": 0}


def test_tuning_of_a_method_with_labels_looks_at_a_fifth_of_them(spec, shared, spy, monkeypatch):
    method = Method(
        lambda settings, seed: Spy(random_state=seed),
        "constant",
        "labels",
        space={"statistic": ("choice", "mean", "median", "max")},
    )
    monkeypatch.setitem(METHODS._items, "spy", method)
    rows = []
    monkeypatch.setattr(Spy, "_fit", lambda self, data: rows.append(len(data.target.y)) or
                        ConstantRegressor._fit(self, data))  # fmt: skip
    run(spec, shared, "spy", tuning={"trials": 2}, budgets=[20], seeds=1)
    assert rows[:3] == [8, 8, 10]  # budget 10: two trials on 8 labels, then all of them


def test_memory_is_counted_anew_for_every_task(spec, shared, monkeypatch):
    class Hungry(ConstantRegressor):
        def _fit(self, data):
            np.ones(32 * 2**20).sum()  # 256 MiB
            super()._fit(data)

    method = Method(lambda settings, seed: Hungry(random_state=seed))
    monkeypatch.setitem(METHODS._items, "hungry", method)
    gc.collect()  # what earlier tests left shall not be freed meanwhile
    first, second = run(spec, shared, "hungry")[0], run(spec, shared, "dummy")[0]
    assert first.peak_mib is None or first.peak_mib > 150
    assert second.peak_mib is None or second.peak_mib < 100


def test_every_kind_of_worker_gives_the_same_records(spec, shared):
    settings = spec(["ridge", "erm"])
    tasks, context = plan_tasks(settings, shared), TaskContext.of(settings)

    def numbers(workers, policy):
        setup = partial(prepare_worker, shared, context)
        outcomes = ProcessExecutor(workers=workers).map(work, tasks, setup=setup, policy=policy)
        records = [outcome_record(outcome, shared) for outcome in outcomes]
        return {record.id: record.content() for record in records}

    # not this process: the libraries that other tests have loaded may change the last bits
    here, there = numbers(1, Policy(fresh=True)), numbers(2, Policy())
    assert here.keys() == there.keys()
    assert all(record.ok for record in here.values())
    for key, values in here.items():  # as text, where NaN equals NaN
        assert str(values) == str(there[key])


def test_a_task_whose_worker_died_is_a_failed_record(spec, shared):
    task = plan_tasks(spec(["ridge"]), shared)[0]
    error = WorkerDiedError("the worker process was killed by signal 9 (SIGKILL) in 2 attempts")
    record = outcome_record(Outcome(task, error, 2), shared)
    assert (record.id, record.status, record.attempts) == (task.id, "failed", 2)
    assert record.reason == str(error)
    assert (record.name, record.n_train) == ("ridge", 40)


COLUMNS = ["method", "split", "role", "seed", "id", "formula", "target", "prediction",
           *TRUST_COLUMNS]  # fmt: skip
CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Ag", "Cu", "Tl")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se", "N")


class Averaged(ConstantRegressor):
    """A constant that keeps another one beside it, as networks keep averaged weights."""

    def predict_variants(self, X):
        return {"": self.predict(X), "ema": self.predict(X) + 0.1}


class Exploding(ConstantRegressor):
    """Predicts a value whose exponential overflows where the last feature is above a limit.

    The prior shift holds out the rows above 8.2, and no others.
    """

    def __init__(self, limit=8.2):
        super().__init__()
        self.limit = limit

    def _predict(self, X):
        return np.where(X[:, -1] > self.limit, 1e6, 1.0)


class Split(Exploding):
    """Its usual constant is finite, its other one overflows on the prior shift."""

    def predict_variants(self, X):
        return {"": np.ones(len(X)), "ema": self._predict(X)}


class TestKept:
    """Tasks of one training for all splits, which leave their predictions and models."""

    @pytest.fixture
    def keep(self, tmp_path):
        """Return a function that runs a method and returns record, predictions, fold, problem."""

        def call(method, **data):
            formulas = [f"{a}{n}{b}" for a in CATIONS for b in ANIONS for n in (1, 2)]
            frame = pd.DataFrame({"formula": formulas, "gap": np.linspace(1.0, 9.0, 128)})
            frame["size"] = frame["gap"]  # the prior shift holds out the largest of both
            frame.to_csv(tmp_path / "gaps.csv", index=False)
            table = {"dataset": str(tmp_path / "gaps.csv"), "target": "gap",
                     "features": "fractions", **data}  # fmt: skip
            settings = BenchmarkSpec.from_dict(
                {
                    "data": {"table": table}, "features": ["fractions"], "methods": [method],
                    "splits": {
                        "prior": {"scheme": "prior"},
                        "family:F": {"scheme": "family", "params": {"contains": "F"}},
                    },
                    "joint": True, "id_share": 0.3, "seeds": 1, "audit": False,
                    "erm": {"epochs": 3}, "network": {"architecture": [8]},
                }
            ).check_methods()  # fmt: skip
            shared, _ = prepare_shared(settings, {})
            tasks = [task for task in plan_tasks(settings, shared) if task.name == method]
            shared = replace(shared, domains=fit_task.find_domains(shared, tasks))
            record = run_task(tasks[0], shared, TaskContext.of(settings, tmp_path))
            (fold,) = shared.folds.values()
            path = task_folder(tmp_path, record.id) / PREDICTIONS_FILE
            predictions = pd.read_parquet(path) if path.exists() else None
            return record, predictions, fold, shared.problems["table"]

        return call

    def test_scores_and_predictions_of_every_split(self, keep):
        record, predictions, fold, problem = keep("dummy")
        assert record.status == "ok"
        errors = [score for score in record.results if score.role != "pool"]
        keys = [("random", "id"), *((s, r) for s in ("prior", "family:F") for r in ("id", "ood"))]
        assert [(score.split, score.role) for score in errors] == keys
        y = problem.data.y
        mean = y[fold.train].mean()
        for score, test in zip(errors, fold.tests, strict=True):
            assert score.n == len(test.rows)
            assert score.mae == pytest.approx(np.abs(y[test.rows] - mean).mean())
            assert score.mae_over_dummy == pytest.approx(1.0)
        assert predictions.columns.tolist() == COLUMNS
        # the ID rows stand once, under the first split
        groups = predictions.groupby(["split", "role"], sort=False)
        assert groups.size().index.tolist() == [
            ("random", "id"), ("prior", "ood"), ("family:F", "ood"),
        ]  # fmt: skip
        assert groups.size().tolist() == [len(fold.tests[i].rows) for i in (0, 2, 4)]
        assert (predictions["prediction"] == mean).all()
        ood = predictions[predictions["split"] == "family:F"]
        assert ood["id"].tolist() == problem.data.ids[fold.tests[4].rows].tolist()
        assert ood["target"].tolist() == y[fold.tests[4].rows].tolist()

    def test_the_model_that_is_kept_gives_the_predictions_that_are_kept(self, keep, tmp_path):
        record, predictions, fold, problem = keep("erm")
        folder = task_folder(tmp_path, record.id)
        assert {path.name for path in folder.iterdir()} == {
            "model", PREDICTIONS_FILE, HISTORY_FILE,
        }  # fmt: skip
        epochs = read_json(folder / HISTORY_FILE)
        assert [epoch["epoch"] for epoch in epochs] == [0, 1, 2]
        assert record.best_epoch in {0, 1, 2}
        usual = predictions[(predictions["method"] == "erm") & (predictions["role"] == "ood")]
        model = load_model(folder / "model")
        found = model.predict(usual["formula"].tolist())
        np.testing.assert_allclose(found.prediction, usual["prediction"], rtol=1e-6)
        np.testing.assert_allclose(found.lower, usual["lower"], rtol=1e-6)
        np.testing.assert_allclose(found.ood_score, usual["ood_score"], rtol=1e-6)
        assert model.calibration.origin == "held-out"
        assert len(model.calibration) == len(fold.id_rows)
        assert model.was_trained_on(problem.X["fractions"])[fold.train].all()
        assert set(predictions["method"]) == {"erm", "erm:last", "erm:ema"}

    def test_the_usual_weights_have_intervals_and_domain_and_others_do_not(self, keep, monkeypatch):
        method = Method(lambda settings, seed: Averaged(), saved=True)
        monkeypatch.setitem(METHODS._items, "averaged", method)
        monkeypatch.setattr("xtalshift.benchmark.worker.save_model", lambda model, folder: folder)
        record, predictions, fold, _ = keep("averaged", transform="log1p")
        assert len(fold.id_rows) >= 20
        usual = predictions[predictions["method"] == "averaged"]
        other = predictions[predictions["method"] == "averaged:ema"]
        assert len(usual) == len(other)
        trust = list(TRUST_COLUMNS)
        assert usual[trust].notna().all(axis=None)
        assert other[trust].isna().all(axis=None)
        assert str(predictions["in_domain"].dtype) == "boolean"
        assert usual["ood_score"].between(0, 1).all()
        # no other material has fluorine
        assert not usual.loc[usual["split"] == "family:F", "in_domain"].any()
        held = usual["target"].between(usual["lower"], usual["upper"])
        assert (held == (usual["needed_level"] < 0.9)).all()
        assert (usual["prediction"].between(usual["lower"], usual["upper"])).all()
        for score in record.results:
            split = score.split if score.role == "ood" else "random"
            rows = usual[(usual["split"] == split) & (usual["role"] == score.role)]
            if score.variant == "" and score.role != "pool":
                assert score.coverage_90 == (rows["needed_level"] < 0.9).mean()
                width = (rows["upper"] - rows["lower"]).median()
                assert score.median_width_90 == pytest.approx(width)
            else:
                assert (score.coverage_90, score.median_width_90) == (None, None)

    @pytest.fixture
    def exploding(self, keep, monkeypatch):
        """Return a function that runs `Exploding` with a limit."""
        monkeypatch.setattr("xtalshift.benchmark.worker.save_model", lambda model, folder: folder)
        monkeypatch.setattr(
            "xtalshift.model.fitting.target_scale", lambda *_: TargetTransform("log")
        )

        def call(limit):
            method = Method(lambda settings, seed: Exploding(limit), saved=True)
            monkeypatch.setitem(METHODS._items, "exploding", method)
            return keep("exploding", feature_cols=["size"])

        return call

    def test_an_overflow_on_one_split_is_a_failure_there_only(self, exploding):
        record, predictions, fold, problem = exploding(8.2)
        assert record.status == "ok"
        scores = {(score.split, score.role): score for score in record.results}
        bad = [scores.pop(("prior", role)) for role in ("ood", "pool")]
        (first, *_) = problem.data.formulas[fold.tests[2].rows]
        assert bad[0].reason == f"the prediction of {first} is inf (12 of 12 rows)"
        assert [(score.n, score.mae, score.coverage_90) for score in bad[:1]] == [(12, None, None)]
        assert "is inf (12 of " in bad[1].reason
        assert list(scores) == [
            ("random", "id"), ("prior", "id"), ("family:F", "id"), ("family:F", "ood"),
            ("random", "pool"), ("family:F", "pool"),
        ]  # fmt: skip
        for (split, role), score in scores.items():
            assert score.ok
            if role != "pool":
                rows = fold.tests[4].rows if (split, role) == ("family:F", "ood") else fold.id_rows
                errors = np.abs(np.e - problem.data.y[rows])
                assert score.mae == pytest.approx(errors.mean())
        assert list(record.failures) == ["prior"]
        assert TaskRecord.from_plain(record.to_plain()) == record
        assert predictions.groupby(["split", "role"], sort=False).size().index.tolist() == [
            ("random", "id"), ("family:F", "ood"),
        ]  # fmt: skip

    def test_an_overflow_on_every_split_is_a_failure_of_the_task(self, exploding):
        record, predictions, _, _ = exploding(0.0)
        assert (record.status, record.results, predictions) == ("failed", (), None)
        assert record.failures == {"all": record.reason}
        assert record.reason.startswith("DataError: the prediction of ")

    def test_an_overflow_of_other_weights_does_not_spoil_the_usual_ones(self, keep, monkeypatch):
        method = Method(lambda settings, seed: Split(), saved=True)
        monkeypatch.setitem(METHODS._items, "split", method)
        monkeypatch.setattr("xtalshift.benchmark.worker.save_model", lambda model, folder: folder)
        monkeypatch.setattr(
            "xtalshift.model.fitting.target_scale", lambda *_: TargetTransform("log")
        )
        record, _, _, _ = keep("split", feature_cols=["size"])
        assert record.status == "ok"
        assert {score.variant for score in record.results} == {""}
