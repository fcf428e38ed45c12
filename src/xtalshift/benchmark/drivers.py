"""Which features predictions need: permutation importance of families of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.explanation import Driver, Drivers
from xtalshift.model import FittedModel
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import derive_seed

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DriverRows:
    """Held-out rows of one role that one model predicts."""

    model: FittedModel
    role: str
    X: FloatArray
    """Shape (n, d)."""
    y: FloatArray
    """Shape (n,). In the unit of the target."""


def measure_drivers(
    parts: Sequence[DriverRows],
    families: Mapping[str, NDArray[np.int64]],
    *,
    seed: int,
    repeats: int = 3,
    progress: Progress = NO_PROGRESS,
) -> Drivers | None:
    """Shuffle the features of one family among the rows and measure by how much the error grows.

    The shuffled rows keep all features that are correlated with the family, so that families which
    say the same share their importance.

    Parameters
    ----------
    parts : sequence of DriverRows
        Rows of each model and role; rows are shuffled within a part.
    families : mapping
        Columns of each family.
    seed : int
        Seed of the permutations, which are the same for all families.
    repeats : int
        Times that each family is shuffled.
    progress : Progress
        Reports the repetitions.

    Returns
    -------
    Drivers or None
        Families by falling importance in distribution; None without rows or with an error of 0.
    """
    counts = {role: sum(len(one.y) for one in parts if one.role == role) for role in ("id", "ood")}
    before = _errors(parts, None, None)
    if not before or not all(error > 0 and np.isfinite(error) for error in before.values()):
        return None
    rises: dict[tuple[str, str], list[float]] = {}
    with progress.task("what drives the predictions", repeats) as bar:
        for repeat in range(repeats):
            for family, columns in families.items():
                draw = derive_seed(seed, "drivers", repeat)
                for role, error in _errors(parts, columns, draw).items():
                    rises.setdefault((family, role), []).append(error / before[role] - 1.0)
            bar.advance()
    found = [
        Driver(
            family,
            len(families[family]),
            role,
            float(np.mean(values)),
            float(np.std(values, ddof=1)) if len(values) > 1 else None,
        )
        for (family, role), values in rises.items()
    ]
    first = "id" if counts["id"] else "ood"
    rank = {one.family: -one.rise for one in found if one.role == first}
    ordered = sorted(found, key=lambda one: (rank[one.family], one.role))
    return Drivers(repeats, counts["id"], counts["ood"], tuple(ordered))


def _errors(
    parts: Sequence[DriverRows], columns: NDArray[np.int64] | None, seed: int | None
) -> dict[str, float]:
    """Return the mean absolute error of each role on the scale of the training."""
    errors: dict[str, list[FloatArray]] = {}
    for one in parts:
        X = one.X
        if columns is not None:
            order = np.random.default_rng(seed).permutation(len(X))
            X = X.copy()
            X[:, columns] = one.X[np.ix_(order, columns)]
        z = one.model.scale.forward(one.y)
        errors.setdefault(one.role, []).append(np.abs(one.model.regressor.predict(X) - z))
    return {role: float(np.concatenate(values).mean()) for role, values in errors.items()}
