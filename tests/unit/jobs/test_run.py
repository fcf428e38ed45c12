"""A run is a canned benchmark: which one, and what it writes."""

import shutil
from operator import attrgetter

import numpy as np
import pandas as pd
import pytest

from report_toys import read_page, read_text
from xtalshift.benchmark.prepare import prepare_shared
from xtalshift.benchmark.run_results import read_results
from xtalshift.benchmark.store import RECORDS_FILE, read_records
from xtalshift.errors import ConfigError, DataError, SplitError, TrainingError
from xtalshift.estimators import RidgeRegressor
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.jobs.run import CONFIG_FILE, _check_folder, run, spec_of
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jobs.train import train
from xtalshift.jsonio import read_json
from xtalshift.methods import METHODS, Method
from xtalshift.model import fit, load_model
from xtalshift.parallel import InProcessExecutor
from xtalshift.progress import NO_PROGRESS
from xtalshift.report.run.run_page import build_run_report
from xtalshift.uncertainty.settings import IntervalConfig

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se")
FORMULAS = [f"{a}{n}{b}" for a in CATIONS for b in ANIONS for n in (2, 3)]
SHIFTS = ["random", "prior", "family"]


@pytest.fixture
def configure(tmp_path):
    """Return a function from settings to those of a run on 168 rows."""

    def call(split=None, data=None, columns=None, **settings):
        path = tmp_path / "materials.csv"
        frame = pd.DataFrame({"formula": FORMULAS, "y": np.linspace(1, 3, len(FORMULAS)) ** 2})
        frame.assign(**(columns or {})).to_csv(path, index=False)
        known = {
            "data": {"dataset": str(path), "target": "y", "features": "fractions", **(data or {})},
            "split": {"schemes": SHIFTS, **(split or {})},
            "methods": ["dummy", "ridge"],
            "erm": {"epochs": 3},
            "network": {"architecture": [8]},
        }
        return RunConfig.from_dict(known | settings)

    return call


def held_out(config):
    """Return the problem of a run and the held-out rows of each split of its first fold."""
    shared, _ = prepare_shared(spec_of(config).check_methods(), {})
    fold = next(iter(shared.folds.values()))
    rows = {test.split: test.rows for test in fold.tests if test.role == "ood"}
    return shared.problems["table"].data, rows


def test_the_benchmark_of_the_default_run(configure):
    config = configure(
        {"schemes": ["covariate", "prior", "family", "random"], "random_share": 0.3,
         "validation_share": 0.2, "n_neighbors": 3, "family": "Li+F"},
        seed=4, n_seeds=2,
    )  # fmt: skip
    spec = spec_of(config)
    assert spec.joint
    assert not spec.audit
    assert (spec.id_name, spec.id_share, spec.validation_share) == ("random", 0.3, 0.2)
    assert list(spec.all_seeds) == [4, 5]
    assert {name: split.scheme for name, split in spec.splits.items()} == {
        "covariate": "covariate", "prior": "prior", "family:Li+F": "family",
    }  # fmt: skip
    assert spec.splits["covariate"].params == {
        "share": 0.1, "n_neighbors": 3, "n_components": 10, "embedding": "pca", "random_state": 0,
    }  # fmt: skip
    assert spec.splits["prior"].params == {"tail": "high", "share": 0.1}
    assert spec.splits["family:Li+F"].params == {"contains": "Li+F"}
    assert [entry.method for entry in spec.methods] == ["dummy", "ridge"]
    assert spec.features == ("fractions",)
    assert spec.erm == config.erm
    assert spec.data["table"].target == "y"


def test_the_default_methods_keep_a_budget():
    config = RunConfig()
    assert config.methods == ("dummy", "ridge", "lightgbm", "erm", "cal", "cal-eps0", "auto")
    assert spec_of(config).minutes == config.minutes is None


def test_extremes_are_sought_on_the_side_of_the_tail(configure):
    sides = {tail: spec_of(configure({"tail": tail})).tail for tail in ("high", "low", "both")}
    assert sides == {"high": "high", "low": "low", "both": "high"}


