"""The formula that a file states, compared with its atoms."""

from __future__ import annotations

import re

import numpy as np

from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.structure.listed_atoms import FloatArray, RefusedError

_PART = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d*)?|\.\d+)?")  # one reading only: no backtracking
_FORMULA = re.compile(rf"(?:{_PART.pattern}\s*)+")
_SAME = 0.005
_SIMILAR = 0.05
_WHOLE = 0.01
_LONGEST = 60


def compare_formula(formula: str, units: float, amounts: FloatArray) -> str:
    """Return a note if a stated formula differs a little from the atoms of a cell.

    Fractions of atoms that differ by up to 0.5 % are rounding, by up to 5 % worth a note; beyond,
    atoms are missing from the list (often hydrogen) or symmetry operations are.

    Parameters
    ----------
    formula : str
        Such as ``"Ca1 O4 S1"``. What is no such formula is not compared.
    units : float
        Number of formulas in the cell; NaN if unknown.
    amounts : ndarray of float64, shape (119,)
        Atoms of each element in the cell, by atomic number.

    Raises
    ------
    RefusedError
        If they differ more.
    """
    stated = _parse(formula)
    if stated is None:
        return ""
    excess = stated / stated.sum() - amounts / amounts.sum()
    most = int(np.argmax(np.abs(excess)))
    if abs(excess[most]) > _SIMILAR:
        short = int(np.argmax(excess))
        what = (
            f"{SYMBOLS[short]} is missing from the list of atoms"
            if amounts[short] == 0
            else "atoms or symmetry operations are missing"
        )
        raise RefusedError(
            f"the header says {_write(stated)}, the atoms are {_write(amounts)}: {what}; add them, "
            "or remove _chemical_formula_sum"
        )
    if abs(excess[most]) > _SAME:
        return f"the header says {_write(stated)}, the atoms are {_write(amounts)}: atoms taken"
    # some programs give the formula of the cell and the number of units beside it
    sums = [n for n in (stated.sum() * units, stated.sum()) if np.isfinite(n)]
    if np.isfinite(units) and np.all(np.abs(sums - amounts.sum()) > _WHOLE * amounts.sum()):
        return f"the header says {sums[0]:g} atoms in the cell, the list has {amounts.sum():g}"
    return ""


def _parse(formula: str) -> FloatArray | None:
    amounts = np.zeros(len(SYMBOLS))
    if _FORMULA.fullmatch(formula) is None:
        return None
    for name, amount in _PART.findall(formula):
        symbol = "H" if name in {"D", "T"} else name
        if symbol not in ATOMIC_NUMBERS:
            return None
        amounts[ATOMIC_NUMBERS[symbol]] += float(amount or 1.0)
    return amounts if amounts.sum() > 0 else None


def _write(amounts: FloatArray) -> str:
    text = "".join(
        f"{SYMBOLS[z]}{'' if amounts[z] == 1 else f'{amounts[z]:.4g}'}"
        for z in amounts.nonzero()[0]
    )
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
