"""Rows of two fidelities in one table."""

import numpy as np
import pandas as pd
import pytest

from xtalshift.data import Dataset
from xtalshift.data.fidelities import part_fidelities
from xtalshift.errors import DataError


def table(kinds):
    formulas = [f"Li{n}O{n + 1}" for n in range(1, len(kinds) + 1)]
    columns = pd.DataFrame({"kind": kinds})
    return Dataset.of(formulas, np.arange(len(kinds), dtype=float), columns=columns)


def test_a_word_for_measured_values_is_predicted_and_the_decision_is_said():
    parts = part_fidelities(table(["PBE", "Expt ", "PBE", "Expt", "Expt"]), "kind")
    assert parts.names == ("Expt", "PBE")
    assert parts.high.targets.tolist() == [1, 3, 4]
    assert parts.low.targets.tolist() == [0, 2]
    assert "\n".join(parts.remarks) == (
        "note: the values of kind = 'Expt' are predicted ('Expt' in 3 rows, 'PBE' in 2 rows); "
        "another choice: --fidelity VALUE"
    )


def test_else_the_rarest_is_predicted_and_the_most_frequent_helps():
    kinds = ["PBE"] * 4 + ["HSE"] * 3 + ["GW"] * 2 + ["", None]
    parts = part_fidelities(table(kinds), "kind")
    assert parts.names == ("GW", "PBE")
    assert (len(parts.high), len(parts.low)) == (2, 4)
    assert "'HSE' in 3 rows; learned from beside it is 'PBE'" in parts.remarks[1]
    assert parts.remarks[2] == "warning: 2 rows are left out, because 'kind' is empty there"


def test_named_fidelities_are_taken():
    kinds = ["PBE"] * 4 + ["HSE"] * 3 + ["GW"] * 2
    parts = part_fidelities(table(kinds), "kind", ["HSE", "GW"])
    assert parts.names == ("HSE", "GW")
    assert "\n".join(parts.remarks) == (
        "note: rows of other fidelities are left out: 'PBE' in 4 rows; learned from beside it is "
        "'GW'"
    )


def test_numbers_are_written_as_usual():
    parts = part_fidelities(table([0.0, 1.0, 0.0, np.nan]), "kind", ["1"])
    assert parts.names == ("1", "0")
    assert parts.high.targets.tolist() == [1]


@pytest.mark.parametrize(
    ("kinds", "column", "named", "match"),
    [
        (["a", "b"], "knd", (), "no column of fidelities 'knd' \\(did you mean 'kind'\\?\\)"),
        (["expt", "b"], "kind", ["exp"], "no value 'exp' .*It has 'b' in 1 row, 'expt' in 1 row"),
        (["a", "a"], "kind", (), "has 'a' in 2 rows; leave out --fidelity-col"),
        (["", ""], "kind", (), "has none; leave out"),
        (["a", "b"], "kind", ["a", "a"], "'a' is named twice"),
        (["a", "b"], "kind", ["a", "b", "c"], "3 fidelities are named"),
    ],
)
def test_what_cannot_be_parted_is_refused(kinds, column, named, match):
    with pytest.raises(DataError, match=match):
        part_fidelities(table(kinds), column, named)
