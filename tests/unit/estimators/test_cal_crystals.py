"""CAL with an attack on crystals: training, the control, resuming, exporting, refusals."""

from functools import partial

import numpy as np
import pytest

pytest.importorskip("chgnet")

import torch

from crystal_toys import features_of, materials_of
from polymorph_toys import crystals
from xtalshift.cal import loop
from xtalshift.cal.deformation import measure_moves
from xtalshift.cal.export import crystal_frame
from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators import CALRegressor, network
from xtalshift.featurize import CompositionFeaturizer, CompositionSource

NAMES, BATCH, VALUES = crystals()
ROWS = np.arange(0, 192, 6)
STRUCTURES = BATCH.take(ROWS)
Y = VALUES[ROWS]
FEATURIZER = CompositionFeaturizer("fractions+chgnet")
SMALL = {
    "preset": "cal-crystal",
    "settings": {"epochs": 7, "warmup_epochs": 1, "resample_every": 2, "batch_size": 8},
    "architecture": (16, 8),
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def X(tmp_path_factory):  # noqa: N802 - a matrix
    """Return the features of the crystals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XTALSHIFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return FEATURIZER.transform(materials_of(STRUCTURES))


def source(rows=slice(None)):
    whole = CompositionSource(materials_of(STRUCTURES).compositions, FEATURIZER, STRUCTURES)
    return whole.take(np.arange(len(Y))[rows])


def regressor(**changes):
    settings = {**SMALL["settings"], **changes}
    return CALRegressor(**{**SMALL, "settings": settings})


def test_training_moves_crystals_and_keeps_them_between_rankings(X, monkeypatch):
    calls = []
    call = loop.KeptStructureAttack.__call__

    def counted(self, model, rows, state, config):
        before = int(self.known.sum())
        found = call(self, model, rows, state, config)
        calls.append(int(self.known.sum()) - before)
        return found

    monkeypatch.setattr(loop.KeptStructureAttack, "__call__", counted)
    model = regressor().fit(X, Y, origin=source())
    assert model.needs_origin
    hard = 8  # a quarter of 29 rows
    assert calls == [hard, 0, hard, 0, hard, 0]
    attacked = [one for one in model.history_ if one["phase"] == "cal"]
    assert all(one["displacement_rms"] > 1e-3 for one in attacked)
    assert all(one["attack_loss_gain"] > 0 for one in attacked[::2])
    assert np.isfinite(model.predict(X)).all()


def test_the_control_is_that_of_any_attack_bit_for_bit(X):
    off = {"ball": "linf", "epsilon": 0.0, "gamma_init": 0.1}
    crystal = regressor(**off).fit(X, Y, origin=source())
    plain = regressor(**off, attack="features").fit(X, Y)
    for name, value in plain.states_["last"].items():
        assert torch.equal(crystal.states_["last"][name], value)
    found = crystal.attack_rows(X, Y, source())
    assert not found.displacement.any()
    np.testing.assert_array_equal(found.structures.keys, STRUCTURES.keys)
    np.testing.assert_array_equal(found.adversarial_prediction, found.prediction)


def test_a_killed_training_continues_with_the_same_bits(X, tmp_path, monkeypatch):
    whole = regressor().fit(X, Y, origin=source())
    rank, place = loop.CALTraining._rank, tmp_path / "checkpoint"

    def killed(self, epoch):
        if epoch == 4:  # between two rankings
            raise KeyboardInterrupt
        rank(self, epoch)

    monkeypatch.setattr(loop.CALTraining, "_rank", killed)
    monkeypatch.setattr(network, "Checkpoint", partial(network.Checkpoint, seconds=0.0))
    with pytest.raises(KeyboardInterrupt):
        regressor().fit(X, Y, origin=source(), checkpoint=place)
    assert place.exists()
    monkeypatch.setattr(loop.CALTraining, "_rank", rank)
    again = regressor().fit(X, Y, origin=source(), checkpoint=place)
    for name, value in whole.states_["last"].items():
        assert torch.equal(again.states_["last"][name], value)


def test_attacked_rows_are_crystals_with_these_features(X):
    model = regressor().fit(X, Y, origin=source())
    found = model.attack_rows(X, Y, source())
    moved = np.abs(found.displacement).max(axis=1) > 0
    assert moved.mean() > 0.5
    start = model.scaler_.transform(X)
    expected = features_of(FEATURIZER, model.scaler_, found.structures)
    np.testing.assert_allclose(start + found.displacement, expected, atol=1e-5)
    assert (found.loss_gain[moved] > 0).all()
    assert (found.loss_gain[~moved] == 0).all()
    predicted = model.predict(FEATURIZER.transform(materials_of(found.structures)))
    np.testing.assert_allclose(found.adversarial_prediction, predicted, rtol=1e-4)


def test_the_table_of_crystals_says_what_was_done(X):
    model = regressor(substitutions=1, neighbours=2, epsilon=2.0).fit(X, Y, origin=source())
    found = model.attack_rows(X[:6], Y[:6], source(slice(6)))
    start = STRUCTURES.take(slice(6))
    frame = crystal_frame(start, found.structures, loss_gain=found.loss_gain)
    strains, shifts = measure_moves(start, found.structures)
    np.testing.assert_allclose(frame["strain_xy"], 100 * strains[:, 0, 1])
    np.testing.assert_allclose(frame["strain_norm"], 100 * np.linalg.norm(strains, axis=(1, 2)))
    assert frame["strain_norm"].max() <= 3.0 + 1e-9
    np.testing.assert_allclose(frame["largest_displacement"], 0.0, atol=1e-9)  # by symmetry
    assert np.abs(shifts).max() < 1e-9
    for row in range(6):
        before, after = (one.take([row]).z.tolist() for one in (start, found.structures))
        assert (frame["substituted"][row] != "") == (before != after)
    assert any(frame["substituted"])
    with pytest.raises(DataError, match=r"2 crystals .* do not belong together"):
        crystal_frame(start.take([0, 1]), found.structures)


def test_what_is_missing_is_named(X):
    with pytest.raises(ConfigError, match=r"needs crystal structures: give origin="):
        regressor().fit(X, Y)
    formulas = CompositionSource(source().compositions, FEATURIZER)
    with pytest.raises(ConfigError, match=r"only formulas: name their column \(--structure-col\)"):
        regressor().fit(X, Y, origin=formulas)
    magpie = CompositionSource(source().compositions, CompositionFeaturizer("magpie"), STRUCTURES)
    with pytest.raises(ConfigError, match=r"the features are magpie; add it \(--features \+chgnet"):
        regressor().fit(X, Y, origin=magpie)
    with pytest.raises(ConfigError, match="n_members = 1 only"):
        CALRegressor(**SMALL, n_members=2).fit(X, Y, origin=source())
