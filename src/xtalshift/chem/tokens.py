"""Parse many plain formulas at once, with the characters of all of them in one array."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.advice import ACRONYMS, GROUPS
from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.chem.formulas import LARGE_AMOUNT, MAX_AMOUNT, MAX_LENGTH, MIN_AMOUNT
from xtalshift.chem.slips import PAIRS, RARE
from xtalshift.chem.two_readings import MOST_UNITS

_UPPER, _LOWER, _DIGIT, _POINT, _OPEN, _CLOSE, _SPACE, _END = range(1, 9)  # 0: anything else
_CHARACTERS = {
    _UPPER: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    _LOWER: "abcdefghijklmnopqrstuvwxyz",
    _DIGIT: "0123456789",
    _POINT: ".",
    _OPEN: "(",
    _CLOSE: ")",
    _SPACE: " ",
    _END: "\n",
}
_BREAK = (_UPPER, _OPEN, _CLOSE, _SPACE, _END)
_FOLLOWERS = {  # kinds of character that may follow each kind in a plain formula
    _UPPER: (*_BREAK, _LOWER, _DIGIT),
    _LOWER: (*_BREAK, _DIGIT),
    _DIGIT: (*_BREAK, _DIGIT, _POINT),
    _POINT: (_DIGIT,),
    _OPEN: (_UPPER, _OPEN),
    _CLOSE: (*_BREAK, _DIGIT),
    _SPACE: (_UPPER, _OPEN),
    _END: (_UPPER, _OPEN),
}
_MAX_DEPTH = 4
_MAYBE_OXIDE = 20.0  # H20
_MAX_NUMBER = 16  # 15 digits and a point: integer / power of ten is then correctly rounded
_DIGITS = frozenset("0123456789")
_WATER = ("H2O", "H2O)")  # behind a decimal point this may be a hydrate


class PlainElements(NamedTuple):
    """Elements of plain formulas, by row and then in order of first appearance."""

    rows: NDArray[np.int64]
    """Shape (nnz,). Which text each element belongs to."""
    z: NDArray[np.uint8]
    """Shape (nnz,). Atomic numbers, each once per row."""
    amounts: NDArray[np.float64]
    """Shape (nnz,). Amounts as written."""


def read_plain(texts: Sequence[object]) -> PlainElements:
    """Parse the plain formulas among n objects; all others, texts or not, get no elements.

    A plain formula consists of element symbols, decimal numbers, round brackets and single spaces,
    and nothing in it can be read in two ways. The result equals
    `xtalshift.chem.formulas.parse_formula` bit for bit. That function has to parse all others.
    """
    kept = [
        text
        if isinstance(text, str)
        and text.isascii()
        and len(text) <= MAX_LENGTH
        and "\n" not in text
        and text not in ACRONYMS
        and not ("." in text and text.endswith(_WATER))
        and not (text.count(" ") == 1 and text[-1] not in _DIGITS)
        else ""
        for text in texts
    ]
    joined = "\n".join(["", *kept, ""])
    if any(group in joined for group in GROUPS):
        kept = [text if not any(group in text for group in GROUPS) else "" for text in kept]
        joined = "\n".join(["", *kept, ""])
    characters = np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
    tables = _tables()
    kinds = tables.kinds[characters]
    row_of = np.cumsum(kinds == _END) - 1
    bad = np.zeros(len(kept) + 1, dtype=np.bool_)  # one more: the closing newline
    bad[row_of[:-1][~tables.allowed[kinds[:-1], kinds[1:]]]] = True

    number_at, unread = _numbers(characters, kinds)
    bad[row_of[unread]] = True

    bad[row_of[_look_alikes(characters, kinds, row_of)]] = True

    at = np.flatnonzero(kinds == _UPPER)
    long = kinds[at + 1] == _LOWER
    lower = np.where(long, characters[at + 1] & 31, 0)
    z = tables.z[characters[at] & 31, lower]
    bad[row_of[at[(z == 0) | tables.rare[z]]]] = True
    twice = (z[1:] == z[:-1]) & (row_of[at[1:]] == row_of[at[:-1]])
    bad[row_of[at[1:][twice]]] = True
    amounts = number_at[at + 1 + long]

    brackets = np.flatnonzero((kinds == _OPEN) | (kinds == _CLOSE))
    if len(brackets):
        bad |= _unusual_brackets(characters, brackets, row_of[brackets], len(bad))
        brackets = brackets[~bad[row_of[brackets]]]
        _multiply_groups(amounts, at, brackets, kinds[brackets] == _OPEN, number_at)

    good = ~bad[row_of[at]]
    rows, z, amounts = _merge_repeated(row_of[at[good]], z[good], amounts[good])
    bad[rows[(amounts > MAX_AMOUNT) | (amounts < MIN_AMOUNT)]] = True
    lone = np.bincount(rows, minlength=len(bad))[rows] == 1
    noted = (amounts >= LARGE_AMOUNT) | (amounts == _MAYBE_OXIDE)
    noted |= (amounts > 1) & (np.bincount(row_of[kinds == _SPACE], minlength=len(bad))[rows] > 0)
    bad[rows[lone & noted]] = True
    if bad[rows].any():
        good = ~bad[rows]
        rows, z, amounts = rows[good], z[good], amounts[good]
    return PlainElements(rows, z, amounts)


def _numbers(
    characters: NDArray[np.uint8], kinds: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the number that begins at each character (else 1), and where numbers are unusual."""
    numeric = (kinds == _DIGIT) | (kinds == _POINT)
    edges = np.flatnonzero(numeric[1:] != numeric[:-1]) + 1  # the text begins and ends with \n
    begin, end = edges[::2], edges[1::2]
    lengths = end - begin
    readable = lengths <= _MAX_NUMBER
    mantissa = np.zeros(len(begin), dtype=np.int64)
    points = np.zeros(len(begin), dtype=np.int64)
    decimals = np.zeros(len(begin), dtype=np.int64)
    active = np.flatnonzero(readable)
    for offset in range(_MAX_NUMBER):
        active = active[lengths[active] > offset]
        if not len(active):
            break
        position = begin[active] + offset
        is_point = kinds[position] == _POINT
        digit = active[~is_point]
        mantissa[digit] = 10 * mantissa[digit] + (characters[position[~is_point]] - ord("0"))
        point = active[is_point]
        points[point] += 1
        decimals[point] = lengths[point] - offset - 1
    readable &= (points <= 1) & (mantissa < 10 ** (_MAX_NUMBER - 1)) & (mantissa > 0)
    readable &= ~_ambiguous(characters, kinds, begin, end, mantissa, decimals)
    number_at = np.ones(len(characters))
    number_at[begin] = mantissa / 10.0**decimals
    return number_at, begin[~readable]


