"""Numbers in the way of the reader."""

from __future__ import annotations

import math

import pytest

from xtalshift.web.page.number_marks import GERMAN, US


@pytest.mark.parametrize(
    ("text", "german"),
    [
        ("0.25", "0,25"),
        ("−0.25 eV", "−0,25 eV"),
        ("47,737 rows", "47.737 rows"),
        ("1,234,567.8", "1.234.567,8"),
        ("28.8 ± 1.4", "28,8 ± 1,4"),
        ("1.23e-05", "1,23e-05"),
        ("3.4 %", "3,4 %"),
        ("1, 2 and 3", "1, 2 and 3"),
        ("90 % intervals (0.5 to 2.5).", "90 % intervals (0,5 to 2,5)."),
        ("error 0.5.", "error 0,5."),
        ("Fe0.5Ni0.5 and 0.5Li2O", "Fe0.5Ni0.5 and 0.5Li2O"),
        ("0.5(Li2O)0.5(B2O3)", "0.5(Li2O)0.5(B2O3)"),
        ("version 0.1.0", "version 0.1.0"),
        ("row 2: '1.234'", "row 2: '1.234'"),
        ("mp-1.5", "mp-1.5"),
        ("gaps_1.5.csv", "gaps_1.5.csv"),
    ],
)
def test_sentences_are_rewritten_and_what_they_quote_is_not(text, german):
    assert (GERMAN.rewrite(text), US.rewrite(text)) == (german, text)


@pytest.mark.parametrize(
    ("text", "us", "german"),
    [
        ("3.4", 3.4, None),
        ("3,4", None, 3.4),
        (" −1,234.5 ", -1234.5, None),
        ("1.234,5", None, 1234.5),
        ("1234,567", None, 1234.567),
        ("1,2345", None, 1.2345),
        ("1.5e-3", 0.0015, None),
        ("x", None, None),
    ],
)
def test_a_typed_number_is_read_by_its_marks_or_refused(text, us, german):
    for marks, number in ((US, us), (GERMAN, german)):
        found, doubtful = marks.read(text.strip())
        assert (None if doubtful or math.isnan(found) else found) == number


@pytest.mark.parametrize(
    ("languages", "cookie", "example"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "", "512.000.000"),
        ("en-US,en;q=0.9,de;q=0.8", "", "512,000,000"),
        ("de-CH", "", "512,000,000"),
        ("", "", "512,000,000"),
        ("en", "de", "512.000.000"),
        ("de", "us", "512,000,000"),
        ("de", "nonsense", "512.000.000"),
    ],
)
def test_the_language_of_the_browser_decides_unless_the_reader_does(
    client, languages, cookie, example
):
    headers = {"Accept-Language": languages, "Cookie": f"xtalshift-numbers={cookie}"}
    text = client.get("/", headers=headers).text
    mark = example[3]
    assert f'data-thousands="{mark}"' in text


def test_the_choice_is_kept(client):
    found = client.post("/numbers", data={"way": "de", "next": "/login"})
    assert (found.status_code, found.headers["location"]) == (303, "/login")
    assert 'data-decimal=","' in client.get("/").text
    assert client.post("/numbers", data={"way": "roman"}).status_code == 422


@pytest.mark.parametrize(
    ("text", "number", "doubtful"),
    [
        ("1.5", 1.5, False),
        ("−2e-3", -0.002, False),
        ("1,234.5", 1234.5, False),
        ("1,234,567", 1234567.0, False),
        ("3,4", 34.0, True),  # a decimal comma, not 34
        ("1,234", 1234.0, True),
    ],
)
def test_a_mark_that_could_be_the_other_one_is_doubtful(text, number, doubtful):
    assert US.read(text) == (number, doubtful)
