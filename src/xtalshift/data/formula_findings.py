"""What is odd about a column of formulas: refused texts by cause, remarks, rare elements."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import ELEMENT_CLASSES, SYMBOLS, load_elements
from xtalshift.chem.mixtures import is_mixture
from xtalshift.data.intake import MAX_EXAMPLES, Example, Finding

CAUSES = (
    ("is empty or missing", "no formula", "Fill the cells"),
    (
        "two ways",
        "a dot with two readings",
        "Give --hydrates expand to add up parts joined by dots",
    ),
    ("joins parts", "parts joined by a dot", "Give --hydrates expand to add up the parts"),
    ("alloy or a mixture", "an alloy or mixture", "Give --amounts wt, at or mol"),
    ("may be the letter O", "a zero for the letter O", "Write the letter"),
    ("written in capitals", "a column in capitals", "Write symbols as Co, not CO"),
    ("is a label of", "a label beside the formula", "Give labels a column of their own"),
    ("names a dopant", "a dopant without its amount", "Write its amount into the formula"),
    ("variable amount", "a variable amount", "Write its value"),
    ("short for", "an abbreviation", "Write the atoms of groups"),
    ("is an abbreviation", "an abbreviation", "Write the atoms of groups"),
    ("may stand for several", "a symbol for several elements", "Write the elements"),
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
_METALS = frozenset(ELEMENT_CLASSES["metal"])
_GLUED = re.compile(r"(?:[A-Z][a-z]?[0-9.]+)+[A-Z][a-z]?")  # Ti6Al4V


def cause_of_formula(reason: str) -> tuple[str, str]:
    """Return the cause for which a formula is refused, and the remedy for a column of them."""
    words = re.sub(rf"formula {_QUOTED}", "", reason, count=1)
    return next(((cause, remedy) for part, cause, remedy in CAUSES if part in words), _OTHER)


def formula_findings(
    texts: Sequence[str],
    compositions: Compositions,
    reasons: NDArray[np.object_],
    notes: NDArray[np.object_],
) -> tuple[Finding, ...]:
    """Return what a user should know about a column of formulas.

    Parameters
    ----------
    texts : sequence of str, length n
        The cells.
    compositions, reasons, notes
        As `xtalshift.chem.compositions.parse_formulas` returns them.

    Returns
    -------
    tuple of Finding
        Refused formulas by cause, the most frequent first; remarks on those that are read; formulas
        that look like alloys beside alloys; and elements without tabulated properties.
    """
    refused: dict[str, list[int]] = {}
    remarks: dict[str, list[int]] = {}
    remedies: dict[str, str] = {}
    for row in np.flatnonzero(reasons != "").tolist():
        cause, remedy = cause_of_formula(reasons[row])
        refused.setdefault(cause, []).append(row)
        remedies.setdefault(cause, remedy)
    for row in np.flatnonzero(notes != "").tolist():
        for note in notes[row].split("; "):
            remarks.setdefault(re.sub(rf"{_QUOTED} |\b[0-9/.]+ ", "", note), []).append(row)

    def found(kind: str, rows: list[int], says: Sequence[str], remedy: str) -> Finding:
        examples = (Example(row + 1, "", str(texts[row]), says[row]) for row in rows[:MAX_EXAMPLES])
        return Finding(f"formula: {kind}", len(rows), tuple(examples), remedy)

    findings = [
        found(cause, refused[cause], reasons.tolist(), remedies[cause])
        for cause in sorted(refused, key=lambda cause: -len(refused[cause]))
    ]
    findings += [
        found(note, remarks[note], notes.tolist(), "Check that this is what was meant")
        for note in sorted(remarks, key=lambda note: -len(remarks[note]))
    ]
    glued = _glued_alloys(texts)
    if glued:
        remedy = "Write it as the other alloys if the numbers are percent"
        says = ["read as atoms, beside alloys whose numbers are percent"] * len(texts)
        findings.append(found("perhaps an alloy in percent", glued, says, remedy))
    rare, elements, says = _imputed(compositions)
    if rare:
        remedy = f"{', '.join(elements)}: predictions for these materials rest on mean values"
        kind = "properties of an element are not tabulated"
        findings.append(found(kind, rare, says, remedy))
    return tuple(findings)


def _glued_alloys(texts: Sequence[str]) -> list[int]:
    """Return rows such as ``Ti6Al4V`` in a column that has alloys such as ``Ti-6Al-4V``."""
    rows = [
        row
        for row, text in enumerate(texts)
        if _GLUED.fullmatch(str(text)) and set(re.findall("[A-Z][a-z]?", str(text))) <= _METALS
    ]
    return rows if rows and any(is_mixture(str(text)) for text in texts) else []


def _imputed(compositions: Compositions) -> tuple[list[int], list[str], list[str]]:
    """Return the rows with an element that lacks properties, these elements, a text per row."""
    table = load_elements().magpie
    missing = np.isnan(table).sum(axis=1)
    lacking = missing[compositions.z.astype(np.intp)]
    rows = np.repeat(np.arange(len(compositions)), compositions.sizes)
    says = [""] * len(compositions)
    for row, z, count in zip(rows.tolist(), compositions.z.tolist(), lacking.tolist(), strict=True):
        if count:
            text = f"{count} of {table.shape[1]} properties of {SYMBOLS[z]} are means over elements"
            says[row] = f"{says[row]}; {text}" if says[row] else text
    elements = [SYMBOLS[z] for z in np.unique(compositions.z[lacking > 0]).tolist()]
    return np.unique(rows[lacking > 0]).tolist(), elements, says
