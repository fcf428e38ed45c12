"""Weights of rows: from a column, through cleaning, to merged rows."""

import numpy as np
import pandas as pd
import pytest

from xtalshift.data import Dataset, clean_table, read_table
from xtalshift.data.replicates import Measured, merge_rows, replicate_noise
from xtalshift.errors import ConfigError, DataError

CELLS = ["formula,gap,w", "Fe2O3,1,2", "SiO2,3,1", "GaN,2,-1", "AlN,4,", "ZnO,5,0", "MgO,6,x"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "gaps.csv"
    path.write_text("\n".join([*CELLS, "Fe4O6,7,4", ""]))
    return path


def test_a_column_weighs_the_rows(file):
    table = read_table(file, target="gap", weight_col="w")
    assert table.weights[[0, 1, 6]].tolist() == [2, 1, 4]
    assert "w" not in table.columns
    assert table.reading.weights == "column 'w', -1 to 4"
    data = clean_table(table)
    assert data.formulas.tolist() == ["Fe2O3", "SiO2"]
    assert data.targets.tolist() == [5.0, 3.0]
    assert data.weights.tolist() == [6.0, 1.0]


def test_bad_cells_are_findings_with_rows_and_remedy(file):
    report = clean_table(read_table(file, target="gap", weight_col="w")).intake
    found = {one.kind: one for one in report.dropped}
    assert {kind: one.examples[0].row for kind, one in found.items()} == {
        "weight: negative": 3, "weight: missing": 4, "weight: zero": 5, "weight: not a number": 6,
    }  # fmt: skip
    assert found["weight: negative"].examples[0].value == "-1"
    assert "positive weight" in found["weight: zero"].remedy
    assert all(one.remedy for one in report.dropped)


def test_strict_refuses_a_row_without_a_weight(file):
    with pytest.raises(DataError, match=r"row 3 .*weight: negative.*-1"):
        clean_table(read_table(file, target="gap", weight_col="w"), strict=True)


def test_the_target_is_no_weight_and_the_column_must_exist(file):
    with pytest.raises(ConfigError, match="'gap' is the target"):
        read_table(file, target="gap", weight_col="gap")
    with pytest.raises(DataError, match=r"no column 'W'.*did you mean 'w'"):
        read_table(file, target="gap", weight_col="W")


def test_the_target_is_guessed_without_the_weights(tmp_path):
    path = tmp_path / "gaps.csv"
    path.write_text("formula,gap,w\nFe2O3,1,2\nSiO2,3,1\n")
    assert read_table(path, weight_col="w").target_name == "gap"


def test_weights_given_in_python_are_checked_too():
    data = Dataset.of(["GaN", "AlN", "ZnO", "MgO"], [1, 2, 3, 4], weights=[1, np.nan, -2, 0.5])
    cleaned = clean_table(data)
    assert cleaned.formulas.tolist() == ["GaN", "MgO"]
    assert cleaned.weights.tolist() == [1.0, 0.5]
    assert [one.kind for one in cleaned.intake.dropped] == ["weight: missing", "weight: negative"]


def test_rows_are_taken_with_their_weights_and_the_hash_knows_them():
    one = Dataset.of(["GaN", "AlN"], [1, 2], weights=[1, 2])
    assert one.take([1, 1, 0]).weights.tolist() == [2, 2, 1]
    hashes = {one.sha256(), Dataset.of(["GaN", "AlN"], [1, 2]).sha256()}
    assert len(hashes) == 2
    with pytest.raises(DataError, match="weights has 1 rows"):
        Dataset.of(["GaN", "AlN"], [1, 2], weights=[1])


@pytest.mark.parametrize("rule", ["mean", "median", "lowest", "highest"])
def test_whole_weights_merge_like_repeated_rows(rule):
    rng = np.random.default_rng(0)
    codes = np.concatenate([np.arange(5), rng.integers(5, size=20)])
    y, w = rng.normal(size=25), rng.integers(1, 4, 25).astype(float)
    found = merge_rows(codes, Measured(y, w), rule)
    times = w.astype(int)
    expected = merge_rows(np.repeat(codes, times), Measured(np.repeat(y, times)), rule)
    assert found.targets == pytest.approx(expected.targets)
    assert found.weights.tolist() == np.bincount(np.repeat(codes, times)).tolist()
    assert expected.weights is None


def test_equal_replicates_keep_their_value_exactly():
    rows = Measured(np.full(3, 0.1), np.array([0.1, 0.3, 0.7]))
    assert merge_rows(np.zeros(3, int), rows, "mean").targets.tolist() == [0.1]


def test_a_column_of_conditions_is_not_confused_with_weights(tmp_path):
    frame = pd.DataFrame({"formula": ["GaN", "GaN"], "gap": [1.0, 2.0], "T": [300, 400]})
    path = tmp_path / "gaps.csv"
    frame.to_csv(path, index=False)
    kinds = [one.kind for one in clean_table(read_table(path, target="gap")).intake.findings]
    weighed = clean_table(read_table(path, target="gap", weight_col="T")).intake.findings
    assert "'T' differs within a formula" in kinds
    assert "'T' differs within a formula" not in [one.kind for one in weighed]


class TestUncertainties:
    def test_a_column_is_read_and_its_bad_cells_are_findings(self, tmp_path):
        path = tmp_path / "gaps.csv"
        path.write_text("formula,gap,s\nFe2O3,1,0.1\nSiO2,3,0\nGaN,2,-1\nAlN,4,\n")
        table = read_table(path, uncertainty_col="s")
        assert table.target_name == "gap"
        assert table.reading.noise == "column 's', -1 to 0.1"
        data = clean_table(table)
        assert data.noise.tolist() == [0.1, 0.0]
        kinds = {one.kind: one.examples[0].row for one in data.intake.dropped}
        assert kinds == {"uncertainty: negative": 3, "uncertainty: missing": 4}

    def test_replicates_are_combined_by_their_precision(self):
        codes = np.array([0, 0, 1])
        rows = Measured(np.array([1.0, 1.5, 7.0]), None, np.array([1.0, 0.5, 0.3]))
        found = merge_rows(codes, rows, "mean")
        assert found.targets == pytest.approx([1.4, 7.0])
        assert found.noise == pytest.approx([np.sqrt(0.2), 0.3])
        assert found.weights is None

    def test_replicates_that_differ_too_much_are_less_certain(self):
        rows = Measured(np.array([0.0, 10.0]), None, np.array([1.0, 1.0]))
        found = merge_rows(np.zeros(2, int), rows, "mean")
        # the ratio of Birge: sqrt((5^2 + 5^2) / 1)
        assert found.noise == pytest.approx([np.sqrt(0.5) * np.sqrt(50)])

    def test_weights_and_uncertainties_together(self):
        rows = Measured(np.array([0.0, 3.0]), np.array([2.0, 4.0]), np.array([1.0, 1.0]))
        found = merge_rows(np.zeros(2, int), rows, "mean")
        assert found.targets == pytest.approx([2.0])
        assert found.weights.tolist() == [3.0]

    def test_the_lowest_keeps_its_own_uncertainty_and_0_is_exact(self):
        rows = Measured(np.array([0.0, 3.0]), None, np.array([0.0, 1.0]))
        assert merge_rows(np.zeros(2, int), rows, "highest").noise.tolist() == [1.0]
        mean = merge_rows(np.zeros(2, int), rows, "mean")
        assert mean.targets == pytest.approx([0.0], abs=1e-9)

    def test_a_median_is_less_certain_than_a_mean(self):
        rows = Measured(np.array([1.0, 1.1, 0.9, 5.0]), None, np.ones(4))
        codes = np.array([0, 0, 0, 1])
        mean, median = (merge_rows(codes, rows, rule).noise for rule in ("mean", "median"))
        assert median / mean == pytest.approx([np.sqrt(np.pi / 2), 1.0])

    def test_the_scatter_of_replicates_stands_for_a_column(self):
        rng = np.random.default_rng(0)
        metals = ("Li", "Na", "K", "Mg", "Zn", "Ga", "Fe", "Ti")
        anions = ("O", "S", "F", "Cl", "N")
        formulas = [f"{m}{a}{n}" for m in metals for a in anions for n in (1, 2, 3, 4, 5)]
        y = np.repeat(rng.normal(size=200), 3) + rng.normal(0, 0.2, 600)
        data = Dataset.of(np.repeat(formulas, 3), y)
        cleaned = clean_table(data, noise_from_replicates=True)
        assert cleaned.noise == pytest.approx(np.full(200, 0.2 / np.sqrt(3)), rel=0.05)
        assert replicate_noise(np.repeat(np.arange(200), 3), y) == pytest.approx(0.2, rel=0.05)
        with pytest.raises(DataError, match="no material has two rows"):
            clean_table(Dataset.of(formulas, y[:200]), noise_from_replicates=True)
