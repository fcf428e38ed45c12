"""Features of compositions: Magpie's 145, element fractions, or both."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.formulas import Hydrates
from xtalshift.errors import ConfigError, DataError, FormulaError
from xtalshift.featurize.base import Featurizer
from xtalshift.featurize.magpie import MAGPIE_FEATURES, UNKNOWN_CHARGE, magpie_features
from xtalshift.registry import near_miss

__all__ = ["BLOCKS", "CompositionFeaturizer"]

Blocks = Literal["magpie", "fractions", "magpie+fractions"]

BLOCKS: dict[str, tuple[str, ...]] = {
    "magpie": MAGPIE_FEATURES,
    "fractions": tuple(f"fraction {symbol}" for symbol in SYMBOLS[1:]),
}
"""Feature names of each block."""

_CHUNK = 8192  # rows at once: bounds the memory of temporaries (about 3 kB per row)


class CompositionFeaturizer(Featurizer):
    """Features of chemical formulas.

    Parameters
    ----------
    blocks : {"magpie", "fractions", "magpie+fractions"}, default "magpie"
        ``magpie``: the 145 features of Ward et al., npj Comput. Mater. 2, 16028 (2016), with
        the names, order and values of matminer 0.10 (`Stoichiometry`, `ElementProperty` of the
        magpie preset, `ValenceOrbital` averages, fast `IonProperty`).
        ``fractions``: the atomic fractions of the 118 elements.
    impute_nan : bool, default True
        Replace unknown elemental properties by their mean over the elements; otherwise the
        features that need them are NaN.
    hydrates : {"refuse", "expand"}, default "refuse"
        See `xtalshift.chem.formulas.parse_formula`.

    Examples
    --------
    >>> featurizer = CompositionFeaturizer()
    >>> featurizer.transform(["Fe2O3", "LiFePO4"]).shape
    (2, 145)
    """

    bad_row_error = FormulaError

    def __init__(
        self,
        blocks: Blocks = "magpie",
        impute_nan: bool = True,  # noqa: FBT001, FBT002 - scikit-learn settings are plain
        hydrates: Hydrates = "refuse",
    ) -> None:
        self.blocks = blocks
        self.impute_nan = impute_nan
        self.hydrates = hydrates

    def get_feature_names_out(
        self,
        input_features: Any = None,  # noqa: ARG002
    ) -> NDArray[np.object_]:
        """Return the feature names; `input_features` is ignored."""
        names = [name for block in self._block_names() for name in BLOCKS[block]]
        return np.array(names, dtype=object)

    def featurize(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
        """Compute the features of n formulas; bad ones do not raise.

        Parameters
        ----------
        X : Compositions or array-like of str, length n
            The formulas; a table of one column is taken as that column.

        Returns
        -------
        values : ndarray of float64, shape (n, d)
            One row per formula in the order of `X`; NaN for bad rows.
        reasons : ndarray of object, shape (n,)
            Why a row is bad; ``""`` for good rows.

        Raises
        ------
        ConfigError
            If a setting has an unknown value.
        DataError
            If `X` is one text or has more than one column.
        """
        rows = X if isinstance(X, Compositions) else _as_list(X)
        values = np.empty((len(rows), len(self.get_feature_names_out())))
        reasons = np.full(len(rows), "", dtype=object)

        for start in range(0, len(rows), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            if isinstance(rows, Compositions):
                compositions = rows.take(chunk)
                reasons[chunk][compositions.sizes == 0] = "no elements"
            else:
                compositions, reasons[chunk], _ = parse_formulas(
                    rows[chunk], hydrates=self.hydrates
                )
            self._fill(compositions, values[chunk], reasons[chunk])
        return values, reasons

    def _block_names(self) -> list[str]:
        names = str(self.blocks).split("+")
        for name in names:
            if name not in BLOCKS:
                raise ConfigError(
                    f"blocks={self.blocks!r}: unknown block {name!r}{near_miss(name, BLOCKS)}; "
                    "use 'magpie', 'fractions' or 'magpie+fractions'"
                )
        return names

    def _fill(
        self,
        compositions: Compositions,
        values: NDArray[np.float64],
        reasons: NDArray[np.object_],
    ) -> None:
        """Write the features of a chunk to `values` and what is wrong to `reasons`."""
        column = 0
        for block in self._block_names():
            width = len(BLOCKS[block])
            part = values[:, column : column + width]
            if block == "fractions":
                part[:] = compositions.element_fractions()
            else:
                self._fill_magpie(compositions, part, reasons)
            column += width
        values[reasons != ""] = np.nan

    def _fill_magpie(
        self,
        compositions: Compositions,
        values: NDArray[np.float64],
        reasons: NDArray[np.object_],
    ) -> None:
        sizes = compositions.sizes
        for size in np.unique(sizes[sizes > 0]):  # rows of equally many elements are one array
            rows = np.flatnonzero(sizes == size)
            at = compositions.starts[rows] + np.arange(size)[:, None]
            values[rows], unknown = magpie_features(
                compositions.z[at], compositions.amounts[at], impute_nan=self.impute_nan
            )
            reasons[rows[unknown]] = UNKNOWN_CHARGE


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
