"""Labels of compositions, such as elements or chemical systems, by which splits leave rows out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import ATOMIC_NUMBERS, ELEMENT_CLASSES, SYMBOLS
from xtalshift.chem.families import FAMILIES, family_codes
from xtalshift.errors import SplitError
from xtalshift.registry import near_miss

LABELLINGS: dict[str, str] = {
    "element": "every element of the formula, such as 'F'",
    "period": "the row of the periodic table of every element, '1' to '7'",
    "group": "the column of every element, '1' to '18', 'lanthanide' or 'actinide'",
    "block": "the block of every element, 's', 'p', 'd' or 'f'",
    "chemsys": "the chemical system, all elements in alphabetical order, such as 'Fe-Li-O'",
    "anonymous": "the formula without its elements, such as 'AB2C4'",
    "n_elements": "the number of elements, such as '3'",
    "family": "the chemical family, named after the anion, such as 'oxide'",
}
"""Labellings of `composition_labels`, each described in one line."""

_PERIODIC = ("element", "period", "group", "block")
_GROUPS = (*(str(group) for group in range(1, 19)), "lanthanide", "actinide")
_BLOCKS = ("s", "p", "d", "f")
_PERIOD_ENDS = (0, *(ATOMIC_NUMBERS[symbol] for symbol in ELEMENT_CLASSES["noble_gas"]))
_BLANK_WORDS = frozenset(
    {"n/a", "#n/a", "n.a.", "<na>", "nan", "none", "null", "nil", "unknown", "missing"}
    | {"-", "--", "\u2013", "\u2014", "?", "."}
)
_MOST_FREQUENT = 10  # names that a message lists
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, eq=False)
class Labels:
    """Rows and their labels, as pairs sorted by label and then by row."""

    by: str
    """Name of the labelling in messages."""
    names: tuple[str, ...]
    """Length k. Names that occur: elements by atomic number, numbers by value."""
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    """Shape (m,). `rows`, `codes`: row ``rows[j]`` has the label ``names[codes[j]]``; no pair
    repeats."""
    n_rows: int
    """Rows of the table, including rows without a label."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def single(self) -> bool:
        """Whether each row has exactly one label."""
        return bool((np.bincount(self.rows, minlength=self.n_rows) == 1).all())

    def counts(self) -> NDArray[np.int64]:
        """Return how many rows have each label, shape (k,)."""
        return np.bincount(self.codes, minlength=len(self)).astype(np.int64)

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return which rows have a label, shape (n_rows,).

        Raises
        ------
        SplitError
            If no row has it; the message lists the most frequent names.
        """
        if name not in self.names:
            hint = near_miss(name, self.names)
            raise SplitError(
                f"no row has {self.by} = {name!r}{hint}; there are: {self._frequent()}"
            )
        start, stop = np.searchsorted(self.codes, self.names.index(name) + np.arange(2))
        found = np.zeros(self.n_rows, dtype=np.bool_)
        found[self.rows[start:stop]] = True
        return found

    def _frequent(self) -> str:
        counts = self.counts()
        order = np.argsort(-counts, kind="stable")[:_MOST_FREQUENT].tolist()
        words = [
            f"{self.names[i]} ({counts[i]:,} {'row' if counts[i] == 1 else 'rows'})" for i in order
        ]
        more = len(self) - len(words)
        return (", ".join(words) or "no labels") + (f" and {more:,} more" if more else "")


def composition_labels(compositions: Compositions, by: str) -> Labels:
    """Label compositions by their elements.

    Rows without elements (invalid formulas) have no label.

    Places in the periodic table follow IUPAC: group 3 is Sc, Y, Lu and Lr; block f is La to Yb and
    Ac to No, whose groups are "lanthanide" and "actinide"; block d is groups 3 to 12. Helium is in
    group 18 and in block s.

    An anonymous formula lists the amounts of the reduced formula in ascending order under the
    letters A, B, .., Z, Aa, Ab, ..

    Parameters
    ----------
    compositions : Compositions
        n rows.
    by : str
        One of `LABELLINGS`. "element", "period", "group" and "block" give a row the labels of
        all its elements, the others one label each.

    Returns
    -------
    Labels

    Raises
    ------
    SplitError
        If `by` is unknown; the message lists the labellings.
    """
    if by not in LABELLINGS:
        hint = near_miss(by, LABELLINGS)
        raise SplitError(f"unknown labelling {by!r}{hint}; there are: {', '.join(LABELLINGS)}")
    n = len(compositions)
    if by in _PERIODIC:
        names, table = _periodic_table()[by]
        rows = np.repeat(np.arange(n), compositions.sizes)
        return _from_pairs(by, names, rows, table[compositions.z], n)
    filled = np.flatnonzero(compositions.sizes)
    if by == "n_elements":
        sizes = compositions.sizes[filled]
        names = [str(size) for size in range(sizes.max(initial=0) + 1)]
        return _from_pairs(by, names, filled, sizes, n)
    if by == "family":
        return _from_pairs(by, list(FAMILIES), filled, family_codes(compositions)[filled], n)
    return _from_texts(by, (_systems if by == "chemsys" else _anonymous)(compositions))


def given_labels(values: Iterable[object], by: str = "label") -> Labels:
    """Return labels given by a user, one per row.

    Parameters
    ----------
    values : iterable of object, length n
        Texts (stripped) or other values. Whole numbers are written without decimals, because tables
        with missing cells hold 225 as 225.0. What `blank_labels` finds means no label.
    by : str, default "label"
        Name of the labelling in messages, such as the name of the column.

    Returns
    -------
    Labels
    """
    return _from_texts(by, [_as_text(value) for value in values])


def anonymous_formula(amounts: Iterable[int]) -> str:
    """Return amounts in ascending order under the letters A, B, .., such as ``AB2``."""
    return "".join(
        f"{_letter(place)}{amount}" if amount > 1 else _letter(place)
        for place, amount in enumerate(sorted(amounts))
    )


def blank_labels(values: Iterable[object]) -> NDArray[np.bool_]:
    """Return which values are no label, shape (n,).

    None, NaN, missing values of pandas, empty texts, and words for a missing value: ``n/a``, ``-``,
    ``None``, ``nan``, ``null``, ``?``, ``unknown`` and the like in any case, but ``NA`` only in
    capitals and not ``NaN`` (sodium, and sodium nitride).
    """
    return np.array([not _as_text(value) for value in values], dtype=np.bool_)


def _from_texts(by: str, texts: Sequence[str]) -> Labels:
    """Return the labels of rows with one text each; an empty text means no label."""
    names = _sort_names({text for text in texts if text})
    places = {name: code for code, name in enumerate(names)}
    codes = np.array([places.get(text, -1) for text in texts], dtype=np.int64)
    rows = np.flatnonzero(codes >= 0)
    return _from_pairs(by, names, rows, codes[rows], len(texts))


def _from_pairs(
    by: str, names: Sequence[str], rows: NDArray[Any], codes: NDArray[Any], n_rows: int
) -> Labels:
    """Return the pairs sorted and once each, with only the names that occur."""
    pairs = np.unique(codes.astype(np.int64) * n_rows + rows)
    codes, rows = np.divmod(pairs, max(n_rows, 1))
    used, codes = np.unique(codes, return_inverse=True)
    return Labels(by, tuple(names[code] for code in used), rows, codes.astype(np.int64), n_rows)


def _periodic_table() -> dict[str, tuple[Sequence[str], NDArray[np.int64]]]:
    """Return the names of each labelling and the place in them of every Z, shape (119,)."""
    z = np.arange(len(SYMBOLS))
    end = np.array(_PERIOD_ENDS)
    period = np.searchsorted(end, z)
    place = z - end[period - 1]  # within the period, from 1
    f_block = (period >= 6) & (place >= 3) & (place <= 16)  # noqa: PLR2004
    group = np.where(place <= 2, place, 18 - (end[period] - z))  # noqa: PLR2004
    group[ATOMIC_NUMBERS["He"]] = 18
    block = np.select([f_block, group <= 2, group <= 12], [3, 0, 2], 1)  # noqa: PLR2004
    block[ATOMIC_NUMBERS["He"]] = 0
    group[f_block] = period[f_block] + 13  # 19 lanthanide, 20 actinide
    return {
        "element": (SYMBOLS, z),
        "period": (("", *"1234567"), period),
        "group": (("", *_GROUPS), group),
        "block": (_BLOCKS, block),
    }


def _systems(compositions: Compositions) -> list[str]:
    """Return the chemical system of each row."""
    rank = np.argsort(np.argsort(SYMBOLS))
    rows = np.repeat(np.arange(len(compositions)), compositions.sizes)
    order = np.lexsort((rank[compositions.z], rows))
    symbols = np.array(SYMBOLS, dtype=object)[compositions.z[order]].tolist()
    return ["-".join(symbols[a:b]) for a, b in pairwise(compositions.starts.tolist())]


def _anonymous(compositions: Compositions) -> list[str]:
    """Return the anonymous formula of each row."""
    keys = compositions.reduced_formulas().tolist()
    made = {key: _anonymise(key) for key in set(keys)}
    return [made[key] for key in keys]


def _anonymise(reduced: str) -> str:
    return anonymous_formula(
        int(amount or 1) for amount in re.findall(r"[A-Z][a-z]?(\d*)", reduced)
    )


def _letter(place: int) -> str:
    """Return A, B, .., Z, Aa, Ab, .., Az, Ba, .. for 0, 1, .. ."""
    first, second = divmod(place, 26)
    return f"{chr(64 + first)}{chr(97 + second)}" if first else chr(65 + second)


def _sort_names(names: Iterable[str]) -> list[str]:
    """Sort elements by atomic number, numbers by value, and numbers within texts too."""
    items = list(names)
    if all(name in ATOMIC_NUMBERS for name in items):
        return sorted(items, key=ATOMIC_NUMBERS.__getitem__)
    return sorted(items, key=_natural)


def _natural(name: str) -> tuple[float, list[Any], str]:
    if _NUMBER.fullmatch(name):
        return float(name), [], name
    parts = re.split(r"(\d+)", name)  # texts at even places, digits at odd ones
    parts[1::2] = [digits.zfill(20) for digits in parts[1::2]]
    return np.inf, parts, name


def _as_text(value: object) -> str:
    """Return a value as a label; ``""`` for none."""
    if isinstance(value, str):
        text = value.strip()
        blank = text == "NA" or (text != "NaN" and text.casefold() in _BLANK_WORDS)
        return "" if blank else text
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value)
    return "" if text in {"None", "nan", "NaT", "<NA>"} else text
