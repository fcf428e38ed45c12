"""Drawings of crystals on pages."""

import sys

import numpy as np

from polymorph_toys import crystals
from xtalshift.data.structure_texts import pack_rows
from xtalshift.report.shared.crystals import draw_crystals, draw_texts
from xtalshift.structure import Structures, draw_crystal

NAMES, BATCH, _ = crystals()


def test_rows_and_texts_are_drawn_alike():
    rows = [3, 0]
    drawn = draw_crystals(BATCH, rows, "some-")
    assert drawn == [
        draw_crystal(BATCH, row, name=f"some-{place}") for place, row in enumerate(rows)
    ]
    assert draw_texts(pack_rows(BATCH, np.array(rows)), "some-") == drawn


def test_what_is_no_crystal_has_no_drawing():
    batch = Structures.join([Structures.none(1), BATCH.take([0])])
    assert [one is None for one in draw_crystals(batch, [0, 1], "a")] == [True, False]
    text = pack_rows(BATCH, np.array([0]))[0]
    found = draw_texts(["", text, text.replace("[", "", 1), "<script>"], "a")
    assert [one is None for one in found] == [True, False, True, True]
    assert draw_texts([], "a") == []


def test_a_page_needs_no_libraries_for_crystals(monkeypatch):
    monkeypatch.setitem(sys.modules, "spglib", None)
    assert draw_crystals(BATCH, [0, 1], "a") == [None, None]
