"""The scikit-learn side of all featurizers."""

import numpy as np
import pytest

from xtalshift.errors import DataError
from xtalshift.featurize import Features, Featurizer


class Lengths(Featurizer):
    def featurize(self, X):
        reasons = np.array(["" if text else "empty" for text in X], dtype=object)
        lengths = np.array([float(len(text)) for text in X]).reshape(-1, 1)
        return Features(lengths, ("length",), reasons)


def test_transform_returns_the_values_of_featurize():
    assert Lengths().fit_transform(["a", "bcd"]).tolist() == [[1.0], [3.0]]
    assert Lengths().set_output(transform="pandas").transform(["ab"])["length"].tolist() == [2.0]


def test_names_come_from_features_without_rows():
    assert Lengths().get_feature_names_out().tolist() == ["length"]


def test_transform_names_the_first_bad_row_and_counts_them():
    with pytest.raises(DataError, match=r"^row 2: empty$"):
        Lengths().transform(["a", ""])
    with pytest.raises(DataError, match=r"^row 1: empty \(2 bad rows in total\)$"):
        Lengths().transform(["", "a", ""])


def test_features_are_taken_by_row():
    features = Lengths().featurize(["a", "", "bcd"])
    assert len(features) == 3
    some = features.take([2, 1])
    assert some.values.tolist() == [[3.0], [0.0]]
    assert some.reasons.tolist() == ["", "empty"]
    assert some.names == ("length",)
    assert features.take(features.reasons == "").values.tolist() == [[1.0], [3.0]]
