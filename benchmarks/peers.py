"""CrabNet and tuned trees on matminer's features beside `auto`, on the same rows.

    XTALSHIFT_DATA=folder python benchmarks/peers.py OUT/ [--tables expt_gap] [--folds 0]
        [--rows 500] [--methods auto,lightgbm,forest-tuned,lightgbm-tuned,crabnet] [--epochs 300]
        [--encoders ENCODERS/]

The folds are the official ones of Matbench (five, shuffled, seed 18012019). `--rows` draws so many
of the training rows of a fold; a tenth of them, whole formulas, chooses settings of every method.
The trees get the 132 statistics of Magpie properties that matminer computes, and choose their
arguments by the error on these rows. CrabNet comes from the package registry into OUT/crabnet, an
environment of its own. Its last version (2.0.8) declares Python below 3.11; on a newer one it is
installed with `--ignore-requires-python`, because it runs there. It has its own settings: 300
epochs unless it stops early.

`auto` uses the encoder of the package, which has seen half of the materials of these tables with
other properties or this one; ENCODERS/TABLE, if given, is one that has not.

OUT/peers.csv gets one row per table, fold and method; rows that are there are not computed again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from matminer.featurizers.composition import ElementProperty
from numpy.typing import NDArray
from pymatgen.core import Composition
from sklearn.ensemble import RandomForestRegressor

import xtalshift as xs
from xtalshift.data import Dataset, clean_table
from xtalshift.methods import MethodSettings
from xtalshift.model import FitRows
from xtalshift.seeding import derive_seed
from xtalshift.splits import KFoldSplit, RandomSplit

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

CRABNET = "crabnet==2.0.8"
NEEDS = (
    "torch==2.13.0", "numpy", "pandas", "scikit-learn", "scipy", "matplotlib", "seaborn", "tqdm",
    "colorama", "joblib", "psutil",
)  # fmt: skip
TABLES = {
    "expt_gap": "composition/expt_gap.parquet",
    "refractive_index": "structures/dielectric.parquet",
    "shear": "composition/aflow__ael_shear_modulus_vrh.parquet",
    "conductivity": "composition/aflow__agl_thermal_conductivity_300K.parquet",
    "piezoelectric": "composition/piezoelectric.parquet",
}
METHODS = ("auto", "lightgbm", "forest-tuned", "lightgbm-tuned", "crabnet")


@dataclass(frozen=True)
class Fold:
    """The rows of one fold of a table; `features` are those of matminer."""

    data: Dataset
    features: FloatArray
    train: Rows
    val: Rows
    test: Rows
    seed: int


def read_table(name: str) -> tuple[Dataset, FloatArray]:
    """Return a table in its published order, and the features of matminer."""
    frame = pd.read_parquet(Path(os.environ["XTALSHIFT_DATA"]) / TABLES[name])
    data = Dataset.of(frame["formula"].tolist(), frame["target"].to_numpy())
    data = clean_table(data, duplicates="keep", strict=True)  # every row, in its order
    featurizer = ElementProperty.from_preset("magpie", impute_nan=True)
    unique = {
        text: featurizer.featurize(Composition(text)) for text in dict.fromkeys(data.formulas)
    }
    return data, np.array([unique[text] for text in data.formulas], dtype=float)


def make_fold(data: Dataset, features: FloatArray, number: int, n_rows: int | None) -> Fold:
    """Return an official fold, with `n_rows` of its training rows."""
    folds = KFoldSplit(5, 18012019, whole_formulas=False).folds(features)
    fold = [one for one, _ in zip(folds, range(number + 1), strict=False)][-1]
    train = np.asarray(fold.train)
    rng = np.random.default_rng(derive_seed(number, "rows"))
    if n_rows is not None:
        train = np.sort(rng.permutation(train)[:n_rows])
    split = RandomSplit(0.1, derive_seed(number, "validation"))
    held = split.held_out(train, None, data.groups[train])
    return Fold(data, features, train[~held], train[held], np.asarray(fold.test), number)


def own(method: str, fold: Fold, encoder: Path | None = None) -> FloatArray:
    """Return the predictions of a method of this package."""
    features = None if encoder is None else f"magpie+fractions+pretrained:{encoder.resolve()}"
    settings = MethodSettings(threads=1)
    rows = FitRows(fold.train, fold.val)
    model = xs.fit(
        fold.data, method, features=features, rows=rows, settings=settings, seed=fold.seed,
        domain=False,
    )  # fmt: skip
    return model.predict(list(fold.data.formulas[fold.test])).prediction


def forest(fold: Fold) -> FloatArray:
    """Return the predictions of the best of eight random forests, fitted again to all rows."""
    X, y = fold.features, fold.data.y
    errors = {}
    for share in (0.1, 1 / 3, 0.6, 1.0):
        for leaf in (1, 3):
            model = RandomForestRegressor(
                200, max_features=share, min_samples_leaf=leaf, random_state=fold.seed
            ).fit(X[fold.train], y[fold.train])
            errors[share, leaf] = np.abs(model.predict(X[fold.val]) - y[fold.val]).mean()
    share, leaf = min(errors, key=lambda one: errors[one])
    rows = np.concatenate([fold.train, fold.val])
    best = RandomForestRegressor(
        500, max_features=share, min_samples_leaf=leaf, random_state=fold.seed
    )
    return best.fit(X[rows], y[rows]).predict(X[fold.test])


def boosted(fold: Fold) -> FloatArray:
    """Return the predictions of the best of eighteen LightGBMs, fitted again to all rows."""
    X, y = fold.features, fold.data.y
    rows = np.concatenate([fold.train, fold.val])
    best: tuple[float, dict[str, object], int] | None = None
    for loss in ("regression_l1", "regression"):
        for leaves in (7, 15, 31):
            for share in (0.3, 0.6, 1.0):
                settings = {
                    "objective": loss, "num_leaves": leaves, "feature_fraction": share,
                    "learning_rate": 0.05, "min_data_in_leaf": 5, "metric": "l1", "verbosity": -1,
                    "num_threads": 1, "seed": fold.seed, "deterministic": True,
                }  # fmt: skip
                model = lightgbm.train(
                    settings, lightgbm.Dataset(X[fold.train], y[fold.train]), 2000,
                    valid_sets=[lightgbm.Dataset(X[fold.val], y[fold.val])],
                    callbacks=[lightgbm.early_stopping(50, verbose=False)],
                )  # fmt: skip
                error = model.best_score["valid_0"]["l1"]
                if best is None or error < best[0]:
                    best = error, settings, model.best_iteration
    assert best is not None
    last = lightgbm.train(best[1], lightgbm.Dataset(X[rows], y[rows]), best[2])
    return np.asarray(last.predict(X[fold.test]))


def make_environment(folder: Path) -> Path:
    """Return the Python of an environment with CrabNet; it is made if it does not exist."""
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*install, *NEEDS], check=True)
        late = ["--ignore-requires-python"] if sys.version_info >= (3, 11) else []
        subprocess.run([*install, "--no-deps", *late, CRABNET], check=True)
        done.touch()
    return python


def crabnet(fold: Fold, out: Path, epochs: int) -> FloatArray:
    """Return the predictions of CrabNet."""
    python = make_environment(out / "crabnet")
    frame = pd.DataFrame({"formula": fold.data.formulas, "target": fold.data.y})
    paths = []
    for part in ("train", "val", "test"):
        paths.append(out / f"{part}.csv")
        frame.iloc[getattr(fold, part)].to_csv(paths[-1], index=False)
    found = out / "predicted.csv"
    script = Path(__file__).with_name("peers_crabnet.py")
    command = [str(python), str(script), *map(str, [*paths, found]), str(fold.seed), str(epochs)]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, env=clean)
    return pd.read_csv(found, keep_default_na=False)["prediction"].to_numpy(dtype=float)


def say_ratios(frame: pd.DataFrame) -> None:
    """Print the errors, and their geometric mean over those of `auto` on the same rows."""
    table = frame.pivot_table("mae", ["table", "fold", "rows"], "method")
    print(table.round(4).to_string())
    if "auto" in table:
        ratios = np.exp(np.log(table.div(table["auto"], axis=0)).mean())
        print("error over that of auto, geometric mean:")
        print(ratios.round(3).to_string())


def main() -> None:
    """Run all methods that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--tables", nargs="+", default=["expt_gap"], choices=TABLES)
    parser.add_argument("--folds", nargs="+", type=int, default=[0], choices=range(5))
    parser.add_argument("--rows", type=int, help="training rows of a fold (default: all)")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--epochs", type=int, default=300, help="of CrabNet")
    parser.add_argument("--encoders", type=Path, help="folder of an encoder for each table")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "peers.csv"
    records = pd.read_csv(path).to_dict("records") if path.exists() else []
    for name in args.tables:
        data, features = read_table(name)
        encoder = args.encoders and args.encoders / name
        for number in args.folds:
            fold = make_fold(data, features, number, args.rows)
            run: dict[str, Callable[[], FloatArray]] = {
                "auto": lambda fold=fold, encoder=encoder: own("auto", fold, encoder),
                "lightgbm": lambda fold=fold: own("lightgbm", fold),
                "forest-tuned": lambda fold=fold: forest(fold),
                "lightgbm-tuned": lambda fold=fold: boosted(fold),
                "crabnet": lambda fold=fold: crabnet(fold, args.out, args.epochs),
            }
            for method in args.methods.split(","):
                key = {"table": name, "fold": number, "method": method,
                       "rows": len(fold.train) + len(fold.val)}  # fmt: skip
                if any(key.items() <= one.items() for one in records):
                    continue
                start = time.perf_counter()
                predicted = run[method]()
                mae = float(np.abs(predicted - data.y[fold.test]).mean())
                seconds = time.perf_counter() - start
                records.append({**key, "mae": mae, "seconds": round(seconds, 1)})
                print(records[-1], flush=True)
                pd.DataFrame(records).to_csv(path, index=False)
    say_ratios(pd.DataFrame(records))


if __name__ == "__main__":
    main()
