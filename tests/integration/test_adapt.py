"""`xtalshift adapt`, and `xtalshift train --save-adversarial`."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from integration.conftest import train_model
from integration.tables import make_rows, write_rows
from integration.test_errors import fails
from xtalshift.chem import parse_formulas
from xtalshift.model import load_model

pytestmark = pytest.mark.usefixtures("few_corrections")

STEPS = ("--set", "steps=20", "--threads", "1")
NEEDS_SOURCE = ("joint", "unlabelled-cal", "unlabelled-cal-eps0")
METHODS = ("targeted-cal", "targeted-cal-eps0", "fine-tune", "l2-sp", "head-only", *NEEDS_SOURCE)
COMPOSITION = (
    *("--set", "cal.attack=composition", "--set", "cal.substitutions=1"),
    *("--set", "cal.attack_steps=10", "--set", "cal.epsilon=1", "--set", "cal.gamma_init=0"),
)
"""With the short steps and the small ball of the preset hardly a row of two elements moves."""


def read(path):
    """Return a table in which ``NaN`` is sodium nitride."""
    return pd.read_csv(path, keep_default_na=False)


@pytest.fixture(scope="module")
def network(table, tmp_path_factory):
    """Return a saved network."""
    folder = tmp_path_factory.mktemp("models") / "erm"
    return train_model(table, folder, "--method", "erm", "--unit", "eV")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Return a CSV of 30 rows of other materials, whose gaps are 2 higher."""
    rows = [(i, f, round(gap + 2, 3), t) for i, f, gap, t in make_rows(90)[60:]]
    return write_rows(tmp_path_factory.mktemp("target") / "labels.csv", rows)


@pytest.fixture
def adapt(xtalshift, network, labelled, tmp_path):
    def call(*options, model=network, data=labelled, out=None, target="gap"):
        named = () if target is None else ("--target", target)
        how = () if "--method" in options else ("--method", "targeted-cal")
        return xtalshift("adapt", model, data, "-o", out or tmp_path / "adapted", *named,
                         *how, *STEPS, "--overwrite", *options)  # fmt: skip

    return call


def predict(model, formulas):
    """Return the predicted values of formulas that can be read."""
    found = model.predict(list(formulas))
    assert (found.reason == "").all()
    return found.prediction


def error_of(folder, path):
    frame = read(path)
    return np.abs(predict(load_model(folder), frame["formula"].tolist()) - frame["gap"]).mean()


