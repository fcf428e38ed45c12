"""Where the compositions of a table are: one column, or one for each element."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.capitals import in_capitals
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import ATOMIC_NUMBERS, MAGPIE_PROPERTIES, load_elements
from xtalshift.chem.formulas import Notation
from xtalshift.chem.mixtures import Amounts
from xtalshift.chem.writing import EXACT_DIGITS, SHOWN_DIGITS, write_formula
from xtalshift.data.arrow_texts import text_cells
from xtalshift.data.files import (
    FORMULA_NAMES,
    ID_NAMES,
    find_formula_column,
    list_names,
    naming_file,
    naming_table,
    no_column,
)
from xtalshift.data.materials import Materials
from xtalshift.data.settings import DataConfig, ReadingOptions
from xtalshift.data.sources import Source, open_source
from xtalshift.data.structure_texts import NO_FILE, read_cells
from xtalshift.errors import ConfigError, DataError
from xtalshift.registry import near_miss
from xtalshift.structure import Structures
from xtalshift.structure.symmetry import find_structure_column

if TYPE_CHECKING:
    from xtalshift.data.number_texts import NumberStyle

Options = TypeVar("Options", bound=ReadingOptions)

_ELEMENT = re.compile(
    r"(?:(?P<before>wt|at|mol|mass|weight|atomic)[ .]*%?[ _]*)?(?P<symbol>[A-Z][a-z]?)"
    r"(?:[ _\-,]*[(\[]?(?P<after>wt|at|mol|mass|weight|atomic)?[ .]*%?[)\]]?)?"
)
_UNITS: dict[str, Amounts] = {
    "wt": "wt", "mass": "wt", "weight": "wt", "at": "at", "atomic": "at", "mol": "at"
}  # fmt: skip
_WEIGHT = MAGPIE_PROPERTIES.index("AtomicWeight")
_HEAD_ROWS = 100
_FEW = 3  # rows that say nothing about a column
_MOST = 0.8
_WHOLE = (1.0, 100.0)
_OFF = 0.02
"""Share by which the amounts of a row may miss 1 or 100 before it is worth a remark."""
HEAD_ROWS = 1000
"""Rows in which is found how numbers and formulas are written, where a table is read in pieces."""
GIVE_STRUCTURES = (
    "name their column (--structure-col), or their folder (--structures), or leave the block out"
)
_GIVE_OTHERS = (
    "give the folder of its structure files in its place, a column 'cif', or a column 'id' that "
    "names files in the folder of --structures, which serves all tables"
)
_BLANK = frozenset({"", "-", "nan", "none", "null", "n/a"})


@dataclass(frozen=True)
class FormulaTexts:
    """Formulas of n rows as text, with what was found while they were read."""

    texts: list[str]
    """Length n. What is read."""
    shown: list[str] = field(default_factory=list)
    """Length n. What people see instead, if `texts` are made of amounts of elements; else empty."""
    faults: Mapping[int, str] = field(default_factory=dict)
    """Row (from 0) -> why it cannot be used, whatever its text."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """Row -> remark on how it was read."""
    capitals: bool = False
    """Whether the column is written in capitals, see `xtalshift.chem.capitals.in_capitals`."""
    structures: Structures | None = None
    """The n structures that the formulas are those of."""
    ids: list[str] = field(default_factory=list)
    """Length n. Ids of rows with structures; empty if the table has none."""

    @property
    def names(self) -> list[str]:
        """Length n. What people see."""
        return self.shown or self.texts

    def materials(self, notation: Notation, **parts: Any) -> Materials:
        """Return the rows as materials, with `parts` as `Materials.parse` takes them."""
        return Materials.parse(
            self.texts,
            shown=self.names,
            notation=replace(notation, capitals=self.capitals),
            faults=self.faults,
            notes=self.notes,
            structures=self.structures,
            **{"ids": self.ids or None, **parts},
        )


@dataclass(frozen=True)
class FormulaColumns:
    """The columns that hold the compositions of a table."""

    names: tuple[str, ...]
    """A column of formulas, or one column for each element."""
    elements: tuple[str, ...] = ()
    """Symbols of the elements of `names`; empty for a column of formulas."""
    amounts: Amounts | None = None
    """What the numbers of the elements are: ``at`` (also for ``mol``) or ``wt``."""
    structures: bool = False
    """Whether the cells of the only column are structures, or names of their files."""
    folder: str | None = None
    """Folder or archive of these files."""

    def describe(self) -> str:
        """Return in one line where the compositions are."""
        if self.structures:
            where = f" (files in {self.folder})" if self.folder else ""
            return f"the structures of column {self.names[0]!r}{where}"
        if not self.elements:
            return f"column {self.names[0]!r}"
        return f"columns {', '.join(self.names)} in {self.amounts}%"

    def texts(
        self, cells: Callable[[str], Sequence[object]], style: NumberStyle | None = None
    ) -> FormulaTexts:
        """Return the formulas of a table.

        Parameters
        ----------
        cells : callable
            Returns the n cells of a column.
        style : NumberStyle, optional
            How numbers are written; by default with a decimal point.
        """
        if self.structures:
            found = read_cells(cells(self.names[0]), self.folder)
            formulas = found.structures.compositions().reduced_formulas().tolist()
            return FormulaTexts(
                formulas,
                faults=_told(found.reasons),
                notes=_told(found.notes),
                structures=found.structures,
            )
        if not self.elements:
            return FormulaTexts([_as_text(cell) for cell in cells(self.names[0])])
        faults: dict[int, str] = {}
        amounts = np.column_stack(
            [_amounts(name, cells(name), style, faults) for name in self.names]
        )
        return _join_elements(self, amounts, faults)


def find_formulas(
    columns: Iterable[object], options: ReadingOptions, usual: Amounts | None = None
) -> FormulaColumns:
    """Find the columns that hold the compositions.

    Parameters
    ----------
    columns : iterable of str
        The columns of a table.
    options : ReadingOptions
        What the user says.
    usual : {"at", "wt", "mol"}, optional
        What the numbers of elements are, as in the training of a model, if neither the user nor the
        header says it.

    Raises
    ------
    DataError
        If there are none, or the meaning of the numbers of elements is not known.
    """
    names = [str(column) for column in columns]
    if options.structure_col is not None or options.structures is not None:
        return FormulaColumns(
            (_named_structures(names, options),), structures=True, folder=options.structures
        )
    if options.composition_columns != "auto":
        return _check_elements(names, options.composition_columns, options.amounts, usual)
    folded = {name.casefold() for name in names}
    if options.formula_col is None and not folded & set(FORMULA_NAMES):
        elements = _elements_of(names)
        if elements:
            return _check_elements(names, elements, options.amounts, usual)
        structures = find_structure_column(names)
        if structures is not None:
            return FormulaColumns((structures,), structures=True)
    return FormulaColumns((find_formula_column(names, options.formula_col),))


def _named_structures(names: list[str], options: ReadingOptions) -> str:
    """Return the column of structures that options name, or of the ids of their files."""
    name = options.structure_col
    if name is not None:
        if name not in names:
            raise DataError(no_column("column of structures", name, names))
        return name
    found = _names_files(names, options)
    if found is None:
        option = "--id-col" if isinstance(options, DataConfig) else "--structure-col"
        raise DataError(
            f"no column of ids ({', '.join(ID_NAMES)}) that names the files in "
            f"{options.structures}. Name it: {option}. Columns: {list_names(names)}"
        )
    return found


def _names_files(names: Sequence[str], options: ReadingOptions) -> str | None:
    """Return the column that names the files of a folder: the one of options, or of ids."""
    return options.structure_col if options.structure_col in names else find_ids(names, options)


def find_ids(names: Sequence[str], options: ReadingOptions) -> str | None:
    """Return the column of ids: the one that options name, or one of a usual name."""
    own = options.id_col if isinstance(options, DataConfig) else None
    folded = {one.casefold(): one for one in reversed(names)}
    usual = next((folded[one] for one in ID_NAMES if one in folded), None)
    return own if own in names else usual


def open_table(path: Path, options: ReadingOptions) -> Source:
    """Open a table of materials, as `xtalshift.data.sources.open_source` does.

    Raises
    ------
    DataError
        If the user did not name the column of formulas and another column than the one with a usual
        name has them in the first rows; the message names it.
    """
    source = open_source(path, options)
    check_formulas(source, path, options)
    return source


def check_formulas(source: Source, path: Path, options: ReadingOptions) -> None:
    """Raise `DataError` if another column than the one of a usual name has the formulas."""
    names = source.layout.columns
    given = (options.formula_col, options.structure_col, options.structures)
    if not any(given) and options.composition_columns == "auto":
        usual = {*FORMULA_NAMES} & {name.casefold() for name in names}
        if usual or not (_elements_of(names) or find_structure_column(names)):
            with naming_table(path):
                _check_head(source, find_formula_column(names) if usual else None)


def prefer_column(path: Path, options: Options, name: str) -> Options:
    """Return options that read formulas from the column of a name, if a file has one.

    What the options say about the formulas wins.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    if not name or options.formula_col is not None or options.composition_columns != "auto":
        return options
    likely = options.model_copy(update={"formula_col": name})
    with suppress(DataError):  # a header without this name may be found by another one
        if name in open_source(path, likely).layout.columns:
            return likely
    return options


