"""What a text that is no formula probably is, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, product
from typing import NamedTuple

from xtalshift.chem.elements import ATOMIC_NUMBERS
from xtalshift.chem.two_readings import can_cancel
from xtalshift.chem.typography import NUMBERED

ABBREVIATIONS = {
    "MA": "methylammonium, CH6N",
    "FA": "formamidinium, CH5N2",
    "BA": "butylammonium, C4H12N",
    "PEA": "phenethylammonium, C8H12N",
    "GA": "guanidinium, CH6N3",
    "EA": "ethylammonium, C2H8N",
    "DMA": "dimethylammonium, C2H8N",
    "Me": "methyl, CH3",
    "Et": "ethyl, C2H5",
    "Bu": "butyl, C4H9",
    "Ph": "phenyl, C6H5",
    "Cp": "cyclopentadienyl, C5H5",
    "acac": "acetylacetonate, C5H7O2",
    "py": "pyridine, C5H5N",
    "en": "ethylenediamine, C2H8N2",
    "bpy": "bipyridine, C10H8N2",
    "phen": "phenanthroline, C12H8N2",
    "thf": "tetrahydrofuran, C4H8O",
    "THF": "tetrahydrofuran, C4H8O",
    "dmf": "dimethylformamide, C3H7NO",
    "DMF": "dimethylformamide, C3H7NO",
    "DMSO": "dimethyl sulfoxide, C2H6OS",
    "OAc": "acetate, C2H3O2",
    "(OPr)": "propoxide, C3H7O",
    "(OTs)": "tosylate, C7H7SO3",
}
"""Abbreviations of groups and molecules. `(OPr)` would else be praseodymium."""

ACRONYMS = {
    "YBCO": "YBa2Cu3O7",
    "BSCCO": "Bi2Sr2CaCu2O8",
    "ITO": "In2O3 with Sn, such as In1.9Sn0.1O3",
    "FTO": "SnO2 with F, such as SnO1.9F0.1",
    "BFO": "BiFeO3",
    "STO": "SrTiO3",
    "PTO": "PbTiO3",
    "BTO": "BaTiO3",
    "KTO": "KTaO3",
    "BSTO": "Ba0.5Sr0.5TiO3",
    "CIS": "CuInS2",
}
"""Abbreviations of compounds whose letters are symbols of elements, or D and T."""

GROUPS = ("OAc", "(OPr)", "(OTs)")
"""Those of `ABBREVIATIONS` whose letters are symbols of elements."""

_PLACEHOLDERS = frozenset("X M R A Ln RE TM Va Vac".split())  # noqa: SIM905
_GREEK = "alpha|beta|gamma|delta|epsilon|kappa|theta|[αβγδεκθω]"
_LABEL_BEFORE = re.compile(
    rf"(?:(?:{_GREEK}|[a-z]|[1-9][0-9]?[HRTC])\s*[-\u2010\u2011\u2013]\s*|[αβγδεκθω])(?=[A-Z(])"
)
_LABEL_BEHIND = re.compile(
    r"(?:\s*[(\[](?:[a-z][a-z .,-]*)[)\]]|[\s_-]+[a-z]{2}[a-z .,-]*"
    r"|_+[A-Za-z][A-Za-z0-9]*|[-_\s]+[1-9][HRT]|[-_]+[IV]{1,3})$"
)
_INDEX = r"[-\u2212\u2013]?[0-9][\u0304\u0305]?"
_SURFACE = re.compile(  # (0001), [1 1 0], (111)-7x7
    rf"\s*[(\[{{<](?:{_INDEX}[\s,]*){{3,4}}[)\]}}>](?:[-\s]*\(?[0-9]+\s*[x\u00d7]\s*[0-9]+\)?)?\s*"
)
_POLYMORPH = re.compile(r"(\S+)\s+[(\[]?([IV]+|[A-Z])[)\]]?")  # TiO2 II, Y2O3 (C)
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
_DATE = re.compile(
    rf"(?P<day>[0-9]{{1,2}})[-/. ](?P<month>{_MONTHS})"
    rf"|(?P<name>{_MONTHS})[-/. ](?P<year>[0-9]{{2,4}})"
    r"|[0-9]{1,4}[-/][0-9]{1,2}[-/][0-9]{1,4}(?:[ T][0-9:.]+)?",
    re.IGNORECASE,
)
_UNIT = re.compile(r"[0-9.]*\s*(?:(?:[A-Z][a-z]?|[()])[0-9.]*){2,}")  # a formula of two elements
_LETTERS = re.compile(r"[A-Za-z]+")
_LOOKALIKES = str.maketrans(
    "АВЕКМНОРСТХІЅасеорхуіΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",  # noqa: RUF001 - Cyrillic and Greek
    "ABEKMHOPCTXISaceopxyiABEZHIKMNOPTYX",
)
_AMOUNT_TWICE = re.compile(r"([A-Z][a-z]?)[0-9.]+\1(?![a-z])")  # O1O6
_MAX_LETTERS = 14
_MAX_WAYS = 500


class Advice(NamedTuple):
    """What is wrong and what to do; `likely` is a formula that was probably meant, or ``""``."""

    what: str
    remedy: str
    likely: str = ""


def whole_text(text: str) -> Advice | None:
    """Return advice on a plain text as a whole: labels, dopants, surfaces, acronyms, words."""
    text = text.strip()
    looks = (_short_name, _changed_cell, _foreign_letter, _surface, _label)
    return next((advice for look in looks if (advice := look(text))), None)


def _short_name(text: str) -> Advice | None:
    """Return advice on names: acronyms, groups, grades, words."""
    if text in ACRONYMS:
        return Advice("it is an abbreviation", f"write its formula ({ACRONYMS[text]})")
    if group := next((name for name in GROUPS if name in text), None):
        return abbreviation(text, text.index(group))
    if re.fullmatch(r"(?:SS|AISI) ?[0-9]{3}[A-Z]*", text):
        return Advice("it is a grade of a steel", "write its composition")
    if re.fullmatch(r"[A-Za-z][a-z]{4,}(?:[ -](?:[A-Za-z]?[a-z]+|[0-9]+))*", text):
        return Advice("it is a word", "write a formula such as 'Fe2O3'")
    return None


def _changed_cell(text: str) -> Advice | None:
    """Return advice on numbers and dates: a spreadsheet makes ``2-Feb`` or ``Feb-02`` of FeB2."""
    if re.fullmatch(r"[-+]?[0-9.,]+(?:[eE][-+]?[0-9]+)?", text):
        return Advice(
            "it is a number",
            "name the column of the formulas, or type it again if a spreadsheet changed it",
        )
    date = _DATE.fullmatch(text)
    if not date:
        return None
    symbols = {"feb": "FeB", "sep": "SeP"}.get((date["month"] or date["name"] or "").lower(), "")
    number = (date["day"] or date["year"] or "").lstrip("0")
    return Advice(
        "it is a date; a spreadsheet makes dates of some formulas",
        "set the format of the column to text and type the formula again",
        f"{symbols}{number}" if symbols else "",
    )


def _foreign_letter(text: str) -> Advice | None:
    """Return advice on letters that look Latin, and on the variable of ``(1-x)``."""
    if variable := re.search(r"\(\s*1\s*[-\u2010-\u2013\u2212]\s*([a-z\u03b4])\s*\)", text):
        return Advice(f"{variable[0]!r} is a variable amount", "write its value")
    latin = text.translate(_LOOKALIKES)
    if latin == text:
        return None
    changed = next(one for one, other in zip(text, latin, strict=True) if one != other)
    what = f"{changed!r} is no Latin letter though it looks like one"
    return Advice(what, "type it again", latin)


def _surface(text: str) -> Advice | None:
    """Return advice on the indices of a surface or plane beside the formula: Al2O3(0001)."""
    found = _SURFACE.search(text)
    if not found or len(found[0]) == len(text) or (found.start() and found.end() < len(text)):
        return None
    return Advice(
        f"{found[0].strip()!r} is a label of a surface, a plane or a sample",
        "leave it out, or put it into a column of its own",
        text[: found.start()] + text[found.end() :],
    )


def _label(text: str) -> Advice | None:
    """Return advice on a phase, sample or dopant named beside the formula."""
    for pattern, place in ((_LABEL_BEFORE.match, "before"), (_LABEL_BEHIND.search, "behind")):
        found = pattern(text)
        if found and len(found[0]) < len(text):
            label = found[0].strip(" _-()[]\u2010\u2011\u2013")
            return Advice(
                f"{label!r} {place} the formula is a label of a phase or sample",
                "leave it out, or put it into a column of its own",
                text[: found.start()] + text[found.end() :],
            )
    if found := _POLYMORPH.fullmatch(text):
        host, label = found.groups()
        if len(label) > 1 or (can_cancel(host) and not can_cancel(host + label)):
            return Advice(
                f"{label!r} behind the formula may be a label of a phase or an element",
                "leave it out, or write it without the space",
                host,
            )
    if found := NUMBERED.fullmatch(text):
        return Advice(
            f"'_{found[2]}' may be an amount or the number of a sample",
            "write the amount without the underscore, or leave the number out",
        )
    host, colon, dopant = text.partition(":")
    if colon and _UNIT.fullmatch(host.strip()) and _UNIT.fullmatch(dopant.strip()):
        return Advice("':' joins parts", "join them by '·' and use --hydrates expand")
    if colon and host:
        return Advice(
            f"':{dopant}' names a dopant without its amount",
            "write its amount into the formula, as in Sr0.98Eu0.02Al2O4",
        )
    return None


def unknown_symbol(text: str, position: int, symbol: str) -> Advice:
    """Return advice on the unknown symbol at a place of a plain text."""
    for at in (position, position - 1):  # FA is read as F and an unknown A
        if at >= 0 and (short := abbreviation(text, at)):
            return short
    likely = "" if text.startswith("RE", position) else recase(text)
    if symbol in _PLACEHOLDERS and not (can_cancel(likely) or likely in ATOMIC_NUMBERS):
        return Advice(f"unknown element {symbol!r}", "if it stands for several, write those")
    return Advice(f"unknown element {symbol!r}", "use IUPAC symbols", likely)


def abbreviation(text: str, position: int) -> Advice | None:
    """Return advice if an abbreviation of a group begins at a place of a text."""
    if text.isupper() and recase(text):
        return None  # BATIO3 has no butylammonium
    for name in sorted(ABBREVIATIONS, key=len, reverse=True):
        end = position + len(name)
        if text.startswith(name, position) and not text[end : end + 1].islower():
            return Advice(
                f"the abbreviation {name.strip('()')!r}",
                f"it is short for {ABBREVIATIONS[name]}: write its atoms",
            )
    return None


def recase(text: str) -> str:
    """Return a text whose letters have the wrong case as a likely formula, or ``""``.

    Each run of letters is cut into symbols; among the results, those without an element twice in a
    row come first (Co1O6Pt3, not C and O1O6), then those whose charges can cancel, then those of
    the fewest symbols.
    """
    runs = list(_LETTERS.finditer(text))
    if not runs or sum(len(run[0]) for run in runs) > _MAX_LETTERS:
        return ""
    ways = [list(islice(_cut(run[0]), _MAX_WAYS)) for run in runs]
    best, least = "", (True, True, len(text) + 1)
    for choice in islice(product(*ways), _MAX_WAYS):
        pieces, at = [], 0
        for run, symbols in zip(runs, choice, strict=True):
            pieces += [text[at : run.start()], "".join(symbols)]
            at = run.end()
        made = "".join([*pieces, text[at:]])
        twice = _AMOUNT_TWICE.search(made) is not None
        rank = (twice, not can_cancel(made), sum(map(len, choice)))
        if rank < least:
            best, least = made, rank
    return best if best != text else ""


def _cut(letters: str) -> Iterator[tuple[str, ...]]:
    """Yield the ways to cut letters of any case into symbols of elements."""
    if not letters:
        yield ()
        return
    for size in (2, 1):
        symbol = letters[:size].capitalize()
        if len(symbol) == size and symbol in ATOMIC_NUMBERS:
            for rest in _cut(letters[size:]):
                yield (symbol, *rest)