def test_from_train_over_adapt_to_predict(
    adapt, network, labelled, table, tmp_path, xtalshift, monkeypatch
):
    arrays = next(network.glob("arrays-*")).read_bytes()
    outcome = adapt("--source", table, "--source-target", "gap",
                    "--set", "steps=200", "--set", "learning_rate=1e-2")  # fmt: skip
    assert outcome.code == 0, outcome.err
    first, second, intervals, last = outcome.out.splitlines()
    assert intervals.startswith("Intervals: calibrated on ")
    assert "labels of the new region" in intervals
    assert first == "targeted-cal: 30 target rows, 60 source rows replayed"
    assert second.startswith("MAE on 30 labels, each held out in turn: ")
    assert last == f"Model: {tmp_path / 'adapted'}"
    assert second.count(" eV") == 4
    before, after = (float(second.split(" eV")[k].split()[-1]) for k in (0, 1))
    assert after < 0.8 * before
    assert error_of(tmp_path / "adapted", labelled) < 0.7 * error_of(network, labelled)
    # the model that was adapted stays
    assert next(network.glob("arrays-*")).read_bytes() == arrays
    out = tmp_path / "out.csv"
    assert xtalshift("predict", tmp_path / "adapted", labelled, "-o", out).code == 0
    expected = predict(load_model(tmp_path / "adapted"), read(labelled)["formula"].tolist())
    assert read(out)["prediction"].tolist() == pytest.approx(expected.tolist(), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_saves_a_model_that_says_where_it_comes_from(
    method, adapt, network, labelled, table, tmp_path
):
    source = ("--source", table, "--source-target", "gap")
    outcome = adapt("--method", method, *source, "--set", "learning_rate=1e-2")
    assert outcome.code == 0, outcome.err
    replays = method not in {"fine-tune", "l2-sp", "head-only"}
    said = ", 60 source rows replayed" if replays else ""
    first, second, *_ = outcome.out.splitlines()
    assert first == f"{method}: 30 target rows{said}"
    assert ("no source rows are replayed" in outcome.err) != replays
    if method.startswith("unlabelled"):
        assert second == (
            f"{method} was not judged by labels that it did not see; its error is unknown"
        )
    else:
        assert second.startswith("MAE on 30 labels, each held out in turn: ")
        assert "stay as they are" not in outcome.out
    model, start = load_model(tmp_path / "adapted"), load_model(network)
    formulas = read(labelled)["formula"].tolist()
    assert not np.array_equal(predict(model, formulas), predict(start, formulas))
    assert (model.card.target_name, model.card.unit) == ("gap", "eV")
    card = model.card.provenance
    assert (card["method"], card["adapted_to"]["rows"]) == (method, 30)
    assert card["adapted_from"] == start.card.provenance
    saved = json.loads((tmp_path / "adapted" / "model.json").read_text())["regressor"]
    assert (saved["class"], saved["parameters"]["settings"]["steps"]) == (
        "TargetedCALRegressor", 20,
    )  # fmt: skip


def test_the_same_command_replaces_the_model_by_an_equal_one(adapt, tmp_path):
    arrays = []
    for seed in (0, 0, 1):
        assert adapt("--seed", seed).code == 0
        arrays.append(next((tmp_path / "adapted").glob("arrays-*")).read_bytes())
    assert arrays[0] == arrays[1] != arrays[2]


def test_an_adapted_model_can_be_adapted_again(adapt, tmp_path):
    assert adapt().code == 0
    first = tmp_path / "adapted"
    again = adapt(model=first, out=tmp_path / "twice")
    fails(again, "all 30 labelled materials are training materials")
    options = ("--calibration-folds", "0")
    assert adapt(*options, model=first, out=tmp_path / "twice").code == 0
    history = load_model(tmp_path / "twice").card.provenance
    assert history["adapted_from"] == load_model(first).card.provenance


def test_unlabelled_cal_needs_no_values(adapt, labelled, table, tmp_path):
    """Neither their absence nor what they are makes a difference."""
    source = ("--method", "unlabelled-cal", "--source", table, "--source-target", "gap")
    assert adapt(*source).code == 0
    expected = next((tmp_path / "adapted").glob("arrays-*")).read_bytes()
    formulas = tmp_path / "formulas.csv"
    lines = read(labelled)["formula"].tolist()
    formulas.write_text("\n".join(["formula", *lines, "Xx2", lines[0]]) + "\n")
    outcome = adapt(*source, data=formulas, target=None)
    assert "31 of 32 formulas are usable" in outcome.err
    assert outcome.out.startswith("unlabelled-cal: 30 target rows, 60 source rows replayed")
    assert next((tmp_path / "adapted").glob("arrays-*")).read_bytes() == expected


def test_bad_rows_are_named_and_left_out(adapt, labelled, tmp_path):
    spoiled = tmp_path / "in.csv"
    spoiled.write_text(labelled.read_text() + "x,Foo2,1,300\ny,K2Na,,300\nz,NaCl,abc,300\n")
    outcome = adapt(data=spoiled)
    assert outcome.code == 0
    assert "33 rows read, 3 dropped" in outcome.err
    for words in ("row 31: formula 'Foo2'", "missing (row 32)", "not a number (row 33: 'abc')"):
        assert words in outcome.err
    assert outcome.out.startswith("targeted-cal: 30 target rows")
    fails(adapt("--strict", data=spoiled), "row 31 (id x)", "Foo2", "correct the row")


def test_feature_columns_and_scale_are_those_of_the_model(adapt, table, labelled, tmp_path):
    folder = train_model(table, tmp_path / "warm", "--method", "erm", "--transform", "log",
                         "--feature-cols", "temperature")  # fmt: skip
    outcome = adapt(model=folder)
    assert outcome.code == 0, outcome.err
    errors = outcome.out.splitlines()[1]
    shown = re.findall(r"([\d.]+) \(typically a factor of ([\d.]+)\)", errors)
    assert len(shown) == 3  # before, after, and the mean of the other labels
    frame = read(labelled)
    start = load_model(folder).predict(frame["formula"].tolist(), frame[["temperature"]])
    error = np.abs(start.prediction - frame["gap"]).mean()
    factor = np.exp(np.abs(np.log(start.prediction / frame["gap"])).mean())
    assert shown[0] == (f"{error:.4g}", f"{factor:.3g}")
    model = load_model(tmp_path / "adapted")
    assert (model.scale.name, model.card.feature_cols) == ("log", ("temperature",))
    bare = tmp_path / "bare.csv"
    read(labelled)[["formula", "gap"]].to_csv(bare, index=False)
    fails(adapt(model=folder, data=bare), "'temperature'")
    fails(adapt("--method", "unlabelled-cal", "--source", table, "--source-target", "gap",
                model=folder), "temperature", "without extra columns")  # fmt: skip


def test_what_adapt_refuses(adapt, network, labelled, table, model, tmp_path):
    few = write_rows(tmp_path / "few.csv", make_rows(4))
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    same = network.parent / "." / network.name
    formulas = tmp_path / "formulas.csv"
    formulas.write_text("formula\nNaCl\nKCl\n")
    bad = tmp_path / "bad.csv"
    bad.write_text("formula\nXx2\n")
    unlabelled = ("--method", "unlabelled-cal", "--source", table, "--source-target", "gap")
    cases = [
        (adapt(out=same), "is the input, which is kept; choose another output"),
        (adapt(out=foreign), "not a saved model; choose another"),
        (adapt(data=few), "few.csv has 4 usable labels; at least 5 are needed"),
        (adapt("--unit", "meV"), "are in meV, the model predicts eV; convert them"),
        (adapt(model=model), "with ridge", "use method 'auto'", "'erm' or 'cal'"),
        (adapt("--method", "auto"), "--method auto has no settings; leave out --set steps=20"),
        (adapt(model=table), "gaps.csv is not a saved model"),
        (adapt("--method", "fine-tun"), "unknown method 'fine-tun'", "'fine-tune'"),
        (adapt("--method", "joint"), "'joint' needs source rows"),
        (adapt("--method", "unlabelled-cal"), "'unlabelled-cal' needs source rows"),
        (adapt(data=formulas), "no target column 'gap'"),
        (adapt(*unlabelled, data=bad), "holds no readable formula", "Xx"),
        (adapt(data=tmp_path / "no.csv"), "no.csv", "neither a file nor a data set"),
        (adapt(*unlabelled, data=tmp_path / "no.csv"), "is neither a file nor a data set"),
        (adapt("--source", tmp_path / "no.csv"), "no.csv", "neither a file nor a data set"),
        (adapt(target="gapp"), "'gapp'", "did you mean 'gap'"),
        (adapt("--set", "step=20"), "unknown setting 'step'", "did you mean 'steps'"),
        (adapt("--set", "steps=many"), "'steps' = 'many'"),
        (adapt("--set", "cal.epsilonn=3"), "'epsilonn'", "did you mean 'epsilon'"),
        (adapt("--set", "learning_rate=1e9"), "use a smaller learning_rate"),
    ]
    for outcome, *words in cases:
        fails(outcome, *words)
    assert not (tmp_path / "adapted").exists()
    assert [path.name for path in foreign.iterdir()] == ["thesis.tex"]


def test_the_target_column_is_that_of_the_model(adapt):
    outcome = adapt(target=None)  # there is another column of numbers
    assert outcome.code == 0, outcome.err


def test_a_lightgbm_model_is_adapted_by_default(table, labelled, xtalshift, tmp_path):
    folder = train_model(table, tmp_path / "trees", "--method", "lightgbm", "--unit", "eV")
    outcome = xtalshift("adapt", folder, labelled, "-o", tmp_path / "out", "--threads", "1")
    assert outcome.code == 0, outcome.err
    first, errors, members, intervals, last = outcome.out.splitlines()
    assert first == "auto: 30 target rows, 54 source rows replayed"
    assert errors.startswith("MAE on 30 labels, each held out in turn: ")
    before, after = (float(errors.split(" eV")[k].split()[-1]) for k in (0, 1))
    assert after < 0.6 * before
    assert error_of(tmp_path / "out", labelled) < after
    assert members.startswith("Members: ")
    assert "30 labels of the new region" in intervals
    assert last == f"Model: {tmp_path / 'out'}"
    for method in ("fine-tune", "head-only"):
        unread = xtalshift("adapt", folder, labelled, "-o", tmp_path / "other",
                           "--method", method)  # fmt: skip
        fails(unread, "trained with lightgbm", "use method 'auto'", "'erm' or 'cal'")


def test_labels_of_training_materials_alone_are_refused(table, xtalshift, tmp_path):
    folder = train_model(table, tmp_path / "ridge", "--method", "ridge")
    formulas = load_model(folder).domain.formulas_[:8]
    known = pd.DataFrame({"formula": formulas, "gap": np.arange(8.0)})
    known.to_csv(tmp_path / "known.csv", index=False)
    outcome = xtalshift("adapt", folder, tmp_path / "known.csv", "-o", tmp_path / "out")
    fails(outcome, "all 8 labelled materials are training materials", "of the new region")
    assert not (tmp_path / "out").exists()


def save_adversarial(xtalshift, table, folder, out, quick, *options):
    return xtalshift("train", table, "-o", folder, "--target", "gap", "--save-adversarial", out,
                     *quick, *options)  # fmt: skip


def training_rows(table, folder):
    """Return the rows of the table by formula, and the predictions of the model."""
    frame = read(table).set_index("formula")
    return frame["gap"], lambda formulas: predict(load_model(folder), formulas)


def test_adversarial_features_stand_beside_the_training_rows(table, tmp_path, xtalshift, quick):
    out, folder = tmp_path / "adv.csv", tmp_path / "cal"
    outcome = save_adversarial(xtalshift, table, folder, out, quick, "--method", "cal")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1] == f"Adversarial rows: {out} (54 of 54 moved)"
    assert "54 training and 6 validation rows" in outcome.out
    found = read(out)
    gap, predict = training_rows(table, folder)
    assert len(found) == found["formula"].nunique() == 54
    assert found["target"].tolist() == gap[found["formula"]].tolist()
    assert found["prediction"].to_numpy() == pytest.approx(predict(found["formula"]), rel=1e-5)
    assert found["displacement_rms"].max() <= 0.1 * (1 + 1e-6)
    assert found["displacement_rms"].median() == pytest.approx(0.1, rel=1e-5)
    # what moves a row most raises its error on the whole
    error = (found["prediction"] - found["target"]).abs()
    adversarial = (found["adversarial_prediction"] - found["target"]).abs()
    assert (adversarial > error).mean() > 0.8
    assert found["most_moved"].str.fullmatch(r"(.+ [+-][\d.e-]+; ){2}.+ [+-][\d.e-]+").all()


