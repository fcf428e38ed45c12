"""Cells such as ``<4.2`` kept as bounds."""

import numpy as np
import pytest

from xtalshift.data import clean_table, read_table
from xtalshift.data.target_bounds import join_bounds

INF = np.inf


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "tc.csv"
    cells = ["GaN,<4.2", "AlN,10", "ZnO,>=20", "MgO,19-21", "NaCl,?", "AlN,<12", "KCl,<3"]
    path.write_text("\n".join(["formula,Tc", *cells, "KCl,< 2", ""]))
    return read_table(path, target="Tc")


def test_they_are_dropped_by_default_and_the_remedy_says_how_to_use_them(table):
    data = clean_table(table)
    assert data.formulas.tolist() == ["AlN"]
    assert data.bounds is None
    assert not data.bounded.any()
    found = {one.kind: one for one in data.intake.dropped}
    assert found["target: a bound"].count == 5
    assert "--bounds use" in found["target: a bound"].remedy


def test_used_bounds_are_known_and_counted(table):
    data = clean_table(table, bounds="use")
    assert data.formulas.tolist() == ["GaN", "AlN", "ZnO", "MgO", "KCl"]
    assert data.bounds.tolist() == [[-INF, 4.2], [10, 10], [20, INF], [19, 21], [-INF, 2]]
    # a value stands for the bounds of its material, and the tightest bound for the others
    assert data.bounded.tolist() == [True, False, True, True, True]
    assert data.targets.tolist() == [4.2, 10, 20, 20, 2]
    finding = data.intake.findings[0]
    assert (finding.kind, finding.count) == ("Tc: only bounds are known, and used", 6)
    assert [(one.row, one.value) for one in finding.examples[:3]] == [
        (1, "< 4.2"), (3, "> 20"), (4, "19 to 21"),
    ]  # fmt: skip
    assert (data.intake.rows_dropped, data.intake.rows_merged) == (1, 2)
    assert data.take([2, 1]).bounds.tolist() == [[20, INF], [10, 10]]
    assert data.sha256() != clean_table(table).sha256()


def test_rows_are_kept_apart_if_they_are_not_merged(table):
    data = clean_table(table, bounds="use", duplicates="keep")
    assert len(data) == 7
    assert data.bounded.sum() == 6


@pytest.mark.parametrize(
    ("rows", "together"),
    [
        ([(-INF, 4), (-INF, 3)], (-INF, 3)), ([(1, INF), (2, INF)], (2, INF)),
        ([(1, INF), (-INF, 3)], (1, 3)), ([(5, INF), (-INF, 3)], (3, 5)),
        ([(1, 2), (3, 4)], (1, 4)),
    ],
)  # fmt: skip
def test_bounds_of_one_material_hold_together(rows, together):
    bounds = np.array(rows, dtype=float)
    found = join_bounds(np.zeros(2, int), np.zeros(2), bounds, merge=True)
    assert found.bounds.tolist() == [list(together)] * 2
