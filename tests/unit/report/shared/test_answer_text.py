"""What is said about new elements and about measuring."""

from __future__ import annotations

import pytest

from xtalshift.benchmark.answer import Answer
from xtalshift.report.shared.answer_text import measure_sentence, unlike_sentences


def answer(**changes):
    known = {
        "verdict": "trust", "method": "ridge", "level_with": (), "expected_mae": 2.0,
        "expected_low": 1.0, "expected_high": 4.0, "coverage": 0.9, "n": 9, "n_usable": 9,
        "n_known": 0, "distance_ratio": 1.1, "separability": None, "new_elements": (), "n_new": 0,
        "n_new_systems": 9, "proxies": (), "measure": ("GaTe",), "measure_rows": (0,),
        "measured_ratio": 0.5,
    }  # fmt: skip
    return Answer(**(known | changes))


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        (("Te",), "Te is in no material of your table; 8 of 9 candidates contain it."),
        (
            ("Te", "Pr"),
            "Te and Pr are in no material of your table; 8 of 9 candidates contain at least one.",
        ),
    ],
)
def test_new_elements_are_named(elements, said):
    assert unlike_sentences(answer(new_elements=elements, n_new=8))[0] == said


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (0.5, "such measurements, and `xtalshift adapt`, left 50 % of the error."),
        (0.95, "it hardly reduced the error (to 95 %)."),
        (1.07, "it did not reduce the error (107 % left)."),
    ],
)
def test_what_measuring_brings_is_said(left, said):
    sentence = measure_sentence(answer(measured_ratio=left))
    assert sentence == f"Measure first: GaTe. On the hold-outs {said}"
