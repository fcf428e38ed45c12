"""One task: what a method is given, and what is recorded of it."""

from functools import partial

import numpy as np
import pytest

from xtalshift.benchmark import fit
from xtalshift.benchmark.tasks import TaskContext, plan_tasks
from xtalshift.benchmark.worker import outcome_record, prepare_worker, run_task, work
from xtalshift.errors import WorkerDiedError
from xtalshift.estimators import ConstantRegressor, RidgeRegressor
from xtalshift.methods import METHODS
from xtalshift.methods.registry import Method
from xtalshift.parallel import InProcessExecutor, Outcome
from xtalshift.parallel.processes import ProcessExecutor


class Spy(ConstantRegressor):
    uses = frozenset({"X_target", "y_target"})
    seen = None

    def _fit(self, data):
        type(self).seen = data
        super()._fit(data)


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
    assert {record["status"] for record in records} == {"ok"}
    problem, fold = shared.problems["toy"], shared.folds["toy/shift/0/1"]
    seen = Spy.seen
    assert np.array_equal(seen.train.y, problem.y[fold.parts["train"]])
    assert np.array_equal(seen.validation.y, problem.y[fold.parts["val"]])
    if sees == "source":
        assert seen.target is None
    elif sees == "features":
        both = np.sort(np.concatenate([fold.parts["target"], fold.parts["test"]]))
        order = np.lexsort(seen.target.X.T)
        pool = problem.X["magpie"][both]
        assert np.array_equal(seen.target.X[order], pool[np.lexsort(pool.T)])
        assert not np.array_equal(seen.target.X, pool)  # not in the order of the table
        assert np.isnan(seen.target.y).all()
    else:
        assert [record["budget"] for record in records] == [10, 20, 10, 20]
        assert np.array_equal(seen.target.y, problem.y[fold.parts["target"][:20]])


def test_target_features_are_a_sample_of_bounded_size(spec, shared, spy, monkeypatch):
    monkeypatch.setattr(fit, "MAX_UNLABELLED", 7)
    run(spec, shared, spy("features"))
    fold = shared.folds["toy/shift/0/1"]
    both = np.concatenate([fold.parts["target"], fold.parts["test"]])
    pool = shared.problems["toy"].X["magpie"][both]
    assert Spy.seen.target.X.shape == (7, 4)
    assert all((pool == row).all(axis=1).any() for row in Spy.seen.target.X)


def test_scores_are_those_of_the_prediction(spec, shared):
    record = run(spec, shared, "ridge")[0]
    problem, fold = shared.problems["toy"], shared.folds["toy/shift/0/0"]
    X, y, parts = problem.X["magpie"], problem.y, fold.parts
    model = RidgeRegressor().fit(
        X[parts["train"]], y[parts["train"]], X_val=X[parts["val"]], y_val=y[parts["val"]]
    )
    results = {result["role"]: result for result in record["results"]}
    for role, part in (("ood", "test"), ("id", "id")):
        errors = np.abs(model.predict(X[parts[part]]) - y[parts[part]])
        dummy = np.abs(y[parts["train"]].mean() - y[parts[part]])
        assert results[role]["mae"] == pytest.approx(errors.mean())
        assert results[role]["mae_over_dummy"] == pytest.approx(errors.mean() / dummy.mean())
        assert results[role]["mae_low"] <= results[role]["mae"] <= results[role]["mae_high"]
    assert results["pool"]["n"] == len(parts["id"]) + len(parts["test"])
    assert record["val_mae"] == pytest.approx(
        np.abs(model.predict(X[parts["val"]]) - y[parts["val"]]).mean()
    )
    assert (record["n_train"], record["n_test"], record["budget"]) == (40, 15, 0)


def test_a_failure_is_a_record_with_its_traceback(spec, shared, monkeypatch):
    def broken(settings, seed):
        raise RuntimeError("no such luck")

    monkeypatch.setitem(METHODS._items, "broken", Method(broken))
    record = run(spec, shared, "broken")[0]
    assert record["status"] == "failed"
    assert record["reason"] == "RuntimeError: no such luck"
    assert 'raise RuntimeError("no such luck")' in record["traceback"]


def test_the_cap_of_rows_is_recorded(spec, shared):
    entry = {"name": "near", "method": "nearest", "params": {"max_rows": 25}}
    settings = spec([entry])
    task = next(task for task in plan_tasks(settings, shared) if task.name == "near")
    record = run_task(task, shared, TaskContext.of(settings))
    assert (record["row_cap"], record["n_used"], record["n_train"]) == (25, 25, 40)


def test_an_ensemble_states_intervals(spec, shared):
    record = run(spec, shared, "ensemble")[0]
    usual = [r for r in record["results"] if r["role"] == "ood" and r["variant"] == ""]
    assert 0 <= usual[0]["coverage"] <= 1
    assert usual[0]["width"] > 0
    assert {r["variant"] for r in record["results"]} == {"", "last", "ema"}


def test_tuning_never_loses_on_the_rows_it_looks_at(spec, shared):
    record = run(spec, shared, "lightgbm", tuning={"trials": 3}, lightgbm={"n_estimators": 5})[0]
    tuning = record["tuning"]
    assert tuning["trials"] == 3
    assert tuning["val_mae"] <= tuning["usual_val_mae"]
    assert record["val_mae"] == pytest.approx(tuning["val_mae"])
    # a method with nothing to tune is trained once, as it is
    assert run(spec, shared, "dummy", tuning={"trials": 3})[0]["tuning"] == {"trials": 0}


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
            np.ones(8 * 2**20).sum()  # 64 MiB
            super()._fit(data)

    method = Method(lambda settings, seed: Hungry(random_state=seed))
    monkeypatch.setitem(METHODS._items, "hungry", method)
    first, second = run(spec, shared, "hungry")[0], run(spec, shared, "dummy")[0]
    assert first["peak_mib"] is None or first["peak_mib"] > 50
    assert second["peak_mib"] is None or second["peak_mib"] < 50


def test_processes_give_the_records_of_this_process(spec, shared):
    settings = spec(["ridge", "erm"])
    tasks, context = plan_tasks(settings, shared), TaskContext.of(settings)
    machine = ("seconds", "cpu_seconds", "predict_seconds", "peak_mib", "host")

    def numbers(executor):
        outcomes = executor.map(work, tasks, setup=partial(prepare_worker, shared, context))
        records = [outcome_record(outcome, shared) for outcome in outcomes]
        return {r["id"]: {k: v for k, v in r.items() if k not in machine} for r in records}

    here, there = numbers(InProcessExecutor()), numbers(ProcessExecutor(workers=2))
    assert here.keys() == there.keys()
    for key, values in here.items():
        assert str(values) == str(there[key])


def test_a_task_whose_worker_died_is_a_failed_record(spec, shared):
    task = plan_tasks(spec(["ridge"]), shared)[0]
    error = WorkerDiedError("the worker process was killed by signal 9 (SIGKILL) in 2 attempts")
    record = outcome_record(Outcome(task, error, 2), shared)
    assert (record["id"], record["status"], record["attempts"]) == (task.id, "failed", 2)
    assert record["reason"] == str(error)
    assert (record["name"], record["n_train"]) == ("dummy", 40)
