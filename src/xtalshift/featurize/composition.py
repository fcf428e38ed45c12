"""Features of compositions: Magpie's 145, element fractions, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.formulas import Hydrates
from xtalshift.errors import ConfigError, DataError
from xtalshift.featurize.features import Features
from xtalshift.featurize.magpie import MAGPIE_FEATURES, UNKNOWN_CHARGE, magpie_features
from xtalshift.registry import near_miss

__all__ = ["BLOCKS", "CHUNK_ROWS", "Blocks", "CompositionFeatures", "composition_features"]

Blocks = Literal["magpie", "fractions", "magpie+fractions"]

BLOCKS: dict[str, tuple[str, ...]] = {
    "magpie": MAGPIE_FEATURES,
    "fractions": tuple(f"fraction {symbol}" for symbol in SYMBOLS[1:]),
}
"""Feature names of each block."""

CHUNK_ROWS = 8192
"""Rows at once; bounds the memory of temporaries (about 3 kB per row)."""


@dataclass(eq=False, repr=False)
class CompositionFeatures:
    """Which features of compositions are meant, and how formulas are read.

    This is what a saved model needs of `xtalshift.featurize.CompositionFeaturizer`, which explains
    the settings: it loads without scikit-learn.
    """

    blocks: Blocks = "magpie"
    impute_nan: bool = True
    hydrates: Hydrates = "refuse"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order, length d."""
        return self.featurize([]).names

    def featurize(self, X: Any) -> Features:
        """Compute the features of n formulas; a bad row gets a reason and raises nothing.

        Parameters
        ----------
        X : Compositions or array-like of str, length n
            The formulas; a table of one column is taken as that column.

        Returns
        -------
        Features
            One row per formula in the order of `X`.

        Raises
        ------
        ConfigError
            If a setting has an unknown value.
        DataError
            If `X` is one text or has more than one column.
        """
        return composition_features(
            X if isinstance(X, Compositions) else _as_list(X),
            self.blocks,
            impute_nan=self.impute_nan,
            hydrates=self.hydrates,
        )


def composition_features(
    rows: Compositions | Sequence[object],
    blocks: Blocks = "magpie",
    *,
    impute_nan: bool = True,
    hydrates: Hydrates = "refuse",
    order: Literal["C", "F"] = "C",
) -> Features:
    """Compute the features of n compositions or formulas.

    Parameters
    ----------
    rows : Compositions or sequence of str, length n
        Compositions, or texts to parse.
    blocks, impute_nan, hydrates
        See `xtalshift.featurize.CompositionFeaturizer`, its scikit-learn class.
    order : {"C", "F"}, default "C"
        Whether the rows or the columns of the values are contiguous in memory.

    Returns
    -------
    Features
        One row per composition.

    Raises
    ------
    ConfigError
        If `blocks` or `hydrates` has an unknown value.
    """
    parts = {block: _names(block, blocks) for block in str(blocks).split("+")}
    names = tuple(name for part in parts.values() for name in part)
    values = np.empty((len(rows), len(names)), order=order)
    reasons = np.full(len(rows), "", dtype=object)
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        if isinstance(rows, Compositions):
            compositions = rows.take(chunk)
            reasons[chunk][compositions.sizes == 0] = "no elements"
        else:
            compositions, reasons[chunk], _ = parse_formulas(rows[chunk], hydrates=hydrates)
        column = 0
        for block, part in parts.items():
            target = values[chunk, column : column + len(part)]
            if block == "fractions":
                target[:] = compositions.element_fractions()
            else:
                _fill_magpie(compositions, target, reasons[chunk], impute_nan=impute_nan)
            column += len(part)
        values[chunk][reasons[chunk] != ""] = np.nan
    return Features(values, names, reasons)


def _as_list(X: Any) -> list[object]:
    """Return one list of objects from a list, array, series or table of one column."""
    if isinstance(X, list):
        return X
    if isinstance(X, str):
        raise DataError(f"X is the single text {X!r}; give a list of formulas")
    array = np.asarray(X, dtype=object)
    if array.ndim > 2 or (array.ndim == 2 and array.shape[1] != 1):  # noqa: PLR2004
        raise DataError(f"X has the shape {array.shape}; give one column of formulas")
    items: list[object] = array.ravel().tolist()
    return items


def _names(block: str, blocks: str) -> tuple[str, ...]:
    if block not in BLOCKS:
        raise ConfigError(
            f"blocks={blocks!r}: unknown block {block!r}{near_miss(block, BLOCKS)}; "
            "use 'magpie', 'fractions' or 'magpie+fractions'"
        )
    return BLOCKS[block]


def _fill_magpie(
    compositions: Compositions,
    values: NDArray[np.float64],
    reasons: NDArray[np.object_],
    *,
    impute_nan: bool,
) -> None:
    """Write the Magpie features to `values` and what is wrong to `reasons`."""
    sizes = compositions.sizes
    order = np.argsort(sizes, kind="stable")  # rows of equally many elements are one array
    columns = np.empty((len(MAGPIE_FEATURES), len(sizes)))
    end = 0
    for size, count in enumerate(np.bincount(sizes).tolist()):
        begin, end = end, end + count
        if size == 0 or count == 0:
            continue
        rows = order[begin:end]
        at = compositions.starts[rows] + np.arange(size)[:, None]
        unknown = magpie_features(
            compositions.z[at].astype(np.intp),
            compositions.amounts[at],
            impute_nan=impute_nan,
            out=columns[:, begin:end],
        )
        reasons[rows[unknown]] = UNKNOWN_CHARGE
    if values.flags.f_contiguous:
        columns.take(np.argsort(order), axis=1, out=values.T, mode="clip")
    else:
        values[order] = columns.T