def name_structures(path: Path, options: Options) -> Options:
    """Return options that name the column of structures of a table.

    Raises
    ------
    ConfigError
        If the table has none.
    DataError
        If the table cannot be read.
    """
    if options.structure_col is not None or options.structures is not None:
        return options
    found = find_structure_column(open_source(path, options).layout.columns)
    if found is None:
        raise ConfigError(
            f"the features need crystal structures, and {path} has none; {GIVE_STRUCTURES}"
        )
    return options.model_copy(update={"structure_col": found})


def options_for(path: Path, options: Options, *, crystals: bool) -> Options:
    """Return those options of one table that apply to another file.

    A sheet does not, and columns of formulas and structures only if the file has them. A folder of
    structure files serves this file as well, unless the file has structures or, where no `crystals`
    are needed, formulas.

    Raises
    ------
    ConfigError
        If `crystals` are needed, and there are none.
    DataError
        If the file cannot be read.
    """
    own = options.model_copy(
        update={"sheet": None, "formula_col": None, "structure_col": None, "structures": None}
    )
    own = prefer_column(path, own, options.formula_col or "")
    folder, column = options.structures, options.structure_col
    if folder is None and not crystals:
        return own
    layout = open_source(path, own).layout
    names = layout.columns
    if column not in names or layout.kind == "structures":
        column = None
    found = None if column and folder else find_structure_column(names)
    formulas = {name.casefold() for name in names} & {*FORMULA_NAMES} or _elements_of(names)
    if not crystals and (found or formulas or own.formula_col):
        return own
    if found is not None:
        return own.model_copy(update={"structure_col": found})
    likely = own.model_copy(update={"structures": folder, "structure_col": column})
    if folder is not None and _names_files(names, likely):
        return likely
    if crystals:
        raise ConfigError(
            f"the features need crystal structures, and {path} has none; {_GIVE_OTHERS}"
        )
    return own


