import pytest

from xtalshift.benchmark.explanation import CurvePoint, LearningCurve
from xtalshift.report import build_run_report
from xtalshift.report.run.learning import build_learning, draw_learning


def points(split, role, law, sizes=(100, 200, 400, 800), draws=3):
    return tuple(
        CurvePoint(split, role, draw, size, law(size, draw))
        for size in sizes
        for draw in range(1 if size == sizes[-1] else draws)
    )


@pytest.fixture
def columns(folder):
    return build_run_report(folder).columns


def build(columns, *found, n=800):
    return build_learning(LearningCurve("ridge", n, sum(found, ())), "auto", columns, "eV")


def test_a_known_law_is_said_and_drawn(columns):
    found = build(columns, points("random", "id", lambda n, _: 10 * n**-0.5))
    (part,) = found.parts
    assert (found.learner, found.method, found.n_train) == ("ridge", "auto", 800)
    assert part.sizes == [100, 200, 400, 800]
    assert part.law.exponent == pytest.approx(0.5)
    assert part.ahead == pytest.approx(10 * 8000**-0.5)
    assert part.sentence == (
        "On random split, 10 times the rows would bring the error from 0.354 eV to 0.112 (between "
        "0.112 and 0.112)."
    )
    (panel,) = draw_learning(found, "eV")
    _, line, marks = panel.data
    assert line["x"][0] == 100
    assert line["x"][-1] == 8000
    assert line["y"][-1] == pytest.approx(0.1118, rel=1e-3)
    assert marks["y"][-1] == pytest.approx(0.35355, rel=1e-4)


def test_a_flat_curve_says_that_rows_hardly_help(columns):
    (part,) = build(columns, points("tail", "ood", lambda n, _: 5 * n**-0.01)).parts
    assert "On tail, more rows of the same kind would hardly help" in part.sentence


def test_a_scattered_curve_says_that_it_is_uncertain(columns):
    errors = {100: 1.0, 200: 0.8, 400: 0.8, 800: 0.66}
    (part,) = build(columns, points("tail", "ood", lambda n, _: errors[n])).parts
    assert 0.66 < part.ahead_high < 2 * 0.66
    assert part.sentence.endswith("this is uncertain, and the error may not fall at all.")


@pytest.mark.parametrize(
    "errors",
    [
        (1.0, 0.6, 0.9, 0.6),  # less than half of the error is forecast, and up to five times of it
        (1.0, 1.1, 0.9, 1.0),  # no gain is forecast, and from half of the error to double of it
    ],
)
def test_a_range_that_says_nothing_is_no_forecast(columns, errors):
    known = dict(zip((100, 200, 400, 800), errors, strict=True))
    (part,) = build(columns, points("tail", "ood", lambda n, _: known[n])).parts
    assert part.sentence.startswith(
        "On tail, it cannot be said whether more rows would help: 10 times the rows would bring "
    )


def test_draws_are_averaged_and_their_range_is_kept(columns):
    (part,) = build(columns, points("random", "id", lambda n, draw: 100 / n + draw)).parts
    assert part.errors == pytest.approx([2.0, 1.5, 1.25, 0.125])
    assert part.low == pytest.approx([1.0, 0.5, 0.25, 0.125])
    assert part.high == pytest.approx([3.0, 2.5, 2.25, 0.125])


def test_too_few_sizes_say_so(columns):
    found = build(columns, points("random", "id", lambda n, _: 1 / n, sizes=(50, 100)), n=100)
    (part,) = found.parts
    assert part.law is None
    assert "too small to tell whether more rows would help" in part.sentence
    (panel,) = draw_learning(found, "")
    assert len(panel.data) == 1