def test_adversarial_compositions_are_formulas_within_the_budget(table, tmp_path, xtalshift, quick):
    out, folder = tmp_path / "adv.parquet", tmp_path / "cal"
    outcome = save_adversarial(xtalshift, table, folder, out, quick, "--method", "cal",
                               *COMPOSITION)  # fmt: skip
    assert outcome.code == 0, outcome.err
    found = pd.read_parquet(out)
    gap, predict = training_rows(table, folder)
    assert len(found) == 54
    assert found["target"].tolist() == gap[found["formula"]].tolist()
    after, reasons, _ = parse_formulas(found["adversarial_formula"].tolist())
    assert (reasons == "").all()
    assert after.sizes.tolist() == [2] * 54
    shares = after.amounts.reshape(54, 2)
    shares = shares / shares.sum(axis=1, keepdims=True)
    largest = np.abs(shares - 0.5).max(axis=1)
    assert largest == pytest.approx(found["max_fraction_change"].to_numpy(), abs=2e-4)
    assert found["max_fraction_change"].max() == pytest.approx(0.05, abs=1e-6)
    substituted = found["substituted"] != ""
    assert substituted.mean() > 0.5
    assert (found.loc[~substituted & (largest == 0), "displacement_rms"] == 0).all()
    # where fractions move, "compound possible" is held, so only replacements can be predicted anew
    replaced = substituted & (largest < 1e-5)
    assert replaced.sum() > 10
    predicted = predict(found.loc[replaced, "adversarial_formula"].tolist())
    expected = found.loc[replaced, "adversarial_prediction"].to_numpy()
    assert predicted == pytest.approx(expected, abs=1e-4)
    error = (found["prediction"] - found["target"]).abs()
    adversarial = (found["adversarial_prediction"] - found["target"]).abs()
    assert (adversarial >= error - 1e-6).all()


