"""`xtalshift suggest`: what to measure next, and what a careless user reads."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from integration.conftest import train_model
from integration.tables import make_rows, write_rows
from xtalshift.model import load_model

pytestmark = pytest.mark.usefixtures("few_corrections")

PREDICTED = ["prediction", "lower", "upper", "std", "ood_score", "in_domain", "unseen_elements",
             "nearest_formula", "nearest_distance", "nearest_target"]  # fmt: skip


@pytest.fixture(scope="session")
def quantile_model(table, tmp_path_factory):
    """Return a model whose intervals differ between materials; trained on all 60 rows."""
    folder = tmp_path_factory.mktemp("models") / "quantile"
    return train_model(table, folder, "--method", "lightgbm-quantile", "--unit", "eV")


@pytest.fixture
def new(tmp_path):
    """Return a CSV of all 154 binaries of the tables, 60 of them measured, with costs."""
    rows = [("note", "formula", "price")]
    rows += [(f"n{row:03d}", formula, 1 + row % 3) for row, (_, formula, *_) in
             enumerate(make_rows(154))]  # fmt: skip
    path = tmp_path / "new.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def fails(outcome, *words, code=None):
    # 2 if a value is not allowed, see test_limits.py
    assert outcome.code in ({1, 2} if code is None else {code}), outcome.err
    errors = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, outcome.err
    assert "bug in xtalshift" not in errors[0]
    for word in words:
        assert word in errors[0]


def test_the_rows_that_gain_most(quantile_model, new, table, tmp_path, xtalshift):
    out = tmp_path / "next.csv"
    outcome = xtalshift("suggest", quantile_model, new, "-n", 7, "-o", out, "--toward", "high",
                        "--rule", "expected-improvement", "--measured", table,
                        "--diversity", 0)  # fmt: skip
    assert outcome.code == 0, outcome.err
    chosen = pd.read_csv(out, dtype={"unseen_elements": str}, keep_default_na=False)
    assert chosen.columns.tolist() == [
        "rank", "note", "formula", "price", *PREDICTED, "score", "utility"
    ]  # fmt: skip
    formulas = np.array([formula for _, formula, *_ in make_rows(154)[60:]])
    every = load_model(quantile_model).predict(formulas.tolist())
    best = max(gap for _, _, gap, _ in make_rows(60))
    scores = every.distribution.expected_improvement(best)
    assert (scores > 0).sum() >= 7
    order = np.lexsort((every.distribution.margin(best), -scores))[:7]  # some are equal
    assert chosen["formula"].tolist() == formulas[order].tolist()
    np.testing.assert_allclose(chosen["score"].astype(float), scores[order], rtol=1e-12)
    assert f"Best value known so far: {best:g} eV" in outcome.err
    trained = len(load_model(quantile_model).domain.formulas_)
    assert f"{trained} in the training set, {60 - trained} measured, 94 candidates" in outcome.err
    assert outcome.out.startswith(f"7 suggestions by rule expected-improvement: {out}\nNext: ")
    assert f"then: xtalshift adapt {quantile_model} measured.csv -o MODEL2" in outcome.out


def test_toward_takes_the_best_predictions(quantile_model, new, table, tmp_path, xtalshift):
    for toward, sign in (("high", -1), ("low", 1)):
        out = tmp_path / f"{toward}.csv"
        outcome = xtalshift("suggest", quantile_model, new, "-n", 7, "-o", out, "--toward", toward,
                            "--measured", table)  # fmt: skip
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith(f"7 suggestions by rule prediction: {out}\n")
        formulas = [formula for _, formula, *_ in make_rows(154)[60:]]
        every = load_model(quantile_model).predict(formulas).prediction
        best = np.argsort(sign * every, kind="stable")[:7]
        assert pd.read_csv(out)["formula"].tolist() == [formulas[row] for row in best]


def test_probabilities_agree_with_the_intervals_of_the_row(
    quantile_model, new, table, tmp_path, xtalshift
):
    model = load_model(quantile_model)
    formulas = [formula for _, formula, *_ in make_rows(154)[60:]]
    threshold = float(np.median(model.predict(formulas, level=0.8).upper))
    out = tmp_path / "next.csv"
    outcome = xtalshift("suggest", quantile_model, new, "-n", 60, "-o", out, "--level", 0.8,
                        "--threshold", threshold, "--measured", table)  # fmt: skip
    assert outcome.code == 0, outcome.err
    chosen = pd.read_csv(out)
    beyond = chosen["upper"] < threshold
    assert 0 < beyond.sum() < len(chosen)
    assert (chosen["score"][beyond] <= 0.1 + 1e-9).all()
    assert (chosen["score"][chosen["upper"] > threshold] > 0.09).all()
    assert (chosen["score"][chosen["lower"] > threshold] >= 0.9 - 1e-9).all()


def test_what_the_model_does_not_know_is_said(quantile_model, new, xtalshift):
    outcome = xtalshift("suggest", quantile_model, new, "-n", 200)
    trained = len(load_model(quantile_model).domain.formulas_)
    assert trained < 60
    assert f"fitted to {trained} of the 60 materials of gaps.csv" in outcome.err
    assert "--measured" in outcome.err
    assert f"{154 - trained} instead of 200 are suggested" in outcome.err
    table = pd.read_csv(io.StringIO(outcome.out))  # nothing else on the pipe
    assert len(table) == 154 - trained
    assert outcome.err.splitlines()[-1].startswith("Next: ")


def test_pieces_and_file_types_do_not_matter(quantile_model, new, tmp_path, xtalshift, monkeypatch):
    whole, pieces = tmp_path / "a.parquet", tmp_path / "b.csv"
    options = ("-n", 9, "--cost-col", "price", "--budget", 12)
    outcome = xtalshift("suggest", quantile_model, new, "-o", whole, *options)
    assert outcome.code == 0, outcome.err
    monkeypatch.setattr("xtalshift.jobs.suggest.CHUNK_ROWS", 10)
    assert xtalshift("suggest", quantile_model, new, "-o", pieces, *options).code == 0
    a, b = pd.read_parquet(whole), pd.read_csv(pieces)
    assert a["formula"].tolist() == b["formula"].tolist()
    np.testing.assert_allclose(a["utility"], b["utility"], rtol=1e-9)
    prices = a["price"].astype(int)
    assert prices.sum() <= 12
    assert f"Total cost: {prices.sum()} of 12" in outcome.err
    units = {field.name: field.metadata[b"unit"] for field in pq.read_schema(whole)
             if field.metadata and b"unit" in field.metadata}  # fmt: skip
    assert units["std"] == b"eV"


def test_a_terminal_gets_a_table(quantile_model, new, xtalshift, monkeypatch):
    monkeypatch.setattr("xtalshift.cli.suggest._on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    outcome = xtalshift("suggest", quantile_model, new, "-n", 2, "--threshold", "3", "--in-domain")
    assert outcome.code == 0, outcome.err
    lines = [line.split() for line in outcome.out.splitlines() if line.strip()]
    assert lines[0] == ["formula", "gap", "(eV)", "90", "%", "score", "nearest", "known", "domain"]
    assert [line[0] for line in lines[2:4]] == ["1", "2"]
    assert [line[-1] for line in lines[2:4]] == ["in", "in"]
    assert lines[4][0] == "Next:"


def test_equal_intervals_are_a_warning(model, new, tmp_path, xtalshift):
    outs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    outcome = xtalshift("suggest", model, new, "-n", 5, "-o", outs[0])
    assert "warning: the intervals of this model all have the same width" in outcome.err
    assert "--set network.n_members=8" in outcome.err
    other = xtalshift("suggest", model, new, "-n", 5, "-o", outs[1], "--rule", "diversity")
    assert "warning" not in other.err
    assert outs[0].read_text() == outs[1].read_text()


def test_conditions_of_the_model_are_read(warm_model, new, table, tmp_path, xtalshift):
    fails(xtalshift("suggest", warm_model, new), "'temperature'", "new.csv does not have")
    path = write_rows(tmp_path / "warm.csv", [(1, "NaCl", 0, 350), (2, "NaCl", 0, 700)])
    outcome = xtalshift("suggest", warm_model, path, "--rule", "random", "--measured", table)
    table_out = pd.read_csv(io.StringIO(outcome.out))
    assert sorted(table_out["temperature"]) == [350, 700]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rule", "uncertanty"), ("did you mean 'uncertainty'",)),
        (("--rule", "target"), ("needs --value",)),
        (("--rule", "probability"), ("--threshold X or --between A,B",)),
        (("--threshold", "1", "--between", "1,2"), ("either --threshold",)),
        (("--value", "2", "--toward", "low"), ("does not use --toward", "leave it out")),
        (("--rule", "ucb", "--value", "2"), ("does not use --value", "--rule target")),
        (("--rule", "random", "--threshold", "2"), ("--threshold", "--rule probability")),
        (("--toward", "up"), ("--toward up", "high or low")),
        (("--between", "1.1"), ("--between 1.1", "two numbers")),
        (("--between", "2,1"), ("lower value first",)),
        (("--between", "1,2", "--toward", "low"), ("two bounds",)),
        (("--cost-col", "prise"), ("'prise'", "did you mean 'price'")),
        (("--budget", "3"), ("--cost-col",)),
        (("--budget", "-3", "--cost-col", "price"), ("budget = -3",)),
        (("--cost-col", "note"), ("row ", "the cost is 'n", "above 0")),
        (("--diversity", "-1"), ("diversity = -1",)),
        (("--level", "90"), ("90",)),
        (("--formula-col", "formulla"), ("'formulla'", "did you mean 'formula'")),
        (("--measured", "nowhere.csv"), ("nowhere.csv", "does not exist")),
        (("-o", "next.xlsx"), ("next.xlsx", ".csv or .parquet")),
    ],
)
def test_wrong_options(options, words, quantile_model, new, xtalshift):
    fails(xtalshift("suggest", quantile_model, new, *options), *words)


def test_wrong_files(quantile_model, new, tmp_path, table, xtalshift):
    before = new.read_bytes()
    fails(xtalshift("suggest", quantile_model, new, "-o", new), "is the input")
    fails(
        xtalshift("suggest", quantile_model, new, "--measured", table, "-o", table), "is the input"
    )
    assert new.read_bytes() == before
    fails(xtalshift("suggest", tmp_path, new), "not a saved model")
    fails(xtalshift("suggest", quantile_model, tmp_path / "none.csv"), "none.csv", "does not exist")
    bad = tmp_path / "bad.csv"
    bad.write_text("formula\nXx2\n??\n")
    out = tmp_path / "o.csv"
    fails(xtalshift("suggest", quantile_model, bad, "-o", out),
          "no candidate", "2 rows: 2 unreadable", "row 1: ")  # fmt: skip
    assert not out.exists()
    bad.write_text("formula,prediction\nMgO,3\n")
    fails(
        xtalshift("suggest", quantile_model, bad), "already has a column 'prediction'", "rename it"
    )
    outcome = xtalshift("suggest", quantile_model, new, "-n", "0")
    assert outcome.code == 2


def test_a_model_without_intervals(table, new, tmp_path, xtalshift):
    bare = train_model(table, tmp_path / "bare", "--intervals", "none")
    fails(xtalshift("suggest", bare, new), "'uncertainty'", "without intervals", "train it again")
    outcome = xtalshift("suggest", bare, new, "-n", 3, "--rule", "diversity")
    assert outcome.code == 0, outcome.err
    assert len(pd.read_csv(io.StringIO(outcome.out))) == 3
