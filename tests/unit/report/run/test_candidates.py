"""The candidates on the page of a run."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from polymorph_toys import crystals
from report_toys import toy_answer
from xtalshift.benchmark.answer import CandidateCrystal
from xtalshift.data.structure_texts import pack_rows
from xtalshift.report.run.candidates import N_SHOWN, draw_proxies, report_candidates
from xtalshift.report.run.class_candidates import _rows

NAMES, BATCH, _ = crystals()


def predicted(n):
    """Return the table of n candidates and a row without a prediction, in another order."""
    value = np.arange(n, 0, -1.0)
    frame = pd.DataFrame({
        "formula": [f"A{k}" for k in range(n)], "rank": pd.array(range(1, n + 1), dtype="Int64"),
        "prediction": value, "lower": value - 1, "upper": value + 1, "in_domain": value > 2,
        "unseen_elements": "Te", "nearest_formula": "ZnSe", "nearest_target": 2.5,
        "measured": np.nan,
    })  # fmt: skip
    bad = pd.DataFrame({"formula": ["Xx"], "rank": pd.array([None], dtype="Int64"),
                        "in_domain": [False]})  # fmt: skip
    return pd.concat([bad, frame.sample(frac=1, random_state=0)], ignore_index=True)


def test_both_ends_of_the_order_are_shown():
    found = report_candidates(toy_answer(), predicted(30), "eV")
    assert [row.rank for row in found.highest] == list(range(1, N_SHOWN + 1))
    assert [row.rank for row in found.lowest] == list(range(21, 31))
    last = found.lowest[-1]
    assert (last.formula, last.prediction, last.lower, last.upper) == ("A29", 1.0, 0.0, 2.0)
    assert (last.in_domain, last.new_elements, last.nearest, last.nearest_target) == (
        False, "Te", "ZnSe", 2.5,
    )  # fmt: skip


def test_crystals_have_names():
    formulas = report_candidates(toy_answer(), predicted(2), "eV").highest[0]
    assert (formulas.name, formulas.nearest_name) == ("A0", "ZnSe")
    table = predicted(2).assign(id="mp-1", nearest_id="mp-2", nearest_space_group=[0, 216, 0])
    first, second = report_candidates(toy_answer(), table, "eV").highest
    names = {first.nearest_name, second.nearest_name}
    assert first.name == "A0 (mp-1)"
    assert names == {"ZnSe (mp-2, space group 216)", "ZnSe (mp-2)"}
    groups = pd.array([None, 216, None], dtype="Int64")
    first, second = report_candidates(
        toy_answer(), table.assign(nearest_space_group=groups), "eV"
    ).highest
    assert {first.nearest_name, second.nearest_name} == names


def test_crystals_of_classes_have_names():
    table = pd.DataFrame({
        "formula": ["A0", "A0"], "prediction": "high", "probability_high": [0.6, 0.9],
        "prediction_set": "high|low", "in_domain": True, "unseen_elements": "",
        "nearest_formula": "ZnSe", "nearest_target": "low", "measured": "", "status": "ok",
    })  # fmt: skip
    (formula, _) = _rows(table)
    assert (formula.name, formula.nearest_name) == ("A0", "ZnSe")
    rows = _rows(table.assign(id=["mp-1", "mp-2"], nearest_id="mp-3"))
    assert [row.name for row in rows] == ["A0 (mp-2)", "A0 (mp-1)"]
    assert rows[0].nearest_name == "ZnSe (mp-3)"


def test_a_few_candidates_stand_in_one_table():
    found = report_candidates(toy_answer(), predicted(4), "eV")
    assert [row.formula for row in found.highest] == ["A0", "A1", "A2", "A3"]
    assert found.lowest == []


def test_without_an_answer_or_a_table():
    assert report_candidates(None, predicted(4), "eV") is None
    assert report_candidates(toy_answer(), None, "eV").highest == []


def test_the_figure_shows_the_hold_outs_and_the_error_to_expect():
    panel = draw_proxies(toy_answer(), "eV")
    own, constant = panel.data
    assert (own["y"], own["x"]) == (["S", "Se"], [1.0, 0.25])
    assert constant["x"] == [2.0, 0.5]
    band, middle = panel.layout["shapes"]
    assert (band["x0"], band["x1"], middle["x0"]) == (0.32, 0.8, 0.5)
    assert panel.layout["xaxis"]["title"]["text"] == "mean absolute error (eV)"


@pytest.mark.parametrize("symbol", ["<b>", "Se&S"])
def test_names_are_no_markup(symbol):
    answer = toy_answer()
    object.__setattr__(answer.proxies[0], "name", symbol)
    assert symbol not in draw_proxies(answer, "").data[0]["y"]


def test_candidates_are_drawn_beside_their_nearest_material():
    salt, silver = pack_rows(BATCH, np.array([NAMES.index("NaCl-rocksalt"), 0]))
    crystals = (CandidateCrystal(1, salt, silver), CandidateCrystal(30, silver, ""))
    answer = replace(toy_answer(), crystals=crystals)
    found = report_candidates(answer, predicted(30), "eV")
    assert ">NaCl, Fm-3m (no. 225)</title>" in found.highest[0].crystal
    assert ">LiF, Fm-3m (no. 225)</title>" in found.highest[0].nearest_crystal
    assert ">LiF, Fm-3m (no. 225)</title>" in found.lowest[-1].crystal
    assert found.lowest[-1].nearest_crystal is None
    assert [row.crystal for row in (*found.highest[1:], *found.lowest[:-1])] == [None] * 18
