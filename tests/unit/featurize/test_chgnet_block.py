"""Features from CHGNet: its own values, invariance, the control, reasons and the cache."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("chgnet")

import torch

from structure_toys import CRYSTALS, DESCRIPTIONS, random_structure
from xtalshift.errors import ConfigError
from xtalshift.featurize import chgnet_block, chgnet_network
from xtalshift.featurize.chgnet_block import TRAINED_ON, chgnet_features
from xtalshift.featurize.chgnet_network import load_network, name_network
from xtalshift.featurize.composition import composition_features
from xtalshift.structure import Structures

LONE = {"xenon in a box", "alloy"}
GOOD = Structures.join([CRYSTALS[name] for name in CRYSTALS if name not in LONE])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give every test a cache of its own, and return its folder."""
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path))
    return tmp_path / "features"


@pytest.fixture
def computed(monkeypatch):
    """Return a list of the numbers of structures that the network gets."""
    counts = []
    compute = chgnet_block._compute

    def counted(structures, network):
        counts.append(len(structures))
        return compute(structures, network)

    monkeypatch.setattr(chgnet_block, "_compute", counted)
    return counts


def values_of(structures, **options):
    found = chgnet_features(structures, **options)
    assert found.reasons.tolist() == [""] * len(structures)
    return found.values


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_values_are_those_of_chgnet(capsys):
    from chgnet.model.model import CHGNet
    from pymatgen.core import Structure

    model = CHGNet.load(use_device="cpu", verbose=False)
    rng = np.random.default_rng(0)
    crystals = Structures.join([GOOD, *(random_structure(rng, 5) for _ in range(3))])
    expected = []
    for k in range(len(crystals)):
        one = crystals.take([k])
        structure = Structure(one.lattices[0], one.z, one.positions)
        answer = model.predict_structure(structure, task="e", return_atom_feas=True)
        expected.append(answer["atom_fea"].mean(axis=0))
    capsys.readouterr()
    found = values_of(crystals)
    np.testing.assert_allclose(found, expected, atol=1e-4)  # CHGNet computes in float32
    assert np.std(found, axis=0).min() > 0.01
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("describe", DESCRIPTIONS)
def test_the_description_changes_nothing(describe):
    rng = np.random.default_rng(1)
    ours = [
        *(GOOD.take([k]) for k in range(len(GOOD))),
        random_structure(rng),
        random_structure(rng),
    ]
    theirs = [describe(one, rng) for one in ours]
    np.testing.assert_allclose(
        values_of(Structures.join(theirs)), values_of(Structures.join(ours)), rtol=1e-5, atol=1e-5
    )


def test_a_row_has_the_same_bits_in_every_batch(cache):
    rng = np.random.default_rng(2)
    crystals = Structures.join([random_structure(rng, 1 + k) for k in range(12)])
    together = values_of(crystals)
    for rows in ([11], [3, 0, 3], range(11, -1, -1)):
        for file in cache.iterdir():
            file.unlink()
        np.testing.assert_array_equal(values_of(crystals.take(list(rows))), together[list(rows)])


def test_the_control_has_other_weights_that_stay_the_same(monkeypatch):
    state = torch.random.get_rng_state()
    control = values_of(GOOD, random=True)
    assert torch.equal(torch.random.get_rng_state(), state)
    own = values_of(GOOD)
    assert np.abs(np.corrcoef(control.ravel(), own.ravel())[0, 1]) < 0.5
    assert control.std(axis=0).min() > 0.001
    load_network.cache_clear()
    torch.rand(3)
    monkeypatch.setattr(chgnet_block, "name_network", lambda random: "another file")
    np.testing.assert_array_equal(values_of(GOOD, random=True), control)


def test_reasons_name_the_remedy():
    far = Structures.of(20 * np.eye(3), [11, 17, 2], [[0, 0, 0], [0.1, 0, 0], [0.5, 0.5, 0.5]])
    close = Structures.of(5 * np.eye(3), [11, 17], [[0, 0, 0], [0.04, 0, 0]])
    heavy = Structures.of(4 * np.eye(3), [8, 95, 96], [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]])
    small = Structures.of(0.1 * np.eye(3), [3], [[0, 0, 0]])
    rows = [CRYSTALS["alloy"], far, CRYSTALS["copper"], close, heavy, small, Structures.none(1)]
    found = chgnet_features(Structures.join(rows))
    for reason, expected in zip(
        found.reasons,
        [
            "a site is not fully occupied, and CHGNet needs whole atoms: order the structure",
            "He (atom 3) has no neighbour within 6 A",
            "",
            "Na (atom 1) and Cl (atom 2) are 0.2 A apart",
            "CHGNet does not know Am, nor any element beyond plutonium: leave the block out",
            "is no crystal",
            "no atoms",
        ],
        strict=True,
    ):
        assert expected in reason
        assert bool(expected) == bool(reason)
    assert np.isnan(found.values).all(axis=1).tolist() == [bool(r) for r in found.reasons]
    np.testing.assert_array_equal(found.values[2], values_of(CRYSTALS["copper"])[0])


