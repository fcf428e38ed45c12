"""CIF files: gemmi reads them, and pymatgen what gemmi does not take for CIF."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xtalshift.chem.elements import SYMBOLS
from xtalshift.structure.checks import check_atoms, check_number
from xtalshift.structure.listed_atoms import (
    FloatArray,
    Found,
    ListedAtoms,
    RefusedError,
    attempt,
)
from xtalshift.structure.pymatgen_structures import from_pymatgen
from xtalshift.structure.species import species_of_label
from xtalshift.structure.stated_formula import compare_formula
from xtalshift.structure.symmetry_operations import fill_cell, parse_operations
from xtalshift.structure.unit_cells import lattice_of

if TYPE_CHECKING:
    from gemmi import GroupOps, SpaceGroup, cif

_BLOCK = re.compile(r"^(?=data_)", re.MULTILINE | re.IGNORECASE)
_CIF = re.compile(r"^[ \t]*(data_|_cell_|_atom_site)", re.MULTILINE | re.IGNORECASE)
_FORMULA = re.compile(
    r"^[ \t]*_chemical_formula_sum\s+(?:'([^'\n]*)'|\"([^\"\n]*)\"|(\S+))", re.MULTILINE
)
_REPEATED = re.compile(r"duplicate tag _(cell|atom_site|symmetry|space_group)", re.IGNORECASE)
_PLACE = re.compile(r"^string:(\d+)(:\d+\(\d+\))?")
_PLACES = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")
_OPERATIONS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop.operation_xyz",
)
_HALL = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_NAME = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M")
_NUMBER = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_MOST_GROUPS = 230
_MAGNETIC = ("_space_group_symop_magn_operation.xyz", "_space_group_symop_magn.id")
_MODULATED = ("_cell_modulation_dimension", "_space_group_ssg_name")


def is_cif(text: str) -> bool:
    """Return whether a text has a line that only a CIF has."""
    return _CIF.search(text) is not None


def read_cif(text: str) -> Found:
    """Return the structures of the data blocks of a CIF.

    Blocks that neither have a cell nor list atoms, such as those for authors, are left out if
    others have.
    """
    from gemmi import cif

    try:
        document = cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        parts = [part for part in _BLOCK.split(text) if part.lower().startswith("data_")]
        if len(parts) > 1:  # one broken block need not cost the others
            return [one for part in parts for one in read_cif(part)]
        return [attempt(_read_with_pymatgen, text, str(error))]
    blocks = [one for one in document if one.find_value("_cell_length_a") or _has_atoms(one)]
    if not blocks:
        raise RefusedError(
            "the CIF has no data block with _cell_length_a and _atom_site_fract_x; check that it "
            "is the file of a crystal, and complete"
        )
    return [attempt(_read_block, block) for block in blocks]


def _has_atoms(block: cif.Block) -> bool:
    return len(block.find_values(_PLACES[0])) > 0


def _read_block(block: cif.Block) -> ListedAtoms:
    if any(block.find_value(tag) for tag in _MODULATED):
        raise RefusedError("it is a modulated structure; give an average or a superstructure")
    if any(len(block.find_values(tag)) for tag in _MAGNETIC):
        return _read_with_pymatgen(block.as_string(), "magnetic symmetry")
    notes: list[str] = []
    lattice = _read_cell(block, notes)
    species, positions, occupancies = _read_sites(block, notes)
    both = [
        _fill(
            ListedAtoms(
                lattice, species, positions, occupancies, (*notes, note),
                _text(block, ("_chemical_formula_sum",)),
                _number(_text(block, ("_cell_formula_units_Z",))),
            ),
            *parse_operations(operations),
        )
        for operations, note in _read_symmetry(block)
    ]  # fmt: skip
    if len(both) == 1:
        return both[0]
    return next((one for one in both if _agrees(one)), both[0])


def _fill(listed: ListedAtoms, rotations: FloatArray, shifts: FloatArray) -> ListedAtoms:
    if len(rotations) == 1 or not len(listed.species):
        return listed
    positions, copied = fill_cell(listed.lattice, listed.positions, rotations, shifts)
    species = [listed.species[i] for i in copied.tolist()]
    occupancies = listed.occupancies[copied]
    return replace(listed, species=species, positions=positions, occupancies=occupancies)


def _agrees(listed: ListedAtoms) -> bool:
    """Return whether atoms are a crystal of the formula that the file states."""
    try:
        structure, _ = check_atoms(replace(listed, formula=""))
        amounts = np.bincount(structure.z, structure.occupancies, len(SYMBOLS))
        return not compare_formula(listed.formula, listed.units, np.asarray(amounts))
    except RefusedError:
        return False


def _read_cell(block: cif.Block, notes: list[str]) -> FloatArray:
    lengths = [_number(_text(block, (f"_cell_length_{axis}",))) for axis in "abc"]
    if not np.isfinite(lengths).all() or min(lengths) <= 0.0:
        raise RefusedError(
            "the lengths of the cell must be numbers above 0; add or correct _cell_length_a ..."
        )
    texts = [_text(block, (f"_cell_angle_{name}",)) for name in ("alpha", "beta", "gamma")]
    angles = [_number(text) for text in texts]
    if not any(texts):
        notes.append("no angles: 90 degrees, as the CIF dictionary says")
        angles = [90.0] * 3
    lattice = lattice_of(*lengths, *angles)
    if not np.isfinite(lattice).all():
        shown = ", ".join(f"{angle:g}" for angle in angles)
        raise RefusedError(f"no cell has the angles {shown}; correct _cell_angle_alpha and others")
    return lattice


def _read_sites(block: cif.Block, notes: list[str]) -> tuple[list[str], FloatArray, FloatArray]:
    columns = [list(block.find_values(tag)) for tag in _PLACES]
    if not columns[0]:
        raise RefusedError(
            "the CIF lists no atoms with fractional coordinates; add _atom_site_fract_x, _y, _z"
        )
    m = len(columns[0])
    if any(len(column) != m for column in columns):
        raise RefusedError("_atom_site_fract_x, _y and _z differ in length; put them in one loop")
    check_number(m)
    positions = np.array([[_number(cell) for cell in column] for column in columns]).T
    species = _read_species(block, m)
    occupancies = np.ones(m)
    cells = list(block.find_values("_atom_site_occupancy"))
    if len(cells) == m:
        occupancies = np.array([1.0 if cell == "." else _number(cell) for cell in cells])
        unknown = np.array([cell == "?" for cell in cells])
        if unknown.any():
            notes.append(f"unknown occupancies read as 1: {np.count_nonzero(unknown):,}")
            occupancies[unknown] = 1.0
    return species, positions, occupancies


def _read_species(block: cif.Block, m: int) -> list[str]:
    from gemmi.cif import as_string

    symbols = [as_string(cell) for cell in block.find_values("_atom_site_type_symbol")]
    if len(symbols) == m and all(symbols):
        return symbols
    labels = [as_string(cell) for cell in block.find_values("_atom_site_label")]
    if len(labels) != m:
        raise RefusedError("the atoms have neither symbols nor labels; add _atom_site_type_symbol")
    if len(symbols) != m:
        symbols = [""] * m
    return [
        symbol or species_of_label(label) for symbol, label in zip(symbols, labels, strict=True)
    ]


def _read_symmetry(block: cif.Block) -> list[tuple[tuple[str, ...], str]]:
    """Return the operations and a note on them; both origins where a file does not tell which."""
    import gemmi

    hall, name = _text(block, _HALL), _text(block, _NAME)
    number = _number(_text(block, _NUMBER))
    for tag in _OPERATIONS:
        listed = tuple(gemmi.cif.as_string(cell) for cell in block.find_values(tag))
        if listed:
            group = name or (f"{number:g}" if np.isfinite(number) else "P 1")
            note = f"only the operation {listed[0]} is listed for group {group}"
            alone = len(listed) == 1 and group.replace(" ", "").upper() not in {"P1", "1"}
            return [(listed, f"{note}: atoms read as the whole cell" if alone else "")]
    note = "no symmetry operations: those of {} taken"
    if hall:
        try:
            operations = gemmi.symops_from_hall(hall)
        except RuntimeError:
            raise RefusedError(
                f"unknown Hall symbol {hall[:30]!r}; list the symmetry operations"
            ) from None
        return [(_triplets(operations), note.format(f"the Hall symbol {hall}"))]
    if not name and not np.isfinite(number):
        whole = "no symmetry operations and no space group: atoms read as the whole cell"
        return [(("x,y,z",), whole)]
    groups = _find_groups(block, name, number)
    if not groups:
        raise RefusedError(
            f"unknown space group {name[:30] or f'{number:g}'!r} and no symmetry operations; list "
            "them (_space_group_symop_operation_xyz)"
        )
    return [(_triplets(one.operations()), note.format(one.xhm())) for one in groups]


def _find_groups(block: cif.Block, name: str, number: float) -> list[SpaceGroup]:
    """Return the space group that is named; with both origins, that with the inversion first."""
    import gemmi

    angles = [_number(_text(block, (f"_cell_angle_{one}",))) for one in ("alpha", "gamma")]
    alpha, gamma = np.nan_to_num(angles, nan=90.0).tolist()
    names = [name]
    if 1 <= number <= _MOST_GROUPS:
        names.append(gemmi.find_spacegroup_by_number(int(number)).hm)
    for one in names:
        found = [gemmi.find_spacegroup_by_name(one, alpha, gamma, origin) for origin in "21"]
        if found[0] is not None:
            return found[: 1 if found[0].xhm() == found[1].xhm() else 2]
    return []


def _triplets(operations: GroupOps) -> tuple[str, ...]:
    return tuple(operation.triplet() for operation in operations)


def _read_with_pymatgen(text: str, cause: str) -> ListedAtoms:
    """Return the atoms of one block that gemmi does not read."""
    from pymatgen.io.cif import CifParser

    why = _PLACE.sub(r"line \1", cause.splitlines()[0])
    if _REPEATED.search(why):
        raise RefusedError(f"the CIF gives two values ({why}); remove one")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            parser = CifParser.from_str(text, occupancy_tolerance=1.01)
            structures = parser.parse_structures(primitive=False, on_error="raise")
    except Exception as error:  # pymatgen raises whatever a broken file causes
        raise RefusedError(
            f"no readable CIF ({why}); check that it is complete, and write it again with the "
            "program it comes from"
        ) from error
    said = " ".join(str(one.message) for one in caught)
    if "Skipping" in said or not structures:
        raise RefusedError(f"no readable CIF ({why}); write it again with the program of its atoms")
    stated = _FORMULA.search(text)
    listed = from_pymatgen(structures[0], (f"no valid CIF ({why}), read by pymatgen",))
    return replace(listed, formula=next(filter(None, stated.groups()), "") if stated else "")


def _text(block: cif.Block, tags: tuple[str, ...]) -> str:
    """Return the first value that one of the tags has, ``""`` without."""
    from gemmi.cif import as_string

    for tag in tags:
        value = block.find_value(tag)
        if value and (text := as_string(value).strip()):
            return text
    return ""


def _number(text: str) -> float:
    from gemmi.cif import as_number

    return float(as_number(text)) if text else np.nan
