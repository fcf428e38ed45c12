"""What is odd about a column of formulas: refused texts by cause, remarks, rare elements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.elements import ELEMENT_CLASSES, SYMBOLS, load_elements
from xtalshift.data.intake import MAX_EXAMPLES, Example, Finding
from xtalshift.data.materials import Materials

CAUSES = (
    ("cells, ", "a line with too many cells", "Put quotes around cells that contain a separator"),
    ("is empty or missing", "no formula", "Fill the cells"),
    (
        "two ways",
        "a dot with two readings",
        "Give --hydrates expand to add up parts joined by dots",
    ),
    ("before the formula at", "a number before the formula", "Leave it out, or --hydrates expand"),
    ("joins parts", "parts joined by a dot", "Give --hydrates expand to add up the parts"),
    ("with brackets around", "a mixture with brackets", "Write its parts without brackets"),
    ("alloy or a mixture", "an alloy or mixture", "Give --amounts wt, at or mol"),
    ("may be the letter O", "a zero for the letter O", "Write the letter"),
    ("written in capitals", "a column in capitals", "Write symbols as Co, not CO"),
    ("is a label of", "a label beside the formula", "Give labels a column of their own"),
    ("names a dopant", "a dopant without its amount", "Write its amount into the formula"),
    ("variable amount", "a variable amount", "Write its value"),
    ("short for", "an abbreviation", "Write the atoms of groups"),
    ("is an abbreviation", "an abbreviation", "Write the atoms of groups"),
    ("is a word", "a word", "Write formulas"),
    ("no Latin letter", "a letter that is not Latin", "Type it again"),
    ("charge", "a charge", "Write neutral formulas"),
    ("oxidation state", "an oxidation state", "Leave it out"),
    ("comma in a number", "a decimal comma", "Write a point"),
    ("unknown element", "an unknown element", "Use IUPAC symbols"),
    ("is of type", "not text", "Name the column of formulas: --formula-col"),
)
"""Words in the reason for which a formula is refused, its cause, and the remedy for a column."""

_OTHER = "no formula that can be read", "Correct the formulas"
_QUOTED = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_REMARK = re.compile(rf"(?:{_QUOTED}|[^;]|;(?! ))+")
_METALS = frozenset(ELEMENT_CLASSES["metal"])
_ROUNDED = 0.01
"""Atomic fractions that differ by no more are one formula: 0.3 and 1/3 in a formula of four."""
_GLUED = re.compile(r"(?:[A-Z][a-z]?[0-9.]+)+[A-Z][a-z]?")  # Ti6Al4V


def cause_of_formula(reason: str) -> str:
    """Return the cause for which a formula is refused, one of `CAUSES`."""
    words = re.sub(rf"formula {_QUOTED}", "", reason, count=1)
    return next((cause for part, cause, _ in CAUSES if part in words), _OTHER[0])


def formula_remedy(cause: str) -> str:
    """Return what to do about a column with refused formulas of one cause."""
    return next((remedy for _, name, remedy in CAUSES if name == cause), _OTHER[1])


def note_kinds(notes: str) -> list[str]:
    """Return the kinds of the remarks on one formula, each once and without its details."""
    return list(dict.fromkeys(kind for kind, _ in _remarks(notes)))


def note_details(notes: str, kind: str) -> str:
    """Return what the remarks of one of `note_kinds` say besides it, joined by ``"; "``."""
    found = (detail for name, detail in _remarks(notes) if name == kind and detail)
    return "; ".join(dict.fromkeys(found))


def _remarks(notes: str) -> list[tuple[str, str]]:
    """Return the kind and the details of each remark; marks in quotes end none."""
    found = (remark.strip() for remark in _REMARK.findall(notes))
    return [(kind, detail) for kind, _, detail in (one.partition(": ") for one in found) if kind]


def formula_findings(
    texts: Sequence[str], compositions: Compositions, *, alloys: bool
) -> tuple[Finding, ...]:
    """Return what is odd about readable formulas.

    Parameters
    ----------
    texts : sequence of str, length n
        The cells.
    compositions : Compositions
        n rows.
    alloys : bool
        Whether the column has alloys such as ``Ti-6Al-4V``.

    Returns
    -------
    tuple of Finding
        Formulas that look like alloys beside alloys, and elements without tabulated properties.
    """

    def found(kind: str, rows: list[int], says: Mapping[int, str], remedy: str) -> Finding:
        examples = (Example(row + 1, "", str(texts[row]), says[row]) for row in rows[:MAX_EXAMPLES])
        return Finding(f"formula: {kind}", len(rows), tuple(examples), remedy)

    findings = []
    if alloys and (glued := _glued_alloys(texts)):
        remedy = "Write it as the other alloys if the numbers are percent"
        says = dict.fromkeys(glued, "read as atoms, beside alloys whose numbers are percent")
        findings.append(found("perhaps an alloy in percent", glued, says, remedy))
    rare, elements, says = _imputed(compositions)
    if rare:
        remedy = f"Predictions for materials with {', '.join(elements)} rest on mean values"
        kind = "properties of an element are not tabulated"
        findings.append(found(kind, rare, says, remedy))
    return tuple(findings)


def contradictions(cells: Sequence[str], materials: Materials, column: str) -> tuple[Finding, ...]:
    """Return the rows of which a column of formulas says something else than their structure.

    Parameters
    ----------
    cells : sequence of str, length n
        The cells; what is no formula is not compared.
    materials : Materials
        n rows with the compositions of their structures.
    column : str
        Name of the column.

    Returns
    -------
    tuple of Finding
        One finding with the number of such rows, or none. The order of the elements, multiples and
        rounded amounts make no difference.
    """
    stated, own = parse_formulas(cells, materials.notation)[0], materials.compositions
    rows = np.flatnonzero(stated.reduced_formulas() != materials.groups)
    rows = rows[(stated.sizes[rows] > 0) & (own.sizes[rows] > 0)]
    said, found = (one.take(rows).element_fractions() for one in (stated, own))
    differ = ((said > 0) != (found > 0)) | (np.abs(said - found) > _ROUNDED)
    rows = rows[differ.any(axis=1)]
    if not rows.size:
        return ()
    examples = tuple(
        Example(
            row + 1,
            str(materials.ids[row]),
            f"{cells[row]} (id {materials.ids[row]})",
            f"its structure is {materials.formulas[row]}",
        )
        for row in rows[:MAX_EXAMPLES].tolist()
    )
    kind = f"a formula in column {column!r} that is not that of its structure"
    remedy = (
        "Such rows are read by their structures: correct what names these, or the formulas; a "
        "shifted column gives each row the value of another material"
    )
    return (Finding(kind, len(rows), examples, remedy, warns=True),)


def _glued_alloys(texts: Sequence[str]) -> list[int]:
    """Return rows such as ``Ti6Al4V``."""
    return [
        row
        for row, text in enumerate(texts)
        if _GLUED.fullmatch(text) and set(re.findall("[A-Z][a-z]?", text)) <= _METALS
    ]


def _imputed(compositions: Compositions) -> tuple[list[int], list[str], dict[int, str]]:
    """Return the rows with an element that lacks properties, these elements, a text per row."""
    table = load_elements().magpie
    missing = np.isnan(table).sum(axis=1)
    at = np.flatnonzero(missing[compositions.z])
    rows = np.searchsorted(compositions.starts, at, side="right") - 1
    says: dict[int, str] = {}
    for row, z in zip(rows.tolist(), compositions.z[at].tolist(), strict=True):
        text = f"{missing[z]} of {table.shape[1]} properties of {SYMBOLS[z]} are means"
        says[row] = f"{says[row]}; {text}" if row in says else text
    return list(says), [SYMBOLS[z] for z in np.unique(compositions.z[at]).tolist()], says