def test_plutonium_is_known():
    assert np.isfinite(values_of(Structures.of(4 * np.eye(3), [94], [[0, 0, 0]]))).all()


def test_a_cell_with_too_many_bonds_is_refused(monkeypatch):
    monkeypatch.setattr(chgnet_block, "_MOST_EDGES", 200)
    found = chgnet_features(Structures.join([CRYSTALS["graphite"], CRYSTALS["copper"]]))
    assert "bonds and angles, more than 200: take a smaller cell" in found.reasons[0]
    assert "the cell has 210 bonds and angles" in found.reasons[1]


def test_each_row_is_computed_once(cache, computed):
    first = values_of(GOOD)
    assert sum(computed) == len(GOOD)
    np.testing.assert_array_equal(values_of(GOOD.take([2, 0, 2])), first[[2, 0, 2]])
    assert sum(computed) == len(GOOD)
    twice = random_structure(np.random.default_rng(3))
    values_of(Structures.join([GOOD, twice, twice]))
    assert computed[-1] == 1
    values_of(GOOD.take([0]), random=True)  # its own file
    assert computed[-1] == 1
    assert len(list(cache.glob("*.sqlite"))) == 2


def test_a_damaged_cache_is_made_again(cache, computed):
    first = values_of(GOOD)
    (file,) = cache.glob("*.sqlite")
    file.write_bytes(b"x" * 10_000)
    np.testing.assert_array_equal(values_of(GOOD), first)
    assert sum(computed) == 2 * len(GOOD)
    np.testing.assert_array_equal(values_of(GOOD), first)
    assert sum(computed) == 2 * len(GOOD)


def test_an_interrupt_keeps_what_was_done(monkeypatch, computed):
    monkeypatch.setattr(chgnet_block, "_KEPT_ATOMS", 4)
    mean_features = chgnet_network.Network.mean_features
    calls = []

    def interrupted(self, structures, pairs):
        calls.append(len(structures))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return mean_features(self, structures, pairs)

    monkeypatch.setattr(chgnet_network.Network, "mean_features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        chgnet_features(GOOD)
    done = sum(calls[:2])
    assert 0 < done < len(GOOD)
    computed.clear()
    values_of(GOOD)
    assert sum(computed) == len(GOOD) - done


def test_the_file_is_another_one_if_the_features_may_be_others(monkeypatch):
    names = {name_network(random=False), name_network(random=True)}
    monkeypatch.setattr(chgnet_network, "version", lambda name: f"{name} 9.9")
    names |= {name_network(random=False), name_network(random=True)}
    assert len(names) == 4


def test_other_weights_are_refused(monkeypatch):
    monkeypatch.setattr(chgnet_network, "_WEIGHTS", "0" * 64)
    load_network.cache_clear()
    with pytest.raises(ConfigError, match=r"are not those that the block chgnet was made for"):
        load_network(random=False)
    load_network.cache_clear()


def test_a_missing_chgnet_is_named(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(chgnet_network, "version", missing)
    with pytest.raises(ConfigError, match=r'needs CHGNet: pip install "xtalshift\[chgnet\]"'):
        chgnet_features(GOOD)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "chgnet.model.model", None)
    load_network.cache_clear()
    with pytest.raises(ConfigError, match=r'needs CHGNet: pip install "xtalshift\[chgnet\]"'):
        load_network(random=False)
    load_network.cache_clear()


def test_the_block_stands_beside_others():
    crystals = Structures.join([CRYSTALS["rock salt"], CRYSTALS["xenon in a box"]])
    found = composition_features(
        crystals.compositions(), "fractions+chgnet+chgnet-random", structures=crystals
    )
    assert found.names[-128] == "chgnet c3 0"
    assert found.names[-64:] == tuple(f"chgnet-random c3 {k}" for k in range(64))
    np.testing.assert_array_equal(found.values[0, -128:-64], values_of(crystals.take([0]))[0])
    assert "no neighbour" in found.reasons[1]


def test_naming_the_block_loads_neither_torch_nor_chgnet():
    code = (
        "import sys; from xtalshift.featurize.composition import CompositionFeatures\n"
        "found = CompositionFeatures('magpie+chgnet').featurize(['NaCl'])\n"
        "assert 'only a formula' in found.reasons[0]\n"
        "assert not {'torch', 'chgnet', 'pymatgen'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_documents_say_what_it_was_trained_on():
    page = Path(__file__).parents[3] / "docs" / "structures.md"
    assert TRAINED_ON in " ".join(page.read_text(encoding="utf-8").split())
