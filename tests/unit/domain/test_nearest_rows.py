"""From the nearest training material, of which a domain knows the formula, to its row."""

import numpy as np
import pytest

from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.domain.nearest_rows import nearest_rows

X = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0], [5.0, 5.0]])
GROUPS = np.array(["NaCl", "NaCl", "KCl", "KBr", "NaCl"], dtype=object)


@pytest.fixture(scope="module")
def domain():
    return ApplicabilityDomain.fit(X, np.arange(5.0), GROUPS.tolist(), feature_names=["a", "b"])


def test_of_polymorphs_the_nearest_is_found(domain):
    points = np.array([[1.0, 1.0], [9.0, 2.0], [1.0, 9.0], [5.0, 6.0]])
    scores = domain.assess(points)
    assert scores.nearest.tolist() == [0, 1, 2, 4]
    groups = domain.formulas_[scores.nearest]
    assert nearest_rows(domain, points, groups, X, GROUPS).tolist() == [0, 1, 2, 4]


def test_a_formula_that_the_table_lacks_has_no_row(domain):
    groups = np.array(["LiF", "KBr"], dtype=object)
    assert nearest_rows(domain, X[:2], groups, X, GROUPS).tolist() == [-1, 3]
    none = np.empty(0, dtype=object)
    assert nearest_rows(domain, X[:2], groups, np.empty((0, 0)), none).tolist() == [-1, -1]
