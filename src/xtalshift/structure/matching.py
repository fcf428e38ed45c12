"""Which structures are one crystal written twice, and which are of one structure type.

Structures are laid on each other by the `StructureMatcher` of pymatgen (Ong et al., Comput. Mater.
Sci. 68, 314, 2013) with its usual tolerances: 0.2 for lengths, 5 degrees for angles, and 0.3 times
the cube root of the volume per atom for the root mean square displacement of the atoms.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import gcd
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.composition_labels import anonymous_formula
from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import ConfigError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.prototypes import prototype_labels
from xtalshift.structure.sites import Sites, find_sites
from xtalshift.structure.space_groups import find_space_groups
from xtalshift.structure.structures import Structures

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

IntArray = NDArray[np.int64]

SIMILAR_VOLUME = 1.1
"""Largest ratio of the volumes per atom of two descriptions of one crystal."""


def match_crystals(structures: Structures, *, progress: Progress = NO_PROGRESS) -> IntArray:
    """Find the rows that describe one crystal, also if its cell or its atoms differ a little.

    Such rows have the same elements in the same amounts and on the same kinds of sites, volumes per
    atom within 10 %, and atoms that lie on each other within the tolerances of the matcher: other
    cells and settings, larger cells, and slightly distorted copies.

    Each row is compared with the first rows of the groups of its formula, in the order of their
    volumes: the time does not grow with the square of the rows, and the groups do not depend on
    their order.

    Parameters
    ----------
    structures : Structures
        n rows.
    progress : Progress
        Advances by one per distinct structure.

    Returns
    -------
    ndarray of int64, shape (n,)
        Number of the group of each row, by first appearance; -1 for rows without atoms.

    Raises
    ------
    ConfigError
        If pymatgen is not installed.
    """
    return _match(structures, _Crystals(), progress)


def match_types(structures: Structures, *, progress: Progress = NO_PROGRESS) -> IntArray:
    """Find the rows of one structure type: one crystal if the elements are exchanged.

    As `match_crystals`, among the crystals of one prototype (see `prototype_labels`), scaled to one
    volume and with the elements of one in place of those of the other. What shares a site (an
    alloy) counts as an element. A prototype has the same label whatever its free coordinates are;
    here the atoms must lie on each other too. Crystals without a space group are compared by their
    anonymous formulas.

    Parameters, returns and raises as `match_crystals`.
    """
    groups = find_space_groups(structures, progress=progress)
    return _match(structures, _Types(prototype_labels(groups)), progress)


class _Crystals:
    """What makes two rows one crystal."""

    ratio = SIMILAR_VOLUME

    def __init__(self) -> None:
        self._matcher = _make_matcher()

    def block(self, row: int, sites: Sites) -> object:  # noqa: ARG002 - types have a label by row
        """Return what is equal in rows that may match."""
        counts = Counter(sites.kinds.tolist())
        unit = gcd(*counts.values())
        return tuple(
            sorted((sites.contents[kind], count // unit) for kind, count in counts.items())
        )

    def species(self, sites: Sites) -> list[Any]:
        """Return what pymatgen is told about each site."""
        named = {
            kind: {SYMBOLS[z]: share for z, share in content}
            for kind, content in sites.contents.items()
        }
        return [named[kind] for kind in sites.kinds.tolist()]

    def alike(self, one: Structure, other: Structure) -> bool:
        """Compare two reduced structures."""
        return bool(self._matcher.fit(one, other, skip_structure_reduction=True))


class _Types(_Crystals):
    """What makes two rows one structure type."""

    ratio = np.inf

    def __init__(self, prototypes: NDArray[np.object_]) -> None:
        super().__init__()
        self._prototypes = prototypes

    def block(self, row: int, sites: Sites) -> object:
        counts = Counter(sites.kinds.tolist()).values()
        unit = gcd(*counts)
        return self._prototypes[row], anonymous_formula(count // unit for count in counts)

    def species(self, sites: Sites) -> list[Any]:
        names = {kind: SYMBOLS[place] for place, kind in enumerate(sorted(sites.contents), 1)}
        return [names[kind] for kind in sites.kinds.tolist()]

    def alike(self, one: Structure, other: Structure) -> bool:
        return bool(self._matcher.fit_anonymous(one, other, skip_structure_reduction=True))


def _make_matcher() -> Any:
    try:
        from pymatgen.analysis.structure_matcher import StructureMatcher
    except ImportError as error:
        raise ConfigError(
            'matching crystals needs pymatgen: pip install "xtalshift[structures]"'
        ) from error
    return StructureMatcher(primitive_cell=False)  # they are reduced once, not for each pair


def _match(structures: Structures, rule: _Crystals, progress: Progress) -> IntArray:
    """Group the rows that a rule calls alike."""
    keys, first, inverse = np.unique(
        structures.keys.astype(str), return_index=True, return_inverse=True
    )
    atoms = np.bincount(structures.rows, structures.occupancies, minlength=len(structures))
    with np.errstate(invalid="ignore"):
        volumes = (structures.volumes / atoms)[first]
    blocks: dict[object, list[_Member]] = defaultdict(list)
    for place in np.flatnonzero(keys != "").tolist():
        row = int(first[place])
        sites = find_sites(structures.take([row]))
        blocks[rule.block(row, sites)].append(_Member(float(volumes[place]), place, sites))
    leaders = np.full(len(keys), -1, dtype=np.int64)
    with progress.task("matching", int(np.sum(keys != ""))) as task:
        for members in blocks.values():
            members.sort(key=lambda one: (one.volume, keys[one.place]))
            lattices = structures.lattices[first[[one.place for one in members]]]
            for place, leader in _group(members, lattices, rule):
                leaders[place] = leader
                task.advance()
    return _number(leaders[inverse])


class _Member(NamedTuple):
    """One of the structures that may match."""

    volume: float
    """Per atom, in cubic angstrom."""
    place: int
    """Its number."""
    sites: Sites


def _group(
    members: list[_Member], lattices: NDArray[np.float64], rule: _Crystals
) -> Iterator[tuple[int, int]]:
    """Yield the number of each structure, and that of the first one that it matches."""
    if len(members) == 1:  # nothing to compare with
        yield members[0].place, members[0].place
        return
    from pymatgen.core.structure import Structure

    leaders: list[tuple[_Member, Structure]] = []
    for member, lattice in zip(members, lattices, strict=True):
        species = rule.species(member.sites)
        reduced = Structure(lattice, species, member.sites.positions)
        reduced = reduced.get_primitive_structure().get_reduced_structure()
        for leader, known in leaders:
            near = member.volume <= rule.ratio * leader.volume
            if near and len(known) == len(reduced) and rule.alike(known, reduced):
                yield member.place, leader.place
                break
        else:
            leaders.append((member, reduced))
            yield member.place, member.place


def _number(codes: IntArray) -> IntArray:
    """Return codes as numbers from 0 in the order of first appearance, shape (n,); -1 stays."""
    names, first = np.unique(codes, return_index=True)
    first, names = first[names >= 0], names[names >= 0]
    names = names[np.argsort(first)]
    places = np.full(int(codes.max(initial=-1)) + 2, -1, dtype=np.int64)  # the last is for -1
    places[names] = np.arange(len(names))
    return places[codes]
