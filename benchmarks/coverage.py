"""What share of true values prediction intervals hold, in and out of distribution.

    python benchmarks/coverage.py [--tables mp_gap ...] [--method lightgbm] [--members 1]
        [--seeds 5] [--rows 12000] [--level 0.9] [--only random prior] [--out coverage.jsonl]

A table is a name of the catalogue, or of a file in the folder of tables that XTALSHIFT_DATA names.
Per seed and shift: test rows are held out, of the other formulas a tenth selects parameters and
15 % calibrate; shares of targets inside their interval ("coverage") are on test rows only.

random      test rows are a random fifth: the intervals must hold.
tilt        test rows are drawn with odds exp(1.5 s) of the first principal component s: covariate
            shift with overlap, as between what is known and what is wanted.
covariate   the fifth in the sparsest regions of the features: covariate shift with little overlap.
prior       the fifth of largest targets.
family      oxides, or compounds of rare earths where few (or most) rows are oxides.

Columns: plain intervals (naive under shift); by family; weighted by density ratio (classifier,
uLSIF) with the effective number of calibration rows; calibrated on 128 target labels, which the
model never saw; the same labels also adapt it (joint LightGBM, labels weighted up), intervals from
five folds of them. Every result is one line of the output file; what is there is not computed
again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from ablation import read_table
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.families import family_codes
from xtalshift.data.transform import TargetTransform
from xtalshift.estimators import Regressor
from xtalshift.methods import MethodSettings, build_method
from xtalshift.metrics import interval_scores
from xtalshift.model.intervals import calibrate_regressor, join_scores, predictive, score_rows
from xtalshift.seeding import derive_seed
from xtalshift.splits import CovariateSplit, FamilySplit, KFoldSplit, PriorSplit, RandomSplit
from xtalshift.splits.feature_space import embed
from xtalshift.uncertainty.conformal import Calibration
from xtalshift.uncertainty.weighted import shift_weights

SHIFTS = ("random", "tilt", "covariate", "prior", "family")
LABELS = 128


def test_mask(
    shift: str, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any], seed: int
) -> NDArray[np.bool_]:
    """Return which rows are test rows."""
    if shift == "random":
        return RandomSplit(0.2, derive_seed(seed, "test")).held_out(X, y, groups)
    if shift == "covariate":
        return CovariateSplit(share=0.2).held_out(X, y, groups)
    if shift == "prior":
        return PriorSplit(share=0.2).held_out(X, y, groups)
    if shift == "family":
        oxides = FamilySplit("O").held_out(X, y, groups)
        few = oxides.mean() < 0.15 or oxides.mean() > 0.5
        return FamilySplit("rare_earth").held_out(X, y, groups) if few else oxides
    along = embed(X, 1)[:, 0]
    odds = np.exp(1.5 * (along - along.mean()) / along.std())
    rng = np.random.default_rng(derive_seed(seed, "tilt"))
    chosen = rng.choice(len(y), len(y) // 5, replace=False, p=odds / odds.sum())
    mask = np.zeros(len(y), dtype=bool)
    mask[chosen] = True
    return mask


class Judge:
    """Notes coverage and width of intervals of one model on test rows."""

    def __init__(self, model: Regressor, X: NDArray[Any], y: NDArray[Any], level: float) -> None:
        self.X, self.y, self.level, self.model = X, y, level, model
        self.records: list[dict[str, Any]] = []

    def note(self, name: str, calibration: Calibration, rows: Any = None, **how: Any) -> None:
        """Add a record; `rows` are the test rows that count, by default all."""
        rows = np.arange(len(self.y)) if rows is None else rows
        extra = how.pop("extra", {})
        forecast = score_rows(self.model, self.X[rows], calibration.kind)
        low, high = predictive(
            forecast, calibration, TargetTransform(), level=self.level, **how
        ).interval(self.level)
        found = interval_scores(self.y[rows], low, high, level=self.level)
        bounded = np.isfinite(high - low)
        self.records.append(
            {
                "intervals": name,
                "coverage": found.coverage,
                "median_width": float(np.median(high - low)),
                "bounded": float(bounded.mean()),
                "n_calibration": len(calibration),
                "n_test": len(rows),
                "mae": float(np.mean(np.abs(forecast.center - self.y[rows]))),
                **extra,
            }
        )


def run(
    table: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    shift: str,
    seed: int,
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Return the records of one shift and seed."""
    X, y, groups = table
    families = family_codes(parse_formulas(groups.tolist())[0])
    test = test_mask(shift, X, y, groups, seed)
    source = np.flatnonzero(~test)
    aside = RandomSplit(0.15, derive_seed(seed, "calibration"))
    mask = aside.held_out(X[source], y[source], groups[source])
    held, fitted = source[mask], source[~mask]
    settings = MethodSettings.from_dict({"network": {"n_members": options.members}, "threads": 1})
    model = build_method(options.method, settings, seed=derive_seed(seed, "method"))
    model.fit(X[fitted], y[fitted], groups=groups[fitted])
    rows = np.random.default_rng(derive_seed(seed, "rows")).permutation(np.flatnonzero(test))
    judge = Judge(model, X[rows], y[rows], options.level)
    plain = calibrate_regressor(model, X[held], y[held], families=families[held])
    judge.note("plain", plain)
    judge.note("family", plain, families=families[rows])
    if shift not in {"random", "prior"}:
        for method in ("classifier", "ulsif"):
            found = shift_weights(plain, X[rows], method=method, random_state=seed)
            judge.note(
                f"weighted {method}",
                plain,
                weights=(found.known, found(X[rows])),
                extra={"effective": found.effective_sample_size},
            )
    if shift != "random":
        labels, rest = np.arange(LABELS), np.arange(LABELS, len(rows))
        known = calibrate_regressor(model, X[rows[labels]], y[rows[labels]], origin="target")
        judge.note("128 labels", known, rest)
        if options.method == "lightgbm":
            judge.records += adapted(model, (X, y, groups), fitted, rows, options.level, seed)
    return judge.records


