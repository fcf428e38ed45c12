"""The atom features of potentials are those of their own packages, and stay what they are."""

import numpy as np
import pytest

from structure_toys import CRYSTALS, random_structure
from xtalshift.featurize.chgnet_block import CHGNET
from xtalshift.featurize.sevennet_block import SEVENNET
from xtalshift.structure import Structures

TOYS = ("copper", "rock salt", "perovskite", "graphite", "selenium")
SOME = Structures.join([CRYSTALS[name] for name in TOYS])

PINNED = {
    "chgnet:": [
        [1.457622, 0.581944, -0.305559],
        [3.088670, -2.571327, 0.269651],
        [-0.607919, 1.161961, 0.588826],
        [-0.825531, -2.293469, -3.250211],
        [1.608566, -0.149739, 0.976631],
    ],
    "chgnet:c4-std": [
        [0.000000, 0.000000, 0.000000],
        [0.780200, 3.239193, 1.250124],
        [0.497131, 1.282041, 1.112628],
        [0.029005, 0.018273, 0.019631],
        [0.000000, 0.000000, 0.000000],
    ],
    "sevennet:": [
        [0.934859, 0.205059, -0.066687],
        [0.350799, 0.037636, 0.550198],
        [-0.047055, -0.003841, -0.158473],
        [-0.076922, -0.138590, -0.292364],
        [-0.178644, 0.072176, 0.588212],
    ],
    "sevennet:c2-max": [
        [-0.458754, -0.304349, -0.467458],
        [0.283244, -0.168801, -0.143506],
        [-0.149310, 1.097203, -0.115216],
        [-0.066613, -0.277140, -0.050285],
        [-0.171774, -0.383255, 0.387141],
    ],
    "sevennet:c3-by-element": [
        [0.000000, 0.000000, 0.000000],
        [0.007963, 0.846310, 0.000000],
        [0.059078, 0.096517, 0.000000],
        [0.000000, 0.000000, 0.000000],
        [0.000000, 0.000000, 0.000000],
    ],
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path))


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_values_of_chgnet(capsys):
    pytest.importorskip("chgnet")
    from chgnet.model.model import CHGNet
    from pymatgen.core import Structure

    model = CHGNet.load(use_device="cpu", verbose=False)
    rng = np.random.default_rng(0)
    crystals = Structures.join([SOME, *(random_structure(rng, 5) for _ in range(3))])
    expected = []
    for k in range(len(crystals)):
        one = crystals.take([k])
        structure = Structure(one.lattices[0], one.z, one.positions)
        answer = model.predict_structure(structure, task="e", return_atom_feas=True)
        expected.append(answer["atom_fea"].mean(axis=0))
    capsys.readouterr()
    found = CHGNET.features(crystals).values
    np.testing.assert_allclose(found, expected, atol=1e-4)  # CHGNet computes in float32
    assert np.std(found, axis=0).min() > 0.01
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_values_of_sevennet():
    pytest.importorskip("sevenn")
    import sevenn
    import torch
    from ase import Atoms
    from sevenn.checkpoint import SevenNetCheckpoint
    from sevenn.util import unlabeled_atoms_to_input

    folder = f"{sevenn.__path__[0]}/pretrained_potentials/SevenNet_0__11Jul2024"
    model = SevenNetCheckpoint(f"{folder}/checkpoint_sevennet_0.pth").build_model()
    model.set_is_batch_data(False)
    outputs = {}
    for layer in range(SEVENNET.depth):
        gate = getattr(model, f"{layer}_equivariant_gate")
        gate.register_forward_hook(
            lambda _, __, data, layer=layer: outputs.update({layer: data["x"][:, :128].detach()})
        )
    rng = np.random.default_rng(0)
    crystals = Structures.join([SOME, *(random_structure(rng, 5) for _ in range(3))])
    expected = []
    for k in range(len(crystals)):
        one = crystals.take([k])
        atoms = Atoms(one.z, cell=one.lattices[0], scaled_positions=one.positions, pbc=True)
        model(unlabeled_atoms_to_input(atoms, 5.0).to_dict())
        means = [outputs[layer].mean(dim=0) for layer in range(SEVENNET.depth)]
        expected.append(torch.cat(means).numpy())
    found = SEVENNET.features(crystals, "c1-c5").values
    np.testing.assert_allclose(
        found, expected, rtol=1e-5, atol=2e-5
    )  # SevenNet computes in float32
    assert np.std(found, axis=0).min() > 0.01


@pytest.mark.parametrize(("name", "expected"), PINNED.items())
def test_pinned_features(name, expected):
    block, _, settings = name.partition(":")
    pytest.importorskip({"chgnet": "chgnet", "sevennet": "sevenn"}[block])
    potential = {"chgnet": CHGNET, "sevennet": SEVENNET}[block]
    found = potential.features(SOME, settings).values
    np.testing.assert_allclose(found[:, [0, 1, -1]], expected, rtol=1e-5, atol=2e-6)
