"""Does `judge` say the truth? Materials of real tables play the candidates.

    XTALSHIFT_DATA=folder python benchmarks/judging.py OUT.jsonl [--tables shear ...] [--seed 0]
        [--rows 600] [--elements 8] [--clusters 2] [--methods ridge,svr,lightgbm]
        [--encoders ENCODERS/]
    XTALSHIFT_DATA=folder python benchmarks/judging.py OUT.jsonl --report

Of each table so many rows are drawn. All compounds of one element (3 to 30 % of the rows), or one
cluster, are the candidates: `judge` sees their formulas only. Their targets then tell whether the
error is in the range that was predicted, whether the recommended method is within 5 % of the best
of those compared, and whether the intervals hold. One line of OUT.jsonl is one such case; lines
that are there are not computed again. For `auto` name ENCODERS/TABLE, encoders that have seen no
material of the table: that of the package has seen half of the candidates with other properties,
or this one. Then all methods have its features.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from xtalshift.benchmark.verdict import grounds_of
from xtalshift.chem.elements import SYMBOLS
from xtalshift.data import Dataset, clean_table
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.jobs.imitate import CANDIDATES
from xtalshift.jobs.judge import LEVEL_MARGIN, Judgement, judge, place_holds
from xtalshift.jobs.judge_settings import JudgeConfig
from xtalshift.metrics.ranking import spearman
from xtalshift.parallel import InProcessExecutor, limited_threads
from xtalshift.seeding import derive_seed
from xtalshift.splits.feature_space import cluster_points, embed

TABLES = {
    "expt_gap": ("composition/expt_gap.parquet", "none"),
    "refractive_index": ("structures/dielectric.parquet", "none"),
    "shear": ("composition/aflow__ael_shear_modulus_vrh.parquet", "none"),
    "conductivity": ("composition/aflow__agl_thermal_conductivity_300K.parquet", "log"),
    "mp_gap": ("composition/mp_gap.parquet", "none"),
    "mp_e_form": ("composition/mp_e_form.parquet", "none"),
    "piezoelectric": ("composition/piezoelectric.parquet", "log"),
    "expansion": ("composition/aflow__agl_thermal_expansion_300K.parquet", "none"),
}
LEAST, MOST = 0.03, 0.3
"""Smallest and largest share of the rows that may be candidates."""
SHOWN = ("verdict", "method", "low", "mae", "high", "coverage")
VARIED = 0.3
"""Least mean deviation of their targets, over that of the table: elsewhere any constant is best."""


def draw_table(name: str, n_rows: int, seed: int) -> Dataset:
    """Return so many materials of a table."""
    place, transform = TABLES[name]
    frame = pd.read_parquet(Path(os.environ["XTALSHIFT_DATA"]) / place)
    good = np.isfinite(frame["target"]) & ((frame["target"] > 0) | (transform == "none"))
    rng = np.random.default_rng(derive_seed(seed, name))
    frame = frame[good].iloc[rng.permutation(int(good.sum()))[: 2 * n_rows]]
    data = clean_table(Dataset.of(frame["formula"].tolist(), frame["target"].to_numpy()))
    return data.take(np.sort(rng.permutation(len(data))[:n_rows]))


def regions(data: Dataset, n_elements: int, n_clusters: int, seed: int) -> dict[str, np.ndarray]:
    """Return masks of the rows that play candidates."""
    rng = np.random.default_rng(derive_seed(seed, "regions"))
    X = CompositionFeaturizer("magpie", impute_nan=True).transform(data.materials.compositions)
    labels = cluster_points(embed(X, 10), 10, random_state=seed)
    compositions = data.materials.compositions
    drawn = {SYMBOLS[z]: compositions.contains(SYMBOLS[z]) for z in np.unique(compositions.z)}
    deviation = np.abs(data.y - np.median(data.y)).mean()

    def possible(mask: np.ndarray) -> bool:
        y = data.y[mask]
        varies = len(y) and np.abs(y - np.median(y)).mean() > VARIED * deviation
        return bool(LEAST * len(data) <= mask.sum() <= MOST * len(data) and varies)

    names = [name for name in drawn if possible(drawn[name])]
    found = {name: drawn[name] for name in rng.permutation(names)[:n_elements]}
    clusters = [f"cluster {k}" for k in range(labels.max() + 1) if possible(labels == k)]
    for name in rng.permutation(clusters)[:n_clusters]:
        found[str(name)] = labels == int(name.split()[1])
    return found


def run_case(name: str, data: Dataset, mask: np.ndarray, args: argparse.Namespace) -> dict:
    """Judge the materials of a mask by the others, and compare with the truth."""
    table, held = data.take(~mask), data.take(mask)
    config = JudgeConfig(methods=tuple(args.methods.split(",")), n_measure=0)
    features = None if args.encoders is None else f"+pretrained:{args.encoders / name}"
    found = judge(
        table, held.materials, config, features=features, transform=TABLES[name][1],
        executor=InProcessExecutor(), seed=args.seed,
    )  # fmt: skip
    answer, y = found.answer, held.y
    forecasts = found.imitation.forecasts
    errors = {
        method: float(np.abs(forecasts[CANDIDATES, method].prediction - y).mean())
        for method in found.imitation.methods
    }
    predicted = found.predictions
    inside = (predicted.lower <= y) & (y <= predicted.upper)
    return {
        "n": len(y), "verdict": answer.verdict, "method": answer.method,
        "expected": answer.expected_mae, "low": answer.expected_low, "high": answer.expected_high,
        "mae": float(np.abs(predicted.prediction - y).mean()), "errors": errors,
        "dummy": float(np.abs(table.y.mean() - y).mean()),
        "own_median": float(np.abs(np.median(y) - y).mean()),
        "spearman": spearman(y, predicted.prediction), "coverage": float(inside.mean()),
        "needed": needed_factor(found, y), "said_coverage": answer.coverage,
        "grounds": grounds_of(answer.proxies, answer.expected_mae)._asdict(),
        "proxies": [[one.name, one.mae, one.n] for one in answer.proxies],
        "methods": {one.name: one.methods for one in answer.proxies},
        "holds": {place: vars(one) for place, one in
                  place_holds(found.imitation).items()},
    }  # fmt: skip


def needed_factor(found: Judgement, y: np.ndarray) -> float:
    """Return by what the intervals must be wider to hold 90 % of the targets."""
    predicted = found.predictions
    forward = found.model.scale.forward
    center, z = forward(predicted.prediction), forward(y)
    half = (forward(predicted.upper) - forward(predicted.lower)) / 2
    return float(np.quantile(np.abs(z - center) / half, 0.9))


def report(records: list[dict]) -> None:
    """Print how often the answers were right."""
    frame = pd.DataFrame(records)
    inside = (frame.low <= frame.mae) & (frame.mae <= frame.high)
    best = pd.Series([min(one.values()) for one in frame.errors])
    own = pd.Series([one[name] for one, name in zip(frame.errors, frame.method, strict=True)])
    print(f"{len(frame)} cases of {frame.table.nunique()} tables")
    print(f"true error in the range: {inside.mean():.2f}; by table:")
    print(inside.groupby(frame.table).mean().round(2).to_dict())
    print(f"width of the range (high / low), median: {(frame.high / frame.low).median():.2f}")
    rest = np.log(frame.mae / frame.expected)
    print(f"log of true over expected: mean {rest.mean():.3f}, sd {rest.std():.3f}, "
          f"quantiles {np.exp(np.quantile(rest, [0.1, 0.5, 0.9])).round(2)}")  # fmt: skip
    print(f"method within 5 % of the best: {(own <= LEVEL_MARGIN * best).mean():.2f}; "
          f"geometric mean over the best {np.exp(np.log(own / best).mean()):.3f}")  # fmt: skip
    for name in frame.errors[0]:
        each = pd.Series([one[name] for one in frame.errors])
        print(f"  always {name}: {(each <= LEVEL_MARGIN * best).mean():.2f}, "
              f"{np.exp(np.log(each / best).mean()):.3f}")  # fmt: skip
    print(f"coverage of 90 % intervals: mean {frame.coverage.mean():.3f}, at least 0.85 in "
          f"{(frame.coverage >= 0.85).mean():.2f} of the cases")  # fmt: skip
    frame["over_dummy"] = frame.mae / frame.dummy
    frame["over_own"] = frame.mae / frame.own_median
    print(frame.groupby("verdict")[["spearman", "over_dummy", "over_own", "coverage"]].agg(
        ["median", "count"]).round(2).to_string())  # fmt: skip


def main() -> None:
    """Run the cases that have no line yet, or report on all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--elements", type=int, default=8)
    parser.add_argument("--clusters", type=int, default=2)
    parser.add_argument("--methods", default="ridge,svr,lightgbm")
    parser.add_argument("--encoders", type=Path)
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    lines = args.out.read_text().splitlines() if args.out.exists() else []
    records = [json.loads(line) for line in lines]
    if not args.report:
        with limited_threads(1):
            for name in args.tables:
                data = draw_table(name, args.rows, args.seed)
                masks = regions(data, args.elements, args.clusters, args.seed)
                for region, mask in masks.items():
                    key = {"table": name, "region": region, "seed": args.seed, "rows": args.rows,
                           "methods": args.methods}  # fmt: skip
                    if any(key.items() <= one.items() for one in records):
                        continue
                    record = key | run_case(name, data, mask, args)
                    records.append(record)
                    with args.out.open("a") as file:
                        file.write(json.dumps(record) + "\n")
                    print(name, region, *(record[k] for k in SHOWN), flush=True)
    report(records)


if __name__ == "__main__":
    main()
