"""Many formulas as one sparse table of element amounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import gcd
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.capitals import describe_doubt, may_be_other_symbols
from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS, load_elements
from xtalshift.chem.formulas import Notation, ParsedFormula, check_notation, parse_formula
from xtalshift.chem.tokens import read_plain
from xtalshift.errors import FormulaError

AS_WRITTEN = Notation()
"""The default notation: what can be read in two ways is refused."""

_DECIMALS = 10**6  # reduced formulas round amounts to six decimals


@dataclass(frozen=True, eq=False)
class Compositions:
    """Element amounts of n formulas in compressed rows.

    Row i holds the elements ``z[starts[i]:starts[i + 1]]``, each once, in order of first
    appearance, and their `amounts` as written. A row without elements is invalid.

    Attributes
    ----------
    starts : ndarray of int64, shape (n + 1,)
        Where each row begins; the last entry is the number of stored elements.
    z : ndarray of uint8, shape (nnz,)
        Atomic numbers.
    amounts : ndarray of float64, shape (nnz,)
        Atoms per formula, all positive.
    """

    starts: NDArray[np.int64]
    z: NDArray[np.uint8]
    amounts: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of elements of each row, shape (n,)."""
        return np.diff(self.starts)

    def take(self, indices: Any) -> Self:
        """Return the rows `indices` (integers, a slice or a mask of shape (n,)) in that order."""
        rows = np.arange(len(self))[indices]
        sizes = self.sizes[rows]
        starts = _offsets(sizes)
        source = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], sizes)
        return type(self)(starts, self.z[source], self.amounts[source])

    def element_fractions(self) -> NDArray[np.float64]:
        """Return the atomic fractions, shape (n, 118); column Z - 1; invalid rows are NaN."""
        fractions = np.zeros((len(self), len(SYMBOLS) - 1))
        fractions[self._rows(), self.z.astype(np.intp) - 1] = self.amounts
        with np.errstate(invalid="ignore"):  # invalid rows: 0 / 0 = NaN
            fractions /= fractions.sum(axis=1, keepdims=True)
        return fractions

    def contained_elements(self) -> NDArray[np.bool_]:
        """Return which row contains which element, shape (n, 118); column Z - 1."""
        return np.asarray(np.nan_to_num(self.element_fractions()) > 0)

    def contains(self, symbol: str) -> NDArray[np.bool_]:
        """Return which rows contain an element, shape (n,).

        Raises
        ------
        FormulaError
            If `symbol` is not an element.
        """
        if symbol not in ATOMIC_NUMBERS:
            parse_formula(symbol)  # a clearer message for an unknown symbol
            raise FormulaError(f"{symbol!r} is not one element; give a symbol such as 'Fe'")
        found = np.zeros(len(self), dtype=np.bool_)
        found[self._rows()[self.z == ATOMIC_NUMBERS[symbol]]] = True
        return found

    def reduced_formulas(self) -> NDArray[np.object_]:
        """Return one formula per row, equal for equal element ratios.

        Amounts are rounded to six decimals and divided by their greatest common divisor;
        elements are in order of electronegativity, as in ``Fe2O3``. Invalid rows give ``""``.

        Returns
        -------
        ndarray of object, shape (n,)
        """
        ordered = self.ordered()
        symbols = np.array(SYMBOLS, dtype=object)[ordered.z]
        counts = ordered.counts()
        words = [f"{s}{c}" if c > 1 else s for s, c in zip(symbols, counts.tolist(), strict=True)]
        formulas = np.empty(len(self), dtype=object)
        bounds = self.starts.tolist()
        formulas[:] = ["".join(words[a:b]) for a, b in pairwise(bounds)]
        for row in np.unique(self._rows()[counts < 1]):
            span = slice(bounds[row], bounds[row + 1])
            formulas[row] = _exact_formula(symbols[span], ordered.amounts[span])
        return formulas

    def ordered(self) -> Self:
        """Return the rows with their elements in order of electronegativity."""
        order = np.lexsort((_formula_rank()[self.z], self._rows()))
        return type(self)(self.starts, self.z[order], self.amounts[order])

    def counts(self) -> NDArray[np.int64]:
        """Return the numbers of atoms of reduced formulas, shape (nnz,).

        Amounts are rounded to six decimals; those that round to zero are 0.
        """
        scaled = np.rint(self.amounts * _DECIMALS).astype(np.int64)
        filled = self.sizes > 0
        divisors = np.ones(len(self), dtype=np.int64)
        divisors[filled] = np.gcd.reduceat(scaled, self.starts[:-1][filled]) if len(scaled) else 1
        return np.asarray(scaled // np.repeat(np.maximum(divisors, 1), self.sizes))

    def _rows(self) -> NDArray[np.int64]:
        """Return the row of each stored element, shape (nnz,)."""
        return np.repeat(np.arange(len(self)), self.sizes)


def parse_formulas(
    texts: Iterable[object], notation: Notation = AS_WRITTEN, *, chunk_size: int = 8192
) -> tuple[Compositions, NDArray[np.object_], NDArray[np.object_]]:
    """Parse many formulas; a bad one gives an invalid row and a reason instead of an exception.

    Parameters
    ----------
    texts : iterable of object, length n
        Formulas as for `parse_formula`.
    notation : Notation
        How texts are read that can be read in two ways.
    chunk_size : int, default 8192
        Rows read at once; bounds the memory of temporaries.

    Returns
    -------
    compositions : Compositions
        Same order and number of rows.
    reasons : ndarray of object, shape (n,)
        Why a row is invalid; ``""`` for good rows.
    notes : ndarray of object, shape (n,)
        Remarks on how a row was read, joined by ``"; "``; mostly ``""``.

    Raises
    ------
    ConfigError
        If a value of `notation` is unknown.
    """
    check_notation(notation.hydrates, notation.amounts)
    items: Sequence[object] = texts if isinstance(texts, list) else list(texts)
    reasons = np.full(len(items), "", dtype=object)
    notes = np.full(len(items), "", dtype=object)
    chunks = [
        _parse_chunk(items[a : a + chunk_size], notation, reasons[a:], notes[a:])
        for a in range(0, len(items), chunk_size)
    ] or [(np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0))]
    sizes, z, amounts = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    return Compositions(_offsets(sizes), z, amounts), reasons, notes


