"""Enumerate candidate formulas and put the most plausible ones first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from xtalshift.chem.charge_balance import ChargeRule, load_smact_rules
from xtalshift.chem.enumeration import FormulaBlock, count_formulas, enumerate_formulas
from xtalshift.chem.plausibility import KNOWN, Plausibility
from xtalshift.data import read_table
from xtalshift.errors import ConfigError, DataError
from xtalshift.progress import NO_PROGRESS, Progress

TOP = 5_000_000
"""Formulas that are kept for ordering, in about 0.5 GB of memory."""

_PIECE = 2**16


@dataclass(frozen=True)
class EnumerationSettings:
    """Which formulas are enumerated, and in which order."""

    elements: tuple[str, ...]
    """Symbols and classes, see `xtalshift.chem.enumeration.read_elements`."""
    max_atoms: int
    """Largest number of atoms in a reduced formula."""
    min_elements: int = 2
    """Smallest number of elements."""
    max_elements: int | None = 4
    """Largest number of elements."""
    all_of: tuple[str, ...] = ()
    """Elements (or classes: one of its elements) that every formula contains."""
    any_of: tuple[tuple[str, ...], ...] = ()
    """Lists of elements and classes; every formula contains at least one element of each."""
    charges: ChargeRule | None = ChargeRule()  # noqa: RUF009
    """How charges must balance; None: they are not looked at."""
    smact: bool = False
    """Whether SMACT must accept the formulas too."""
    known: str = KNOWN
    """Table of known compounds, in which analogues are counted: a file or a name."""
    order: Literal["plausibility", "elements"] = "plausibility"
    """``elements``: by elements and amounts, with constant memory."""
    top: int = TOP
    """With the order of plausibility: how many formulas are kept."""

    def describe(self) -> str:
        """Return what every formula contains, in words."""
        asked = [" and ".join(self.all_of)] if self.all_of else []
        asked += [" or ".join(names) for names in self.any_of]
        return f"every formula contains {', and '.join(asked)}" if asked else ""


@dataclass(frozen=True)
class Enumerated:
    """What was found."""

    total: int
    """Compositions that were examined."""
    found: int
    """Formulas that passed."""
    written: int
    """Formulas that were written: all, or the most plausible ones."""


def count_compositions(settings: EnumerationSettings) -> int:
    """Return how many compositions `write_candidates` examines."""
    return count_formulas(
        settings.elements,
        max_atoms=settings.max_atoms,
        min_elements=settings.min_elements,
        max_elements=settings.max_elements,
        required=settings.all_of,
        any_of=settings.any_of,
    )


def write_candidates(
    settings: EnumerationSettings,
    write: Callable[[pa.Table], None],
    progress: Progress = NO_PROGRESS,
) -> Enumerated:
    """Enumerate formulas and hand them on in pieces of a table.

    Parameters
    ----------
    settings : EnumerationSettings
    write : callable
        Receives tables of the columns ``formula``, ``plausibility`` (0 to 1, see
        `xtalshift.chem.plausibility.Plausibility`) and ``why``.
    progress : Progress

    Raises
    ------
    ConfigError
        If the limits contradict each other, or SMACT is missing.
    NotFoundError
        If a name is neither an element nor a class.
    DataError
        If no formula passes, or the table of known compounds cannot be read.
    """
    total = count_compositions(settings)
    accept = load_smact_rules() if settings.smact else None
    known = read_table(settings.known, need_target=False).materials.compositions
    blocks = enumerate_formulas(
        settings.elements,
        max_atoms=settings.max_atoms,
        min_elements=settings.min_elements,
        max_elements=settings.max_elements,
        required=settings.all_of,
        any_of=settings.any_of,
        charges=settings.charges,
        accept=accept,
        judge=Plausibility(known),
    )
    best = _Best(settings.top) if settings.order == "plausibility" else None
    found = 0
    with progress.task("enumerate", total) as task:
        for block in blocks:
            if block.formulas:
                found += len(block.formulas)
                (best.add if best else write)(_as_table(block))
            task.advance(block.examined, found=f"{found:,}")
    if not found:
        raise DataError(
            f"none of the {total:,} compositions of {','.join(settings.elements)} passes; add an "
            "element that forms anions, such as O, allow more atoms, or leave out a rule "
            "(--mixed-valence, --intermetallics, --polyanions, --no-charge-neutral)"
        )
    written = found
    if best is not None:
        written = min(found, settings.top)
        for piece in best.pieces():
            write(piece)
    return Enumerated(total, found, written)


def _as_table(block: FormulaBlock) -> pa.Table:
    return pa.table(
        {
            "formula": pa.array(block.formulas, pa.string()),
            "plausibility": block.plausibility,
            "why": pa.array(block.reasons, pa.string()),
        }
    )


class _Best:
    """Keeps the most plausible formulas; among equals the first."""

    def __init__(self, top: int) -> None:
        if top < 1:
            raise ConfigError(f"--top {top}: expected at least 1")
        self._top = top
        self._parts: list[pa.Table] = []
        self._rows = 0

    def add(self, part: pa.Table) -> None:
        self._parts.append(part)
        self._rows += len(part)
        if self._rows > 2 * self._top:
            self._shrink()

    def pieces(self) -> Iterator[pa.Table]:
        self._shrink()
        yield from (self._parts[0].slice(at, _PIECE) for at in range(0, self._rows, _PIECE))

    def _shrink(self) -> None:
        whole = pa.concat_tables(self._parts)
        order = np.argsort(-whole["plausibility"].to_numpy(), kind="stable")[: self._top]
        self._parts = [whole.take(order)]
        self._rows = len(order)
