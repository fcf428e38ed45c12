"""What predictions of numbers and of classes share: their table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


class PredictedRows:
    """Formulas, with columns of one entry each; a subclass implements `columns`."""

    formula: NDArray[Any]

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns of the output table by name, each of shape (n,)."""
        raise NotImplementedError

    def rows(self) -> list[dict[str, object]]:
        """Return the formula and all columns of each material as plain values."""
        columns = {"formula": self.formula, **self.columns()}
        cells = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in cells]

    @property
    def frame(self) -> pd.DataFrame:
        """The formulas and all columns as a table, as ``xtalshift predict`` writes it."""
        import pandas as pd  # a few predictions are printed without it

        return pd.DataFrame({"formula": self.formula, **self.columns()})
