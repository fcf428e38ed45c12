"""What the block ``pretrained`` gives members of a stack, on many small tables and shifts.

    XTALSHIFT_DATA=folder python benchmarks/pretrained.py ENCODER/ OUT/ [--tables ...] [--seeds 0 1]
    python benchmarks/pretrained.py ENCODER/ OUT/ --summary

Cells and scales are those of `auto_members.py`, its deciding tables only. ENCODER is the folder of
an encoder that `tools/make_encoder.py` made without the formulas of these tables and without the
tables of their properties; it is refused if it has seen one of their formulas. Every member is
fitted to five folds, which choose its settings, and to all training rows, on: magpie and fractions
(F), these and the encoder (FP), the encoder alone (P), and the same with an encoder of the same
shape and random weights (FR, R). OUT gets one file per cell, which `auto_rules.py` reads too.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auto_members import DECIDE, SHIFTS, Cell, deviation, make_cell, read_rows
from xtalshift import estimators
from xtalshift.estimators.base import FitData, Labelled
from xtalshift.estimators.stack import stack_weights
from xtalshift.estimators.stack_predictor import MemberScale
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.encoder import read_encoder, save_encoder
from xtalshift.seeding import derive_seed

FloatArray = NDArray[np.float64]
MARGIN = 0.5

MEMBERS: dict[str, tuple[Any, tuple[str, ...], tuple[str, ...]]] = {
    "ridge": (estimators.RidgeRegressor(), ("none", "asinh"), ("F", "FP", "P", "FR", "R")),
    "svr": (
        estimators.SVRegressor(gammas=(0.3, 1.0)),
        ("none", "asinh"),
        ("F", "FP", "P", "FR", "R"),
    ),
    "kernel-ridge": (
        estimators.KernelRidgeRegressor("laplacian", alphas=(0.01, 0.1), gammas=(0.3, 1.0)),
        ("none", "asinh"),
        ("F", "FP", "P"),
    ),
    "lightgbm": (
        estimators.LightGBMRegressor(loss="absolute", threads=1),
        ("asinh",),
        ("F", "FP", "P"),
    ),
}
"""Name -> regressor, scales of the target, features."""


def random_encoder(folder: Path, out: Path) -> str:
    """Write an encoder of the same shape with random weights; return its features."""
    encoder = read_encoder(folder)
    rng = np.random.default_rng(0)
    arrays = dict(encoder.arrays)
    for name in ("first", "second", "output"):
        fan_in = len(arrays[f"{name}.weight"])
        for part in ("weight", "bias"):
            shape = arrays[f"{name}.{part}"].shape
            drawn = rng.uniform(-1, 1, shape) / np.sqrt(fan_in)
            arrays[f"{name}.{part}"] = drawn.astype(np.float16)
    card = {key: value for key, value in asdict(encoder.card).items() if key != "arrays_sha256"}
    save_encoder(out, arrays, card)
    return f"pretrained:{out}"


def members(
    cell: Cell, X: dict[str, FloatArray], kinds: list[str]
) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Yield the name of each member, its predictions outside the folds, and of held-out rows."""
    for kind in kinds:
        regressor, scales, sets = MEMBERS[kind]
        for scale_name in scales:
            scale = MemberScale.of(scale_name, cell.y)  # type: ignore[arg-type]
            for features in sets:
                rows = Labelled(X[features][cell.train], scale.forward(cell.y))
                rng = np.random.default_rng(derive_seed(cell.seed, "method"))
                found = regressor.cross_fit(FitData(rows, rows, None, rng), cell.folds)
                held_out = found.fit_all().predict(X[features][cell.test])
                name = f"{kind}:{features} {scale_name}"
                yield name, scale.inverse(found.predictions), scale.inverse(held_out)


