"""A saved model of every class that can be saved, and of every kind of each of its parts."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np

from encoder_toys import write_toy_encoder
from structure_toys import random_structure
from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.data.materials import Materials
from xtalshift.estimators import (
    AdaptedStackClassifier,
    AdaptedStackRegressor,
    ForestClassifier,
    ForestRegressor,
    IRNetClassifier,
    IRNetRegressor,
    KernelRidgeRegressor,
    LightGBMRegressor,
    LogisticClassifier,
    OrdinalClassifier,
    RecalibrationClassifier,
    RidgeRegressor,
    StackClassifier,
    StackRegressor,
)
from xtalshift.estimators.adapted_stack import Correction
from xtalshift.estimators.predictors import PREDICTORS, Predictor
from xtalshift.estimators.stack import Member
from xtalshift.featurize import CompositionFeatures
from xtalshift.jsonio import Plain
from xtalshift.methods import METHODS, MethodSettings
from xtalshift.model import FittedClassifier, FittedModel, adapt, calibrate, fit, save_model
from xtalshift.model.fitting import FitRows
from xtalshift.structure import Structures
from xtalshift.uncertainty.settings import IntervalConfig

METALS = ("Li", "Na", "K", "Mg", "Zn", "Ga", "Ba", "Ti", "Fe", "Cd", "In", "La")
ANIONS = ("O", "S", "F", "Cl", "N", "Se", "Br", "I", "Te")
SETTINGS: Plain = {
    "device": "cpu",
    "threads": 1,
    "network": {"architecture": [4], "dropout": 0.1},
    "erm": {"epochs": 1},
    "cal": {"epochs": 2, "warmup_epochs": 1, "partial_batches": 1, "attack_steps": 1},
    "lightgbm": {"n_estimators": 5},
}
QUICK = {"steps": 2}
"""Settings of adaptations."""
CROSS = IntervalConfig(method="cross", folds=2)
HELD_OUT = IntervalConfig(method="held-out", share=0.4)


@cache
def table(start: int = 0, stop: int = 30, hydrates: str = "refuse") -> Dataset:
    """Return formulas with positive targets; if hydrates are expanded, with extra columns."""
    forms = ("{}{}", "{}2{}3")
    formulas = [form.format(a, b) for form in forms for a in METALS for b in ANIONS][start:stop]
    targets = np.linspace(1, 4, len(formulas)) ** 2
    extra = np.column_stack([targets % 1, targets % 2]) if hydrates == "expand" else None
    return clean_table(Dataset.of(formulas, targets, extra=extra, hydrates=hydrates))


def trained(method: str, *, rows: int = 30, settings: Plain | None = None, **how) -> FittedModel:
    """Return a fitted model; methods that see the target domain see the last rows as such."""
    how.setdefault("intervals", IntervalConfig(method="none"))
    how.setdefault("data", table(0, rows))
    how.setdefault("features", "fractions")
    if METHODS[method].target_access != "source":
        number = np.arange(rows)
        how["rows"] = FitRows(number[:16], number[16:20], target=number[20:])
    changed = MethodSettings.from_dict({**SETTINGS, **(settings or {})})
    return fit(method=method, settings=changed, **how)


def calibrated(model: FittedModel, kind: str) -> FittedModel:
    """Return the model with intervals for a target domain."""
    return calibrate(model, table(30, 42), kind=kind)


def adapted(model: FittedModel, method: str, *, source: Dataset | None = None) -> FittedModel:
    """Return the network adapted to a target domain, with intervals from folds of its labels."""
    return adapt(
        model,
        table(40, 52),
        source=source,
        method=method,
        settings=QUICK,
        calibration_folds=2,
    )


def with_cells() -> FittedModel:
    """Return a model whose domain has held-out groups, and an index of several cells."""
    with patch("xtalshift.domain.neighbour_index._EXACT_BELOW", 50):
        return trained("ridge", rows=216, intervals=HELD_OUT, transform="log")


def stack() -> FittedModel:
    """Return a stack of every kind of member, which all have a weight."""
    members = [
        Member("ridge@asinh", RidgeRegressor(), "asinh"),
        Member("kernel-ridge", KernelRidgeRegressor("rbf", gammas=(0.3,))),
        Member("bare ridge", RidgeRegressor(), without=frozenset({"fractions"})),
        Member("trees", ForestRegressor(n_estimators=3)),
        Member("lightgbm", LightGBMRegressor(n_estimators=4, loss="squared")),
        Member("network", IRNetRegressor(architecture=(4,), epochs=1, weights="last")),
    ]
    equal = np.full(len(members), 1 / len(members))
    with patch("xtalshift.estimators.stack.stack_weights", return_value=equal):
        stacked = StackRegressor(members, random_state=0)
        return fit(table(0, 30, "expand"), stacked, features="fractions")


def adapted_stack() -> FittedModel:
    """Return a ridge model with every kind of correction, which all have a weight."""
    start = trained("ridge")
    ridge = RidgeRegressor()
    members = [
        Correction("line", ridge, "start", "errors"),
        Correction("kernel-ridge", KernelRidgeRegressor("rbf", gammas=(0.3,)), scale="asinh"),
        Correction("joint", LightGBMRegressor(n_estimators=4), "features", "targets", replays=True),
        Correction("marked", ridge, "marked", "targets", replays=True),
    ]
    equal = np.full(1 + len(members), 1 / (1 + len(members)))
    stack = AdaptedStackRegressor(members=members, random_state=0)
    labels = Dataset.of([f"Na{n}Cl{n + 1}" for n in range(1, 21)], np.linspace(8, 9, 20))
    with (
        patch("xtalshift.estimators.adapted_stack.adaptation_weights", return_value=equal),
        patch("xtalshift.model.stacked_adaptation.adapted_stack", return_value=stack),
    ):
        found = adapt(start, labels)
    assert len(found.regressor.members_) == len(members)
    return found


def with_encoder() -> FittedModel:
    """Return a model of the features of an encoder, whose folder is gone."""
    with TemporaryDirectory() as folder:
        write_toy_encoder(Path(folder), size=2)
        return trained("ridge", features=f"fractions+pretrained:{folder}")


def crystals() -> FittedModel:
    """Return a network on crystals, whose features are the crystals themselves."""
    rng = np.random.default_rng(0)
    batch = Structures.join([random_structure(rng, 2) for _ in range(12)])
    materials = replace(
        Materials.parse(batch.compositions().reduced_formulas().tolist()), structures=batch
    )
    data = clean_table(Dataset(materials, np.arange(1.0, 13.0)))
    params = {"width": 2, "weights": "last"}
    return trained("chgnet-finetune", rows=12, data=data, features="chgnet:c1+sites", params=params)


@cache
def kinds(start: int = 0, stop: int = 30, k: int = 3, *, ordered: bool = False) -> Dataset:
    """Return the same formulas with k classes."""
    data = table(start, stop)
    names = ("low", "middle", "high", "top")[:k]
    codes = np.arange(len(data)) % k
    return clean_table(Dataset.of(data.formulas, codes, classes=names, ordered=ordered))


def of_classes(method: str, k: int = 3, *, ordered: bool = False, **how) -> FittedClassifier:
    """Return a fitted model of classes."""
    return trained(method, data=kinds(k=k, ordered=ordered), **how)


def class_stack() -> FittedClassifier:
    """Return a stack of classifiers, which all have a weight."""
    members = [
        Member("logistic", LogisticClassifier(alphas=(1.0,))),
        Member("trees", ForestClassifier(n_estimators=2)),
        Member("thresholds", OrdinalClassifier(LogisticClassifier(alphas=(1.0,)))),
        Member("network", IRNetClassifier(architecture=(4,), epochs=1, weights="last")),
    ]
    equal = np.full(len(members), 1 / len(members))
    with patch("xtalshift.estimators.stack.mixture_weights", return_value=equal):
        return fit(kinds(), StackClassifier(members, random_state=0), features="fractions")


def adapted_class_stack() -> FittedClassifier:
    """Return a model of classes with every kind of correction, which all have a weight."""
    start = of_classes("ridge")
    members = [
        Correction("shares", RecalibrationClassifier("temperature-bias"), "start", "targets"),
        Correction("both", ForestClassifier(n_estimators=2), "both", "targets"),
        Correction("alone", LogisticClassifier(alphas=(1.0,)), "features", "targets"),
    ]
    stack = AdaptedStackClassifier(members=members, random_state=0)
    formulas = [f"Na{n}Cl{n + 1}" for n in range(1, 25)]
    codes = np.arange(len(formulas)) % len(start.classes)
    with (
        patch(
            "xtalshift.estimators.adapted_stack.adaptation_weights",
            side_effect=lambda predictions, *_: np.full(len(predictions), 1 / len(predictions)),
        ),
        patch("xtalshift.model.class_adaptation.adapted_class_stack", return_value=stack),
    ):
        found = adapt(start, Dataset.of(formulas, codes, classes=start.classes))
    assert len(found.classifier.members_) == len(members)
    return found


def bare(model: FittedModel) -> FittedModel:
    """Return the model with scores only, as earlier versions wrote them, and without a domain."""
    assert model.calibration is not None
    scores = replace(model.calibration, X=None, families=None)
    return replace(model, calibration=scores, domain=None)


def network(**settings: object) -> Plain:
    return {"network": {**SETTINGS["network"], **settings}}


def cal(**settings: object) -> Plain:
    return {"cal": {**SETTINGS["cal"], **settings}}


SMALL_TOKENS = {"width": 4, "n_heads": 2}
TARGET = {"params": {"settings": QUICK}}
MODELS: dict[str, Callable[[], FittedModel | FittedClassifier]] = {
    "dummy": partial(trained, "dummy"),
    "train-max, absolute, target": lambda: calibrated(trained("train-max"), "absolute"),
    "ridge, log, held-out, cells": with_cells,
    "ridge, all features, hydrates": partial(
        trained,
        "ridge",
        data=table(0, 30, "expand"),
        features=CompositionFeatures("magpie+fractions", impute_nan=False, hydrates="expand"),
        intervals=CROSS,
    ),
    "lightgbm, asinh, out-of-fold": partial(
        trained, "lightgbm", transform="asinh", intervals=CROSS
    ),
    "trend-lightgbm": lambda: trained("trend-lightgbm"),
    "lightgbm-quantile, clip, held-out": partial(
        trained, "lightgbm-quantile", transform="clip", intervals=HELD_OUT
    ),
    "lightgbm-quantile, absolute": lambda: calibrated(trained("lightgbm-quantile"), "absolute"),
    "lightgbm, huber": partial(
        trained, "lightgbm", settings={"lightgbm": {"n_estimators": 5, "loss": "huber"}}
    ),
    "kernel-ridge, laplacian": partial(
        trained, "kernel-ridge", params={"kernel": "laplacian", "gammas": (0.3,)}
    ),
    "svr, log, out-of-fold": partial(trained, "svr", transform="log", intervals=CROSS),
    "extra-trees": partial(trained, "extra-trees", params={"n_estimators": 4}),
    "stack": stack,
    "adapted stack": adapted_stack,
    "adapted stack of classes": adapted_class_stack,
    "ridge, encoder": with_encoder,
    "erm, log1p, bare": lambda: bare(trained("erm", transform="log1p", intervals=CROSS)),
    "ensemble, normalised, held-out": partial(
        trained, "ensemble", settings=network(bootstrap=True), intervals=HELD_OUT
    ),
    "heteroscedastic, log, normalised, out-of-fold": partial(
        trained, "heteroscedastic", transform="log", intervals=CROSS
    ),
    "heteroscedastic ensemble, clip, target": lambda: calibrated(
        trained("heteroscedastic", settings=network(n_members=2), transform="clip"), "normalised"
    ),
    "mc-dropout, asinh, normalised": partial(
        trained, "mc-dropout", transform="asinh", intervals=HELD_OUT
    ),
    "attention, fractions": partial(trained, "attention", params=SMALL_TOKENS),
    "attention, other columns": partial(
        trained, "attention", params=SMALL_TOKENS, features="magpie", intervals=CROSS
    ),
    "cal, compositions": partial(
        trained,
        "cal",
        settings=cal(attack="composition"),
        features="magpie",
        intervals=CROSS,
    ),
    "cal, paper": partial(trained, "cal", settings=cal(preset="paper")),
    "cal ensemble, log1p": partial(
        trained,
        "cal",
        settings=network(n_members=2) | cal(environments="families"),
        transform="log1p",
        intervals=HELD_OUT,
    ),
    "cal-eps0": partial(trained, "cal-eps0"),
    "multi-task of one target": partial(trained, "multi-task"),
    "wasserstein": partial(trained, "wasserstein"),
    "cvar": partial(trained, "cvar"),
    "group-dro": partial(trained, "group-dro"),
    "group-dro ensemble": partial(trained, "group-dro", settings=network(n_members=2)),
    "v-rex": partial(trained, "v-rex"),
    "c-mixup": partial(trained, "c-mixup"),
    "chi2": partial(trained, "chi2"),
    "kl": partial(trained, "kl"),
    "coral": partial(trained, "coral"),
    "mmd": partial(trained, "mmd"),
    "fine-tune": partial(trained, "fine-tune", **TARGET),
    "l2-sp": partial(trained, "l2-sp", **TARGET),
    "head-only": partial(trained, "head-only", **TARGET),
    "joint": partial(trained, "joint", **TARGET),
    "targeted-cal": partial(trained, "targeted-cal", **TARGET),
    "targeted-cal-eps0": partial(trained, "targeted-cal-eps0", **TARGET),
    "unlabelled-cal": partial(trained, "unlabelled-cal", **TARGET),
    "erm adapted by targeted-cal": lambda: adapted(
        trained("erm", transform="log"), "targeted-cal", source=table()
    ),
    "shares of classes, target": lambda: calibrate(of_classes("dummy"), kinds(30, 42)),
    "logistic, held-out": partial(of_classes, "ridge", intervals=HELD_OUT),
    "lightgbm of 2 classes, out-of-fold": partial(of_classes, "lightgbm", 2, intervals=CROSS),
    "lightgbm of 3 classes": partial(of_classes, "lightgbm"),
    "trees of 3 classes": partial(of_classes, "extra-trees", params={"n_estimators": 2}),
    "erm of classes": partial(of_classes, "erm"),
    "cal of classes": partial(of_classes, "cal"),
    "cvar of classes": partial(of_classes, "cvar"),
    "coral of classes": partial(of_classes, "coral"),
    "thresholds": partial(of_classes, "ridge", 4, ordered=True),
    "stack of classes": class_stack,
    "ensemble adapted by fine-tune": lambda: adapted(trained("ensemble"), "fine-tune"),
}
"""Name of a model -> what makes it."""
WITH_CHGNET = find_spec("chgnet") is not None
if WITH_CHGNET:
    MODELS["chgnet-finetune"] = crystals


def saved_classes() -> set[str]:
    """Return the names of all classes that can be saved."""
    return {
        name
        for name in PREDICTORS
        if PREDICTORS[name]._get_state is not Predictor._get_state
        and (WITH_CHGNET or name != "FineTunedCHGNetRegressor")
    }


def save_all(place: Path, names: Iterable[str] = tuple(MODELS)) -> dict[str, Path]:
    """Save the models in folders of `place`; those that are there already are kept."""
    folders = {name: place / name for name in names}
    for name, folder in folders.items():
        if not (folder / "model.json").exists():
            save_model(MODELS[name](), folder)
    return folders
