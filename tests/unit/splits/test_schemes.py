"""Schemes by name: their descriptions, and the table of the documentation."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xtalshift.data import Dataset
from xtalshift.errors import DataError
from xtalshift.splits import SPLITTERS
from xtalshift.splits.schemes import _read_times, list_schemes

TOOL = Path(__file__).parents[3] / "tools" / "scheme_table.py"


def test_every_scheme_says_what_it_does_and_lists_its_parameters():
    schemes = {scheme.name: scheme for scheme in list_schemes()}
    assert list(schemes) == sorted(SPLITTERS)
    assert schemes["time"].summary.startswith("Hold out the formulas reported last; ")
    assert schemes["time"].params == "times=COLUMN share=0.2 n_folds=1"
    assert schemes["folds"].params == "given=FILE whole_formulas=true"
    assert schemes["prior"].aim == "unseen values"
    assert all(scheme.summary.endswith((".", "...")) for scheme in schemes.values())


def test_the_table_in_the_documentation_is_up_to_date():
    tool = runpy.run_path(str(TOOL))
    page = tool["PAGE"].read_text(encoding="utf-8")
    assert page.count(tool["BEGIN"]) == page.count(tool["END"]) == 1
    assert tool["replace_table"](page) == page, "run python tools/scheme_table.py"


@pytest.mark.parametrize("cells", [["2020", "2021-05-31", "x"], [2020, 2021, "x"]])
def test_a_time_that_is_none_is_named(cells):
    table = Dataset.of(["Fe", "Co", "Ni"], columns=pd.DataFrame({"year": cells}))
    with pytest.raises(DataError, match=r"column 'year', row 3 .*'x' is neither .*; 1 of 3 rows"):
        _read_times(table, "year")


def test_years_and_dates_stand_in_one_column():
    table = Dataset.of(["Fe", "Co"], columns=pd.DataFrame({"year": ["2020", "2019-05-31"]}))
    assert np.argsort(_read_times(table, "year")).tolist() == [1, 0]
