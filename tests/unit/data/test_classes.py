"""Targets that are classes: how columns are read, and what cleaning does."""

import numpy as np
import pandas as pd
import pytest

from xtalshift.data import Dataset, clean_table, table_from_frame
from xtalshift.data.classes import MOST_CLASSES, check_classes, read_classes, vote
from xtalshift.data.numbers import read_numbers
from xtalshift.errors import ConfigError, DataError

FORMULAS = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "NaF", "KF", "LiCl"]


def read(cells, task="auto", order=()):
    cells = pd.Series(cells)
    return read_classes(cells, read_numbers(cells), "kind", task, order)


def frame(kinds, formulas=FORMULAS):
    return pd.DataFrame({"formula": formulas[: len(kinds)], "kind": kinds})


def table(kinds, **how):
    return table_from_frame(frame(kinds), target="kind", **how)


def test_words_are_classes_in_alphabetical_order():
    found = read(["b", "a", "", "b", "A", "a"])
    assert found.classes == ("a", "b")
    np.testing.assert_array_equal(found.codes, [1, 0, np.nan, 1, 0, 0])
    assert found.problems.tolist() == ["", "", "missing", "", "", ""]
    assert not found.ordered
    decided, merged = found.findings
    assert decided.describe() == ("kind: read as 2 classes (a, b), because it has 2 words (5 rows)")
    assert merged.kind == "classes that differ only in capitals are one"
    assert merged.show() == ("row 5: A: read as 'a'",)


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        ([True, False, True, True], ("False", "True")),
        ([0, 1, 1, 0], ("0", "1")),
        ([0.0, 1.0, np.nan, 0.0], ("0", "1")),
        (["0", "1", "1", "0", "1"], ("0", "1")),
        (["yes", "no", "yes", "no"], ("no", "yes")),
    ],
)
def test_two_values_are_classes(cells, classes):
    assert read(cells).classes == classes


@pytest.mark.parametrize(
    "cells",
    [
        [0.5, 1.0, 2.0],
        [1, 2, 3, 1, 2, 3],
        ["a", "b", "c"],
        ["1.2", "<3", "x"],
        [1, 1, 1],
        ["0", "<1"],
    ],
)
def test_other_columns_are_none(cells):
    assert read(cells) is None
    assert read([0, 1, 0, 1], "regression") is None


def test_a_word_among_0_and_1_is_no_class_and_its_row_is_named():
    data = table(["0", "1", "maybe", "1", "0", "1"])
    assert data.classes == ("0", "1")
    assert data.problems[2] == "a word among 0 and 1: 'maybe'"
    with pytest.raises(DataError, match=r"row 3 .*a word among 0 and 1: 'maybe'"):
        clean_table(data, strict=True)
    clean = clean_table(data)
    assert len(clean) == 5
    (finding,) = clean.intake.dropped
    assert finding.kind == "target: a word among 0 and 1"
    assert finding.first() == "row 3: 'maybe'"
    assert "classification" in finding.remedy
    assert read(["0", "1", "maybe", "1"], "classification").classes == ("0", "1", "maybe")


def test_few_whole_numbers_are_numbers_and_that_is_said():
    data = table_from_frame(
        pd.DataFrame({"formula": FORMULAS * 5, "kind": [1, 2, 3, 1] * 10}), target="kind"
    )
    assert data.task == "regression"
    found = [one.describe() for one in data.reading.findings if "whole numbers" in one.kind]
    assert "--task classification" in found[0]
    assert "--task ordinal" in found[0]


def test_ordinal_classes_are_sorted_numbers_or_have_an_order():
    assert read([10, 2, 3, 2], "ordinal").classes == ("2", "3", "10")
    found = read(["low", "high", "mid", "low"], order=("low", "mid", "high"))
    assert found.ordered
    assert found.classes == ("low", "mid", "high")
    np.testing.assert_array_equal(found.codes, [0, 2, 1, 0])
    assert "low < mid < high" in found.findings[0].kind
    with pytest.raises(DataError, match="--class-order a,b,c"):
        read(["low", "high"], "ordinal")
    with pytest.raises(ConfigError, match="needs --task"):
        read(["low", "high"], "regression", ("low", "high"))
    strange = read(["low", "high", "other", "low"], order=("low", "high"))
    assert strange.problems[2] == "not in the class order: 'other'"


def test_what_cannot_be_classes_is_refused():
    with pytest.raises(DataError, match="has no class"):
        read(["", ""], "classification")
    words = [f"w{number}" for number in range(MOST_CLASSES + 1)]
    with pytest.raises(DataError, match="1,001 classes in 1,001 rows; at most 1,000"):
        read(words, "classification")
    with pytest.raises(DataError, match=r"no usable number .*--task classification"):
        table(["a", "b", "c"])


