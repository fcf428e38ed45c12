"""What it costs that a prediction has the same bits alone and among others, in one run.

    python benchmarks/rowwise.py [--rows 100000] [--rounds 5] [--methods ridge,erm,ensemble]

Every model predicts the same materials in blocks of one shape and, in turn, as they come (at most
16,384 rows at once), in processor time of one thread. The least of all rounds is printed, with the
features already computed (`network`: the regressor alone; `all`: intervals and domain too), and the
time of one row.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from xtalshift import rowwise
from xtalshift.data import Dataset, clean_table, read_table
from xtalshift.methods import MethodSettings, build_method
from xtalshift.model import FittedModel, fit

SETTINGS = {"device": "cpu", "threads": 1, "network": {"architecture": "irnet-cpu"},
            "erm": {"epochs": 1}, "lightgbm": {"n_estimators": 100}}  # fmt: skip
TRAIN_ROWS = 4000


def train(data: Dataset, method: str) -> FittedModel:
    """Return a model; how good it is does not change its time."""
    regressor = build_method(method, MethodSettings.from_dict(SETTINGS), seed=0)
    return fit(data.take(np.arange(TRAIN_ROWS)), regressor)


def use(blocks: Callable[..., Any]) -> None:
    """Put a function in the place of `in_blocks` in every module that has it."""
    for name, module in list(sys.modules.items()):
        ours = name.startswith("xtalshift.") and name != "xtalshift.rowwise"
        if ours and hasattr(module, "in_blocks"):
            module.in_blocks = blocks


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Print one line per method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", default="ridge,lightgbm,erm,ensemble,mc-dropout")
    options = parser.parse_args()
    data = clean_table(read_table("ricci_seebeck"))
    kinds = {"as they come": partial(rowwise.in_pieces, rows=16_384), "blocks": rowwise.in_blocks}
    print(f"{options.rows:,} rows, seconds: as they come -> in blocks (ratio)")
    for method in options.methods.split(","):
        model = train(data, method)
        rows = np.random.default_rng(0).integers(len(data), size=options.rows)
        materials, first = data.materials.take(rows), data.materials.take([0])
        X = model.features_of(materials)
        works = {
            "regressor": lambda m=model, X=X: m.regressor.predict_with_std(X),
            "domain": lambda m=model, X=X: m.domain.assess(X),
            "all": lambda m=model, rows=materials: m.predict(rows),
            "one row (ms)": lambda m=model, rows=first: [m.predict(rows) for _ in range(20)],
        }
        print(method, end="")
        for what, work in works.items():
            times: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(options.rounds):
                for kind, blocks in kinds.items():
                    use(blocks)
                    times[kind].append(seconds(work))
            use(rowwise.in_blocks)
            old, new = (min(times[kind]) for kind in kinds)
            unit = 1000 / 20 if what.startswith("one") else 1
            print(f"; {what} {old * unit:.2f} -> {new * unit:.2f} ({new / old:.2f})", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
