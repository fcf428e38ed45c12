"""Every composition of some elements up to a size, as reduced formulas in a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, combinations, compress, islice
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.charge_neutrality import ANY, NEUTRAL, ORDERED, Accept, IonRule
from xtalshift.chem.element_sets import ElementSets
from xtalshift.chem.elements import SYMBOLS
from xtalshift.errors import ConfigError

__all__ = ["FormulaBlock", "count_formulas", "enumerate_formulas"]


_ROWS = 2**16  # amounts handled at once, and formulas of one block
_EXAMINED = 2**20  # compositions after which a block is given out even if it has few formulas
_KEPT = 2**18  # up to so many amounts are kept for the next elements: about 32 MB
_REMEMBERED = 2**20  # passing amounts of other elements kept for reuse: about 16 MB a block
_ENTRY = 32  # what one set of elements costs in these units


class FormulaBlock(NamedTuple):
    """A piece of the stream.

    Attributes
    ----------
    formulas : list of str
        Reduced formulas; possibly none.
    examined : int
        Compositions looked at since the block before; all blocks sum to `count_formulas`.
    """

    formulas: list[str]
    examined: int


def enumerate_formulas(
    elements: Iterable[str],
    *,
    max_atoms: int,
    min_elements: int = 2,
    max_elements: int | None = None,
    required: Iterable[str] = (),
    neutral: bool = True,
    ordered: bool = False,
    accept: Accept | None = None,
) -> Iterator[FormulaBlock]:
    """Return every composition of some elements once, in constant memory.

    The formulas are those of `Compositions.reduced_formulas`. They come by number of elements, then
    by elements in order of electronegativity, then by amounts; the order depends on nothing else.

    Parameters
    ----------
    elements : iterable of str
        Symbols and names of `ELEMENT_CLASSES`, see `read_elements`.
    max_atoms : int
        Most atoms of a reduced formula.
    min_elements, max_elements : int, optional
        Fewest (2) and most (all) elements of a formula.
    required : iterable of str, optional
        What each formula contains: the element, or at least one element of the class.
    neutral : bool, default True
        Keep only what `can_be_neutral` with one common oxidation state per element; a single
        element is neutral.
    ordered : bool, default False
        Keep only what is neutral with every cation less electronegative (Pauling) than every
        anion; compounds of an element of unknown electronegativity are not kept.
    accept : callable, optional
        A rule more, asked once or more per set of elements about those that pass the others.

    Returns
    -------
    iterator of FormulaBlock
        About 65,536 formulas or a million compositions each.

    Raises
    ------
    NotFoundError
        If a name is neither an element nor a class.
    ConfigError
        If the limits contradict each other, so that nothing can be found.

    Examples
    --------
    >>> [block.formulas for block in enumerate_formulas(["Li", "Fe", "O"], max_atoms=5)]
    [['Li2O', 'FeO', 'Fe2O3', 'LiFeO2', 'Li2FeO2']]
    """
    sets = ElementSets.build(elements, max_atoms, min_elements, max_elements, required)
    if ordered and not neutral:
        raise ConfigError(
            "the order of electronegativity is that of the ions of a neutral composition; "
            "ask for neutral compositions too, or for neither"
        )
    rule = ORDERED if ordered else NEUTRAL if neutral else ANY
    return _gather(_walk(sets, rule, accept))


def count_formulas(
    elements: Iterable[str],
    *,
    max_atoms: int,
    min_elements: int = 2,
    max_elements: int | None = None,
    required: Iterable[str] = (),
) -> int:
    """Return how many compositions `enumerate_formulas` looks at, without forming them.

    Without `neutral`, `ordered` and `accept` it is the number of formulas. Parameters and errors
    are those of `enumerate_formulas`.

    Returns
    -------
    int

    Examples
    --------
    >>> count_formulas(["Li", "O"], max_atoms=3)  # LiO, LiO2, Li2O
    3
    """
    sets = ElementSets.build(elements, max_atoms, min_elements, max_elements, required)
    return sum(sets.count_sets(k) * _count_amounts(k, max_atoms) for k in sets.sizes)


def _walk(
    sets: ElementSets, rule: IonRule, accept: Accept | None
) -> Iterator[tuple[list[str], int]]:
    """Yield formulas and how many compositions they come from, as they are found."""
    for size in sets.sizes:
        few = comb(sets.max_atoms, size) <= _KEPT
        kept = list(_amount_blocks(size, sets.max_atoms)) if few else None
        for z in sets.sets(size):
            symbols = tuple(SYMBOLS[number] for number in z)
            template = "%s".join((*symbols, ""))
            for block in kept or _amount_blocks(size, sets.max_atoms):
                places, words = block.passing(z, rule)
                if accept is not None and places.size:
                    fits = accept(symbols, block.values[:, places])
                    words = list(compress(words, fits.tolist()))
                yield list(map(template.__mod__, words)), block.values.shape[1]


def _gather(pieces: Iterator[tuple[list[str], int]]) -> Iterator[FormulaBlock]:
    """Join pieces to blocks of a size that is worth writing."""
    formulas: list[str] = []
    examined = 0
    for found, number in pieces:
        formulas += found
        examined += number
        if len(formulas) >= _ROWS or examined >= _EXAMINED:
            yield FormulaBlock(formulas, examined)
            formulas, examined = [], 0
    if examined:
        yield FormulaBlock(formulas, examined)


@cache
def _count_amounts(size: int, max_atoms: int) -> int:
    """Return how many amounts >= 1 of `size` elements sum to `max_atoms` or less, with gcd 1."""
    multiples = range(2, max_atoms // size + 1)
    return comb(max_atoms, size) - sum(_count_amounts(size, max_atoms // n) for n in multiples)


class _Amounts:
    """Amounts of any k elements, and which of them pass a rule for elements asked about before."""

    def __init__(self, sums: NDArray[np.int64]) -> None:
        steps = np.diff(sums, axis=1, prepend=0)
        self.values = np.ascontiguousarray(steps[np.gcd.reduce(steps, axis=1) == 1].T)
        texts = np.array(["", "", *map(str, range(2, int(sums.max()) + 1))], dtype=object)
        self.words = list(zip(*(texts[row].tolist() for row in self.values), strict=True))
        self._known: dict[object, tuple[NDArray[np.int64], list[tuple[str, ...]]]] = {}
        self._held = 0

    def passing(
        self, z: tuple[int, ...], rule: IonRule
    ) -> tuple[NDArray[np.int64], list[tuple[str, ...]]]:
        """Return the places of the amounts that pass and how a formula writes them."""
        key = rule.key(z)
        if key not in self._known:
            places = np.flatnonzero(rule.holds(z, self.values))
            self._held += len(places) + _ENTRY
            if self._held > _REMEMBERED:
                self._known.clear()
                self._held = 0
            self._known[key] = places, [self.words[place] for place in places.tolist()]
        return self._known[key]


def _amount_blocks(size: int, max_atoms: int) -> Iterator[_Amounts]:
    """Yield all amounts of `size` elements with gcd 1, in lexical order, some at once."""
    # amounts of at most max_atoms are the steps between increasing numbers up to max_atoms
    sums = chain.from_iterable(combinations(range(1, max_atoms + 1), size))
    while True:
        piece = np.fromiter(islice(sums, _ROWS * size), dtype=np.int64)
        if not piece.size:
            return
        yield _Amounts(piece.reshape(-1, size))
