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

FloatArray = NDArray[np.float64]

MOST_PARTS = 10
"""Most elements and further columns of a material: 1,024 sets of them, each in two proportions."""
MOST_MIXED = 65_536
"""Most materials that are predicted for one explanation: fewer training materials serve for a
formula of many elements."""
_PIECE = 8192


def element_contributions(
    model: AnyOne, outcome: Outcome, material: Materials, x: FloatArray, background: Background
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
    mixed = size > 1  # a single element has no proportions
    players = size + columns + mixed
    used = _spread(len(background), max(1, MOST_MIXED >> players))
    others = background.X[used]
    places = Places.of(material.compositions, background.compositions.take(used))
    given = len(x) - columns
    values = np.empty((2**players, len(used)))
    parts = [places.mixed(proportions=False)] + [places.mixed(proportions=True)] * mixed
    rows = np.concatenate(parts).reshape(-1, len(SYMBOLS) - 1)
    features = _features(model, rows).reshape(2 ** (size + mixed), len(used), -1)
    block = 2 ** (size + mixed)
    for number in range(2**columns):
        own = (number >> np.arange(columns) & 1).astype(np.bool_)
        extra = np.where(own, x[given:], others[:, given:])
        whole = np.concatenate(
            [features, np.broadcast_to(extra, (block, *extra.shape))], axis=-1
        ).reshape(-1, len(x))
        values[number * block : (number + 1) * block] = outcome.values(whole).reshape(block, -1)
    # as they are predicted: the same amounts in other units may differ in the last bits
    values[0], values[-1] = outcome.values(others), outcome.values(x[None])[0]
    found = exact_shapley(values).mean(axis=1).tolist()
    symbols = [SYMBOLS[z] for z in material.compositions.z]
    several: tuple[tuple[Kind, int], ...] = (
        ("element", size),
        ("proportions", int(mixed)),
        ("column", columns),
    )
    kinds = [kind for kind, count in several for _ in range(count)]
    names = [*symbols, *["proportions"] * mixed, *model.card.feature_cols]
    shown = [*places.own_shares.tolist(), *[None] * mixed, *x[given:].tolist()]
    usual = [None] * (size + mixed) + others[:, given:].mean(axis=0).tolist()
    return _ordered(
        [
            Contribution(kind, name, part, value, mean)
            for kind, name, part, value, mean in zip(kinds, names, found, shown, usual, strict=True)
        ]
    ), ""


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
    shares = outcome.contributions(x, background.X).mean(axis=0)
    known = np.isfinite(background.X)
    usual = np.where(known, background.X, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    family_of = {int(k): family for family, places in families.items() for k in places}
    single = [
        Contribution(
            "feature",
            name,
            float(shares[k]),
            float(x[k]) if np.isfinite(x[k]) else None,
            float(usual[k]),
            family_of[k],
        )
        for k, name in enumerate(names)
        if shares[k] != 0
    ]
    joined = [
        Contribution("family", family, float(shares[places].sum()))
        for family, places in families.items()
    ]
    return _ordered(joined), _ordered(single)


def _features(model: AnyOne, fractions: FloatArray) -> FloatArray:
    """Return the features of rows of atomic fractions, shape (n, d) without further columns."""
    found = []
    for start in range(0, len(fractions), _PIECE):
        rows = as_compositions(fractions[start : start + _PIECE])
        found.append(model.featurizer.featurize(rows).values)
    return np.concatenate(found)


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """Return which of n training materials serve, evenly spread."""
    m = min(n, most)
    return np.asarray(((np.arange(m) + 0.5) * n / m).astype(np.int64))


def _ordered(parts: list[Contribution]) -> list[Contribution]:
    """Return contributions, the largest first."""
    return sorted(parts, key=lambda one: -abs(one.contribution))
