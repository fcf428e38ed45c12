"""What the parts of a material contribute to its prediction: its elements, and its features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import SYMBOLS
from xtalshift.data.materials import Materials
from xtalshift.estimators.shapley import exact_shapley
from xtalshift.model.explaining.background import Background
from xtalshift.model.explaining.outcome import AnyOne, Outcome
from xtalshift.model.explaining.record import Contribution, Kind
from xtalshift.model.explaining.replacement import Places, as_compositions
from xtalshift.progress import Task

FloatArray = NDArray[np.float64]

MOST_PARTS = 10
"""Most elements and further columns of a material: 1,024 sets of them, each in two proportions."""
MOST_MIXED = 32_768
"""Most materials that are predicted for one explanation: fewer training materials serve for a
formula of many elements."""
FEWEST = 16
"""Fewest training materials of an explanation."""
_PIECE = 8192


def parts_of(model: AnyOne, material: Materials) -> int:
    """Return how many parts a material has: elements, further columns, and its proportions."""
    size = int(material.compositions.sizes[0])
    return size + len(model.card.feature_cols) + (size > 1)  # one element has no proportions


def enough(model: AnyOne, material: Materials, background: Background) -> Background:
    """Return the training materials that serve to explain a material of so many parts."""
    return background.spread(max(FEWEST, MOST_MIXED >> parts_of(model, material)))


def element_contributions(
    model: AnyOne,
    outcome: Outcome,
    material: Materials,
    x: FloatArray,
    background: Background,
    task: Task,
) -> tuple[list[Contribution], str]:
    """Return what each element, the proportions and each further column contribute.

    They are Shapley values by enumeration of all sets of parts; a part that is left out is replaced
    by that of a training material (`xtalshift.model.explaining.replacement`).

    Parameters
    ----------
    model : FittedModel or FittedClassifier
        The model.
    outcome : Outcome
        Which number is explained.
    material : Materials
        One row.
    x : ndarray of float64, shape (d,)
        Its features.
    background : Background
        The training materials.
    task : Task
        Is told of each material that was mixed, and of each that was predicted.

    Returns
    -------
    contributions : list of Contribution
        Empty if there are none.
    reason : str
        Why there are none.
    """
    if background.compositions is None:
        return [], "the model reads crystals, and with an element less they would be others"
    columns = len(model.card.feature_cols)
    size = int(material.compositions.sizes[0])
    if size + columns > MOST_PARTS:
        return [], f"{size + columns} elements and columns are more than {MOST_PARTS}"
    mixed = int(size > 1)
    others, given = background.X, len(x) - columns
    places = Places.of(material.compositions, background.compositions)
    parts = [places.mixed(proportions=False)] + [places.mixed(proportions=True)] * mixed
    block = 2 ** (size + mixed)
    rows = np.concatenate(parts).reshape(-1, len(SYMBOLS) - 1)
    features = _features(model, rows, task).reshape(block, len(background), -1)
    values = np.empty((block * 2**columns, len(background)))
    for number in range(2**columns):
        own = (number >> np.arange(columns) & 1).astype(np.bool_)
        extra = np.where(own, x[given:], others[:, given:])
        extra = np.broadcast_to(extra, (block, *extra.shape))
        whole = np.concatenate([features, extra], axis=-1).reshape(-1, len(x))
        values[number * block : (number + 1) * block] = _values(outcome, whole, task).reshape(
            block, -1
        )
    # as they are predicted: the same amounts in other units may differ in the last bits
    values[0], values[-1] = outcome.values(others), outcome.values(x[None])[0]
    found, errors = _mean_and_error(exact_shapley(values))
    several: tuple[tuple[Kind, int], ...] = (
        ("element", size),
        ("proportions", mixed),
        ("column", columns),
    )
    kinds = [kind for kind, count in several for _ in range(count)]
    symbols = [SYMBOLS[z] for z in material.compositions.z]
    names = [*symbols, *["proportions"] * mixed, *model.card.feature_cols]
    shown = [*places.own_shares.tolist(), *[None] * mixed, *x[given:].tolist()]
    usual = [None] * (size + mixed) + others[:, given:].mean(axis=0).tolist()
    rows_of = zip(kinds, names, found, errors, shown, usual, strict=True)
    return _ordered([Contribution(*row) for row in rows_of]), ""


def feature_contributions(
    outcome: Outcome,
    x: FloatArray,
    background: Background,
    names: tuple[str, ...],
    families: Mapping[str, NDArray[np.int64]],
) -> tuple[list[Contribution], list[Contribution]]:
    """Return what each family of features, and each feature, contributes.

    Raises
    ------
    ConfigError
        If the method cannot say it.
    """
    shares = outcome.contributions(x, background.X)
    found, errors = _mean_and_error(shares.T)
    known = np.isfinite(background.X)
    usual = np.where(known, background.X, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    family_of = {int(k): family for family, places in families.items() for k in places}
    single = [
        Contribution(
            "feature",
            name,
            found[k],
            errors[k],
            float(x[k]) if np.isfinite(x[k]) else None,
            float(usual[k]),
            family_of[k],
        )
        for k, name in enumerate(names)
        if found[k] != 0
    ]
    sums, of_sums = _mean_and_error(
        np.stack([shares[:, places].sum(axis=1) for places in families.values()])
    )
    joined = [
        Contribution("family", family, total, error)
        for family, total, error in zip(families, sums, of_sums, strict=True)
    ]
    return _ordered(joined), _ordered(single)


def standard_error(values: FloatArray) -> FloatArray:
    """Return the standard error of means over the last axis; 0 for a single value."""
    n = values.shape[-1]
    return np.asarray(values.std(axis=-1, ddof=1) / np.sqrt(n) if n > 1 else 0.0 * values[..., 0])


def _mean_and_error(shares: FloatArray) -> tuple[list[float], list[float]]:
    """Return means over the last axis and their standard errors."""
    return shares.mean(axis=-1).tolist(), standard_error(shares).tolist()


def _values(outcome: Outcome, X: FloatArray, task: Task) -> FloatArray:
    """Return the number of each row of features, some thousand rows at a time."""
    found = []
    for start in range(0, len(X), _PIECE):
        found.append(outcome.values(X[start : start + _PIECE]))
        task.advance(len(found[-1]))
    return np.concatenate(found)


def _features(model: AnyOne, fractions: FloatArray, task: Task) -> FloatArray:
    """Return the features of rows of atomic fractions, shape (n, d) without further columns."""
    found = []
    for start in range(0, len(fractions), _PIECE):
        rows = as_compositions(fractions[start : start + _PIECE])
        found.append(model.featurizer.featurize(rows).values)
        task.advance(len(rows))
    return np.concatenate(found)


def _ordered(parts: list[Contribution]) -> list[Contribution]:
    """Return contributions, the largest first."""
    return sorted(parts, key=lambda one: -abs(one.contribution))
