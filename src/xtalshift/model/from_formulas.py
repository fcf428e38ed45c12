"""What a saved model leaves out because its formulas give it again: features of known materials.

A domain has the standardised features of every training material, and a calibration those of its
rows. They are most of a model, and a function of formulas that are saved anyway. So they are
computed again when the model is read, at some 100,000 formulas a second, if they are the same bits
when it is saved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.data.materials import Materials
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.domain.ood_score import standardised
from xtalshift.domain.reasons import decode_texts, encode_texts
from xtalshift.errors import ModelFormatError
from xtalshift.saved_arrays import (
    TEXT,
    SavedArray,
    Schema,
    Unread,
    check_arrays,
    check_layout,
)

if TYPE_CHECKING:
    from xtalshift.featurize import CompositionFeatures
    from xtalshift.model.classifier import FittedClassifier
    from xtalshift.model.fitted import FittedModel

Arrays = dict[str, NDArray[Any]]
FloatArray = NDArray[np.float64]

_DOMAIN = "domain."
_POINTS, _POINT_MEANS = f"{_DOMAIN}index.points", "left_out.points"
_ROWS, _ROW_MEANS, _ROW_FORMULAS = "calibration.X", "left_out.rows", "left_out.formulas"
_OF_POINTS: Schema = {_POINT_MEANS: SavedArray(np.float64, ("kept",))}
_OF_ROWS: Schema = {
    _ROW_MEANS: SavedArray(np.float64, ("d",), missing=True),
    _ROW_FORMULAS: TEXT,
}
_CLOSE = 1e-4
"""Largest difference of the mean of a feature, in standard deviations or relative to its size:
another machine may round otherwise, and another table of properties differs by more."""


def leave_out(model: FittedModel | FittedClassifier, state: Arrays) -> None:
    """Replace in the arrays of a model what formulas give again by the means of its columns.

    Parameters
    ----------
    model : FittedModel or FittedClassifier
        The model that is saved.
    state : dict of ndarray
        Its arrays, which are changed.
    """
    features = model.featurizer
    # an encoder takes long, and the formula of a crystal does not tell its structure
    if model.card.feature_cols or features.encoder is not None or features.needs_structures:
        return
    if _POINTS in state and model.domain is not None:
        known = _features(features, model.domain.formulas_)
        points = state[_POINTS]
        if known is not None and _same(standardised(_own(state), known), points):
            del state[_POINTS]
            state[_POINT_MEANS] = points.mean(axis=0, dtype=np.float64)
    formulas = None if model.calibration is None else model.calibration.formulas
    if _ROWS in state and formulas is not None:
        known, rows = _features(features, formulas), state[_ROWS]
        if known is not None and _same(known.astype(np.float32), rows):
            del state[_ROWS]
            state[_ROW_MEANS] = rows.mean(axis=0, dtype=np.float64)
            state[_ROW_FORMULAS] = encode_texts(formulas.tolist())


def with_left_out(found: Mapping[str, Unread]) -> dict[str, Unread]:
    """Return the arrays of a file, not yet read, as they are with what was left out.

    Raises
    ------
    ModelFormatError
        If what stands for them is of another type or shape.
    """
    layout = dict(found)
    for means, schema, rows, counted in (
        (_POINT_MEANS, _OF_POINTS, _POINTS, "domain.targets"),
        (_ROW_MEANS, _OF_ROWS, _ROWS, _row_scores(layout)),
    ):
        if means in layout:
            (width,) = _take(layout, schema)[means].shape
            n = layout[counted].shape[:1] if counted in layout else ()
            layout[rows] = Unread(np.dtype(np.float32), (*n, width))
    return layout


def _row_scores(layout: Mapping[str, Unread]) -> str:
    """Return the array with an entry for each calibration row, of numbers or of classes."""
    of_classes = "calibration.sets.scores"
    return of_classes if of_classes in layout else "calibration.scores"


def bytes_left_out(found: Mapping[str, Unread]) -> int:
    """Return the bytes of what was left out of a file, with the double precision on the way."""
    added = [part for name, part in with_left_out(found).items() if name not in found]
    return sum(3 * part.dtype.itemsize * math.prod(part.shape) for part in added)


def put_back(features: CompositionFeatures, state: Arrays) -> NDArray[np.object_] | None:
    """Compute again what was left out of the arrays of a model.

    Parameters
    ----------
    features : CompositionFeatures
        Those of the model.
    state : dict of ndarray
        Its arrays, which are changed.

    Returns
    -------
    ndarray of str, shape (n,), or None
        Formulas of the calibration rows, if their features were left out.

    Raises
    ------
    ModelFormatError
        If formulas cannot be read, or give other features.
    """
    if _POINT_MEANS in state:
        means = _take_arrays(state, _OF_POINTS)[_POINT_MEANS]
        schema = {**ApplicabilityDomain.saved(state)}
        del schema[_POINTS]
        check_arrays(
            {name: part for name, part in state.items() if name.startswith(_DOMAIN)}, schema
        )
        texts = decode_texts("formulas", state[f"{_DOMAIN}formulas"])
        points = standardised(_own(state), _known_features(features, texts))
        _compare("the training materials", points, means)
        state[_POINTS] = points
    if _ROW_MEANS not in state:
        return None
    saved = _take_arrays(state, _OF_ROWS)
    texts = decode_texts(_ROW_FORMULAS, saved[_ROW_FORMULAS])
    rows = _known_features(features, texts).astype(np.float32)
    _compare("the calibration rows", rows, saved[_ROW_MEANS])
    state[_ROWS] = rows
    return np.array(texts, dtype=object)


def _own(state: Arrays) -> Arrays:
    """Return the arrays of the domain by their names there."""
    return {
        name.removeprefix(_DOMAIN): part for name, part in state.items() if name.startswith(_DOMAIN)
    }


def _take(found: dict[str, Unread], schema: Schema) -> dict[str, Unread]:
    """Remove and return arrays that are not yet read, after a check of types and shapes."""
    own = {name: found.pop(name) for name in schema if name in found}
    check_layout(own, schema)
    return own


def _take_arrays(state: Arrays, schema: Schema) -> Arrays:
    """Remove and return arrays, after a check of their values too."""
    own = {name: state.pop(name) for name in schema if name in state}
    check_arrays(own, schema)
    return own


def _features(features: CompositionFeatures, formulas: NDArray[np.object_]) -> FloatArray | None:
    """Return the features of formulas, None if one has none."""
    known = features.featurize(Materials.parse(formulas, notation=features.notation))
    return None if (known.reasons != "").any() else known.values


def _known_features(features: CompositionFeatures, formulas: list[str]) -> FloatArray:
    values = _features(features, np.array(formulas, dtype=object))
    if values is None:
        raise ModelFormatError("a formula of its training materials cannot be read")
    return values


def _same(found: NDArray[np.float32], saved: NDArray[np.float32]) -> bool:
    return np.array_equal(found, saved, equal_nan=True)


def _compare(what: str, rows: NDArray[np.float32], means: FloatArray) -> None:
    """Raise `ModelFormatError` unless features have the means that were saved."""
    with np.errstate(invalid="ignore"):  # all are NaN
        found = rows.mean(axis=0, dtype=np.float64)
    size = np.maximum(1.0, np.abs(means))
    if found.shape != means.shape or not np.allclose(
        found / size, means / size, rtol=0, atol=_CLOSE, equal_nan=True
    ):
        raise ModelFormatError(
            f"the features of {what} are not those that it was made with: this version computes "
            "others"
        )
