"""CHGNet with a new head: values, invariance, what is trained, saved models, interrupts, domain."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("chgnet")

import torch

import xtalshift as xs
from structure_toys import DESCRIPTIONS, random_structure
from xtalshift.errors import ConfigError, DataError, ModelFormatError
from xtalshift.estimators import FineTunedCHGNetRegressor, frozen_crystals, network
from xtalshift.featurize.bond_graph import CUTOFF
from xtalshift.featurize.chgnet_network import Network, load_network
from xtalshift.featurize.composition import composition_features
from xtalshift.methods import MethodSettings, build_method
from xtalshift.model import load_model, persist
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.nn.crystal_head import FineTuning
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import find_neighbours

CRYSTALS = Structures.join(
    [random_structure(np.random.default_rng(k), 2 + k % 3) for k in range(16)]
)
TARGETS = np.linspace(1.0, 4.0, 16) ** 2
CPU = {"device": "cpu", "random_state": 0}
SETTINGS = MethodSettings.from_dict({"device": "cpu", "threads": 1, "erm": {"epochs": 4}})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path))


def rows_of(structures):
    return composition_features(structures.compositions(), "sites", structures=structures).values


def fitted(**settings):
    own = {"epochs": 3, "batch_size": 4, **CPU, **settings}
    return FineTunedCHGNetRegressor(**own).fit(X, TARGETS, X_val=X[:4], y_val=TARGETS[:4])


X = rows_of(CRYSTALS)


def test_a_frozen_network_is_chgnet_with_a_head():
    model = fitted(pretrained_rate=0.0)
    chgnet = load_network(False)
    state = model.states_["best"]
    own = {"convolution": chgnet.model.atom_conv_layers[3], "norm": chgnet.model.readout_norm}
    for part, layer in own.items():
        for name, value in layer.named_parameters():
            assert torch.equal(state[f"{part}.{name}"], value.float()), name
    pairs = find_neighbours(CRYSTALS, CUTOFF)
    with torch.no_grad():
        atoms = torch.from_numpy(chgnet.atom_features(CRYSTALS, pairs, 4)[-1])
        atoms = chgnet.model.readout_norm(atoms).numpy()
    means = np.add.reduceat(atoms, CRYSTALS.starts[:-1]) / CRYSTALS.sizes[:, None]

    def layer(name, x):
        weight, bias = (state[f"{name}.{part}"].double().numpy() for part in ("weight", "bias"))
        return x @ weight.T + bias

    spread = means.std(axis=0)
    hidden = layer("hidden", (means - means.mean(axis=0)) / spread)
    hidden /= 1.0 + np.exp(-hidden)
    np.testing.assert_allclose(model.embed(X), hidden, atol=1e-5)  # the spread is in float32
    expected = layer("head", hidden)[:, 0] * TARGETS.std() + TARGETS.mean()
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5)


def test_training_learns_and_moves_the_pretrained_layers_a_little():
    model = fitted(epochs=40, patience=40, weights="last")
    assert np.abs(model.predict(X) - TARGETS).mean() < 0.6 * np.abs(TARGETS - TARGETS.mean()).mean()
    losses = [one["train_loss"] for one in model.history_]
    assert losses[-1] < 0.5 * losses[0]
    state, layer = model.states_["last"], load_network(False).model.atom_conv_layers[3]
    moves = [
        float((state[f"convolution.{name}"] - value.detach()).abs().max())
        for name, value in layer.named_parameters()
    ]
    assert 0 < max(moves) < 0.1
    again = fitted(epochs=40, patience=40, weights="last")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize("describe", DESCRIPTIONS)
def test_the_description_changes_nothing(describe):
    model, rng = fitted(), np.random.default_rng(1)
    some = CRYSTALS.take(range(4))
    theirs = Structures.join([describe(some.take([k]), rng) for k in range(4)])
    np.testing.assert_allclose(model.predict(rows_of(theirs)), model.predict(X[:4]), rtol=1e-7)


def test_a_row_has_the_same_bits_in_every_batch():
    model = fitted()
    together = model.predict(X)
    for rows in ([11], [3, 0, 3], range(15, -1, -1)):
        np.testing.assert_array_equal(model.predict(X[list(rows)]), together[list(rows)])


def test_lower_layers_are_computed_once_for_all_fits(monkeypatch):
    kept = {dtype: frozen_crystals._Kept(dtype) for dtype in frozen_crystals.MOST_BYTES}
    monkeypatch.setattr(frozen_crystals, "_kept", kept)
    calls = []
    before_last = Network.before_last

    def counted(self, structures, pairs):
        calls.append(len(structures))
        return before_last(self, structures, pairs)

    monkeypatch.setattr(Network, "before_last", counted)
    fitted()
    fitted(pretrained_rate=0.0)
    assert calls == [1] * 16
    model = fitted()
    expected = model.predict(X[:2])
    np.testing.assert_array_equal(model.predict(X[:2]), expected)
    assert calls == [1] * 18  # in float64
    monkeypatch.setattr(frozen_crystals, "MOST_BYTES", dict.fromkeys(kept, 1))  # a single one
    kept = {dtype: frozen_crystals._Kept(dtype) for dtype in kept}
    monkeypatch.setattr(frozen_crystals, "_kept", kept)
    np.testing.assert_array_equal(fitted().predict(X[:2]), expected)
    assert [len(one.crystals) for one in kept.values()] == [1, 1]
    assert all(one.nbytes == sum(c.nbytes for c in one.crystals.values()) for one in kept.values())


def test_an_interrupted_training_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "training.safetensors"
    run_epoch = FineTuning.run_epoch
    epochs = []

    def interrupted(self, epoch):
        epochs.append(epoch)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return run_epoch(self, epoch)

    monkeypatch.setattr(FineTuning, "run_epoch", interrupted)
    monkeypatch.setattr(network, "Checkpoint", partial(Checkpoint, seconds=0.0))
    model = FineTunedCHGNetRegressor(epochs=4, batch_size=4, **CPU)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, TARGETS, checkpoint=path)
    assert path.exists()
    model.fit(X, TARGETS, checkpoint=path)
    assert epochs == [0, 1, 2, 2, 3]
    assert not path.exists()
    monkeypatch.undo()
    whole = FineTunedCHGNetRegressor(epochs=4, batch_size=4, **CPU).fit(X, TARGETS)
    np.testing.assert_array_equal(model.predict(X), whole.predict(X))


def test_wrong_settings_and_rows_are_refused():
    with pytest.raises(ConfigError, match=r"reads crystals.* add it: --features \+sites"):
        FineTunedCHGNetRegressor(**CPU).fit(X[:, 1:], TARGETS)
    for name, value in (("width", 0), ("pretrained_rate", -1.0), ("pretrained_rate", np.nan)):
        with pytest.raises(ConfigError, match=f"{name} = "):
            fitted(**{name: value})
    with pytest.raises(DataError, match="row 3 of X holds no crystal"):
        fitted().predict(np.vstack([X[:2], np.zeros((1, X.shape[1]))]))
    lone = Structures.of(20 * np.eye(3), [3], [[0, 0, 0]])
    with pytest.raises(DataError, match="no neighbour within 6 A"):
        fitted().predict(rows_of(lone))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of CIF files with the values of the toys in a table beside it."""
    place = tmp_path_factory.mktemp("crystals")
    (place / "cifs").mkdir()
    lines = ["id,n"]
    for k in range(16):
        one = CRYSTALS.take([k])
        poscar = _poscar(one)
        (place / "cifs" / f"c{k}.vasp").write_text(poscar)
        lines.append(f"c{k},{TARGETS[k]}")
    (place / "values.csv").write_text("\n".join(lines) + "\n")
    return place


