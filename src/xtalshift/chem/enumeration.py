"""Every composition of some elements up to a size, as a stream of reduced formulas."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations, compress, islice
from math import comb
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.charge_balance import Accept, ChargeRule, Ions
from xtalshift.chem.compositions import _formula_rank, parse_formulas
from xtalshift.chem.elements import ATOMIC_NUMBERS, ELEMENT_CLASSES, SYMBOLS
from xtalshift.errors import ConfigError, NotFoundError, UsageError
from xtalshift.registry import near_miss

_ROWS = 2**16  # amounts handled at once, and formulas of one block
_EXAMINED = 2**20  # compositions after which a block is yielded even if it has few formulas
_KEPT = 2**18  # up to so many amounts are kept for the next elements: about 32 MB
_REMEMBERED = 2**20  # passing amounts of other elements kept for reuse: about 16 MB a block
_ENTRY = 32  # cost of one set of elements in these units


Judge = Callable[
    [tuple[int, ...], NDArray[np.int64], Ions | None], tuple[NDArray[np.float64], list[str]]
]
"""Atomic numbers of k elements, amounts of shape (k, n), how they are balanced -> plausibility,
shape (n,), and a reason for each."""

_BALANCED = ChargeRule()


class FormulaBlock(NamedTuple):
    """A piece of the stream."""

    formulas: list[str]
    """Reduced formulas; possibly none."""
    plausibility: NDArray[np.float64]
    """Shape (n,). What the judge says of each; NaN without one."""
    reasons: list[str]
    """Why; empty without a judge."""
    examined: int
    """Compositions examined since the previous block; all blocks sum to `count_formulas`."""


def read_elements(names: Iterable[str]) -> tuple[str, ...]:
    """Return the symbols that names stand for, each once.

    Parameters
    ----------
    names : iterable of str
        Symbols (case matters) and names of `ELEMENT_CLASSES`, also in the plural and with ``-`` or
        a blank for ``_`` (``halogens``, ``rare-earth``).

    Raises
    ------
    NotFoundError
        If a name is neither; the message lists the nearest name and all classes.

    Examples
    --------
    >>> read_elements(["Li", "pnictogens", "N"])
    ('Li', 'N', 'P', 'As', 'Sb', 'Bi', 'Mc')
    """
    return tuple(dict.fromkeys(chain.from_iterable(map(_read_name, names))))


def enumerate_formulas(
    elements: Iterable[str],
    *,
    max_atoms: int,
    min_elements: int = 2,
    max_elements: int | None = None,
    required: Iterable[str] = (),
    any_of: Iterable[Iterable[str]] = (),
    charges: ChargeRule | None = _BALANCED,
    accept: Accept | None = None,
    judge: Judge | None = None,
) -> Iterator[FormulaBlock]:
    """Return every composition of some elements once, in constant memory.

    Formulas are written as by `Compositions.reduced_formulas`, sorted by number of elements, then
    by elements in order of electronegativity, then by amounts.

    Parameters
    ----------
    elements : iterable of str
        Symbols and names of element classes, see `read_elements`.
    max_atoms : int
        Largest number of atoms in a reduced formula.
    min_elements, max_elements : int, optional
        Smallest (2) and largest (all) number of elements in a formula.
    required : iterable of str, optional
        Elements of every formula, or classes of which every formula has at least one element.
    any_of : iterable of iterable of str, optional
        Every formula has at least one element of each of these lists of elements and classes.
    charges : ChargeRule or None, optional
        Which compositions are kept by their charges (default: balanced by one state per element);
        None keeps all.
    accept : callable, optional
        Another rule, such as `load_smact_rules`. It is called at least once per set of elements,
        with the compositions that pass the other rules.
    judge : callable, optional
        Says how plausible a composition is and why, such as
        `xtalshift.chem.plausibility.Plausibility`.

    Returns
    -------
    iterator of FormulaBlock
        About 65,536 formulas or a million compositions each.

    Raises
    ------
    NotFoundError
        If a name is neither an element nor a class.
    ConfigError
        If the limits contradict each other.

    Examples
    --------
    >>> [block.formulas for block in enumerate_formulas(["Li", "Fe", "O"], max_atoms=5)]
    [['Li2O', 'FeO', 'FeO2', 'Fe2O3', 'LiFeO2', 'Li2FeO2']]
    """
    sets = _ElementSets.build(elements, max_atoms, min_elements, max_elements, required, any_of)
    return _gather(_walk(sets, charges, accept, judge))


def count_formulas(
    elements: Iterable[str],
    *,
    max_atoms: int,
    min_elements: int = 2,
    max_elements: int | None = None,
    required: Iterable[str] = (),
    any_of: Iterable[Iterable[str]] = (),
) -> int:
    """Return the number of compositions that `enumerate_formulas` examines, without forming them.

    This is the number of formulas without `charges` and `accept`. Parameters and errors
    are those of `enumerate_formulas`.

    Returns
    -------
    int

    Examples
    --------
    >>> count_formulas(["Li", "O"], max_atoms=3)  # LiO, LiO2, Li2O
    3
    """
    sets = _ElementSets.build(elements, max_atoms, min_elements, max_elements, required, any_of)
    return sum(sets.count_sets(k) * _count_amounts(k, max_atoms) for k in sets.sizes)


@dataclass(frozen=True)
class _ElementSets:
    """Sets of elements by atomic number, in the order of elements in a formula."""

    always: tuple[int, ...]
    """Elements of every set."""
    others: tuple[int, ...]
    """The remaining elements."""
    groups: tuple[frozenset[int], ...]
    """Every set has at least one of the `others` of each group."""
    sizes: range
    """Numbers of elements."""
    max_atoms: int
    """Largest number of atoms in a formula."""

    @classmethod
    def build(
        cls,
        elements: Iterable[str],
        max_atoms: int,
        min_elements: int,
        max_elements: int | None,
        required: Iterable[str],
        any_of: Iterable[Iterable[str]],
    ) -> Self:
        """Resolve names; raise `NotFoundError` or `ConfigError` where nothing can be found."""
        symbols = read_elements(elements)
        lists = {name: [name] for name in required}
        lists |= {" or ".join(names): names for names in map(list, any_of)}
        asked = {
            name: frozenset(read_elements(names)) & set(symbols) for name, names in lists.items()
        }
        for name, members in asked.items():
            if not members:
                raise ConfigError(
                    f"each formula must contain {name}, which is not among the elements "
                    f"{','.join(symbols)}; add it to them"
                )
        _check_limits(symbols, max_atoms, min_elements, max_elements)
        most = min(len(symbols), max_atoms, max_elements or len(symbols))
        always = frozenset[str]().union(*(group for group in asked.values() if len(group) == 1))
        if len(always) > most:
            raise ConfigError(
                f"each formula must contain {','.join(asked)}, but has at most {most} elements; "
                "raise the most elements and atoms, or require fewer"
            )
        rank = _formula_rank()
        numbers = sorted((ATOMIC_NUMBERS[symbol] for symbol in symbols), key=lambda z: rank[z])
        groups = (group for group in asked.values() if not group & always)
        sets = cls(
            tuple(z for z in numbers if SYMBOLS[z] in always),
            tuple(z for z in numbers if SYMBOLS[z] not in always),
            tuple(frozenset(ATOMIC_NUMBERS[symbol] for symbol in group) for group in groups),
            range(max(min_elements, len(always)), most + 1),
            max_atoms,
        )
        if not any(map(sets.count_sets, sets.sizes)):
            raise ConfigError(
                f"no set of at most {most} elements has one of each of {','.join(asked)}; "
                "raise the most elements and atoms, or require fewer"
            )
        return sets

    def count_sets(self, size: int) -> int:
        """Return the number of sets of `size` elements, by inclusion and exclusion of groups."""
        free = size - len(self.always)
        return sum(
            (-1) ** n * comb(len(self.others) - len(frozenset[int]().union(*left_out)), free)
            for n in range(len(self.groups) + 1)
            for left_out in combinations(self.groups, n)
        )

    def sets(self, size: int) -> Iterator[tuple[int, ...]]:
        """Yield the sets of `size` elements."""
        rank = _formula_rank()
        for chosen in combinations(self.others, size - len(self.always)):
            if all(not group.isdisjoint(chosen) for group in self.groups):
                whole = chosen + self.always
                yield tuple(sorted(whole, key=rank.__getitem__)) if self.always else whole


def _read_name(name: str) -> tuple[str, ...]:
    if name in ATOMIC_NUMBERS:
        return (name,)
    word = re.sub(r"[\s_-]+", "_", name.strip().casefold())
    for spelled in (word, word.removesuffix("s"), word.removesuffix("es")):
        if spelled in ELEMENT_CLASSES:
            return ELEMENT_CLASSES[spelled]
    hint = near_miss(name, (*ATOMIC_NUMBERS, *ELEMENT_CLASSES))
    raise NotFoundError(
        f"unknown element or class {name!r}{hint}. Use symbols of elements (case matters) or "
        f"the classes {', '.join(ELEMENT_CLASSES)}"
    )


def _check_limits(
    symbols: Sequence[str], max_atoms: int, min_elements: int, max_elements: int | None
) -> None:
    if min_elements < 1 or (max_elements is not None and max_elements < min_elements):
        raise UsageError(
            f"from {min_elements} to {max_elements or 'all'} elements: expected a range from at "
            "least 1, such as 2 to 4"
        )
    if len(symbols) < min_elements:
        raise UsageError(
            f"formulas of at least {min_elements} elements cannot be made of the {len(symbols)} "
            f"given ({','.join(symbols)}); give more elements or lower the fewest elements"
        )
    if max_atoms < min_elements:
        raise UsageError(
            f"at most {max_atoms} atoms are fewer than the at least {min_elements} elements of a "
            f"formula; allow {min_elements} atoms or more"
        )


class _Piece(NamedTuple):
    """The formulas of one set of elements and one piece of amounts."""

    formulas: list[str]
    plausibility: NDArray[np.float64]
    reasons: list[str]
    examined: int


def _walk(
    sets: _ElementSets, rule: ChargeRule | None, accept: Accept | None, judge: Judge | None
) -> Iterator[_Piece]:
    for size in sets.sizes:
        few = comb(sets.max_atoms, size) <= _KEPT
        kept = list(_amount_blocks(size, sets.max_atoms)) if few else None
        for z in sets.sets(size):
            symbols = tuple(SYMBOLS[number] for number in z)
            template = "%s".join((*symbols, ""))
            for block in kept or _amount_blocks(size, sets.max_atoms):
                places, words, ions = block.passing(z, rule)
                if accept is not None and places.size:
                    fits = accept(symbols, block.values[:, places])
                    words = list(compress(words, fits.tolist()))
                    places, ions = places[fits], ions and ions.take(fits)
                formulas = list(map(template.__mod__, words))
                if "I" in symbols:
                    formulas = _clear(formulas, template, words)
                plausibility: NDArray[np.float64] = np.full(len(formulas), np.nan)
                reasons: list[str] = []
                if judge is not None and formulas:
                    plausibility, reasons = judge(z, block.values[:, places], ions)
                yield _Piece(formulas, plausibility, reasons, block.values.shape[1])


def _clear(formulas: list[str], template: str, words: list[tuple[str, ...]]) -> list[str]:
    """Write the amounts 1 where a formula would be refused: NaCI might be chlorine."""
    _, reasons, _ = parse_formulas(formulas)
    return [
        template % tuple(word or "1" for word in amounts) if reason else formula
        for formula, amounts, reason in zip(formulas, words, reasons, strict=True)
    ]


def _gather(pieces: Iterator[_Piece]) -> Iterator[FormulaBlock]:
    """Join pieces into blocks of a useful size."""
    formulas: list[str] = []
    plausibility: list[NDArray[np.float64]] = []
    reasons: list[str] = []
    examined = 0
    for piece in pieces:
        if piece.formulas:
            formulas += piece.formulas
            plausibility.append(piece.plausibility)
            reasons += piece.reasons
        examined += piece.examined
        if len(formulas) >= _ROWS or examined >= _EXAMINED:
            yield FormulaBlock(formulas, np.concatenate((*plausibility, [])), reasons, examined)
            formulas, plausibility, reasons, examined = [], [], [], 0
    if examined:
        yield FormulaBlock(formulas, np.concatenate((*plausibility, [])), reasons, examined)


@cache
def _count_amounts(size: int, max_atoms: int) -> int:
    """Return the number of amounts >= 1 of `size` elements with sum <= `max_atoms` and gcd 1."""
    multiples = range(2, max_atoms // size + 1)
    return comb(max_atoms, size) - sum(_count_amounts(size, max_atoms // n) for n in multiples)


class _Passing(NamedTuple):
    """Amounts that pass a rule."""

    places: NDArray[np.int64]
    words: list[tuple[str, ...]]
    """Their text in a formula."""
    ions: Ions | None
    """How they are balanced; places are counted among the passing ones."""


class _Amounts:
    """Amounts of any k elements; remembers which pass a rule for elements of the same key."""

    def __init__(self, sums: NDArray[np.int64]) -> None:
        steps = np.diff(sums, axis=1, prepend=0)
        self.values = np.ascontiguousarray(steps[np.gcd.reduce(steps, axis=1) == 1].T)
        texts = np.array(["", "", *map(str, range(2, int(sums.max()) + 1))], dtype=object)
        self.words = list(zip(*(texts[row].tolist() for row in self.values), strict=True))
        self._known: dict[object, _Passing] = {}
        self._held = 0

    def passing(self, z: tuple[int, ...], rule: ChargeRule | None) -> _Passing:
        """Return what passes the rule."""
        key = len(z) if rule is None else rule.key(z)
        if key not in self._known:
            ions = None if rule is None else rule.ions(z, self.values)
            if ions is None:
                passing = _Passing(np.arange(self.values.shape[1]), self.words, None)
            else:
                fits = np.zeros(self.values.shape[1], dtype=np.bool_)
                fits[ions.places] = True
                words = list(compress(self.words, fits.tolist()))
                passing = _Passing(np.flatnonzero(fits), words, ions.take(fits))
                self._held += 2 * len(ions.places) + ions.states.size
            self._held += len(passing.places) + _ENTRY
            if self._held > _REMEMBERED:
                self._known.clear()
                self._held = 0
            self._known[key] = passing
        return self._known[key]


def _amount_blocks(size: int, max_atoms: int) -> Iterator[_Amounts]:
    """Yield all amounts of `size` elements with gcd 1, in lexical order, in pieces."""
    # amounts of at most max_atoms are the steps between increasing numbers up to max_atoms
    sums = chain.from_iterable(combinations(range(1, max_atoms + 1), size))
    while True:
        piece = np.fromiter(islice(sums, _ROWS * size), dtype=np.int64)
        if not piece.size:
            return
        yield _Amounts(piece.reshape(-1, size))
