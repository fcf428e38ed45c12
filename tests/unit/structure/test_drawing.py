"""Drawings of textbook crystals: which atoms and bonds they show, and how."""

import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from structure_toys import CRYSTALS, DESCRIPTIONS
from xtalshift.errors import ConfigError, DataError
from xtalshift.structure import Structures, draw_crystal
from xtalshift.structure.conventional_cells import conventional_cell
from xtalshift.structure.drawing import INK, MOST_ATOMS
from xtalshift.structure.drawn_atoms import MOST_BONDED, place_atoms
from xtalshift.structure.views import choose_view

SVG = "{http://www.w3.org/2000/svg}"
HEXAGONAL = np.array([[1, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, 1]])
MOS2 = Structures.of(
    HEXAGONAL * [[3.16], [3.16], [12.29]],
    [42, 42, 16, 16, 16, 16],
    [
        [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75], [1 / 3, 2 / 3, 0.621], [2 / 3, 1 / 3, 0.379],
        [2 / 3, 1 / 3, 0.121], [1 / 3, 2 / 3, 0.879],
    ],
)  # fmt: skip
U = 0.1185
CO2 = Structures.of(  # Pa-3, two of its molecules over the faces of the cell
    5.63 * np.eye(3),
    [6] * 4 + [8] * 8,
    [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    + [
        [s * x + a, s * y + b, s * z + c]
        for (a, b, c), (x, y, z) in zip(
            [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)],
            [(U, U, U), (-U, U, -U), (-U, -U, U), (U, -U, -U)],
            strict=True,
        )
        for s in (1, -1)
    ],
)
METHYLAMINE = Structures.of(
    9 * np.eye(3),
    [6, 7, 1, 1, 1, 1, 1],
    np.array(
        [
            [4, 4, 4], [5.46, 4, 4], [3.63, 5.03, 4], [3.63, 3.49, 4.89], [3.63, 3.49, 3.11],
            [5.8, 4.48, 4.82], [5.8, 4.48, 3.18],
        ]
    ) / 9,
)  # fmt: skip
MANGANITE = Structures.of(
    3.88 * np.eye(3),
    [57, 38, 25, 8, 8, 8],
    [[0, 0, 0], [0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    [0.7, 0.3, 1, 0.9, 0.9, 0.9],
)


def parts(structure, name="crystal"):
    """Return title, description and the balls of a drawing."""
    root = ET.fromstring(draw_crystal(structure, name=name))
    balls = [one.get("href") for one in root.iter(f"{SVG}use")]
    return root.find(f"{SVG}title").text, root.find(f"{SVG}desc").text, balls


@pytest.mark.parametrize(
    ("name", "title", "atoms", "balls"),
    [
        ("rock salt", "NaCl, Fm-3m (no. 225)", 8, 27),
        ("diamond", "C, Fd-3m (no. 227)", 8, 18),
        ("copper", "Cu, Fm-3m (no. 225)", 4, 14),
        ("iron", "Fe, Im-3m (no. 229)", 2, 9),
        ("perovskite", "SrTiO3, Pm-3m (no. 221)", 5, 15),
        ("caesium chloride", "CsCl, Pm-3m (no. 221)", 2, 9),
        ("xenon in a box", "Xe, Pm-3m (no. 221)", 1, 8),
    ],
)
def test_the_conventional_cell_with_its_whole_boundary(name, title, atoms, balls):
    found = parts(CRYSTALS[name])
    assert found[0] == title
    assert found[1].endswith(f"; {atoms} atom{'s' * (atoms > 1)} in the cell")
    assert len(found[2]) == balls


def test_every_text_lies_inside():
    rng = np.random.default_rng(0)
    for _ in range(40):  # skew cells, whose axes point in all directions
        lattice = np.diag(rng.uniform(3, 9, 3)) + rng.uniform(-2, 2, (3, 3))
        root = ET.fromstring(
            draw_crystal(Structures.of(lattice, [11, 17], rng.uniform(size=(2, 3))))
        )
        height = float(root.get("height"))
        places = [(float(one.get("x")), float(one.get("y"))) for one in root.iter(f"{SVG}text")]
        assert max(y for _, y in places) + 2 < height
        assert min(x for x, _ in places) > 3


def test_the_description_has_the_cell():
    title, about, balls = parts(MOS2)
    assert title == "MoS2, P6₃/mmc (no. 194)"
    assert about == (
        "a = 3.160 Å, b = 3.160 Å, c = 12.290 Å, α = 90.0°, β = 90.0°, γ = 120.0°; 6 atoms in the "
        "cell, 3 by 3 by 1 cells drawn"
    )
    assert len(balls) == 6 * 9


@pytest.mark.parametrize("describe", DESCRIPTIONS)
@pytest.mark.parametrize("name", ["rock salt", "perovskite", "graphite"])
def test_other_descriptions_of_a_crystal_are_drawn_with_as_many_bonds_of_an_atom(name, describe):
    rng = np.random.default_rng(0)
    first, other = CRYSTALS[name], describe(CRYSTALS[name], rng)
    titles = [parts(one)[0] for one in (first, other)]
    assert titles[0] == titles[1]
    if describe.__name__ != "moved":  # another origin has other atoms on the boundary
        assert len(parts(first)[2]) == len(parts(other)[2])


@pytest.mark.parametrize(
    ("structure", "bonds"),
    [
        (CRYSTALS["perovskite"], {(22, 8): 6}),  # none of strontium
        (CRYSTALS["caesium chloride"], {(55, 17): 8}),  # cations are not bonded to each other
        (CRYSTALS["diamond"], {(6, 6): 16}),
        (CRYSTALS["copper"], {(29, 29): 36}),
        (CRYSTALS["iron"], {(26, 26): 8}),
        (CRYSTALS["hydrogen in a box"], {(1, 1): 4}),
        (CRYSTALS["xenon in a box"], {}),
        (METHYLAMINE, {(6, 7): 1, (6, 1): 3, (7, 1): 2}),  # near hydrogen hides no other bond
    ],
)
def test_near_neighbours_are_bonded(structure, bonds):
    cell = structure if structure is METHYLAMINE else conventional_cell(structure).structure
    drawn = place_atoms(cell)
    z = np.array([drawn.atoms[kind][0][0] for kind in drawn.kinds.tolist()])
    found = {}
    for one, other in drawn.bonds:
        pair = tuple(sorted((int(z[one]), int(z[other]))))
        found[pair] = found.get(pair, 0) + 1
    assert found == {tuple(sorted(pair)): count for pair, count in bonds.items()}


def test_molecules_are_whole():
    drawn = place_atoms(CO2)
    carbon = np.array([drawn.atoms[kind][0][0] == 6 for kind in drawn.kinds.tolist()])
    ends = np.bincount(drawn.bonds.ravel(), minlength=len(drawn.kinds))
    assert carbon.sum() == 14  # the corners and the middles of the faces
    assert set(ends[carbon]) == {2}
    assert set(ends[~carbon]) == {1}
    lengths = np.linalg.norm(np.diff(drawn.points[drawn.bonds], axis=1), axis=-1)
    np.testing.assert_allclose(lengths, 5.63 * U * 3**0.5)


def test_shared_sites_are_sectors():
    svg = draw_crystal(MANGANITE)
    root = ET.fromstring(svg)
    assert root.find(f"{SVG}title").text.startswith("La0.7Sr0.3MnO2.7, ")
    balls = {one.get("id"): one for one in root.iter(f"{SVG}g") if one.get("id")}
    sectors = [[path.get("d") for path in ball.iter(f"{SVG}path")] for ball in balls.values()]
    assert sorted(map(len, sectors)) == [0, 1, 2]  # Mn; O with a gap; La and Sr
    (both,) = (paths for paths in sectors if len(paths) == 2)
    first, second = (list(map(float, re.findall("-?[0-9.]+", path))) for path in both)
    r = -first[3]
    angle = 2 * np.pi * 0.7
    end = [r * np.sin(angle), -r * np.cos(angle)]
    np.testing.assert_allclose(first[-2:], end, atol=0.06)  # lanthanum has 70 %
    np.testing.assert_allclose(second[2:4], end, atol=0.06)
    (whole,) = (paths for paths in sectors if len(paths) == 1)
    assert " 0 1 1 " in whole[0]  # the sector of 90 % is the large one


def test_ids_are_unique_and_known():
    both = [draw_crystal(MANGANITE, name=name) for name in ("one", "two")]
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in both]
    assert not ids[0] & ids[1]
    for svg, known in zip(both, ids, strict=True):
        used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        assert {a or b for a, b in used} <= known
        named = re.search('aria-labelledby="([^"]+)"', svg)[1].split()
        assert set(named) <= known
        assert 'role="img"' in svg


def test_atoms_in_front_are_painted_last():
    structure = Structures.of(20 * np.eye(3), [3, 9], [[0.5, 0.5, 0.5], [0.5, 0.6, 0.5]])
    structure = conventional_cell(structure).structure
    drawn = place_atoms(structure)
    radii = np.array([0.22 + 0.26 * drawn.radii[kind] for kind in drawn.kinds.tolist()])
    view = choose_view(structure.lattices[0], drawn.points, radii)
    depth = (drawn.points @ view.T)[:, 2]
    order = [drawn.kinds[i] for i in np.argsort(depth)]
    svg = draw_crystal(structure)
    assert [int(kind) for kind in re.findall('href="#crystal-([0-9]+)"', svg)] == order


def test_a_large_cell_has_no_bonds_and_a_huge_one_no_atoms():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(8) / 8] * 3), axis=-1).reshape(-1, 3)
    places = grid + rng.uniform(0.02, 0.04, grid.shape)
    large = Structures.of(20 * np.eye(3), rng.choice([14, 8], 512), places)
    assert len(large.z) > MOST_BONDED
    svg = draw_crystal(large)
    assert svg.count("<use") == 512
    assert len(svg) < 30_000
    huge = Structures.of(
        20 * np.eye(3), np.tile(large.z, 2), np.concatenate([places, places + 0.0625])
    )
    assert len(huge.z) > MOST_ATOMS
    svg = draw_crystal(huge)
    assert "<use" not in svg
    assert ">1,024 atoms</text>" in svg
    assert "1,024 atoms in the cell, too many to draw (at most 1,000)" in svg
    assert len(svg) < 6500


def test_a_drawing_is_small():
    sizes = [len(draw_crystal(one).encode()) for one in (*CRYSTALS.values(), MOS2, CO2)]
    assert max(sizes) < 16_000
    assert min(sizes) > 1500


def test_lines_and_texts_are_clear_on_white_and_on_black():
    red, green, blue = (
        (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4)
        for x in (int(INK[i : i + 2], 16) / 255 for i in (1, 3, 5))
    )
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert 1.05 / (light + 0.05) > 4.5
    assert (light + 0.05) / 0.05 > 4.5


def test_a_row_without_atoms_is_no_crystal():
    with pytest.raises(DataError, match="row 1 has no atoms"):
        draw_crystal(Structures.join([MOS2, Structures.none(1)]), 1)


@pytest.mark.parametrize("name", ["spglib", "ase.data.colors", "pymatgen.core.lattice"])
def test_without_a_library(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"xtalshift\[structures\]"):
        draw_crystal(MOS2)


def test_the_same_crystal_is_drawn_the_same():
    assert draw_crystal(CO2) == draw_crystal(Structures.join([MOS2, CO2]), 1)
