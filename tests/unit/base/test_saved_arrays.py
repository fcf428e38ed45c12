"""Arrays of saved models are what their schema says."""

import numpy as np
import pytest

from xtalshift.errors import ModelFormatError
from xtalshift.saved_arrays import (
    POSITIVE,
    SavedArray,
    Unread,
    check_arrays,
    check_layout,
    read_text,
)

SCHEMA = {
    "mean": SavedArray(np.float64, ("d",), missing=True),
    "scale": SavedArray(np.float64, ("d",), low=POSITIVE),
    "kept": SavedArray(np.bool_, (None,)),
    "points": SavedArray(np.float32, ("n", 2)),
}


def arrays(**changes):
    right = {
        "mean": np.array([np.nan, 1.0]),
        "scale": np.array([1e-300, 2.0]),
        "kept": np.array([True, False, True]),
        "points": np.ones((4, 2), dtype=np.float32),
    }
    return right | changes


def test_right_arrays_give_their_lengths():
    assert check_arrays(arrays(), SCHEMA) == {"d": 2, "n": 4}
    empty = np.zeros((0, 2), dtype=np.float32)
    assert check_arrays(arrays(mean=np.full(2, np.nan), points=empty), SCHEMA)["n"] == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"more": np.ones(1)}, "'more' is unknown"),
        ({"mean": np.ones(3)}, "'scale' has the length 2 where 3 is expected"),
        ({"mean": np.ones(2, dtype=np.float32)}, "'mean' is float32"),
        ({"mean": np.ones((2, 1))}, "with 2 dimensions; expected float64 with 1"),
        ({"mean": np.array([np.inf, np.nan])}, "finite"),
        ({"scale": np.array([1.0, np.nan])}, "finite"),
        ({"scale": np.array([1.0, 0.0])}, "from 0 to 1; expected"),
        ({"kept": np.array([0, 2, 1], dtype=np.uint8).view(bool)}, "from 0 to 2"),
        ({"points": np.ones((4, 3), dtype=np.float32)}, "'points' has the length 3"),
        ({"points": np.full((4, 2), -np.inf, dtype=np.float32)}, "finite"),
    ],
)
def test_others_are_refused(changes, words):
    with pytest.raises(ModelFormatError, match=words):
        check_arrays(arrays(**changes), SCHEMA)


def test_a_missing_array_and_known_lengths():
    with pytest.raises(ModelFormatError, match="'kept' is missing"):
        check_arrays({}, SCHEMA)
    with pytest.raises(ModelFormatError, match="the length 2 where 5 is expected"):
        check_arrays(arrays(), SCHEMA, d=5)


def test_a_layout_is_checked_without_reading():
    unread = {name: Unread(array.dtype, array.shape) for name, array in arrays().items()}
    assert check_layout(unread, SCHEMA) == {"d": 2, "n": 4}
    for changes, words in (
        ({"kept": Unread(np.dtype(bool), (2**30 + 1,))}, "at most 1073741824 is expected"),
        ({"mean": Unread(np.dtype(object), (2,))}, "'mean' is object"),
    ):
        with pytest.raises(ModelFormatError, match=words):
            check_layout(unread | changes, SCHEMA)


def test_half_a_letter_is_no_text():
    assert read_text("names", np.frombuffer("Å".encode(), np.uint8)) == "Å"
    with pytest.raises(ModelFormatError, match="'names' is no text"):
        read_text("names", np.frombuffer("Å".encode()[:1], np.uint8))
