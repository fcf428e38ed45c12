"""Features from pretrained potentials: invariance, controls, settings, reasons and the cache."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("chgnet")

import torch

from structure_toys import CRYSTALS, DESCRIPTIONS, random_structure
from xtalshift.errors import ConfigError
from xtalshift.featurize import potential_block
from xtalshift.featurize.chgnet_block import CHGNET
from xtalshift.featurize.composition import composition_features
from xtalshift.featurize.potential_block import Potential
from xtalshift.featurize.sevennet_block import SEVENNET
from xtalshift.structure import Structures

LONE = {"xenon in a box", "alloy"}
GOOD = Structures.join([CRYSTALS[name] for name in CRYSTALS if name not in LONE])
NAMES = ["chgnet", "sevennet"]
EVERYTHING = "mean-std-max-by-element"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give every test a cache of its own, and return its folder."""
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path))
    return tmp_path / "features"


@pytest.fixture(params=NAMES)
def potential(request):
    if request.param == "sevennet":
        pytest.importorskip("sevenn")
    return {"chgnet": CHGNET, "sevennet": SEVENNET}[request.param]


@pytest.fixture
def module(potential):
    """Return the module of the network."""
    return import_module(f"xtalshift.featurize.{potential.block}_network")


@pytest.fixture
def computed(monkeypatch):
    """Return a list of the numbers of structures that a network gets."""
    counts = []
    compute = Potential._compute

    def counted(self, structures, depth, network):
        counts.append(len(structures))
        return compute(self, structures, depth, network)

    monkeypatch.setattr(Potential, "_compute", counted)
    return counts


def values_of(potential, structures, text="", **options):
    found = potential.features(structures, text, **options)
    assert found.reasons.tolist() == [""] * len(structures)
    return found.values


@pytest.mark.parametrize("describe", DESCRIPTIONS)
def test_the_description_changes_nothing(describe, potential):
    rng = np.random.default_rng(1)
    ours = [
        *(GOOD.take([k]) for k in range(len(GOOD))),
        random_structure(rng),
        random_structure(rng),
    ]
    theirs = [describe(one, rng) for one in ours]
    text = f"c1-c{potential.depth}-{EVERYTHING}"
    np.testing.assert_allclose(
        values_of(potential, Structures.join(theirs), text),
        values_of(potential, Structures.join(ours), text),
        rtol=1e-5,
        atol=1e-5,
    )


def test_a_mirror_image_has_the_same_usual_features(potential):
    chiral = [CRYSTALS["selenium"], random_structure(np.random.default_rng(5))]
    images = [Structures.of(one.lattices[0] * [1, 1, -1], one.z, one.positions) for one in chiral]
    np.testing.assert_array_equal(
        values_of(potential, Structures.join(images)), values_of(potential, Structures.join(chiral))
    )


def test_a_row_has_the_same_bits_in_every_batch(cache, potential):
    rng = np.random.default_rng(2)
    crystals = Structures.join([random_structure(rng, 1 + k) for k in range(12)])
    text = f"c1-c3-{EVERYTHING}"
    together = values_of(potential, crystals, text)
    for rows in ([11], [3, 0, 3], range(11, -1, -1)):
        for file in cache.iterdir():
            file.unlink()
        alone = values_of(potential, crystals.take(list(rows)), text)
        np.testing.assert_array_equal(alone, together[list(rows)])


def test_the_control_has_other_weights_that_stay_the_same(monkeypatch, potential):
    state = torch.random.get_rng_state()
    control = values_of(potential, GOOD, random=True)
    assert torch.equal(torch.random.get_rng_state(), state)
    own = values_of(potential, GOOD)
    assert np.abs(np.corrcoef(control.ravel(), own.ravel())[0, 1]) < 0.5
    assert control.std(axis=0).min() > 0.001
    potential.load_network.cache_clear()
    torch.rand(3)
    monkeypatch.setenv("XTALSHIFT_CACHE", "elsewhere that is not made")
    monkeypatch.setattr(potential_block.RowCache, "add", lambda *_: None)
    np.testing.assert_array_equal(values_of(potential, GOOD, random=True), control)


