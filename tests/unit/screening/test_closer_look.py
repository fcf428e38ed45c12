"""Rows are looked at once, and only columns that are wanted are made."""

from __future__ import annotations

import numpy as np

from xtalshift.screening.closer_look import CloserLook, admit_all


def test_no_row_is_looked_at_twice():
    asked = []

    def find(places):
        asked.append(places.tolist())
        return {"square": places**2.0, "word": np.array([str(n) for n in places], dtype=object)}

    kinds = {"square": float, "word": object}
    look = CloserLook(find, kinds, lambda found: found["square"] < 10, "large")
    assert look.admit(np.array([1, 5, 3])).tolist() == [True, False, True]
    assert look.refused == 1
    found = look.columns(np.array([3, 0, 1]))
    assert found["square"].tolist() == [9.0, 0.0, 1.0]
    assert found["word"].tolist() == ["3", "0", "1"]
    assert asked == [[1, 5, 3], [0]]


def test_what_no_row_has_keeps_its_type():
    look = CloserLook(lambda _: {}, {"a": float, "b": object, "c": bool})
    found = look.columns(np.zeros(0, dtype=np.int64))
    assert [found[name].dtype.kind for name in "abc"] == ["f", "O", "b"]


def test_rows_that_one_look_refuses_are_not_shown_to_the_next():
    asked = []

    def find(places):
        asked.append(places.tolist())
        return {"n": places}

    odd = CloserLook(lambda places: {"n": places}, {}, lambda found: found["n"] % 2 == 1, "even")
    small = CloserLook(find, {}, lambda found: found["n"] < 4, "large")
    free = CloserLook(find, {})
    fits = admit_all([odd, small, free], np.arange(6))
    assert fits.tolist() == [False, True, False, True, False, False]
    assert asked == [[1, 3, 5]]
    assert (odd.refused, small.refused) == (3, 1)
