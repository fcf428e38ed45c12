"""The rows that every splitter holds out of a table small enough to see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.isolation import most_isolated
from xtalshift.errors import LeakageError, SplitError
from xtalshift.splits import (
    SPLITTERS,
    CovariateSplit,
    FamilySplit,
    Fold,
    HoldOut,
    PredefinedSplit,
    PriorSplit,
    RandomSplit,
    RelationSplit,
)
from xtalshift.splits.space import embed

FORMULAS = ["NaCl", "Li2O", "LiF", "Fe2O3", "Li2O", "KF", "LiFeO2", "MgO"]
TARGETS = [5.0, 1.0, 9.0, 2.0, 8.0, 3.0, 4.0, 6.0]
X = np.zeros((8, 2))


def rows_of(splitter, y=TARGETS, groups=FORMULAS, features=X):
    ((train, test),) = splitter.split(features, y, groups)
    assert sorted([*train, *test]) == list(range(len(features)))
    return test.tolist()


class TestRandom:
    def test_formulas_in_the_order_of_their_random_numbers(self):
        # the sorted formulas get the numbers of the stream in turn; the largest are held out
        names = sorted(set(FORMULAS))
        numbers = dict(zip(names, np.random.default_rng(5).random(len(names)), strict=True))
        order = sorted(names, key=lambda name: -numbers[name])
        assert order[:4] == ["KF", "Fe2O3", "Li2O", "NaCl"]
        assert rows_of(RandomSplit(0.5, 5)) == [1, 3, 4, 5]
        assert rows_of(RandomSplit(0.49, 5)) == [0, 3, 5]  # Li2O has two rows: passed over
        assert rows_of(RandomSplit(0.24, 5)) == [5]

    def test_at_least_one_formula(self):
        assert rows_of(RandomSplit(0.001, 5)) == [5]

    def test_a_formula_with_many_rows_does_not_end_the_draw(self):
        groups = ["big"] * 60 + [f"f{number}" for number in range(40)]
        for seed in range(20):
            assert len(rows_of(RandomSplit(0.2, seed), None, groups, np.zeros((100, 1)))) == 20

    def test_seeds_differ_and_a_generator_moves_on(self):
        masks = {tuple(RandomSplit(0.3, seed).held_out(np.zeros((50, 1)))) for seed in range(10)}
        assert len(masks) == 10
        splitter = RandomSplit(0.3, np.random.default_rng(0))
        first, second = (splitter.held_out(np.zeros((50, 1))) for _ in range(2))
        assert (first != second).any()

    def test_role_and_description(self):
        assert RandomSplit.role == "id"
        assert {name for name in SPLITTERS if SPLITTERS[name].role == "id"} == {
            *("random", "kfold", "stratified")
        }
        assert RandomSplit(0.125).describe() == "a random 12.5% (whole formulas) of the rows"


class TestCovariate:
    grid = np.array([[i, j] for i in range(5) for j in range(5)], dtype=float)

    def test_an_obvious_outlier_is_held_out(self):
        points = np.vstack([self.grid[:12], [[60.0, -40.0]], self.grid[12:]])
        splitter = CovariateSplit(share=1 / 26, n_neighbors=3, n_components=2)
        assert rows_of(splitter, None, None, points) == [12]

    def test_polymorphs_do_not_hide_an_outlier(self):
        points = np.vstack([self.grid, np.tile([[60.0, -40.0]], (4, 1))])
        groups = [f"g{i:02}" for i in range(25)] + ["far"] * 4
        splitter = CovariateSplit(share=4 / 29, n_neighbors=3, n_components=2)
        assert rows_of(splitter, None, groups, points) == [25, 26, 27, 28]
        # without groups the four are each other's neighbours, at distance 0
        assert not set(rows_of(splitter, None, None, points)) & {25, 26, 27, 28}

    @settings(max_examples=40)
    @given(st.integers(6, 40), st.integers(1, 4), st.integers(0, 10**6), st.floats(0.05, 0.9))
    def test_brute_force_agrees(self, n_rows, n_neighbors, seed, share):
        generator = np.random.default_rng(seed)
        points = generator.normal(size=(n_rows, 2)) * [1.0, 100.0]
        groups = [f"g{i}" for i in generator.integers(0, n_rows, n_rows)]
        groups[: n_neighbors + 1] = [f"g{i}" for i in range(n_neighbors + 1)]
        expected = most_isolated(points.tolist(), groups, share, n_neighbors)
        if expected == set(groups):
            return
        splitter = CovariateSplit(share, n_neighbors, n_components=2)
        rows = rows_of(splitter, None, groups, points)
        assert {groups[row] for row in rows} == expected

    def test_missing_and_constant_features_do_not_count(self):
        points = np.column_stack([self.grid, np.full(25, np.nan), np.full(25, 3.0)])
        points[7, 0] = np.nan
        points[20, 1] = 50.0
        splitter = CovariateSplit(share=1 / 25, n_neighbors=3)
        assert rows_of(splitter, None, None, points) == [20]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"n_neighbors": 25}, "25 distinct formulas have no 25 neighbours each; .* most 24"),
            ({"n_neighbors": 0}, "at least 1 and at most 24"),
            ({"n_components": 0}, "n_components = 0; expected at least 1"),
            ({"embedding": "tsne"}, "embedding = 'tsne'; expected pca or umap"),
            ({"share": 1.0}, r"share of test rows is 1\.0; expected a number between 0 and 1"),
        ],
    )
    def test_wrong_settings(self, settings, message):
        with pytest.raises(SplitError, match=message):
            CovariateSplit(**settings).held_out(self.grid)

    def test_features_without_distances(self):
        with pytest.raises(SplitError, match="every formula has others in its very place"):
            CovariateSplit().held_out(np.ones((20, 3)))
        points = self.grid.copy()
        points[3, 1] = np.inf
        with pytest.raises(SplitError, match=r"X\[3, 1\] is infinite"):
            CovariateSplit().held_out(points)

    # umap says so when it is imported
    @pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
    def test_umap_finds_the_outliers_and_the_same_ones_twice(self):
        pytest.importorskip("umap")
        points = np.random.default_rng(0).normal(size=(12, 3))
        first, second = (embed(points, 2, embedding="umap", random_state=3) for _ in range(2))
        assert first.shape == (12, 2)
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first, second)
        splitter = CovariateSplit(0.25, 3, n_components=2, embedding="umap", random_state=3)
        rows = rows_of(splitter, None, None, points)
        assert rows == rows_of(splitter, None, None, points)
        assert len(rows) == 3
        assert "2 UMAP dimensions" in splitter.describe()

    def test_umap_without_its_package(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "umap", None)
        with pytest.raises(SplitError, match=r"pip install xtalshift\[umap\]"):
            embed(self.grid, 2, embedding="umap")


class TestPrior:
    # by largest target: LiF 9, Li2O 8 (and 1), MgO 6, NaCl 5, LiFeO2 4, KF 3, Fe2O3 2
    @pytest.mark.parametrize(
        ("tail", "share", "expected"),
        [
            ("high", 0.125, [2]),
            ("high", 0.25, [2]),  # Li2O would make three of eight rows
            ("high", 0.375, [1, 2, 4]),
            ("low", 0.25, [1, 4]),  # a polymorph of the lowest target goes with it
            ("low", 0.375, [1, 3, 4]),
            ("both", 0.5, [1, 2, 4]),
            ("both", 0.75, [1, 2, 3, 4]),
            ("both", 0.001, [1, 2, 4]),  # one formula of each end
        ],
    )
    def test_rows(self, tail, share, expected):
        assert rows_of(PriorSplit(tail, share)) == expected

    def test_without_groups_every_row_is_its_own(self):
        assert rows_of(PriorSplit("high", 0.25), groups=None) == [2, 4]
        assert rows_of(PriorSplit("both", 0.5), groups=None) == [1, 2, 3, 4]

    def test_ties_are_broken_by_formula_whatever_the_order_of_rows(self):
        groups = ["c", "a", "b", "d"]
        splitter = PriorSplit("high", 0.5)
        assert rows_of(splitter, [1.0] * 4, groups, X[:4]) == [1, 2]
        assert rows_of(splitter, [1.0] * 4, groups[::-1], X[:4]) == [1, 2]

    def test_no_training_target_lies_beyond_the_tail(self):
        y = np.random.default_rng(1).normal(size=300)
        groups = np.array([f"g{i % 220}" for i in range(300)])
        mask = PriorSplit("high", 0.1).held_out(np.zeros((300, 1)), y, groups)
        least = min(y[groups == name].max() for name in set(groups[mask]))
        assert y[~mask].max() < least
        assert 25 <= mask.sum() <= 30

    @pytest.mark.parametrize(
        ("splitter", "y", "message"),
        [
            (PriorSplit(), None, "pass y"),
            (PriorSplit("top"), TARGETS, "tail = 'top'; expected one of high, low, both"),
            (PriorSplit("both", 1.2), TARGETS, r"share of test rows is 1\.2"),
            (PriorSplit("low", -0.1), TARGETS, r"share of test rows is -0\.1"),
            (PriorSplit(), [*TARGETS[:7], np.nan], r"y\[7\] is nan; a tail needs finite targets"),
        ],
    )
    def test_errors(self, splitter, y, message):
        with pytest.raises(SplitError, match=message):
            splitter.held_out(X, y, FORMULAS)

    def test_description(self):
        assert PriorSplit("both", 0.005).describe() == (
            "the 0.5% of rows with the highest and lowest targets"
        )


class TestFamily:
    @pytest.mark.parametrize(
        ("contains", "expected"),
        [
            ("F", [2, 5]),  # not Fe
            ("Li", [1, 2, 4, 6]),
            ("Li+O", [1, 4, 6]),
            (" Li + Fe ", [6]),
        ],
    )
    def test_rows(self, contains, expected):
        assert rows_of(FamilySplit(contains)) == expected

    @pytest.mark.parametrize(
        ("contains", "message"),
        [
            ("Fl0", "rule 'Fl0': unknown element or class 'Fl0'; did you mean 'Fl'"),
            ("li", "unknown element or class 'li'; did you mean 'Li'"),
            ("O+", r"rule 'O\+' cannot be read to its end"),
            ("", "rule '' is empty"),
            ("U", "all materials that contain U holds out 0 of 8 rows.* some but not all"),
        ],
    )
    def test_wrong_families(self, contains, message):
        with pytest.raises(SplitError, match=message):
            FamilySplit(contains).held_out(X, None, FORMULAS)

    def test_a_family_of_all_leaves_no_training_rows(self):
        with pytest.raises(SplitError, match="holds out 2 of 2 rows; both sides need rows"):
            FamilySplit("O").held_out(X[:2], None, ["MgO", "Li2O"])

    def test_groups_must_be_formulas(self):
        with pytest.raises(SplitError, match="pass groups=reduced formulas"):
            FamilySplit("O").held_out(X)
        with pytest.raises(SplitError, match=r"groups\[1\] is not a formula: "):
            FamilySplit("O").held_out(X[:2], None, ["MgO", "Xx2"])


class TestRelation:
    def test_one_flagged_row_takes_its_formula_along(self):
        flags = np.array([0, 0, 0, 0, 1, 0, 0, 1])
        for given_flags in (flags, flags.astype(bool), flags.astype(float).tolist()):
            assert rows_of(RelationSplit(flags=given_flags)) == [1, 4, 7]

    def test_listed_formulas(self):
        assert rows_of(RelationSplit(formulas=["MgO", "Li2O", "UO2"])) == [1, 4, 7]

    @pytest.mark.parametrize(
        ("splitter", "message"),
        [
            (RelationSplit(), "declared by a flag column or a list of formulas"),
            (RelationSplit(np.ones(8), ["MgO"]), "declared by a flag column or a list"),
            (RelationSplit(flags=[True]), r"flags has shape \(1,\); expected \(8,\)"),
            (RelationSplit(flags=["False"] * 8), "values other than true and false"),
            (RelationSplit(flags=np.array(["no"] * 8, object)), "values other than true"),
            (RelationSplit(flags=[0, 1, 0, 1, 0, 1, 0, np.nan]), "values other than true"),
            (RelationSplit(flags=np.zeros(8)), "holds out 0 of 8 rows; .* Check the flags"),
            (RelationSplit(formulas=["UO2"]), "holds out 0 of 8 rows; .*listed formulas occur"),
            (RelationSplit(formulas=[1, 2]), "a relation is a property of formulas"),
        ],
    )
    def test_errors(self, splitter, message):
        with pytest.raises(SplitError, match=message):
            splitter.held_out(X, TARGETS, FORMULAS)


class TestBase:
    def test_lengths_must_agree(self):
        with pytest.raises(SplitError, match="X has 8 rows but y has 7"):
            RandomSplit().held_out(X, TARGETS[:7], FORMULAS)
        with pytest.raises(SplitError, match="X has 8 rows but groups has 9"):
            RandomSplit().held_out(X, TARGETS, [*FORMULAS, "UO2"])

    def test_one_group_cannot_be_split(self):
        with pytest.raises(SplitError, match="holds out 8 of 8 rows; both sides need rows"):
            RandomSplit(0.5).held_out(X, None, ["MgO"] * 8)

    def test_an_empty_table(self):
        with pytest.raises(SplitError, match="0 rows"):
            RandomSplit(0.5).held_out(np.zeros((0, 2)), None, [])

    def test_a_rule_on_rows_takes_their_formulas_along(self):
        class FirstTwo(HoldOut):
            def _held_out(self, table):
                return np.arange(len(table)) < 2

            def describe(self):
                return "the first two"

        assert rows_of(FirstTwo()) == [0, 1, 4]  # Li2O has a second row
        assert rows_of(FirstTwo(), groups=None) == [0, 1]

    def test_a_fold_that_leaks_is_caught(self):
        fold = Fold(train=np.array([0, 4]), test=np.array([1, 2]))
        with pytest.raises(LeakageError, match="puts 1 formula on both sides, such as Li2O"):
            list(PredefinedSplit([fold]).folds(X, None, FORMULAS))
