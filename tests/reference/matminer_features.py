"""The composition features as matminer computes them: slow, the reference for ours."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["matminer_features", "matminer_names"]


def matminer_features(formulas: Sequence[str], *, impute_nan: bool) -> NDArray[np.float64]:
    """Return the 145 features of each formula, shape (n, 145); nothing is cached."""
    from pymatgen.core import Composition

    featurizers = _featurizers(impute_nan=impute_nan)
    values = np.empty((len(formulas), 145))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns of each element without X
        for row, formula in enumerate(formulas):
            composition = Composition(formula)
            values[row] = [x for f in featurizers for x in f.featurize(composition)]
    return values


def matminer_names() -> list[str]:
    """Return matminer's names of the 145 features."""
    return [name for f in _featurizers(impute_nan=True) for name in f.feature_labels()]


def _featurizers(*, impute_nan: bool) -> list:
    from matminer.featurizers.composition import (
        ElementProperty,
        IonProperty,
        Stoichiometry,
        ValenceOrbital,
    )

    return [
        Stoichiometry(),
        ElementProperty.from_preset("magpie", impute_nan=impute_nan),
        ValenceOrbital(props=["avg"], impute_nan=impute_nan),
        IonProperty(fast=True, impute_nan=impute_nan),
    ]
