"""How many of the truly best candidates a batch of `xtalshift suggest` has.

    XTALSHIFT_DATA=folder python benchmarks/suggest_batch.py [--methods ridge lightgbm svr]
        [--seeds 3] [--candidates 92] [--train 400] [--batch 20] [--out suggest_batch.jsonl]

Per table, seed and pool, a model is fitted to `train` formulas without tellurium, or to random
ones; candidates are tellurides, which the model has never seen, or other random formulas. Each rule
chooses one batch; the number of the truly best 20 among them is counted, where the best are the
highest or the lowest values. Chance finds batch * 20 / candidates of them. A task in which more
than the best 20 share the extreme value is left out: there is nothing to find.

Rules: `prediction` (the best predictions, the default of `suggest --toward`), expected improvement
with and without spread over the candidates, the probability to beat the best known value, and
expected improvement in the unit of the target, from 2,000 quantiles of the same distributions. For
comparison `normal` is expected improvement of a normal distribution with the prediction as mean and
half the 68 % interval as standard deviation, both in the unit of the target.

Every fit is one line of the output file; what is there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

import xtalshift as xs
from xtalshift.acquisition.acquisition_rules import (
    Aim,
    Candidates,
    best_measured,
    choose_candidates,
)
from xtalshift.data import clean_table
from xtalshift.metrics import paired_test
from xtalshift.model import Predictions
from xtalshift.seeding import derive_seed

TABLES = {
    "aflow__agl_thermal_conductivity_300K": "log",
    "aflow__ael_shear_modulus_vrh": "log",
    "piezoelectric_mp": "log1p",
    "aflow__ael_debye_temperature": "none",
    "aflow__ael_bulk_modulus_vrh": "none",
    "mp_e_form": "none",
    "expt_gap": "none",
}
"""Table and transform of its target."""
ELEMENT = "Te"
BEST = 20
MOST = 20_000
KEY = ("table", "transform", "method", "seed", "pool", "candidates", "train", "batch")


def load(table: str, transform: str) -> xs.Dataset:
    """Return the materials of a table, of a large one a fixed random sample."""
    path = Path(os.environ["XTALSHIFT_DATA"], "composition", f"{table}.parquet")
    frame = pd.read_parquet(path)[["formula", "target"]].dropna()
    if transform == "log":
        frame = frame[frame["target"] > 0]
    if len(frame) > MOST:
        frame = frame.sample(MOST, random_state=0)
    return clean_table(xs.Dataset.of(frame["formula"].tolist(), frame["target"].to_numpy()))


def draw(
    data: xs.Dataset, pool: str, seed: int, n: int, train: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the candidates and of the training materials."""
    order = np.random.default_rng(derive_seed(seed, "pool")).permutation(len(data))
    if pool == "random":
        return order[:n], order[n : n + train]
    formulas = np.array([ELEMENT in formula for formula in data.formulas])[order]
    return order[formulas][:n], order[~formulas][:train]


def choose(
    found: Predictions, points: NDArray[Any], known: Any, n: int, side: Any
) -> dict[str, NDArray[np.int64]]:
    """Return the rows that each rule chooses."""
    aim = Aim(side)
    best = best_measured(known, aim)
    given = Candidates(len(points), found.prediction, found.distribution, points)
    rules = {
        "prediction": ("prediction", Aim(side), 0.0),
        "prediction, spread": ("prediction", Aim(side), 1.0),
        "expected improvement": ("expected-improvement", Aim(side, best=best), 0.0),
        "expected improvement, spread": ("expected-improvement", Aim(side, best=best), 1.0),
        "probability of a record": ("probability", Aim(side, threshold=best), 0.0),
    }
    chosen = {
        name: choose_candidates(rule, given, n, wanted, diversity=spread).rows
        for name, (rule, wanted, spread) in rules.items()
    }
    sign = 1.0 if side == "high" else -1.0
    assert found.distribution is not None
    p = (np.arange(2000)[:, None] + 0.5) / 2000
    # the share behind the largest score counts at that score
    low, high = (found.distribution.quantile(edge) for edge in _inner(found))
    y = np.clip(found.distribution.quantile(p), low, high)
    scores = {
        "expected improvement, in the unit": np.maximum(sign * (y - best), 0).mean(axis=0),
        "normal": _normal(sign * (found.prediction - best), found.std),
    }
    for name, score in scores.items():
        chosen[name] = np.lexsort((-sign * found.prediction, -score))[:n]
    return chosen


