"""The error of a model apart from the noise of the measurements."""

import numpy as np
import pytest

from xtalshift.data.transform import TRANSFORMS, TargetTransform
from xtalshift.errors import DataError
from xtalshift.uncertainty.conformal import Calibration
from xtalshift.uncertainty.noise import model_error


@pytest.mark.parametrize("tau", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("unit", [1.0, 1e-12, 1e12])
def test_the_error_of_the_model_is_found(tau, unit):
    rng = np.random.default_rng(0)
    noise = rng.uniform(0.2, 2.0, 4000)
    residuals = tau * rng.normal(size=4000) + noise * rng.normal(size=4000)
    assert model_error(unit * residuals, unit * noise) == pytest.approx(unit * tau, rel=0.08)


def test_it_solves_the_equation_of_paule_and_mandel():
    residuals, noise = np.array([1.0, -2.0, 0.5]), np.array([0.1, 0.5, 0.2])
    tau = model_error(residuals, noise)
    assert np.sum(residuals**2 / (tau**2 + noise**2)) == pytest.approx(3.0)
    assert model_error(residuals, np.zeros(3)) == pytest.approx(np.sqrt(np.mean(residuals**2)))


def test_an_error_that_cannot_be_told_from_0_is_its_standard_error():
    noise = np.full(50, 2.0)
    least = (2 / np.sum(noise**-4)) ** 0.25
    assert model_error(np.full(50, 0.01), noise) == pytest.approx(least)
    assert model_error(np.zeros(50), noise) == pytest.approx(least)
    with pytest.raises(DataError, match="all residuals are 0"):
        model_error(np.zeros(3), np.zeros(3))
    with pytest.raises(DataError, match="no residuals"):
        model_error(np.zeros(0), np.zeros(0))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_slopes_are_those_of_the_transforms(name):
    scale, y, step = TargetTransform(name), np.array([0.3, 1.0, 20.0]), 1e-6
    slope = (scale.forward(y + step) - scale.forward(y - step)) / (2 * step)
    assert scale.slope(y) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize(("law", "off"), [("normal", 0.015), ("laplace", 0.03)])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("level", [0.68, 0.9, 0.95])
def test_intervals_cover_true_values_and_new_measurements(law, off, ratio, level):
    """Simulated with errors of the model of several laws, and noise with a spread of 10 : 1."""
    rng = np.random.default_rng(1)
    n, m = 4000, 100_000

    def errors(count):
        drawn = {
            "normal": rng.normal(size=count),
            "laplace": rng.laplace(scale=np.sqrt(0.5), size=count),
        }
        return drawn[law]

    noise = ratio * 10 ** rng.uniform(-1, 0, n)
    scores = np.abs(errors(n) + noise * rng.normal(size=n))
    calibration = Calibration(scores, noise=noise)
    truth = errors(m)
    bound = calibration.without_noise().law.bound(level)
    assert np.mean(np.abs(truth) <= bound) == pytest.approx(level, abs=off + 0.01)
    new = ratio * 10 ** rng.uniform(-1, 0, m)
    width = bound * np.hypot(1.0, new / calibration.model_error)
    covered = np.abs(truth + new * rng.normal(size=m)) <= width
    assert covered.mean() == pytest.approx(level, abs=off + 0.01)
