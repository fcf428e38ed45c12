"""Calibrated class probabilities and prediction sets: beside scikit-learn's, and their coverage.

    python benchmarks/class_calibration.py --out FOLDER [--tables expt_gap ...] [--seeds 2]

A table is a file in the folder ``composition`` of the folder that XTALSHIFT_DATA names, with band
gaps in eV; at most 5,000 rows of it are drawn. Two problems: metal or not (a gap above 0), and
three classes (also: a gap of at least 2 eV). Test rows are a random fifth, fluorides (odd seeds:
oxides), a cluster of five, or the fifth in the sparsest regions; at most 1,000 of them. A tenth of
the other materials calibrates, at most 2,000 train four classifiers of scikit-learn and LightGBM.
Their probabilities are kept in the folder; what is there is not computed again.

First table: mean log loss on test rows, over that of the best of scikit-learn's three calibrations
(sigmoid, isotonic, temperature) *on these test rows*, which nobody knows beforehand; in how many
cells it is no larger, or larger by at most 1 %. Second table: share of test rows whose 90 % set
holds their class, with the mean number of classes in a set, calibrated on rows like the training
rows ("naive" under a shift) or on 128 labelled rows of the held-out region, in cells with at least
256 test rows.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xtalshift.data import Dataset, clean_table
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.metrics.classification import log_loss
from xtalshift.seeding import derive_seed
from xtalshift.splits import CovariateSplit, FamilySplit, LOCOSplit, RandomSplit
from xtalshift.uncertainty.prediction_sets import SetCalibration
from xtalshift.uncertainty.probabilities import fit_probabilities

Floats = NDArray[np.float64]
TABLES = ("expt_gap", "mp_gap", "aflow__Egap")
SHIFTS = ("random", "family", "cluster", "sparse")
REFERENCES = ("sigmoid", "isotonic", "temperature")
OURS = ("none", "temperature", "temperature-bias", "isotonic", "auto")
MOST_ROWS, MOST_TRAIN, MOST_TEST, LABELS = 5000, 2000, 1000, 128
WIDE_GAP = 2.0


class Known(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose features are the probabilities, for scikit-learn."""

    def __init__(self, n_classes: int = 2) -> None:
        self.n_classes = n_classes

    def fit(self, X: Floats, y: NDArray[Any]) -> Known:  # noqa: ARG002 - the interface
        """Learn nothing."""
        self.classes_ = np.arange(self.n_classes)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: Floats) -> Floats:
        """Return the features."""
        return X

    def predict(self, X: Floats) -> NDArray[np.intp]:
        """Return the most probable class."""
        return np.asarray(X.argmax(axis=1))


def classifiers() -> dict[str, Any]:
    """Return unfitted classifiers by name."""
    scaled = StandardScaler()
    return {
        "extra-trees": ExtraTreesClassifier(200, max_features=0.33, random_state=0),
        "lightgbm": LGBMClassifier(
            n_estimators=200, learning_rate=0.05, num_leaves=15, n_jobs=1, random_state=0,
            verbose=-1,
        ),
        "logistic": make_pipeline(scaled, LogisticRegression(max_iter=500)),
        "network": make_pipeline(
            scaled, MLPClassifier((64,), alpha=1e-3, max_iter=60, random_state=0)
        ),
    }  # fmt: skip


def held_out(shift: str, X: Floats, data: Dataset, seed: int) -> NDArray[np.bool_]:
    """Return which rows are test rows."""
    if shift == "random":
        return RandomSplit(0.2, derive_seed(seed, "test")).held_out(X, data.y, data.groups)
    if shift == "family":
        return FamilySplit("FO"[seed % 2]).held_out(X, data.y, data.groups)
    if shift == "sparse":
        return CovariateSplit(0.2, random_state=seed).held_out(X, data.y, data.groups)
    folds = list(LOCOSplit(n_clusters=5, random_state=seed).folds(X, data.y, data.groups))
    test = np.zeros(len(X), dtype=bool)
    test[folds[seed % len(folds)].test] = True
    return test


