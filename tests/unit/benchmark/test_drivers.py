from dataclasses import dataclass, field

import numpy as np
import pytest

from xtalshift.benchmark.drivers import DriverRows, measure_drivers
from xtalshift.data.transform import TargetTransform
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.feature_families import feature_families


@dataclass
class Linear:
    """Stands for a fitted model: a known function of the features."""

    weights: np.ndarray
    scale: TargetTransform = field(default_factory=TargetTransform)

    @property
    def regressor(self):
        return self

    def predict(self, X):
        return X @ self.weights


def rows(role, n=200, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    model = Linear(np.array([3.0, 0.0, 1.0, 0.0]))
    return DriverRows(model, role, X, model.predict(X) + noise * rng.standard_normal(n))


FAMILIES = {"strong": np.array([0, 1]), "none": np.array([3]), "weak": np.array([2])}


def test_the_rise_is_that_of_the_error_with_shuffled_columns():
    part = rows("id")
    found = measure_drivers([part], FAMILIES, seed=0, repeats=5)
    assert (found.repeats, found.n_id, found.n_ood) == (5, 200, 0)
    assert [one.family for one in found.found] == ["strong", "weak", "none"]
    strong, weak, none = found.found
    assert (none.rise, none.spread) == (0.0, 0.0)
    assert (strong.n_features, weak.n_features) == (2, 1)
    # slow: the model is linear and the column is shuffled at random, over all pairs of rows
    before = np.abs(part.model.predict(part.X) - part.y)
    column = part.X[:, 0]
    after = np.abs(
        (part.model.predict(part.X) - part.y)[:, None] + 3.0 * (column[None, :] - column[:, None])
    )
    expected = after.mean() / before.mean() - 1
    assert strong.rise == pytest.approx(expected, rel=0.05)


def test_roles_are_apart_and_one_repetition_has_no_spread():
    found = measure_drivers([rows("id"), rows("ood", seed=1)], FAMILIES, seed=0, repeats=1)
    assert found.repeats == 1
    assert (found.n_id, found.n_ood) == (200, 200)
    assert {one.role for one in found.found} == {"id", "ood"}
    assert all(one.spread is None for one in found.found)


def test_rows_of_several_models_are_joined():
    one, other = rows("id"), rows("id", seed=3)
    both = measure_drivers([one, other], FAMILIES, seed=0, repeats=5)
    assert both.n_id == 400


def test_errors_are_those_of_the_training_scale():
    part = rows("id", noise=0.1)
    logs = Linear(part.model.weights, TargetTransform("log"))
    same = measure_drivers(
        [DriverRows(logs, "id", part.X, np.exp(part.y))], FAMILIES, seed=0, repeats=5
    )
    plain = measure_drivers([part], FAMILIES, seed=0, repeats=5)
    assert same.found[0].rise == pytest.approx(plain.found[0].rise)


def test_without_an_error_there_is_nothing_to_compare_with():
    assert measure_drivers([rows("id", noise=0.0)], FAMILIES, seed=0, repeats=5) is None
    assert measure_drivers([], FAMILIES, seed=0, repeats=5) is None


def test_every_feature_has_a_family_in_plain_words():
    featurizer = CompositionFeaturizer("magpie+fractions")
    names = (*featurizer.names, "T")
    families = feature_families(names, featurizer.columns)
    assert sorted(np.concatenate(list(families.values()))) == list(range(len(names)))
    assert {name: len(columns) for name, columns in families.items()} == {
        "number of elements and their ratio": 6,
        "place in the periodic table": 30,
        "melting points of the elements": 6,
        "size of the atoms": 12,
        "electronegativity": 6,
        "valence electrons": 34,
        "unfilled orbitals": 30,
        "band gaps of the elements": 6,
        "magnetic moments of the elements": 6,
        "crystal structures of the elements": 6,
        "ionic character of the bonds": 3,
        "amounts of the single elements": 118,
        "T": 1,
    }