def test_the_control_has_no_adversarial_rows_that_moved(table, tmp_path, xtalshift, quick):
    out = tmp_path / "adv.csv"
    outcome = save_adversarial(xtalshift, table, tmp_path / "m", out, quick, "--method", "cal-eps0")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1].endswith("(0 of 54 moved)")
    found = read(out)
    assert len(found) == 54
    assert (found["displacement_rms"] == 0).all()
    assert (found["adversarial_prediction"] == found["prediction"]).all()


def test_what_save_adversarial_refuses(table, tmp_path, xtalshift, quick):
    before = table.read_bytes()
    for method in ("erm", "ridge", "lightgbm", "dummy"):
        outcome = save_adversarial(
            xtalshift, table, tmp_path / "m", tmp_path / "a.csv", quick, "--method", method
        )
        fails(outcome, "--save-adversarial needs --method cal", method, "no attack")
    cal = ("--method", "cal")
    fails(save_adversarial(xtalshift, table, tmp_path / "m", table, quick, *cal), "is the input")
    excel = save_adversarial(xtalshift, table, tmp_path / "m", tmp_path / "a.xlsx", quick, *cal)
    fails(excel, "a.xlsx", ".csv or .parquet")
    warm = save_adversarial(
        xtalshift, table, tmp_path / "m", tmp_path / "a.csv", quick, *cal, *COMPOSITION,
        "--feature-cols", "temperature",
    )  # fmt: skip
    fails(warm, "145 composition features", "146", "leave the extra feature columns out")
    assert list(tmp_path.iterdir()) == []
    assert table.read_bytes() == before