@pytest.mark.parametrize("separate", [True, False])
def test_records_say_whether_extremes_are_found(configure, tmp_path, separate):
    config = configure({"separate": separate, "tail": "low"})
    results = run(config, tmp_path / "out", InProcessExecutor())
    frame = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    frame = frame[frame["method"] == "ridge"]
    records = {(one.split, one.role): one for one in results.records if one.method == "ridge"}
    assert all(records[name, "id"].regret is None for name in ("prior", "family:F"))
    for split, role in (("random", "id"), ("prior", "ood"), ("family:F", "ood")):
        own = frame[(frame["split"] == split) & (frame["role"] == role)]
        home = split if separate else "random"  # one set of ID rows serves all splits
        inside = frame[(frame["split"] == home) & (frame["role"] == "id")]
        pool = own if role == "id" else pd.concat([inside, own])
        picked = pool.nsmallest(10, "prediction")["target"]
        found = records[split, role]
        assert found.regret == pytest.approx(picked.min() - pool["target"].min())
        assert found.n_tail == np.sum(
            pool["target"] <= np.quantile(np.linspace(1, 3, 168) ** 2, 0.05)
        )
        k = int(0.05 * len(pool) + 0.5)
        top = set(pool.nsmallest(k, "target")["id"]) & set(pool.nsmallest(k, "prediction")["id"])
        assert found.top5_recall == pytest.approx(len(top) / k)
    again = read_results(tmp_path / "out")
    assert [one.regret for one in again.records] == [one.regret for one in results.records]
    assert "Finding extremes" in read_page(tmp_path / "out")


def test_separate_trainings_have_a_random_split_of_their_own(configure):
    spec = spec_of(configure({"separate": True, "random_share": 0.25}))
    assert not spec.joint
    assert list(spec.splits) == ["random", "prior", "family:F"]
    assert spec.splits["random"].params == {"share": 0.25}


class TestRelation:
    chosen = ("Zn2O", "Cd3Se", "Al2S")

    def test_a_column_of_flags(self, configure):
        flags = [formula in self.chosen for formula in FORMULAS]
        config = configure(
            {"schemes": ["random"], "relation_flag": "flag"}, columns={"flag": flags}
        )
        data, rows = held_out(config)
        assert sorted(data.formulas[rows["relation"]]) == sorted(self.chosen)
        assert list(rows) == ["relation"]

    @pytest.mark.parametrize("duplicates", ["keep", "mean"])
    def test_a_flag_on_a_later_row_of_a_formula_is_not_lost(self, configure, duplicates):
        formulas = [*FORMULAS[:-1], "Zn4O2"]
        columns = {"formula": formulas, "flag": [0] * (len(formulas) - 1) + [1]}
        config = configure(
            {"schemes": ["random"], "relation_flag": "flag"}, {"duplicates": duplicates}, columns
        )
        data, rows = held_out(config)
        kept = {"keep": ["Zn2O", "Zn4O2"], "mean": ["Zn2O"]}
        assert sorted(data.formulas[rows["relation"]]) == kept[duplicates]

    def test_a_file_of_formulas_written_in_any_way(self, configure, tmp_path):
        listed = tmp_path / "relation.csv"
        pd.DataFrame({"composition": ["OZn2", "Se2Cd6", "S1Al2", "nonsense", "UO2"]}).to_csv(listed)
        config = configure({"schemes": ["random"], "relation_file": str(listed)})
        data, rows = held_out(config)
        assert sorted(data.formulas[rows["relation"]]) == sorted(self.chosen)

    def test_a_file_without_formulas(self, configure, tmp_path):
        listed = tmp_path / "relation.csv"
        pd.DataFrame({"formula": ["nonsense", "?"]}).to_csv(listed)
        with pytest.raises(DataError, match=r"relation\.csv holds no readable formula"):
            held_out(configure({"relation_file": str(listed)}))

    def test_undeclared(self, configure):
        with pytest.raises(SplitError, match="give --relation-flag COLUMN or --relation-file FILE"):
            spec_of(configure({"schemes": ["relation"]}))


