import numpy as np
import pytest

from xtalshift.splits.audit.class_shift import class_shares, unlabelled_shares
from xtalshift.splits.audit.findings import AuditSettings
from xtalshift.splits.audit.fold_audit import AuditTable, audit_fold, audit_split
from xtalshift.splits.splitter import Fold, Rows

NAMES = ("metal", "semi", "insulator")
CHEAP = AuditSettings(classifier=False, relation=False)


def rows(rng, shares, n, moved=0.0):
    """Return features of rows whose classes have some shares, and the classes."""
    y = rng.choice(3, n, p=shares)
    centers = np.array([[0.0, 0, 0], [2.0, 0, 0], [0, 2.0, 0]])
    return rng.normal(centers[y]) + moved, y.astype(float)


def table(*sides):
    X, y = (np.concatenate(parts) for parts in zip(*sides, strict=True))
    formulas = [f"Fe{i}O{i + 1}" for i in range(1, len(X) + 1)]
    return AuditTable.of(Rows.of(X, y, formulas), classes=NAMES), len(sides[0][0])


def test_shares_and_their_distance():
    found = class_shares(np.array([0.0, 0, 0, 1]), np.array([0.0, 2.0]), 3)
    np.testing.assert_allclose(found.train, [0.75, 0.25, 0])
    np.testing.assert_allclose(found.test, [0.5, 0, 0.5])
    assert found.distance == 0.5
    assert found.unseen.tolist() == [2]
    assert found.n_unseen == 1


def test_unlabelled_rows_tell_their_shares_if_only_these_shift():
    rng = np.random.default_rng(0)
    (X, y), (new, _) = rows(rng, [0.6, 0.3, 0.1], 600), rows(rng, [0.1, 0.3, 0.6], 600)
    found = unlabelled_shares(X, y, new, 3, seed=0)
    assert found is not None
    np.testing.assert_allclose(found.shares, [0.1, 0.3, 0.6], atol=0.1)
    assert (found.low < [0.1, 0.3, 0.6]).all()
    assert (found.high > [0.1, 0.3, 0.6]).all()
    assert unlabelled_shares(X, y, new[:19], 3, seed=0) is None
    assert unlabelled_shares(X, np.zeros(600), new, 3, seed=0) is None


def test_a_shift_of_shares_is_a_prior_shift():
    rng = np.random.default_rng(1)
    made, n = table(rows(rng, [0.6, 0.3, 0.1], 600), rows(rng, [0.1, 0.3, 0.6], 300))
    fold = Fold(np.arange(n), np.arange(n, n + 300))
    found = audit_fold(fold, made, settings=AuditSettings(classifier=False))
    assert found.labels == ("prior",)
    assert found.wasserstein is found.dummy_mae is found.relation_shift is None
    assert found.class_distance == pytest.approx(0.5, abs=0.06)
    assert found.crossed == ("class_distance",)
    assert "so that only these have shifted" in found.reasons[0]
    assert found.shares_test["insulator"] == pytest.approx(0.6, abs=0.06)
    assert found.missing == {"auc": "switched off by classifier = false"}
    quick = audit_fold(fold, made, settings=CHEAP)
    assert quick.shares_estimated is None
    (reason,) = quick.reasons
    start = "prior: the total variation of the shares of the classes is "
    assert reason == f"{start}{found.class_distance:.3g}, at least 0.2"


def test_classes_that_look_different_are_no_shift_of_shares_alone():
    rng = np.random.default_rng(2)
    made, n = table(rows(rng, [0.6, 0.3, 0.1], 600), rows(rng, [0.2, 0.2, 0.6], 300, -2.0))
    found = audit_fold(
        Fold(np.arange(n), np.arange(n, n + 300)), made, settings=AuditSettings(classifier=False)
    )
    assert any("the classes look different there too" in reason for reason in found.reasons)


def test_holding_out_a_class_is_no_test():
    rng = np.random.default_rng(3)
    X, y = rows(rng, [0.5, 0.3, 0.2], 300)
    order = np.argsort(y, kind="stable")
    made, _ = table((X[order], y[order]))
    first = int((y < 2).sum())
    found = audit_fold(Fold(np.arange(first), np.arange(first, 300)), made, settings=CHEAP)
    assert found.unseen_classes == ("insulator",)
    assert found.labels[0] == "degenerate"
    assert "(insulator): no classifier can name them, so this is no test" in found.reasons[0]


def test_equal_shares_are_an_interpolation_and_the_rows_are_flat():
    rng = np.random.default_rng(4)
    X, y = rows(rng, [0.4, 0.3, 0.3], 600)
    formulas = [f"Fe{i}O{i + 1}" for i in range(1, 601)]
    fold = Fold(np.arange(400), np.arange(400, 600))
    audit = audit_split([fold], X, y, formulas, classes=NAMES, settings=CHEAP)
    assert audit.labels == {"interpolation": 1}
    assert audit.random_mae is None
    (row,) = audit.rows()
    assert row["shares_train"].startswith("metal: 0.")
    assert audit.to_dict()["folds"][0]["shares_train"].keys() == set(NAMES)


def test_rows_without_a_class_are_not_counted():
    made = AuditTable.of(
        Rows.of(np.eye(4), np.array([0, 1, np.nan, np.nan]), ["Fe", "Cu", "Ag", "Au"]),
        classes=("a", "b"),
    )
    found = audit_fold(Fold(np.array([0, 1]), np.array([2, 3])), made, settings=CHEAP)
    assert found.class_distance is None
    assert found.missing["class_distance"] == (
        "2 training and 0 test rows with a class; one of each is needed"
    )