def refuse_other_folder(materials: Materials, path: Path, options: ReadingOptions) -> None:
    """Raise `DataError` if the folder of one table has no file that another table names."""
    reasons = materials.reasons.tolist()
    if (
        options.structures is not None
        and reasons
        and all(one.startswith(NO_FILE) for one in reasons)
    ):
        raise DataError(
            f"{options.structures} has no structure file of any row of {path}; {_GIVE_OTHERS}"
        )


def _check_head(source: Source, chosen: str | None) -> None:
    for piece in source.pieces(0, iter([_HEAD_ROWS])):
        table = source.layout.parse(piece).table
        wrong = "there is no column named 'formula'"
        if chosen is not None:
            reasons = _reasons(list_cells(table.column(chosen)))
            if len(reasons) < _FEW or "" in reasons:
                return
            wrong = f"column {chosen!r} has no readable formula (row 1: {reasons[0]})"
        for name in table.column_names:
            cells = list_cells(table.column(name)) if name != chosen else []
            if len(cells) < _FEW or _reasons(cells).count("") < _MOST * len(cells):
                continue
            if chosen is None and not _reasons([name])[0]:
                raise DataError(
                    f"the first line begins with the formula {name!r}: it must name the columns, "
                    "as in formula,target; put such a line above"
                )
            raise DataError(
                f"{wrong}, but column {name!r} has formulas: --formula-col {name!r}, or "
                "rename it to 'formula'"
            )