def test_settings_choose_convolutions_and_poolings(potential):
    usual = values_of(potential, GOOD)
    width, layer = potential.width, potential.layer
    assert usual.shape == (len(GOOD), width)
    everything = potential.features(GOOD, f"c1-c3-{EVERYTHING}")
    assert len(everything.names) == 3 * 7 * width == len(set(everything.names))
    found = dict(zip(everything.names, everything.values.T, strict=True))
    name = potential.block

    def part(which):
        return np.stack([found[f"{name} c{layer}{which} {k}"] for k in range(width)], axis=1)

    np.testing.assert_array_equal(part(""), usual)
    groups = (" s metals", " d and f metals", " nonmetals", " p metals")
    np.testing.assert_allclose(sum(part(group) for group in groups), usual, atol=1e-5)
    copper, salt = 0, 2
    assert (part(" std")[copper] == 0).all()
    np.testing.assert_array_equal(part(" max")[copper], usual[copper])
    np.testing.assert_array_equal(part(" d and f metals")[copper], usual[copper])
    assert (part(" p metals")[salt] == 0).all()
    # two atoms: mean + deviation = maximum
    np.testing.assert_allclose(part(" max")[salt], (usual + part(" std"))[salt], atol=1e-5)
    two = potential.features(GOOD, "c2-std")
    assert two.names == tuple(f"{name} c2 std {k}" for k in range(width))
    np.testing.assert_array_equal(
        two.values, np.stack([found[f"{name} c2 std {k}"] for k in range(width)], axis=1)
    )


def test_reasons_name_the_remedy(potential):
    title, cutoff = potential.title, f"{potential.cutoff:g}"
    far = Structures.of(20 * np.eye(3), [11, 17, 2], [[0, 0, 0], [0.1, 0, 0], [0.5, 0.5, 0.5]])
    close = Structures.of(5 * np.eye(3), [11, 17], [[0, 0, 0], [0.04, 0, 0]])
    heavy = Structures.of(4 * np.eye(3), [8, 95, 96], [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]])
    small = Structures.of(0.1 * np.eye(3), [3], [[0, 0, 0]])
    rows = [CRYSTALS["alloy"], far, CRYSTALS["copper"], close, heavy, small, Structures.none(1)]
    found = potential.features(Structures.join(rows))
    for reason, expected in zip(
        found.reasons,
        [
            f"a site is not fully occupied, and {title} needs whole atoms: order the structure",
            f"He (atom 3) has no neighbour within {cutoff} A",
            "",
            "Na (atom 1) and Cl (atom 2) are 0.2 A apart",
            f"{title} does not know Am: leave the block out",
            "is no crystal",
            "no atoms",
        ],
        strict=True,
    ):
        assert expected in reason
        assert bool(expected) == bool(reason)
    assert np.isnan(found.values).all(axis=1).tolist() == [bool(r) for r in found.reasons]
    np.testing.assert_array_equal(found.values[2], values_of(potential, CRYSTALS["copper"])[0])


def test_the_heaviest_known_elements(potential):
    for z in (83, 89, 94):
        assert np.isfinite(values_of(potential, Structures.of(4 * np.eye(3), [z], [[0] * 3]))).all()
    radium = potential.features(Structures.of(4 * np.eye(3), [88], [[0] * 3]))
    assert ("SevenNet-0 does not know Ra" in radium.reasons[0]) == (potential is SEVENNET)


def test_a_cell_with_too_many_bonds_is_refused(monkeypatch, potential):
    monkeypatch.setattr(potential_block, "_MOST_EDGES", 50)
    found = potential.features(Structures.join([CRYSTALS["graphite"], CRYSTALS["copper"]]))
    assert f"{potential.edges}, more than 50: take a smaller cell" in found.reasons[0]
    edges = {"chgnet": "210 bonds and angles", "sevennet": "42 pairs of neighbours"}
    if potential is CHGNET:
        assert f"the cell has {edges['chgnet']}" in found.reasons[1]
    else:
        assert not found.reasons[1]


def test_each_row_is_computed_once_for_all_settings(cache, computed, potential):
    first = values_of(potential, GOOD, "c3")
    assert sum(computed) == len(GOOD)
    np.testing.assert_array_equal(
        values_of(potential, GOOD.take([2, 0, 2]), "c3"), first[[2, 0, 2]]
    )
    for text in ("c1", "c1-c3-std", "c2-by-element"):
        values_of(potential, GOOD, text)
    assert sum(computed) == len(GOOD)
    twice = random_structure(np.random.default_rng(3))
    values_of(potential, Structures.join([GOOD, twice, twice]), "c3")
    assert computed[-1] == 1
    assert len(list(cache.glob("*.sqlite"))) == 3
    values_of(potential, GOOD.take([0]), "c1", random=True)  # its own file
    assert computed[-1] == 1
    assert len(list(cache.glob("*.sqlite"))) == 4
    values_of(potential, GOOD.take([1]), "c4")  # a deeper convolution is computed
    assert computed[-1] == 1
    assert len(list(cache.glob("*.sqlite"))) == 5


