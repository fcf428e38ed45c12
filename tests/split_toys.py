"""A table of eight rows, small enough to see, and the test rows of splitters on it."""

import numpy as np

FORMULAS = np.array(["NaCl", "Li2O", "LiF", "Fe2O3", "Li2O", "KF", "LiFeO2", "MgO"], object)
TARGETS = [5.0, 1.0, 9.0, 2.0, 8.0, 3.0, 4.0, 6.0]
X = np.zeros((8, 2))


def rows_of(splitter, y=TARGETS, groups=FORMULAS, features=X):
    """Return the test rows of the only fold, after checking that the rest trains."""
    ((train, test),) = splitter.split(features, y, groups)
    assert sorted([*train, *test]) == list(range(len(features)))
    return test.tolist()


def rows_by_fold(splitter, y=TARGETS, groups=FORMULAS, features=X):
    """Return name -> test rows, after checking that every row is in one part."""
    found = {}
    for fold in splitter.folds(features, y, groups):
        everything = np.sort(np.concatenate(list(fold.parts.values())))
        assert everything.tolist() == list(range(len(features)))
        found[fold.name] = fold.test.tolist()
    return found


# three clumps of 6, 5 and 3 points far from each other, and a lone point
CLUMPS = np.vstack(
    [
        [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]],
        [[50, 0], [50, 1], [51, 0], [51, 1], [52, 0]],
        [[0, 80], [0, 81], [1, 80]],
        [[90, 90]],
    ]
).astype(float)


def clump_folds(splitter, X=CLUMPS, y=None, groups=None):
    return [(fold.name, fold.test.tolist()) for fold in splitter.folds(X, y, groups)]
