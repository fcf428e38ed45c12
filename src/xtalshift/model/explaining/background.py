"""The training materials that a prediction is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.formulas import Notation
from xtalshift.errors import DataError

if TYPE_CHECKING:
    from xtalshift.model.material_model import MaterialModel

FloatArray = NDArray[np.float64]

MATERIALS = 128
"""So many training materials stand for all; docs/explaining.md says what more of them change."""


@dataclass(frozen=True, eq=False)
class Background:
    """m training materials whose targets are spread as those of all."""

    X: FloatArray
    """Shape (m, d). Their features."""
    compositions: Compositions | None
    """m rows; None for a model of crystals, whose features a formula does not give."""

    def __len__(self) -> int:
        return len(self.X)

    def spread(self, most: int) -> Background:
        """Return some of them, evenly spread, so that their targets are spread as before."""
        m = min(len(self), most)
        rows = ((np.arange(m) + 0.5) * len(self) / m).astype(np.int64)
        known = self.compositions
        return Background(self.X[rows], None if known is None else known.take(rows))

    @classmethod
    def of(cls, model: MaterialModel, most: int = MATERIALS) -> Background:
        """Choose training materials of a model: one of each of `most` equal shares of the targets.

        Raises
        ------
        DataError
            If the model does not know its training materials.
        """
        domain = model.domain
        if domain is None:
            raise DataError(
                "the model does not know its training materials, with which a prediction is "
                "compared: it was fitted or saved without a domain. Train it again"
            )
        n = len(domain.targets_)
        order = np.lexsort((domain.formulas_.astype(str), domain.targets_))
        m = min(most, n)
        rows = order[((np.arange(m) + 0.5) * n / m).astype(np.int64)]
        known = domain.features(rows)
        if model.featurizer.needs_structures:
            return cls(known, None)
        # the elements of a hydrate do not depend on how it is read
        compositions = parse_formulas(domain.formulas_[rows].tolist(), Notation("expand"))[0]
        found = model.featurizer.featurize(compositions)
        good = found.reasons == ""
        extra = known[:, found.values.shape[1] :]
        return cls(np.hstack([found.values, extra])[good], compositions.take(good))
