"""What computed values are worth beside few measured ones: gaps of `expt_gap` and of `mp_gap`.

``python benchmarks/fidelities.py FOLDER LABELS [SEEDS] [LOW] [METHOD] [FEATURES]``: FOLDER holds
both tables. Each seed draws LABELS measured materials (``50,200``), LOW computed ones (default
5,000) of other materials, and 1,000 measured test materials: at random (ID), and those with an
element that no measured training material has (OOD: fluorides, then oxides, then sulphides; the
computed materials have all elements). The measured values alone train ``auto``; both together
train METHOD (default lightgbm) on the computed values and then as ``train --fidelity-col``.
FEATURES are magpie+fractions by default: the encoder of the package has seen the computed gaps.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from xtalshift.data import Dataset, clean_table, read_table
from xtalshift.model import FittedModel, fit
from xtalshift.model.fidelities import fit_fidelities
from xtalshift.uncertainty.settings import IntervalConfig

TEST = 1000
FAMILIES = ("F", "O", "S")


def main(
    folder: Path, labels: list[int], seeds: int, n_low: int, method: str, features: str
) -> None:
    """Print for each seed, split and number of labels the errors, and what the folds expected."""
    high, low = (
        clean_table(read_table(folder / f"{name}.parquet", target="target", unit="eV"))
        for name in ("expt_gap", "mp_gap")
    )
    low = low.take(~np.isin(low.groups.astype(str), high.groups.astype(str)))
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        computed = low.take(rng.permutation(len(low))[:n_low])
        order = rng.permutation(len(high))
        has = high.materials.compositions.contains(FAMILIES[seed % len(FAMILIES)])
        splits = {
            "ID": (order[TEST:], order[:TEST]),
            f"without {FAMILIES[seed % len(FAMILIES)]}": (
                order[~has[order]],
                order[has[order]][:TEST],
            ),
        }
        for name, (known, held_out) in splits.items():
            test = high.take(held_out)
            for n in labels:
                train = high.take(known[:n])
                none = IntervalConfig(method="none")
                one = fit(train, "auto", features=features, intervals=none, domain=False, seed=seed)
                both = fit_fidelities(train, computed, method, features=features, seed=seed)
                start = both.found.before if both.found else np.nan
                print(
                    f"seed {seed} {name} {n} labels: alone {_error(one, test):.4f}, both "
                    f"{_error(both.model, test):.4f} ({_covered(both.model, test):.1%} covered), "
                    f"mean {np.abs(test.y - train.y.mean()).mean():.4f};"
                    f" folds: alone {both.alone:.4f}, both {both.found.after:.4f}, computed "
                    f"{start:.4f}; {_weights(both.model)}",
                    flush=True,
                )


def _error(model: FittedModel, test: Dataset) -> float:
    return float(np.abs(model.predict(test.materials).prediction - test.y).mean())


def _covered(model: FittedModel, test: Dataset) -> float:
    """Return the share of the test values in the 90 % intervals."""
    found = model.predict(test.materials)
    return float(((found.lower <= test.y) & (test.y <= found.upper)).mean())


def _weights(model: FittedModel) -> str:
    members = model.card.provenance["members"]
    return ", ".join(f"{one['name']} {one['weight']:.2f}" for one in members if one["weight"] > 0)


if __name__ == "__main__":
    place, sizes, *rest = sys.argv[1:]
    given = dict(enumerate(rest))
    main(
        Path(place),
        [int(size) for size in sizes.split(",")],
        int(given.get(0, 3)),
        int(given.get(1, 5000)),
        given.get(2, "lightgbm"),
        given.get(3, "magpie+fractions"),
    )
