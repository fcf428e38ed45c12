"""A crystal as a small picture: scalable vector graphics without scripts or other files."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.writing import readable_formula
from xtalshift.errors import ConfigError, DataError
from xtalshift.structure.conventional_cells import conventional_cell
from xtalshift.structure.drawn_atoms import CORNERS, EDGES, DrawnAtoms, place_atoms
from xtalshift.structure.structures import Structures
from xtalshift.structure.views import choose_view

FloatArray = NDArray[np.float64]

WIDTH, HEIGHT = 240, 200
"""Of a drawing without its legend, in pixels."""
MOST_ATOMS = 1000
"""Largest number of atoms in a drawn cell; of larger ones only the edges are drawn."""
INK = "#757575"
"""Edges and texts: as clear on white as on black."""

_MOST_STANDARD = 200  # atoms; a larger conventional cell is drawn only if the given one is as large
_LEAST, _SLOPE = 0.22, 0.26  # angstrom; radius of a ball by the covalent radius
_STICK = 0.22  # width of a bond in angstrom
_MOST_COLOURED = 120  # bonds; more are grey, to save half of the text
_PIECE = 2.0  # angstrom; edges are cut into pieces that are in front of atoms or behind
_MARGIN = 5.0
_LINE = 18.0  # height of a line of the legend
_COMPASS, _ARROW = (29.0, 224.0), 16.0  # where the directions of the axes are shown; their length
_NEUTRAL = "#ffffff"
_LOWERED = re.compile("_([0-9])")
_SUBSCRIPTS = str.maketrans("123456", "₁₂₃₄₅₆")
_OUTLINE = "#5a6068"


class _Piece(NamedTuple):
    """A part of a drawing, which hides what is deeper."""

    depth: float
    svg: str


@dataclass(frozen=True)
class _Frame:
    """From angstrom, to the right and upward, to pixels."""

    scale: float
    left: float
    top: float

    @classmethod
    def fit(cls, turned: FloatArray, radii: FloatArray) -> Self:
        """Return the frame in which points with radii fill the drawing."""
        low = (turned[:, :2] - radii[:, None]).min(axis=0)
        high = (turned[:, :2] + radii[:, None]).max(axis=0)
        room = np.array([WIDTH, HEIGHT]) - 2 * _MARGIN
        scale = float(np.min(room / (high - low)))
        middle = scale * (low + high) / 2
        return cls(scale, WIDTH / 2 - float(middle[0]), HEIGHT / 2 + float(middle[1]))

    def place(self, point: FloatArray) -> tuple[float, float]:
        """Return a point in pixels."""
        return self.left + self.scale * float(point[0]), self.top - self.scale * float(point[1])


def draw_crystal(structures: Structures, row: int = 0, *, name: str = "crystal") -> str:
    """Draw one crystal as SVG.

    The conventional cell is drawn in a parallel projection: its edges, atoms as balls, and bonds
    between atoms that are near neighbours of each other. Atoms on the boundary are repeated, and
    molecules are whole. Partly occupied sites are divided like a pie; what is empty is white.
    Colours are those of Jmol, and radii grow with the covalent radii of Cordero et al., Dalton
    Trans. 2832 (2008).

    Parameters
    ----------
    structures : Structures
        A batch.
    row : int
        The row to draw.
    name : str
        Begins the ids inside the drawing, which must be unique among the drawings of a page.

    Returns
    -------
    str
        The element ``<svg>``; a file with it is a picture. Formula, space group and cell stand in
        its ``<title>`` and ``<desc>``.

    Raises
    ------
    DataError
        If the row has no atoms.
    ConfigError
        If the libraries of the extra ``structures`` are not installed.
    """
    given = structures.take([row])
    if not len(given.z):
        raise DataError(f"row {row} has no atoms to draw; it was refused when it was read")
    try:
        cell = conventional_cell(given)
        colours = _colours()
    except ImportError as error:
        raise ConfigError(
            'drawings of crystals need spglib and ASE: pip install "xtalshift[structures]"'
        ) from error
    if len(cell.structure.z) > max(len(given.z), _MOST_STANDARD):
        cell = cell._replace(structure=given)
    n, lattice = len(cell.structure.z), cell.structure.lattices[0]
    crowded = n > MOST_ATOMS
    drawn = DrawnAtoms.none(lattice) if crowded else place_atoms(cell.structure)
    formula = _formula(given)
    about = f"{_describe_cell(lattice)}; {n:,} atom{'s' if n != 1 else ''} in the cell"
    if crowded:
        about += f", too many to draw (at most {MOST_ATOMS:,})"
    if drawn.repeats != (1, 1, 1):
        about += f", {' by '.join(map(str, drawn.repeats))} cells drawn"
    symbol = _LOWERED.sub(lambda found: found[1].translate(_SUBSCRIPTS), cell.symbol)
    title = f"{formula}, {symbol} (no. {cell.number})" if cell.number else formula
    return _Painter(drawn, colours, name).paint(title, about, f"{n:,} atoms" * crowded)


def _formula(structure: Structures) -> str:
    """Return the reduced formula, or the content of the cell if it is disordered."""
    contents = structure.compositions()
    if structure.ordered[0]:
        return str(contents.reduced_formulas()[0])
    amounts = zip(contents.z.tolist(), contents.amounts.tolist(), strict=True)
    return readable_formula({SYMBOLS[z]: amount for z, amount in amounts})


def _describe_cell(lattice: FloatArray) -> str:
    """Return lengths and angles of a cell."""
    lengths = np.linalg.norm(lattice, axis=1)
    a, b, c = lattice / lengths[:, None]
    angles = np.degrees(np.arccos(np.clip([b @ c, a @ c, a @ b], -1.0, 1.0)))
    sides = ", ".join(f"{name} = {size:.3f} Å" for name, size in zip("abc", lengths, strict=True))
    corners = ", ".join(f"{name} = {size:.1f}°" for name, size in zip("αβγ", angles, strict=True))
    return f"{sides}, {corners}"


def _colours() -> list[str]:
    """Return the colours of Jmol by atomic number."""
    from ase.data.colors import jmol_colors

    known = np.rint(255 * jmol_colors).astype(int).tolist()
    known += [known[-1]] * (len(SYMBOLS) - len(known))
    return ["#{:02x}{:02x}{:02x}".format(*one) for one in known]


class _Painter:
    """Writes one drawing.

    Parameters
    ----------
    drawn : DrawnAtoms
        What to draw.
    colours : list of str
        By atomic number.
    name : str
        Begins all ids.
    """

    def __init__(self, drawn: DrawnAtoms, colours: list[str], name: str) -> None:
        self._drawn = drawn
        self._colours = colours
        self._name = name
        self._balls = {kind: _LEAST + _SLOPE * radius for kind, radius in drawn.radii.items()}
        self._radii = np.array([self._balls[kind] for kind in drawn.kinds.tolist()])
        view = choose_view(drawn.lattice, drawn.points, self._radii)
        self._centres, self._corners = drawn.points @ view.T, CORNERS @ drawn.lattice @ view.T
        self._frame = _Frame.fit(
            np.concatenate([self._centres, self._corners]),
            np.concatenate([self._radii, np.zeros(len(CORNERS))]),
        )

    def paint(self, title: str, about: str, note: str) -> str:
        """Return the whole drawing; the note stands in its middle."""
        name = self._name
        pieces = sorted([*self._edges(), *self._sticks(), *self._images()], key=lambda one: one[0])
        legend, height = self._legend()
        axes, lowest = self._axes()
        height = max(height, lowest)
        stick = _round(min(7.0, max(1.6, _STICK * self._frame.scale)))
        middle = _write(WIDTH / 2, HEIGHT / 2, note, middle=True) if note else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
            f'width="{WIDTH}" height="{height:g}" role="img" '
            f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(title)}</title>'
            f'<desc id="{name}-d">{escape(about)}</desc><defs>{self._define()}</defs>'
            f'<g fill="none" stroke="{INK}" stroke-width="{stick}" stroke-linecap="round">'
            f"{''.join(piece.svg for piece in pieces)}</g>{axes}{middle}{legend}</svg>"
        )

    def _define(self) -> str:
        """Return the shade of all balls, and the ball of each kind of site."""
        shade = f"{self._name}-s"
        gradient = (
            f'<radialGradient id="{shade}" cx=".36" cy=".3" r=".72">'
            '<stop offset="0" stop-color="#fff" stop-opacity=".75"/>'
            '<stop offset=".4" stop-color="#fff" stop-opacity=".08"/>'
            '<stop offset="1" stop-opacity=".38"/></radialGradient>'
        )
        balls = [gradient]
        for kind, radius in self._balls.items():
            r = _round(self._frame.scale * radius)
            balls.append(
                f'<g id="{self._name}-{kind}" stroke="none">{self._pie(kind, float(r))}'
                f'<circle r="{r}" fill="url(#{shade})" stroke="{_OUTLINE}" stroke-width=".8"/></g>'
            )
        return "".join(balls)

    def _pie(self, kind: int, r: float) -> str:
        """Return a disc that is divided by what a site holds."""
        shares = list(self._drawn.atoms[kind])
        if len(shares) == 1 and shares[0][1] > 0.995:  # noqa: PLR2004 - as good as full
            return f'<circle r="{_round(r)}" fill="{self._colours[shares[0][0]]}"/>'
        parts = [f'<circle r="{_round(r)}" fill="{_NEUTRAL}"/>']
        begin = 0.0
        for z, share in shares:
            end = begin + min(share, 0.9999 - begin)
            (x, y), (u, v) = (_on_circle(r, turn) for turn in (begin, end))
            parts.append(
                f'<path d="M0 0L{x} {y}A{_round(r)} {_round(r)} 0 {int(end - begin > 0.5)} 1 '  # noqa: PLR2004
                f'{u} {v}Z" fill="{self._colours[z]}"/>'
            )
            begin = end
        return "".join(parts)

    def _images(self) -> list[_Piece]:
        pieces = []
        for point, kind in zip(self._centres, self._drawn.kinds.tolist(), strict=True):
            x, y = map(_round, self._frame.place(point))
            svg = f'<use href="#{self._name}-{kind}" x="{x}" y="{y}"/>'
            pieces.append(_Piece(float(point[2]), svg))
        return pieces

    def _sticks(self) -> list[_Piece]:
        """Return each bond, in two halves with the colours of their atoms if they are not many."""
        pieces = []
        coloured = len(self._drawn.bonds) <= _MOST_COLOURED
        for one, other in self._drawn.bonds.tolist():
            way = self._centres[other] - self._centres[one]
            way /= np.linalg.norm(way)
            ends = [  # where it leaves the balls
                self._centres[here] + sign * 0.9 * self._radii[here] * way
                for here, sign in ((one, 1), (other, -1))
            ]
            if not coloured:
                depth = float(ends[0][2] + ends[1][2]) / 2
                pieces.append(_Piece(depth, f'<path d="{self._line(*ends)}"/>'))
                continue
            middle = (self._centres[one] + self._centres[other]) / 2
            for here, end in zip((one, other), ends, strict=True):
                z = self._drawn.atoms[int(self._drawn.kinds[here])][0][0]
                svg = f'<path stroke="{_darker(self._colours[z])}" d="{self._line(end, middle)}"/>'
                pieces.append(_Piece(float(end[2] + middle[2]) / 2, svg))
        return pieces

    def _edges(self) -> list[_Piece]:
        """Return the edges of the cell in pieces."""
        pieces = []
        for one, other in EDGES:
            a, b = self._corners[one], self._corners[other]
            count = min(8, max(1, round(float(np.linalg.norm(b - a)) / _PIECE)))
            cuts = [a + (b - a) * step / count for step in range(count + 1)]
            for start, end in pairwise(cuts):
                depth = float(start[2] + end[2]) / 2
                pieces.append(
                    _Piece(depth, f'<path stroke-width="1" d="{self._line(start, end)}"/>')
                )
        return pieces

    def _line(self, start: FloatArray, end: FloatArray) -> str:
        (x, y), (u, v) = self._frame.place(start), self._frame.place(end)
        return f"M{_round(x)} {_round(y)}L{_round(u)} {_round(v)}"

    def _axes(self) -> tuple[str, float]:
        """Return the directions of the lattice vectors, beside the legend, and where they end."""
        x, y = _COMPASS
        ways = self._corners[[4, 2, 1]] - self._corners[0]
        ways = ways / np.linalg.norm(ways, axis=1, keepdims=True)
        parts, lowest = [], y
        for name, (right, up, _) in zip("abc", ways.tolist(), strict=True):
            end = f"{_round(_ARROW * right)} {_round(-_ARROW * up)}"
            flat = max(math.hypot(right, up), 0.3)
            far = _ARROW + 7.0 / flat
            parts.append(f'<path stroke="{INK}" d="M{x:g} {y:g}l{end}"/>')
            below = y - far * up + 4
            parts.append(_write(x + far * right, below, name, size=10, middle=True))
            lowest = max(lowest, below + 3)
        return "".join(parts), math.ceil(lowest)

    def _legend(self) -> tuple[str, float]:
        """Return the elements with their colours, and the height of the whole drawing."""
        numbers = sorted({z for some in self._drawn.atoms.values() for z, _ in some})
        columns = min(max(len(numbers), 1), 5)
        left = 2 * _COMPASS[0] + 10.0
        step = min(46.0, (WIDTH - left) / columns)
        lines, parts = math.ceil(len(numbers) / columns), []
        for place, z in enumerate(numbers):
            line, column = divmod(place, columns)
            x, y = left + step * column, _COMPASS[1] - 3 + _LINE * line
            parts.append(
                f'<circle cx="{_round(x)}" cy="{_round(y)}" r="5.5" fill="{self._colours[z]}" '
                f'stroke="{_OUTLINE}" stroke-width=".8"/>{_write(x + 9, y + 4, SYMBOLS[z])}'
            )
        return "".join(parts), _COMPASS[1] + max(14.0, _LINE * (lines - 1) + 8)


def _write(x: float, y: float, text: str, *, size: int = 12, middle: bool = False) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    return (
        f'<text x="{_round(x)}" y="{_round(y)}" fill="{INK}" font-size="{size}"'
        f'{anchor} font-family="sans-serif">{escape(text)}</text>'
    )


def _on_circle(r: float, turn: float) -> tuple[str, str]:
    """Return a point on a circle, clockwise from the top."""
    angle = 2 * math.pi * turn
    return _round(r * math.sin(angle)), _round(-r * math.cos(angle))


def _round(value: float) -> str:
    """Return a number to a tenth, without what is not needed."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _darker(colour: str) -> str:
    """Return a colour in which a bond of white atoms is seen on white."""
    return "#" + "".join(f"{round(0.8 * int(colour[i : i + 2], 16)):02x}" for i in (1, 3, 5))
