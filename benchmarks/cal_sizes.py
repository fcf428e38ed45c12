"""Forms of CAL against their controls, by number of training rows, and as members of a stack.

    XTALSHIFT_DATA=folder python benchmarks/cal_sizes.py OUT/ [--sizes 100 300] [--seeds 0 1]
    XTALSHIFT_DATA=folder python benchmarks/cal_sizes.py OUT/ --stack [--sizes 300]
    python benchmarks/cal_sizes.py OUT/ --summary

The protocol is in docs/science/cal-forms.md. Cells are those of `auto_members.py`, deciding tables
only. Each form is an ensemble of three networks that is trained on the asinh scale of the target;
its last parameters predict, so that nothing is selected. OUT gets one file per cell with the
predictions of each network for the held-out rows. With ``--stack`` each cell gets another file with
the predictions of the forms and of the members of `auto` without networks outside five folds.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ttest_1samp, wilcoxon

from auto_members import DECIDE, Cell, make_cell, read_rows
from xtalshift import estimators
from xtalshift.estimators.base import FitData, Labelled, Regressor
from xtalshift.estimators.stack import stack_weights
from xtalshift.estimators.stack_predictor import MemberScale
from xtalshift.methods import MethodSettings, build_method
from xtalshift.seeding import derive_seed

FloatArray = NDArray[np.float64]
MARGIN = 0.5
NETWORKS = 3

UNCERTAINTY = {"objective": "uncertainty"}
MEAN = {**UNCERTAINTY, "labels": "mean"}
FORMS: dict[str, dict[str, Any] | None] = {
    "erm": None,
    "cal-eps0": {"epsilon": 0.0},
    "cal": {},
    "own-eps0": {**UNCERTAINTY, "epsilon": 0.0},
    "own": UNCERTAINTY,
    "mean-eps0": {**MEAN, "epsilon": 0.0},
    "mean": MEAN,
    "far": {**MEAN, "epsilon": 0.5, "attack_step_size": 0.5, "gamma_init": 0.01},
}
"""Name -> settings of CAL, None for plain training. ``own`` and ``mean`` are the two labellings of
``cal-uncertainty``; ``far`` is ``mean`` with a five times larger budget and nearly no cost."""
PAIRS = (
    ("cal", "cal-eps0"), ("own", "own-eps0"), ("mean", "mean-eps0"), ("far", "mean-eps0"),
    ("cal-eps0", "erm"), ("cal", "erm"), ("own-eps0", "erm"), ("own", "erm"),
    ("mean-eps0", "erm"), ("mean", "erm"), ("far", "erm"), ("mean", "own"), ("mean", "cal"),
)  # fmt: skip


def make(form: str, seed: int) -> Regressor:
    """Return the regressor of a form, not fitted."""
    common: dict[str, Any] = {
        "n_members": NETWORKS, "weights": "last", "device": "cpu",
        "random_state": derive_seed(seed, "method"),
    }  # fmt: skip
    settings = FORMS[form]
    if settings is None:
        return estimators.IRNetRegressor(**common)
    return estimators.CALRegressor(settings=settings, **common)


def fit(form: str, seed: int, X: FloatArray, z: FloatArray) -> Any:
    """Return a fitted form; its validation rows, which choose nothing, are some training rows."""
    few = slice(0, max(2, len(z) // 20))
    return make(form, seed).fit(X, z, X_val=X[few], y_val=z[few])


def compute(cell: Cell, path: Path, forms: list[str]) -> None:
    """Write the predictions of each network of the forms that are missing, for held-out rows."""
    scale = MemberScale.of("asinh", cell.y)
    z = scale.forward(cell.y)
    for form in missing(path, forms):
        began = time.process_time()
        model = fit(form, cell.seed, cell.X, z)
        found = {
            "names": form,
            "networks": [scale.inverse(one) for one in model.predict_members(cell.X_test)],
            "means": scale.inverse(model.predict(cell.X_test)),
            "seconds": time.process_time() - began,
            "moved": model.history_[-1].get("displacement_rms", 0.0),
        }
        before = dict(np.load(path)) if path.exists() else {}
        joined = {
            name: np.concatenate([before[name], [one]]) if before else np.array([one])
            for name, one in found.items()
        }
        save(path, y=cell.y, y_test=cell.y_test, **joined)


def missing(path: Path, forms: list[str]) -> list[str]:
    """Return the forms that the file of a cell does not have."""
    there = np.load(path)["names"].tolist() if path.exists() else []
    return [form for form in forms if form not in there]


def compute_stack(cell: Cell, path: Path, stacked: list[str]) -> None:
    """Write predictions outside the folds, and those of the members of `auto`, without networks."""
    names, oof, test = [], [], []
    settings = MethodSettings(threads=1, device="cpu")
    for member in build_method("auto", settings, seed=None).members:
        if "ensemble" in member.name or member.needs:
            continue
        scale = MemberScale.of(member.scale, cell.y)
        rows = Labelled(cell.X, scale.forward(cell.y))
        rng = np.random.default_rng(derive_seed(cell.seed, "method"))
        found = member.regressor.cross_fit(FitData(rows, rows, None, rng), cell.folds)
        names.append(member.name)
        oof.append(scale.inverse(found.predictions))
        test.append(scale.inverse(found.fit_all().predict(cell.X_test)))
    forms = []
    for form in stacked:
        column = np.empty_like(cell.y)
        for fold in range(5):
            out = cell.folds == fold
            scale = MemberScale.of("asinh", cell.y[~out])
            model = fit(form, cell.seed, cell.X[~out], scale.forward(cell.y[~out]))
            column[out] = scale.inverse(model.predict(cell.X[out]))
        forms.append(column)
    save(
        path, names=np.array(names), y=cell.y, y_test=cell.y_test, oof=np.array(oof),
        test=np.array(test), stacked=np.array(stacked), stacked_oof=np.array(forms),
    )  # fmt: skip


def save(path: Path, **arrays: Any) -> None:
    """Write a file that is there as a whole or not at all."""
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.replace(path)


def run(options: argparse.Namespace) -> None:
    """Compute the cells that are missing, the small ones first."""
    tables = {}
    for seed in options.seeds:
        for size in options.sizes:
            for table in options.tables:
                for shift in options.shifts:
                    kind = "_stack" if options.stack else ""
                    path = options.out / f"{table}_{shift}_{size}_{seed}{kind}.npz"
                    if path.exists() if options.stack else not missing(path, options.forms):
                        continue
                    if table not in tables:
                        data, X = read_rows(DECIDE[table])
                        if len(X) > 20_000:
                            some = np.sort(np.random.default_rng(0).permutation(len(X))[:20_000])
                            data, X = data.take(some), X[some]
                        tables[table] = data, X
                    cell = make_cell(*tables[table], shift, size, seed)
                    if cell is None:
                        continue
                    began, wall = time.process_time(), time.perf_counter()
                    if options.stack:
                        compute_stack(cell, path, options.forms)
                    else:
                        compute(cell, path, options.forms)
                    took = time.process_time() - began, time.perf_counter() - wall
                    print(f"{path.stem}: {took[0]:.0f} s of {took[1]:.0f} s", flush=True)


def bounded(values: FloatArray, y: FloatArray) -> FloatArray:
    """Return predictions within half a range of the training targets, as a stack bounds them."""
    span = MARGIN * np.ptp(y)
    return np.clip(values, y.min() - span, y.max() + span)


def error(predictions: FloatArray, found: Any) -> FloatArray:
    """Return the mean absolute error over the last axis."""
    return np.abs(bounded(predictions, found["y"]) - found["y_test"]).mean(axis=-1)


def line(what: str, ratios: list[float]) -> str:
    """Return geometric mean, paired tests on the logarithms, wins and number of a ratio."""
    logs = np.log(ratios)
    if len(logs) < 3:
        return f"{what:32} {np.exp(logs.mean()):.3f}  n={len(logs)}"
    t, w = ttest_1samp(logs, 0).pvalue, wilcoxon(logs).pvalue
    wins = int((logs < 0).sum())
    return (
        f"{what:32} {np.exp(logs.mean()):.3f}  t {t:.3f}  wilcoxon {w:.3f}  "
        f"smaller in {wins} of {len(logs)}"
    )


def summarise(folder: Path) -> None:
    """Print ratios of errors by size and shift, for single networks and for ensembles."""
    cells = {}
    for path in sorted(folder.glob("*.npz")):
        if ".part" not in path.name and not path.stem.endswith("_stack"):
            table, shift, size, seed = path.stem.rsplit("_", 3)
            cells[table, shift, int(size), int(seed)] = np.load(path)
    for kind, title in (("networks", "single networks"), ("means", "ensembles of three")):
        print(f"\n{title}")
        for above, below in PAIRS:
            ratios = {
                key: ratio_of(found, kind, above, below)
                for key, found in cells.items()
                if {above, below} <= set(found["names"].tolist())
            }
            for place in (2, 1):
                for value in sorted({key[place] for key in ratios}):
                    chosen = [ratio for key, ratio in ratios.items() if key[place] == value]
                    print(line(f"{above}/{below} {value}", chosen))
            print(line(f"{above}/{below} all", list(ratios.values())))
    facts: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for key, found in cells.items():
        for name, *values in zip(*(found[k] for k in ("names", "seconds", "moved")), strict=True):
            facts.setdefault((key[2], str(name)), []).append(tuple(values))
    for (size, name), values in sorted(facts.items()):
        seconds, moved = np.mean(values, axis=0)
        print(f"{size} {name}: {seconds:.1f} s, moved by {moved:.3f} in the last epoch")


def ratio_of(found: Any, kind: str, above: str, below: str) -> float:
    """Return the error of a form over that of another in a cell."""
    errors = error(found[kind], found)
    if kind == "networks":
        errors = errors.mean(axis=1)
    by_name = dict(zip(found["names"].tolist(), errors, strict=True))
    return float(by_name[above] / by_name[below])


def summarise_stack(folder: Path) -> None:
    """Print errors of the stack with forms as members over that without."""
    ratios: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {}
    for path in sorted(folder.glob("*_stack.npz")):
        found = np.load(path)
        own = np.load(path.with_name(path.name.replace("_stack", "")))
        names = own["names"].tolist()
        y = found["y"]
        oof, test = bounded(found["oof"], y), bounded(found["test"], y)
        stacked = found["stacked"].tolist()
        forms_oof = bounded(found["stacked_oof"], y)
        forms_test = bounded(own["means"], y)

        def stack(chosen: tuple[str, ...]) -> tuple[float, FloatArray]:
            P = [*oof, *(forms_oof[stacked.index(one)] for one in chosen)]  # noqa: B023
            T = [*test, *(forms_test[names.index(one)] for one in chosen)]  # noqa: B023
            weights = stack_weights(np.array(P), y)  # noqa: B023
            mixed = weights @ np.array(T)
            return float(np.abs(mixed - found["y_test"]).mean()), weights[len(oof) :]  # noqa: B023

        base = stack(())[0]
        for chosen in [(one,) for one in stacked] + [("erm", one) for one in stacked[1:]]:
            value, weights = stack(chosen)
            name = "+".join(chosen)
            ratios.setdefault(f"stack with {name} / without", []).append(value / base)
            shares.setdefault(name, []).append(float(weights.sum()))
            if len(chosen) > 1:
                against = stack(("erm",))[0]
                ratios.setdefault(f"stack with {name} / erm", []).append(value / against)
        for place, one in enumerate(stacked):
            best = np.abs(oof - y).mean(axis=1).min()
            ratios.setdefault(f"{one} / best member, folds", []).append(
                float(np.abs(forms_oof[place] - y).mean() / best)
            )
    for what, values in ratios.items():
        print(line(what, values))
    for name, values in shares.items():
        print(f"mean weight of {name}: {np.mean(values):.2f}")


def main() -> None:
    """Compute the cells that are missing, or print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--stack", action="store_true")
    parser.add_argument("--tables", nargs="+", default=list(DECIDE))
    parser.add_argument("--shifts", nargs="+", default=["loco", "sparse"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 300, 1000, 3000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    if options.summary:
        summarise(options.out)
        summarise_stack(options.out)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    run(options)


if __name__ == "__main__":
    main()
