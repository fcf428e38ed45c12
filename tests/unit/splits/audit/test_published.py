"""What the audit says of published folds."""

import numpy as np
import pandas as pd
import pytest

from xtalshift.chem import parse_formulas
from xtalshift.splits import MatExSplit
from xtalshift.splits import fold_files as foldfile
from xtalshift.splits.audit.findings import AuditSettings
from xtalshift.splits.audit.fold_audit import AuditTable, audit_fold, audit_split
from xtalshift.splits.splitter import Fold, Rows

pytestmark = pytest.mark.shared_data

# of these the error of the training mean is wanted only; one feature spares the distances
CHEAP = AuditSettings(classifier=False, relation=False, n_max=1, n_references=2)


def structures(folder, name):
    """Return one feature, targets, reduced formulas and the place of every id."""
    table = pd.read_parquet(
        folder / "structures" / f"{name}.parquet", columns=["id", "formula", "target"]
    )
    groups = parse_formulas(table.formula.tolist())[0].reduced_formulas()
    X = np.arange(len(table), dtype=float)[:, None]
    return X, table.target.to_numpy(), groups, pd.Series(np.arange(len(table)), table.id)


def read_folds(folder, name, scheme, place):
    stored = pd.read_parquet(
        folder / "folds" / f"{name}.parquet", filters=[("scheme", "==", scheme)]
    )
    stored["row"] = stored.id.map(place)
    for number, fold in stored.groupby("fold"):
        parts = {part: np.sort(rows.row.to_numpy()) for part, rows in fold.groupby("part")}
        yield Fold(parts["train"], parts["test"], parts["val"], name=f"{scheme} {number}")


@pytest.mark.parametrize(
    ("name", "scheme", "expected"),
    [
        ("dielectric", "LOCO", 1.017),
        ("dielectric", "SparseXcluster", 1.025),
        ("elasticity", "LOCO", 0.324),
        ("elasticity", "SparseXcluster", 0.290),
        ("elasticity", "SparseYcluster", 0.258),
        ("elasticity", "SparseYsingle", 0.278),
    ],
)
def test_error_of_the_training_mean(shared_data, name, scheme, expected):
    X, y, groups, place = structures(shared_data, name)
    found = audit_split(read_folds(shared_data, name, scheme, place), X, y, groups, settings=CHEAP)
    assert len(found.folds) == 50
    assert found.dummy_mae == pytest.approx(expected, abs=0.0005)
    assert all(fold.n_unused == fold.rows_on_both_sides == 0 for fold in found.folds)
    if name == "elasticity":
        assert found.random_mae == pytest.approx(0.293, abs=0.001)


def test_clusters_of_very_uneven_size(shared_data):
    X, y, groups, place = structures(shared_data, "elasticity")
    folds = list(read_folds(shared_data, "elasticity", "SOAP_LOCO", place))
    found = audit_split(folds, X, y, groups, settings=CHEAP)
    largest = max(found.folds, key=lambda fold: fold.n_test)
    assert (largest.n_test, found.n_rows) == (8666, 10987)
    assert "degenerate" in largest.labels
    assert "degenerate: 16.9% of the rows train, less than 50%" in largest.reasons


def test_clusters_of_one_row(shared_data):
    X, y, groups, place = structures(shared_data, "dielectric")
    folds = read_folds(shared_data, "dielectric", "SOAP_LOCO", place)
    found = audit_split(folds, X, y, groups, settings=CHEAP)
    single = [fold for fold in found.folds if fold.n_test == 1]
    assert len(single) == 5
    assert all("degenerate: 1 test row, fewer than 20" in fold.reasons for fold in single)


def test_formulas_shared_between_the_parts_of_matex(shared_data):
    table = pd.read_parquet(shared_data / "matex" / "aflow_Egap.parquet")
    groups = parse_formulas(table.formula.tolist())[0].reduced_formulas()
    train, val, test = (np.flatnonzero(table.split == part) for part in ("train", "eval", "ood"))
    X = np.arange(len(table), dtype=float)[:, None]
    prepared = AuditTable.of(Rows.of(X, table.target, groups))
    found = audit_fold(Fold(train, test, val), prepared, settings=CHEAP)
    # twelve stand in two parts, but only four of them in test: one in eval, three in train
    assert (found.shared_formulas, found.val_shared_formulas) == (4, 8)
    assert found.formulas_in_two_parts == 12
    assert found.shared_examples == ("Al2P3H3O9", "CNCl", "PNF2", "SiO2")
    assert "leak" in found.labels
    assert "prior" in found.labels


@pytest.mark.parametrize(
    "name",
    [
        "aflow_Egap",
        "aflow_bulk_modulus_vrh",
        "aflow_debye_temperature",
        "aflow_shear_modulus_vrh",
        "aflow_thermal_conductivity_300K",
        "aflow_thermal_expansion_300K",
    ],
)
def test_our_rule_gives_the_ood_rows_and_the_sizes_of_matex(shared_data, name):
    table = pd.read_parquet(shared_data / "matex" / f"{name}.parquet")
    X, y = np.zeros((len(table), 0)), table.target.to_numpy()
    (fold,) = MatExSplit(random_state=0).folds(X, y, table.formula.to_numpy())
    assert fold.test.tolist() == np.flatnonzero(table.split == "ood").tolist()
    assert len(fold.val) == (table.split == "eval").sum()
    assert len(fold.train) == (table.split == "train").sum()


def test_the_reader_of_fold_files_reads_the_same_folds(shared_data):
    *_, place = structures(shared_data, "dielectric")
    expected = list(read_folds(shared_data, "dielectric", "LOCO", place))
    path = shared_data / "folds" / "dielectric.parquet"
    found = foldfile.read_folds(path, place.index.to_numpy(), scheme="LOCO")["LOCO"]
    assert len(found) == 50
    for one, other in zip(found, expected, strict=True):
        for part, rows in one.parts.items():
            assert rows.tolist() == other.parts[part].tolist()