def _reasons(cells: list[object]) -> list[str]:
    """Return why cells are no formulas; what a notation would settle is no reason."""
    texts = [_as_text(cell) for cell in cells]
    found: list[str] = parse_formulas(texts, Notation("expand", "at"))[1].tolist()
    return found


def iter_formulas(path: Path, chunk_rows: int, options: ReadingOptions) -> Iterator[FormulaTexts]:
    """Read the formulas of a file in pieces; CSV and Parquet without pandas.

    Parameters
    ----------
    path : Path
        As `xtalshift.data.frames.read_raw` takes it.
    chunk_rows : int
        Rows per piece; the last one may be shorter.
    options : ReadingOptions
        How the table is read.

    Yields
    ------
    FormulaTexts
        One text per row, as in `xtalshift.data.frames.iter_raw`; at least one piece.

    Raises
    ------
    DataError
        If the file cannot be read or has no formulas; the message names the file.
    """
    source = open_table(path, options)
    with naming_file(path):
        found = find_formulas(source.layout.columns, options)
        empty, capitals = True, False
        ids = find_ids(source.layout.columns, options) if found.structures else None
        wanted = dict.fromkeys([*found.names, *([] if ids is None else [ids])])
        for piece in source.pieces(0, _repeat(chunk_rows)):
            rows = source.layout.parse(piece, [*wanted])
            columns = {name: rows.table.column(name) for name in wanted}
            texts = found.texts(lambda name: list_cells(columns[name]), source.layout.style)  # noqa: B023
            if empty:  # as the head of the column is written
                empty, capitals = False, in_capitals(texts.texts[:HEAD_ROWS])
            faults, notes = {**texts.faults, **rows.faults}, {**texts.notes, **rows.notes}
            here = capitals or in_capitals(texts.texts)  # or only this piece is
            named = [] if ids is None else [_as_text(cell) for cell in list_cells(columns[ids])]
            yield replace(texts, faults=faults, notes=notes, capitals=here, ids=named)
        if empty:
            yield FormulaTexts([])


def list_cells(column: object) -> list[object]:
    """Return an Arrow column as a list; text fast, other cells as Python objects."""
    import pyarrow as pa

    assert isinstance(column, pa.ChunkedArray)
    if column.type == pa.string() and not column.null_count:
        cells: list[object] = list(text_cells(column))
        return cells
    listed: list[object] = column.to_pylist()
    return listed


def _repeat(size: int) -> Iterator[int]:
    while True:
        yield size


def _told(texts: NDArray[np.object_]) -> dict[int, str]:
    """Return the texts that are not empty, by their row."""
    return {row: text for row, text in enumerate(texts.tolist()) if text}


def _as_text(cell: object) -> str:
    """Return a cell as a formula; an object of amounts (a Parquet struct) as its formula."""
    if type(cell) is str:
        return cell
    if cell is None or cell != cell:  # noqa: PLR0124 - NaN
        return ""
    if isinstance(cell, dict):
        return write_formula(cell)
    return str(cell)


def _element_of(name: str) -> str:
    """Return the element that names a column, or an empty text."""
    match = _ELEMENT.fullmatch(name.strip())
    return match["symbol"] if match and match["symbol"] in ATOMIC_NUMBERS else ""


def _elements_of(names: Sequence[str]) -> list[str]:
    """Return the columns named by elements, if there are several elements."""
    found = [name for name in names if _element_of(name)]
    return found if len({_element_of(name) for name in found}) > 1 else []


