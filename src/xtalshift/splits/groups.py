"""Splits by what a material is: a chemical family, or a declared list."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import ATOMIC_NUMBERS
from xtalshift.errors import SplitError
from xtalshift.registry import near_miss
from xtalshift.splits.base import SPLITTERS, BoolArray, Splitter

__all__ = ["FamilySplit", "RelationSplit"]


@SPLITTERS.register("family")
class FamilySplit(Splitter):
    """Hold out every material that contains an element.

    Parameters
    ----------
    contains : str, default "F"
        Symbol of the element, or several joined by ``+`` (all must be present).
    """

    def __init__(self, contains: str = "F") -> None:
        self.contains = contains

    def _held_out(
        self,
        X: NDArray[Any],  # noqa: ARG002
        y: NDArray[np.float64] | None,  # noqa: ARG002
        groups: NDArray[Any],
    ) -> BoolArray:
        compositions, reasons = parse_formulas(_as_formulas(groups, "a family"))[:2]
        bad = np.flatnonzero(reasons != "")
        if bad.size:
            raise SplitError(f"groups[{bad[0]}] is not a formula: {reasons[bad[0]]}")
        mask = np.ones(len(groups), dtype=bool)
        for symbol in re.split(r"[+\s]+", self.contains.strip()):
            if symbol not in ATOMIC_NUMBERS:
                hint = near_miss(symbol, ATOMIC_NUMBERS)
                raise SplitError(f"contains = {self.contains!r}: no element {symbol!r}{hint}")
            mask &= compositions.contains(symbol)
        return mask

    def describe(self) -> str:
        """Say in one line what is held out."""
        return f"all materials that contain {self.contains}"

    def _remedy(self) -> str:
        return "Choose an element that some but not all materials contain."


@SPLITTERS.register("relation")
class RelationSplit(Splitter):
    """Hold out the materials that the user declares to follow another relation.

    Parameters
    ----------
    flags : array_like of bool, shape (n,), optional
        True for every row that follows another relation. Every row of a formula with a flagged
        row is held out.
    formulas : sequence of str, optional
        Reduced formulas that do (an alternative to `flags`).
    """

    def __init__(self, flags: ArrayLike | None = None, formulas: ArrayLike | None = None) -> None:
        self.flags = flags
        self.formulas = formulas

    def _held_out(
        self,
        X: NDArray[Any],
        y: NDArray[np.float64] | None,  # noqa: ARG002
        groups: NDArray[Any],
    ) -> BoolArray:
        if (self.flags is None) == (self.formulas is None):
            raise SplitError("a relation shift is declared by a flag column or a list of formulas")
        if self.flags is not None:
            flags = np.asarray(self.flags)
            if flags.shape != (len(X),):
                raise SplitError(f"flags has shape {flags.shape}; expected ({len(X)},)")
            if flags.dtype.kind in "US" or not np.isin(flags, (0, 1)).all():
                raise SplitError("flags holds values other than true and false (or 1 and 0)")
            declared = np.unique(groups[flags.astype(bool)])
        else:
            declared = np.asarray(_as_formulas(np.asarray(self.formulas), "a relation"))
        return np.isin(groups, declared)

    def describe(self) -> str:
        """Say in one line what is held out."""
        return "the materials declared to follow another relation"

    def _remedy(self) -> str:
        return "Check the flags, or that the listed formulas occur in the table."


def _as_formulas(groups: NDArray[Any], what: str) -> list[str]:
    if groups.dtype.kind not in "OUT":
        raise SplitError(f"{what} is a property of formulas: pass groups=reduced formulas")
    return [str(group) for group in groups]