def test_labels_of_training_materials_do_not_judge(adapt, tmp_path):
    few = write_rows(tmp_path / "few.csv", make_rows(6))
    outcome = adapt("--method", "fine-tune", data=few)
    assert outcome.code == 0, outcome.err
    _, second, kept, *_ = outcome.out.splitlines()
    assert second.startswith("MAE on 1 label, each held out in turn: ")  # 5 are training materials
    assert kept == (
        "The predictions stay as they are, and so does the domain: fine-tune did not lower the "
        "error by more than chance would. To use the labels, add them to the training table and "
        "train again; --measured keeps `suggest` from naming them"
    )
    assert "Intervals: none" in outcome.out


def test_training_materials_as_labels_are_no_test_of_the_model(adapt, table, labelled, tmp_path):
    known, new = read(table).head(25), read(labelled)
    mixed = tmp_path / "mixed.csv"
    pd.concat([known, new]).to_csv(mixed, index=False)
    done = adapt("--method", "fine-tune", data=mixed)
    assert "training materials of the model: its error there is too small" in done.err
    n = int(re.search(r"warning: (\d+) of the (\d+) labelled", done.err)[1])
    assert 0 < n <= 25  # some rows of the table are kept for validation and intervals
    model = load_model(tmp_path / "adapted")
    materials = len(set(pd.concat([known, new])["formula"]))
    assert len(model.calibration) == materials - n
    done = adapt("--method", "fine-tune", data=table)
    assert "No intervals: " in done.err
    assert "labels that may judge" in done.err


@pytest.fixture
def calibrate(xtalshift, network, labelled, tmp_path):
    def call(*options, model=network, data=labelled):
        return xtalshift("calibrate", model, data, "-o", tmp_path / "new", "--target", "gap",
                         "--overwrite", *options)  # fmt: skip

    return call


