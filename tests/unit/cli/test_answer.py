"""The answer about candidates on the terminal."""

import numpy as np
import pandas as pd

from report_toys import toy_answer
from xtalshift.cli.answer import print_answer
from xtalshift.report.run.candidates import report_candidates


def test_the_answer_is_printed_with_its_hold_outs_and_both_ends(capsys):
    value = np.arange(12.0, 0.0, -1.0)
    table = pd.DataFrame({
        "formula": [f"A{k}Te" for k in range(12)], "prediction": value, "lower": value - 1,
        "upper": value + 1, "rank": pd.array(range(1, 13), dtype="Int64"), "in_domain": False,
        "unseen_elements": "Te", "nearest_formula": "ZnSe", "nearest_target": 2.5,
        "measured": [np.nan] * 11 + [0.75],
    })  # fmt: skip
    print_answer(report_candidates(toy_answer(), table, "eV"), "eV")
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines()]
    assert ["Se", "20", "1.2", "0.250", "0.500", "0.70", "90", "%", "x0.80", "(10)"] in lines
    assert ["S", "20", "1.2", "1.00", "2.00", "0.70", "90", "%", "x0.80", "(20)"] in lines
    ends = [line[1] for line in lines if len(line) > 1 and line[1].endswith("Te") and "to" in line]
    assert ends == [f"A{k}Te" for k in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)]
    assert "0 to 2.00; measured 0.750" in text
    order = ["You can trust", "Expect a mean", "The highest and the lowest", "Measure first"]
    places = [text.index(part) for part in (*order, "After measuring: add the values")]
    assert places == sorted(places)
