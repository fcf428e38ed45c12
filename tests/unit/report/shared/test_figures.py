import pytest

from xtalshift.report.shared.figures import (
    Panel,
    log_axis,
    number_panels,
    place_labels,
    scale_axis,
    shorten,
)


def test_names_of_points_do_not_cover_each_other():
    points = [(0.5, 0.5)] * 12
    sides = place_labels(points, ["name"] * 12, (300, 200))
    chosen = [side for side in sides if side]
    assert len(chosen) == len(set(chosen))
    assert None in sides  # point at the others to see their names
    assert place_labels([(0.99, 0.5)], ["a long name"], (300, 200)) == ["middle left"]
    assert place_labels([(0.5, 0.5)], ["x"], (300, 200), [(0.53, 0.5)]) == ["middle left"]


def test_panels_are_numbered_by_their_place_and_empty_ones_left_out():
    panels = number_panels({"a": [None, Panel("t", "", [], {})], "b": []})
    assert panels["b"] == []
    assert [(one.id, one.index) for one in panels["a"]] == [("figure-a-2", 1)]


@pytest.mark.parametrize(
    ("values", "kind"), [([1.0, 31.0], "log"), ([1.0, 30.0], None), ([-1.0, 99.0], None)]
)
def test_an_axis_of_widely_spread_values_is_logarithmic(values, kind):
    assert scale_axis(values).get("type") == kind


def test_a_long_text_is_cut():
    assert (shorten("abcdef", 6), shorten("abcdefg", 6)) == ("abcdef", "abcde…")


def test_an_axis_over_few_powers_of_ten_has_whole_numbers():
    axis = log_axis(226.0, 1137.0)
    assert axis["type"] == "log"
    assert axis["tickvals"] == [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000]
    assert log_axis(0.02, 0.05)["tickvals"][:3] == [0.001, 0.002, 0.005]
