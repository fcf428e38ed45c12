"""Known answers for every notation, and texts written from random numbers in every style."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.data.number_texts import NumberStyle, read_number_text
from xtalshift.data.numbers import cause_of
from xtalshift.errors import ConfigError

POINT, COMMA = NumberStyle("."), NumberStyle(",")
US, GERMAN, FRENCH = NumberStyle(".", ","), NumberStyle(",", "."), NumberStyle(",", " ")
STYLES = [POINT, COMMA, US, GERMAN, FRENCH, NumberStyle(".", " "), NumberStyle(".", "'")]


@pytest.mark.parametrize(
    ("text", "style", "value"),
    [
        ("\u22121.568", POINT, -1.568), ("\u20131.5", POINT, -1.5), ("\u2212 5", POINT, -5),
        ("\u00a01.5\u00a0", POINT, 1.5), ("\u200b1.5", POINT, 1.5), ("+1.5", POINT, 1.5),
        (".5", POINT, 0.5), ("5.", POINT, 5), (",5", COMMA, 0.5), ("0,85", COMMA, 0.85),
        ("1,234.5", POINT, 1234.5), ("1,234,567", POINT, 1234567), ("1,708", US, 1708),
        ("1.234,5", COMMA, 1234.5), ("1.234.567", COMMA, 1234567), ("1.708", GERMAN, 1708),
        ("1.708", US, 1.708), ("1,708", GERMAN, 1.708), ("-12,345.25", US, -12345.25),
        ("1 234,5", FRENCH, 1234.5), ("12 345", FRENCH, 12345), ("1\u202f234,5", COMMA, 1234.5),
        ("1\u00a0234", POINT, 1234), ("12'345.6", POINT, 12345.6), ("12\u2019345", COMMA, 12345),
        ("1e-5", POINT, 1e-5), ("1E-05", POINT, 1e-5), ("1e\u22125", POINT, 1e-5),
        ("1,5E+03", COMMA, 1500), ("1.2\u00d710^3", POINT, 1200), ("1.2x10-3", POINT, 0.0012),
        ("1.2 \u00b7 10\u207b\u00b3", POINT, 0.0012), ("1.2*10**3", POINT, 1200),
        ("1,2 x 10^{-3}", COMMA, 0.0012), ("10^3", POINT, 1000), ("-10\u207b\u2075", POINT, -1e-5),
        ("\uff11\uff0e\uff15", POINT, 1.5), ("3.1416", POINT, 3.1416),
    ],
)  # fmt: skip
def test_only_a_number(text, style, value):
    found = read_number_text(text, style)
    assert found.value == value
    assert (found.lower, found.upper) == (value, value)
    assert (found.problem, found.note, found.unit) == ("", "", "")


@pytest.mark.parametrize(
    ("text", "style", "value", "note", "unit"),
    [
        ("20 K", POINT, 20, "", "K"), ("3.2eV", POINT, 3.2, "", "eV"), ("5%", POINT, 5, "", "%"),
        ("-120 \u00b5V/K", POINT, -120, "", "uV/K"), ("1,2 GPa", COMMA, 1.2, "", "GPa"),
        ("4 \u00c5", POINT, 4, "", "\u00c5"), ("4 \u212b", POINT, 4, "", "\u00c5"),
        ("3 W m^-1 K^-1", POINT, 3, "", "W.m-1.K-1"), ("3 W/m/K", POINT, 3, "", "W/m/K"),
        ("1.234(5)", POINT, 1.234, "an uncertainty", ""),
        ("1,234(5)", GERMAN, 1.234, "an uncertainty", ""),
        ("1.2(1)e-3 eV", POINT, 1.2e-3, "an uncertainty", "eV"),
        ("1.2 \u00b1 0.1", POINT, 1.2, "an uncertainty", ""),
        ("1.2+/-0.1 eV", POINT, 1.2, "an uncertainty", "eV"),
        ("1,2 +/- 5%", COMMA, 1.2, "an uncertainty", ""),
        ("(1.2 \u00b1 0.1)\u00d710^3 eV", POINT, 1200, "an uncertainty", "eV"),
        ("~20", POINT, 20, "approximate", ""), ("ca. 20 K", POINT, 20, "approximate", "K"),
        ("\u22481.5", POINT, 1.5, "approximate", ""), ("approx. 3", POINT, 3, "approximate", ""),
    ],
)  # fmt: skip
def test_a_number_and_more(text, style, value, note, unit):
    found = read_number_text(text, style)
    assert (found.value, found.problem, found.unit) == (value, "", unit)
    assert found.note == (f"{note}: {text!r}" if note else "")


@pytest.mark.parametrize(
    ("text", "style", "cause", "lower", "upper"),
    [
        ("<4.2", POINT, "a bound", None, 4.2), ("< 4,2", COMMA, "a bound", None, 4.2),
        (">300", POINT, "a bound", 300, None), ("\u2264 3 K", POINT, "a bound", None, 3),
        ("\u2265-3", POINT, "a bound", -3, None), (">=3", POINT, "a bound", 3, None),
        ("300+", POINT, "a bound", 300, None), ("less than 5", POINT, "a bound", None, 5),
        ("up to 5", POINT, "a bound", None, 5), ("above 5 K", POINT, "a bound", 5, None),
        ("19-21", POINT, "a range", 19, 21), ("19\u201321 K", POINT, "a range", 19, 21),
        ("19 to 21", POINT, "a range", 19, 21), ("19..21", POINT, "a range", 19, 21),
        ("-5 - -3", POINT, "a range", -5, -3), ("1e-5-2e-5", POINT, "a range", 1e-5, 2e-5),
        ("between 2 and 3", POINT, "a range", 2, 3), ("1,5-2,5", COMMA, "a range", 1.5, 2.5),
        ("21-19", POINT, "a reversed range", None, None), ("2-2", POINT, "a range", 2, 2),
        ("10-3 K", POINT, "a reversed range", None, None),
        ("2019-01-05", POINT, "a date", None, None), ("05.01.2019", COMMA, "a date", None, None),
        ("2019-05", POINT, "a date", None, None), ("5-Jan", POINT, "a date", None, None),
        ("Mar-03", POINT, "a date", None, None), ("1/5/2019", POINT, "a date", None, None),
        ("2019-01-05 00:00:00", POINT, "a date", None, None),
        ("1.2; 1.4", POINT, "several values", 1.2, 1.4),
        ("1.2/1.4", POINT, "several values", 1.2, 1.4),
        ("1.2, 1.4", POINT, "several values", 1.2, 1.4),
        ("1.4 1.2", POINT, "several values", 1.2, 1.4),
        ("1.2 and 1.4", POINT, "several values", 1.2, 1.4),
        ("1,708", POINT, "ambiguous", None, None), ("1.708", COMMA, "ambiguous", None, None),
        ("<1,708", POINT, "ambiguous", None, None), ("1 234", POINT, "ambiguous", None, None),
        ("0,85", POINT, "another decimal mark", None, None),
        ("0.85", GERMAN, "another decimal mark", None, None),
        ("1.234,5", POINT, "another decimal mark", None, None),
        ("1.234.567", US, "another decimal mark", None, None),
        ("1.234(5)", GERMAN, "another decimal mark", None, None),
        ("1.234e5", GERMAN, "another decimal mark", None, None),
        ("12,34", US, "another decimal mark", None, None),
    ],
)  # fmt: skip
def test_refused_with_its_cause_and_what_is_known(text, style, cause, lower, upper):
    found = read_number_text(text, style)
    assert math.isnan(found.value)
    assert cause_of(found.problem) == cause
    assert text in found.problem
    assert found.lower == (-math.inf if lower is None else lower)
    assert found.upper == (math.inf if upper is None else upper)


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize(
    "text",
    [
        "abc", "2H", "3d", "20a", "5 samples", "12 of 20", "1_000", "0x1F", "(5)", "12 (3)", "5-",
        "$5", "5 \u20ac", "5\u00b2", "1x103", "1.5.2", "\u0661", "- 5", "+-5", "--5", "1e", "e5",
        "5*", "20 K?", "No. 5", "v1", "1st", "10th", "5'", '5"', "=5", "<", "~", "\u00b15", "1..",
        "1\u00bd", "\u00bd", "5+3i", "True", "<x", ">2H", "(1.2", "1e5e5", "1'23", "7 Fe", "4 nm x",
    ],
)  # fmt: skip
def test_text_never_becomes_a_number(text, style):
    found = read_number_text(text, style)
    assert math.isnan(found.value)
    assert found.problem
    assert not found.note


def test_infinite_numbers():
    found = [read_number_text(text, POINT) for text in ("inf", "-Infinity", "\u221e")]
    assert [number.value for number in found] == [math.inf, -math.inf, math.inf]
    assert {number.problem for number in found} == {"infinite"}


@pytest.mark.parametrize("marks", [(",", ","), ("", ""), (".", "x"), (";", "")])
def test_styles_that_cannot_be(marks):
    with pytest.raises(ConfigError):
        NumberStyle(*marks)


def _digits(number: float) -> tuple[str, str, str, int]:
    """Return sign, digits before and after the mark, and the exponent of the exact text."""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    before, _, after = mantissa.partition(".")
    return "-" if number < 0 else "", before, after or "0", int(exponent or 0)


@st.composite
def written_numbers(draw):
    """Draw a number, and a text of it in a style."""
    number = draw(st.floats(-1e18, 1e18, allow_subnormal=False) | st.integers(-(10**9), 10**9))
    number = float(number)
    style = draw(st.sampled_from(STYLES))
    sign, before, after, exponent = _digits(number)
    groups = draw(st.sampled_from(sorted({"", style.thousands, "'", "\u202f", "\u00a0"})))
    if exponent:
        groups = ""
    if groups and len(before) > 3:
        reverse = before[::-1]
        parts = [reverse[place : place + 3] for place in range(0, len(before), 3)]
        before = groups.join(parts)[::-1]
    sign = draw(st.sampled_from(["-", "\u2212", "\u2013"])) if sign else ""
    text = sign + before + (style.decimal + after if after != "0" or exponent else "")
    if exponent:
        raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        forms = [f"e{exponent}", f"E{exponent:+03d}", f"\u00d710^{exponent}", f" x 10{raised}"]
        text += draw(st.sampled_from(forms))
    around = draw(st.sampled_from(["{}", " {} ", "\u00a0{}", "{} K", "{}%", "~{}", "{} \u00b1 1"]))
    return number, style, around.format(text)


@settings(max_examples=1000)
@given(written_numbers())
def test_a_number_written_in_any_style_reads_back_exactly(case):
    number, style, text = case
    assert read_number_text(text, style).value == number


@settings(max_examples=1000)
@given(written_numbers(), st.sampled_from(STYLES))
def test_no_style_makes_another_number_of_it_silently(case, other):
    """In another style a text is refused, or is the number, or its mark groups thousands there."""
    number, _, text = case
    value = read_number_text(text, other).value
    assert math.isnan(value) or value == number or other.thousands or abs(value) in (
        pytest.approx(abs(number) / 1000), pytest.approx(abs(number) * 1000),
    )  # fmt: skip


@settings(max_examples=1000)
@given(st.text("0123456789.,-+eE xK'<>~()/:;\u00b1\u00d7\u2212\u00a0%", max_size=9))
def test_digits_are_never_dropped_or_made_up(text):
    found = read_number_text(text, POINT)
    if found.problem or found.note:
        assert found.problem == "infinite" or found.note or math.isnan(found.value)
        return
    text = re.sub("K(-?[1-4])?$", "", text.strip())
    kept = text.translate(str.maketrans("\u2212", "-", " \u00a0'+%K,"))
    if "\u00d7" in kept or "x" in kept:
        mantissa, _, power = kept.replace("x", "\u00d7").partition("\u00d710")
        kept = f"{mantissa or 1}e{power.strip('^()')}"
    assert float(kept) == found.value
