import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from xtalshift.errors import DataError
from xtalshift.featurize.scale import PIECE_ROWS, FeatureScaler


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 100), st.sampled_from([1e-20, 1, 1e9]))
def test_clean_features_are_standardised_as_by_scikit_learn(n, d, seed, unit):
    X = np.random.default_rng(seed).normal(3.0, 2.0, size=(n, d)) * unit
    scaler = FeatureScaler().fit(X)
    reference = StandardScaler().fit(X)
    np.testing.assert_allclose(scaler.transform(X), reference.transform(X), atol=1e-9)
    np.testing.assert_allclose(scaler.mean_, reference.mean_)
    np.testing.assert_allclose(scaler.scale_, reference.scale_)


def test_missing_values_are_left_out_of_the_statistics_and_become_the_mean():
    X = [[1.0, np.nan], [np.nan, 10.0], [3.0, 14.0]]
    scaler = FeatureScaler().fit(X)
    assert scaler.mean_.tolist() == [2.0, 12.0]
    assert scaler.scale_.tolist() == [1.0, 2.0]
    assert scaler.transform(X).tolist() == [[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]]
    assert scaler.n_clipped(X).tolist() == [0, 0, 0]


def test_constant_columns_are_dropped():
    n = 1_000_000  # the running sum of so many 0.1 is off by more than a rounding error
    varying = np.arange(n) % 2
    X = np.column_stack(
        [
            np.full(n, 0.1),
            np.zeros(n),
            np.full(n, np.nan),
            np.where(varying, np.nan, 7.0),
            0.3 + 1e-16 * varying * np.arange(n) / n,  # equal but for rounding
            varying,
        ]
    )
    scaler = FeatureScaler().fit(X)
    assert scaler.kept_.tolist() == [False, False, False, False, False, True]
    assert scaler.transform(X[:2]).tolist() == [[-1.0], [1.0]]


def test_nearly_constant_columns_are_kept_whatever_the_unit():
    rare = np.zeros(1000)
    rare[7] = 1.0
    masses = np.linspace(1.0, 2.0, 1000) * 9.1e-31  # kilograms
    offset = 1e6 + np.linspace(0.0, 1e-3, 1000)
    X = np.column_stack([rare, masses, offset])
    scaler = FeatureScaler().fit(X)
    assert scaler.kept_.tolist() == [True, True, True]
    assert scaler.n_clipped(X)[[6, 7]].tolist() == [0, 1]  # (1 - 0.001) / 0.0316 = 31.6 sd
    assert scaler.transform(X)[7, 0] == 10.0
    np.testing.assert_allclose(scaler.transform(X)[:, 1].std(), 1.0)


def test_far_values_are_clipped_and_counted_per_row():
    scaler = FeatureScaler(clip=3.0).fit([[-1.0, -2.0], [1.0, 2.0]])
    X = [[3.0, 6.0], [3.5, -6.5], [-np.inf, np.inf], [np.nan, 1e300]]
    assert scaler.transform(X).tolist() == [[3.0, 3.0], [3.0, -3.0], [-3.0, 3.0], [0.0, 3.0]]
    assert scaler.n_clipped(X).tolist() == [0, 2, 2, 1]


def test_the_input_is_left_alone():
    X = np.array([[1.0, np.nan], [2.0, 3.0], [50.0, 4.0]])
    before = X.copy()
    FeatureScaler(clip=1.0).fit(X).transform(X)
    np.testing.assert_array_equal(X, before)


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(DataError, match="every feature is constant"):
        FeatureScaler().fit([[1.0, np.nan], [1.0, np.nan]])
    with pytest.raises(DataError, match=r"row 2 of X, feature 1 \(both counted from 1\)"):
        FeatureScaler().fit([[1.0, 2.0], [-np.inf, 3.0]])


def test_state_round_trip():
    X = np.random.default_rng(0).normal(size=(20, 4)) * [1, 0, 5, 1e-9]
    scaler = FeatureScaler(clip=1.5).fit(X)
    state = {name: values.copy() for name, values in scaler.get_state().items()}
    other = FeatureScaler(clip=1.5).set_state({**state, "network.weight": np.ones(3)})
    np.testing.assert_array_equal(other.transform(X), scaler.transform(X))
    np.testing.assert_array_equal(other.n_clipped(X), scaler.n_clipped(X))
    assert other.n_features_in_ == 4
    assert other.transform(X).shape == (20, 3)


def test_a_feature_constant_in_training_is_counted_when_it_differs():
    train = np.array([[0.0, 1.0, 7.0], [0.0, 2.0, 7.0]])
    scaler = FeatureScaler().fit(train)
    assert scaler.constant_.tolist() == [0.0, 7.0]
    rows = np.array([[0.0, 1.5, 7.0], [3.0, 1.5, 7.0], [3.0, 1e9, -1.0], [np.nan, 1.5, 7.0]])
    assert scaler.n_clipped(rows).tolist() == [0, 1, 3, 0]
    again = FeatureScaler().set_state(scaler.get_state())
    assert again.n_clipped(rows).tolist() == [0, 1, 3, 0]


def test_clipped_features_of_many_rows_are_counted_as_those_of_each():
    rng = np.random.default_rng(0)
    scaler = FeatureScaler(clip=1.0).fit(np.column_stack([rng.normal(size=(50, 3)), np.ones(50)]))
    X = rng.normal(scale=2.0, size=(PIECE_ROWS + 7, 4))
    counts = scaler.n_clipped(X)
    assert set(counts.tolist()) == {1, 2, 3, 4}
    assert counts.tolist() == [int(scaler.n_clipped(row[None])[0]) for row in X]
