"""Materials: formulas parsed once, with structures, ids and further numeric columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.chem.compositions import AS_WRITTEN, Compositions, parse_formulas
from xtalshift.chem.families import family_codes
from xtalshift.chem.formulas import Notation
from xtalshift.errors import DataError
from xtalshift.structure import Structures
from xtalshift.structure.space_groups import find_space_groups

if TYPE_CHECKING:
    from xtalshift.data.dataset import Dataset

_NONE: Mapping[int, str] = {}


@dataclass(frozen=True, eq=False, repr=False)
class Materials:
    """n materials; `parse` makes them from formulas, `take` selects rows.

    Attributes
    ----------
    formulas : ndarray of str, shape (n,)
        Text exactly as read (``"NaN"`` is sodium nitride); of columns of elements the formula of
        their atomic fractions, rounded for people.
    compositions : Compositions
        n rows; those of unreadable formulas are empty.
    reasons, notes : ndarray of str, shape (n,)
        Why a formula cannot be read (``""`` for readable ones), and a remark on how it was read, if
        there is one.
    ids : ndarray of str, shape (n,)
        One text per row.
    extra : ndarray of float64, shape (n, k)
        Further features, such as a temperature; NaN where a value is missing.
    extra_names : tuple of str, length k
        Their names.
    notation : Notation
        How formulas were read that can be read in two ways, such as ``CuSO4*5H2O``.
    structures : Structures or None
        n crystal structures, if they were read; the compositions are theirs then.
    """

    formulas: NDArray[np.object_]
    compositions: Compositions
    reasons: NDArray[np.object_]
    notes: NDArray[np.object_]
    ids: NDArray[np.object_]
    extra: NDArray[np.float64]
    extra_names: tuple[str, ...] = ()
    notation: Notation = AS_WRITTEN
    structures: Structures | None = None

    @classmethod
    def parse(
        cls,
        formulas: Sequence[Any] | NDArray[Any],
        *,
        shown: Sequence[Any] | NDArray[Any] | None = None,
        notation: Notation = AS_WRITTEN,
        faults: Mapping[int, str] = _NONE,
        notes: Mapping[int, str] = _NONE,
        ids: Sequence[Any] | NDArray[Any] | None = None,
        extra: ArrayLike | None = None,
        extra_names: Sequence[str] | None = None,
        structures: Structures | None = None,
    ) -> Self:
        """Read formulas; an unreadable one gets a reason and raises no error.

        Parameters
        ----------
        formulas : sequence, length n
            Formulas as text; other cells of a table are allowed and unreadable.
        shown : sequence of str, length n, optional
            What people see instead of `formulas`.
        notation : Notation
            How formulas are read that can be read in two ways.
        faults : mapping of int to str
            Row (from 0) -> why it cannot be used, whatever its formula.
        notes : mapping of int to str
            Row -> remark on how it was read.
        ids : sequence, length n, optional
            By default the row numbers from 1.
        extra : array_like of float, shape (n, k), optional
            Further features.
        extra_names : sequence of str, length k, optional
            By default ``x0, x1, ...``.
        structures : Structures, optional
            n crystal structures.

        Raises
        ------
        DataError
            If `ids`, `extra` or `structures` have another number of rows.
        """
        texts = list(formulas)
        for row in faults:
            texts[row] = ""
        compositions, reasons, remarks = parse_formulas(texts, notation)
        for row, reason in faults.items():
            reasons[row] = reason
        for row, note in notes.items():
            remarks[row] = "; ".join(filter(None, (note, remarks[row])))
        n = len(reasons)
        columns = as_columns(extra, n)
        names = as_text(np.arange(1, n + 1) if ids is None else ids)
        if len(names) != n:
            raise DataError(f"there are {len(names)} ids for {n} formulas; give one id per formula")
        if structures is not None and len(structures) != n:
            raise DataError(f"there are {len(structures)} structures for {n} formulas")
        labels = [f"x{k}" for k in range(columns.shape[1])] if extra_names is None else extra_names
        return cls(
            as_text(formulas if shown is None else shown),
            compositions,
            reasons,
            remarks,
            names,
            columns,
            tuple(map(str, labels)),
            notation,
            structures,
        )

    def __len__(self) -> int:
        return len(self.formulas)

    def __repr__(self) -> str:
        """Return the number of rows, the first formulas and how many cannot be read."""
        shown = ", ".join(str(one) for one in self.formulas[:3])
        more = ", ..." if len(self) > 3 else ""  # noqa: PLR2004
        bad = int((self.reasons != "").sum())
        unread = f"; {bad:,} cannot be read" if bad else ""
        return f"<Materials: {len(self):,} ({shown}{more}){unread}>"

    @cached_property
    def groups(self) -> NDArray[np.object_]:
        """Reduced formula of each row, shape (n,); ``""`` where the formula is unreadable."""
        return self.compositions.reduced_formulas()

    @cached_property
    def families(self) -> NDArray[np.int64]:
        """Chemical family of each row, shape (n,), see `xtalshift.chem.families.family_codes`."""
        return family_codes(self.compositions)

    @cached_property
    def space_groups(self) -> NDArray[np.int64]:
        """Number of the space group of each structure, shape (n,); 0 where none is found."""
        if self.structures is None:
            return np.zeros(len(self), dtype=np.int64)
        return find_space_groups(self.structures).numbers

    @cached_property
    def keys(self) -> NDArray[np.object_]:
        """A text per row, shape (n,), equal if formula, structure and `extra` are equal.

        It is ``""`` where the formula is unreadable.
        """
        keys = self.groups.copy()
        found = keys != ""
        if self.structures is not None:
            keys[found] += "|" + self.structures.keys[found]
        if self.extra_names:
            for row in np.flatnonzero(found):
                keys[row] = f"{keys[row]}|{self.extra[row].tolist()}"
        return keys

    def take(self, rows: Any) -> Self:
        """Return the rows that an index or mask selects, in that order."""
        taken = type(self)(
            self.formulas[rows],
            self.compositions.take(rows),
            self.reasons[rows],
            self.notes[rows],
            self.ids[rows],
            self.extra[rows],
            self.extra_names,
            self.notation,
            None if self.structures is None else self.structures.take(rows),
        )
        for name in ("groups", "families", "space_groups"):  # not computed again for a part
            if name in self.__dict__:
                taken.__dict__[name] = self.__dict__[name][rows]
        return taken


def as_columns(extra: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """Return further features as an array of shape (n, k), k = 0 for none.

    Raises
    ------
    DataError
        If the shape is different.
    """
    columns = np.empty((n, 0)) if extra is None else np.asarray(extra, dtype=np.float64)
    if columns.ndim != 2 or len(columns) != n:  # noqa: PLR2004 - a matrix
        raise DataError(
            f"extra has shape {columns.shape}, expected ({n}, k): one row per formula, one column "
            "per feature"
        )
    return columns


def as_text(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.object_]:
    """Return a new object array of str."""
    array = np.empty(len(values), dtype=object)
    array[:] = [value if type(value) is str else str(value) for value in values]
    return array


def as_materials(
    given: Dataset | Materials | Sequence[Any], notation: Notation, extra: ArrayLike | None = None
) -> Materials:
    """Return what a user gives as materials: a table that was read, materials, or formulas.

    Parameters
    ----------
    given : Dataset, Materials or sequence of str, length n
        The materials of a data set, and materials, are returned as they are.
    notation : Notation
        How formulas are read.
    extra : array_like of float, shape (n, k), optional
        Extra feature columns of formulas.

    Raises
    ------
    DataError
        If it is none of these, such as the path of a file.
    """
    materials: Any = getattr(given, "materials", given)  # without loading pandas for `Dataset`
    if isinstance(materials, Materials):
        return materials
    if isinstance(given, str | PathLike) or not hasattr(given, "__len__"):
        raise DataError(
            f"{str(given)[:60]!r} is no list of formulas; for one formula write [formula], for a "
            "file or a folder of structures read_table(path, need_target=False)"
        )
    return Materials.parse(materials, notation=notation, extra=extra)
