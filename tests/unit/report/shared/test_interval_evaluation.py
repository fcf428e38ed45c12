"""The evaluation of intervals: numbers that are easy to work out by hand, and the sentences."""

import re
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go
import pytest

from report_toys import own_part, read_page, read_text
from xtalshift.report import build_run_report
from xtalshift.report.run.sections import build_figures, make_sections
from xtalshift.report.shared.interval_evaluation import (
    EDGES,
    LEVELS,
    RowSet,
    evaluate_intervals,
    falls_short,
    split_styles,
)
from xtalshift.report.shared.text import Caution

COLUMNS = [
    RowSet("random", "id", "random split"),
    RowSet("tail", "ood", "tail"),
    RowSet("oxides", "ood", "oxides"),
]
WIDTHS = {"dummy": 8.0, "erm": 2.0, "cal": 4.0}


def make_rows(method, split, role, held, outside, *, n=200, seeds=(0, 1)):
    """Return rows of which a share is held and a share out of domain.

    Rows that are held need the levels 0, 0.01, ... 0.89 in turn. Row i errs by i / 100, and has the
    OOD score i / 100 within the first hundred, 1 beyond.
    """
    rows = []
    for seed in seeds:
        for i in range(n):
            needed = (i % 90) / 100 if i < held * n else 0.95
            one = {"method": method, "split": split, "role": role, "seed": seed}
            one |= {"id": f"{split}-{i}", "formula": "NaCl", "target": i / 100, "prediction": 0.0}
            one |= {"lower": 0.0, "upper": WIDTHS[method] * (1 + i / n), "std": 0.1}
            one |= {"needed_level": needed, "ood_score": min(i / 100, 1.0)}
            rows.append(one | {"in_domain": i >= outside * n})
    return rows


def make_table(**shares):
    """Return predictions of dummy and erm; `shares` are held and outside of erm, by split."""
    usual = {"random": (0.9, 0.1), "tail": (0.4, 0.2), "oxides": (0.6, 0.9)} | shares
    rows = []
    for split, (held, outside) in usual.items():
        role = "id" if split == "random" else "ood"
        rows += make_rows("dummy", split, role, 0.9, outside)
        rows += make_rows("erm", split, role, held, outside)
    frame = pd.DataFrame(rows)
    other = frame[frame["method"] == "erm"].assign(method="erm:ema")
    other[["lower", "upper", "std", "needed_level", "ood_score"]] = float("nan")
    other["in_domain"] = None
    types = {"in_domain": "boolean"}
    return pd.concat([frame.astype(types), other.astype(types)], ignore_index=True)


def method_of(found, name="erm"):
    return next(method for method in found.methods if method.method == name)


def texts_of(found, name="erm"):
    return [(item.text, item.bad) for item in method_of(found, name).sentences]


def test_parts_hold_what_a_hand_would_count():
    found = evaluate_intervals(make_table(), COLUMNS, "erm")
    assert [method.method for method in found.methods] == ["dummy", "erm"]
    assert (found.first, found.saved) == ("erm", "erm")
    inside, tail, oxides = method_of(found).parts
    assert [part.rows.split for part in (inside, tail, oxides)] == ["random", "tail", "oxides"]
    assert (tail.n, tail.materials) == (400, 200)
    assert [part.coverage for part in (inside, tail, oxides)] == [0.9, 0.4, 0.6]
    assert [part.outside for part in (inside, tail, oxides)] == [0.1, 0.2, 0.9]
    assert [part.short for part in (inside, tail, oxides)] == [False, True, True]
    # 199 steps from 1 to 1.995 times 2
    assert tail.median_width == pytest.approx(2 * 1.4975)
    assert tail.width_over_dummy == pytest.approx(0.25)
    low, middle, high = (1 + q * 0.995 for q in (0.05, 0.5, 0.95))
    assert tail.widths[::2] == pytest.approx([x / 1.4975 / 4 for x in (low, middle, high)], 1e-4)
    # of 80 held rows, the k-th of 90 levels: 10 of 200 rows need less than 0.1
    assert tail.curve[LEVELS.index(0.1)] == 10 / 200
    assert tail.curve[LEVELS.index(0.9)] == 0.4
    assert tail.curve[LEVELS.index(0.96)] == 1.0


def test_bins_of_the_score_need_enough_materials():
    found = evaluate_intervals(make_table(), COLUMNS, "erm")
    bins = method_of(found).parts[1].bins
    assert [one.n for one in bins] == [20, 20, 20, 20, 10, 5, 4, 101]
    assert len(bins) == len(EDGES) - 1
    assert bins[0].median_error == pytest.approx(0.095)
    assert bins[0].high_error == pytest.approx(0.18, abs=0.01)
    assert [one.coverage for one in bins[:4]] == [1.0] * 4
    assert [one.coverage for one in bins[4:7]] == [None] * 3  # 10, 5 and 4, though twice
    assert bins[7].coverage == 0.0


def test_sentences_say_where_intervals_fail_and_where_nothing_warns():
    said = texts_of(evaluate_intervals(make_table(), COLUMNS, "erm"))
    assert [text for text, bad in said if not bad] == [
        "On ID rows, the 90 % intervals of erm contain 90 % of the targets.",
        (
            "Outside the domain lie 20 % of tail and 90 % of oxides, and 10 % of the ID rows "
            "(false alarms)."
        ),
        "On ID rows, the median interval is 0.250 times as wide as that of a constant.",
    ]
    assert [text for text, bad in said if bad] == [
        (
            "On tail, they contain 40 % and on oxides 60 %: the intervals are calibrated on rows "
            "like the training data, and these rows differ from them."
        ),
        (
            "On tail, most rows lie inside the domain: neither the intervals nor the domain warn "
            "of the errors there."
        ),
    ]


