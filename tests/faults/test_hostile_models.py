"""A changed model is refused in one line or answers as before; it never crashes or hangs."""

import os
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from faults.model_mutations import MUTATIONS, REFUSED, SAME, try_all
from xtalshift.methods import MethodSettings, build_method, saved_methods
from xtalshift.model import FormulaRegressor, save_model
from xtalshift.model.intervals import calibrate_regressor

FORMULAS = [f"{metal}{anion}" for metal in ("Li", "Na", "K", "Mg", "Zn", "Ga") for anion in
            ("O", "S", "F", "Cl", "N")]  # fmt: skip
TARGETS = np.linspace(1, 4, len(FORMULAS)) ** 2
SETTINGS = MethodSettings.from_dict(
    {
        "device": "cpu",
        "threads": 1,
        "network": {"architecture": [4], "dropout": 0.1},
        "erm": {"epochs": 1},
        "cal": {"epochs": 2, "warmup_epochs": 1, "partial_batches": 1, "attack_steps": 1},
        "lightgbm": {"n_estimators": 5},
    }
)
QUICK, LONG = 8, 100_000
"""Mutations of each model and kind in the quick corpus; of all together in the long one."""


def calibrated(model):
    """Return the model with intervals, from its own rows: only their form matters here."""
    known = model.read(FORMULAS)
    scores = calibrate_regressor(
        model.regressor, model.features_of(known), TARGETS, families=known.families
    )
    return replace(model, calibration=scores)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a saved model of each method that can be saved."""
    place = tmp_path_factory.mktemp("models")
    for method in saved_methods():
        regressor = build_method(method, SETTINGS, seed=3)
        model = FormulaRegressor(regressor, random_state=0).fit(FORMULAS, TARGETS).model_
        save_model(calibrated(model), place / method)
    return {method: place / method for method in saved_methods()}


def check(models, tasks):
    counts, faults = Counter(), []
    for task, result in try_all(models, tasks):
        counts[task[1], result if result in {REFUSED, SAME} else "fault"] += 1
        if result not in {REFUSED, SAME}:
            faults.append((*task, result))
    assert not faults, faults[:20]
    return counts


def test_a_changed_model_is_refused_or_the_same(models):
    tasks = [
        (method, kind, seed) for method in models for kind in MUTATIONS for seed in range(QUICK)
    ]
    counts = check(models, tasks)
    for kind in MUTATIONS:  # the mutations are no idle ones
        assert counts[kind, REFUSED] > counts[kind, SAME]


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_changed_model_is_refused_or_the_same_in_many_tries(models):
    first = int(os.environ.get("XTALSHIFT_FUZZ_SEED", "0"))
    rng = random.Random(first)
    names, kinds = list(models), list(MUTATIONS)
    n = int(os.environ.get("XTALSHIFT_FUZZ_TRIES", LONG))
    check(models, [(rng.choice(names), rng.choice(kinds), 10**6 + first + i) for i in range(n)])
