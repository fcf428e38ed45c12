"""Which method has the smallest error on rows that no test set holds, and how sure that is."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_1samp

from xtalshift.benchmark.choice import Choice, choose
from xtalshift.benchmark.problem import ChoiceRows
from xtalshift.metrics import corrected_t_test

N = 40
Y = np.linspace(-1.0, 2.0, N)
GROUPS = np.array([f"m{row}" for row in range(N)], dtype=object)
ROWS = np.arange(5, 35)
VALIDATION = ChoiceRows("fold", ROWS)
CROSS = ChoiceRows("fold", ROWS, n_folds=5, repeats=3)


def predicted(errors, rows=ROWS, repeats=1, folds=5):
    """Return predictions with these signed errors, shape (repeats, rows)."""
    errors = np.broadcast_to(errors, (repeats, len(rows)))
    return pd.DataFrame(
        {
            "row": np.tile(rows, repeats),
            "repeat": np.repeat(np.arange(repeats), len(rows)),
            "fold": np.concatenate([(np.arange(len(rows)) + k) % folds for k in range(repeats)]),
            "prediction": np.tile(Y[rows], repeats) + errors.ravel(),
        }
    )


def draw(size, seed):
    return np.random.default_rng(seed).normal(size=size)


def test_validation_rows_are_compared_over_formulas():
    good = 0.1 * draw(30, 0)
    close, bad = 1.001 * good + 0.01 * draw(30, 2), good + 0.5
    if np.abs(close).mean() < np.abs(good).mean():
        good, close = close, good
    found = choose({"bad": predicted(bad), "good": predicted(good), "close": predicted(close)},
                   Y, GROUPS, VALIDATION)  # fmt: skip
    raw = [ttest_1samp(np.abs(good) - np.abs(errors), 0).pvalue for errors in (close, bad)]
    assert (found.method, found.mae) == ("good", pytest.approx(np.abs(good).mean()))
    assert (found.n_rows, found.n_folds, found.repeats) == (30, 0, 0)
    assert [one.method for one in found.rivals] == ["close", "bad"]
    # Holm: the smaller of two p values counts twice
    assert [one.p_value for one in found.rivals] == pytest.approx([raw[0], 2 * raw[1]])
    assert raw[0] > 0.05 > 2 * raw[1]
    assert found.level_with == ["close"]


def test_rows_of_one_formula_are_one():
    groups = GROUPS.copy()
    groups[ROWS] = "same"
    one, two = predicted(0.1 * draw(30, 0)), predicted(0.1 * draw(30, 0) + 1.0)
    found = choose({"one": one, "two": two}, Y, groups, VALIDATION)
    assert (found.method, found.rivals[0].p_value, found.rivals[0].level) == ("one", None, True)


def test_a_cross_fit_is_compared_over_its_folds():
    ours, theirs = 0.1 * draw((3, 30), 0), 0.1 * draw((3, 30), 1) + 0.2
    found = choose(
        {"ours": predicted(ours, repeats=3), "theirs": predicted(theirs, repeats=3)},
        Y, GROUPS, CROSS,
    )  # fmt: skip
    gap = np.abs(ours) - np.abs(theirs)
    means = np.array(
        [gap[k][(np.arange(30) + k) % 5 == fold].mean() for k in range(3) for fold in range(5)]
    )
    spread = math.sqrt((1 / 15 + 1 / 4) * means.var(ddof=1))
    assert found.method == "ours"
    assert found.mae == pytest.approx(np.abs(ours).mean())
    assert found.rivals[0].mae == pytest.approx(np.abs(theirs).mean())
    assert found.rivals[0].p_value == pytest.approx(2 * t.sf(abs(means.mean()) / spread, 14))


def test_a_method_judged_by_fewer_rows_is_measured_against_the_best_of_the_others():
    all_rows, half = 0.1 + 0.1 * draw((3, 30), 0), ROWS[::2]
    # the stack has 0.9 of the error of the other method on its rows, which are the hard ones
    errors = np.array(all_rows)
    errors[:, ::2] *= 4
    stack = 0.9 * np.abs(errors[:, ::2]).mean(axis=0)
    found = choose(
        {"stack": predicted(stack, half, folds=3), "other": predicted(errors, repeats=3)},
        Y, GROUPS, CROSS,
    )  # fmt: skip
    other = np.abs(errors).mean()
    assert stack.mean() > other  # its rows are harder
    gap = 0.1 * np.abs(errors[:, ::2]).mean()
    assert (found.method, found.n_rows) == ("stack", 30)
    assert found.mae == pytest.approx(other - gap)
    (rival,) = found.rivals
    assert (rival.method, rival.n_rows) == ("other", 15)
    assert rival.mae == pytest.approx(other)
    differences = [
        (stack - np.abs(errors[k, ::2]))[(ROWS[::2] - 5 + k) % 5 == fold].mean()
        for k in range(3)
        for fold in range(5)
    ]
    assert rival.p_value == pytest.approx(corrected_t_test(differences, 1 / 4))


def test_methods_that_overflow_or_were_not_judged_are_not_chosen():
    infinite = predicted(np.where(np.arange(30) == 3, np.inf, 0.0))
    found = choose(
        {"infinite": infinite, "none": predicted(np.zeros(0), ROWS[:0]), "one": predicted(0.1)},
        Y, GROUPS, VALIDATION,
    )  # fmt: skip
    assert found == Choice("one", pytest.approx(0.1), 30)
    assert choose({"infinite": infinite}, Y, GROUPS, VALIDATION) is None
