"""Predictions below 0 of properties that are never negative."""

import numpy as np
import pytest

from xtalshift.data import Dataset
from xtalshift.jobs.suggest import Request, suggest
from xtalshift.jobs.suggest_several import SeveralRequest, suggest_several
from xtalshift.model import fit, fit_several
from xtalshift.model.negative_values import warn_of_negative
from xtalshift.progress import NO_PROGRESS

FORMULAS = [f"{m}{a}" for m in ("Li", "Na", "K", "Mg", "Ca") for a in ("O", "S", "Se", "Te")]


class Listener(type(NO_PROGRESS)):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def tables():
    """Return a property that falls to 0.1 for oxides, and one that does not matter."""
    kind = np.tile(np.arange(4.0), 5)
    low = np.maximum(0.1, 3 * kind - 1)
    return {
        "low": Dataset.of(FORMULAS, low, target_name="low", unit="GPa"),
        "other": Dataset.of(FORMULAS, 5 + kind, target_name="other"),
    }


def test_counts_are_said_with_what_to_do():
    (text,) = warn_of_negative([-1.0, 2.0, -3.0], "bulk")
    assert text.startswith("warning: 2 rows have a prediction of bulk below 0, which no training")
    assert "--transform log" in text
    (one,) = warn_of_negative([-1.0], "bulk")
    assert one.startswith("warning: 1 row has a prediction")
    assert list(warn_of_negative([0.0, 1.0], "bulk")) == []


def test_suggestions_that_win_by_negative_values_are_named(tables):
    models = fit_several(tables, "ridge")
    assert not models["low"].may_be_negative
    new, said = ["LiO2", "NaO3", "CaO2", "KS2"], Listener()
    found = suggest_several(models, new, SeveralRequest(3, ("min", "max")), progress=said)
    assert (found.frame["prediction_low"] < 0).any()
    assert sum("a prediction of low below 0" in text for text in said.said) == 1
    alone = Listener()
    suggest(models["low"], new, Request(4, "prediction"), progress=alone)
    assert any("a prediction of low below 0" in text for text in alone.said)


def test_negative_training_values_and_transforms_say_nothing(tables):
    shifted = Dataset.of(FORMULAS, tables["low"].targets - 1)
    assert fit(shifted, "ridge").may_be_negative
    said = Listener()
    log = fit(tables["low"], "ridge", transform="log")
    suggest(log, ["LiO2", "NaO3"], Request(2, "prediction"), progress=said)
    assert not any("below 0" in text for text in said.said)