def _parse_chunk(
    texts: Sequence[object],
    notation: Notation,
    reasons: NDArray[np.object_],
    notes: NDArray[np.object_],
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.float64]]:
    """Parse the plain rows of a chunk at once and the others one by one."""
    doubtful = np.zeros(len(texts), dtype=np.bool_)
    plain = texts
    if notation.capitals:
        doubtful[:] = [may_be_other_symbols(text) for text in texts]
        plain = [None if doubt else text for text, doubt in zip(texts, doubtful, strict=True)]
    rows, z, amounts = read_plain(plain)
    sizes = np.bincount(rows, minlength=len(texts))
    extra_z: list[int] = []
    extra_amounts: list[float] = []
    extra_rows: list[int] = []
    for row in np.flatnonzero(sizes == 0).tolist():
        if doubtful[row]:
            reasons[row] = describe_doubt(str(texts[row]))
            continue
        parse = _parse_known if isinstance(texts[row], str) else _parse_or_reason
        parsed = parse(texts[row], notation)
        if isinstance(parsed, str):
            reasons[row] = parsed
            continue
        notes[row] = "; ".join(parsed.notes)
        extra_rows += [row] * len(parsed.z)
        extra_z += parsed.z
        extra_amounts += parsed.amounts
    if extra_rows:
        rows = np.concatenate([rows, extra_rows])
        order = np.argsort(rows, kind="stable")
        sizes = np.bincount(rows, minlength=len(texts))
        z = np.concatenate([z, np.array(extra_z, dtype=np.uint8)])[order]
        amounts = np.concatenate([amounts, extra_amounts])[order]
    return sizes, z, amounts


def _parse_or_reason(cell: object, notation: Notation) -> ParsedFormula | str:
    """Return a formula, or why it is refused."""
    try:
        return parse_formula(cell, hydrates=notation.hydrates, amounts=notation.amounts)
    except FormulaError as error:
        return str(error)


_parse_known = lru_cache(maxsize=2**16)(_parse_or_reason)  # tables repeat their formulas


def _offsets(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _formula_rank() -> NDArray[np.int64]:
    """Return the rank of each Z in a formula, by electronegativity and then by symbol."""
    electronegativity = load_elements().electronegativity
    order = np.lexsort((np.array(SYMBOLS), np.nan_to_num(electronegativity, nan=np.inf)))
    return np.argsort(order)


def _exact_formula(symbols: NDArray[np.object_], amounts: NDArray[np.float64]) -> str:
    exact = [Fraction(repr(amount)) for amount in amounts.tolist()]
    denominator = np.lcm.reduce([part.denominator for part in exact], dtype=object)
    counts = [int(part * denominator) for part in exact]
    divisor = gcd(*counts)
    return "".join(
        f"{symbol}{count // divisor}" if count > divisor else symbol
        for symbol, count in zip(symbols, counts, strict=True)
    )