def _inner(found: Predictions) -> tuple[float, float]:
    assert found.distribution is not None
    n = len(found.distribution.laws[0].scores)
    outer = 0.5 / (n + 1)
    return outer, 1 - outer


def _normal(gain: NDArray[Any], std: NDArray[Any]) -> NDArray[Any]:
    z = gain / std
    return np.asarray(gain * norm.cdf(z) + std * norm.pdf(z))


def run(
    data: xs.Dataset, record: dict[str, Any], options: argparse.Namespace
) -> dict[str, dict[str, int]]:
    """Return how many of the best each rule finds, by side."""
    pool, train = draw(data, record["pool"], record["seed"], options.candidates, options.train)
    model = xs.fit(
        data.take(train), record["method"], transform=record["transform"], seed=record["seed"]
    )
    materials = data.materials.take(pool)
    found = model.predict(materials)
    assert model.domain is not None
    points = model.domain.novelty_.reference.scaler.transform(model.features_of(materials))
    counts: dict[str, dict[str, int]] = {}
    for side in ("high", "low"):
        worth = data.y[pool] if side == "high" else -data.y[pool]
        order = np.argsort(-worth, kind="stable")
        if worth[order[0]] == worth[order[BEST]]:
            continue
        # of a tie at the edge the first rows count
        best = set(order[:BEST].tolist())
        chosen = choose(found, points, data.y[train], options.batch, side)
        counts[side] = {name: len(best & set(rows.tolist())) for name, rows in chosen.items()}
    return counts


def summarise(records: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Print a table per pool, and paired tests against the best predictions."""
    rows = [
        {**{k: record[k] for k in KEY}, "side": side, "rule": rule, "found": found}
        for record in records
        for side, counts in record["found"].items()
        for rule, found in counts.items()
    ]
    frame = pd.DataFrame(rows)
    print(f"chance: {options.batch * BEST / options.candidates:.1f}")
    for pool, part in frame.groupby("pool", sort=False):
        print(f"\n{pool}: best {BEST} of {options.candidates}, batches of {options.batch}\n")
        index = ["table", "transform", "side"]
        wide = part.pivot_table("found", index, "rule", sort=False)
        print(wide.round(1).to_markdown())
        print()
        for method, own in part.groupby("method", sort=False):
            cells = own.pivot_table("found", [*index, "seed"], "rule", sort=False)
            base = cells["prediction"]
            text = [f"{method}: prediction {base.mean():.2f}"]
            for rule in cells.columns.drop("prediction"):
                test = paired_test(cells[rule].to_numpy(), base.to_numpy())
                text.append(f"{rule} {test.mean_difference:+.2f} (p = {test.wilcoxon_p:.2g})")
            print("; ".join(text))


def main() -> None:
    """Run what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--methods", nargs="+", default=["ridge", "lightgbm", "svr"])
    parser.add_argument("--pools", nargs="+", default=["tellurides", "random"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=92)
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("suggest_batch.jsonl"))
    options = parser.parse_args()
    records = []
    if options.out.exists():
        records = [json.loads(line) for line in options.out.read_text("utf-8").splitlines()]
    done = {tuple(record[name] for name in KEY): record for record in records}
    wanted = []
    for table in options.tables:
        data = None
        for method in options.methods:
            for seed in range(options.seeds):
                for pool in options.pools:
                    values = (table, TABLES[table], method, seed, pool)
                    values += (options.candidates, options.train, options.batch)
                    if values not in done:
                        data = load(table, TABLES[table]) if data is None else data
                        record = dict(zip(KEY, values, strict=True))
                        record["found"] = run(data, record, options)
                        done[values] = record
                        with options.out.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(record) + "\n")
                    wanted.append(done[values])
        print(f"{table}: done", flush=True)
    summarise(wanted, options)


if __name__ == "__main__":
    main()
