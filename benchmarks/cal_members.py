"""Forms of CAL, each alone against its control and as a further member of the stack `auto`.

    XTALSHIFT_DATA=folder python benchmarks/cal_members.py OUT/ [--forms cal ...] [--sizes 300]
    XTALSHIFT_DATA=folder python benchmarks/cal_members.py OUT/ --stack [--forms cal ...]
    XTALSHIFT_DATA=folder python benchmarks/cal_members.py OUT/ --encoder [--stack]
    python benchmarks/cal_members.py OUT/ --summary

The protocol is in docs/science/cal-forms.md. Cells and held-out rows are those of
`auto_members.py`; up to 500 rows like the training rows, which nothing was fitted to, are the ID
rows. A form is the mean of three networks (`irnet-cpu`) on the asinh scale of the target; the last
parameters predict, so that nothing is selected. ``--stack`` also fits each form, and the members of
`auto`, to five folds. With ``--encoder`` the features have the block ``pretrained`` too, and all
rows, for training and for testing, are materials that the encoder of the package was never shown.
OUT gets a folder per cell with a file per form; what is there is not computed again.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from auto_members import CONFIRM, DECIDE, MAX_TEST, N_FOLDS, held_out, read_rows
from cal_sizes import bounded, line
from xtalshift import estimators
from xtalshift.cal.attack import (
    Attacked,
    attack,
    attack_objective_gradient,
    project,
    steepest_direction,
)
from xtalshift.cal.loop import CALTraining
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.step import Attack
from xtalshift.cal.weights import CALState, init
from xtalshift.chem.families import family_codes
from xtalshift.estimators.base import FitData, Labelled
from xtalshift.estimators.cal import CALRegressor
from xtalshift.estimators.irnet import IRNetRegressor, RobustRegressor
from xtalshift.estimators.stack import LEAST_WEIGHT, stack_weights
from xtalshift.estimators.stack_predictor import MemberScale
from xtalshift.experimental.unlabelled_cal import attack_toward
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.composition_source import CompositionSource
from xtalshift.featurize.encoder import SHIPPED, read_encoder
from xtalshift.methods import MethodSettings, build_method
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.objectives.environments import environment_risks
from xtalshift.nn.objectives.robust import RobustConfig, RobustTraining, cvar_weights
from xtalshift.nn.rows import Rows, draw_batches, mean_loss, row_losses
from xtalshift.nn.settings import ERMConfig
from xtalshift.seeding import derive_seed

FloatArray = NDArray[np.float64]
F = "magpie+fractions"
MAGPIE = 145
ENCODED = 96
"""`MAGPIE`, `ENCODED`: columns of the first block, and of the encoder, the last ones."""
FEW = 5
"""Rows that a family needs for a mean."""


@dataclass
class Cell:
    """Training rows, and held-out rows of the shift (OOD) and of the rest (ID)."""

    rows: Labelled
    X_ood: FloatArray
    y_ood: FloatArray
    X_id: FloatArray
    y_id: FloatArray
    folds: NDArray[np.int64]
    seed: int


@dataclass
class Part:
    """What a form may see of a cell, or of one of its folds."""

    rows: Labelled
    """Training rows with their targets on the asinh scale."""
    families: NDArray[np.int64]
    new: FloatArray
    """Features of the unlabelled rows that will be predicted."""
    seed: int


def others(model: Any, rows: Rows, new: Tensor) -> Attack:  # noqa: ARG001
    """Return an attack drawn toward the nearest training row of another family."""
    assert rows.environments is not None
    x, families = rows.x, rows.environments

    def attacker(net: nn.Module, batch: Rows, state: CALState, config: CALConfig) -> Attacked:
        assert batch.environments is not None
        far = torch.cdist(batch.x, x.expand(*batch.x.shape[:-2], -1, -1))
        same = batch.environments.unsqueeze(-1) == families
        nearest = far.masked_fill(same, torch.inf).argmin(dim=-1)
        pull = steepest_direction(x[nearest] - batch.x, state.weights, "l2")
        return attack(net, batch, state, config, pull)

    return attacker


def target(model: Any, rows: Rows, new: Tensor) -> Attack:  # noqa: ARG001
    """Return an attack drawn toward the nearest unlabelled row."""
    return attack_toward(new)


def span(model: Any, rows: Rows, new: Tensor) -> Attack:  # noqa: ARG001
    """Return an attack within the span of the differences between the means of families."""
    return within(means_basis(rows))


def random_span(model: Any, rows: Rows, new: Tensor) -> Attack:  # noqa: ARG001
    """Return an attack within a random subspace of as many dimensions as `span` has."""
    basis = means_basis(rows)
    drawn = torch.randn(basis.T.shape, generator=torch.Generator().manual_seed(0))
    return within(torch.linalg.qr(drawn)[0].T)


def means_basis(rows: Rows) -> Tensor:
    """Return an orthonormal basis, shape (k, d), of the differences between means of families."""
    assert rows.environments is not None
    groups = [rows.x[rows.environments == code] for code in rows.environments.unique()]
    means = torch.stack([group.mean(dim=0) for group in groups if len(group) >= FEW])
    _, sizes, basis = torch.linalg.svd(means - means.mean(dim=0), full_matrices=False)
    return basis[sizes > 1e-3 * sizes[0]]


def within(basis: Tensor) -> Attack:
    """Return the attack of `cal` with gradients projected on a subspace, shape (k, d)."""

    def attacker(net: nn.Module, rows: Rows, state: CALState, config: CALConfig) -> Attacked:
        x, path = rows.x, torch.zeros_like(rows.x)
        first = None
        for _ in range(config.attack_steps):
            value, gradient = attack_objective_gradient(net, rows, x, state)
            first = value if first is None else first
            path = path + (x - rows.x)
            move = steepest_direction(gradient @ basis.T @ basis, state.weights, config.ball)
            moved = x + config.attack_step_size * move - rows.x
            x = rows.x + project(moved, state.weights, config.ball, config.epsilon)
        assert first is not None
        return Attacked(replace(rows, x=x), path, first)

    return attacker


def encoded(model: Any, rows: Rows, new: Tensor) -> Attack:  # noqa: ARG001
    """Return an attack on the columns of the encoder only."""
    inside = np.arange(len(model.scaler_.kept_)) >= len(model.scaler_.kept_) - ENCODED
    columns = torch.as_tensor(np.flatnonzero(inside[model.scaler_.kept_]))
    return within(torch.eye(rows.x.shape[-1])[columns])


def scaled(model: Any, X: FloatArray) -> Tensor:
    """Return features as a network sees them."""
    return torch.as_tensor(model.scaler_.transform(X), dtype=torch.float32)


@dataclass(eq=False, repr=False, kw_only=True)
class AttackedRegressor(CALRegressor):
    """`CALRegressor` with another attack."""

    make_attack: Callable[[Any, Rows, Tensor], Attack] | None = None
    new: FloatArray | None = None

    def _training(self, model: Any, data: Any, **how: Any) -> CALTraining:
        attacker = self.make_attack(self, data.train, scaled(self, self.new))
        return CALTraining(model, data, self._config(), attacker=attacker, **how)


@dataclass(eq=False, repr=False, kw_only=True)
class FamilyCVaRRegressor(RobustRegressor):
    """Mean loss of the worst half of the families in a batch."""

    def _training(self, model: Any, data: Any, **how: Any) -> ERMTraining:
        return FamilyCVaRTraining(model, data.train, self._values_of(RobustConfig), **how)


class FamilyCVaRTraining(RobustTraining):
    """See `FamilyCVaRRegressor`."""

    def loss(self, indices: Tensor, epoch: int) -> Tensor:  # noqa: ARG002
        """Return the objective of some rows."""
        batch = self.rows.take(indices)
        losses = row_losses(self.model(batch.x, self.generator), batch.y)
        risks, present = environment_risks(
            losses, self.environments[indices], self.n_environments, batch.weights
        )
        base = present.to(risks.dtype)
        return (cvar_weights(risks.detach(), self.config.number, base) * risks).sum()


@dataclass(eq=False, repr=False, kw_only=True)
class ConsistentRegressor(IRNetRegressor):
    """Plain training, and equal predictions of clean and attacked unlabelled rows."""

    new: FloatArray | None = None

    def _training(self, model: Any, data: Any, **how: Any) -> ERMTraining:
        training = ConsistentTraining(model, data.train, self._values_of(ERMConfig), **how)
        x = scaled(self, self.new)
        training.unlabelled = Rows(x, torch.zeros(len(x)))
        return training


class ConsistentTraining(ERMTraining):
    """See `ConsistentRegressor`; virtual adversarial training (arXiv:1704.03976) with our attack.

    The pseudo-label is the prediction for the clean row, a constant. Both passes are without
    dropout, so that a row that does not move has no loss and the control is plain training. The
    attack starts a hundredth of a standard deviation away: the gradient at the row itself is 0.
    """

    unlabelled: Rows

    def loss(self, indices: Tensor, epoch: int) -> Tensor:
        """Return the loss of some rows plus that of as many unlabelled ones."""
        (batch,) = draw_batches(
            self.unlabelled, self.config.batch_size, 1, self.members, self.generator
        )
        with torch.no_grad():
            batch = replace(batch, y=self.model(batch.x))
        config = CALConfig.from_dict({})
        noise = torch.randn(batch.x.shape, generator=self.generator)
        state = init(batch.x.shape[-1], config, like=batch.x, members=self.members)
        moved = attack(self.model, replace(batch, x=batch.x + 0.01 * noise), state, config).rows
        agreement = mean_loss(self.model(moved.x), batch.y)
        return super().loss(indices, epoch) + agreement


COMMON: dict[str, Any] = {"n_members": 3, "weights": "last", "device": "cpu"}
"""Arguments of all networks; ``--networks`` sets their number."""
FREE = {"gamma_init": 0.0}
"""At the cost of the preset, rows that may move in few directions hardly move."""
COMPOSITION = {"attack": "composition", "gamma_init": 0.001}

Fit = Callable[[Part], list[Any]]


def fit(model: Any, part: Part, **also: Any) -> list[Any]:
    """Return a fitted form; its validation rows, which choose nothing, are training rows."""
    rows, few = part.rows, slice(0, max(2, len(part.rows.y) // 20))
    return [model.fit(rows.X, rows.y, X_val=rows.X[few], y_val=rows.y[few], **also)]


def plain(part: Part) -> list[Any]:
    """Fit plain networks."""
    return fit(estimators.IRNetRegressor(random_state=part.seed, **COMMON), part)


def by_cal(part: Part, **settings: Any) -> list[Any]:
    """Fit CAL with other settings."""
    also = {"origin": part.rows.origin} if settings.get("environments") == "families" else {}
    model = CALRegressor(settings=settings, random_state=part.seed, **COMMON)
    return fit(model, part, **also)


def by_composition(part: Part, **settings: Any) -> list[Any]:
    """Fit CAL on compositions, one network after the other: it knows no ensembles."""
    found = []
    for seed in range(COMMON["n_members"]):
        model = CALRegressor(
            settings=COMPOSITION | settings,
            random_state=derive_seed(part.seed, f"network {seed}"),
            **COMMON | {"n_members": 1},
        )
        found += fit(model, part, origin=part.rows.origin)
    return found


def by_attack(part: Part, make_attack: Any, **settings: Any) -> list[Any]:
    """Fit CAL with another attack; families are the environments."""
    model = AttackedRegressor(
        settings={"environments": "families"} | settings,
        make_attack=make_attack,
        new=part.new,
        random_state=part.seed,
        **COMMON,
    )
    return fit(model, part, origin=part.rows.origin)


def by_unlabelled(part: Part, method: str) -> list[Any]:
    """Fit a registered adaptation without labels."""
    model = estimators.TargetedCALRegressor(method, random_state=part.seed, **COMMON)
    return fit(model, part, X_target=part.new)


def by_families(part: Part, kind: Any, objective: str, strength: float) -> list[Any]:
    """Fit a robust objective over families."""
    model = kind(objective, strength, random_state=part.seed, **COMMON)
    return fit(model, part, environments=part.families)


def by_rows(part: Part, strength: float) -> list[Any]:
    """Fit CVaR over rows."""
    return fit(RobustRegressor("cvar", strength, random_state=part.seed, **COMMON), part)


def consistent(part: Part) -> list[Any]:
    """Fit with the consistency of unlabelled rows."""
    return fit(ConsistentRegressor(new=part.new, random_state=part.seed, **COMMON), part)


FORMS: dict[str, tuple[Fit, str, str]] = {
    "erm": (plain, "", "plain training"),
    "cal-eps0": (partial(by_cal, epsilon=0.0), "erm", "cal without attack"),
    "cal": (by_cal, "cal-eps0", "the attack on features"),
    "free": (partial(by_cal, **FREE), "cal-eps0", "cal that only the budget limits"),
    "cal-families": (
        partial(by_cal, environments="families"), "cal-eps0", "cal, families as environments",
    ),
    "composition-eps0": (partial(by_composition, epsilon=0.0), "erm", "control of the next two"),
    "composition": (by_composition, "composition-eps0", "attack on fractions"),
    "substitution": (
        partial(by_composition, substitutions=1), "composition-eps0", "and one other element",
    ),
    "pairs": (partial(by_attack, make_attack=others), "cal-eps0", "toward another family"),
    "span": (
        partial(by_attack, make_attack=span, **FREE), "cal-eps0", "between means of families",
    ),
    "random-span": (
        partial(by_attack, make_attack=random_span, **FREE), "cal-eps0",
        "in as many random directions",
    ),
    "target": (
        partial(by_attack, make_attack=target), "cal-eps0",
        "toward unlabelled rows of the target",
    ),
    "unlabelled-cal-eps0": (
        partial(by_unlabelled, method="unlabelled-cal-eps0"), "erm", "the registered control",
    ),
    "unlabelled-cal": (
        partial(by_unlabelled, method="unlabelled-cal"), "unlabelled-cal-eps0",
        "the registered one",
    ),
    "balanced": (
        partial(by_families, kind=RobustRegressor, objective="group-dro", strength=0.0), "erm",
        "equally many rows of each family",
    ),
    "family-dro": (
        partial(by_families, kind=RobustRegressor, objective="group-dro", strength=0.01),
        "balanced", "group DRO over families",
    ),
    "family-cvar": (
        partial(by_families, kind=FamilyCVaRRegressor, objective="group-dro", strength=0.5),
        "balanced", "worst half of the families",
    ),
    "cvar": (partial(by_rows, strength=0.5), "erm", "worst half of the rows"),
    "consistent": (consistent, "erm", "agreement of attacked and clean unlabelled rows"),
    "encoded": (
        partial(by_attack, make_attack=encoded, **FREE), "cal-eps0",
        "attack on the columns of the encoder",
    ),
}  # fmt: skip
"""Name -> fit, control, meaning."""
ENCODER_FORMS = ["erm", "cal-eps0", "cal", "encoded"]


def encoded_columns(X: FloatArray) -> int:
    """Return how many of the columns are those of the encoder."""
    return ENCODED if X.shape[1] > len(CompositionFeaturizer(F).names) else 0


def read(table: str, encoder: bool) -> tuple[Any, Labelled]:  # noqa: FBT001
    """Return a table, and its rows with their compositions."""
    data, X = read_rows({**DECIDE, **CONFIRM}[table])
    if encoder:
        new = np.flatnonzero(~read_encoder(SHIPPED).knows(data.groups))
        data, X = data.take(new), X[new]
    if len(X) > 20_000:
        some = np.sort(np.random.default_rng(0).permutation(len(X))[:20_000])
        data, X = data.take(some), X[some]
    compositions = data.materials.compositions
    if encoder:
        X = np.hstack([X, CompositionFeaturizer("pretrained").transform(compositions)])
    origin = CompositionSource(compositions, CompositionFeaturizer(F))
    return data, Labelled(X, data.y, origin=origin, groups=data.groups)


def make_cell(data: Any, rows: Labelled, shift: str, size: int, seed: int) -> Cell | None:
    """Return the rows of `auto_members.make_cell`, and ID rows; None if there are too few."""
    out = held_out(data, rows.X[:, : rows.X.shape[1] - encoded_columns(rows.X)], shift, seed)
    rng = np.random.default_rng(derive_seed(seed, "rows"))
    rest = rng.permutation(np.flatnonzero(~out))
    if len(rest) < size:
        return None
    ood = rng.permutation(np.flatnonzero(out))[:MAX_TEST]
    train = rows.take(rest[:size])
    numbers = np.unique(train.groups, return_inverse=True)[1]
    folds = rng.permutation(numbers.max() + 1)[numbers] % N_FOLDS
    other = rest[size : size + MAX_TEST]
    return Cell(train, rows.X[ood], rows.y[ood], rows.X[other], rows.y[other], folds, seed)


def part_of(cell: Cell, fold: int | None) -> tuple[Part, MemberScale]:
    """Return what a form sees in a fold, or of all rows."""
    kept = np.ones(len(cell.folds), dtype=bool) if fold is None else cell.folds != fold
    rows = cell.rows.take(kept)
    scale = MemberScale.of("asinh", rows.y)
    families = np.unique(family_codes(rows.origin.compositions), return_inverse=True)[1]
    new = cell.X_ood if fold is None else cell.rows.X[~kept]
    seed = derive_seed(cell.seed, "method")
    return Part(replace(rows, y=scale.forward(rows.y)), families, new, seed), scale


def predict(models: list[Any], scale: MemberScale, X: FloatArray) -> FloatArray:
    """Return the prediction of each network in the unit of the target, shape (networks, n)."""
    if not len(X):
        return np.empty((COMMON["n_members"], 0))
    return scale.inverse(np.concatenate([model.predict_members(X) for model in models]))


def mean_of(models: list[Any], scale: MemberScale, X: FloatArray) -> FloatArray:
    """Return the prediction of the ensemble, a mean on the scale, shape (n,)."""
    if not len(X):
        return np.empty(0)
    return scale.inverse(np.mean([model.predict(X) for model in models], axis=0))


def compute_form(form: str, cell: Cell, path: Path) -> None:
    """Write the predictions of a form that is fitted to all training rows."""
    began = time.process_time()
    part, scale = part_of(cell, None)
    models = FORMS[form][0](part)
    last = models[0].history_[-1]
    save(
        path,
        ood=predict(models, scale, cell.X_ood), ood_mean=mean_of(models, scale, cell.X_ood),
        id=predict(models, scale, cell.X_id), id_mean=mean_of(models, scale, cell.X_id),
        seconds=time.process_time() - began, moved=last.get("displacement_rms", 0.0),
    )  # fmt: skip


def compute_folds(form: str, cell: Cell, path: Path) -> None:
    """Write the predictions of a form outside the folds."""
    column = np.empty_like(cell.rows.y)
    for fold in range(N_FOLDS):
        part, scale = part_of(cell, fold)
        column[cell.folds == fold] = mean_of(FORMS[form][0](part), scale, part.new)
    save(path, oof=column)


def compute_stack(cell: Cell, path: Path) -> None:
    """Write the predictions of the members of `auto` outside the folds, and of held-out rows."""
    names, oof, ood, near = [], [], [], []
    d = cell.rows.X.shape[1]
    blocks = {"magpie": range(MAGPIE), "fractions": range(MAGPIE, d)}
    if n_encoded := encoded_columns(cell.rows.X):
        blocks["fractions"] = range(MAGPIE, d - n_encoded)
        blocks["pretrained"] = range(d - n_encoded, d)
    n = len(cell.rows.y)
    for member in build_method("auto", MethodSettings(threads=1, device="cpu"), seed=None).members:
        few_or_many = not member.min_rows <= n <= (member.max_rows or n)
        if few_or_many or not member.needs <= set(blocks):
            continue
        columns = member.columns(blocks, d)
        scale = MemberScale.of(member.scale, cell.rows.y)
        rows = replace(
            cell.rows, X=cell.rows.X[:, columns], y=scale.forward(cell.rows.y), origin=None
        )
        rng = np.random.default_rng(derive_seed(cell.seed, "method"))
        found = member.regressor.cross_fit(FitData(rows, rows, None, rng), cell.folds)
        fitted = found.fit_all()
        names.append(member.name)
        oof.append(scale.inverse(found.predictions))
        for place, X in ((ood, cell.X_ood), (near, cell.X_id)):
            some = scale.inverse(fitted.predict(X[:, columns])) if len(X) else np.empty(0)
            place.append(some)
    save(
        path, names=np.array(names), oof=np.array(oof), ood_mean=np.array(ood),
        id_mean=np.array(near),
    )  # fmt: skip


def save(path: Path, **arrays: Any) -> None:
    """Write a file that is there as a whole or not at all."""
    partly = path.with_suffix(".part")
    with partly.open("wb") as file:
        np.savez(file, **arrays)
    partly.replace(path)


def run(options: argparse.Namespace) -> None:
    """Compute what is missing, cell by cell."""
    tables: dict[str, Any] = {}
    for seed, size, table, shift in itertools.product(
        options.seeds, options.sizes, options.tables, options.shifts
    ):
        kind = "-encoder" if options.encoder else ""
        folder = options.out / f"{table}_{shift}_{size}_{seed}{kind}"
        todo = missing(folder, options)
        if not todo:
            continue
        if table not in tables:
            tables[table] = read(table, options.encoder)
        cell = make_cell(*tables[table], shift, size, seed)
        if cell is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        families = np.unique(family_codes(cell.rows.origin.compositions)).size
        save(
            folder / "cell.npz", y=cell.rows.y, y_ood=cell.y_ood, y_id=cell.y_id, families=families
        )
        wall = time.perf_counter()
        for path, work in todo:
            start = time.process_time()
            try:
                work(cell, path)
            except (ValueError, RuntimeError) as error:
                print(f"{path}: {error}", flush=True)
            print(f"  {path.name} {time.process_time() - start:.1f} s", flush=True)
        print(f"{folder.name}: {time.perf_counter() - wall:.0f} s", flush=True)


def missing(folder: Path, options: argparse.Namespace) -> list[tuple[Path, Any]]:
    """Return the files that a cell lacks, and what computes each."""
    todo: list[tuple[Path, Any]] = []
    for form in options.forms:
        todo.append((folder / f"{form}.npz", partial(compute_form, form)))
        if options.stack:
            todo.append((folder / f"{form}.oof.npz", partial(compute_folds, form)))
    if options.stack:
        todo.append((folder / "auto.npz", compute_stack))
    return [one for one in todo if not one[0].exists()]


def mae(predictions: FloatArray, y: FloatArray, found: Any) -> float:
    """Return the mean absolute error over all networks."""
    return float(np.abs(bounded(predictions, y) - found).mean())


def collect(folder: Path) -> dict[str, dict[str, float]]:
    """Return the errors of all forms in a cell, alone and of the stack with them."""
    cell = np.load(folder / "cell.npz")
    y = cell["y"]
    auto = np.load(folder / "auto.npz") if (folder / "auto.npz").exists() else None
    found: dict[str, dict[str, float]] = {}
    without = None
    if auto is not None:
        P = bounded(auto["oof"], y)
        without = stack_weights(P, y)
        found["auto"] = {
            where: mae(without @ bounded(auto[f"{where}_mean"], y), y, cell[f"y_{where}"])
            for where in ("ood", "id")
            if len(cell[f"y_{where}"])
        }
    for form in FORMS:
        if not (folder / f"{form}.npz").exists():
            continue
        alone = np.load(folder / f"{form}.npz")
        errors = {"seconds": float(alone["seconds"]), "moved": float(alone["moved"])}
        for where in ("ood", "id"):
            if len(cell[f"y_{where}"]):
                errors[where] = mae(alone[where], y, cell[f"y_{where}"])
                errors[f"{where}_mean"] = mae(alone[f"{where}_mean"], y, cell[f"y_{where}"])
        if auto is not None and (folder / f"{form}.oof.npz").exists():
            column = bounded(np.load(folder / f"{form}.oof.npz")["oof"], y)
            weights = stack_weights(np.vstack([P, column]), y)
            errors["weight"] = float(weights[-1])
            errors["folds"] = float(np.abs(column - y).mean() / np.abs(P - y).mean(axis=1).min())
            for where in ("ood", "id"):
                if len(cell[f"y_{where}"]):
                    both = np.vstack([auto[f"{where}_mean"], alone[f"{where}_mean"]])
                    errors[f"stack_{where}"] = mae(
                        weights @ bounded(both, y), y, cell[f"y_{where}"]
                    )
        found[form] = errors
    return found


def summarise(options: argparse.Namespace) -> None:
    """Print geometric means of ratios, with paired tests over cells."""
    cells = {}
    for folder in sorted(path for path in options.out.iterdir() if path.is_dir()):
        encoder = folder.name.endswith("-encoder")
        table, shift, size, seed = folder.name.removesuffix("-encoder").rsplit("_", 3)
        if (
            table in options.tables
            and shift in options.shifts
            and int(size) in options.sizes
            and int(seed) in options.seeds
            and encoder == options.encoder
        ):
            cells[table, shift, int(size), int(seed)] = collect(folder)
    for form in options.forms:
        seen = [cell[form] for cell in cells.values() if form in cell]
        if not seen:
            continue
        _, control, meaning = FORMS[form]
        seconds, moved = np.mean([(one["seconds"], one["moved"]) for one in seen], axis=0)
        print(f"\n{form}: {meaning}; {len(seen)} cells, {seconds:.1f} s, moved by {moved:.3f}")
        controls = list(dict.fromkeys(one for one in (control, "erm") if one and one != form))
        for below in controls:
            for where in ("ood", "ood_mean", "id"):
                compare(cells, form, below, where, where, f"{form}/{below} {where}", options.by)
        for where in ("ood", "id"):
            title = f"stack with/without {where}"
            compare(cells, form, "auto", f"stack_{where}", where, title, options.by)
        for below in controls:
            compare(cells, form, below, "stack_ood", "stack_ood", f"stack with it/{below}", [])
        weights = [(one["weight"], one["folds"]) for one in seen if "weight" in one]
        if weights:
            share, folds = np.mean(weights, axis=0)
            none = sum(one[0] < LEAST_WEIGHT for one in weights)
            print(f"  mean weight {share:.2f}, none in {none}; {folds:.3f} of the best member")


def compare(
    cells: dict[Any, Any], above: str, below: str, name: str, other: str, title: str, by: list[int]
) -> None:
    """Print the ratio of two errors, over all cells and by parts of their keys."""
    ratios = {
        key: cell[above][name] / cell[below][other]
        for key, cell in cells.items()
        if above in cell and below in cell and name in cell[above] and other in cell[below]
    }
    if not ratios:
        return
    groups = [("", list(ratios))]
    for place in by:
        groups += [
            (f" {value}", [key for key in ratios if key[place] == value])
            for value in sorted({key[place] for key in ratios})
        ]
    for what, keys in groups:
        values = [ratios[key] for key in keys]
        print(f"  {line(title + what, values)}  largest {max(values):.2f}")


def main() -> None:
    """Compute the cells that are missing, or print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--stack", action="store_true")
    parser.add_argument("--encoder", action="store_true")
    parser.add_argument("--tables", nargs="+", default=list(DECIDE), choices=[*DECIDE, *CONFIRM])
    parser.add_argument("--shifts", nargs="+", default=["loco", "element", "sparse"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[300])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--forms", nargs="+", choices=FORMS)
    parser.add_argument("--networks", type=int, default=3, help="of each form")
    parser.add_argument("--by", nargs="*", type=int, default=[], help="1 shifts, 2 sizes, 3 seeds")
    options = parser.parse_args()
    usual = [form for form in FORMS if form != "encoded"]
    options.forms = options.forms or (ENCODER_FORMS if options.encoder else usual)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    COMMON["n_members"] = options.networks
    if options.summary:
        summarise(options)
        return
    run(options)


if __name__ == "__main__":
    main()
