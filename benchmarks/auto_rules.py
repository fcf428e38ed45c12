"""Compare rules that combine the predictions of `auto_members.py`.

    python benchmarks/auto_rules.py CELLS/ [--without cal erm ...]

A rule sees the targets and the predictions outside the folds, never the held-out rows. Printed: the
geometric mean, over cells, of the mean absolute error on the held-out rows divided by that of the
best member of the cell in hindsight, for each member and each rule.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls

FloatArray = NDArray[np.float64]
Weigh = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass
class Cell:
    """Predictions of the members of a cell."""

    key: tuple[str, str, int, int]
    names: list[str]
    y: FloatArray
    oof: FloatArray
    y_test: FloatArray
    test: FloatArray


def errors(predictions: FloatArray, y: FloatArray) -> FloatArray:
    """Return the mean absolute error of each column."""
    return np.abs(predictions - y[:, None]).mean(axis=0)


def read_cell(path: Path, bound: float, families: Callable[[str], str | None]) -> Cell:
    """Return a cell with the best hyperparameters, outside the folds, of each family."""
    found = np.load(path)
    table, shift, size, seed = path.stem.rsplit("_", 3)
    y, oof, test = found["y"], found["oof"], found["test"]
    low, high = y.min(), y.max()
    span = bound * (high - low)
    oof, test = (np.clip(one, low - span, high + span) for one in (oof, test))
    error = errors(oof, y)
    best: dict[str, int] = {}
    for place, name in enumerate(found["names"]):
        family = families(str(name))
        if family and (family not in best or error[place] < error[best[family]]):
            best[family] = place
    rows = list(best.values())
    return Cell(
        (table, shift, int(size), int(seed)), list(best), y, oof[:, rows], found["y_test"],
        test[:, rows],
    )  # fmt: skip


def family_of(name: str) -> str | None:
    """Return the family: without the hyperparameters of kernels."""
    words = name.split()
    return f"{words[0]} {words[-1]}"


def least_absolute(P: FloatArray, y: FloatArray, shrink: float = 0.0) -> FloatArray:
    """Return convex weights of the least mean absolute error, by linear programming.

    With `shrink`, the penalty is the total distance to equal weights, times that share of the
    smallest error of a member.
    """
    n, k = P.shape
    scale = errors(P, y).min()
    # variables: w (k), u (n) = |residual|, v (k) = |w - 1/k|
    c = np.concatenate([np.zeros(k), np.full(n, 1 / n), np.full(k, shrink * scale)])
    eye, zero = np.eye(n), np.zeros((n, k))
    A = np.block([[P, -eye, zero], [-P, -eye, zero]])
    b = np.concatenate([y, -y])
    ones = np.eye(k)
    A = np.vstack([A, np.hstack([ones, np.zeros((k, n)), -ones]),
                   np.hstack([-ones, np.zeros((k, n)), -ones])])  # fmt: skip
    b = np.concatenate([b, np.full(k, 1 / k), np.full(k, -1 / k)])
    total = np.concatenate([np.ones(k), np.zeros(n + k)])[None]
    found = linprog(c, A, b, total, [1.0], bounds=(0, None), method="highs")
    w = np.maximum(found.x[:k], 0)
    return w / w.sum()


def least_squares(P: FloatArray, y: FloatArray, ridge: float = 0.0) -> FloatArray:
    """Return convex weights of the least squared error; `ridge` pulls to equal weights."""
    n, k = P.shape
    R = P - y[:, None]
    unit = np.sqrt((R**2).mean(axis=0).min())
    A = np.vstack([R / unit / np.sqrt(n), np.sqrt(ridge) * np.eye(k), 1e3 * np.ones((1, k))])
    b = np.concatenate([np.zeros(n), np.full(k, np.sqrt(ridge) / k), [1e3]])
    w = nnls(A, b)[0]
    return w / w.sum()


def best_member(P: FloatArray, y: FloatArray) -> FloatArray:
    """Return all weight for the member of the smallest error."""
    return np.eye(P.shape[1])[errors(P, y).argmin()]


def mean_of_good(P: FloatArray, y: FloatArray, within: float) -> FloatArray:
    """Return equal weights of all members with nearly the smallest error."""
    error = errors(P, y)
    good = error <= within * error.min()
    return good / good.sum()


def soft(P: FloatArray, y: FloatArray, power: float) -> FloatArray:
    """Return weights that fall with a power of the error."""
    error = errors(P, y)
    w = (error.min() / error) ** power
    return w / w.sum()


def bagged(P: FloatArray, y: FloatArray, weigh: Weigh, times: int = 10) -> FloatArray:
    """Return the mean of the weights of random halves of the rows."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(times):
        rows = rng.permutation(len(y))[: len(y) // 2]
        found.append(weigh(P[rows], y[rows]))
    return np.mean(found, axis=0)


def half_mean(P: FloatArray, y: FloatArray, weigh: Weigh, within: float = 1.2) -> FloatArray:
    """Return the mean of two rules."""
    return (weigh(P, y) + mean_of_good(P, y, within)) / 2


RULES: dict[str, Weigh] = {
    "pick": best_member,
    "mean": lambda P, _: np.full(P.shape[1], 1 / P.shape[1]),
    "mean within 10 %": lambda P, y: mean_of_good(P, y, 1.1),
    "mean within 20 %": lambda P, y: mean_of_good(P, y, 1.2),
    "soft 8": lambda P, y: soft(P, y, 8),
    "soft 16": lambda P, y: soft(P, y, 16),
    "soft 32": lambda P, y: soft(P, y, 32),
    "least absolute": least_absolute,
    "least absolute, shrunk .03": lambda P, y: least_absolute(P, y, 0.03),
    "least absolute, shrunk .1": lambda P, y: least_absolute(P, y, 0.1),
    "least squares": least_squares,
    "least squares, ridge .01": lambda P, y: least_squares(P, y, 0.01),
    "least squares, ridge .1": lambda P, y: least_squares(P, y, 0.1),
    "least squares, ridge 1": lambda P, y: least_squares(P, y, 1.0),
    "least absolute, bagged": lambda P, y: bagged(P, y, least_absolute),
    "least absolute + mean": lambda P, y: half_mean(P, y, least_absolute),
}


def main() -> None:
    """Print the table of all rules."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cells", type=Path)
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--bound", type=float, default=0.5)
    parser.add_argument("--sizes", nargs="*", type=int)
    parser.add_argument("--each", action="store_true")
    options = parser.parse_args()

    def families(name: str) -> str | None:
        family = family_of(name)
        return None if any(word in family for word in options.without) else family

    cells = [
        read_cell(path, options.bound, families)
        for path in sorted(options.cells.glob("*.npz"))
        if ".part" not in path.name
    ]
    cells = [cell for cell in cells if not options.sizes or cell.key[2] in options.sizes]
    table: dict[str, list[float]] = {}
    hindsight = []
    for cell in cells:
        error = errors(cell.test, cell.y_test)
        found = dict(zip(cell.names, error, strict=True))
        for rule, weigh in RULES.items():
            mixed = cell.test @ weigh(cell.oof, cell.y)
            found[f"* {rule}"] = float(np.abs(mixed - cell.y_test).mean())
        hindsight.append(error.min())
        for name, value in found.items():
            table.setdefault(name, []).append(value / error.min())
        if options.each:
            best = cell.names[int(error.argmin())]
            shown = found["* least absolute, shrunk .03"] / error.min()
            print(*cell.key, f"{best:20} {error.min():.4g}  stack {shown:.2f}")
    print(f"{len(cells)} cells; geometric mean, median and largest of error / best in hindsight")
    for name, values in sorted(table.items(), key=lambda item: np.log(item[1]).mean()):
        logs = np.log(values)
        print(f"{name:32} {np.exp(logs.mean()):.3f} {np.median(values):.3f} {max(values):.2f}")


if __name__ == "__main__":
    main()
