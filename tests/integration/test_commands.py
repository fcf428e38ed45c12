"""`datasets`, `featurize`, `split` and `train`."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pandas as pd
import pytest

from estimator_toys import FORMULA_METHODS
from xtalshift.chem import parse_formulas
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.model import load_model


@pytest.fixture
def spoiled(table, tmp_path):
    """Return the table with a bad formula in row 1 and a missing one at the end."""
    lines = table.read_text().splitlines(keepends=True)
    path = tmp_path / "in.csv"
    path.write_text("".join([lines[0], "bad1,Qq3,1.0,300\n", *lines[1:], "bad2,,1.0,300\n"]))
    return path


def read(path):
    if path.suffix == ".csv":
        return pd.read_csv(path, keep_default_na=False, dtype={"id": str})
    return pd.read_parquet(path)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_featurize_keeps_the_place_of_bad_rows(kind, spoiled, tmp_path, xtalshift):
    out = tmp_path / f"x.{kind}"
    outcome = xtalshift("featurize", spoiled, "-o", out)
    assert outcome.out == f"62 rows, 145 features, 2 rows with an error: {out}\n"
    frame = read(out)
    names = CompositionFeaturizer().get_feature_names_out().tolist()
    assert frame.columns.tolist() == ["formula", *names, "status", "reason"]
    assert frame["status"].tolist() == ["error", *["ok"] * 60, "error"]
    assert "Qq" in frame["reason"].iloc[0]
    expected = CompositionFeaturizer().transform(frame["formula"].tolist()[1:-1])
    values = frame[names].iloc[1:-1].astype(float).to_numpy()
    assert values == pytest.approx(expected, rel=1e-14, nan_ok=True)
    strict = xtalshift("featurize", spoiled, "-o", tmp_path / "y.csv", "--strict")
    assert (strict.code, "row 1: " in strict.err) == (1, True)
    assert not (tmp_path / "y.csv").exists()


def test_featurize_blocks_and_wrong_names(table, tmp_path, xtalshift):
    out = tmp_path / "x.csv"
    assert xtalshift("featurize", table, "-o", out, "--features", "magpie+fractions").code == 0
    fractions = [name for name in read(out).columns if "fraction" in name.lower()]
    assert len(fractions) > 90
    wrong = xtalshift("featurize", table, "-o", out, "--features", "magpy")
    assert (wrong.code, "'magpy'" in wrong.err, "'magpie'" in wrong.err) == (1, True, True)


@pytest.mark.parametrize("scheme", ["random", "covariate", "prior", "family"])
def test_split_says_the_part_of_every_row(scheme, spoiled, tmp_path, xtalshift):
    out = tmp_path / "s.csv"
    outcome = xtalshift("split", spoiled, "--scheme", scheme, "--target", "gap", "-o", out)
    assert outcome.code == 0, outcome.err
    frame, source = read(out), read(spoiled)
    assert frame.columns.tolist()[:4] == ["id", "formula", "fold", "part"]
    assert frame["id"].tolist() == source["id"].tolist()
    assert frame["formula"].tolist() == source["formula"].tolist()
    assert frame["part"].iloc[0] == frame["part"].iloc[-1] == ""
    assert set(frame["part"].iloc[1:-1]) == {"train", "val", "test"}
    counts = frame["part"].replace("", "unusable").value_counts()
    for name, count in counts.items():
        assert f"{name} {count}" in outcome.out
    test = source[frame["part"] == "test"]
    if scheme == "family":
        is_fluoride = source["formula"].str.fullmatch("[A-Z][a-z]?F")
        assert test["formula"].tolist() == source[is_fluoride]["formula"].tolist()
    if scheme == "prior":
        good = source.iloc[1:-1]["gap"].astype(float)
        assert sorted(test["gap"].astype(float)) == sorted(good.nlargest(len(test)))


def test_split_repeats_and_depends_on_the_seed(table, tmp_path, xtalshift):
    parts = []
    for seed in (0, 0, 1):
        out = tmp_path / "s.parquet"
        assert xtalshift("split", table, "--scheme", "random", "--seed", seed, "-o", out).code == 0
        parts.append(read(out)["part"].tolist())
    assert parts[0] == parts[1] != parts[2]


def test_split_names_an_unknown_scheme_and_a_missing_target(table, tmp_path, xtalshift):
    wrong = xtalshift("split", table, "--scheme", "familly", "-o", tmp_path / "s.csv")
    assert wrong.code == 1
    assert "'familly'" in wrong.err
    assert "'family'" in wrong.err


def test_a_budget_of_minutes_leaves_members_out_and_says_so(table, tmp_path, xtalshift, quick):
    folder = tmp_path / "model"
    command = ("train", table, "--target", "gap", "-o", folder, *quick)
    outcome = xtalshift(*command, "--method", "auto", "--minutes", "0.0001")
    assert outcome.code == 0, outcome.err
    assert "\nMembers: ridge 100%" in outcome.out
    assert re.search(
        r"\nLeft out: extra-trees \(it needs about .* seconds were left\)", outcome.out
    )
    provenance = load_model(folder).card.provenance
    assert provenance["minutes"] == 0.0001
    left_out = [one["name"] for one in provenance["members"] if one.get("left_out")]
    assert left_out
    for name in left_out:  # each once
        assert (outcome.out + outcome.err).count(f"Left out: {name} (") == 1
        assert f"{name} is left out" not in outcome.err
    assert [one["name"] for one in provenance["members"] if not one["left_out"]] == ["ridge"]
    refused = xtalshift(*command, "--method", "erm", "--minutes", "1", "--overwrite")
    assert refused.code == 1
    assert "erm keeps no budget of minutes; the method auto does" in refused.err


@pytest.mark.parametrize("method", FORMULA_METHODS)
def test_train_saves_a_model_that_predicts_in_its_unit(method, table, tmp_path, xtalshift, quick):
    folder = tmp_path / "model"
    command = ("train", table, "--target", "gap", "--unit", "eV", "--method", method, *quick,
               "-o", folder)  # fmt: skip
    outcome = xtalshift(*command)
    assert outcome.code == 0, outcome.err
    if method == "auto":
        assert "auto: cross-fit MAE" in outcome.out
        formulas = parse_formulas(read(table)["formula"].tolist())[0].reduced_formulas()
        fresh = 60 - encoder_of("pretrained").knows(formulas).sum()
        assert 30 <= fresh < 60
        assert f"of {fresh} rows, each predicted by fits to others" in outcome.out
        assert re.search(r"\nMembers: \S+ \d+% \(MAE [\d.]+\)", outcome.out)
    else:
        assert f"{method}: validation MAE" in outcome.out
        assert "54 training and 6 validation rows" in outcome.out
    model = load_model(folder)
    assert (model.card.target_name, model.card.unit, model.card.source) == (
        "gap", "eV", table.name,
    )  # fmt: skip
    frame = read(table)
    predicted = model.predict(frame["formula"].tolist()).prediction
    error = (predicted - frame["gap"]).abs().mean()
    assert error < 1.3 * (frame["gap"] - frame["gap"].mean()).abs().mean()
    # the same command replaces the model by an equal one
    arrays = next(folder.glob("arrays-*")).read_bytes()
    assert xtalshift(*command, "--overwrite").code == 0
    assert next(folder.glob("arrays-*")).read_bytes() == arrays


def test_train_refuses_a_foreign_folder_before_it_trains(table, tmp_path, xtalshift):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    outcome = xtalshift("train", table, "--target", "gap", "-o", folder)
    assert outcome.code == 1
    assert "not a saved model" in outcome.err
    assert "Reading" not in outcome.err
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_train_with_a_log_scale(table, tmp_path, xtalshift, quick):
    folder = tmp_path / "model"
    outcome = xtalshift("train", table, "--target", "gap", "--method", "ridge", "--transform",
                        "log", *quick, "-o", folder)  # fmt: skip
    assert outcome.code == 0, outcome.err
    frame = read(table)
    model = load_model(folder)
    assert json.loads((folder / "model.json").read_text())["pipeline"]["transform"] == "log"
    predicted = model.predict(frame["formula"].tolist()).prediction
    assert (predicted > 0).all()
    assert abs(predicted - frame["gap"]).mean() < (frame["gap"] - frame["gap"].mean()).abs().mean()


def test_datasets_in_a_pipe_are_tab_separated(xtalshift):
    lines = xtalshift("datasets", "list").out.splitlines()
    name, rows, target, _ = lines[0].split("\t")
    assert (name, rows, target) == ("ricci_seebeck", "47737", "S_p (uV/K)")
    assert {line.count("\t") for line in lines} == {3}
    wrong = xtalshift("datasets", "info", "matbench_expt_gp")
    assert wrong.code == 1
    assert "did you mean 'matbench_expt_gap'" in wrong.err


def test_report_is_written_again_and_needs_a_finished_run(table, tmp_path, quick, xtalshift):
    out = tmp_path / "run"
    options = ("--target", "gap", "--out", out, "--methods", "dummy,ridge", *quick)
    assert xtalshift("run", "--dataset", table, *options).code == 0
    first = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert xtalshift("report", out).out == f"Report: {out / 'report.html'}\n"
    assert (out / "report.html").read_bytes() == first
    missing = xtalshift("report", tmp_path)
    assert (missing.code, "results.json" in missing.err) == (1, True)


def test_no_command_writes_over_its_input(spoiled, xtalshift):
    before = spoiled.read_bytes()
    for command in (
        ("featurize", spoiled, "-o", spoiled),
        ("split", spoiled, "--scheme", "random", "-o", spoiled.parent / "." / spoiled.name),
    ):
        outcome = xtalshift(*command)
        assert (outcome.code, "is the input" in outcome.err) == (1, True)
    assert spoiled.read_bytes() == before


def test_train_never_deletes_a_folder_however_it_is_written(table, tmp_path, xtalshift):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years")
    out = tmp_path / "missing" / ".." / "thesis"
    outcome = xtalshift("train", table, "--target", "gap", "--method", "dummy", "-o", out)
    assert (outcome.code, "is not a saved model" in outcome.err) == (1, True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years"


def test_a_constant_target_is_refused(table, tmp_path, xtalshift):
    frame = pd.read_csv(table).assign(gap=2.5)
    frame.to_csv(tmp_path / "flat.csv", index=False)
    command = ("--target", "gap", "--method", "ridge", "-o", tmp_path / "m")
    outcome = xtalshift("train", tmp_path / "flat.csv", *command)
    assert outcome.code == 1
    assert "targets are 2.5; there is nothing to learn" in outcome.err


def test_predict_expands_hydrates_on_request_and_finds_the_model_of_a_run(
    model, table, tmp_path, quick, xtalshift
):
    assert xtalshift("predict", model, "CuSO4*5H2O").code == 1
    assert xtalshift("predict", model, "CuSO4*5H2O", "--hydrates", "expand").code == 0
    assert xtalshift("predict", model, "NaCl", "--hydrates", "drop").code == 2
    run = tmp_path / "run"
    options = ("--target", "gap", "--out", run, "--methods", "dummy", *quick)
    assert xtalshift("run", "--dataset", table, *options).code == 0
    hint = xtalshift("predict", run, "NaCl")
    assert (hint.code, f"its model is {run / 'model'}" in hint.err) == (1, True)
    other = xtalshift("run", "--dataset", table, *options, "--seed", "3", "--unit", "eV")
    assert (other.code, "(data.unit, seed)" in other.err) == (1, True)


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, time\n"
        "from xtalshift.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'torch', 'sklearn', 'matminer', 'pymatgen', 'plotly'}\n"
        "print(sorted(heavy & set(sys.modules)), time.process_time() < 1, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[] True\n"


def test_a_closed_pipe_is_no_error():
    command = [sys.executable, "-c", "from xtalshift.cli.main import main; main()"]
    process = subprocess.Popen(
        [*command, "datasets", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=60)