def _unit_of(name: str) -> Amounts | None:
    match = _ELEMENT.fullmatch(name.strip())
    return _UNITS.get((match["before"] or match["after"] or "") if match else "")


def _check_elements(
    names: list[str], wanted: Sequence[str], amounts: Amounts | None, usual: Amounts | None
) -> FormulaColumns:
    """Return the columns of elements that were named, in full or by symbol."""
    found = []
    for name in wanted:
        symbols = [column for column in names if _element_of(column) == name]
        if name in names:
            found.append(name)
        elif len(symbols) == 1:
            found += symbols
        else:
            raise DataError(
                f"no column of an element {name!r}{near_miss(name, names)}. Columns: "
                f"{', '.join(names)}"
            )
    elements = [_element_of(name) for name in found]
    for name, element in zip(found, elements, strict=True):
        if not element:
            raise DataError(f"column {name!r} is not named by an element, such as Fe or 'Fe wt%'")
        if elements.count(element) > 1:
            raise DataError(f"two columns are of the element {element}; name one of them")
    units = {unit for name in found if (unit := _unit_of(name)) is not None}
    if amounts is None and not units:
        amounts = usual
    if amounts is None and len(units) != 1:
        shown = ", ".join(found[:4]) + (" ..." if len(found) > 4 else "")  # noqa: PLR2004
        raise DataError(
            f"the columns {shown} are amounts of elements (--composition-columns): in percent by "
            "weight or by atoms? Give --amounts wt or --amounts at; if they are something else, "
            "name the column of formulas (--formula-col)"
        )
    settled = amounts or next(iter(units))
    return FormulaColumns(tuple(found), tuple(elements), "wt" if settled == "wt" else "at")


def _amounts(
    name: str, cells: Sequence[object], style: NumberStyle | None, faults: dict[int, str]
) -> NDArray[np.float64]:
    """Return the numbers of a column; a blank cell is 0, and one that is no number a fault."""
    from xtalshift.data.number_texts import POINT, read_number_text

    values = np.zeros(len(cells))
    for row, cell in enumerate(cells):
        text = "" if cell is None else str(cell).strip()
        if text.lower() in _BLANK:
            continue
        try:
            value = float(text)
        except ValueError:
            number = read_number_text(text, style or POINT)
            value = number.value if not number.problem else np.nan
        if not 0 <= value < np.inf:
            faults.setdefault(row, f"column {name!r}: {text[:40]!r} is no amount of an element")
            value = 0.0
        values[row] = value
    return values


def _join_elements(
    columns: FormulaColumns, amounts: NDArray[np.float64], faults: dict[int, str]
) -> FormulaTexts:
    """Return amounts of elements, shape (n, k), as formulas of atomic fractions.

    The texts that are read, and so the groups of rows, are exact; those that are shown are rounded.
    """
    notes: dict[int, str] = {}
    totals = amounts.sum(axis=1)
    off = np.min([np.abs(totals / whole - 1) for whole in _WHOLE], axis=0) > _OFF
    for row in np.flatnonzero(off).tolist():
        if totals[row] == 0:
            faults.setdefault(row, f"no amount in the columns {', '.join(columns.names)}")
        else:
            notes[row] = (
                "amounts of elements add up to neither 100 nor 1: "
                f"{totals[row]:.6g} (is an element, the balance, missing?)"
            )
    if columns.amounts == "wt":
        numbers = [ATOMIC_NUMBERS[one] for one in columns.elements]
        amounts = amounts / load_elements().magpie[numbers, _WEIGHT]
    with np.errstate(invalid="ignore"):
        fractions = amounts / amounts.sum(axis=1, keepdims=True)
    rows = [
        {} if row in faults else dict(zip(columns.elements, parts, strict=True))
        for row, parts in enumerate(fractions.tolist())
    ]
    texts, shown = (
        [write_formula(row, digits) for row in rows] for digits in (EXACT_DIGITS, SHOWN_DIGITS)
    )
    return FormulaTexts(texts, shown, faults, notes)
