"""Does the answer about candidates of classes say the truth? Materials of real tables play them.

    XTALSHIFT_DATA=folder python benchmarks/judging_classes.py OUT.jsonl [--rows 800]
        [--elements 8] [--clusters 2] [--methods ridge,lightgbm] [--seeds 2]
    XTALSHIFT_DATA=folder python benchmarks/judging_classes.py OUT.jsonl --report

Tables and regions are those of ``judging.py``; a number is cut into classes. One line of OUT.jsonl
is one region: the log loss on the hold-outs with the temperature of all of them (``same``) and of
the other ones (``others``), the range to expect, and the log loss that the candidates then had,
with the temperature of all hold-outs. Lines that are there are not computed again.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from judging import draw_table, regions
from xtalshift.data import Dataset
from xtalshift.data.cut_classes import cut_classes
from xtalshift.jobs.imitate import CANDIDATES, imitate
from xtalshift.jobs.judge import _featurizer
from xtalshift.jobs.judge_settings import JudgeConfig
from xtalshift.methods import MethodSettings
from xtalshift.metrics.classification import log_loss
from xtalshift.parallel import InProcessExecutor, limited_threads
from xtalshift.uncertainty.expected_error import expect_loss
from xtalshift.uncertainty.probabilities import fit_probabilities

TABLES = {
    "expt_gap": ((0.0,), ("metal", "gap")),
    "expt_gap 3": ((0.0, 2.0), ("metal", "narrow", "wide")),
    "mp_gap": ((0.0,), ("metal", "gap")),
    "shear": ((30.0, 70.0), ("soft", "middle", "hard")),
}


def run_case(
    table: str, data: Dataset, mask: np.ndarray, methods: tuple[str, ...], seed: int
) -> dict:
    """Judge the materials of a mask by the others, and compare with the truth."""
    known, candidates = data.take(~mask), data.take(mask)
    done = imitate(
        known, candidates.materials, JudgeConfig(methods=methods, n_measure=0),
        InProcessExecutor(), featurizer_of=partial(_featurizer, known),
        settings=MethodSettings(threads=1), seed=seed,
    )  # fmt: skip
    method = done.method
    raw = {place: done.forecasts[place, method].prediction for place in done.rows}
    y = {place: known.y[rows].astype(np.int64) for place, rows in done.rows.items()}
    learned = fit_probabilities(
        np.concatenate([*raw.values()]), np.concatenate([*y.values()]).astype(float), "temperature"
    )
    others = [done.errors[method][place] for place in done.rows]
    expected = expect_loss(others)
    truth = learned.apply(done.forecasts[CANDIDATES, method].prediction)
    return {
        "table": table, "seed": seed, "n": int(mask.sum()), "method": method,
        "same": [log_loss(y[place], learned.apply(raw[place])) for place in done.rows],
        "others": others, "low": expected.low, "expected": expected.log_loss,
        "high": expected.high, "truth": log_loss(candidates.y.astype(np.int64), truth),
    }  # fmt: skip


def report(cases: list[dict]) -> None:
    """Print how the two temperatures differ, and how often the ranges hold."""
    frame = pd.DataFrame(cases)
    same, others = (frame[name].map(lambda x: np.log(x).mean()) for name in ("same", "others"))
    frame["optimism"] = np.exp(others - same)
    frame["inside"] = (frame["low"] <= frame["truth"]) & (frame["truth"] <= frame["high"])
    frame["between"] = (frame["others"].map(min) <= frame["truth"]) & (
        frame["truth"] <= frame["others"].map(max)
    )
    frame["ratio"] = frame["truth"] / frame["expected"]
    for name, part in [*frame.groupby("table"), ("all", frame)]:
        print(
            f"{name:11} {len(part):3} regions, {part['others'].map(len).mean():.1f} hold-outs; "
            f"others over same {part['optimism'].mean():.4f} (largest {part['optimism'].max():.3f})"
            f"; truth over expected {np.exp(np.log(part['ratio']).mean()):.3f}; inside the range "
            f"{part['inside'].mean():.0%}, between the smallest and the largest "
            f"{part['between'].mean():.0%}; median high over low "
            f"{(part['high'] / part['low']).median():.2f}"
        )


def main() -> None:
    """Compute the regions that are not there, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--elements", type=int, default=8)
    parser.add_argument("--clusters", type=int, default=2)
    parser.add_argument("--methods", default="ridge,lightgbm")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    cases = []
    if given.out.exists():
        cases = [json.loads(line) for line in given.out.read_text().splitlines()]
    done = {(one["table"], one["seed"], one["region"]) for one in cases}
    for seed in range(0 if given.report else given.seeds):
        for table, (cuts, names) in TABLES.items():
            numbers = draw_table(table.split()[0], given.rows, seed)
            data = cut_classes(numbers, cuts, names)
            for region, mask in regions(numbers, given.elements, given.clusters, seed).items():
                if (table, seed, region) in done or len(np.unique(data.y[~mask])) < len(names):
                    continue
                with limited_threads(1):
                    case = run_case(table, data, mask, tuple(given.methods.split(",")), seed)
                cases.append({"region": region, **case})
                with given.out.open("a") as file:
                    file.write(json.dumps(cases[-1]) + "\n")
    report(cases)


if __name__ == "__main__":
    main()