def adapted(
    model: Regressor,
    table: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    fitted: NDArray[Any],
    rows: NDArray[Any],
    level: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Train on source rows and labels together; intervals from folds of the same labels."""
    X, y, groups = table
    labels, rest = rows[:LABELS], rows[LABELS:]

    def fit(chosen: NDArray[Any]) -> Regressor:
        both = np.concatenate([fitted, chosen])
        weight = np.ones(len(both))
        weight[len(fitted) :] = 0.2 * len(fitted) / len(chosen)
        return clone(model).fit(X[both], y[both], sample_weight=weight, groups=groups[both])

    parts = []
    split = KFoldSplit(5, random_state=derive_seed(seed, "folds"))
    for kept, out in split.split(X[labels], y[labels], groups[labels]):
        parts.append((out, score_rows(fit(labels[kept]), X[labels[out]])))
    calibration = join_scores(parts, X[labels], y[labels], origin="target")
    judge = Judge(fit(labels), X[rest], y[rest], level)
    judge.note("128 labels, cross", calibration)
    return judge.records


def main() -> None:
    """Run what is missing and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--tables", nargs="+", default=["mp_gap", "aflow__ael_shear_modulus_vrh", "expt_gap"]
    )
    parser.add_argument("--only", nargs="+", default=list(SHIFTS), choices=SHIFTS)
    parser.add_argument("--method", default="lightgbm")
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=12_000, help="formulas of each table, at most")
    parser.add_argument("--level", type=float, default=0.9)
    parser.add_argument("--out", type=Path, default=Path("coverage.jsonl"))
    options = parser.parse_args()
    known = [json.loads(line) for line in _lines(options.out)]
    done = {_key(record) for record in known}
    for name in options.tables:
        wanted = [
            (shift, seed)
            for seed in range(options.seeds)
            for shift in options.only
            if (name, options.method, options.members, shift, seed) not in done
        ]
        if not wanted:
            continue
        materials, X = read_table(name)
        rows = np.sort(np.random.default_rng(0).permutation(len(X))[: options.rows])
        table = X[rows], materials.y[rows], materials.groups[rows]
        for shift, seed in wanted:
            with options.out.open("a") as stream:
                for record in run(table, shift, seed, options):
                    key = {"table": name, "method": options.method, "members": options.members}
                    full = {**key, "shift": shift, "seed": seed, **record}
                    stream.write(json.dumps(full) + "\n")
                    known.append(full)
            print(f"{name} {shift} seed {seed}", flush=True)
    print(summary(pd.DataFrame(known)))


def _lines(path: Path) -> Iterator[str]:
    return iter(path.read_text().splitlines() if path.exists() else [])


def _key(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("table", "method", "members", "shift", "seed"))


def summary(records: pd.DataFrame) -> str:
    """Return a Markdown table: coverage in per cent, mean and spread over seeds.

    In brackets the median width over that of the plain intervals; of weighted intervals the
    effective number of calibration rows, and the share of rows with a finite interval if below 1.
    """
    names = list(dict.fromkeys(records["intervals"]))
    lines = [f"| table | method | shift | {' | '.join(names)} |", "|---" * (len(names) + 3) + "|"]
    for key, part in records.groupby(["table", "method", "members", "shift"], sort=False):
        table, method, members, shift = key
        plain = part.loc[part["intervals"] == "plain", "median_width"].mean()
        cells = [_cell(part[part["intervals"] == name], plain) for name in names]
        shown = f"{method}{f' x{members}' if members > 1 else ''}"
        lines.append(f"| {table} | {shown} | {shift} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(part: pd.DataFrame, plain: float) -> str:
    if part.empty:
        return ""
    held, bounded = 100 * part["coverage"], part["bounded"].mean()
    # of seeds of which most rows have no bound the median width is infinite
    notes = [f"x {part['median_width'].mean() / plain:.2f}"]
    if "effective" in part and part["effective"].notna().all():
        notes.append(f"n {part['effective'].mean():.0f}")
    if bounded < 1:
        notes.append(f"{100 * bounded:.0f} % bounded")
    return f"{held.mean():.1f} ± {held.std():.1f} ({', '.join(notes)})"


if __name__ == "__main__":
    main()
