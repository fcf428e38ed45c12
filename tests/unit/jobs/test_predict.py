"""What `predict` says of the rows that it could not predict."""

import pandas as pd

from xtalshift.cli.predict import _describe
from xtalshift.jobs.predict import PredictionCounts


def table(bad: list[int], n: int) -> pd.DataFrame:
    """Return n rows of predictions, of which some are bad."""
    frame = pd.DataFrame(
        {"n_clipped": 0, "n_imputed": 0, "ood_score": 0.5, "in_domain": True, "upper": 1.0,
         "unseen_elements": "", "lower": 0.0, "status": "ok", "reason": ""},
        index=range(n),
    )  # fmt: skip
    frame.loc[bad, ["status", "reason"]] = ["error", "no formula"]
    return frame


def test_three_bad_rows_are_named_over_all_pieces():
    counts = PredictionCounts()
    counts.add(table([1], 4))
    counts.add(table([0, 2, 3], 4))
    assert (counts.rows, counts.bad) == (8, 4)
    assert list(counts.examples) == [2, 5, 7]
    assert counts.error("all are bad").row == 2
    assert _describe(counts, 0.9)[:4] == [
        "4 of 8 rows predicted; 4 with an error. row 2: no formula",
        "  row 5: no formula",
        "  row 7: no formula",
        "  and 1 more: see the column reason",
    ]


def test_a_bad_row_is_named_beside_the_count():
    counts = PredictionCounts()
    counts.add(table([], 2))
    assert _describe(counts, 0.9)[0] == "2 of 2 rows predicted; 0 with an error."
    counts.add(table([1], 2))
    assert _describe(counts, 0.9)[0] == "3 of 4 rows predicted; 1 with an error. row 4: no formula"