def _ambiguous(
    characters: NDArray[np.uint8],
    kinds: NDArray[np.uint8],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    mantissa: NDArray[np.int64],
    decimals: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return which numbers `xtalshift.chem.two_readings` has to look at, shape (m,)."""
    zero = characters[begin] == ord("0")
    leading = zero & (kinds[begin + 1] == _DIGIT)  # Ti02
    whole = mantissa // 10**decimals
    inside = whole > 100  # noqa: PLR2004 - Al203, Ti21048, Cu306.9
    at_end = (end - begin == 2) & (mantissa % 10 == 0) & (mantissa > 10) & (kinds[end] == _END)  # noqa: PLR2004 - Ca4Sb20
    fraction = mantissa % 10 ** np.minimum(decimals, _MAX_NUMBER)
    joint = (decimals > 0) & ~zero & (fraction <= MOST_UNITS)  # CoCl2.6NH3
    joint &= characters[end - decimals] != ord("0")
    joint &= np.isin(kinds[end], (_UPPER, _OPEN, _SPACE))
    return np.asarray(leading | inside | at_end | joint)


def _look_alikes(
    characters: NDArray[np.uint8], kinds: NDArray[np.uint8], row_of: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return where letters begin at which `xtalshift.chem.slips` has to look."""
    at = np.flatnonzero(kinds[:-1] == _UPPER)
    at = at[kinds[at + 1] != _LOWER]
    letter, following, before = characters[at], characters[at + 1], kinds[at - 1]
    single = kinds.take(at + 2, mode="clip") != _LOWER  # of the character behind
    pair = (kinds[at + 1] == _UPPER) & single & _tables().pairs[letter & 31, following & 31]  # PB
    carbon = letter == ord("C")
    chlorine = carbon & single & (following == ord("I"))
    one = np.flatnonzero(carbon & (following == ord("1")))
    ends = kinds.take(at[one, None] + [2, 3], mode="clip") == _END
    chlorine[one[ends.any(axis=1)]] = True
    oxygen = letter == ord("O")
    several = np.bincount(row_of[at[oxygen]], minlength=row_of[-1] + 1)[row_of[at]] > 1
    digit = (before == _DIGIT) & (kinds[at + 1] != _DIGIT)
    digit &= (oxygen & several) | (letter == ord("I"))
    return np.asarray(at[pair | chlorine | digit])


def _unusual_brackets(
    characters: NDArray[np.uint8], at: NDArray[np.int64], rows: NDArray[np.int64], n_rows: int
) -> NDArray[np.bool_]:
    """Return rows whose brackets are unbalanced, deep, or possibly around an oxidation state."""
    opens = characters[at] == ord("(")
    steps = np.where(opens, 1, -1)
    bad: NDArray[np.bool_] = np.bincount(rows, steps, n_rows) != 0
    depth = np.cumsum(steps)
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    depth -= np.repeat(depth[first] - steps[first], np.diff(first, append=len(rows)))
    bad[rows[(depth < 0) | (depth > _MAX_DEPTH)]] = True
    inside = characters.take(at + 1), characters.take(at + 2, mode="clip")
    roman = _tables().roman
    roman = roman[inside[0]] & (roman[inside[1]] | (inside[1] == ord(")")))
    bad[rows[opens & roman]] = True
    return bad


def _multiply_groups(
    amounts: NDArray[np.float64],
    at: NDArray[np.int64],
    brackets: NDArray[np.int64],
    opens: NDArray[np.bool_],
    number_at: NDArray[np.float64],
) -> None:
    """Multiply amounts by the numbers behind their (balanced) brackets, in place."""
    depth = np.cumsum(np.where(opens, 1, -1)) + ~opens  # of the group that opens or closes
    for level in range(int(depth.max(initial=0)), 0, -1):  # inner groups first
        begin = brackets[opens & (depth == level)]
        end = brackets[~opens & (depth == level)]
        group = np.searchsorted(begin, at) - 1
        inside = np.flatnonzero((group >= 0) & (at < end[group]))
        amounts[inside] *= number_at[end + 1][group[inside]]


def _merge_repeated(
    rows: NDArray[np.int64], z: NDArray[np.uint8], amounts: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.float64]]:
    """Sum the amounts of repeated elements of a row."""
    key = 128 * rows + z
    order = np.argsort(key, kind="stable")
    is_first = np.diff(key[order], prepend=-1) != 0
    if is_first.all():
        return rows, z, amounts
    number = np.empty(len(key), dtype=np.int64)
    number[order] = np.cumsum(is_first) - 1
    sums = np.bincount(number, weights=amounts)
    kept = np.sort(order[is_first])
    return rows[kept], z[kept], sums[number[kept]]


