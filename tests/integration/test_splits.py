"""`split` and `audit`, from the command line to the files."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from integration.tables import ANIONS, METALS


@pytest.fixture(scope="module")
def gaps(tmp_path_factory):
    """Return a CSV of 154 compounds: gap, year, group of the laboratory, part."""
    rng = np.random.default_rng(0)
    pairs = [(metal, anion) for metal in METALS for anion in ANIONS]
    frame = pd.DataFrame(
        {
            "id": [f"m{number:03d}" for number in range(len(pairs))],
            "formula": [metal + anion for metal, anion in pairs],
            "gap": [METALS.index(m) + 0.3 * ANIONS.index(a) for m, a in pairs],
            "year": rng.integers(1990, 2020, len(pairs)),
            "lab": rng.choice(["A", "B", "C"], len(pairs)),
        }
    )
    frame["gap"] += rng.normal(scale=0.1, size=len(frame))
    path = tmp_path_factory.mktemp("gaps") / "gaps.csv"
    frame.to_csv(path, index=False)
    return path


def split(xtalshift, gaps, out, *options):
    outcome = xtalshift("split", gaps, *options, "-o", out)
    assert outcome.code == 0, outcome.err
    frame = pd.read_parquet(out) if out.suffix == ".parquet" else pd.read_csv(out, na_filter=False)
    return outcome, frame


def test_every_scheme_is_listed_with_its_parameters(xtalshift):
    outcome = xtalshift("split", "--schemes")
    assert outcome.code == 0
    assert "leave-out\n    Leave out one label at a time" in outcome.out
    assert "by=element values= min_rows=20 max_folds=50" in outcome.out
    assert "times=COLUMN share=0.2 n_folds=1" in outcome.out


def test_a_fold_per_label_and_its_audit(xtalshift, gaps, tmp_path):
    out = tmp_path / "s.parquet"
    options = ("--scheme", "leave-out", "-p", "values=F,Li", "--target", "gap")
    outcome, frame = split(xtalshift, gaps, out, *options)
    assert outcome.out.splitlines()[:2] == [
        "element F: train 126, val 14, test 14",
        "element Li: train 129, val 14, test 11",
    ]
    assert len(frame) == 2 * 154
    held = frame[frame.part == "test"]
    assert held.formula[held.fold == 0].str.endswith("F").all()
    assert held.formula[held.fold == 1].str.startswith("Li").all()

    audited = xtalshift("audit", gaps, out, "--target", "gap", "-o", tmp_path / "audit")
    assert audited.code == 0, audited.err
    assert "leave-out: 2 folds of 154 rows. degenerate 2, covariate 2" in audited.out
    (found,) = json.loads((tmp_path / "audit" / "audit.json").read_text())["splits"]
    assert [fold["name"] for fold in found["folds"]] == ["element F", "element Li"]
    assert found["folds"][0]["unseen_elements"] == ["F"]
    assert found["folds"][0]["n_unseen"] == 14
    table = pd.read_csv(tmp_path / "audit" / "audit.csv")
    assert table.n_test.tolist() == [14, 11]
    assert "element Li" in (tmp_path / "audit" / "audit.html").read_text()


def test_the_mean_is_judged_by_training_rows(xtalshift, gaps, tmp_path):
    out = tmp_path / "s.csv"
    _, frame = split(xtalshift, gaps, out, "--scheme", "prior", "--target", "gap")
    y = pd.read_csv(gaps).gap.to_numpy()
    expected = np.abs(y[frame.part == "test"] - y[frame.part == "train"].mean()).mean()
    audited = xtalshift("audit", gaps, out, "--target", "gap", "--quick", "-o", tmp_path / "a")
    assert "prior" in audited.out
    (found,) = json.loads((tmp_path / "a" / "audit.json").read_text())["splits"]
    assert found["folds"][0]["dummy_mae"] == pytest.approx(expected)
    assert found["folds"][0]["auc"] is None


def test_budgets_time_and_inner_folds(xtalshift, gaps, tmp_path):
    out = tmp_path / "s.csv"
    _, frame = split(xtalshift, gaps, out, "--scheme", "family", "-p", "contains=O or S",
                     "--budgets", "4,8")  # fmt: skip
    assert frame.budget[frame.part == "target"].value_counts().to_dict() == {4: 4, 8: 4}
    _, frame = split(xtalshift, gaps, out, "--scheme", "time", "-p", "times=year",
                     "--inner", "leave-out", "--inner-param", "by=lab")  # fmt: skip
    year = pd.read_csv(gaps).set_index("id").year
    outer = frame[frame.inner == -1].set_index("id")
    assert (
        year[outer.index[outer.part == "test"]].min()
        > year[outer.index[outer.part == "train"]].max()
    )
    assert sorted(frame.inner.unique()) == [-1, 0, 1, 2]
    audited = xtalshift("audit", gaps, out, "--target", "gap", "--quick")
    assert "s.csv: 1 fold of 154 rows" in audited.out


def test_a_column_of_parts_and_published_folds(xtalshift, gaps, tmp_path):
    frame = pd.read_csv(gaps, keep_default_na=False)
    frame.loc[frame.formula == "KCl", "formula"] = "KKl"  # unusable, but in the folds
    frame["part"] = np.where(frame.formula.str.endswith("F"), "ood", "train")
    table = tmp_path / "parts.csv"
    frame.to_csv(table, index=False)
    _, own = split(xtalshift, table, tmp_path / "own.csv", "--scheme", "column",
                   "-p", "labels=part", "--validation-share", "0")  # fmt: skip
    assert (own.part == "test").sum() == 14
    folds = frame.assign(scheme="LOCO", fold=7)[["scheme", "fold", "part", "id"]]
    folds = pd.concat([folds, folds.assign(scheme="other")])
    folds.to_parquet(tmp_path / "folds.parquet")
    given = f"given={tmp_path / 'folds.parquet'}"
    several = xtalshift("split", table, "--scheme", "folds", "-p", given, "-o", tmp_path / "x.csv")
    assert several.code == 1
    assert "several schemes: LOCO, other; name one" in several.err
    _, again = split(xtalshift, table, tmp_path / "y.csv", "--scheme", "folds",
                     "-p", f"{given}#LOCO")  # fmt: skip
    assert again.fold_name.unique().tolist() == ["fold 7"]
    audited = xtalshift("audit", table, tmp_path / "folds.parquet", "--target", "gap", "--quick",
                        "--scheme", "LOCO")  # fmt: skip
    assert "LOCO: 1 fold of 153 rows. degenerate 1, covariate 1" in audited.out
    assert "1 of 154 rows cannot be used" in audited.err
    assert "other" not in audited.out


class TestBrokenPromises:
    @pytest.fixture
    def fluorides(self, xtalshift, gaps, tmp_path):
        out = tmp_path / "s.parquet"
        split(xtalshift, gaps, out, "--scheme", "family", "-p", "contains=F")
        return out

    def audit(self, xtalshift, gaps, changed, tmp_path):
        table = tmp_path / "changed.csv"
        changed(pd.read_csv(gaps, keep_default_na=False)).to_csv(table, index=False)
        outcome = xtalshift("audit", table, tmp_path / "s.parquet", "--target", "gap", "--quick")
        assert outcome.code == 1
        return outcome.err

    def test_a_formula_on_both_sides(self, xtalshift, gaps, fluorides, tmp_path):
        def twice(frame):
            frame.loc[frame.formula == "NaCl", "formula"] = "LiF"
            return frame

        error = self.audit(xtalshift, gaps, twice, tmp_path)
        assert "The split family puts 1 formula on both sides, such as LiF" in error

    def test_a_row_that_the_rule_holds_out_trains(self, xtalshift, gaps, fluorides, tmp_path):
        def renamed(frame):
            frame.loc[frame.formula == "NaCl", "formula"] = "CsF"
            return frame

        error = self.audit(xtalshift, gaps, renamed, tmp_path)
        assert "the split holds out all materials that contain F, but 1 such rows train" in error
        assert "such as CsF (id m" in error

    def test_also_where_the_row_is_for_model_selection(self, xtalshift, gaps, fluorides, tmp_path):
        frame = pd.read_parquet(fluorides)
        metadata = pq.read_table(fluorides).schema.metadata | pq.read_metadata(fluorides).metadata
        frame.loc[frame.formula == "SrF", "part"] = "val"
        table = pa.Table.from_pandas(frame).replace_schema_metadata(metadata)
        pq.write_table(table, fluorides)
        error = self.audit(xtalshift, gaps, lambda same: same, tmp_path)
        assert "the split holds out all materials that contain F, but 1 such rows train" in error

    def test_the_rule_is_checked_with_its_own_target_or_not_at_all(
        self, xtalshift, gaps, fluorides, tmp_path
    ):
        split(xtalshift, gaps, tmp_path / "p.parquet", "--scheme", "prior", "--target", "gap")
        other = xtalshift("audit", gaps, tmp_path / "p.parquet", "--target", "year", "--quick")
        assert other.code == 0, other.err
        frame = pd.read_csv(gaps, keep_default_na=False).drop(columns="gap")
        frame.to_csv(tmp_path / "without.csv", index=False)
        gone = xtalshift("audit", tmp_path / "without.csv", tmp_path / "p.parquet", "--quick")
        assert gone.code == 0, gone.err
        assert "the rule of the split is not checked: " in gone.err
        assert "without.csv: no target column 'gap'" in gone.err

    def test_the_same_rows_in_another_order(self, xtalshift, gaps, tmp_path):
        frame = pd.read_csv(gaps, keep_default_na=False).drop(columns="id")
        frame.to_csv(tmp_path / "one.csv", index=False)
        split(xtalshift, tmp_path / "one.csv", tmp_path / "s.parquet", "--scheme", "covariate")
        error = self.audit(
            xtalshift, tmp_path / "one.csv", lambda f: f.sample(frac=1, random_state=0), tmp_path
        )
        assert "formulas in s.parquet are not those of the table, such as id " in error
        assert "do not depend on the order of rows (--id-col)" in error

    def test_another_table(self, xtalshift, gaps, fluorides, tmp_path):
        error = self.audit(xtalshift, gaps, lambda f: f.assign(id=f.id + "x"), tmp_path)
        assert "154 of 154 ids in" in error
        assert "name the column of ids with --id-col" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scheme", "loco", "-p", "n_cluster=3"), "did you mean 'n_clusters'"),
        (("--scheme", "loco", "-p", "n_clusters"), "--param 'n_clusters': expected name=value"),
        (("--scheme", "loco", "-p", "n_clusters=400"), "choose at most 154"),
        (("--scheme", "family", "-p", "contains=U"), "holds out 0 of 154 rows"),
        (("--scheme", "family", "-p", "contains=Fluorin"), "unknown element or class 'Fluorin'"),
        (("--scheme", "family", "--budgets", "16,32"), "at most 13 labels leave a test row"),
        (("--scheme", "family", "--budgets", "16;32"), "'16;32' is not a whole number"),
        (("--scheme", "time"), "scheme time needs the parameter times=COLUMN"),
        (("--scheme", "prior"), "more than one column can be the target"),
        (("--scheme", "random", "--inner", "kfolds"), "did you mean 'kfold'"),
        (("--scheme", "random", "--id-col", "lab"), "id 'A' is in several rows"),
        (("--scheme", "random", "-p", "share=20"), "between 0 and 1 (0.2 for 20 %)"),
        (("--scheme", "random", "--thin", "2"), "setting 'thin' = 2.0"),
    ],
)
def test_mistakes_are_named_with_what_is_possible(options, message, xtalshift, gaps, tmp_path):
    outcome = xtalshift("split", gaps, *options, "-o", tmp_path / "s.csv")
    usage = ("expected name=value", "is not a whole number", "setting 'thin'")
    assert outcome.code == (2 if message.endswith(usage) or message.startswith(usage) else 1)
    assert message in outcome.err
    assert not (tmp_path / "s.csv").exists()


def test_an_audit_without_its_files(xtalshift, gaps, tmp_path):
    missing = xtalshift("audit", gaps, tmp_path / "none.parquet")
    assert missing.code == 1
    assert "none.parquet" in missing.err
    wrong = xtalshift("audit", gaps, gaps)
    assert "has no column 'part'" in wrong.err
