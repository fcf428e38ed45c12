"""LightGBM's text is checked before the library reads it."""

import lightgbm
import numpy as np
import pytest

from estimator_toys import data
from xtalshift.errors import ModelFormatError
from xtalshift.estimators import LightGBMRegressor
from xtalshift.estimators.lightgbm_text import load_booster, read_trees

X, Y = data(60)
TEXT = LightGBMRegressor(n_estimators=3, num_leaves=4, random_state=0).fit(X, Y).trees_.text
LOSS = "regression_l1"


def edit(name, place, entry):
    """Return the text with one entry of a column of the last tree changed, and its new size."""
    head, last = TEXT[: TEXT.rindex("\nTree=") + 1], TEXT[TEXT.rindex("\nTree=") + 1 :]
    lines = last.split("\n")
    row = next(row for row, line in enumerate(lines) if line.startswith(f"{name}="))
    entries = lines[row].removeprefix(f"{name}=").split(" ")
    entries[place] = entry
    changed = f"{name}={' '.join(entries)}"
    grown = len(changed) - len(lines[row])
    lines[row] = changed
    sizes = head[head.index("tree_sizes=") + 11 :].split("\n")[0]
    *first, size = sizes.split(" ")
    return head.replace(sizes, " ".join([*first, str(int(size) + grown)])) + "\n".join(lines)


def test_trees_as_they_are_written_are_read_without_their_settings():
    assert read_trees(TEXT, LOSS).n_features == 6
    found = load_booster(TEXT)
    assert found.params == {}
    assert np.array_equal(found.predict(X), lightgbm.Booster(model_str=TEXT).predict(X))
    constant = LightGBMRegressor(n_estimators=2).fit(X[:20], np.ones(20)).trees_.text
    assert "num_leaves=1\n" in constant
    assert read_trees(constant, LOSS).n_features == 6


@pytest.mark.parametrize(
    ("name", "place", "entry", "words"),
    [
        ("left_child", 0, "0", "precedes its parent"),  # a circle
        ("left_child", 0, "99", "not in its tree"),
        ("right_child", -1, "-99", "not in its tree"),
        ("right_child", -1, "-1", "no parent or several"),
        ("split_feature", 0, "6", "not on one of 6 features"),
        ("split_feature", 0, "-1", "not on one of 6 features"),
        ("decision_type", 0, "1", "unknown type"),
        ("threshold", 0, "1e999", "a threshold is not finite"),
        ("threshold", 0, "inf", "a threshold is not finite"),
        ("threshold", 0, "nan", "is damaged"),
        ("leaf_value", 0, "1-2", "is damaged"),
        ("leaf_value", 0, "-", "is damaged"),
        ("leaf_value", 0, "1 2", "entries of leaf_value"),
        ("leaf_value", 0, "", "is damaged"),
        ("split_gain", 0, "-", "is damaged"),
        ("num_leaves", 0, "3", "entries of split_feature"),
        ("num_cat", 0, "1", "is damaged"),
        ("is_linear", 0, "1", "is damaged"),
    ],
)
def test_other_trees_are_refused(name, place, entry, words):
    with pytest.raises(ModelFormatError, match=words):
        read_trees(edit(name, place, entry), LOSS)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_feature_idx=5", "max_feature_idx=6", "features are damaged"),
        ("num_class=1", "num_class=2", "damaged header"),
        ("Tree=1", "Tree=2", "tree 1 is damaged"),
        ("tree_sizes=", "tree_sizes=1", "sizes are wrong"),
        ("end of trees", "", "sizes are wrong"),
        ("feature_infos=", "feature_infos= ", "damaged header"),
    ],
)
def test_another_frame_is_refused(old, new, words):
    with pytest.raises(ModelFormatError, match=words):
        read_trees(TEXT.replace(old, new, 1), LOSS)


def test_an_empty_range_of_a_feature_is_refused():
    infos = TEXT[TEXT.index("feature_infos=") :].split("\n")[0]
    without = " ".join([*infos.split(" ")[:-1], ""])
    with pytest.raises(ModelFormatError, match="damaged header"):
        read_trees(TEXT.replace(infos, without), LOSS)


def test_what_the_library_refuses_is_an_error_of_the_package():
    with pytest.raises(ModelFormatError, match="LightGBM cannot read its trees"):
        load_booster(TEXT.replace("feature_infos=", "feature_infos=none "))


def test_trees_of_another_loss_are_refused():
    with pytest.raises(ModelFormatError, match="damaged header"):
        read_trees(TEXT, "quantile")


def test_splits_between_rows_with_and_without_a_value_are_read():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    x[::2, 0] = np.nan
    y = np.isnan(x[:, 0]) + 0.1 * x[:, 1]
    text = LightGBMRegressor(n_estimators=5, random_state=0).fit(x, y).trees_.text
    trees = read_trees(text, LOSS)
    apart = np.isinf(trees.threshold)
    assert apart.any()
    assert (trees.decision[apart] >= 8).all()
    with pytest.raises(ModelFormatError, match="a threshold is not finite"):
        read_trees(text.replace("decision_type=8", "decision_type=2"), LOSS)
