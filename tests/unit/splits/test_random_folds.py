"""The rows that random splits hold out, drawn from the documented stream."""

import numpy as np
import pytest
from sklearn.model_selection import KFold

from split_toys import FORMULAS, TARGETS, X, rows_by_fold, rows_of
from xtalshift.errors import SplitError
from xtalshift.splits import (
    SPLITTERS,
    KFoldSplit,
    RandomSplit,
    StratifiedSplit,
)

OFFICIAL = [[7, 9, 18, 29], [2, 22, 24, 44], [0, 5, 6, 8], [1, 3, 10, 16], [4, 12, 13, 14]]


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


class TestDealt:
    def test_kfold_deals_whole_formulas_in_random_order_to_the_emptiest_fold(self):
        names = np.unique(FORMULAS)  # Fe2O3 KF Li2O LiF LiFeO2 MgO NaCl
        order = names[np.random.default_rng(3).permutation(7)].tolist()
        assert order == ["MgO", "NaCl", "Li2O", "KF", "LiFeO2", "LiF", "Fe2O3"]
        # MgO | NaCl | Li2O (two rows); then KF to MgO, LiFeO2 to NaCl; all have two: LiF to
        # the first, Fe2O3 to the second
        expected = {"fold 0": [2, 5, 7], "fold 1": [0, 3, 6], "fold 2": [1, 4]}
        assert rows_by_fold(KFoldSplit(3, 3)) == expected

    @pytest.mark.parametrize("seed", [0, 18012019])
    @pytest.mark.parametrize("n_rows", [5, 23, 500])
    def test_kfold_of_rows_has_the_folds_of_scikit_learn(self, n_rows, seed):
        X = np.zeros((n_rows, 1))
        groups = np.array([f"f{row % 3}" for row in range(n_rows)])  # they do not matter
        splitter = KFoldSplit(5, seed, whole_formulas=False)
        expected = list(KFold(5, shuffle=True, random_state=seed).split(X))
        found = list(splitter.split(X, None, groups))
        assert len(found) == len(expected) == 5
        for (train, test), (their_train, their_test) in zip(found, expected, strict=True):
            assert train.tolist() == their_train.tolist()
            assert test.tolist() == their_test.tolist()
        assert splitter.describe() == "one of 5 random folds of rows"

    def test_the_first_rows_of_the_official_folds_of_matbench(self):
        # matbench_v0.1_validation.json of the package matbench 0.6, matbench_expt_gap (4,604 rows)
        folds = list(KFoldSplit(5, 18012019, whole_formulas=False).split(np.zeros((4604, 1))))
        assert [len(test) for _, test in folds] == [921, 921, 921, 921, 920]
        assert [test[:4].tolist() for _, test in folds] == OFFICIAL

    def test_kfold_of_rows_draws_from_a_generator(self):
        X = np.zeros((30, 1))
        folds = [
            [test.tolist() for _, test in KFoldSplit(3, seed, whole_formulas=False).split(X)]
            for seed in (np.random.default_rng(1), np.random.default_rng(1), 1)
        ]
        assert folds[0] == folds[1] != folds[2]
        assert sorted(row for fold in folds[0] for row in fold) == list(range(30))
        with pytest.raises(SplitError, match="3 folds of 2 rows; choose n_folds from 2 to 2"):
            list(KFoldSplit(3, 0, whole_formulas=False).split(np.zeros((2, 1))))

    def test_strata_of_neighbouring_targets_are_spread(self):
        y = np.arange(8.0)
        found = rows_by_fold(StratifiedSplit(4, 0), y, None)
        assert sorted(row for rows in found.values() for row in rows) == list(range(8))
        for rows in found.values():  # one of 0 to 3, one of 4 to 7
            assert [row // 4 for row in rows] == [0, 1]
        assert rows_by_fold(StratifiedSplit(4, 1), y, None) != found

    @pytest.mark.parametrize(
        ("splitter", "message"),
        [
            (KFoldSplit(8), "8 folds of 7 formulas; choose n_folds from 2 to 7"),
            (KFoldSplit(1), "1 folds of 7 formulas"),
            (StratifiedSplit(0), "0 folds of 7 formulas"),
        ],
    )
    def test_impossible_requests_say_what_is_possible(self, splitter, message):
        with pytest.raises(SplitError, match=message):
            list(splitter.folds(X, TARGETS, FORMULAS))
