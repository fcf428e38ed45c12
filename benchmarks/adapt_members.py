"""Predictions of the possible members of an adapted stack, on many shifts and numbers of labels.

    XTALSHIFT_DATA=folder python benchmarks/adapt_members.py OUT/ [--tables ...] [--labels 16 64]
        [--shifts ...] [--seeds 0 1 2] [--size 1000]

The protocol is in docs/science/auto.md. A cell is a table, a shift, a number of labels and a seed.
The first model is `auto` without networks (or `--start NAME`), trained on rows that the shift does
not hold out. The labels are drawn from the held-out rows, at most 500 of the others are test rows.
OUT gets a file per cell: targets, folds, and the predictions of the first model and of every
correction, outside the folds of the labels and for the test rows. Cells that are there are not
computed again. `adapt_rules.py` compares rules of combination on these files.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auto_members import CONFIRM, DECIDE, MAX_TEST, SHIFTS, held_out, read_rows
from xtalshift.errors import XtalshiftError
from xtalshift.estimators.adapted_stack import Problem, cross_fit
from xtalshift.estimators.base import Labelled
from xtalshift.estimators.stack import StackRegressor
from xtalshift.methods import MethodSettings, build_method
from xtalshift.methods.stacks import corrections
from xtalshift.progress import NO_PROGRESS
from xtalshift.seeding import derive_seed

FloatArray = NDArray[np.float64]
LEAST_TEST = 30
N_FOLDS = 10


def first_model(name: str, seed: int) -> Any:
    """Return the unfitted model that is adapted."""
    model = build_method(name, MethodSettings(threads=1, device="cpu"), seed=seed)
    if isinstance(model, StackRegressor):
        model.members = [one for one in model.members if not one.name.startswith("ensemble")]
    return model


def compute(
    X: FloatArray,
    y: FloatArray,
    groups: NDArray[Any],
    parts: dict[str, NDArray[np.int64]],
    start: Any,
    seed: int,
    path: Path,
) -> None:
    """Write the predictions of the first model and of all corrections."""
    source, labels, test = (parts[name] for name in ("source", "labels", "test"))
    rng = np.random.default_rng(derive_seed(seed, "folds"))
    numbers = np.unique(groups[labels], return_inverse=True)[1]
    n_groups = int(numbers.max()) + 1
    folds = rng.permutation(n_groups)[numbers] % min(N_FOLDS, n_groups)
    problem = Problem(
        start,
        start.predict(X[labels]),
        Labelled(X[labels], y[labels], groups=groups[labels]),
        Labelled(X[source], y[source], groups=groups[source]),
        np.random.default_rng(seed),
        NO_PROGRESS,
    )
    before = start.predict(X[test])
    names, oof, found, seconds = ["source"], [problem.first], [before], [0.0]
    bounds = np.array([-np.inf, np.inf])
    for one in corrections(MethodSettings(threads=1, device="cpu")):
        began = time.process_time()
        try:
            predictions, fit_all = cross_fit(one, problem, folds)
            after = fit_all(1.0).predict(X[test], before, bounds)
        except XtalshiftError as error:
            print(f"  {one.name}: {error}", flush=True)
            predictions, after = np.full(len(labels), np.nan), np.full(len(test), np.nan)
        names.append(one.name)
        oof.append(predictions)
        found.append(after)
        seconds.append(time.process_time() - began)
    part = path.with_suffix(".part.npz")
    np.savez(
        part, names=np.array(names), y=y[labels], y_test=y[test], folds=folds, y_source=y[source],
        oof=np.stack(oof), test=np.stack(found), seconds=np.array(seconds),
    )  # fmt: skip
    part.replace(path)


def main() -> None:
    """Compute the cells that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--tables", nargs="+", default=list(DECIDE), choices=[*DECIDE, *CONFIRM])
    parser.add_argument("--shifts", nargs="+", default=list(SHIFTS), choices=SHIFTS)
    parser.add_argument("--labels", nargs="+", type=int, default=[8, 16, 32, 64, 128])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--start", default="auto")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    for seed in args.seeds:
        for table in args.tables:
            todo = {
                (shift, n): args.out / f"{table}-{shift}-{n}-{seed}.npz"
                for shift in args.shifts
                for n in args.labels
            }
            if all(path.exists() for path in todo.values()):
                continue
            data, X = read_rows((DECIDE | CONFIRM)[table])
            for shift in args.shifts:
                if all(todo[shift, n].exists() for n in args.labels):
                    continue
                out = held_out(data, X, shift, seed)
                rng = np.random.default_rng(derive_seed(seed, "rows"))
                source = rng.permutation(np.flatnonzero(~out))[: args.size]
                region = rng.permutation(np.flatnonzero(out))
                start = first_model(args.start, seed)
                start.fit(X[source], data.y[source], groups=data.groups[source])
                for n in args.labels:
                    path, test = todo[shift, n], region[n : n + MAX_TEST]
                    if path.exists() or len(test) < LEAST_TEST:
                        continue
                    parts = {"source": source, "labels": region[:n], "test": test}
                    compute(X, data.y, data.groups, parts, start, seed, path)
                    print(path.name, flush=True)


if __name__ == "__main__":
    main()
