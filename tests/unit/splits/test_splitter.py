"""What every splitter has: whole formulas, shares, checks of stored folds, scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate

from split_toys import FORMULAS, TARGETS, X, rows_of
from xtalshift.errors import LeakageError, SplitError
from xtalshift.splits import (
    CovariateSplit,
    FamilySplit,
    Fold,
    HoldOut,
    LeaveOutSplit,
    PredefinedSplit,
    PriorSplit,
    RandomSplit,
    RelationSplit,
)


class TestBase:
    def test_lengths_must_agree(self):
        with pytest.raises(SplitError, match="X has 8 rows but y has 7"):
            RandomSplit().held_out(X, TARGETS[:7], FORMULAS)
        with pytest.raises(SplitError, match="X has 8 rows but groups has 9"):
            RandomSplit().held_out(X, TARGETS, [*FORMULAS, "UO2"])

    def test_one_group_cannot_be_split(self):
        with pytest.raises(SplitError, match="holds out 8 of 8 rows; both sides need rows"):
            RandomSplit(0.5).held_out(X, None, ["MgO"] * 8)

    def test_an_empty_table(self):
        with pytest.raises(SplitError, match="0 rows"):
            RandomSplit(0.5).held_out(np.zeros((0, 2)), None, [])

    def test_a_rule_on_rows_takes_their_formulas_along(self):
        class FirstTwo(HoldOut):
            def _held_out(self, table):
                return np.arange(len(table)) < 2

            def describe(self):
                return "the first two"

        assert rows_of(FirstTwo()) == [0, 1, 4]  # Li2O has a second row
        assert rows_of(FirstTwo(), groups=None) == [0, 1]

    def test_a_fold_that_leaks_is_caught(self):
        fold = Fold(train=np.array([0, 4]), test=np.array([1, 2]))
        with pytest.raises(LeakageError, match="puts 1 formula on both sides, such as Li2O"):
            list(PredefinedSplit([fold]).folds(X, None, FORMULAS))


def test_restrict_cuts_arguments_with_a_value_per_row():
    rows = np.array([0, 2, 5, 6])
    small = RelationSplit(flags=np.arange(8) == 5).restrict(rows)
    assert small.held_out(X[rows], None, FORMULAS[rows]).tolist() == [False, False, True, False]
    assert LeaveOutSplit("family").restrict(rows).by == "family"


def test_stored_folds_can_be_checked_against_their_rule():
    splitter = LeaveOutSplit("element", "F,Fe")
    good = Fold(np.array([0, 1, 4, 7]), np.array([2, 5]), name="element F")
    bad = Fold(np.array([0, 1, 4]), np.array([2]), np.array([3, 6]), name="element Fe")
    rows = [found.tolist() for found in splitter.broken_by([good, bad], X, None, FORMULAS)]
    assert rows == [[], [3, 6]]  # also rows for model selection
    (high,) = PriorSplit("high", 0.25).folds(X, TARGETS, FORMULAS)
    assert PriorSplit("high", 0.25).broken_by([high], X, TARGETS, FORMULAS)[0].tolist() == []
    with pytest.raises(SplitError, match="has no fold 'element O'"):
        splitter.broken_by([Fold(good.train, good.test, name="element O")], X, None, FORMULAS)


@pytest.mark.parametrize("n_rows", [10, 30, 99, 1000])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.7])
def test_a_share_of_single_rows_is_exact(n_rows, share):
    mask = RandomSplit(share, 0).held_out(np.zeros((n_rows, 1)))
    assert mask.sum() == int(round(share * 1000) * n_rows // 1000)


# shares, on random tables

POOL = np.array(
    ["LiF", "NaF", "KF", "LiCl", "NaCl", "KCl", "MgO", "CaO", "Fe2O3", "Li2O", "UF4", "BN"],
    dtype=object,
)
SHARED = (RandomSplit, CovariateSplit, PriorSplit)


@st.composite
def tables(draw):
    """Return features (equal for equal formulas), targets and formulas of 8 to 60 rows."""
    n_rows = draw(st.integers(8, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = POOL[np.concatenate([np.arange(6), generator.integers(0, 12, n_rows - 6)])]
    centres = {name: generator.normal(size=3) for name in POOL}
    X = np.array([centres[name] for name in groups])
    y = generator.integers(0, 10, n_rows).astype(float)  # with ties
    order = generator.permutation(n_rows)
    return X[order], y[order], groups[order]


@st.composite
def splitters(draw):
    share = draw(st.floats(0.01, 0.6))
    return draw(
        st.sampled_from(
            [
                RandomSplit(share, draw(st.integers(0, 99))),
                CovariateSplit(share, n_neighbors=2, n_components=3),
                PriorSplit("high", share),
                PriorSplit("low", share),
                PriorSplit("both", share),
                FamilySplit("F"),
                RelationSplit(formulas=["LiF", "KCl", "BN"]),
            ]
        )
    )


def replace_tail(splitter, tail):
    return PriorSplit(tail, splitter.share / 2)


def mask_or_refusal(splitter, X, y, groups):
    try:
        return splitter.held_out(X, y, groups)
    except SplitError as error:
        return str(error)


@settings(max_examples=200)
@given(splitters(), tables())
def test_folds_are_complete_and_the_share_is_not_exceeded_but_would_be_by_the_next_formula(
    splitter, table
):
    mask = mask_or_refusal(splitter, *table)
    if isinstance(mask, str):
        assert "both sides need rows" in mask
        return
    X, y, groups = table
    ((train, test),) = splitter.split(X, y, groups)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(y)))
    np.testing.assert_array_equal(test, np.flatnonzero(mask))
    assert not set(groups[train]) & set(groups[test])
    order = np.random.default_rng(0).permutation(len(y))
    np.testing.assert_array_equal(splitter.held_out(X[order], y[order], groups[order]), mask[order])
    if not isinstance(splitter, SHARED):
        return
    wanted = splitter.share * len(groups)
    n_held_out = len(set(groups[mask]))
    if isinstance(splitter, PriorSplit) and splitter.tail == "both":
        # each end takes at least one formula, even if that is more than its half
        ends = [replace_tail(splitter, tail).held_out(*table) for tail in ("low", "high")]
        np.testing.assert_array_equal(mask, ends[0] | ends[1])
        return
    assert mask.sum() <= wanted + 1e-9 or n_held_out == 1
    largest = max(np.sum(groups == name) for name in set(groups[~mask]))
    assert mask.sum() + largest > wanted - 1e-9


# scikit-learn

_RNG = np.random.default_rng(0)
SALTS = np.array([a + b for a in ("Li", "Na", "K", "Rb", "Cs") for b in ("F", "Cl", "Br", "I")])
FEATURES = _RNG.normal(size=(20, 3))
VALUES = FEATURES @ [1.0, -2.0, 0.5] + _RNG.normal(size=20)
SINGLE = [
    RandomSplit(0.2, 0),
    CovariateSplit(0.2, n_neighbors=3),
    PriorSplit("high", 0.2),
    FamilySplit("F"),
    RelationSplit(formulas=["LiF", "CsI"]),
]


@pytest.mark.parametrize("splitter", SINGLE, ids=lambda splitter: type(splitter).__name__)
def test_cross_validate_scores_the_held_out_rows(splitter):
    found = cross_validate(
        Ridge(), FEATURES, VALUES, groups=SALTS, cv=splitter, scoring="neg_mean_absolute_error"
    )
    mask = splitter.held_out(FEATURES, VALUES, SALTS)
    model = Ridge().fit(FEATURES[~mask], VALUES[~mask])
    error = mean_absolute_error(VALUES[mask], model.predict(FEATURES[mask]))
    assert found["test_score"].tolist() == [-error]
    assert splitter.get_n_splits(FEATURES, VALUES, SALTS) == 1


@pytest.mark.parametrize("splitter", SINGLE, ids=lambda splitter: type(splitter).__name__)
def test_grid_search_chooses_on_the_held_out_rows(splitter):
    search = GridSearchCV(
        Ridge(), {"alpha": [1e-3, 1e3]}, cv=splitter, scoring="neg_mean_absolute_error"
    ).fit(FEATURES, VALUES, groups=SALTS)
    assert search.n_splits_ == 1
    mask = splitter.held_out(FEATURES, VALUES, SALTS)
    models = [Ridge(alpha).fit(FEATURES[~mask], VALUES[~mask]) for alpha in (1e-3, 1e3)]
    errors = [mean_absolute_error(VALUES[mask], model.predict(FEATURES[mask])) for model in models]
    assert search.best_params_["alpha"] == (1e-3, 1e3)[int(np.argmin(errors))]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], -np.array(errors))


def test_tables_of_pandas_will_do():
    frame, targets, groups = pd.DataFrame(FEATURES), pd.Series(VALUES), pd.Series(SALTS)
    for splitter in SINGLE:
        expected = splitter.held_out(FEATURES, VALUES, SALTS)
        np.testing.assert_array_equal(splitter.held_out(frame, targets, groups), expected)


def test_the_single_fold_is_no_partition_and_scikit_learn_says_so():
    with pytest.raises(ValueError, match="only works for partitions"):
        cross_val_predict(Ridge(), FEATURES, VALUES, groups=SALTS, cv=FamilySplit("F"))


def test_errors_come_through():
    with pytest.raises(SplitError, match="pass groups=reduced formulas"):
        cross_validate(Ridge(), FEATURES, VALUES, cv=FamilySplit("F"))


def test_scikit_learns_metadata_routing_hands_the_groups_on():
    expected = cross_validate(Ridge(), FEATURES, VALUES, groups=SALTS, cv=LeaveOutSplit(min_rows=4))
    with config_context(enable_metadata_routing=True):
        found = cross_validate(
            Ridge(), FEATURES, VALUES, params={"groups": SALTS}, cv=LeaveOutSplit(min_rows=4)
        )
    assert found["test_score"].tolist() == expected["test_score"].tolist()
    assert len(found["test_score"]) == 9  # five metals, four anions


def test_sparse_features_and_groups_that_cannot_be_sorted():
    sparse = csr_array(np.abs(FEATURES))
    splitter = CovariateSplit(0.2, n_neighbors=3)
    dense = splitter.held_out(np.abs(FEATURES), VALUES, SALTS)
    assert splitter.held_out(sparse, VALUES, SALTS).tolist() == dense.tolist()
    with pytest.raises(SplitError, match="groups must be of one kind, such as texts, without None"):
        RandomSplit(0.2, 0).held_out(FEATURES, VALUES, np.array([*SALTS[:19], None], object))