def test_sentences_say_where_intervals_hold_and_where_they_are_useless(monkeypatch):
    monkeypatch.setitem(WIDTHS, "erm", 8.0)
    rows = make_table(random=(0.7, 0.1), tail=(0.9, 0.9), oxides=(0.89, 0.8))
    said = dict(texts_of(evaluate_intervals(rows, COLUMNS, "erm")))
    inside = "On ID rows, the 90 % intervals of erm contain 70 % of the targets."
    assert said[inside]
    assert not said["On tail, they contain 90 % and on oxides 89 %: no clear loss of coverage."]
    assert said["Even on ID rows, the intervals are no narrower than those of a constant."]
    assert not any("calibrated on rows" in text or "most rows" in text for text in said)


@pytest.mark.parametrize(
    ("coverage", "materials", "short"),
    [(0.89, 10_000, False), (0.87, 10_000, True), (0.8, 20, False), (0.5, 20, True)],
)
def test_what_chance_explains_is_no_loss(coverage, materials, short):
    part = method_of(evaluate_intervals(make_table(), COLUMNS, "erm")).parts[1]
    part = replace(part, coverage=coverage, materials=materials)
    assert falls_short(part, replace(part, materials=10_000)) is short


def test_folders_without_intervals_have_no_section(folder, predictions):
    assert evaluate_intervals(None, COLUMNS, "erm") is None
    assert evaluate_intervals(predictions, COLUMNS, "erm") is None
    none = make_table().assign(needed_level=float("nan"))
    assert evaluate_intervals(none, COLUMNS, "erm") is None
    assert build_run_report(folder).intervals is None
    assert "Interval evaluation" not in read_page(folder)


def test_without_the_constant_no_width_is_compared_and_another_method_is_first():
    rows = make_table()
    found = evaluate_intervals(rows[rows["method"] == "erm"], COLUMNS, "ridge")
    assert found.first == "erm"
    assert method_of(found).parts[0].width_over_dummy is None
    assert not any("constant" in text for text, _ in texts_of(found))


def test_the_page_shows_one_method_at_a_time_with_its_table_and_figures(folder, results, rewrite):
    rewrite(results | {"model": {"method": "erm", "rule": "smallest"}})
    make_table().to_parquet(folder / "predictions.parquet")
    page = own_part(read_page(folder))
    pressed = re.findall(r'data-to="(\d)" aria-pressed="(\w+)">(\w+)<', page)
    assert pressed == [("0", "false", "dummy"), ("1", "true", "erm")]
    assert re.findall(r'<div id="figure-intervals-(\d-\d)"', page) == [
        f"{method}-{panel}" for method in (0, 1) for panel in (1, 2, 3, 4)
    ]
    text = read_text(page)
    assert "erm (the method of the saved model)" in text
    assert "tail OOD 400 40 % 3.00 0.250 20 %" in text
    assert "neither the intervals nor the domain warn of the errors there" in text


@pytest.mark.parametrize(
    ("shares", "held"),
    [
        ({}, "40 % on tail and 60 % on oxides"),
        ({"oxides": (0.9, 0.5)}, "40 % on tail"),
        ({"tail": (0.9, 0.5), "oxides": (0.9, 0.5)}, None),
    ],
)
def test_who_reads_the_numbers_first_is_told_where_intervals_fail(folder, shares, held):
    make_table(**shares).to_parquet(folder / "predictions.parquet")
    said = [item for item in build_run_report(folder).cautions if "intervals" in item.text]
    if held is None:
        assert said == []
        return
    text = (
        f"The 90 % intervals of erm contain fewer targets than they should: {held}. If such "
        "materials matter, calibrate on a few measured values (xtalshift calibrate)."
    )
    assert said == [Caution("care", text)]


def test_figures_show_the_numbers_of_the_parts(folder):
    make_table().to_parquet(folder / "predictions.parquet")
    payload = build_run_report(folder)
    sections = build_figures(make_sections(payload))
    calibration, coverage, errors, widths = sections["intervals-1"]
    for panel in (calibration, coverage, errors, widths):
        go.Figure({"data": panel.data, "layout": panel.layout})
    curves = calibration.data
    assert [curve["name"] for curve in curves] == ["random split", "tail", "oxides"]
    assert curves[1]["y"][LEVELS.index(0.9)] == 40.0
    tail = coverage.data[1]
    assert tail["x"] == [0.0, 1.0, 2.0, 3.0, 7.0]
    assert tail["y"] == [100.0, 100.0, 100.0, 100.0, 0.0]
    assert coverage.layout["xaxis"]["ticktext"][-2:] == ["0.99", "1"]
    assert errors.data[3]["y"][0] == pytest.approx(0.095)  # tail, median
    medians = [one for one in widths.data if one["mode"] == "markers"]
    assert [one["y"] for one in medians] == [["oxides"], ["tail"], ["random split"]]
    assert [one["x"][0] for one in medians] == pytest.approx([0.25] * 3)
    assert "intervals-2" not in sections


def test_splits_have_colours_of_their_own():
    columns = [*COLUMNS, RowSet("a", "ood", ""), RowSet("b", "ood", "")]
    styles = split_styles(columns)
    assert len({style.color for style in styles.values()}) == 5
    assert split_styles([*columns, RowSet("c", "ood", "")])["c"] == styles["tail"]
