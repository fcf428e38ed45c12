"""Which candidates to measure next: rounds of choosing, measuring and retraining, replayed.

    python benchmarks/active_loop.py [--dataset ricci_seebeck] [--target COLUMN] [--sample 4000]
        [--family F] [--tail 0.1] [--start 50] [--batch 25] [--rounds 8] [--seeds 16]
        [--tasks family inside tail] [--out active_loop.jsonl]

A data set is a name of the catalogue, or of a file in the folder of tables that XTALSHIFT_DATA
names; a fixed random sample of its reduced formulas is used. Half of the rows of the target domain
are test rows (drawn per seed), which are in no pool. Per seed, `start` labels are drawn from rows
outside the target domain; then each rule chooses `batch` rows of the pool per round, their targets
become labels, and a Gaussian process is trained anew. Tasks:

    family   target domain: materials with the element; pool: all other rows, of either domain
    inside   as family, but the pool holds rows of the target domain only
    tail     target domain: highest targets; pool: all other rows. Also counted: how many of the
             pool's rows of the highest twentieth of all targets were found

Printed: mean absolute error on the test rows against the number of labels, mean over seeds and
standard deviation, and a paired test against random choice. Every (task, seed, rule) is one line of
the output file; what is there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from xtalshift.acquisition.acquisition_rules import (
    Aim,
    Candidates,
    best_measured,
    choose_candidates,
)
from xtalshift.data.settings import DataConfig
from xtalshift.data.transform import TargetTransform
from xtalshift.estimators import GPRegressor
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.metrics import paired_test
from xtalshift.model.inputs import read_inputs
from xtalshift.seeding import derive_seed
from xtalshift.splits import FamilySplit, PriorSplit
from xtalshift.uncertainty.conformal import ScoreLaw
from xtalshift.uncertainty.predictive import PredictiveDistribution

RULES: dict[str, tuple[str, float, Aim]] = {
    "random": ("random", 0.0, Aim()),
    "diversity": ("diversity", 1.0, Aim()),
    "uncertainty": ("uncertainty", 0.0, Aim()),
    "uncertainty, spread": ("uncertainty", 1.0, Aim()),
    "expected improvement": ("expected-improvement", 0.0, Aim()),
    "expected improvement, spread": ("expected-improvement", 1.0, Aim()),
    "highest prediction": ("prediction", 0.0, Aim()),
}
"""Name in the table -> rule, diversity and aim."""

GAUSSIAN = ScoreLaw.of(norm.ppf(0.5 + np.arange(1, 2000) / 4000))
"""A Gaussian process needs no calibration: its scores are those of a normal distribution."""

KEY = ("dataset", "target", "sample", "where", "start", "batch", "rounds", "task", "seed", "rule")


@dataclass(frozen=True)
class Task:
    """Rows of a simulated campaign: features, places, targets, and their parts as masks."""

    X: NDArray[np.float64]
    points: NDArray[np.float64]
    y: NDArray[np.float64]
    region: NDArray[np.bool_]
    test: NDArray[np.bool_]
    pool: NDArray[np.bool_]
    top: NDArray[np.bool_]
    labels: NDArray[np.int64]


def load(options: argparse.Namespace) -> dict[str, Any]:
    """Return the sample with the masks of both target domains."""
    folder = os.environ.get("XTALSHIFT_DATA")
    path = Path(folder or "", "composition", f"{options.dataset}.parquet")
    dataset = str(path) if folder and path.exists() else options.dataset
    inputs = read_inputs(DataConfig(dataset=dataset, target=options.target))
    groups = inputs.data.groups
    first = np.unique(groups, return_index=True)[1]  # one row per formula
    rows = np.random.default_rng(0).permutation(first)[: options.sample]
    X, y, groups = inputs.X[rows], inputs.data.y[rows], groups[rows]
    return {
        "X": X,
        "points": FeatureScaler().fit(X).transform(X),
        "y": y,
        "family": FamilySplit(options.family).held_out(X, y, groups),
        "tail": PriorSplit(share=options.tail).held_out(X, y, groups),
    }


def make_task(data: dict[str, Any], name: str, seed: int, start: int) -> Task:
    """Return who is test row, candidate and first label."""
    region = data["tail" if name == "tail" else "family"]
    n = len(region)
    inside = np.random.default_rng(derive_seed(seed, "test")).permutation(np.flatnonzero(region))
    test = np.zeros(n, dtype=bool)
    test[inside[: len(inside) // 2]] = True
    outside = np.random.default_rng(derive_seed(seed, "start")).permutation(np.flatnonzero(~region))
    labels = outside[:start]
    pool = region & ~test if name == "inside" else ~test
    pool[labels] = False
    top = data["y"] >= np.quantile(data["y"], 0.95)
    return Task(data["X"], data["points"], data["y"], region, test, pool, top & pool, labels)


def run_rule(task: Task, name: str, seed: int, batch: int, rounds: int) -> dict[str, Any]:
    """Return the learning curve of one rule."""
    rule, diversity, aim = RULES[name]
    rng = np.random.default_rng(derive_seed(seed, "rule", name))
    X, y, labels = task.X, task.y, task.labels
    pool = task.pool.copy()
    curve: dict[str, list[float]] = {k: [] for k in ("labels", "mae", "constant", "in", "found")}
    for turn in range(rounds + 1):
        model = GPRegressor(random_state=derive_seed(seed, "model", turn))
        # a Gaussian process does not select by validation rows: none are held out
        model.fit(X[labels], y[labels], X_val=X[labels], y_val=y[labels])
        curve["labels"].append(len(labels))
        curve["mae"].append(float(np.abs(model.predict(X[task.test]) - y[task.test]).mean()))
        curve["constant"].append(float(np.abs(y[labels].mean() - y[task.test]).mean()))
        curve["in"].append(int(task.region[labels].sum()))
        curve["found"].append(int(task.top[labels].sum()))
        rows = np.flatnonzero(pool)
        if turn == rounds or len(rows) < batch:
            break
        mean = distribution = None
        if rule not in {"random", "diversity"}:
            mean, std = model.predict(X[rows]), model.predict_std(X[rows])
            codes, own = np.zeros(len(rows), dtype=np.int64), np.ones(len(rows))
            distribution = PredictiveDistribution(
                TargetTransform(), mean, mean, mean, std, (GAUSSIAN,), codes, own
            )
        candidates = Candidates(
            len(rows), mean, distribution, points=task.points[rows], known=task.points[labels]
        )
        wanted = Aim(aim.direction, best=best_measured(y[labels], aim))
        found = choose_candidates(rule, candidates, batch, wanted, diversity=diversity, rng=rng)
        chosen = rows[found.rows]
        pool[chosen] = False
        labels = np.concatenate([labels, chosen])
    assert not task.test[labels].any()
    return {**curve, "n_test": int(task.test.sum()), "n_top": int(task.top.sum())}


def summarise(frame: pd.DataFrame) -> None:
    """Print a Markdown table per task."""
    for task, runs in frame.groupby("task", sort=False):
        labels = runs["labels"].iloc[0]
        shown = [i for i in range(len(labels)) if i in {0, 2, 4, len(labels) - 1}]
        heads = [f"MAE, {labels[i]:.0f} labels" for i in shown]
        # the pool of `inside` is the domain; only `tail` is a search
        last = {"family": ["labels in domain"], "inside": [], "tail": ["top 5 % found"]}[task]
        heads += ["all rounds - random", "p", *last]
        print(f"\n{task}: {runs['n_test'].iloc[0]} test rows, {runs['seed'].nunique()} seeds\n")
        print(f"| rule | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
        chance = runs[runs["rule"] == "random"].set_index("seed")
        cells = [spread([row[i] for row in chance["constant"]], 1) for i in shown]
        print(f"| mean of the labels (random) | {' | '.join(cells)} |{' |' * (2 + len(last))}")
        for rule, group in runs.groupby("rule", sort=False):
            own = group.set_index("seed")
            cells = [spread([row[i] for row in own["mae"]], 1) for i in shown]
            both = own.index.intersection(chance.index)
            # the first round is the same for all rules
            means = [[np.mean(part["mae"][s][1:]) for s in both] for part in (own, chance)]
            result = paired_test(*means)
            if rule == "random":
                cells += ["", ""]
            else:
                p = result.wilcoxon_p
                cells += [f"{result.mean_difference:+.1f}", "< 0.001" if p < 0.001 else f"{p:.3f}"]
            if task == "family":
                cells.append(spread([row[-1] for row in own["in"]], 0))
            if task == "tail":
                found = zip(own["found"], own["n_top"], strict=True)
                cells.append(f"{spread([100 * row[-1] / n for row, n in found], 0)} %")
            print(f"| {rule} | {' | '.join(cells)} |")


def spread(values: list[float], digits: int) -> str:
    """Return mean and standard deviation over seeds."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def main() -> None:
    """Run what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ricci_seebeck")
    parser.add_argument("--target", default=None, help="column, by default the data set's own")
    parser.add_argument("--sample", type=int, default=4000)
    parser.add_argument("--family", default="F", help="element whose materials are the domain")
    parser.add_argument("--tail", type=float, default=0.1)
    parser.add_argument("--start", type=int, default=50)
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--tasks", nargs="+", default=["family", "inside", "tail"])
    parser.add_argument("--rules", nargs="+", default=list(RULES))
    parser.add_argument("--out", type=Path, default=Path("active_loop.jsonl"))
    options = parser.parse_args()
    settings = {name: getattr(options, name) for name in KEY[:3]}
    numbers = {name: getattr(options, name) for name in ("start", "batch", "rounds")}
    records = []
    if options.out.exists():
        records = [json.loads(line) for line in options.out.read_text("utf-8").splitlines()]
    done = {tuple(record[name] for name in KEY) for record in records}
    data: dict[str, Any] = {}
    wanted = []
    for name in options.tasks:
        where = options.tail if name == "tail" else options.family
        for seed in range(options.seeds):
            for rule in options.rules:
                values = {**settings, "where": str(where), **numbers}
                values |= {"task": name, "seed": seed, "rule": rule}
                wanted.append(tuple(values[k] for k in KEY))
                if wanted[-1] in done:
                    continue
                data = data or load(options)
                begin = time.process_time()
                task = make_task(data, name, seed, options.start)
                record = {**values, **run_rule(task, rule, seed, options.batch, options.rounds)}
                record["seconds"] = time.process_time() - begin
                records.append(record)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
        print(f"{name}: done", flush=True)
    asked = set(wanted)
    chosen = [record for record in records if tuple(record[k] for k in KEY) in asked]
    summarise(pd.DataFrame(chosen))
    print(f"\n{sum(record['seconds'] for record in chosen):.0f} s of one core")


if __name__ == "__main__":
    main()