def fit_all(tables: list[str], seeds: int, folder: Path) -> None:
    """Keep the probabilities of every classifier in every cell."""
    for name in tables:
        path = Path(os.environ["XTALSHIFT_DATA"]) / "composition" / f"{name}.parquet"
        rows = pd.read_parquet(path)
        if len(rows) > MOST_ROWS:
            rows = rows.sample(MOST_ROWS, random_state=0)
        data = clean_table(Dataset.of(rows["formula"].tolist(), rows["target"].to_numpy(float)))
        X = np.nan_to_num(CompositionFeaturizer("magpie").transform(data.materials))
        metal = (data.y > 0).astype(int)
        problems = {"metal": metal, "three": metal + (data.y >= WIDE_GAP)}
        for shift in SHIFTS:
            for seed in range(seeds):
                mask = held_out(shift, X, data, seed)
                rng = np.random.default_rng(derive_seed(seed, "rows"))
                rest, test = np.flatnonzero(~mask), rng.permutation(np.flatnonzero(mask))
                split = RandomSplit(0.1, derive_seed(seed, "calibration"))
                aside = split.held_out(X[rest], None, data.groups[rest])
                train, calibration = rng.permutation(rest[~aside])[:MOST_TRAIN], rest[aside]
                parts = {"calibration": calibration, "test": test[:MOST_TEST]}
                for problem, y in problems.items():
                    for method, model in classifiers().items():
                        file = folder / f"{name}.{problem}.{shift}.{seed}.{method}.npz"
                        if file.exists():
                            continue
                        with warnings.catch_warnings():
                            warnings.simplefilter("ignore", ConvergenceWarning)
                            warnings.filterwarnings("ignore", "X does not have valid feature names")
                            model.fit(X[train], y[train])
                            p = {part: model.predict_proba(X[of]) for part, of in parts.items()}
                        labels = {f"{part}_y": y[of] for part, of in parts.items()}
                        groups = data.groups[calibration].astype(str)
                        np.savez(file, groups=groups, **p, **labels)
        print(f"{name}: fitted", flush=True)


def compare(file: Path) -> dict[str, Any]:
    """Return log losses and coverages of one cell."""
    table, problem, shift, seed, method, _ = file.name.split(".")
    cell = np.load(file)
    p, y, new, truth = (cell[key] for key in ("calibration", "calibration_y", "test", "test_y"))
    found: dict[str, Any] = {
        "table": table, "problem": problem, "shift": shift, "seed": seed, "method": method
    }  # fmt: skip
    model = Known(p.shape[1]).fit(p, y)
    for kind in REFERENCES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = CalibratedClassifierCV(FrozenEstimator(model), method=kind).fit(p, y)
        q = np.zeros_like(new)
        q[:, fitted.classes_.astype(int)] = fitted.predict_proba(new)
        found[f"scikit-learn {kind}"] = log_loss(truth, q)
    for kind in OURS:
        calibration = fit_probabilities(p, y, kind, groups=cell["groups"])  # type: ignore[arg-type]
        found[kind] = log_loss(truth, calibration.apply(new))
        if kind == "auto":
            found["chosen"] = calibration.kind
    labels, rest = np.arange(LABELS), np.arange(LABELS, len(truth))  # in random order
    if len(rest) < LABELS:
        return found
    sources = {"naive": (p, y), "128 labels": (new[labels], truth[labels])}
    for origin, rows in sources.items():
        for kind in ("lac", "aps", "class-conditional"):
            sets = SetCalibration.of(*rows, kind).sets(new[rest], 0.9)  # type: ignore[arg-type]
            found[f"{origin} {kind}"] = sets[np.arange(len(rest)), truth[rest]].mean()
            found[f"{origin} {kind} size"] = sets.sum(axis=1).mean()
    return found


def describe(cells: pd.DataFrame) -> Iterator[str]:
    """Return the lines of both tables."""
    best = cells[[f"scikit-learn {kind}" for kind in REFERENCES]].min(axis=1)
    yield f"{len(cells)} cells; auto chose {cells['chosen'].value_counts().to_dict()}"
    for name in ("all", *SHIFTS):
        part = cells if name == "all" else cells[cells["shift"] == name]
        yield f"\n{name} ({len(part)} cells): log loss, ratio to the best, no larger, within 1 %"
        for column in (*(f"scikit-learn {kind}" for kind in REFERENCES), *OURS):
            loss = part[column]
            ratio = loss / best[part.index]
            no_larger, nearly = ((ratio <= most).mean() for most in (1 + 1e-9, 1.01))
            yield f"{column:25} {loss.mean():.4f} {ratio.mean():.3f} {no_larger:.0%} {nearly:.0%}"
        for origin in ("naive", "128 labels"):
            for kind in ("lac", "aps", "class-conditional"):
                hit, size = part[f"{origin} {kind}"], part[f"{origin} {kind} size"]
                yield (
                    f"{origin} {kind:18} coverage {hit.mean():.1%} (sd {hit.std():.1%}), "
                    f"size {size.mean():.2f}"
                )


def main() -> None:
    """Fit what is missing, then print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    fit_all(list(given.tables), given.seeds, given.out)
    cells = pd.DataFrame([compare(file) for file in sorted(given.out.glob("*.npz"))])
    cells.to_csv(given.out / "cells.csv", index=False)
    print("\n".join(describe(cells)))


if __name__ == "__main__":
    main()
