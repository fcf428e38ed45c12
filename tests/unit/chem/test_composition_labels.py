"""Labels of compositions: known compounds, and the definitions written slowly."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.chem.composition_labels import (
    LABELLINGS,
    blank_labels,
    composition_labels,
    given_labels,
)
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import SplitError

FORMULAS = ["Fe2O3", "LiFePO4", "NaF", "not a formula", "LaOF", "Li2O", "NaF"]
ROWS = st.lists(
    st.dictionaries(st.sampled_from(SYMBOLS[1:]), st.integers(1, 30), min_size=1, max_size=6),
    max_size=8,
)


def labels_of(formulas, by):
    return composition_labels(parse_formulas(formulas)[0], by)


def by_row(labels):
    sets = [[] for _ in range(labels.n_rows)]
    for row, code in zip(labels.rows.tolist(), labels.codes.tolist(), strict=True):
        sets[row].append(labels.names[code])
    return sets


def write(row):
    return "".join(f"{symbol}{amount}" for symbol, amount in row.items())


class TestKnown:
    @pytest.mark.parametrize(
        ("by", "names", "expected"),
        [
            (
                "element",
                ("Li", "O", "F", "Na", "P", "Fe", "La"),
                ["O Fe", "Li O P Fe", "F Na", "", "O F La", "Li O", "F Na"],
            ),
            (
                "period",
                ("2", "3", "4", "6"),
                ["2 4", "2 3 4", "2 3", "", "2 6", "2", "2 3"],
            ),
            (
                "group",
                ("1", "8", "15", "16", "17", "lanthanide"),
                ["8 16", "1 8 15 16", "1 17", "", "16 17 lanthanide", "1 16", "1 17"],
            ),
            (
                "block",
                ("s", "p", "d", "f"),
                ["p d", "s p d", "s p", "", "p f", "s p", "s p"],
            ),
            (
                "chemsys",
                ("F-La-O", "F-Na", "Fe-Li-O-P", "Fe-O", "Li-O"),
                ["Fe-O", "Fe-Li-O-P", "F-Na", "", "F-La-O", "Li-O", "F-Na"],
            ),
            (
                "anonymous",
                ("A2B3", "AB", "AB2", "ABC", "ABCD4"),
                ["A2B3", "ABCD4", "AB", "", "ABC", "AB2", "AB"],
            ),
            (
                "n_elements",
                ("2", "3", "4"),
                ["2", "4", "2", "", "3", "2", "2"],
            ),
            (
                "family",
                ("fluoride", "oxide"),
                ["oxide", "oxide", "fluoride", "", "fluoride", "oxide", "fluoride"],
            ),
        ],
    )
    def test_labels(self, by, names, expected):
        labels = labels_of(FORMULAS, by)
        assert labels.by == by
        assert labels.names == names
        assert by_row(labels) == [row.split() for row in expected]
        assert not labels.single  # one row has none
        flat = " ".join(expected).split()
        assert labels.counts().tolist() == [flat.count(name) for name in names]

    def test_every_labelling_is_tested(self):
        marks = self.test_labels.pytestmark[0].args[1]
        assert [by for by, _, _ in marks] == list(LABELLINGS)

    @pytest.mark.parametrize("by", ["chemsys", "anonymous", "n_elements", "family"])
    def test_one_label_each(self, by):
        assert labels_of(["NaCl", "Fe2O3", "Si"], by).single

    def test_unknown_labelling(self):
        with pytest.raises(
            SplitError, match=r"unknown labelling 'elements' \(did you mean 'element'\?\); there"
        ):
            labels_of(["NaCl"], "elements")


class TestPeriodicTable:
    @pytest.mark.parametrize(
        ("symbol", "period", "group", "block"),
        [
            ("H", "1", "1", "s"),
            ("He", "1", "18", "s"),
            ("Be", "2", "2", "s"),
            ("B", "2", "13", "p"),
            ("Ar", "3", "18", "p"),
            ("Sc", "4", "3", "d"),
            ("Zn", "4", "12", "d"),
            ("Ga", "4", "13", "p"),
            ("Y", "5", "3", "d"),
            ("I", "5", "17", "p"),
            ("Ba", "6", "2", "s"),
            ("La", "6", "lanthanide", "f"),
            ("Yb", "6", "lanthanide", "f"),
            ("Lu", "6", "3", "d"),
            ("Hf", "6", "4", "d"),
            ("Rn", "6", "18", "p"),
            ("Ra", "7", "2", "s"),
            ("Ac", "7", "actinide", "f"),
            ("No", "7", "actinide", "f"),
            ("Lr", "7", "3", "d"),
            ("Rf", "7", "4", "d"),
            ("Og", "7", "18", "p"),
        ],
    )
    def test_places(self, symbol, period, group, block):
        assert labels_of([symbol], "period").names == (period,)
        assert labels_of([symbol], "group").names == (group,)
        assert labels_of([symbol], "block").names == (block,)

    def test_every_element_has_one_place(self):
        elements = list(SYMBOLS[1:])
        assert labels_of(elements, "element").names == SYMBOLS[1:]
        assert labels_of(elements, "period").counts().tolist() == [2, 8, 8, 18, 18, 32, 32]
        assert labels_of(elements, "block").counts().tolist() == [14, 36, 40, 28]
        groups = labels_of(elements, "group")
        assert groups.names == (*map(str, range(1, 19)), "lanthanide", "actinide")
        assert groups.counts().tolist() == [7, 6, *[4] * 10, *[6] * 5, 7, 14, 14]
        assert groups.single


class TestAnonymous:
    @pytest.mark.parametrize(
        ("formula", "expected"),
        [
            ("Si", "A"),
            ("Si8", "A"),
            ("MgAl2O4", "AB2C4"),
            ("O4Al2Mg", "AB2C4"),
            ("Na0.5Cl0.5", "AB"),
            ("Li0.5FeO2", "AB2C4"),
            ("Fe0.95O", "A19B20"),
            ("Ca(OH)2", "AB2C2"),
        ],
    )
    def test_known(self, formula, expected):
        assert labels_of([formula], "anonymous").names == (expected,)

    def test_letters_after_z(self):
        every = "".join(SYMBOLS[1:55])
        letters = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
        letters += [first + second.lower() for first in "AB" for second in letters[:26]]
        assert labels_of([every], "anonymous").names == ("".join(letters[:54]),)
        assert letters[51:54] == ["Az", "Ba", "Bb"]

    def test_amounts_that_six_decimals_cannot_show(self):
        assert labels_of(["NaCl0.0000001"], "anonymous").names == ("AB10000000",)

    @given(rows=ROWS, factors=st.lists(st.sampled_from([1, 2, 3, 0.5, 0.25]), max_size=8))
    def test_equal_ratios_give_equal_labels(self, rows, factors):
        scaled = [
            {symbol: amount * factor for symbol, amount in reversed(row.items())}
            for row, factor in zip(rows, factors, strict=False)
        ]
        first = by_row(labels_of([write(row) for row in rows[: len(scaled)]], "anonymous"))
        assert by_row(labels_of([write(row) for row in scaled], "anonymous")) == first
        for row, labels in zip(rows, first, strict=False):
            gcd = int(np.gcd.reduce(list(row.values())))
            expected = sorted(amount // gcd for amount in row.values())
            assert [int(n or 1) for n in re.findall(r"[A-Z](\d*)", labels[0])] == expected


class TestLabels:
    def test_masks(self):
        labels = labels_of(FORMULAS, "element")
        assert labels.mask("F").tolist() == [False, False, True, False, True, False, True]
        assert labels.mask("O").tolist() == [True, True, False, False, True, True, False]
        assert len(labels) == 7
        assert labels.n_rows == 7

    @pytest.mark.parametrize("by", LABELLINGS)
    @given(rows=ROWS)
    def test_masks_and_counts_are_those_of_the_pairs(self, by, rows):
        labels = labels_of([write(row) for row in rows], by)
        pairs = list(zip(labels.codes.tolist(), labels.rows.tolist(), strict=True))
        assert pairs == sorted(set(pairs))
        assert labels.codes.dtype == labels.rows.dtype == labels.counts().dtype == np.int64
        sets = by_row(labels)
        tally = Counter(name for names in sets for name in names)
        assert dict(zip(labels.names, labels.counts().tolist(), strict=True)) == tally
        for name in labels.names:
            assert labels.mask(name).tolist() == [name in names for names in sets]

    @given(rows=ROWS)
    def test_element_system_and_number_agree(self, rows):
        formulas = [write(row) for row in rows]
        elements = by_row(labels_of(formulas, "element"))
        assert elements == [sorted(row, key=SYMBOLS.index) for row in rows]
        assert by_row(labels_of(formulas, "chemsys")) == [["-".join(sorted(row))] for row in rows]
        assert by_row(labels_of(formulas, "n_elements")) == [[str(len(row))] for row in rows]

    def test_an_unknown_name_lists_the_most_frequent(self):
        labels = labels_of(["NaF", "LiF", "LaOF"], "element")
        with pytest.raises(SplitError) as caught:
            labels.mask("f")
        assert str(caught.value) == (
            "no row has element = 'f' (did you mean 'F'?); there are: F (3 rows), Li (1 row), "
            "O (1 row), Na (1 row), La (1 row)"
        )

    def test_a_long_list_is_cut(self):
        labels = given_labels([f"x{i}" for i in range(1, 1200)] + ["x7"] * 1233, by="project")
        with pytest.raises(SplitError) as caught:
            labels.mask("?")
        assert str(caught.value).startswith(
            "no row has project = '?'; there are: x7 (1,234 rows), x1 (1 row), x2 (1 row)"
        )
        assert str(caught.value).endswith(", x9 (1 row), x10 (1 row) and 1,189 more")

    def test_no_rows(self):
        for by in LABELLINGS:
            labels = labels_of([], by)
            assert (labels.names, labels.n_rows, labels.counts().tolist()) == ((), 0, [])
        with pytest.raises(SplitError, match="'F'; there are: no labels"):
            labels.mask("F")


class TestGiven:
    def test_missing_values_are_no_label(self):
        values = pd.Series(
            ["b", None, float("nan"), "", "  ", pd.NA, pd.NaT, " a ", "b"], dtype=object
        )
        labels = given_labels(values.to_numpy())
        assert labels.by == "label"
        assert labels.names == ("a", "b")
        assert labels.mask("b").tolist() == [True, *[False] * 7, True]
        assert labels.mask("a").nonzero()[0].tolist() == [7]
        assert not labels.single
        assert given_labels(["x", "y", "x"]).single

    @pytest.mark.parametrize(
        ("values", "names"),
        [
            ([10, 9, 225.0, np.float32(2.5), -1, np.int64(9)], ("-1", "2.5", "9", "10", "225")),
            (["P10", "P9", "Cm", "12"], ("12", "Cm", "P9", "P10")),
            (["O", "Li", "Ag", "Cl"], ("Li", "O", "Cl", "Ag")),
            (["O", "Li", "other"], ("Li", "O", "other")),
            (["nan", "inf", "NaN", "Na"], ("Na", "NaN", "inf")),  # texts
            ([True, False, np.inf], ("False", "True", "inf")),
        ],
    )
    def test_natural_order(self, values, names):
        assert given_labels(values).names == names

    @given(
        values=st.lists(st.text(max_size=3) | st.none() | st.floats() | st.integers(), max_size=9)
    )
    def test_any_values(self, values):
        before = list(values)
        labels = given_labels(values)
        assert values == before
        assert labels.n_rows == len(values)
        assert len(labels.rows) == len(set(labels.rows.tolist())) <= len(values)
        for row in range(labels.n_rows):
            if isinstance(values[row], int | str) and not blank_labels([values[row]])[0]:
                assert labels.mask(str(values[row]).strip())[row]


def test_blanks_and_blank_words_are_no_label():
    blank = [None, np.nan, "", " ", "n/a", "N/A", "-", "None", "nan", "null", "?", "#N/A", "NA"]
    assert blank_labels(blank).all()
    labels = ["Na", "no", "0", 0, "x-", "NaCl", "A", 225.0]
    assert not blank_labels(labels).any()
    given = given_labels(["a", "n/a", "b", "-", "a"])
    assert given.names == ("a", "b")
    assert given.rows.tolist() == [0, 4, 2]