def _poscar(one):
    from xtalshift.chem.elements import SYMBOLS

    vectors = "\n".join(" ".join(f"{x:.10f}" for x in row) for row in one.lattices[0])
    sites = "\n".join(
        " ".join(f"{x:.10f}" for x in position) + f" {SYMBOLS[z]}"
        for z, position in zip(one.z, one.positions, strict=True)
    )
    names = " ".join(SYMBOLS[z] for z in one.z)
    return f"toy\n1.0\n{vectors}\n{names}\n{' '.join('1' for _ in one.z)}\ndirect\n{sites}\n"


@pytest.fixture
def model(folder):
    data = xs.read_table(folder / "values.csv", target="n", structures=folder / "cifs")
    return xs.fit(data, "chgnet-finetune", settings=SETTINGS), data


def test_a_saved_model_predicts_the_same_bits(model, tmp_path):
    model, data = model
    assert model.featurizer.blocks == "chgnet+sites+structure"
    assert "MPtrj" in model.card.provenance["potentials"]["chgnet"]
    assert len(model.calibration) == 16  # from folds, to which the place of the crystals is told
    place = model.save(tmp_path / "model")
    again = load_model(place, device="cpu")
    before, after = model.predict(data.materials).frame, again.predict(data.materials).frame
    assert before.equals(after)
    assert np.isfinite(before["prediction"]).all()
    assert again.card.provenance["potentials"] == model.card.provenance["potentials"]
    copy = again.save(tmp_path / "copy")
    (one,), (other,) = (sorted(p.glob("arrays-*")) for p in (place, copy))
    assert one.read_bytes() == other.read_bytes()


