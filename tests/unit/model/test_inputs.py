"""From a file to a clean table with features."""

import numpy as np
import pandas as pd
import pytest

from xtalshift.chem.elements import SYMBOLS, load_elements
from xtalshift.data.settings import DataConfig
from xtalshift.errors import DataError, FormulaError, SplitError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.model.inputs import read_inputs

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se")
CHOSEN = ("Zn2O", "Cd3Se", "Al2S")


def materials():
    """Return 168 formulas, twelve of them again as another multiple with another target."""
    formulas = [f"{a}{n}{b}" for a in CATIONS for b in ANIONS for n in (2, 3)]
    again = [f"{a}4O2" for a in CATIONS]
    frame = pd.DataFrame({"formula": formulas + again})
    frame["y"] = np.random.default_rng(0).gamma(2.0, 30.0, len(frame)).round(3)
    return frame


@pytest.fixture
def read(tmp_path):
    """Return a function that writes the rows with other columns and reads them."""

    def call(*, flag_column=None, progress=None, columns=None, **settings):
        path = tmp_path / "materials.csv"
        materials().assign(**(columns or {})).to_csv(path, index=False)
        config = DataConfig(dataset=str(path), target="y", **settings)
        given = () if progress is None else (progress,)
        return read_inputs(config, *given, flag=flag_column)

    return call


@pytest.mark.parametrize("duplicates", ["keep", "mean"])
def test_rows_and_features_agree(read, duplicates):
    inputs = read(duplicates=duplicates, features="fractions")
    assert len(inputs.data) == len(inputs.X) == (180 if duplicates == "keep" else 168)
    again = CompositionFeaturizer("fractions").transform(inputs.data.formulas.tolist())
    np.testing.assert_array_equal(inputs.X, again)
    assert inputs.featurizer.blocks == "fractions"
    assert inputs.data.target_name == "y"


def test_merged_rows_have_the_mean_target(read):
    data = read().data
    frame = materials()
    twice = frame[frame.formula.isin(["Li2O", "Li4O2"])]
    assert data.y[data.formulas.tolist().index("Li2O")] == twice.y.mean()
    assert data.intake.rows_merged == 12


def test_extra_columns_stand_last_among_the_features(read):
    temperature = np.arange(180) + 0.5
    inputs = read(columns={"T": temperature}, feature_cols=["T"], duplicates="keep")
    np.testing.assert_array_equal(inputs.X[:, -1], temperature)
    assert inputs.data.materials.extra_names == ("T",)


def test_what_cleaning_found_is_said(read):
    said = []

    class Listener:
        def say(self, text):
            said.append(text)

    targets = materials().y.astype(object)
    targets[5] = "n/m"
    read(columns={"y": targets}, progress=Listener())
    assert said[0].startswith("Reading ")
    assert said[2].startswith("180 rows read, 1 dropped, 12 merged: 167 materials, ")
    assert said[3] == "  dropped 1: target: not a number (row 6: 'n/m')"


def test_a_row_without_features_is_dropped_with_its_reason(read):
    states = load_elements().oxidation_states
    symbols = [SYMBOLS[z] for z in range(1, 119) if len(states[z]) > 1]
    amounts = np.random.default_rng(0).random(len(symbols))
    awkward = "".join(f"{s}{a:.9f}" for s, a in zip(symbols, amounts, strict=True)) + "O20"
    formulas = [*materials().formula[:-1], awkward]
    inputs = read(columns={"formula": formulas})
    assert len(inputs.data) == len(inputs.X) == 168
    assert inputs.data.intake.rows_kept == 168
    (finding,) = inputs.data.intake.dropped
    assert (finding.kind, finding.count) == ("formula without features", 1)
    assert "charge" in finding.examples[0].reason
    assert finding.examples[0].row == 180  # of the file, though rows above are merged
    with pytest.raises(FormulaError, match="row 180: no features for"):
        read(columns={"formula": formulas}, strict=True)


def test_a_target_outside_the_transform_is_named_by_its_row_of_the_file(read):
    targets = materials().y.to_numpy(copy=True)
    targets[[3, 4]] = np.nan, 0.0
    with pytest.raises(DataError, match="row 5: 0 "):
        read(columns={"y": targets}, transform="log")


def test_one_target_for_all_is_refused(read):
    with pytest.raises(DataError, match="all 168 targets are 2; there is nothing to learn"):
        read(columns={"y": 2.0})


def test_a_refused_target_says_how_many_rows_cleaning_kept(read):
    targets = np.full(len(materials()), 2.0)
    targets[3] = np.nan
    with pytest.raises(DataError, match=r"cleaning kept 167 of 180 rows"):
        read(columns={"y": targets})


class TestFlags:
    def flagged(self, inputs):
        return sorted(inputs.data.formulas[inputs.data.flags("flag")])

    @pytest.mark.parametrize(
        ("yes", "no"), [("True", "False"), (1, 0), ("yes", "no"), (" TRUE", "false "), (1.0, 0.0)]
    )
    def test_flag_columns(self, read, yes, no):
        flags = [yes if formula in CHOSEN else no for formula in materials().formula]
        inputs = read(columns={"flag": flags}, flag_column="flag")
        assert self.flagged(inputs) == sorted(CHOSEN)

    @pytest.mark.parametrize("duplicates", ["keep", "mean"])
    def test_a_flag_on_a_later_row_of_a_formula_is_not_lost_in_merging(self, read, duplicates):
        flags = (materials().formula == "Zn4O2").astype(int)
        inputs = read(columns={"flag": flags}, flag_column="flag", duplicates=duplicates)
        kept = {"keep": ["Zn2O", "Zn4O2"], "mean": ["Zn2O"]}
        assert self.flagged(inputs) == kept[duplicates]

    def test_rows_that_cleaning_drops_need_no_flag(self, read):
        frame = materials()
        flags = [str(int(formula in CHOSEN)) for formula in frame.formula]
        flags[3] = ""
        formulas = frame.formula.copy()
        formulas[3] = "Xx3"
        inputs = read(columns={"formula": formulas, "flag": flags}, flag_column="flag")
        assert self.flagged(inputs) == sorted(CHOSEN)
        assert inputs.data.intake.rows_dropped == 1

    def test_a_value_that_is_no_flag(self, read):
        flags = [0] * 180
        flags[1] = 2
        message = r"column 'flag', Li3F \(id 2\): 2 is not a flag; use 0 and 1, or true and false"
        with pytest.raises(SplitError, match=message):
            read(columns={"flag": flags}, flag_column="flag")

    def test_a_word_that_is_no_flag(self, read):
        with pytest.raises(DataError, match=r"column 'flag', row 1 .*not a number: 'perhaps'"):
            read(columns={"flag": ["perhaps"] * 180}, flag_column="flag")

    def test_a_column_that_does_not_exist(self, read):
        with pytest.raises(DataError, match=r"no column 'flags'.* \(did you mean 'flag'"):
            read(columns={"flag": 0}, flag_column="flags")
