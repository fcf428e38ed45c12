"""Labels of rows: computed from formulas by name, or given by the user."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from xtalshift.chem.composition_labels import Labels, composition_labels, given_labels
from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.errors import SplitError
from xtalshift.splits.grouped_rows import IntArray, group_numbers

__all__ = ["as_formulas", "join_groups", "label_rows", "parse_groups"]


def label_rows(by: str | ArrayLike, groups: NDArray[Any], *, single: bool = False) -> Labels:
    """Return the labels of n rows.

    Parameters
    ----------
    by : str or array_like of shape (n,)
        Name of a labelling in `chem.composition_labels`, or a label per row (None, NaN and an empty
        text: no label).
    groups : ndarray of str, shape (n,)
        Reduced formulas, for labellings by name.
    single : bool
        Whether every row must have exactly one label.

    Raises
    ------
    SplitError
        If the labelling is unknown, the formulas cannot be read, or labels are missing or several.
    """
    if isinstance(by, str):
        found = composition_labels(parse_groups(groups, f"a label such as {by}"), by)
        if single and not found.single:
            raise SplitError(
                f"a material has more than one {by}; choose a labelling with one label each, such "
                "as family, chemsys or n_elements"
            )
        return found
    values = np.asarray(by, dtype=object)
    if values.shape != (len(groups),):
        raise SplitError(f"labels have the shape {values.shape}; expected ({len(groups)},)")
    given = given_labels(values)
    if single and not given.single:
        row = int(np.setdiff1d(np.arange(len(groups)), given.rows)[0])
        raise SplitError(f"row {row} has no label; every row needs one, fill it or drop the row")
    return given


def join_groups(by: str | ArrayLike, groups: NDArray[Any]) -> tuple[IntArray, int]:
    """Return the smallest groups of rows that share neither a label nor a formula.

    Parameters
    ----------
    by, groups
        As in `label_rows`.

    Returns
    -------
    numbers : ndarray of int64, shape (n,)
        Group of each row.
    n_groups : int
    """
    labels = label_rows(by, groups, single=True)
    codes = np.empty(len(groups), dtype=np.int64)
    codes[labels.rows] = labels.codes
    formulas, n_formulas = group_numbers(groups)
    size = n_formulas + len(labels.names)
    links = coo_array((np.ones(len(groups)), (formulas, n_formulas + codes)), shape=(size, size))
    _, parts = connected_components(links, directed=False)
    return group_numbers(parts[formulas])


def parse_groups(groups: NDArray[Any], what: str) -> Compositions:
    """Return the compositions of groups that must be formulas.

    Raises
    ------
    SplitError
        If they are no texts, or one is no formula; the message names the first.
    """
    compositions, reasons, _ = parse_formulas(as_formulas(groups, what))
    bad = np.flatnonzero(reasons != "")
    if bad.size:
        raise SplitError(f"groups[{bad[0]}] is not a formula: {reasons[bad[0]]}")
    return compositions


def as_formulas(groups: NDArray[Any], what: str) -> list[str]:
    """Return groups as texts; raise `SplitError` if they are no texts (`what` asks for them)."""
    if groups.dtype.kind not in "OUT":
        raise SplitError(f"{what} is a property of formulas: pass groups=reduced formulas")
    return [str(group) for group in groups]