def test_a_damaged_cache_is_made_again(cache, computed, potential):
    first = values_of(potential, GOOD, "c1")
    (file,) = cache.glob("*.sqlite")
    file.write_bytes(b"x" * 10_000)
    for _ in range(2):
        np.testing.assert_array_equal(values_of(potential, GOOD, "c1"), first)
        assert sum(computed) == 2 * len(GOOD)


def test_an_interrupt_keeps_what_was_done(monkeypatch, computed, potential, module):
    monkeypatch.setattr(potential_block, "_KEPT_ATOMS", 4)
    atom_features = module.Network.atom_features
    calls = []

    def interrupted(self, structures, pairs, depth):
        calls.append(len(structures))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return atom_features(self, structures, pairs, depth)

    monkeypatch.setattr(module.Network, "atom_features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        potential.features(GOOD)
    done = sum(calls[:2])
    assert 0 < done < len(GOOD)
    computed.clear()
    values_of(potential, GOOD)
    assert sum(computed) == len(GOOD) - done


def test_the_file_is_another_one_if_the_features_may_be_others(monkeypatch, module):
    names = {module.name_network(False), module.name_network(True)}
    monkeypatch.setattr(module, "version", lambda name: f"{name} 9.9")
    names |= {module.name_network(False), module.name_network(True)}
    assert len(names) == 4


def test_other_weights_are_refused(monkeypatch, potential, module):
    monkeypatch.setattr(module, "WEIGHTS", "0" * 64)
    module.load_network.cache_clear()
    made = f"are not those that the block {potential.block} was made for"
    with pytest.raises(ConfigError, match=made):
        module.load_network(False)
    module.load_network.cache_clear()


def test_a_missing_package_is_named(monkeypatch, potential, module):
    from importlib.metadata import PackageNotFoundError

    def missing(name):
        raise PackageNotFoundError(name)

    remedy = rf'needs \w+: pip install "xtalshift\[{potential.block}\]"'
    monkeypatch.setattr(module, "version", missing)
    with pytest.raises(ConfigError, match=remedy):
        potential.features(GOOD)
    monkeypatch.undo()
    package = {"chgnet": "chgnet.model.model", "sevennet": "sevenn.checkpoint"}[potential.block]
    monkeypatch.setitem(sys.modules, package, None)
    module.load_network.cache_clear()
    with pytest.raises(ConfigError, match=remedy):
        module.load_network(False)
    module.load_network.cache_clear()


def test_the_block_stands_beside_others(potential):
    crystals = Structures.join([CRYSTALS["rock salt"], CRYSTALS["xenon in a box"]])
    name, width = potential.block, potential.width
    found = composition_features(
        crystals.compositions(), f"fractions+{name}:c1-std+{name}-random", structures=crystals
    )
    assert found.names[-2 * width] == f"{name} c1 std 0"
    layer = potential.layer
    assert found.names[-width:] == tuple(f"{name}-random c{layer} {k}" for k in range(width))
    np.testing.assert_array_equal(
        found.values[0, -2 * width : -width], values_of(potential, crystals.take([0]), "c1-std")[0]
    )
    assert "no neighbour" in found.reasons[1]


@pytest.mark.parametrize("name", NAMES)
def test_naming_the_block_loads_neither_torch_nor_the_package(name):
    code = (
        "import sys; from xtalshift.featurize.composition import CompositionFeatures\n"
        f"found = CompositionFeatures('magpie+{name}:c1-std').featurize(['NaCl'])\n"
        "assert 'only a formula' in found.reasons[0]\n"
        "assert not {'torch', 'chgnet', 'sevenn', 'e3nn', 'pymatgen'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("potential", [CHGNET, SEVENNET], ids=NAMES)
def test_the_documents_say_what_it_was_trained_on(potential):
    page = Path(__file__).parents[3] / "docs" / "structures.md"
    assert potential.trained_on in " ".join(page.read_text(encoding="utf-8").split())
    assert potential.open_block("c1").note == potential.trained_on
    assert potential.open_block("c1", random=True).note == ""
