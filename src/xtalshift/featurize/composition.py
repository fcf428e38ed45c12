"""Features of compositions and structures, from one or several blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import AS_WRITTEN, Compositions, parse_formulas
from xtalshift.chem.formulas import Hydrates, Notation
from xtalshift.chem.mixtures import Amounts
from xtalshift.data.materials import Materials
from xtalshift.errors import DataError
from xtalshift.featurize.blocks import (
    PRETRAINED,
    AnyBlock,
    Blocks,
    StructureBlock,
    find_block,
    kind_of,
    needs_structures,
    split_blocks,
)
from xtalshift.featurize.features import Features
from xtalshift.structure import Structures

if TYPE_CHECKING:
    from xtalshift.featurize.encoder import Encoder

CHUNK_ROWS = 8192
"""Rows computed at once; limits the memory of temporary arrays (about 3 kB per row)."""
NO_STRUCTURE = "the features need a crystal structure, and there is only a formula"


@dataclass(eq=False, repr=False)
class CompositionFeatures:
    """Computes features of compositions and structures, without scikit-learn.

    A saved model has this instead of `xtalshift.featurize.CompositionFeaturizer`, which describes
    the settings.
    """

    blocks: Blocks = "magpie"
    impute_nan: bool = True
    hydrates: Hydrates = "refuse"
    amounts: Amounts | None = None
    encoder: Encoder | None = None

    @property
    def notation(self) -> Notation:
        """How formulas are read that can be read in two ways."""
        return Notation(self.hydrates, self.amounts)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order, length d."""
        return self.featurize([]).names

    @property
    def needs_structures(self) -> bool:
        """Whether formulas alone are not enough."""
        return needs_structures(self.blocks)

    @property
    def notes(self) -> dict[str, str]:
        """What the pretrained networks behind the features have seen, by block."""
        return {
            kind: block.note
            for kind, block in _find_blocks(self.blocks, self.encoder).items()
            if isinstance(block, StructureBlock) and block.note
        }

    @property
    def columns(self) -> dict[str, range]:
        """Columns of each block among the features, by its name without a folder."""
        found, end = {}, 0
        for kind, block in _find_blocks(self.blocks, self.encoder).items():
            begin, end = end, end + len(block.names)
            found[kind] = range(begin, end)
        return found

    def count_imputed(self, compositions: Compositions) -> NDArray[np.int64]:
        """Return how many properties of elements are replaced by means in each row, shape (n,)."""
        kinds = set(map(kind_of, split_blocks(self.blocks)))
        # an encoder was trained with imputed properties, and always gets them
        if PRETRAINED not in kinds and not (self.impute_nan and "magpie" in kinds):
            return np.zeros(len(compositions), dtype=np.int64)
        from xtalshift.featurize.magpie import count_imputed  # registered, loaded where it is used

        return count_imputed(compositions)

    def featurize(self, X: Any) -> Features:
        """Compute the features of n materials; a bad row gets a reason instead of an error.

        Parameters
        ----------
        X : Materials, Compositions or array-like of str, length n
            The materials, or their formulas; a table of one column is taken as that column.

        Returns
        -------
        Features
            One row per material in the order of `X`.

        Raises
        ------
        ConfigError
            If a setting has an unknown value.
        DataError
            If `X` is a single text or has more than one column.
        """
        structures = None
        if isinstance(X, Materials):
            X, structures = X.compositions, X.structures
        return composition_features(
            X if isinstance(X, Compositions) else _as_list(X),
            self.blocks,
            structures=structures,
            encoder=self.encoder,
            impute_nan=self.impute_nan,
            notation=self.notation,
        )


def composition_features(
    rows: Compositions | Sequence[object],
    blocks: Blocks = "magpie",
    *,
    structures: Structures | None = None,
    encoder: Encoder | None = None,
    impute_nan: bool = True,
    notation: Notation = AS_WRITTEN,
    order: Literal["C", "F"] = "C",
) -> Features:
    """Compute the features of n compositions or formulas.

    Parameters
    ----------
    rows : Compositions or sequence of str, length n
        Compositions, or texts to parse.
    structures : Structures, optional
        n crystal structures.
    blocks, encoder, impute_nan, notation
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
        If `blocks` or `notation` has an unknown value.
    """
    parts = _find_blocks(blocks, encoder).values()
    names = tuple(name for block in parts for name in block.names)
    values = np.empty((len(rows), len(names)), order=order)
    reasons = np.full(len(rows), "", dtype=object)
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        if isinstance(rows, Compositions):
            compositions = rows.take(chunk)
            reasons[chunk][compositions.sizes == 0] = "no elements"
        else:
            compositions, reasons[chunk], _ = parse_formulas(rows[chunk], notation)
        end = 0
        for block in parts:
            begin, end = end, end + len(block.names)
            columns = values[chunk, begin:end]
            if isinstance(block, StructureBlock):
                given = Structures.none(len(reasons[chunk]))
                if structures is not None:
                    given = structures.take(chunk)
                lacking = (given.sizes == 0) & (reasons[chunk] == "")
                reasons[chunk][lacking] = NO_STRUCTURE
                block.fill(given, columns, reasons[chunk], impute_nan=impute_nan)
            else:
                block.fill(compositions, columns, reasons[chunk], impute_nan=impute_nan)
        values[chunk][reasons[chunk] != ""] = np.nan
    return Features(values, names, reasons)


def _find_blocks(blocks: Blocks, encoder: Encoder | None) -> dict[str, AnyBlock]:
    """Return blocks by their kind, that of an encoder with the given one."""
    found: dict[str, AnyBlock] = {}
    for name in split_blocks(blocks):
        kind = kind_of(name)
        if kind == PRETRAINED and encoder is not None:
            from xtalshift.featurize.pretrained import encoder_block  # registered, loaded if used

            found[kind] = encoder_block(encoder)
        else:
            found[kind] = find_block(name)
    return found


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
