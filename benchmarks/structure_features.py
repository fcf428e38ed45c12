"""What structure features add to those of compositions, on published out-of-distribution folds.

    python benchmarks/structure_features.py dielectric --out FOLDS.csv [--every SparseXsingle=2]
    python benchmarks/structure_features.py elasticity --groups
    python benchmarks/structure_features.py dielectric --rate

Needs the folder of tables named by XTALSHIFT_DATA: `structures/` (CIF texts of Matbench's
`matbench_dielectric` and `matbench_log_gvrh`) and `folds/` (the folds of MatUQ). Three regressors
with fixed settings learn from the rows that are not in the test part, with `magpie+fractions` and
with the structure features beside them, and a fourth is the mean of the three predictions. Nothing
is chosen by a test row. A line is written for each fold when it is done; a file that has it already
is continued. `--groups` does not look at these folds: it leaves groups of features out, on five
folds of 20 clusters of compositions of 3,000 random rows; this is how the features were chosen.
`--rate` measures structures per second.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.linear_model import Ridge
from sklearn.svm import SVR

from xtalshift.featurize import CompositionFeatures
from xtalshift.featurize.structure_block import STRUCTURE_FEATURES, structure_features
from xtalshift.featurize.symmetry_block import symmetry_features
from xtalshift.structure import Structures

Array = NDArray[np.float64]
Fit = Callable[[Array, Array, Array], Array]
CLIP = 6.0  # standard deviations


def read_structures(texts: pd.Series) -> Structures:
    """Return the structures of CIF texts."""
    from pymatgen.core import Structure

    parts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on rounded coordinates
        for text in texts:
            found = Structure.from_str(text, fmt="cif")
            z = [site.specie.Z for site in found]
            parts.append(Structures.of(found.lattice.matrix, z, found.frac_coords))
    return Structures.join(parts)


def boosted_trees(train: Array, y: Array, test: Array) -> Array:
    """Predict by gradient-boosted trees with the absolute error as loss."""
    model = LGBMRegressor(
        objective="l1",
        n_estimators=200,
        learning_rate=0.08,
        num_leaves=15,
        min_child_samples=10,
        colsample_bytree=0.3,
        max_bin=63,
        n_jobs=1,
        random_state=0,
        verbose=-1,
    )
    return np.asarray(model.fit(train, y).predict(test))


def support_vectors(train: Array, y: Array, test: Array) -> Array:
    """Predict by a support vector machine with a Gaussian kernel."""
    spread = y.std()
    model = SVR(C=3.0 * spread, epsilon=0.05 * spread, gamma=0.5 / train.shape[1], cache_size=1000)
    return np.asarray(model.fit(train, y).predict(test))


def ridge(train: Array, y: Array, test: Array) -> Array:
    """Predict by a linear model with a penalty."""
    return np.asarray(Ridge(alpha=30.0).fit(train, y).predict(test))


def standardise(train: Array, test: Array) -> tuple[Array, Array]:
    """Scale both by the training rows, without their constant columns."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    kept = spread > 1e-9 * np.abs(mean) + 1e-12
    scaled = ((part[:, kept] - mean[kept]) / spread[kept] for part in (train, test))
    one, other = (np.clip(part, -CLIP, CLIP) for part in scaled)
    return one, other


def errors(features: Array, y: Array, test: NDArray[np.bool_], *, log: bool) -> dict[str, float]:
    """Return the mean absolute test error of each regressor; `log`: two of them learn log y."""
    learned = np.log(y) if log else y
    back = np.exp if log else np.asarray
    train_x, test_x = standardise(features[~test], features[test])
    predicted = {
        "boosted trees": boosted_trees(features[~test], y[~test], features[test]),
        "SVR": back(support_vectors(train_x, learned[~test], test_x)),
        "ridge": back(ridge(train_x, learned[~test], test_x)),
    }
    low, high = y[~test].min(), y[~test].max()
    predicted = {name: np.clip(values, low, high) for name, values in predicted.items()}
    predicted["mean of three"] = np.mean(list(predicted.values()), axis=0)
    return {name: float(np.abs(values - y[test]).mean()) for name, values in predicted.items()}


