"""Networks that are meta-trained over chemical families, adapted with a few labels.

    XTALSHIFT_DATA=folder python benchmarks/cal_meta.py OUT/ [--tables ...] [--seeds 0 1] [--stack]
    python benchmarks/cal_meta.py OUT/ --summary

The protocol is in docs/science/cal-forms.md. A cell is a table, a shift and a seed: 500 source
rows, 32 labels of the held-out region, at most 500 others to test. All starts come from the same
`erm` (three networks, asinh scale, last parameters) and go on with Reptile (arXiv:1803.02999): an
episode takes a few steps on some rows, then the parameters move part of the way. Each start is
fine-tuned by the method `fine-tune`. With ``--stack``, fine-tuned networks are also further members
of the corrections of `adapt-auto`, whose first model is `auto` without networks. OUT gets a file
per cell and part; what is there is not computed again.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapt_members import LEAST_TEST, first_model
from auto_members import CONFIRM, DECIDE, MAX_TEST, held_out, read_rows
from cal_members import COMMON, compare, save
from xtalshift import estimators
from xtalshift.cal.attack import attack
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.weights import init
from xtalshift.chem.families import family_codes
from xtalshift.errors import XtalshiftError
from xtalshift.estimators.adapted_stack import Problem, adaptation_weights, cross_fit
from xtalshift.estimators.base import Labelled
from xtalshift.estimators.stack_predictor import MemberScale
from xtalshift.methods import MethodSettings
from xtalshift.methods.stacks import corrections
from xtalshift.nn.erm import erm_step
from xtalshift.nn.irnet import copy_parameters
from xtalshift.nn.optimizer import make_adamw
from xtalshift.progress import NO_PROGRESS
from xtalshift.seeding import derive_seed

FloatArray = NDArray[np.float64]
SOURCE, LABELS, N_FOLDS = 500, 32, 8
EPISODES, STEPS, BATCH, RATE, SHARE = 100, 5, 32, 5e-4, 0.5
"""Episodes, steps and rows of each, learning rate (that of ``fine-tune``), and how far the
parameters move after the first episode; the share falls to 0 linearly."""
FEW = 8
"""Fewest source rows of a family with episodes of its own."""

STARTS = ("erm", "random", "reptile", "reptile-cal")
"""``random``: episodes of random rows, the control; ``reptile``: each of one family;
``reptile-cal``: each of one family, whose rows the attack of `cal` moves in each step."""


@torch.no_grad()
def toward(model: torch.nn.Module, before: dict[str, torch.Tensor], share: float) -> None:
    """Move the parameters from those before an episode part of the way."""
    for name, value in model.named_parameters():
        value.copy_(torch.lerp(before[name], value, share))


def meta_train(start: Any, rows: Any, families: NDArray[np.int64], kind: str, seed: int) -> Any:
    """Return a copy of a fitted network after episodes; the networks share the same episodes."""
    rng = np.random.default_rng(derive_seed(seed, "episodes"))
    generator = torch.Generator().manual_seed(derive_seed(seed, "dropout"))
    model = start._build(start.states_["last"])  # noqa: SLF001
    config = CALConfig.from_dict({})
    state = init(rows.x.shape[-1], config, like=rows.x, members=model.members)
    codes, counts = np.unique(families, return_counts=True)
    codes = codes[counts >= FEW]
    for episode in range(EPISODES):
        before = copy_parameters(model)
        optimizer = make_adamw(model.parameters(), RATE, 1e-2)
        own = np.flatnonzero(families == codes[rng.integers(len(codes))])
        pool = np.arange(len(families)) if kind == "random" else own
        for _ in range(STEPS):
            drawn = rng.permutation(pool)[: min(BATCH, len(own))]
            numbers = torch.as_tensor(drawn)
            batch = rows.take(
                numbers if model.members is None else numbers.expand(model.members, -1)
            )
            if kind == "reptile-cal":
                batch = attack(model, batch, state, config).rows
            erm_step(model, batch, optimizer, generator)
        toward(model, before, SHARE * (1 - episode / EPISODES))
    found = copy.deepcopy(start)
    found.states_["last"] = copy_parameters(model)
    return found


def fine_tune(start: Any, X: FloatArray, z: FloatArray, seed: int) -> Any:
    """Return a network trained further on labels."""
    model = estimators.TargetedCALRegressor("fine-tune", random_state=seed, **COMMON)
    return model.adapt(start, X, z)


def compute(X: FloatArray, data: Any, parts: dict[str, Any], seed: int, path: Path) -> None:
    """Write the predictions of all starts before and after the adaptation."""
    source, labels, test = (parts[name] for name in ("source", "labels", "test"))
    scale = MemberScale.of("asinh", data.y[source])
    z = scale.forward(data.y)
    method = derive_seed(seed, "method")
    few = slice(0, SOURCE // 20)
    erm = estimators.IRNetRegressor(random_state=method, **COMMON).fit(
        X[source], z[source], X_val=X[source][few], y_val=z[source][few]
    )
    rows = erm._rows(Labelled(X[source], z[source]), torch.device("cpu"))  # noqa: SLF001
    families = family_codes(data.materials.compositions.take(source))
    folds = np.random.default_rng(derive_seed(seed, "folds")).permutation(LABELS) % N_FOLDS
    found: dict[str, Any] = {}
    for name in STARTS:
        began = time.process_time()
        start = erm if name == "erm" else meta_train(erm, rows, families, name, seed)
        found[f"{name} before"] = scale.inverse(start.predict(X[test]))
        tuned = fine_tune(start, X[labels], z[labels], method)
        found[f"{name} after"] = scale.inverse(tuned.predict(X[test]))
        column = np.empty(LABELS)
        if parts["stack"]:
            for fold in range(N_FOLDS):
                out = folds == fold
                tuned = fine_tune(start, X[labels][~out], z[labels][~out], method)
                column[out] = scale.inverse(tuned.predict(X[labels][out]))
            found[f"{name} folds"] = column
        found[f"{name} seconds"] = time.process_time() - began
    save(
        path, y_source=data.y[source], y_labels=data.y[labels], y_test=data.y[test], folds=folds,
        **found,
    )  # fmt: skip


def compute_corrections(
    X: FloatArray, data: Any, parts: dict[str, Any], seed: int, path: Path
) -> None:
    """Write the predictions of the corrections of `adapt-auto`."""
    source, labels, test = (parts[name] for name in ("source", "labels", "test"))
    y, groups = data.y, data.groups
    start = first_model("auto", seed)
    start.fit(X[source], y[source], groups=groups[source])
    folds = np.random.default_rng(derive_seed(seed, "folds")).permutation(LABELS) % N_FOLDS
    problem = Problem(
        start,
        start.predict(X[labels]),
        Labelled(X[labels], y[labels], groups=groups[labels]),
        Labelled(X[source], y[source], groups=groups[source]),
        np.random.default_rng(seed),
        NO_PROGRESS,
    )
    before = start.predict(X[test])
    oof, found = [problem.first], [before]
    for one in corrections(MethodSettings(threads=1, device="cpu")):
        try:
            predictions, fit_all = cross_fit(one, problem, folds)
            after = fit_all(1.0).predict(X[test], before, np.array([-np.inf, np.inf]))
        except XtalshiftError as error:
            print(f"  {one.name}: {error}", flush=True)
            continue
        oof.append(predictions)
        found.append(after)
    save(path, oof=np.array(oof), test=np.array(found))


def run(options: argparse.Namespace) -> None:
    """Compute what is missing."""
    tables: dict[str, Any] = {}
    for seed, table, shift in itertools.product(options.seeds, options.tables, options.shifts):
        kind = "_folds" if options.stack else ""
        path = options.out / f"{table}_{shift}_{LABELS}_{seed}{kind}.npz"
        auto = options.out / f"{table}_{shift}_{LABELS}_{seed}_auto.npz"
        if path.exists() and (auto.exists() or not options.stack):
            continue
        if table not in tables:
            data, X = read_rows((DECIDE | CONFIRM)[table])
            if len(X) > 20_000:
                some = np.sort(np.random.default_rng(0).permutation(len(X))[:20_000])
                data, X = data.take(some), X[some]
            tables[table] = data, X
        data, X = tables[table]
        out = held_out(data, X, shift, seed)
        rng = np.random.default_rng(derive_seed(seed, "rows"))
        source = rng.permutation(np.flatnonzero(~out))[:SOURCE]
        region = rng.permutation(np.flatnonzero(out))
        parts = {
            "source": source, "labels": region[:LABELS], "stack": options.stack,
            "test": region[LABELS : LABELS + MAX_TEST],
        }  # fmt: skip
        if len(source) < SOURCE or len(parts["test"]) < LEAST_TEST:
            continue
        began = time.process_time()
        if not path.exists():
            compute(X, data, parts, seed, path)
        if options.stack and not auto.exists():
            compute_corrections(X, data, parts, seed, auto)
        print(f"{path.stem}: {time.process_time() - began:.0f} s", flush=True)


def collect(path: Path) -> dict[str, dict[str, float]]:
    """Return the errors of a cell."""
    cell = np.load(path)
    everything = np.concatenate([cell["y_source"], cell["y_labels"]])
    span = 0.5 * np.ptp(everything)
    low, high = everything.min() - span, everything.max() + span

    def mae(predictions: FloatArray) -> float:
        return float(np.abs(np.clip(predictions, low, high) - cell["y_test"]).mean())

    found = {
        name: {when: mae(cell[f"{name} {when}"]) for when in ("before", "after")} for name in STARTS
    }
    auto = path.with_name(path.name.replace("_folds", "_auto"))
    if path.stem.endswith("_folds") and auto.exists():
        stack = np.load(auto)
        P, T = np.clip(stack["oof"], low, high), np.clip(stack["test"], low, high)
        found["adapt-auto"] = {"stack": mae(adaptation_weights(P, cell["y_labels"]) @ T)}
        for name in STARTS:
            both = np.vstack([P, np.clip(cell[f"{name} folds"], low, high)])
            weights = adaptation_weights(both, cell["y_labels"])
            after = np.clip(cell[f"{name} after"], low, high)
            found[name]["stack"] = mae(weights @ np.vstack([T, after]))
            found[name]["weight"] = float(weights[-1])
    return found


def summarise(options: argparse.Namespace) -> None:
    """Print ratios of errors over cells."""
    kind = "_folds" if options.stack else ""
    cells = {}
    for path in sorted(options.out.glob("*.npz")):
        name = path.stem.removesuffix("_folds")
        if not path.stem.endswith("_auto") and path.stem == name + kind:
            table, shift, labels, seed = name.rsplit("_", 3)
            if table in options.tables and int(seed) in options.seeds:
                cells[table, shift, int(labels), int(seed)] = collect(path)
    for name in STARTS:
        print(f"\n{name}")
        compare(cells, name, name, "after", "before", "after/before", [1])
        for below in STARTS:
            for when in ("before", "after"):
                if name != below:
                    compare(cells, name, below, when, when, f"{name}/{below} {when}", [])
        compare(cells, name, "adapt-auto", "stack", "stack", "adapt-auto with/without", [1])
        compare(cells, name, "adapt-auto", "after", "stack", "alone/adapt-auto", [])


def main() -> None:
    """Compute the cells that are missing, or print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--stack", action="store_true")
    parser.add_argument("--tables", nargs="+", default=list(DECIDE), choices=[*DECIDE, *CONFIRM])
    parser.add_argument("--shifts", nargs="+", default=["loco", "element", "sparse"])
    parser.add_argument("--networks", type=int, default=3, help="of each start")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    COMMON["n_members"] = options.networks
    if options.summary:
        summarise(options)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    run(options)


if __name__ == "__main__":
    main()