def test_a_model_is_tied_to_the_weights(model, tmp_path, monkeypatch):
    place = model[0].save(tmp_path / "model")
    monkeypatch.setattr("xtalshift.estimators.finetuned.WEIGHTS", "0" * 64)
    with pytest.raises(ModelFormatError, match="trained on the weights 818dbd975187b2df of CHGNet"):
        load_model(place)


def test_settings_of_a_block_are_saved(folder, tmp_path):
    data = xs.read_table(folder / "values.csv", target="n", structures=folder / "cifs")
    model = xs.fit(data, "ridge", features="magpie+chgnet:c1-c2-std", settings=SETTINGS)
    place = model.save(tmp_path / "model")
    saved = json.loads((place / persist.MODEL_FILE).read_text())
    assert saved["pipeline"]["features"] == "magpie+chgnet:c1-c2-std"
    again = load_model(place)
    assert again.featurizer.names[-1] == "chgnet c2 std 63"
    before, after = model.predict(data.materials).frame, again.predict(data.materials).frame
    assert before.equals(after)


def test_the_domain_is_measured_in_frozen_features(model):
    model, data = model
    rng, known = np.random.default_rng(5), data.materials.structures
    turned = [DESCRIPTIONS[k % 3](known.take([k]), rng) for k in range(16)]
    other = replace(data.materials, structures=Structures.join(turned))
    found = model.predict(other, explain=True)
    same = model.predict(data.materials)
    assert (found.nearest_formula == same.nearest_formula).all()
    np.testing.assert_allclose(found.nearest_distance, same.nearest_distance, atol=1e-3)
    np.testing.assert_array_equal(found.in_domain, same.in_domain)
    trained = model.was_trained_on(model.features_of(other))
    assert trained.tolist() == (same.nearest_distance == 0).tolist()
    assert trained.sum() == len(model.domain.formulas_)
    dense = replace(other, structures=replace(known, lattices=known.lattices * 0.6))
    far = model.predict(dense, explain=True)
    assert far.ood_score.mean() > found.ood_score.mean() + 0.5
    assert not any("sites" in text for text in [*found.explanation, *far.explanation])


def test_methods_by_name():
    frozen, tuned = (
        build_method(name, SETTINGS, seed=0) for name in ("chgnet-frozen", "chgnet-finetune")
    )
    assert (frozen.pretrained_rate, tuned.pretrained_rate) == (0.0, 0.1)
    assert (tuned.epochs, tuned.patience, tuned.batch_size) == (2, 8, 16)