def compute(options: argparse.Namespace) -> None:
    """Write the cells that are missing."""
    control = random_encoder(options.encoder, options.out / "random-encoder")
    encoder = read_encoder(options.encoder)
    for seed in options.seeds:
        for table in options.tables:
            wanted = [
                (shift, size, options.out / f"{table}_{shift}_{size}_{seed}.npz")
                for shift in options.shifts
                for size in options.sizes
            ]
            if all(path.exists() for _, _, path in wanted):
                continue
            data, base = read_rows(DECIDE[table])
            if len(base) > 20_000:
                some = np.sort(np.random.default_rng(0).permutation(len(base))[:20_000])
                data, base = data.take(some), base[some]
            if seen := encoder.knows(data.groups).sum():
                raise SystemExit(f"{options.encoder} has seen {seen} formulas of {table}")
            compositions = data.materials.compositions
            P, R = (
                CompositionFeaturizer(name).transform(compositions)
                for name in (f"pretrained:{options.encoder}", control)
            )
            X = {"F": base, "FP": np.hstack([base, P]), "P": P, "FR": np.hstack([base, R]), "R": R}
            for shift, size, path in wanted:
                if path.exists():
                    continue
                cell = make_cell(data, base, shift, size, seed)
                if cell is None:
                    continue
                began = time.process_time()
                names, oof, test = zip(*members(cell, X, options.members), strict=True)
                part = path.with_suffix(".part.npz")
                np.savez(
                    part, names=np.array(names), y=cell.y, y_test=cell.y_test,
                    oof=np.stack(oof, axis=1), test=np.stack(test, axis=1),
                )  # fmt: skip
                part.replace(path)
                print(f"{path.stem}: {time.process_time() - began:.0f} s", flush=True)


def summarise(folder: Path) -> None:
    """Print the ratios of errors: members with and without the encoder, and stacks of both."""
    ratios: dict[str, list[tuple[tuple[str, str, str, str], float]]] = {}
    for path in sorted(folder.glob("*_*.npz")):
        if ".part" in path.name:
            continue
        found = np.load(path)
        table, shift, size, seed = path.stem.rsplit("_", 3)
        key = (table, shift, size, seed)
        y, y_test, names = found["y"], found["y_test"], [str(name) for name in found["names"]]
        span = MARGIN * np.ptp(y)
        oof, test = (
            np.clip(found[part], y.min() - span, y.max() + span) for part in ("oof", "test")
        )
        error = dict(zip(names, np.abs(test - y_test[:, None]).mean(axis=0), strict=True))
        for name, value in error.items():
            kind, _, rest = name.partition(":")
            features, _, scale = rest.partition(" ")
            if features != "F":
                ratio = value / error[f"{kind}:F {scale}"]
                ratios.setdefault(f"{kind} {scale} {features}/F", []).append((key, ratio))

        def stack(*sets: str) -> float:
            own = [k for k, name in enumerate(names) if name.split(":")[1].split()[0] in sets]  # noqa: B023
            weights = stack_weights(oof[:, own].T, y)  # noqa: B023
            return float(np.abs(test[:, own] @ weights - y_test).mean())  # noqa: B023

        alone = stack("F")
        for sets in (("F", "P"), ("F", "FP"), ("F", "FP", "P"), ("F", "FR", "R"), ("FP", "P")):
            name = f"stack {'+'.join(sets)} / F"
            ratios.setdefault(name, []).append((key, stack(*sets) / alone))
        best = min(value for name, value in error.items() if ":F " in name)
        for name in ("F", "F+FP+P"):
            ratios.setdefault(f"stack {name} / best F in hindsight", []).append(
                (key, stack(*name.split("+")) / best)
            )
        ratios.setdefault("stack F / median", []).append((key, alone / deviation(y_test)))
    for what, one in ratios.items():
        print(_line(what, one))


def _line(what: str, found: list[tuple[tuple[str, str, str, str], float]]) -> str:
    """Return the geometric means of a ratio: of all cells, by seed, table, shift and size."""

    def mean(place: int, value: str) -> str:
        return f"{_geometric([ratio for key, ratio in found if key[place] == value]):.3f}"

    parts = [f"{what:38} {_geometric([ratio for _, ratio in found]):.3f}"]
    parts.append(f"worst {max(ratio for _, ratio in found):.2f} n={len(found)}")
    for place, label in ((3, "seed"), (0, "table"), (1, "shift"), (2, "rows")):
        values = sorted({key[place] for key, _ in found})
        parts.append(f"{label}: " + " ".join(f"{v} {mean(place, v)}" for v in values))
    return " | ".join(parts)


def _geometric(values: list[float]) -> float:
    return float(np.exp(np.log(values).mean()))


def main() -> None:
    """Compute the cells that are missing, or print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("encoder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--tables", nargs="+", default=list(DECIDE))
    parser.add_argument("--shifts", nargs="+", default=list(SHIFTS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[150, 500])
    parser.add_argument("--members", nargs="+", default=list(MEMBERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    options.out.mkdir(parents=True, exist_ok=True)
    if options.summary:
        summarise(options.out)
    else:
        compute(options)


if __name__ == "__main__":
    main()
