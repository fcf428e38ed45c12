"""Tasks of a target that is a class: what is calibrated on which rows, scores, records, summary."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmark_toys import N, make_fold, make_problem
from xtalshift.benchmark.choice import choose
from xtalshift.benchmark.choice_rows import predict_unseen
from xtalshift.benchmark.class_scores import class_frame, evaluate_classes, evaluate_rows
from xtalshift.benchmark.fit_task import fit_task
from xtalshift.benchmark.problem import ChoiceRows, FoldRows, Shared, TestRows
from xtalshift.benchmark.records import PREDICTIONS_FILE, TaskRecord
from xtalshift.benchmark.row_intervals import halve
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.benchmark.summary import summarise
from xtalshift.benchmark.tasks import TaskContext, plan_tasks
from xtalshift.benchmark.worker import run_task, task_folder
from xtalshift.data.cut_classes import cut_classes
from xtalshift.errors import ConfigError
from xtalshift.jsonio import parse, to_json
from xtalshift.metrics import class_number_error, classification_scores
from xtalshift.model import FittedClassifier
from xtalshift.provenance import Provenance
from xtalshift.uncertainty.class_calibration import ClassCalibration

NAMES = ("low", "middle", "high")


def make_classes(ordered=False):
    problem = make_problem()
    data = cut_classes(problem.data, np.quantile(problem.data.y, [0.4, 0.7]), NAMES)
    return replace(problem, data=replace(data, ordered=ordered))


def make_rows(n_id=30):
    """Return a fold with enough ID rows to calibrate."""
    rows = np.random.default_rng(0).permutation(N)
    inside = np.sort(rows[:n_id])
    tests = (
        TestRows("shift", "id", inside),
        TestRows("shift", "ood", np.sort(rows[n_id : n_id + 15]), "the rest"),
    )
    return FoldRows(
        "toy", "shift", 0, 0, "held out", "high", (),
        np.sort(rows[n_id + 23 :]), np.sort(rows[n_id + 15 : n_id + 23]), rows[:0], tests,
    )  # fmt: skip


SPEC = BenchmarkSpec(
    data={"toy": {"dataset": "toy.csv"}}, splits={"shift": {"scheme": "random"}},
    methods=["ridge"], seeds=1,
)  # fmt: skip


def fitted(problem, fold, method="ridge"):
    shared = Shared({"toy": problem}, {fold.key: fold}, {})
    (task,) = [one for one in plan_tasks(SPEC, shared) if one.name == method]
    return fit_task(task, {}, problem, fold, TaskContext.of(SPEC), calibrate=True), task, shared


def test_no_row_calibrates_its_own_probabilities_and_set():
    problem, fold = make_classes(), make_rows()
    model, _, _ = fitted(problem, fold)
    assert isinstance(model, FittedClassifier)
    X, y = problem.X["magpie"], problem.data.y.astype(int)
    found = evaluate_rows(model, problem, X, fold)
    raw = model.classifier.predict_proba(X)
    first, second = (fold.id_rows[half] for half in halve(problem.data.groups[fold.id_rows], 0))
    for rows, others in ((first, second), (second, first)):
        own = ClassCalibration.of(
            raw[others], y[others], origin="held-out", groups=problem.data.groups[others]
        )
        np.testing.assert_array_equal(found.probabilities[rows], own.probabilities.apply(raw[rows]))
        sets = own.sets.sets(raw[rows], 0.9)
        np.testing.assert_array_equal(found.in_set[rows], sets[np.arange(len(rows)), y[rows]])
    outside = fold.test_rows
    every = ClassCalibration.of(
        raw[fold.id_rows], y[fold.id_rows], origin="held-out",
        groups=problem.data.groups[fold.id_rows],
    )  # fmt: skip
    np.testing.assert_array_equal(found.probabilities[outside], model.predict_features(X[outside]))
    np.testing.assert_array_equal(
        found.set_size[outside], every.sets.sets(raw[outside], 0.9).sum(1)
    )
    assert np.isnan(found.in_set[fold.train]).all()
    assert np.isfinite(found.probabilities[fold.val]).all()


def test_scores_are_those_of_the_rows_and_the_dummy_of_the_training_shares():
    problem, fold = make_classes(ordered=True), make_rows()
    model, _, _ = fitted(problem, fold)
    rows = evaluate_rows(model, problem, problem.X["magpie"], fold)
    inside, outside = evaluate_classes(problem, fold, rows)
    assert (inside.role, outside.role) == ("id", "ood")
    y = problem.data.y.astype(int)
    shares = np.bincount(y[fold.train], minlength=3) / len(fold.train)
    at = fold.test_rows
    expected = classification_scores(y[at], rows.probabilities[at], train_shares=shares)
    assert outside.log_loss == outside.error == expected.log_loss
    assert outside.error_over_dummy == expected.log_loss_over_dummy
    assert outside.dummy_error == pytest.approx(expected.log_loss / expected.log_loss_over_dummy)
    assert outside.accuracy == expected.accuracy
    assert outside.error_low < outside.error < outside.error_high
    assert outside.class_number_error == class_number_error(y[at], rows.probabilities[at])
    assert outside.set_coverage_90 == rows.in_set[at].mean()
    assert outside.mean_set_size_90 == rows.set_size[at].mean()
    assert outside.mae is outside.coverage_90 is None


def test_few_id_rows_leave_probabilities_as_they_are_and_no_sets():
    problem, fold = make_classes(), make_fold(budgets=())
    model, _, _ = fitted(problem, fold)
    assert model.calibration is None
    rows = evaluate_rows(model, problem, problem.X["magpie"], fold)
    np.testing.assert_array_equal(
        rows.probabilities[fold.test_rows],
        model.classifier.predict_proba(problem.X["magpie"][fold.test_rows]),
    )
    score = evaluate_classes(problem, fold, rows)[1]
    assert score.set_coverage_90 is None
    assert score.class_number_error is None


def test_a_task_leaves_a_record_and_its_predictions(tmp_path):
    problem, fold = make_classes(), make_rows()
    _, task, shared = fitted(problem, fold)
    record = run_task(task, shared, TaskContext.of(SPEC, keep=tmp_path))
    assert record.ok, record.traceback
    assert record.val_mae is None
    assert 0 < record.val_log_loss < 2
    assert TaskRecord.from_plain(record.to_plain()) == record
    frame = pd.read_parquet(task_folder(tmp_path, task.id) / PREDICTIONS_FILE)
    assert len(frame) == 45
    assert set(frame["target"]) <= set(NAMES)
    p = frame[[f"probability_{name}" for name in NAMES]].to_numpy()
    np.testing.assert_allclose(p.sum(1), 1.0)
    assert (np.array(NAMES)[p.argmax(1)] == frame["prediction"]).all()


def test_the_summary_ranks_by_log_loss():
    problem, fold = make_classes(), make_rows()
    shared = Shared({"toy": problem}, {fold.key: fold}, {})
    spec = SPEC
    tasks = plan_tasks(spec, shared)
    records = [run_task(task, shared, TaskContext.of(spec)) for task in tasks]
    found = summarise(spec, shared, records, len(tasks), {}, Provenance())
    assert found.measure == "log loss"
    (cell,) = [one for one in found.cells if (one.name, one.role) == ("ridge", "ood")]
    score = records[[task.name for task in tasks].index("ridge")].results[1]
    assert cell.error == cell.log_loss == pytest.approx(score.log_loss)
    assert cell.mae is cell.mae_over_dummy is None
    assert cell.error_over_dummy == pytest.approx(score.log_loss_over_dummy)
    assert cell.gap == pytest.approx(cell.log_loss / cell.id_log_loss)
    assert cell.describe() == f"{cell.log_loss:.4g} ({cell.log_loss_over_dummy:.2f})"
    assert (cell.error_low, cell.error_high) == pytest.approx(
        (score.log_loss_low, score.log_loss_high)
    )
    assert cell.worst_fold_error == pytest.approx(cell.log_loss)
    assert parse(type(found), to_json(found), "x") is not None


def test_a_method_of_regression_says_which_are_for_classes():
    problem, fold = make_classes(), make_rows()
    shared = Shared({"toy": problem}, {fold.key: fold}, {})
    spec = SPEC.model_copy(update={"methods": BenchmarkSpec(
        data={"toy": {"dataset": "toy.csv"}}, splits={"shift": {"scheme": "random"}},
        methods=["svr"],
    ).methods})  # fmt: skip
    with pytest.raises(ConfigError, match=r"svr is for regression; for classes use: .*ridge"):
        plan_tasks(spec, shared)


def test_the_frame_has_each_row_once_per_split():
    problem, fold = make_classes(), make_rows()
    model, _, _ = fitted(problem, fold)
    rows = evaluate_rows(model, problem, problem.X["magpie"], fold)
    frame = class_frame("ridge", problem, fold, rows)
    assert frame.groupby("role").size().to_dict() == {"id": 30, "ood": 15}
    assert frame["in_set"].notna().all()


def test_the_rows_that_choose_are_judged_by_calibrated_probabilities():
    problem, fold = make_classes(), make_rows()
    model, task, _ = fitted(problem, fold)
    rows = np.sort(np.concatenate([fold.train, fold.val]))
    choice = ChoiceRows(fold.key, rows, n_folds=3, repeats=2)
    found = predict_unseen(model, task, {}, problem, choice, fold, TaskContext.of(SPEC))
    assert sorted(found["repeat"].unique()) == [0, 1]
    assert found.groupby("repeat")["row"].nunique().tolist() == [len(rows)] * 2
    assert found["prediction"].isna().all()
    drawn = choose({"ridge": found}, problem.data.y, problem.data.groups, choice)
    assert drawn.mae == pytest.approx(found["error"].mean())
    shares = np.bincount(problem.data.y[rows].astype(int)) / len(rows)
    assert drawn.mae < -np.sum(shares * np.log(shares))  # better than the shares
    few = replace(choice, rows=fold.val, n_folds=0, repeats=0)
    own = predict_unseen(model, task, {}, problem, few, fold, TaskContext.of(SPEC))
    expected = model.row_errors(problem.X["magpie"][fold.val], problem.data.y[fold.val])
    np.testing.assert_array_equal(own["error"], expected)