class _Tables(NamedTuple):
    """Lookup tables by character code."""

    kinds: NDArray[np.uint8]  # (256,): kind of character
    allowed: NDArray[np.bool_]  # (9, 9): may the second kind follow the first?
    z: NDArray[np.uint8]  # (32, 32): Z by the low five bits of both letters (0: none)
    pairs: NDArray[np.bool_]  # (32, 32): may two capitals stand for one symbol?
    roman: NDArray[np.bool_]  # (256,): is it I or V?
    rare: NDArray[np.bool_]  # (119,): is it an element that is rarely meant?


@cache
def _tables() -> _Tables:
    kinds = np.zeros(256, dtype=np.uint8)
    for kind, characters in _CHARACTERS.items():
        kinds[[ord(character) for character in characters]] = kind
    allowed = np.zeros((9, 9), dtype=np.bool_)
    for kind, followers in _FOLLOWERS.items():
        allowed[kind, followers] = True
    z = np.zeros((32, 32), dtype=np.uint8)
    for symbol, number in ATOMIC_NUMBERS.items():
        z[ord(symbol[0]) & 31, ord(symbol[1:] or "\0") & 31] = number
    pairs = np.zeros((32, 32), dtype=np.bool_)
    for pair in PAIRS:
        pairs[ord(pair[0]) & 31, ord(pair[1]) & 31] = True
    roman = np.isin(np.arange(256), [ord("I"), ord("V")])
    rare = np.isin(np.arange(len(SYMBOLS)), [ATOMIC_NUMBERS[symbol] for symbol in RARE])
    return _Tables(kinds, allowed, z, pairs, roman, rare)