@pytest.mark.parametrize("method", ["erm", "lightgbm-quantile"])
def test_intervals_of_any_model_become_those_of_a_region(
    method, calibrate, table, labelled, tmp_path, xtalshift
):
    model = train_model(table, tmp_path / "model", "--method", method, "--unit", "eV")
    done = calibrate(model=model)
    first, new = load_model(model), load_model(tmp_path / "new")
    frame = read(labelled).groupby("formula", as_index=False)["gap"].mean()
    formulas, gaps = frame["formula"].tolist(), frame["gap"].to_numpy()
    np.testing.assert_array_equal(predict(new, formulas), predict(first, formulas))
    assert new.calibration.origin == "target"
    assert len(new.calibration) == len(frame)
    shares, widths = [], []
    for one in (first, new):
        found = one.predict(formulas)
        low, high = found.lower, found.upper
        shares.append(np.mean((low <= gaps) & (gaps <= high)))
        widths.append(f"{np.median(high - low):.4g}")
    assert shares[1] >= 0.9  # its own calibration rows
    assert f"contained {100 * shares[0]:.0f} % of the labels" in done.out
    assert f"width was {widths[0]} eV and is now {widths[1]} eV" in done.out
    error = np.abs(predict(first, formulas) - gaps).mean()
    constant = np.abs(gaps - gaps.mean()).mean()
    assert (
        f"{len(frame)} labels: {error:.4g} eV (the mean of the labels: {constant:.4g})" in done.out
    )
    assert f"calibrated on {len(frame)} labels of the new region" in done.out
    assert new.card.provenance["calibrated_on"]["rows"] == len(frame)


def test_a_model_without_intervals_gets_those_of_the_labels(calibrate, table, labelled, tmp_path):
    model = train_model(table, tmp_path / "model", "--method", "ridge", "--intervals", "none")
    assert "Median width of the 90 % intervals: " in calibrate(model=model).out
    assert load_model(tmp_path / "new").calibration.origin == "target"


def test_what_calibrate_refuses(calibrate, network, labelled, table, tmp_path, xtalshift):
    fails(calibrate(data=table), "rows to calibrate intervals; at least 10 are needed")
    few = tmp_path / "few.csv"
    read(labelled).drop_duplicates("formula").head(9).to_csv(few, index=False)
    fails(calibrate(data=few), "9 rows to calibrate intervals; at least 10 are needed")
    fails(calibrate("--unit", "meV"), "are in meV, the model predicts eV")
    same = xtalshift("calibrate", network, labelled, "-o", network)
    fails(same, "is the input, which is kept; choose another output")


def test_labels_in_another_unit_are_noticed(adapt, calibrate, labelled, tmp_path):
    other = tmp_path / "mev.csv"
    read(labelled).assign(gap=lambda frame: frame["gap"] * 1000).to_csv(other, index=False)
    for done in (adapt("--method", "head-only", data=other), calibrate(data=other)):
        assert done.code == 0
        assert "do they have the same unit? (state it with --unit)" in done.err
    assert "same unit" not in calibrate().err


def test_source_rows_are_read_with_the_options_of_the_labels(adapt, table, tmp_path):
    labels = tmp_path / "labels.csv"
    frame = pd.read_csv(table, dtype={"id": str}, keep_default_na=False).rename(
        columns={"formula": "sample"}
    )
    frame.head(30).to_csv(labels, index=False, sep=";", decimal=",")
    source = tmp_path / "source.csv"
    frame.to_csv(source, index=False, sep=";", decimal=",")
    replay = ("--formula-col", "sample", "--separator", "semicolon", "--source", source)
    found = adapt(*replay, data=labels, target="gap")
    assert found.code == 0
    assert "30 target rows, 60 source rows replayed" in found.out
    # the column of formulas of the labels does not apply where the source has another
    other = tmp_path / "other.csv"
    frame.rename(columns={"sample": "formula"}).to_csv(other, index=False, sep=";", decimal=",")
    assert "60 source rows" in adapt(*replay[:-1], other, data=labels, target="gap").out
    wrong = adapt(*replay[:-1], table, data=labels, target="gap")
    assert wrong.code == 1
    assert "the source (--source), read as the labels are: cannot read" in wrong.err
    assert "give --separator comma" in wrong.err
