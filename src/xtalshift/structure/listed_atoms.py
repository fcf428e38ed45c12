"""The atoms of one crystal as a file lists them, before anything is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class RefusedError(Exception):
    """A structure that is not read; the message says why and what to do.

    It never leaves this folder: `xtalshift.structure.reading` turns it into the reason of a row.
    """


@dataclass(frozen=True, eq=False)
class ListedAtoms:
    """What a reader found in a text.

    Parameters
    ----------
    lattice : ndarray of float64, shape (3, 3)
        Lattice vectors in angstrom, one in each row.
    species : sequence of str, length m
        What stands on each site, as written: ``"Fe"``, ``"Fe3+"``, ``"D"``.
    positions : ndarray of float64, shape (m, 3)
        Fractional coordinates.
    occupancies : ndarray of float64, shape (m,)
    notes : tuple of str
        What was odd so far.
    formula : str
        The formula that the file states beside the atoms; ``""`` without.
    units : float
        How many of these formulas the file says are in the cell; NaN if it does not.
    """

    lattice: FloatArray
    species: Sequence[str]
    positions: FloatArray
    occupancies: FloatArray
    notes: tuple[str, ...] = ()
    formula: str = ""
    units: float = np.nan


Found: TypeAlias = "list[ListedAtoms | RefusedError]"
"""The structures of one text, in its order."""


def attempt(read: Callable[..., ListedAtoms], *arguments: Any) -> ListedAtoms | RefusedError:
    """Return what `read` returns, or why it refuses; other structures of a file can follow."""
    try:
        return read(*arguments)
    except RefusedError as error:
        return error
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001  # no structure may end the job
        return unforeseen(error)


def unforeseen(error: Exception) -> RefusedError:
    """Return the refusal for a failure that no reader foresees."""
    cause = f"{type(error).__name__}: {error}"
    return RefusedError(f"it cannot be read ({cause[:200]}); save it as CIF with another program")
