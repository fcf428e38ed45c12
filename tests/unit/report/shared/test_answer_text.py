"""The answer about candidates in sentences."""

import dataclasses

import pytest

from report_toys import toy_answer
from xtalshift.report.shared.answer_text import (
    error_sentences,
    measure_sentence,
    unlike_sentences,
    verdict_sentence,
)


def test_every_verdict_says_what_to_do_and_why():
    said = {
        verdict: verdict_sentence(dataclasses.replace(toy_answer(), verdict=verdict))
        for verdict in ("trust", "ranking", "measure", "no")
    }
    assert said["trust"] == (
        "You can trust the predictions. The error to expect is 50 % of that of the mean of the "
        "table (50 % on hold-outs of your data that imitate the candidates), and the order of "
        "these hold-outs is found with a typical rank correlation of 0.70."
    )
    assert said["ranking"].startswith("Trust the order of the predictions, not their values.")
    assert said["ranking"].endswith("but the error is 50 % of that of the mean.")
    assert said["measure"].endswith("some measured values left 80 % of the error.")
    assert said["no"].endswith("the order is hardly found (a typical rank correlation of 0.70).")


def test_intervals_that_do_not_hold_are_the_reason():
    few = [dataclasses.replace(one, coverage=0.5) for one in toy_answer().proxies]
    answer = dataclasses.replace(toy_answer(), verdict="ranking", proxies=tuple(few), coverage=0.5)
    assert verdict_sentence(answer).endswith("but its 90 % intervals hold only 50 %.")
    assert error_sentences(answer, "eV")[2].endswith("They will probably hold too few.")


def test_a_large_error_to_expect_is_the_reason():
    answer = dataclasses.replace(toy_answer(), verdict="ranking", expected_mae=0.9)
    assert verdict_sentence(answer).endswith("but the error to expect is 90 % of that of the mean.")


def test_the_error_to_expect_has_its_unit_and_range():
    first, second, third, highest, lowest = error_sentences(toy_answer(), "eV")
    assert first == (
        "Expect a mean absolute error of 0.500 eV; in eight of ten such cases it is between 0.320 "
        "and 0.800 eV. The mean of the table has 1.00 eV on the hold-outs."
    )
    assert second == "Method: ridge, level with svr."
    assert "held 90 % of the values of the hold-outs" in third
    assert highest == (
        "Of the fifth with the highest predictions, 75 % are in the highest fifth of a hold-out by "
        "value (20 % by chance); their intervals hold 80 %."
    )
    assert "the lowest predictions, 50 % are" in lowest
    assert lowest.endswith("hold 100 %.")


def test_what_is_new_about_the_candidates():
    distance = (
        "A candidate is 1.5 times as far from the nearest material of your table as these are from "
        "each other (median)."
    )
    assert unlike_sentences(toy_answer()) == [
        "1 of 13 candidates cannot be predicted; see `reason`.",
        "Te is in no material of your table; 12 of 12 candidates contain it.",
        "11 of 12 candidates have a set of elements that no material of your table has.",
        distance,
        "ZnTe is in your table already; its measured value decides its rank (column `measured`).",
    ]


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, "with 10 to 20 measured materials left 80 % of the error of the others."),
        ({"measured_ratio": 0.95}, "reduced the error of the others little (to 95 %)."),
        (
            {"measured_ratio": 1.07},
            "left 107 % of the error of the others. So measure those that you would use.",
        ),
        ({"measured_ratio": None}, "too small to say what that would bring."),
    ],
)
def test_what_to_measure_and_what_it_brings(changes, end):
    text = measure_sentence(dataclasses.replace(toy_answer(), **changes))
    assert text.startswith("Measure first: A2Te, B2Te, C2Te, D2Te, E2Te, F2Te.")
    assert text.endswith(end)


def test_what_an_encoder_has_seen_is_said():
    answer = dataclasses.replace(toy_answer(), n_seen=3, n_seen_rows=163, known=("ZnTe", "CdTe"))
    *_, known, seen = unlike_sentences(answer)
    assert known == (
        "ZnTe and CdTe are in your table already; their measured values decide their rank (column "
        "`measured`)."
    )
    assert seen == (
        "The pretrained encoder has seen 3 of the candidates, with other or the same properties, "
        "and 163 materials of your table, which therefore judge no method."
    )


def test_several_new_elements():
    answer = dataclasses.replace(toy_answer(), new_elements=("Te", "Pr"))
    assert unlike_sentences(answer)[1] == (
        "Te and Pr are in no material of your table; 12 of 12 candidates contain at least one."
    )


def test_nothing_to_measure_is_not_mentioned():
    assert not measure_sentence(dataclasses.replace(toy_answer(), measure=()))
