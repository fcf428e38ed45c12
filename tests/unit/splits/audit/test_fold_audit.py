"""Every label with its reason, and every measure that is missing, on tables small enough to see."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import SplitError
from xtalshift.splits.audit.findings import AuditSettings
from xtalshift.splits.audit.fold_audit import AuditTable, audit_fold, audit_split
from xtalshift.splits.splitter import Fold, Rows

CHEAP = AuditSettings(classifier=False, relation=False)
ROWS = np.arange(100)
FORMULAS = [f"Fe{i}O{i + 1}" for i in range(1, 101)]
X = np.random.default_rng(0).normal(size=(100, 3))
Y = X[:, 0] + 1.0
TRAIN, TEST = ROWS[:75], ROWS[75:]
LABELS = {"degenerate", "leak", "covariate", "prior", "relation", "interpolation"}


def audited(fold, X=X, y=Y, groups=FORMULAS, settings=CHEAP):
    return audit_fold(fold, AuditTable.of(Rows.of(X, y, groups)), settings=settings)


class TestLabels:
    def test_random_rows_are_an_interpolation(self):
        found = audited(Fold(ROWS[:60], ROWS[60:]), settings=AuditSettings())
        assert found.labels == ("interpolation",)
        assert found.reasons == ("interpolation: no measure crosses its threshold",)
        assert found.missing == {}
        assert found.auc_low < 0.5 < found.auc_high
        assert abs(found.relation_shift) < 0.5

    def test_what_was_not_measured_is_said(self):
        found = audited(Fold(TRAIN, TEST))
        assert found.reasons == (
            "interpolation: no measure crosses its threshold (not measured: auc, relation_shift)",
        )

    def test_few_test_rows(self):
        found = audited(Fold(ROWS[:81], ROWS[81:]))
        assert found.labels == ("degenerate",)
        assert found.reasons == ("degenerate: 19 test rows, fewer than 20",)

    def test_few_training_rows(self):
        found = audited(Fold(ROWS[:49], ROWS[49:]))
        assert (found.n_unused, found.train_share) == (0, 0.49)
        assert found.labels == ("degenerate",)
        assert found.reasons == ("degenerate: 49.0% of the rows train, less than 50%",)

    def test_parts(self):
        found = audited(Fold(ROWS[:60], ROWS[75:95], ROWS[60:70], ROWS[70:72], "a fold", "a note"))
        sizes = (found.n_train, found.n_val, found.n_target, found.n_test, found.n_unused)
        assert sizes == (60, 10, 2, 20, 8)
        assert (found.name, found.note) == ("a fold", "a note")

    def test_a_formula_in_test_and_another_part(self):
        groups = FORMULAS.copy()
        groups[75], groups[76], groups[77] = groups[0], groups[60], groups[70]
        found = audited(Fold(ROWS[:60], TEST, ROWS[60:70], ROWS[70:75]), groups=groups)
        assert found.shared_formulas == 3
        assert found.labels == ("leak", "interpolation")
        assert found.reasons[0] == (
            "leak: 3 formulas of the test rows are in another part too, such as Fe1O2, "
            "Fe61O62, Fe71O72 (3 in more than one of all parts)"
        )

    def test_a_formula_in_train_and_val_is_counted_only(self):
        groups = [*FORMULAS[:60], *FORMULAS[:4], *FORMULAS[64:]]
        found = audited(Fold(ROWS[:60], TEST, ROWS[60:75]), groups=groups)
        assert (found.val_shared_formulas, found.shared_formulas) == (4, 0)
        assert found.labels == ("interpolation",)

    def test_a_row_in_two_parts(self):
        found = audited(Fold(ROWS[:76], TEST, ROWS[74:75]))
        assert found.rows_on_both_sides == 2
        assert found.labels[0] == "leak"
        assert "leak: 2 rows in two parts" in found.reasons

    def test_far_materials(self):
        moved = X.copy()
        moved[TEST, 2] += 8.0
        found = audited(Fold(TRAIN, TEST), moved, settings=AuditSettings(relation=False))
        assert found.labels == ("covariate",)
        assert found.auc > 0.99
        assert found.ess < 5
        assert found.reasons[0] == "covariate: the AUC of test against train is 1, at least 0.8"
        assert found.reasons[1].startswith("covariate: the ratio of nearest distances is ")
        assert found.reasons[1].endswith(", at least 1.5")

    def test_unseen_elements(self):
        groups = FORMULAS.copy()
        groups[75], groups[76] = "XeF2", "XeO3"
        found = audited(Fold(TRAIN, TEST), groups=groups)
        assert (found.unseen_elements, found.n_unseen) == (("Xe", "F"), 2)
        assert found.labels == ("covariate",)
        (reason,) = found.reasons
        assert reason == (
            "covariate: 2 of 25 test rows have elements that no training row has (Xe, F), at "
            "least 1%"
        )

    def test_the_only_compound_of_an_element_is_bad_luck(self):
        groups = FORMULAS.copy()
        groups[75] = "XeO3"
        fold = Fold(TRAIN, TEST)
        found = audited(fold, groups=groups, settings=AuditSettings(unseen_share=0.05))
        assert (found.unseen_elements, found.n_unseen) == (("Xe",), 1)
        assert found.labels == ("interpolation",)
        assert audited(fold, groups=groups).labels == ("covariate",)  # 4 % of the rows

    def test_another_prior(self):
        y = np.where(ROWS < 75, ROWS % 2, 1.0)
        found = audited(Fold(ROWS[:74], TEST), y=y)
        # half of 37 zeros and 37 ones moves by one; their deviation is a half
        assert (found.wasserstein, found.ks) == (pytest.approx(1.0), pytest.approx(0.5))
        assert found.dummy_mae == pytest.approx(0.5)
        assert found.labels == ("prior",)
        (reason,) = found.reasons
        assert reason == (
            "prior: the Wasserstein distance of the targets over their standard deviation is 1, "
            "at least 0.5"
        )

    def test_labels_stand_in_one_order(self):
        groups = [*FORMULAS[:75], *(f"Xe{i}O" for i in range(2, 27))]
        found = audited(Fold(TRAIN, TEST), y=Y + 9.0 * (ROWS >= 75), groups=groups)
        assert found.labels == ("covariate", "prior")
        assert len(found.reasons) == 2

    def test_another_relation(self):
        settings = AuditSettings(classifier=False, wasserstein=9.0)
        found = audited(Fold(ROWS[:60], ROWS[60:]), y=Y + 3.0 * (ROWS >= 60), settings=settings)
        assert found.labels == ("relation",)
        assert found.relation_p < 0.01
        assert found.reasons[0].startswith(
            "relation: residuals near training rows are shifted by +"
        )

    def test_a_significant_but_small_relation_shift_is_none(self):
        settings = AuditSettings(classifier=False, wasserstein=9.0, relation_shift=99.0)
        found = audited(Fold(ROWS[:60], ROWS[60:]), y=Y + 3.0 * (ROWS >= 60), settings=settings)
        assert found.labels == ("interpolation",)


class TestMeasures:
    def test_one_row_per_formula(self):
        # the polymorph at distance 0 does not count as a neighbour of its own formula
        X = np.array([[0.0], [0.0], [1.0], [3.0]])
        found = audited(Fold(np.arange(3), np.array([3])), X, None, ["FeO", "FeO", "MgO", "CaO"])
        assert found.distance_ratio == 2.0

    def test_error_of_the_training_mean(self):
        y = np.array([1.0, 3.0, np.nan, 5.0, 7.0, np.nan])
        groups = FORMULAS[:6]
        found = audited(Fold(np.arange(3), np.arange(3, 6)), X[:6], y, groups)
        assert found.dummy_mae == 4.0
        assert found.dummy_over_random == pytest.approx(
            4.0 / AuditTable.of(Rows.of(X[:6], y, groups)).random_mae
        )

    def test_error_in_random_folds(self):
        # every formula is a fold: distance of each value from the mean of the four others
        table = AuditTable.of(Rows.of(X[:5], [0.0, 0.0, 0.0, 0.0, 10.0], FORMULAS[:5]))
        assert table.random_mae == pytest.approx((4 * 2.5 + 10.0) / 5)
        assert AuditTable.of(Rows.of(X[:1], [1.0], ["FeO"])).random_mae is None

    def test_test_rows_with_unseen_elements_are_not_supported(self):
        groups = [*FORMULAS[:75], *(f"Xe{i}O" for i in range(2, 27))]
        found = audited(Fold(TRAIN, TEST), groups=groups, settings=AuditSettings(classifier=False))
        assert (found.n_supported, found.share_supported) == (0, 0.0)
        assert found.missing["relation_shift"] == (
            "75 training and 0 test formulas with a target; at least 20 of each are needed; 25 "
            "further test formulas have elements that training lacks"
        )


class TestMissing:
    def test_switched_off(self):
        assert audited(Fold(TRAIN, TEST)).missing == {
            "auc": "switched off by classifier = false",
            "relation_shift": "switched off by relation = false",
        }

    def test_no_targets(self):
        reason = "there are no targets"
        found = audited(Fold(TRAIN, TEST), y=None, settings=AuditSettings())
        assert found.missing == dict.fromkeys(
            ("wasserstein", "dummy_mae", "relation_shift"), reason
        )

    def test_few_formulas(self):
        found = audited(Fold(ROWS[:90], ROWS[98:]), settings=AuditSettings())
        assert found.missing == {
            "auc": "90 training and 2 test formulas; at least 10 of each are needed",
            "relation_shift": (
                "90 training and 2 test formulas with a target; at least 20 of each are needed"
            ),
        }

    def test_empty_parts(self):
        nothing = ROWS[:0]
        for fold in (Fold(nothing, nothing), Fold(nothing, TEST), Fold(TRAIN, nothing)):
            found = audited(fold)
            n, m = len(fold.train), len(fold.test)
            assert found.missing["distance_ratio"] == (
                f"{n} training and {m} test formulas; at least 2 and 1 are needed"
            )
            assert found.missing["dummy_mae"] == found.missing["wasserstein"]
            assert found.missing["dummy_mae"] == (
                f"{n} training and {m} test rows with a target; one of each is needed"
            )
            assert "degenerate" in found.labels

    def test_names_that_are_no_formulas(self):
        found = audited(Fold(TRAIN, TEST), groups=["Xx", "?", *FORMULAS[2:]])
        assert found.unseen_elements is None
        assert found.n_unseen is None
        assert found.missing["unseen_elements"] == ("2 of 100 formulas cannot be read, such as '?'")

    def test_constant_targets(self):
        found = audited(Fold(TRAIN, TEST), y=np.ones(100))
        assert found.dummy_over_random is None
        assert found.missing["dummy_over_random"] == "the error of random folds is 0.0"
        assert found.labels == ("interpolation",)


class TestSplit:
    folds = (Fold(TRAIN, TEST, name="a"), Fold(ROWS[:95], ROWS[95:], name="b"))

    def test_summary(self):
        found = audit_split(iter(self.folds), X, Y, FORMULAS, settings=CHEAP, name="two")
        assert (found.name, found.n_rows) == ("two", 100)
        assert [fold.name for fold in found.folds] == ["a", "b"]
        assert found.labels["interpolation"] == 1
        assert found.labels["degenerate"] == 1
        assert found.dummy_mae == np.mean([fold.dummy_mae for fold in found.folds])
        assert audit_split([], X, None, FORMULAS).dummy_mae is None

    def test_plain_values(self):
        y = np.r_[np.ones(75), np.zeros(25)]  # no deviation in training: an infinite distance
        found = audit_split(self.folds[:1], X, y, FORMULAS, settings=CHEAP)
        assert found.folds[0].wasserstein == math.inf
        plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert plain["schema_version"] == 1
        assert plain["settings"]["classifier"] is False
        assert plain["folds"][0]["wasserstein"] is None
        assert plain["folds"][0]["labels"] == ["prior"]

    def test_rows(self):
        (row,) = audit_split(self.folds[1:], X, Y, FORMULAS, settings=CHEAP).rows()
        assert row["missing"] == (
            "auc: switched off by classifier = false; relation_shift: switched off by "
            "relation = false"
        )
        assert row["labels"].split(", ")[0] == "degenerate"
        assert all(isinstance(value, str | int | float | None) for value in row.values())

    def test_progress(self):
        steps = []

        class Listener:
            def task(self, name, total):
                steps.append((name, total))
                return self

            def __enter__(self):
                return self

            def __exit__(self, *error):
                pass

            def advance(self, count=1, **info):
                steps.append(count)

            def say(self, text):
                pass

        audit_split(self.folds, X, Y, FORMULAS, settings=CHEAP, progress=Listener())
        assert steps == [("audit", 2), 1, 1]

    def test_wrong_tables_and_rows(self):
        with pytest.raises(SplitError, match="X has 100 rows but y has 99"):
            audit_split(self.folds, X, Y[:99], FORMULAS)
        with pytest.raises(SplitError, match="X has 100 rows but groups has 99"):
            audit_split(self.folds, X, Y, FORMULAS[:99])
        infinite = X.copy()
        infinite[4, 1] = np.inf
        with pytest.raises(SplitError, match=r"X\[4, 1\] is infinite"):
            audit_split(self.folds, infinite, Y, FORMULAS)
        for row in (100, -1):
            with pytest.raises(
                SplitError,
                match=rf"has row {row} \(counted from 0\); the table",
            ):
                audit_split([Fold(ROWS, np.array([row]), name="x")], X, Y, FORMULAS)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_fold_can_be_audited(data):
    n = data.draw(st.integers(1, 60))
    seed = data.draw(st.integers(0, 10**6))
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n, 2)).round(data.draw(st.integers(0, 1)))
    X[generator.random((n, 2)) < 0.1] = np.nan
    y = np.where(generator.random(n) < 0.2, np.nan, generator.normal(size=n).round())
    groups = [f"{SYMBOLS[i]}O" for i in generator.integers(9, 40, n)]
    part = generator.integers(0, 5, n)
    train, val, target, test = (np.flatnonzero(part == i) for i in range(4))
    extra = np.flatnonzero(part == 4) if data.draw(st.booleans()) else part[:0]
    fold = Fold(np.sort(np.r_[train, extra]), np.sort(np.r_[test, extra]), val, target)
    forests = data.draw(st.integers(0, 9)) == 0
    limits = AuditSettings(classifier=forests, relation=forests)
    table = AuditTable.of(Rows.of(X, y if data.draw(st.booleans()) else None, groups))
    found = audit_fold(fold, table, settings=limits)
    assert len(set(found.labels)) == len(found.labels)
    assert set(found.labels) <= LABELS
    assert ("interpolation" in found.labels) == (not set(found.labels) - {"leak", "interpolation"})
    assert ("leak" in found.labels) == bool(found.shared_formulas or found.rows_on_both_sides)
    assert {reason.split(":")[0] for reason in found.reasons} == set(found.labels)
    for name, why in found.missing.items():
        assert why
        assert getattr(found, name) is None
    measures = ("distance_ratio", "auc", "wasserstein", "dummy_mae", "relation_shift")
    assert {name for name in measures if getattr(found, name) is None} <= set(found.missing)
    n_known = found.n_train + found.n_val + found.n_target + found.n_test + found.n_unused
    assert n_known == n + found.rows_on_both_sides
