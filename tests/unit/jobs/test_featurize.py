"""Files of formulas to tables of features."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from xtalshift.data.settings import ReadingOptions
from xtalshift.errors import ConfigError, FormulaError
from xtalshift.featurize import CompositionFeaturizer, Features
from xtalshift.featurize.composition import CHUNK_ROWS
from xtalshift.jobs.featurize import FeaturizeSettings, feature_table, iter_features

SETTINGS = FeaturizeSettings()


@pytest.fixture
def source(tmp_path):
    """Return a file of a few pieces with a bad row in the second one."""
    formulas = [f"Fe{2 + row}O3" for row in range(2 * CHUNK_ROWS + 5)]
    formulas[CHUNK_ROWS + 1] = "Fe3+"
    path = tmp_path / "in.csv"
    path.write_text("\n".join(["y,formula", *(f"1,{formula}" for formula in formulas), ""]))
    return path


def test_pieces_make_the_whole_and_keep_bad_rows(source):
    pieces = list(iter_features(source, SETTINGS))
    assert [len(features) for _, features, _ in pieces] == [CHUNK_ROWS, CHUNK_ROWS, 5]
    table = pa.concat_tables([feature_table(*piece) for piece in pieces]).to_pandas()
    formulas = pd.read_csv(source)["formula"].tolist()
    expected = CompositionFeaturizer().featurize(formulas)
    assert table.columns.tolist() == ["formula", *expected.names, "status", "reason"]
    assert table["formula"].tolist() == formulas
    np.testing.assert_allclose(table[list(expected.names)], expected.values, rtol=1e-14)
    assert table["reason"].tolist() == expected.reasons.tolist()
    assert np.flatnonzero(table["status"] == "error").tolist() == [CHUNK_ROWS + 1]
    assert set(table["status"]) == {"ok", "error"}


def test_strict_counts_rows_through_the_file(source):
    with pytest.raises(FormulaError, match=rf"^row {CHUNK_ROWS + 2}: formula 'Fe3\+'"):
        list(iter_features(source, replace(SETTINGS, strict=True)))


def test_settings_reach_the_features(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("name,formula\nCuSO4·5H2O,HeO\n")
    settings = FeaturizeSettings(
        "magpie+fractions", False, ReadingOptions(hydrates="expand", formula_col="name")
    )
    ((formulas, features, _),) = iter_features(path, settings)
    assert (formulas, features.values.shape) == (["CuSO4·5H2O"], (1, 145 + 118))
    assert features.values[0, features.names.index("fraction H")] == 10 / 21
    ((_, features, _),) = iter_features(path, replace(settings, reading=ReadingOptions()))
    assert np.isnan(features.values).any()
    with pytest.raises(ConfigError, match="unknown block 'magpi'"):
        next(iter_features(path, replace(settings, blocks="magpi")))


def test_missing_numbers_are_null_and_text_is_kept():
    values = np.asfortranarray([[1.0, np.nan], [2.0, 3.0], [np.nan, np.nan]])
    reasons = np.array(["", "", "wrong: \N{GREEK SMALL LETTER DELTA}"], dtype=object)
    table = feature_table(["Fe", "", "a\ud800b₂"], Features(values, ("x", "y"), reasons))
    assert table.to_pydict() == {
        "formula": ["Fe", "", "a?b₂"],
        "x": [1.0, 2.0, None],
        "y": [None, 3.0, None],
        "status": ["ok", "ok", "error"],
        "reason": ["", "", "wrong: δ"],
    }
    assert [str(kind) for kind in table.schema.types] == [
        "string", "double", "double", "string", "string",
    ]  # fmt: skip
    table.validate(full=True)


def test_a_file_without_rows_gives_a_table_without_rows(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("formula\n")
    ((formulas, features, _),) = iter_features(path, SETTINGS)
    table = feature_table(formulas, features)
    assert (table.num_rows, table.num_columns) == (0, 148)
