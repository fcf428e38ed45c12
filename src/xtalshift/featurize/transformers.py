"""Featurizers: scikit-learn transformers that also give a reason for each bad row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from xtalshift.errors import DataError, FormulaError
from xtalshift.featurize.composition import CompositionFeatures
from xtalshift.featurize.features import Features


class Featurizer(TransformerMixin, BaseEstimator, ABC):
    """Compute the features of materials.

    A subclass defines one method, `featurize`. Nothing is learned from data.
    """

    bad_row_error: type[DataError] = DataError
    """What `transform` raises for a bad row."""

    @abstractmethod
    def featurize(self, X: Any) -> Features:
        """Compute the features of n materials; a bad row gets a reason and raises nothing.

        Parameters
        ----------
        X : array-like, length n
            The materials; may be empty.

        Returns
        -------
        Features
            One row per material in the order of `X`.
        """

    def get_feature_names_out(
        self,
        input_features: Any = None,  # noqa: ARG002
    ) -> NDArray[np.object_]:
        """Return the d feature names; `input_features` is ignored."""
        return np.array(self.featurize([]).names, dtype=object)

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Return the featurizer unchanged."""
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Compute the features of n materials.

        Parameters
        ----------
        X : array-like, length n
            The materials.

        Returns
        -------
        ndarray of float64, shape (n, d)

        Raises
        ------
        DataError
            If a row is bad; the message names the first such row (1 is the first) and
            how many there are.
        """
        features = self.featurize(X)
        bad = np.flatnonzero(features.reasons != "")
        if len(bad):
            more = f" ({len(bad)} bad rows in total)" if len(bad) > 1 else ""
            raise self.bad_row_error(f"row {bad[0] + 1}: {features.reasons[bad[0]]}{more}")
        return features.values

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


class CompositionFeaturizer(CompositionFeatures, Featurizer):
    """Features of chemical formulas, as a scikit-learn transformer.

    Parameters
    ----------
    blocks : str, default "magpie"
        Names of `xtalshift.featurize.blocks.BLOCKS`, joined by ``+`` as in ``magpie+fractions``.
        ``magpie``: the 145 features of Ward et al., npj Comput. Mater. 2, 16028 (2016), with
        the names, order and values of matminer 0.10 (`Stoichiometry`, `ElementProperty` of the
        magpie preset, `ValenceOrbital` averages, fast `IonProperty`).
        ``fractions``: the atomic fractions of the 118 elements.
        ``pretrained``: the last layer of a network that was trained on large tables, bounded by -1
        and 1; ``pretrained:FOLDER`` takes one that ``xtalshift pretrain`` made.
        ``structure``, ``symmetry``: features of crystal structures, see
        `xtalshift.featurize.structure_block` and `xtalshift.featurize.symmetry_block`; they need
        `Materials` with structures.
    impute_nan : bool, default True
        Replace unknown elemental properties by their mean over the elements; otherwise the
        features that need them are NaN.
    hydrates : {"refuse", "expand"}, default "refuse"
    amounts : {"at", "wt", "mol"}, optional
        `hydrates`, `amounts`: see `xtalshift.chem.formulas.parse_formula`.
    encoder : Encoder, optional
        Encoder of the block ``pretrained``, in place of the one that `blocks` names; a fitted model
        keeps its encoder here.

    Examples
    --------
    >>> featurizer = CompositionFeaturizer()
    >>> featurizer.transform(["Fe2O3", "LiFePO4"]).shape
    (2, 145)
    """

    bad_row_error = FormulaError