def test_what_a_run_leaves(configure, tmp_path):
    config = configure(methods=["ridge", "erm"], n_seeds=2)
    out = tmp_path / "out"
    results = run(config, out, InProcessExecutor())
    assert read_results(out) == results
    assert read_json(out / "results.json")["schema_version"] == 2
    assert read_json(out / "results.json")["intake"]["rows_dropped"] == 0
    assert results.config == config.to_dict()
    assert results.intake.rows_kept == 168
    assert results.provenance.data.materials == 168
    assert RunConfig.from_toml(out / "config.toml") == config

    keys = [(r.method, r.split, r.role, r.seed) for r in results.records]
    assert len(set(keys)) == len(keys)
    names = {"dummy", "ridge", "erm", "erm:last", "erm:ema"}
    places = {("random", "id"), ("prior", "id"), ("prior", "ood"), ("family:F", "id"),
              ("family:F", "ood")}  # fmt: skip
    assert set(keys) == {
        (name, split, role, seed)
        for name in names for (split, role) in places for seed in (0, 1)
    }  # fmt: skip
    assert {r.mae_over_dummy for r in results.records if r.method == "dummy"} == {1.0}

    predictions = pd.read_parquet(out / "predictions.parquet")
    for record in results.records:
        split = record.split if record.role == "ood" else "random"
        rows = predictions[
            (predictions["method"] == record.method) & (predictions["seed"] == record.seed)
            & (predictions["split"] == split) & (predictions["role"] == record.role)
        ]  # fmt: skip
        assert len(rows) == record.n
        assert np.abs(rows["target"] - rows["prediction"]).mean() == pytest.approx(record.mae)

    table = pd.read_parquet(out / "map.parquet")
    assert table["formula"].tolist() == FORMULAS
    assert table["in_family:F"].tolist() == [formula.endswith("F") for formula in FORMULAS]
    assert table[["pc1", "pc2"]].notna().all(axis=None)
    splits = {(s.name, s.role, s.seed): s for s in results.splits}
    assert len(splits) == 10
    assert splits["family:F", "ood", 0].n_test == 24
    assert splits["random", "id", 0].fit == "all"
    histories = {(h.method, h.seed): h for h in results.histories}
    assert histories.keys() == {("erm", 0), ("erm", 1)}
    assert [epoch["epoch"] for epoch in histories["erm", 0].epochs] == [0, 1, 2]


def outside(out):
    """Return the numbers of the rows that no test set of the first seed holds."""
    rows = pd.read_parquet(out / "predictions.parquet")
    tested = set(rows.loc[rows["seed"] == 0, "formula"])
    return [number for number, formula in enumerate(FORMULAS) if formula not in tested]


def judged(out):
    """Return what each method of the first seed predicted of rows that it had not seen."""
    _, records = read_records(out / RECORDS_FILE)
    return {
        one.name: pd.read_parquet(out / "tasks" / one.id / "choice.parquet")
        for one in records.values()
        if one.seed == 0
    }


@pytest.mark.parametrize("separate", [False, True])
def test_the_method_is_chosen_by_a_repeated_cross_fit_of_rows_in_no_test_set(
    configure, tmp_path, separate
):
    out = tmp_path / "out"
    config = configure({"separate": separate}, methods=["ridge", "lightgbm"], n_seeds=2)
    results = run(config, out, InProcessExecutor())
    y, errors = np.linspace(1, 3, len(FORMULAS)) ** 2, {}
    fits = ["random", "prior", "family:F"] if separate else ["all"]
    _, records = read_records(out / RECORDS_FILE)
    judges = {(one.split, one.seed) for one in records.values() if "choice.parquet" in one.files}
    assert judges == {(fits[0], 0)}
    for record in records.values():
        if (record.split, record.seed) != (fits[0], 0):
            continue
        frame = pd.read_parquet(out / "tasks" / record.id / "choice.parquet")
        assert sorted(set(frame["row"])) == outside(out)
        assert (frame.groupby("row")["repeat"].nunique() == 3).all()
        assert len(frame) == 3 * len(outside(out))
        assert (frame.groupby(["repeat"])["fold"].nunique() == 5).all()
        errors[record.name] = np.abs(frame["prediction"] - y[frame["row"]]).mean()
    choice = results.model.choice
    assert results.model.method == choice.method == min(errors, key=errors.get)
    assert choice.mae == pytest.approx(errors[choice.method])
    assert {one.method: one.mae for one in choice.rivals} == pytest.approx(
        {name: error for name, error in errors.items() if name != choice.method}
    )
    assert (choice.n_rows, choice.n_folds, choice.repeats) == (len(outside(out)), 5, 3)


