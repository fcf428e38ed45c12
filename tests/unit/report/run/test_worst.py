import re

import numpy as np
import pytest

from polymorph_toys import crystals
from xtalshift.benchmark.explanation import NearRow, WorstRow
from xtalshift.data.structure_texts import pack_rows
from xtalshift.report.run.worst import N_DRAWN, build_worst, find_hint

NAMES, BATCH, _ = crystals()


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


def test_the_first_compounds_of_each_role_are_drawn():
    salt, silver = pack_rows(BATCH, np.array([NAMES.index("NaCl-rocksalt"), 0]))
    near = (NearRow("AgF", 1.0, 0.1, silver), NearRow("KF", 1.0, 0.2, salt))
    one = worst(2.0, 8.0, neighbours=near, structure=salt)
    rows = [one] * (N_DRAWN + 1) + [worst(2.0, 8.0)]
    rows += [worst(2.0, 8.0, role="ood", structure=salt)]
    found = build_worst(rows, {}, logarithmic=False)
    drawn = [row.crystal is not None for row in found]
    assert drawn == [True] * N_DRAWN + [False, False, True]
    assert ">NaCl, Fm-3m (no. 225)</title>" in found[0].crystal
    assert ">LiF, Fm-3m (no. 225)</title>" in found[0].nearest_crystal
    assert found[-1].nearest_crystal is None  # no neighbour is known
    pictures = [svg for row in found for svg in (row.crystal, row.nearest_crystal) if svg]
    ids = [one for svg in pictures for one in re.findall(r' id="([^"]+)"', svg)]
    assert len(set(ids)) == len(ids)
