"""Lattice vectors from the lengths and angles of a cell."""

from __future__ import annotations

import numpy as np

from xtalshift.structure.listed_atoms import FloatArray


def lattice_of(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> FloatArray:
    """Return lattice vectors, c along z and a in the plane of x and z as in pymatgen.

    Parameters
    ----------
    a, b, c : float
        Lengths in angstrom.
    alpha, beta, gamma : float
        Angles in degrees between b and c, a and c, a and b.

    Returns
    -------
    ndarray of float64, shape (3, 3)
        One vector in each row; NaN where no cell has such angles.
    """
    angles = np.radians([alpha, beta, gamma])
    (sin_alpha, sin_beta, _), (cos_alpha, cos_beta, cos_gamma) = np.sin(angles), np.cos(angles)
    with np.errstate(all="ignore"):
        x = (cos_alpha * cos_beta - cos_gamma) / (sin_alpha * sin_beta)  # cosine of gamma*
        return np.array(
            [
                [a * sin_beta, 0.0, a * cos_beta],
                [-b * sin_alpha * x, b * sin_alpha * np.sqrt(1.0 - x * x), b * cos_alpha],
                [0.0, 0.0, c],
            ]
        )