def summarise(folds: pd.DataFrame) -> str:
    """Return the table of schemes and regressors."""
    lines = [
        "| scheme | folds | regressor | composition | with structure | ratio | per fold | better |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (scheme, head), part in folds.groupby(["scheme", "regressor"], sort=False):
        before, after = part["composition"], part["both"]
        ratios = np.log(after / before)
        low, middle, high = np.exp(np.quantile(ratios, [0.25, 0.5, 0.75]))
        lines.append(
            f"| {scheme} | {len(part)} | {head} | {before.mean():.3f} | {after.mean():.3f} "
            f"| {after.mean() / before.mean():.2f} | {middle:.2f} ({low:.2f} to {high:.2f}) "
            f"| {np.mean(after < before):.0%} |"
        )
    return "\n".join(lines)


GROUPS = {  # beginnings of names, after the statistic
    "cell": ("density", "volume", "packing", "valence electron"),
    "coordination": ("coordination",),
    "lengths": ("bond length", "relative bond length", "shortest"),
    "spread": ("bond length spread",),
    "bond order": ("bond order",),
    "off-centre": ("off-centre",),
    "Q": ("Q",),
    "kinds of bonds": ("like", "metal"),
    "electronegativity": ("electronegativity",),
    "directions": ("largest share", "least share"),
    "dimensionality": ("0D", "1D", "2D", "3D"),
    "neighbours in angstrom": tuple(f"neighbours at {d} A" for d in range(2, 6)),
    "neighbours in radii": tuple(f"neighbours at {k / 10:g} radii" for k in range(8, 17)),
}


def compare_groups(table: pd.DataFrame) -> None:
    """Print the errors without each group, on folds of clusters of compositions."""
    rng = np.random.default_rng(0)
    table = table.iloc[np.sort(rng.permutation(len(table))[:3000])]
    structures, y = read_structures(table["cif"]), table["target"].to_numpy(dtype=np.float64)
    composition = CompositionFeatures("magpie+fractions").featurize(structures.compositions())
    scaled, _ = standardise(composition.values[:, :145], composition.values[:, :145])
    clusters = KMeans(20, n_init=3, random_state=0).fit_predict(scaled)
    fold = rng.integers(0, 5, 20)[clusters]
    found, symmetry = structure_features(structures).values, symmetry_features(structures).values

    def show(name: str, *blocks: Array) -> None:
        features = np.hstack([composition.values, *blocks])
        parts = [errors(features, y, fold == k, log=False) for k in range(5)]
        weights = np.bincount(fold, minlength=5) / len(fold)
        means = {head: weights @ [part[head] for part in parts] for head in parts[0]}
        width = sum(block.shape[1] for block in blocks)
        print(f"| {name} | {width} | " + " | ".join(f"{x:.4f}" for x in means.values()) + " |")

    print("| structure features | number | boosted trees | SVR | ridge | mean of three |")
    print("|---|---|---|---|---|---|")
    show("none")
    show("symmetry only", symmetry)
    show("all", found)
    show("all and symmetry", found, symmetry)
    statistics = ("mean ", "deviation of ", "maximum ")
    plain = [name.removeprefix("structure ") for name in STRUCTURE_FEATURES]
    for statistic in statistics:
        plain = [name.removeprefix(statistic) for name in plain]
    taken = 0
    for group, beginnings in GROUPS.items():
        inside = np.array([name.startswith(beginnings) for name in plain])
        if group == "lengths":
            inside &= np.array([name != "bond length spread" for name in plain])
        taken += inside.sum()
        show(f"without {group}", found[:, ~inside])
    assert taken == len(plain)
    for statistic in statistics[1:]:
        inside = [name.startswith(f"structure {statistic}") for name in STRUCTURE_FEATURES]
        show(f"without any {statistic.split()[0]}", found[:, ~np.array(inside)])


def measure_rate(structures: Structures) -> None:
    """Print structures per processor second, the best of five passes."""
    seconds = []
    for _ in range(5):
        start = time.process_time()
        structure_features(structures)
        seconds.append(time.process_time() - start)
    print(
        f"{len(structures)} structures, median {np.median(structures.sizes):g} atoms, mean "
        f"{structures.sizes.mean():.1f}: {len(structures) / min(seconds):.0f} per processor second"
    )


def main() -> None:
    """Run the folds, or measure the rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=["dielectric", "elasticity"])
    parser.add_argument("--every", default="", help="of which schemes only every k-th fold is run")
    parser.add_argument("--out", type=Path, help="file of the errors of each fold")
    parser.add_argument("--groups", action="store_true", help="leave groups of features out")
    parser.add_argument("--rate", action="store_true", help="measure the rate only")
    options = parser.parse_args()
    folder = Path(os.environ["XTALSHIFT_DATA"])
    table = pd.read_parquet(folder / "structures" / f"{options.table}.parquet")
    if options.rate:
        measure_rate(read_structures(table["cif"][:1000]))
        return
    if options.groups:
        compare_groups(table)
        return
    structures, y = read_structures(table["cif"]), table["target"].to_numpy(dtype=np.float64)
    composition = CompositionFeatures("magpie+fractions").featurize(structures.compositions())
    found = structure_features(structures)
    assert not any(found.reasons)
    both = np.hstack([composition.values, found.values])

    parts = pd.read_parquet(folder / "folds" / f"{options.table}.parquet")
    parts = parts[parts["part"] == "test"]
    every = dict(pair.split("=") for pair in options.every.split(",") if pair)
    if options.out.exists():
        known = set(pd.read_csv(options.out)[["scheme", "fold"]].itertuples(index=False, name=None))
    else:
        known = set()
        options.out.write_text("scheme,fold,n_test,regressor,composition,both\n")
    jobs = [
        (fold / part["fold"].nunique(), scheme, fold, ids)
        for scheme, part in parts.groupby("scheme")
        for fold, ids in part.groupby("fold")["id"]
        if fold % int(every.get(scheme, 1)) == 0 and (scheme, fold) not in known
    ]
    for _, scheme, fold, ids in sorted(jobs, key=lambda job: job[0]):  # all schemes side by side
        test = table["id"].isin(set(ids)).to_numpy()
        log = options.table == "dielectric"  # the shear modulus is a logarithm already
        before = errors(composition.values, y, test, log=log)
        after = errors(both, y, test, log=log)
        with options.out.open("a") as file:
            for name, error in before.items():
                file.write(f"{scheme},{fold},{test.sum()},{name},{error},{after[name]}\n")
    print(summarise(pd.read_csv(options.out)))


if __name__ == "__main__":
    main()
