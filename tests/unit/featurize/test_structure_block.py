"""Features of crystal structures: values by hand, invariance, noise, and odd structures."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structure_toys import CRYSTALS, DESCRIPTIONS, FCC, HALF, random_structure
from xtalshift.featurize.structure_block import STRUCTURE_FEATURES, structure_features
from xtalshift.structure import Structures
from xtalshift.structure.bonds import find_bonds


def features(structure, **options):
    found = structure_features(structure, **options)
    assert found.reasons.tolist() == [""] * len(structure)
    return dict(
        zip((name.removeprefix("structure ") for name in found.names), found.values.T, strict=True)
    )


def values_of(name):
    return {key: float(value[0]) for key, value in features(CRYSTALS[name]).items()}


def test_every_name_is_one_column():
    assert len(set(STRUCTURE_FEATURES)) == len(STRUCTURE_FEATURES)
    assert all(name.startswith("structure ") for name in STRUCTURE_FEATURES)
    assert structure_features(Structures.none(0)).values.shape == (0, len(STRUCTURE_FEATURES))


def test_cells_by_hand():
    salt = values_of("rock salt")
    # four formula units of 58.44 g/mol in the cube
    assert salt["density"] == pytest.approx(4 * 58.44 / (0.602214076 * 5.64**3), rel=1e-4)
    assert salt["volume per atom"] == pytest.approx(5.64**3 / 8)
    spheres = 4 / 3 * np.pi * (1.66**3 + 1.02**3)
    assert salt["packing fraction"] == pytest.approx(4 * spheres / 5.64**3)
    elements = (29.2433333333 + 24.4975) / 2
    assert salt["volume over that of the elements"] == pytest.approx(5.64**3 / 8 / elements)
    assert salt["valence electron density"] == pytest.approx(4 * (1 + 7) / 5.64**3)
    assert values_of("diamond")["density"] == pytest.approx(3.515, abs=2e-3)
    assert values_of("copper")["density"] == pytest.approx(8.93, abs=1e-2)
    assert values_of("iron")["density"] == pytest.approx(7.88, abs=1e-2)
    assert values_of("graphite")["density"] == pytest.approx(2.26, abs=1e-2)


@pytest.mark.parametrize(
    ("name", "length", "coordination"),
    [
        ("copper", 3.615 / 2**0.5, 12),
        ("rock salt", 2.82, 6),
        ("diamond", 3.567 * 3**0.5 / 4, 4),
        ("graphite", 2.464 / 3**0.5, 3),
    ],
)
def test_bonds_by_hand(name, length, coordination):
    found = values_of(name)
    assert found["shortest distance"] == pytest.approx(length, rel=1e-6)
    assert found["mean bond length"] == pytest.approx(length, rel=1e-3)
    assert found["mean coordination"] == pytest.approx(coordination, rel=1e-2)
    assert found["mean off-centre"] == pytest.approx(0, abs=1e-6)


def test_directions_are_those_of_steinhardt():
    for name, q4, q6 in (("copper", 0.1909, 0.5745), ("rock salt", 0.7638, 0.3536)):
        found = values_of(name)
        assert found["mean Q4"] == pytest.approx(q4, abs=2e-3)
        assert found["mean Q6"] == pytest.approx(q6, abs=2e-3)
        assert found["largest share of directions"] == pytest.approx(1 / 3, abs=1e-6)
    layer = values_of("graphite")
    assert layer["mean Q2"] == pytest.approx(0.5, abs=1e-4)
    assert layer["largest share of directions"] == pytest.approx(0.5, abs=1e-4)
    assert layer["least share of directions"] == pytest.approx(0, abs=1e-4)


def test_the_end_of_a_molecule_is_off_centre():
    molecule = values_of("hydrogen in a box")
    for name in ("off-centre", "Q2", "Q4", "Q6"):
        assert molecule[f"mean {name}"] == pytest.approx(1, abs=1e-5)
    assert molecule["largest share of directions"] == pytest.approx(1, abs=1e-5)
    alone = values_of("xenon in a box")
    assert alone["mean bond length"] == alone["shortest distance"] == 7
    assert alone["mean coordination"] == alone["mean off-centre"] == alone["mean Q4"] == 0


def test_unequal_bonds_have_a_spread():
    # six bonds, the shells beyond weigh nothing
    shells = np.repeat([3.0, 3.3], [4, 2])
    weights = np.exp(1 - (shells / 3.0) ** 6)
    weights = np.exp(1 - (shells / (weights @ shells / weights.sum())) ** 6)
    mean = weights @ shells / weights.sum()
    spread = (weights @ (shells / mean - 1) ** 2 / weights.sum()) ** 0.5
    found = features(Structures.of(np.diag([3.0, 3.0, 3.3]), [84], [[0, 0, 0]]))
    assert found["mean bond length"] == pytest.approx([mean], rel=1e-3)
    assert found["mean bond length spread"] == pytest.approx([spread], rel=0.1)
    assert found["mean relative bond length"] == pytest.approx([mean / 2.8], rel=1e-3)


def test_statistics_are_over_the_atoms():
    bonds = find_bonds(CRYSTALS["perovskite"])
    coordination = np.bincount(bonds.neighbours.atoms, bonds.weights)
    found = values_of("perovskite")
    assert found["mean coordination"] == pytest.approx(coordination.mean())
    assert found["deviation of coordination"] == pytest.approx(coordination.std())
    assert found["maximum coordination"] == pytest.approx(coordination.max())


def test_chemistry_of_bonds():
    salt = values_of("rock salt")
    assert salt["mean electronegativity difference"] == pytest.approx(3.16 - 0.93, rel=5e-3)
    assert salt["mean like bonds"] == pytest.approx(0, abs=5e-3)
    assert salt["mean metal-nonmetal bonds"] == pytest.approx(1, abs=5e-3)
    assert values_of("copper")["mean metal-metal bonds"] == pytest.approx(1, abs=1e-5)
    assert values_of("copper")["mean like bonds"] == pytest.approx(1, abs=1e-5)
    # bond orders of Pauling: 10^((2 R - d) / 0.6)
    diamond = values_of("diamond")
    single = 10 ** ((1.52 - 3.567 * 3**0.5 / 4) / 0.6)
    assert diamond["mean bond order sum"] == pytest.approx(4 * single, rel=0.1)


def test_shells_by_hand():
    # two atoms 2.8 angstrom apart have one neighbour each
    pair = Structures.of(20 * np.eye(3), [11, 17], [[0, 0, 0], [0.14, 0, 0]])
    found = features(pair)
    for shell in (2, 3, 4):
        expected = np.exp(-0.5 * ((shell - 2.8) / 0.5) ** 2)
        assert found[f"neighbours at {shell} A"] == pytest.approx([expected])
    for shell in (1, 1.1):
        expected = np.exp(-0.5 * ((shell - 2.8 / (1.66 + 1.02)) / 0.07) ** 2)
        assert found[f"neighbours at {shell} radii"] == pytest.approx([expected])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), atoms=st.integers(1, 8))
@pytest.mark.parametrize("describe", DESCRIPTIONS)
def test_the_description_changes_nothing(describe, seed, atoms):
    rng = np.random.default_rng(seed)
    structure = random_structure(rng, atoms)
    other = describe(structure, rng)
    both = structure_features(Structures.join([structure, other])).values
    np.testing.assert_allclose(both[1], both[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("describe", DESCRIPTIONS)
@pytest.mark.parametrize("name", CRYSTALS)
def test_the_description_of_known_crystals_changes_nothing(describe, name):
    other = describe(CRYSTALS[name], np.random.default_rng(1))
    both = structure_features(Structures.join([CRYSTALS[name], other])).values
    np.testing.assert_allclose(both[1], both[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CRYSTALS)
def test_small_noise_changes_little(name):
    rng = np.random.default_rng(0)
    crystal = CRYSTALS[name]
    noise = rng.uniform(-1e-4, 1e-4, crystal.positions.shape)
    if name == "alloy":
        noise[1] = noise[0]
    positions = crystal.positions + noise @ np.linalg.inv(crystal.lattices[0])
    noisy = replace(crystal, positions=positions % 1.0)
    both = structure_features(Structures.join([crystal, noisy])).values
    np.testing.assert_allclose(both[1], both[0], rtol=2e-3, atol=2e-3)


def test_odd_structures_have_values():
    angle = np.radians(5.0)
    needle = [[9.0, 0, 0], [9 * np.cos(angle), 9 * np.sin(angle), 0], [0, 0, 9.0]]
    layer = [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 40.0]]
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(10)] * 3), axis=-1).reshape(-1, 3) / 10
    batch = Structures.join(
        [
            Structures.of(3.0 * np.eye(3), [84], [[0, 0, 0]]),
            Structures.of(needle, [29], [[0, 0, 0]]),
            Structures.of(layer, [42, 16], [[0, 0, 0.5], [0.5, 0.5, 0.53]]),
            Structures.of(30 * np.eye(3), rng.choice([11, 17], 1000), grid),
            Structures.of(3.0 * FCC, [2], [[0, 0, 0]]),
            Structures.of(6.0 * FCC, [118], [[0, 0, 0]]),
        ]
    )
    found = structure_features(batch)
    assert found.reasons.tolist() == [""] * 6
    assert np.isfinite(found.values).all()


def test_a_chunk_is_its_structures():
    rng = np.random.default_rng(3)
    batch = Structures.join([random_structure(rng, 1 + k % 7) for k in range(40)] * 20)
    together = structure_features(batch).values
    alone = structure_features(batch.take(slice(40))).values
    np.testing.assert_array_equal(together, np.tile(alone, (20, 1)))
    one = [structure_features(batch.take([row])).values[0] for row in range(40)]
    np.testing.assert_array_equal(alone, one)


def test_what_is_no_crystal_has_a_reason():
    batch = Structures.join(
        [
            Structures.none(1),
            Structures.of(0.4 * np.eye(3), [11], [[0, 0, 0]]),
            Structures.of(np.zeros((3, 3)), [11], [[0, 0, 0]]),
            Structures.of(5 * np.eye(3), [8, 8], [[0, 0, 0], [0.02, 0, 0]]),
            CRYSTALS["copper"],
            Structures.of(5 * np.eye(3), [8], [[np.nan, 0, 0]]),
            Structures.of(1000 * np.eye(3), [8], [[0, 0, 0]]),
            Structures.of(np.full((3, 3), np.inf), [8], [[0, 0, 0]]),
        ]
    )
    found = structure_features(batch)
    assert found.reasons.tolist() == [
        "no atoms",
        "a cell of 0.064 A^3 for 1 atoms is no crystal; are the lattice vectors in angstrom?",
        "a cell of 0 A^3 for 1 atoms is no crystal; are the lattice vectors in angstrom?",
        "O (atom 1) and O (atom 2) are 0.1 A apart; remove one, or give both occupancies below 1",
        "",
        "a position is not a finite number",
        "a cell of 1e+09 A^3 for 1 atoms is no crystal; are the lattice vectors in angstrom?",
        "a cell of nan A^3 for 1 atoms is no crystal; are the lattice vectors in angstrom?",
    ]
    np.testing.assert_array_equal(
        np.isnan(found.values).all(axis=1), [row != 4 for row in range(8)]
    )
    np.testing.assert_array_equal(found.values[4], structure_features(CRYSTALS["copper"]).values[0])


def test_unknown_properties_are_means_or_missing():
    helium = Structures.of(4.2 * FCC, [2], [[0, 0, 0]])
    imputed, missing = features(helium), features(helium, impute_nan=False)
    lacking = [name for name, value in missing.items() if np.isnan(value[0])]
    assert lacking == [name for name in missing if "electronegativity" in name]
    assert imputed["mean electronegativity difference"] == [0]
    assert missing["density"] == imputed["density"]


def test_a_mixed_site_counts_with_its_occupancies():
    mixed = Structures.of(4.0 * np.eye(3), [26, 28, 8], [[0, 0, 0], [0, 0, 0], HALF], [0.3, 0.7, 1])
    found = features(mixed)
    mass = 0.3 * 55.845 + 0.7 * 58.6934 + 15.9994
    assert found["density"] == pytest.approx([mass / 0.602214076 / 64], rel=1e-4)
    assert found["volume per atom"] == pytest.approx([32])
    iron, nickel = (
        features(Structures.of(4.0 * np.eye(3), [z, 8], [[0, 0, 0], HALF])) for z in (26, 28)
    )
    name = "mean electronegativity difference"
    assert nickel[name][0] < found[name][0] < iron[name][0]
    assert found["mean coordination"] == pytest.approx(iron["mean coordination"], rel=1e-6)
