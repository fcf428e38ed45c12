"""SOAP fingerprints of crystals: the smooth overlap of atomic positions, over all atoms."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xtalshift.errors import ConfigError, DataError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.structures import Structures

CUTOFF = 6.0
"""Radius of an environment in angstrom."""
N_MAX = 8
L_MAX = 6
"""`N_MAX`, `L_MAX`: radial functions and highest degree of the spherical harmonics."""
_KEPT = 64  # descriptors of sets of elements; building one takes as long as a small crystal


def why_no_soap(structures: Structures) -> NDArray[np.object_]:
    """Return why a structure can have no fingerprint, ``""`` if it can, shape (n,)."""
    reasons = np.full(len(structures), "", dtype=object)
    reasons[structures.sizes == 0] = "no crystal structure"
    reasons[~structures.ordered] = (
        "a site is not fully occupied, and SOAP needs whole atoms: order the structure"
    )
    return reasons


def soap_fingerprints(
    structures: Structures, *, progress: Progress = NO_PROGRESS
) -> csr_array[Any, tuple[int, int]]:
    """Compute the power spectrum of the mean environment of each crystal with DScribe.

    The expansion coefficients of the densities of neighbours (Gaussians of 1 angstrom, Gaussian
    type orbitals) are averaged over the atoms of the cell before the power spectrum is taken (the
    average ``inner`` of DScribe: Himanen et al., Comput. Phys. Commun. 247, 106949, 2020). There is
    a block of columns for each pair of elements, so that most entries are 0; nothing is scaled.

    Parameters
    ----------
    structures : Structures
        n rows without a reason by `why_no_soap`.
    progress : Progress
        Advances by one per row.

    Returns
    -------
    csr_array of float64, shape (n, d)
        Columns: the pairs of elements that occur together, in ascending order, with 252 columns for
        an element with itself and 448 for two elements.

    Raises
    ------
    ConfigError
        If DScribe is not installed.
    DataError
        If a row can have no fingerprint.
    """
    reasons = why_no_soap(structures)
    bad = np.flatnonzero(reasons != "")
    if bad.size:
        raise DataError(f"row {bad[0] + 1}: {reasons[bad[0]]}")
    try:
        from ase import Atoms
        from dscribe.descriptors import SOAP
    except ImportError as error:
        raise ConfigError('SOAP needs dscribe: pip install "xtalshift[soap]"') from error
    makers: dict[tuple[int, ...], Any] = {}
    found: list[dict[tuple[int, int], NDArray[np.float64]]] = []
    with progress.task("SOAP", len(structures)) as task:
        for row, (start, stop) in enumerate(
            zip(structures.starts[:-1].tolist(), structures.starts[1:].tolist(), strict=True)
        ):
            z = structures.z[start:stop].astype(int)
            elements = tuple(np.unique(z).tolist())
            if elements not in makers:
                if len(makers) >= _KEPT:
                    makers.clear()
                makers[elements] = SOAP(
                    r_cut=CUTOFF,
                    n_max=N_MAX,
                    l_max=L_MAX,
                    species=elements,
                    periodic=True,
                    average="inner",
                )
            maker = makers[elements]
            atoms = Atoms(
                numbers=z,
                scaled_positions=structures.positions[start:stop],
                cell=structures.lattices[row],
                pbc=True,
            )
            values = maker.create(atoms)
            found.append(
                {
                    pair: values[maker.get_location(pair)]
                    for pair in combinations_with_replacement(elements, 2)
                }
            )
            task.advance()
    return _join(found)


def _join(
    found: list[dict[tuple[int, int], NDArray[np.float64]]],
) -> csr_array[Any, tuple[int, int]]:
    """Return the blocks of all rows side by side."""
    widths = {pair: len(values) for row in found for pair, values in row.items()}
    ends = np.cumsum([0, *(widths[pair] for pair in sorted(widths))])
    begins = dict(zip(sorted(widths), ends.tolist(), strict=False))
    columns = [
        np.concatenate([begins[pair] + np.arange(widths[pair]) for pair in row]) for row in found
    ]
    values = [np.concatenate(list(row.values())) for row in found]
    starts = np.cumsum([0, *map(len, values)])
    parts = (
        np.concatenate([*values, np.empty(0)]),
        np.concatenate([*columns, np.empty(0, int)]),
        starts,
    )
    return csr_array(parts, shape=(len(found), int(ends[-1])))