@pytest.mark.parametrize("small", [1000, 50])
def test_no_target_of_a_test_row_takes_part_in_the_choice(configure, tmp_path, small):
    schemes = {"schemes": ["random", "family"]}  # the tail depends on the targets
    settings = {"methods": ["ridge", "lightgbm"], "choice": {"small": small, "repeats": 1}}
    first = run(configure(schemes, **settings), tmp_path / "one", InProcessExecutor())
    y = np.linspace(1, 3, len(FORMULAS)) ** 2
    free = outside(tmp_path / "one")
    others = np.setdiff1d(np.arange(len(FORMULAS)), free)
    y[others] = np.random.default_rng(0).permutation(y[others])
    columns = {"y": y}
    second = run(configure(schemes, columns=columns, **settings), tmp_path / "two",
                 InProcessExecutor())  # fmt: skip
    assert outside(tmp_path / "two") == free
    assert second.model.choice == first.model.choice
    errors = [
        [r.mae for r in each.records if (r.method, r.split) == ("ridge", "random")]
        for each in (first, second)
    ]
    assert errors[0] != errors[1]


def test_features_of_an_encoder_are_judged_by_materials_that_it_has_not_seen(configure, tmp_path):
    out = tmp_path / "out"
    config = configure(data={"features": "fractions+pretrained"}, choice={"repeats": 1})
    run(config, out, InProcessExecutor())
    encoder = encoder_of("pretrained")
    shared, _ = prepare_shared(spec_of(config).check_methods(), {})
    fresh = ~encoder.knows(shared.problems["table"].data.groups)
    (ridge,) = (frame for name, frame in judged(out).items() if name == "ridge")
    assert sorted(ridge["row"]) == [row for row in outside(out) if fresh[row]]
    assert 0 < len(ridge) < len(outside(out))


def test_many_rows_are_judged_by_the_validation_rows_of_the_training(configure, tmp_path):
    out = tmp_path / "out"
    config = configure(methods=["ridge", "lightgbm"], choice={"small": 50})
    results = run(config, out, InProcessExecutor())
    shared, _ = prepare_shared(spec_of(config).check_methods(), {})
    (fold,) = shared.folds.values()
    _, records = read_records(out / RECORDS_FILE)
    for record in records.values():
        frame = pd.read_parquet(out / "tasks" / record.id / "choice.parquet")
        assert frame["row"].tolist() == fold.val.tolist()
        mae = np.abs(frame["prediction"] - shared.problems["table"].data.y[fold.val]).mean()
        assert mae == pytest.approx(record.val_mae)
    best = min(records.values(), key=lambda record: record.val_mae)
    assert (results.model.method, results.model.choice.repeats) == (best.name, 0)
    assert results.model.choice.mae == pytest.approx(best.val_mae)


@pytest.mark.parametrize("method", ["ridge", "lightgbm", "erm", "auto"])
def test_the_saved_model_is_that_of_train_on_all_rows(configure, tmp_path, method):
    config = configure(methods=[method], seed=2, lightgbm={"n_estimators": 30},
                       choice={"repeats": 1}, threads=1)  # fmt: skip
    out = tmp_path / "out"
    results = run(config, out, InProcessExecutor())
    model = results.model
    assert (model.method, model.seed, model.n_rows) == (method, 2, 168)
    # a stack is fitted to all rows; a tenth of them only selects the parameters of the others
    aside = 0 if method == "auto" else 16
    assert (model.n_train, model.n_validation, model.n_calibration) == (168 - aside, aside, 0)
    saved = load_model(out / "model")
    cross = config.model_copy(update={"intervals": IntervalConfig(method="cross")})
    alone = train(cross, method).model
    asked = ["GaN", "LiFePO4", *FORMULAS]
    for name in ("prediction", "lower", "upper", "std", "ood_score"):
        one, other = (getattr(each.predict(asked), name) for each in (saved, alone))
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert (model.calibration, model.n_calibrated) == ("out-of-fold", len(saved.calibration))
    assert saved.calibration.scores.tolist() == alone.calibration.scores.tolist()
    if method != "auto":
        assert model.n_calibrated == 168


