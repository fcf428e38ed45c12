"""Sets of elements to make compositions of, by symbols and names of classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from math import comb
from typing import Self

from xtalshift.chem.compositions import _formula_rank
from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.chem.rules import ELEMENT_CLASSES
from xtalshift.errors import ConfigError, NotFoundError
from xtalshift.registry import near_miss

__all__ = ["ElementSets", "read_elements"]


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
        If a name is neither; the message has the nearest and all classes.

    Examples
    --------
    >>> read_elements(["Li", "pnictogens", "N"])
    ('Li', 'N', 'P', 'As', 'Sb', 'Bi', 'Mc')
    """
    return tuple(dict.fromkeys(chain.from_iterable(map(_read_name, names))))


@dataclass(frozen=True)
class ElementSets:
    """Sets of elements by atomic number, in the order in which a formula has them.

    Attributes
    ----------
    always : tuple of int
        Elements of every set.
    others : tuple of int
        The rest.
    groups : tuple of frozenset of int
        A set has at least one of the `others` of each.
    sizes : range
        Numbers of elements.
    max_atoms : int
        Most atoms of a formula.
    """

    always: tuple[int, ...]
    others: tuple[int, ...]
    groups: tuple[frozenset[int], ...]
    sizes: range
    max_atoms: int

    @classmethod
    def build(
        cls,
        elements: Iterable[str],
        max_atoms: int,
        min_elements: int,
        max_elements: int | None,
        required: Iterable[str],
    ) -> Self:
        """Resolve names; raise `NotFoundError` or `ConfigError` where nothing can be found."""
        symbols = read_elements(elements)
        asked = {name: frozenset(_read_name(name)) & set(symbols) for name in required}
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
        f"no element or class {name!r}{hint or '.'} There are the symbols of the elements (case "
        f"matters) and the classes {', '.join(ELEMENT_CLASSES)}"
    )


def _check_limits(
    symbols: Sequence[str], max_atoms: int, min_elements: int, max_elements: int | None
) -> None:
    if min_elements < 1 or (max_elements is not None and max_elements < min_elements):
        raise ConfigError(
            f"from {min_elements} to {max_elements or 'all'} elements: expected a range from at "
            "least 1, such as 2 to 4"
        )
    if len(symbols) < min_elements:
        raise ConfigError(
            f"formulas of at least {min_elements} elements cannot be made of the {len(symbols)} "
            f"given ({','.join(symbols)}); give more elements or lower the fewest elements"
        )
    if max_atoms < min_elements:
        raise ConfigError(
            f"at most {max_atoms} atoms are fewer than the at least {min_elements} elements of a "
            f"formula; allow {min_elements} atoms or more"
        )
