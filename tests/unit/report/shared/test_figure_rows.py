"""The data behind a figure."""

from __future__ import annotations

from xtalshift.report.shared.figure_rows import figure_rows


def rows(*data, **layout):
    return figure_rows({"data": list(data), "layout": layout})


def test_points_have_the_titles_of_the_axes_and_their_labels():
    found = rows(
        {"x": [1.0, 2.0], "y": [3.0, 4.0], "text": ["Fe&lt;2", "<b>GaN</b>"]},
        xaxis={"title": {"text": "measured (eV)"}},
        yaxis={"title": {"text": "predicted (eV)"}},
    )
    assert found == [
        {"measured (eV)": 1.0, "predicted (eV)": 3.0, "label": "Fe<2"},
        {"measured (eV)": 2.0, "predicted (eV)": 4.0, "label": "GaN"},
    ]


def test_intervals_have_their_ends_and_none_where_they_have_no_end():
    error = {"array": [0.5, 0.0], "arrayminus": [0.25, 1.0]}
    found = rows({"x": [1, 2], "y": [3.0, 4.0], "error_y": error})
    assert [(one["lower"], one["upper"]) for one in found] == [(2.75, 3.5), (3.0, None)]
    (along,) = rows({"x": [3.0], "y": ["GaN"], "error_x": {"array": [0.5], "arrayminus": [1.0]}})
    assert along == {"x": 3.0, "y": "GaN", "lower": 2.0, "upper": 3.5}


def test_bars_count_from_what_they_begin_at():
    found = rows({"type": "bar", "orientation": "h", "x": [0.5], "y": ["oxide"], "base": 1.0})
    assert found == [{"x": 1.5, "y": "oxide"}]


def test_series_are_told_apart_and_have_the_same_columns():
    found = rows({"x": [1], "y": [2], "name": "id"}, {"x": [3], "y": [4], "text": ["GaN"]})
    assert found == [
        {"series": "id", "x": 1, "y": 2, "label": None},
        {"series": 2, "x": 3, "y": 4, "label": "GaN"},
    ]


def test_a_matrix_has_a_row_for_each_cell():
    found = rows({"type": "heatmap", "x": ["a", "b"], "y": ["c"], "z": [[1, 2]]})
    assert found == [{"x": "a", "y": "c", "value": 1}, {"x": "b", "y": "c", "value": 2}]


def test_a_map_has_no_places_but_its_values():
    hidden = {"visible": False, "title": {"text": ""}}
    trace = {
        "x": [1],
        "y": [2],
        "text": ["H"],
        "marker": {"color": [0.5]},
        "customdata": ["H<br>1"],
    }
    found = rows(trace, xaxis=hidden, yaxis=hidden)
    assert found == [{"label": "H", "value": 0.5, "note": "H 1"}]