def test_a_model_that_is_there_is_kept_and_one_that_is_gone_or_altered_is_fitted_again(
    configure, tmp_path, monkeypatch
):
    out, fits = tmp_path / "out", []

    def counting(*arguments, **options):
        fits.append(arguments[1])
        return fit(*arguments, **options)

    monkeypatch.setattr("xtalshift.jobs.refit.fit", counting)
    config = configure(methods=["ridge"])
    first = run(config, out, InProcessExecutor())
    arrays = next((out / "model").glob("arrays-*"))
    whole = arrays.read_bytes()
    assert run(config, out, InProcessExecutor()).model == first.model
    assert fits == ["ridge"]
    arrays.write_bytes(b"")
    assert run(config, out, InProcessExecutor()).model == first.model
    assert (fits, arrays.read_bytes()) == (["ridge"] * 2, whole)
    shutil.rmtree(out / "model")
    run(config, out, InProcessExecutor())
    assert (fits, arrays.read_bytes()) == (["ridge"] * 3, whole)
    (out / "refit.json").write_text("{")
    run(config, out, InProcessExecutor())
    assert (fits, arrays.read_bytes()) == (["ridge"] * 4, whole)


def test_a_method_that_cannot_be_fitted_to_all_rows_leaves_no_model_and_says_why(
    configure, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    run(configure(methods=["ridge"]), out, InProcessExecutor())
    shutil.rmtree(out / "model")

    def failing(*arguments, **options):
        raise TrainingError("no such luck")

    def full_disk(*arguments):
        raise DataError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("xtalshift.jobs.refit.fit", failing)
        results = run(configure(methods=["ridge"]), out, InProcessExecutor())
    assert (results.model.method, results.model.failure) == (
        "ridge", "TrainingError: no such luck",
    )  # fmt: skip
    assert not (out / "model").exists()
    assert (
        "No model is saved: ridge was chosen, but could not be fitted to all rows (TrainingError: "
        "no such luck)."
    ) in read_text(read_page(out))
    with monkeypatch.context() as patch:  # that is not the fault of the method
        patch.setattr("xtalshift.jobs.refit.save_model", full_disk)
        with pytest.raises(DataError, match="no space left"):
            run(configure(methods=["ridge"]), out, InProcessExecutor())
    again = run(configure(methods=["ridge"]), out, InProcessExecutor())
    assert again.model.failure is None
    assert load_model(out / "model").card.provenance["method"] == "ridge"


def test_a_method_that_fails_has_a_record_for_every_test_set(configure, tmp_path, monkeypatch):
    def broken(settings, seed):
        raise RuntimeError("no such luck")

    monkeypatch.setitem(METHODS._items, "broken", Method(broken, saved=True))
    results = run(configure(methods=["broken"]), tmp_path / "out", InProcessExecutor())
    failed = [r for r in results.records if r.method == "broken"]
    done = [r for r in results.records if r.method == "dummy"]
    place = attrgetter("split", "role", "seed", "n")
    assert [place(r) for r in failed] == [place(r) for r in done]
    assert {r.status for r in failed} == {"failed"}
    assert {r.reason for r in failed} == {"RuntimeError: no such luck"}
    assert {r.mae for r in failed} == {None}
    assert {r.reason for r in done} == {None}
    # it is begun again, what was done is not
    before = {r.method: r.seconds for r in results.records}
    monkeypatch.setitem(METHODS._items, "broken", METHODS["ridge"])
    again = run(configure(methods=["broken"]), tmp_path / "out", InProcessExecutor())
    assert {r.status for r in again.records} == {"ok"}
    assert next(r for r in again.records if r.method == "dummy").seconds == before["dummy"]


class Exploding(RidgeRegressor):
    """Predicts a logarithm whose exponential overflows where the last feature is 1."""

    def _predict(self, X):
        return np.where(X[:, -1] == 1.0, 1e6, super()._predict(X))


def test_a_split_that_cannot_be_scored_fails_alone(configure, tmp_path, monkeypatch):
    method = Method(lambda settings, seed: Exploding(random_state=seed), saved=True)
    monkeypatch.setitem(METHODS._items, "exploding", method)
    monkeypatch.setattr("xtalshift.benchmark.worker.save_model", lambda model, folder: None)
    monkeypatch.setattr("xtalshift.jobs.refit.save_model", lambda model, folder: None)
    config = configure(
        {"family": "Li"}, {"feature_cols": ["alkali"], "transform": "log"},
        {"alkali": [float(formula.startswith("Li")) for formula in FORMULAS]},
        methods=["dummy", "exploding"],
    )  # fmt: skip
    out = tmp_path / "out"
    results = run(config, out, InProcessExecutor())
    found = {(r.split, r.role): r for r in results.records if r.method == "exploding"}
    bad = found.pop(("family:Li", "ood"))
    assert (bad.status, bad.mae, bad.n) == ("failed", None, 14)
    assert bad.reason == "the prediction of Li2F is inf (14 of 14 rows)"
    assert {key: r.status for key, r in found.items()} == {
        ("random", "id"): "ok", ("prior", "id"): "ok", ("prior", "ood"): "ok",
        ("family:Li", "id"): "ok",
    }  # fmt: skip
    assert all(r.mae > 0 for r in found.values())
    summary = read_json(out / "summary.json")
    assert (summary["n_done"], summary["n_failed"]) == (2, 0)
    (failure,) = summary["failures"]
    assert (failure["name"], failure["split"]) == ("exploding", "family:Li")
    assert failure["reason"] == bad.reason
    report = build_run_report(out)
    (row,) = [row for row in report.rows if row.method == "exploding"]
    cells = {cell.split: (cell.mae is None, cell.failed) for cell in row.cells}
    assert cells == {
        "random": (False, 0), "prior": (False, 0), "family:Li": (True, 1),
    }  # fmt: skip
    text = read_text(read_page(out))
    assert "Some runs of exploding failed; the list of failures gives the reasons." in text
    assert bad.reason in text


def test_no_prediction_at_all(configure, tmp_path, monkeypatch):
    def broken(settings, seed):
        raise RuntimeError("no such luck")

    monkeypatch.setitem(METHODS._items, "dummy", Method(broken, saved=True))
    results = run(configure(methods=["dummy"]), tmp_path / "out", InProcessExecutor())
    assert results.model is None
    assert results.histories == ()
    assert not (tmp_path / "out" / "predictions.parquet").exists()


def test_only_the_same_run_goes_on_in_a_folder(configure, tmp_path):
    out = tmp_path / "out"
    results = run(configure(methods=["dummy"]), out, InProcessExecutor())
    again = run(configure(methods=["dummy"]), out, InProcessExecutor())
    assert again.records == results.records
    other = configure({"random_share": 0.3}, methods=["ridge"], seed=1)
    with pytest.raises(ConfigError, match=r"other settings \(methods, seed, split.random_share\)"):
        run(other, out, InProcessExecutor())
    (out / "notes.txt").write_text("mine")
    replaced = run(other, out, InProcessExecutor(), overwrite=True)
    assert {r.seed for r in replaced.records} == {1}
    assert (out / "notes.txt").read_text() == "mine"
    assert len(list((out / "tasks").iterdir())) == 2


@pytest.mark.parametrize("damage", ["folder gone", "file gone", "file altered", "file added"])
def test_a_task_whose_files_are_gone_or_altered_is_run_again(configure, tmp_path, damage):
    out = tmp_path / "out"
    config = configure(methods=["dummy", "ridge"])
    before = run(config, out, InProcessExecutor())
    whole = (out / "predictions.parquet").read_bytes()
    task = next(r for r in read_records(out / RECORDS_FILE)[1].values() if r.name == "ridge")
    folder = out / "tasks" / task.id
    assert {"predictions.parquet", "history.json", "model/model.json"} < task.files.keys()
    if damage == "folder gone":
        shutil.rmtree(folder)
    elif damage == "file gone":
        next(folder.glob("model/arrays-*")).unlink()
    elif damage == "file altered":
        (folder / "predictions.parquet").write_bytes(b"PAR1")
    else:
        (folder / "model" / "other").write_bytes(b"")
    seconds = {r.method: r.seconds for r in before.records}
    again = run(config, out, InProcessExecutor())
    assert [(r.method, r.mae) for r in again.records] == [(r.method, r.mae) for r in before.records]
    changed = {r.method for r in again.records if r.seconds != seconds[r.method]}
    assert changed == {"ridge"}
    assert (out / "predictions.parquet").read_bytes() == whole
    assert read_records(out / RECORDS_FILE)[1][task.id].files == task.files


@pytest.mark.parametrize(
    ("names", "overwrite", "message"),
    [
        (["notes.txt"], False, "is not empty and holds no run; .* to add a run to it"),
        (["config.toml", "run.json"], False, "holds a run of an earlier version; .*replace it"),
        (["results.json"], True, "holds no run, but a run would replace 'results.json'"),
    ],
)
def test_folders_of_something_else(configure, tmp_path, names, overwrite, message):
    out = tmp_path / "out"
    out.mkdir()
    for name in names:
        (out / name).write_text("mine")
    with pytest.raises(ConfigError, match=message):
        run(configure(), out, InProcessExecutor(), overwrite=overwrite)
    assert {path.name: path.read_text() for path in out.iterdir()} == dict.fromkeys(names, "mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        run(configure(), tmp_path / "file" / "out", InProcessExecutor())


def test_settings_that_are_found_in_the_table_are_told_as_such(configure, tmp_path):
    def of_family(family):
        split = given.split.model_copy(update={"family": family})
        return given.model_copy(update={"split": split})

    given = configure()
    out = tmp_path / "out"
    out.mkdir()
    (out / CONFIG_FILE).write_text(of_family("N").to_toml())
    message = (
        r"other settings \(split\.family, found in .* where not given: have its rows, or the st"
    )
    with pytest.raises(ConfigError, match=message):
        _check_folder(out, of_family("S"), given, overwrite=False)
    with pytest.raises(ConfigError, match=r"other settings \(split\.family\); choose another"):
        _check_folder(out, of_family("S"), of_family("S"), overwrite=False)


def test_a_run_that_cannot_begin_leaves_the_folder_as_it_was(configure, tmp_path):
    out = tmp_path / "out"
    bad = configure({"family": "Pu"})
    with pytest.raises(SplitError, match="holds out 0 of 168 rows"):
        run(bad, out, InProcessExecutor())
    assert not out.exists()
    run(configure(methods=["dummy"]), out, InProcessExecutor())
    before = (out / "records.jsonl").read_bytes()
    with pytest.raises(SplitError, match="holds out 0 of 168 rows"):
        run(bad, out, InProcessExecutor(), overwrite=True)
    assert (out / "records.jsonl").read_bytes() == before
    assert (out / "results.json").exists()


def explained(results):
    found = results.explanation
    assert found.method == results.model.method == "ridge"
    return found


def test_the_errors_of_the_chosen_method_are_explained(configure, tmp_path):
    config, out = configure(explain={"worst": 4}), tmp_path / "out"
    found = explained(run(config, out, InProcessExecutor()))
    frame = pd.read_parquet(out / "predictions.parquet")
    frame = frame[frame["method"] == "ridge"].set_index("id")
    table = pd.read_parquet(out / "map.parquet").set_index("id")
    tested = set(frame.index)
    for role in ("id", "ood"):
        own = frame[frame["role"] == role]
        errors = (own["prediction"] - own["target"]).abs()
        errors = errors[~errors.index.duplicated()].nlargest(4)
        assert [one.id for one in found.worst if one.role == role] == list(errors.index)
    data, _ = held_out(config)
    fractions = data.materials.compositions.element_fractions()
    place = {name: row for row, name in enumerate(data.ids)}
    (fold,) = prepare_shared(spec_of(config).check_methods(), {})[0].folds.values()
    train = fold.train
    kept = fractions[train].std(axis=0) > 0
    points = (fractions[:, kept] - fractions[train][:, kept].mean(axis=0)) / fractions[train][
        :, kept
    ].std(axis=0)
    for one in found.worst:
        distances = np.linalg.norm(points[train] - points[place[one.id]], axis=1)
        assert [near.distance for near in one.neighbours] == pytest.approx(
            np.sort(distances)[:3], rel=1e-3, abs=1e-3
        )
        for near in one.neighbours:
            same = train[np.isclose(distances, near.distance, rtol=1e-3, atol=1e-3)]
            assert near.target in data.y[same]
            assert not {data.ids[row] for row in same} & tested
        row = frame.loc[[one.id]].iloc[0]
        assert (one.target, one.prediction) == (row["target"], row["prediction"])
        assert one.formula == table.loc[one.id, "formula"]
    unseen = {one.formula: one.unseen for one in found.worst if "F" in one.formula}
    assert all("F" in elements for elements in unseen.values())


def test_a_learning_curve_has_the_errors_of_the_comparison_as_its_end(configure, tmp_path):
    results = run(configure(), tmp_path / "out", InProcessExecutor())
    curve = explained(results).learning
    assert curve.learner == "ridge"
    (n_train,) = {one.n_train for one in results.splits}
    assert curve.n_train == n_train
    assert {one.n_train for one in curve.points} == {n_train, n_train // 2}
    records = {(r.split, r.role): r.mae for r in results.records if r.method == "ridge"}
    whole = [one for one in curve.points if one.n_train == n_train]
    assert {(one.split, one.role) for one in whole} == {
        ("random", "id"), ("prior", "ood"), ("family:F", "ood"),
    }  # fmt: skip
    assert all(one.mae == records[one.split, one.role] for one in whole)
    assert {one.draw for one in curve.points} == {0, 1, 2}


@pytest.mark.parametrize("separate", [True, False])
def test_each_part_of_the_explanation_can_be_switched_off(configure, tmp_path, separate):
    off = {"worst": 0, "drivers": False, "learning": False}
    config = configure({"separate": separate}, explain=off)
    found = explained(run(config, tmp_path / "out", InProcessExecutor()))
    assert (found.worst, found.learning, found.drivers) == ((), None, None)
    config = configure({"separate": separate}, explain={"worst": 2, "most_rows": 60, "draws": 1})
    found = explained(run(config, tmp_path / "other", InProcessExecutor()))
    assert len(found.worst) == 4
    assert {one.split for one in found.learning.points} == {"random", "prior", "family:F"}
    assert {one.family for one in found.drivers.found} == {"amounts of the single elements"}


def test_what_was_explained_is_not_measured_again(configure, tmp_path, monkeypatch):
    config, out = configure(), tmp_path / "out"
    first = run(config, out, InProcessExecutor()).explanation

    def forbidden(*_, **__):
        raise AssertionError

    monkeypatch.setattr("xtalshift.jobs.explain.measure_learning", forbidden)
    monkeypatch.setattr("xtalshift.jobs.explain.measure_drivers", forbidden)
    monkeypatch.setattr("xtalshift.jobs.explain.describe_worst", forbidden)
    assert run(config, out, InProcessExecutor()).explanation == first
    assert read_results(out).explanation == first
    (out / "explanation.json").write_text("{", encoding="utf-8")
    damaged = run(config, out, InProcessExecutor())  # what fails is named, and the run stands
    assert (damaged.explanation.worst, damaged.explanation.learning) == ((), None)
    assert damaged.explanation.failures == (
        "worst compounds: AssertionError: ",
        "what drives the predictions: AssertionError: ",
        "learning curve: AssertionError: ",
    )
    cautions = [one.text for one in build_run_report(out).cautions]
    assert "A part of this page was not measured: learning curve: AssertionError: ." in cautions
    monkeypatch.undo()
    assert run(config, out, InProcessExecutor()).explanation == first


def test_other_settings_of_the_explanation_keep_the_model(configure, tmp_path):
    out = tmp_path / "out"
    run(configure(), out, InProcessExecutor())
    before = (out / "refit.json").read_bytes()
    again = run(configure(explain={"worst": 1, "learning": False}), out, InProcessExecutor())
    assert [one.role for one in explained(again).worst] == ["id", "ood"]
    assert explained(again).learning is None
    assert (out / "refit.json").read_bytes() == before


@pytest.mark.parametrize(
    ("kept", "named", "family"),
    [
        (["F", "Cl", "Br", "I", "O", "S", "Se"], None, "F"),
        (["Cl", "Br", "I", "O", "S", "Se"], None, "Li"),  # 12 of 144 rows, as all cations
        (["Cl", "Br", "I", "O", "S", "Se"], "Se", "Se"),
    ],
)
def test_the_family_of_a_table_without_fluorides(configure, tmp_path, kept, named, family):
    told = []

    class Listener(type(NO_PROGRESS)):
        def say(self, text):
            told.append(text)

    config = configure({"family": named} if named else {}, methods=["dummy"])
    formulas = [name for name in FORMULAS if any(name.endswith(end) for end in kept)]
    frame = pd.DataFrame({"formula": formulas, "y": np.linspace(1, 3, len(formulas)) ** 2})
    frame.to_csv(tmp_path / "materials.csv", index=False)
    for _ in range(2):  # the second call continues the first
        results = run(config, tmp_path / "out", InProcessExecutor(), progress=Listener())
    assert [one.name for one in results.splits][-1] == f"family:{family}"
    said = [text for text in told if "usually held out as a family" in text]
    assert bool(said) == (family == "Li")
    if said:
        assert said[0] == (
            "No row contains F, which is usually held out as a family; here it is Li (12 of 144 "
            "rows; --family names another)"
        )
