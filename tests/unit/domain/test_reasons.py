"""Parts of the reasons, and texts in saved arrays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.domain.reasons import FeatureRange, decode_texts, encode_texts


def test_ranges_ignore_missing_values():
    X = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    found = FeatureRange.of(X, ("a", "b")).extended(np.array([[np.nan, 5.0]]))
    assert found.low.tolist() == [1.0, 5.0]
    assert found.high.tolist() == [3.0, 5.0]
    assert found.beyond(np.array([[4.0, np.nan]]), np.array([0.5, 0.0])).tolist() == [[2.0, 0.0]]


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))))
def test_texts_come_back(texts):
    assert decode_texts("texts", encode_texts(texts)) == texts