def test_the_data_set_knows_its_classes():
    data = table(["a", "b", "a", "b", "", "a"])
    assert data.task == "classification"
    assert data.labels.tolist() == ["a", "b", "a", "b", "", "a"]
    assert "kind: a (3), b (2)" in repr(data)
    assert data.take([1, 0]).labels.tolist() == ["b", "a"]
    assert data.take([0]).classes == ("a", "b")
    assert data.description.classes == ("a", "b")
    renamed = table(["a", "c", "a", "c", "", "a"])
    np.testing.assert_array_equal(renamed.targets, data.targets)
    assert renamed.sha256() != data.sha256()
    given = Dataset.of(FORMULAS[:3], ["b", "a", "b"])
    assert given.classes == ("a", "b")
    np.testing.assert_array_equal(given.targets, [1, 0, 1])


def test_rows_of_a_material_vote_and_a_tie_is_dropped():
    formulas = ["NaCl", "ClNa", "NaCl", "KCl", "ClK", "LiF", "NaF"]
    kinds = ["a", "a", "b", "a", "b", "b", "b"]
    data = table_from_frame(pd.DataFrame({"formula": formulas, "kind": kinds}), target="kind")
    clean = clean_table(data)
    assert clean.formulas.tolist() == ["NaCl", "LiF", "NaF"]
    assert clean.labels.tolist() == ["a", "b", "b"]
    (tie,) = clean.intake.dropped
    assert (tie.kind, tie.count) == ("target: classes tie within a material", 2)
    assert clean.intake.rows_merged == 2
    assert clean.intake.rows_kept == 3
    assert clean.intake.error_floor == pytest.approx(2 / 7)
    with pytest.raises(DataError, match=r"row 4.*tie"):
        clean_table(data, strict=True)
    assert len(clean_table(data, duplicates="keep")) == 7
    with pytest.raises(ConfigError, match="needs ordered classes"):
        clean_table(data, duplicates="highest")
    ordered = table_from_frame(
        pd.DataFrame({"formula": formulas, "kind": kinds}), target="kind", class_order=("a", "b")
    )
    assert clean_table(ordered, duplicates="highest").labels.tolist() == ["b", "b", "b", "b"] or (
        clean_table(ordered, duplicates="highest").classes == ("b",)
    )


def test_votes_count_by_weight():
    groups, codes = np.array([0, 0, 0, 1]), np.array([0.0, 0.0, 1.0, 1.0])
    assert vote(groups, codes, None, 2).codes.tolist() == [0, 1]
    heavy = vote(groups, codes, np.array([1.0, 1.0, 3.0, 1.0]), 2)
    assert heavy.codes.tolist() == [1, 1]
    tie = vote(groups, codes, np.array([1.0, 1.0, 2.0, 1.0]), 2)
    np.testing.assert_array_equal(tie.codes, [np.nan, 1])
    assert tie.kept.tolist() == [False, False, False, True]


def test_a_class_without_usable_rows_is_left_out():
    data = table(["a", "b", "c", "b", "a", "c"])
    bad = data.problems.copy()
    bad[[0, 4]] = "missing"
    from dataclasses import replace

    clean = clean_table(replace(data, problems=bad))
    assert clean.classes == ("b", "c")
    np.testing.assert_array_equal(clean.targets, [0, 1, 0, 1])


def test_one_class_or_a_single_material_is_nothing_to_learn_from():
    with pytest.raises(DataError, match="all 3 usable rows have one class of 'kind', 'a'"):
        check_classes(clean_table(table(["a", "a", "a"], task="classification")))
    with pytest.raises(DataError, match=r"class 'b' of 'kind' has one material, row 2 \(KCl\)"):
        check_classes(clean_table(table(["a", "b", "a"], task="classification")))
    twice = clean_table(
        Dataset.of(["NaCl", "KCl", "KCl", "LiF"], ["a", "b", "b", "a"]), duplicates="keep"
    )
    with pytest.raises(DataError, match=r"class 'b' of 'target' has one material, row 2 \(KCl\)"):
        check_classes(twice)
    rare = clean_table(table(["a", "b", "a", "b"]))
    assert "fewer than 10 rows" in rare.intake.findings[0].kind


def test_classes_have_no_uncertainties():
    data = Dataset.of(FORMULAS[:4], ["a", "b", "a", "b"], noise=np.ones(4))
    with pytest.raises(ConfigError, match="no uncertainties"):
        clean_table(data)


def test_a_class_order_that_lacks_or_misspells_a_class_is_refused():
    cells = ["low", "high", "middle", "low", "high", "middle"]
    with pytest.raises(DataError, match=r"has the class 'hihg'.*did you mean 'high'"):
        read(cells, order=("low", "middle", "hihg"))
    with pytest.raises(DataError, match=r"lacks the class 'middle', which 2 rows.*row 3"):
        read(cells, order=("low", "high"))


def test_numbers_among_words_are_said():
    found = read(["metal"] * 6 + ["salt"] * 6 + ["0.5", "0.5"])
    (said,) = [one for one in found.findings if "numbers among words" in one.kind]
    assert (said.count, said.warns, said.examples[0].row) == (2, True, 13)


def test_one_class_is_a_warning():
    (said,) = read(["metal"] * 6, "classification").findings
    assert said.kind == "kind: read as one class (metal), from which nothing can be learned"
    assert said.warns
