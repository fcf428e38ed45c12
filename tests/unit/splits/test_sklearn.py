"""Splitters are cross-validation objects of scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate

from xtalshift.errors import SplitError
from xtalshift.splits import (
    CovariateSplit,
    FamilySplit,
    LeaveOutSplit,
    PriorSplit,
    RandomSplit,
    RelationSplit,
)

GENERATOR = np.random.default_rng(0)
GROUPS = np.array([a + b for a in ("Li", "Na", "K", "Rb", "Cs") for b in ("F", "Cl", "Br", "I")])
X = GENERATOR.normal(size=(20, 3))
Y = X @ [1.0, -2.0, 0.5] + GENERATOR.normal(size=20)
ALL = [
    RandomSplit(0.2, 0),
    CovariateSplit(0.2, n_neighbors=3),
    PriorSplit("high", 0.2),
    FamilySplit("F"),
    RelationSplit(formulas=["LiF", "CsI"]),
]


@pytest.mark.parametrize("splitter", ALL, ids=lambda splitter: type(splitter).__name__)
def test_cross_validate_scores_the_held_out_rows(splitter):
    found = cross_validate(
        Ridge(), X, Y, groups=GROUPS, cv=splitter, scoring="neg_mean_absolute_error"
    )
    mask = splitter.held_out(X, Y, GROUPS)
    model = Ridge().fit(X[~mask], Y[~mask])
    assert found["test_score"].tolist() == [-mean_absolute_error(Y[mask], model.predict(X[mask]))]
    assert splitter.get_n_splits(X, Y, GROUPS) == 1


@pytest.mark.parametrize("splitter", ALL, ids=lambda splitter: type(splitter).__name__)
def test_grid_search_chooses_on_the_held_out_rows(splitter):
    search = GridSearchCV(
        Ridge(), {"alpha": [1e-3, 1e3]}, cv=splitter, scoring="neg_mean_absolute_error"
    ).fit(X, Y, groups=GROUPS)
    assert search.n_splits_ == 1
    mask = splitter.held_out(X, Y, GROUPS)
    errors = [
        mean_absolute_error(Y[mask], Ridge(alpha=alpha).fit(X[~mask], Y[~mask]).predict(X[mask]))
        for alpha in (1e-3, 1e3)
    ]
    assert search.best_params_["alpha"] == (1e-3, 1e3)[int(np.argmin(errors))]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], -np.array(errors))


def test_tables_of_pandas_will_do():
    frame, targets, groups = pd.DataFrame(X), pd.Series(Y), pd.Series(GROUPS)
    for splitter in ALL:
        expected = splitter.held_out(X, Y, GROUPS)
        np.testing.assert_array_equal(splitter.held_out(frame, targets, groups), expected)


def test_the_single_fold_is_no_partition_and_scikit_learn_says_so():
    with pytest.raises(ValueError, match="only works for partitions"):
        cross_val_predict(Ridge(), X, Y, groups=GROUPS, cv=FamilySplit("F"))


def test_errors_come_through():
    with pytest.raises(SplitError, match="pass groups=reduced formulas"):
        cross_validate(Ridge(), X, Y, cv=FamilySplit("F"))


def test_scikit_learns_metadata_routing_hands_the_groups_on():
    expected = cross_validate(Ridge(), X, Y, groups=GROUPS, cv=LeaveOutSplit(min_rows=4))
    with config_context(enable_metadata_routing=True):
        found = cross_validate(
            Ridge(), X, Y, params={"groups": GROUPS}, cv=LeaveOutSplit(min_rows=4)
        )
    assert found["test_score"].tolist() == expected["test_score"].tolist()
    assert len(found["test_score"]) == 9  # five metals, four anions


def test_sparse_features_and_groups_that_cannot_be_sorted():
    sparse = csr_array(np.abs(X))
    splitter = CovariateSplit(0.2, n_neighbors=3)
    dense = splitter.held_out(np.abs(X), Y, GROUPS)
    assert splitter.held_out(sparse, Y, GROUPS).tolist() == dense.tolist()
    with pytest.raises(SplitError, match="groups must be of one kind, such as texts, without None"):
        RandomSplit(0.2, 0).held_out(X, Y, np.array([*GROUPS[:19], None], object))
