import pytest

from xtalshift.benchmark.explanation import NearRow, WorstRow
from xtalshift.report.run.worst import build_worst, find_hint


def worst(target, prediction, values=(), **changes):
    near = tuple(NearRow(f"A{n}", value, 1.0 + n) for n, value in enumerate(values))
    known = {"split": "random", "role": "id", "id": "7", "formula": "AB"}
    known |= {"target": target, "prediction": prediction, "neighbours": near}
    return WorstRow(**known | changes)


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        (worst(9.0, 2.0, (2.1, 1.9, 2.4)), "Its neighbours agree with the prediction: check the"),
        (worst(9.0, 5.0, (4.0, 8.0, 12.0)), "Its neighbours disagree with each other"),
        (worst(9.0, 2.0, (8.9, 9.1, 9.0)), "Its neighbours agree with the measured value"),
        (worst(9.0, 2.0, (5.0, 5.5, 6.0)), ""),
        (worst(9.0, 2.0), ""),
        (worst(9.0, 2.0, (2.0, 2.0), in_domain=False), "It is unlike all training materials."),
        (worst(9.0, 2.0, (2.0, 2.0), unseen=("Nd", "U")), "No training material contains Nd and U"),
        (worst(9.0, 2.0, (2.0, 2.0), split="prior", role="ood"), "Values this extreme were kept"),
    ],
)
def test_hints(row, hint):
    found = find_hint(row)
    assert found.startswith(hint) if hint else found == ""


def test_errors_factors_and_intervals():
    rows = [worst(2.0, 8.0, lower=3.0, upper=9.0), worst(8.0, 2.0, lower=1.0, upper=9.0)]
    high, low = build_worst(rows, {"random": "random split"}, logarithmic=True)
    assert (high.error, high.factor, high.factor_text) == (6.0, 4.0, "4.0 times too high")
    assert (low.error, low.factor, low.factor_text) == (-6.0, 4.0, "4.0 times too low")
    assert (high.covered, low.covered) == (False, True)
    assert high.label == "random split"
    (plain,) = build_worst(rows[:1], {}, logarithmic=False)
    assert (plain.factor, plain.factor_text, plain.label) == (None, "", "random")
    assert build_worst([worst(1.0, 2.0)], {}, logarithmic=False)[0].covered is None


def test_ratios_count_where_the_method_was_trained_on_logarithms():
    row = worst(100.0, 10.0, (9.0, 11.0, 30.0))
    assert find_hint(row).startswith("Its neighbours agree with the prediction")
    assert find_hint(row, logarithmic=True).startswith("Its neighbours agree with the prediction")
    low = worst(0.1, 1.0, (0.35, 0.5, 3.0))
    assert find_hint(low).startswith("Its neighbours disagree with each other")
    assert find_hint(low, logarithmic=True) == (
        "Its neighbours agree with the prediction: check the measured value."
    )
