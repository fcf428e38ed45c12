import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores import APSConformityScore
from sklearn.base import BaseEstimator, ClassifierMixin

from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.uncertainty.prediction_sets import SetCalibration, class_scores


class Known(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose features are the probabilities."""

    def __init__(self, n_classes):
        self.n_classes = n_classes

    def fit(self, X, y):
        self.classes_ = np.arange(self.n_classes)
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return X.argmax(1)


def draw(rng, n, k, sharp=1.0, shares=None):
    """Return probabilities and labels that follow them."""
    p = rng.dirichlet(np.ones(k) if shares is None else shares, n)
    y = (rng.random(n)[:, None] > np.cumsum(p, axis=1)[:, :-1]).sum(1)
    q = p**sharp
    return q / q.sum(1, keepdims=True), y


def sets_of_mapie(score, calibration, new, level, **how):
    p, y = calibration
    model = SplitConformalClassifier(
        Known(p.shape[1]).fit(p, y), level, conformity_score=score, random_state=5
    )
    return model.conformalize(p, y).predict_set(new, **how)[1][:, :, 0]


@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("level", [0.6, 0.9, 0.95])
def test_the_least_ambiguous_sets_are_those_of_mapie(k, level):
    rng = np.random.default_rng(k)
    p, y = draw(rng, 137, k, 1.5)
    new, _ = draw(rng, 400, k, 1.5)
    found = SetCalibration.of(p, y).sets(new, level)
    np.testing.assert_array_equal(found, sets_of_mapie("lac", (p, y), new, level))


@pytest.mark.parametrize("k", [3, 6])  # MAPIE has none for two classes
def test_adaptive_sets_with_random_shares_are_those_of_mapie(k):
    rng = np.random.default_rng(k)
    p, y = draw(rng, 137, k, 1.5)
    new, _ = draw(rng, 400, k, 1.5)
    shares = [1 - np.random.RandomState(5).uniform(size=n) for n in (137, 400)]
    scores = class_scores(p, "aps", own_share=shares[0])[np.arange(137), y]
    bound = np.sort(scores)[int(np.ceil(138 * 0.9)) - 1]
    found = class_scores(new, "aps", own_share=shares[1]) <= bound + 1e-12
    expected = sets_of_mapie(
        APSConformityScore(), (p, y), new, 0.9, conformity_score_params={
            "include_last_label": "randomized"
        },
    )  # fmt: skip
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["lac", "aps", "class-conditional"])
@pytest.mark.parametrize(("k", "n", "level"), [(2, 19, 0.9), (3, 50, 0.8), (4, 200, 0.9)])
def test_coverage_is_that_of_the_theory(kind, k, n, level):
    rng = np.random.default_rng(n)
    hits, counts = np.zeros(k), np.zeros(k)
    for _ in range(400):
        p, y = draw(rng, n, k, 3.0)
        new, z = draw(rng, 100, k, 3.0)
        inside = SetCalibration.of(p, y, kind).sets(new, level)[np.arange(100), z]
        hits += np.bincount(z, inside, minlength=k)
        counts += np.bincount(z, minlength=k)
    if kind == "class-conditional":
        assert (hits / counts > level - 0.01).all()
        return
    # between the level and one part in n + 1 above it, without ties
    assert level - 0.01 < hits.sum() / counts.sum() < level + 1 / (n + 1) + 0.01


def test_each_class_is_held_where_one_law_for_all_misses_the_rare_one():
    rng = np.random.default_rng(1)
    shares = np.array([4.0, 0.4])
    p, y = draw(rng, 4000, 2, shares=shares)
    new, z = draw(rng, 4000, 2, shares=shares)
    covered = {}
    for kind in ("lac", "class-conditional"):
        inside = SetCalibration.of(p, y, kind).sets(new, 0.9)[np.arange(4000), z]
        covered[kind] = [inside[z == c].mean() for c in (0, 1)]
    assert covered["lac"][1] < 0.6
    assert covered["class-conditional"] == pytest.approx([0.9, 0.9], abs=0.03)


def test_a_class_with_few_rows_is_in_every_set():
    p, y = np.tile([[0.8, 0.1, 0.1]], (30, 1)), np.repeat([0, 1], [22, 8])
    found = SetCalibration.of(p, y, "class-conditional").sets([[0.98, 0.01, 0.01]], 0.9)
    assert found.tolist() == [[True, True, True]]  # 8 rows bound no 90 %, class 2 has none
    found = SetCalibration.of(p, y, "class-conditional").sets([[0.1, 0.45, 0.45]], 0.8)
    assert found.tolist() == [[False, True, True]]


def test_weights_restore_coverage_under_covariate_shift():
    rng = np.random.default_rng(2)

    def rows(n, mean):
        x = rng.normal(mean, 1.0, n)
        flip = np.where(x > 0, 0.45, 0.02)  # hard where x is positive
        y = (rng.random(n) < flip).astype(int)
        seen = np.column_stack([np.full(n, 0.9), np.full(n, 0.1)])  # knows nothing of x
        seen[:, 0] += rng.uniform(-0.01, 0.01, n)
        seen[:, 1] = 1 - seen[:, 0]
        return x, seen, y

    x, p, y = rows(6000, -1.0)
    z, new, truth = rows(6000, 1.0)
    calibration = SetCalibration.of(p, y)
    plain = calibration.sets(new, 0.8)[np.arange(6000), truth].mean()
    ratio = [np.exp(2 * values) for values in (x, z)]  # of the two normal densities
    weighted = calibration.sets(new, 0.8, weights=tuple(ratio))[np.arange(6000), truth].mean()
    assert plain < 0.75
    assert weighted > 0.79


def test_ratios_of_shares_restore_coverage_under_label_shift():
    rng = np.random.default_rng(3)

    def rows(shares, n=8000):
        y = rng.choice(3, n, p=shares)
        x = rng.normal(np.array([[0, 0], [1.5, 0], [0, 1.0]])[y])
        logits = np.column_stack([0 * x[:, 0], 1.5 * x[:, 0] - 1.125, x[:, 1] - 0.5])
        logits += np.log([0.7, 0.2, 0.1])
        p = np.exp(logits)
        return p / p.sum(1, keepdims=True), y

    before, after = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.2, 0.7])
    (p, y), (new, truth) = rows(before), rows(after)
    for kind in ("lac", "aps"):
        calibration = SetCalibration.of(p, y, kind)
        plain = calibration.sets(new, 0.9)[np.arange(8000), truth].mean()
        ratios = after / calibration.shares
        shifted = calibration.sets(new, 0.9, class_ratios=ratios)[np.arange(8000), truth].mean()
        assert plain < 0.8
        assert shifted == pytest.approx(0.9, abs=0.02)


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 40), st.floats(0.05, 0.95))
def test_equal_weights_and_ratios_change_nothing_and_sets_grow_with_the_level(seed, k, n, level):
    rng = np.random.default_rng(seed)
    p, y = draw(rng, n, k)
    new, _ = draw(rng, 20, k)
    for kind in ("lac", "aps", "class-conditional"):
        calibration = SetCalibration.of(p, y, kind)
        plain = calibration.sets(new, level)
        weighted = calibration.sets(new, level, weights=(np.full(n, 3.0), np.full(20, 3.0)))
        np.testing.assert_array_equal(weighted, plain)
        shifted = calibration.sets(new, level, class_ratios=np.full(k, 0.5))
        np.testing.assert_array_equal(shifted, plain)
        assert (plain <= calibration.sets(new, min(0.99, level + 0.04))).all()


def test_the_scores_of_one_row():
    row = [[0.2, 0.5, 0.3]]
    np.testing.assert_allclose(class_scores(row), [[0.8, 0.5, 0.7]])
    np.testing.assert_allclose(class_scores(row, "aps"), [[0.9, 0.25, 0.65]])
    np.testing.assert_allclose(class_scores(row, "aps", own_share=1), [[1.0, 0.5, 0.8]])


def test_sets_may_be_empty_or_full():
    calibration = SetCalibration.of([[0.95, 0.05]] * 99, [0] * 99)
    assert calibration.sets([[0.6, 0.4]], 0.9).tolist() == [[False, False]]
    few = SetCalibration.of([[0.95, 0.05]] * 8, [0] * 8)
    assert few.sets([[1.0, 0.0]], 0.9).tolist() == [[True, True]]


def test_a_calibration_comes_back_from_its_arrays():
    rng = np.random.default_rng(4)
    calibration = SetCalibration.of(*draw(rng, 50, 3), "aps")
    again = SetCalibration.from_state(calibration.get_state(), kind="aps", n_classes=3)
    new, _ = draw(rng, 50, 3)
    np.testing.assert_array_equal(again.sets(new, 0.7), calibration.sets(new, 0.7))
    assert len(again) == 50


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"sets.scores": np.full(50, 1.5)}, "expected finite numbers from 0 to 1"),
        ({"sets.labels": np.full(50, 3)}, "has the class 3 of 3"),
        ({"sets.labels": np.zeros(9, np.int64)}, "has the length 9"),
        ({"sets.scores": np.zeros(0), "sets.labels": np.zeros(0, np.int64)}, "no scores"),
    ],
)
def test_forged_arrays_are_refused(change, text):
    calibration = SetCalibration.of(*draw(np.random.default_rng(4), 50, 3))
    with pytest.raises(ModelFormatError, match=text):
        SetCalibration.from_state(calibration.get_state() | change, kind="lac", n_classes=3)


def test_what_makes_no_sets_is_refused():
    calibration = SetCalibration.of([[0.5, 0.5]] * 20, [0, 1] * 10)
    row = [[0.5, 0.5]]
    with pytest.raises(ConfigError, match="sets = 'raps'; expected lac, aps, class-conditional"):
        SetCalibration.of(row, [0], "raps")
    with pytest.raises(ConfigError, match="level=1"):
        calibration.sets(row, 1.0)
    with pytest.raises(DataError, match="expected 2 classes"):
        calibration.sets([[0.5, 0.3, 0.2]], 0.9)
    with pytest.raises(ConfigError, match="not both"):
        calibration.sets(row, 0.9, weights=(np.ones(20), [1.0]), class_ratios=[1, 1])
    with pytest.raises(DataError, match="expected equal lengths"):
        calibration.sets(row, 0.9, weights=(np.ones(3), [1.0]))
    with pytest.raises(DataError, match="one weight for each of 1 rows"):
        calibration.sets(row, 0.9, weights=(np.ones(20), [1.0, 2.0]))
    with pytest.raises(DataError, match="one ratio per class"):
        calibration.sets(row, 0.9, class_ratios=[1.0])
    with pytest.raises(DataError, match="must not be negative"):
        calibration.sets(row, 0.9, class_ratios=[1.0, -1.0])
