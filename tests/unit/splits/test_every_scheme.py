"""What holds for the folds of every scheme and every table."""

import zlib
from inspect import signature

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structure_toys import FCC, HALF
from xtalshift.errors import SplitError
from xtalshift.splits import (
    SPLITTERS,
    ColumnSplit,
    CovariateSplit,
    FamilySplit,
    FarthestPointSplit,
    Fold,
    FoundRelationSplit,
    GroupedSplit,
    KFoldSplit,
    LeaveOutSplit,
    LOCOSplit,
    MatExSplit,
    PredefinedSplit,
    PriorSplit,
    PropensitySplit,
    RandomSplit,
    RedundancySplit,
    RelationSplit,
    SOAPLOCOSplit,
    SparseXSplit,
    SparseYSplit,
    StratifiedSplit,
    TimeSplit,
)
from xtalshift.structure import Structures
from xtalshift.testing import check_splitter, example_rows

POOL = np.array(
    ["LiF", "NaF", "KF", "LiCl", "NaCl", "KCl", "MgO", "CaO", "Fe2O3", "Fe9O13", "Li2O", "UF4",
     "BN", "GaAs", "ZnS", "CuS2"], object
)  # fmt: skip


def rock_salts(groups):
    """Return a crystal for each row, equal for equal formulas."""
    edges = [4.5 + zlib.crc32(str(name).encode()) % 97 / 30 for name in groups]
    return Structures.join([Structures.of(edge * FCC, [11, 17], [[0] * 3, HALF]) for edge in edges])


# scheme -> splitters for a table of 10 rows or more; the first one of each is general enough for
# random tables, all are checked on the built-in table of `xtalshift.testing`
EXAMPLES = {
    "random": lambda X, y, g: [RandomSplit(0.3, 1), RandomSplit(0.2, np.random.default_rng(0))],
    "kfold": lambda X, y, g: [KFoldSplit(3, 1)],
    "stratified": lambda X, y, g: [StratifiedSplit(3, 1)],
    "grouped": lambda X, y, g: [GroupedSplit("family", 2), GroupedSplit(), GroupedSplit(g, 4)],
    "time": lambda X, y, g: [TimeSplit(np.round(X[:, 1], 1), 0.2, 2), TimeSplit(np.arange(len(y)))],
    "column": lambda X, y, g: [
        ColumnSplit(np.where(X[:, 0] > 0, "a", "b")),
        ColumnSplit((["train", "test", "val"] * len(y))[: len(y)]),
    ],
    "folds": lambda X, y, g: [
        PredefinedSplit(list(RandomSplit(0.3, 1).folds(X, y, g))),
        PredefinedSplit([Fold(np.array([1, 2]), np.array([3, 4]), np.array([5, 6]), name="a")]),
    ],
    "family": lambda X, y, g: [
        FamilySplit("halogen or n_elements > 2"),
        FamilySplit("F"),
        FamilySplit("F and alkali_metal"),
    ],
    "leave-out": lambda X, y, g: [
        LeaveOutSplit("group", min_rows=3),
        LeaveOutSplit(min_rows=5),
        LeaveOutSplit("family", "oxide,halide"),
    ],
    "loco": lambda X, y, g: [
        LOCOSplit(3),
        LOCOSplit(4, "agglomerative"),
        LOCOSplit(3, features=X[:, ::-1] ** 2),
    ],
    "soap-loco": lambda X, y, g: [SOAPLOCOSplit(rock_salts(g), 3), SOAPLOCOSplit(rock_salts(g))],
    "sparse-x": lambda X, y, g: [
        SparseXSplit("cluster", 3, 2, n_neighbors=2),
        SparseXSplit("single", 5),
        SparseXSplit("single", 3, features=y[:, None]),
    ],
    "sparse-y": lambda X, y, g: [
        SparseYSplit("single", 3, n_neighbors=2),
        SparseYSplit("cluster", 5, 3),
    ],
    "covariate": lambda X, y, g: [
        CovariateSplit(0.2, 2),
        CovariateSplit(),
        CovariateSplit(features=y[:, None]),
    ],
    "farthest": lambda X, y, g: [
        FarthestPointSplit(0.2, 2),
        FarthestPointSplit(0.1, 3, features=X[:, :1]),
    ],
    "propensity": lambda X, y, g: [
        PropensitySplit(candidates=X[:1] + np.eye(6, 3), share=0.2),
        PropensitySplit(flags=X[:, 1] == 0),
    ],
    "prior": lambda X, y, g: [
        PriorSplit("both", 0.3, within="n_elements"),
        PriorSplit("both"),
        PriorSplit("low", 0.3),
    ],
    "matex": lambda X, y, g: [
        MatExSplit(0.2, 0.2, whole_formulas=True, random_state=1),
        MatExSplit(random_state=0),
    ],
    "relation": lambda X, y, g: [
        RelationSplit(flags=X[:, 0] > 0.5),
        RelationSplit(formulas=["LiF"]),
    ],
    "relation-found": lambda X, y, g: [FoundRelationSplit(np.arange(len(y)) % 2, 1.1, 0.0, 5)],
    "redundancy": lambda X, y, g: [RedundancySplit(0.02, 3, 1), RedundancySplit(0.4, 3, 0)],
}
CHECKED = [
    pytest.param(splitter, id=f"{name}-{number}")
    for name, make in EXAMPLES.items()
    for number, splitter in enumerate(make(*example_rows()))
]
# the candidates are made of the first row; the folds of the propensity model and the sample of the
# residual test depend on the order of rows
DEPEND_ON_ORDER = {"propensity", "relation-found"}


