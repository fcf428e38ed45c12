"""The common base of featurizers."""

import numpy as np
import pytest

from xtalshift.errors import DataError
from xtalshift.featurize import Featurizer


class Lengths(Featurizer):
    def featurize(self, X):
        reasons = np.array(["" if text else "empty" for text in X], dtype=object)
        return np.array([[float(len(text))] for text in X]), reasons

    def get_feature_names_out(self, input_features=None):
        return np.array(["length"], dtype=object)


def test_transform_returns_the_values_of_featurize():
    assert Lengths().fit_transform(["a", "bcd"]).tolist() == [[1.0], [3.0]]
    assert Lengths().set_output(transform="pandas").transform(["ab"])["length"].tolist() == [2.0]


def test_transform_names_the_first_bad_row_and_counts_them():
    with pytest.raises(DataError, match=r"^row 2: empty$"):
        Lengths().transform(["a", ""])
    with pytest.raises(DataError, match=r"^row 1: empty \(2 bad rows in total\)$"):
        Lengths().transform(["", "a", ""])