def test_every_scheme_has_an_example_and_its_facts():
    assert set(EXAMPLES) == set(SPLITTERS), "EXAMPLES has one entry for each scheme"
    for name, make in EXAMPLES.items():
        kind = SPLITTERS[name]
        assert {type(splitter) for splitter in make(*example_rows())} == {kind}
        arguments = set(signature(kind).parameters)
        assert set(kind.per_row) | set(kind.from_file) <= arguments
        assert kind.aim or name in {"column", "folds"}, f"{name} says no aim"


@pytest.mark.parametrize("splitter", CHECKED)
def test_every_scheme_keeps_the_contract(splitter):
    check_splitter(splitter)
    assert repr(splitter).startswith(type(splitter).__name__)


@st.composite
def tables(draw):
    """Return features (equal for equal formulas), targets and formulas of 10 to 60 rows."""
    n_rows = draw(st.integers(10, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_formulas = draw(st.integers(6, len(POOL)))
    groups = POOL[np.concatenate([np.arange(6), generator.integers(0, n_formulas, n_rows - 6)])]
    centres = {name: generator.normal(size=3) for name in POOL}
    X = np.array([centres[name] for name in groups])
    y = generator.integers(0, 10, n_rows).astype(float)  # with ties
    order = generator.permutation(n_rows)
    return X[order], y[order], groups[order]


def folds_or_refusal(name, X, y, groups):
    try:
        return list(EXAMPLES[name](X, y, groups)[0].folds(X, y, groups))
    except SplitError as error:
        return str(error)


@pytest.mark.parametrize("name", list(EXAMPLES))
@settings(max_examples=25, deadline=None)
@given(table=tables())
def test_parts_are_disjoint_whole_and_the_same_again(name, table):
    folds = folds_or_refusal(name, *table)
    again = folds_or_refusal(name, *table)
    if isinstance(folds, str):
        assert again == folds
        return
    groups = table[2]
    assert len(folds) == len(again) > 0
    for fold, other in zip(folds, again, strict=True):
        rows = np.concatenate(list(fold.parts.values()))
        assert len(np.unique(rows)) == len(rows) <= len(groups)
        assert len(fold.train) > 0
        assert len(fold.test) > 0
        seen = np.concatenate([fold.train, fold.val, fold.target])
        assert not set(groups[fold.test]) & set(groups[seen])
        assert (fold.name, fold.note) == (other.name, other.note)
        for part, members in fold.parts.items():
            assert (np.diff(members) > 0).all()
            np.testing.assert_array_equal(members, other.parts[part])


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in DEPEND_ON_ORDER])
@settings(max_examples=25, deadline=None)
@given(table=tables(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(name, table, seed):
    X, y, groups = table
    order = np.random.default_rng(seed).permutation(len(y))
    folds = folds_or_refusal(name, X, y, groups)
    other = folds_or_refusal(name, X[order], y[order], groups[order])
    if isinstance(folds, str):
        assert isinstance(other, str)
        return
    assert [fold.name for fold in other] == [fold.name for fold in folds]
    for one, two in zip(folds, other, strict=True):
        for part, rows in one.parts.items():
            assert sorted(order[two.parts[part]]) == rows.tolist(), part


@pytest.mark.parametrize(
    "name", ["kfold", "stratified", "grouped", "loco", "soap-loco", "redundancy"]
)
@settings(max_examples=25, deadline=None)
@given(table=tables())
def test_every_row_is_tested_once(name, table):
    folds = folds_or_refusal(name, *table)
    if isinstance(folds, str):
        return
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(len(table[1])))
