"""From which side a crystal is drawn."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_ASIDE = np.radians([-26.0, -16.0, 16.0, 26.0])
_HEIGHTS = np.radians([9.0, 16.0])
_CROWDED = 100  # from as many atoms on, only their order in columns shows anything
_ALONG = np.radians(4.0)
_UPRIGHT = 0.1  # what it is worth that c points up, as share of the atoms that can be seen


def choose_view(lattice: FloatArray, points: FloatArray, radii: FloatArray) -> FloatArray:
    """Return the rotation to the view in which atoms hide each other least.

    In all views that are tried a lattice vector, preferably c, is vertical and seen slightly from
    above, and another points 16 or 26 degrees aside of the viewer. Many atoms are seen along the
    shortest lattice vector.

    Parameters
    ----------
    lattice : ndarray of float64, shape (3, 3)
        Lattice vectors in angstrom.
    points : ndarray of float64, shape (p, 3)
        Centres of atoms in angstrom.
    radii : ndarray of float64, shape (p,)
        As they are drawn, in angstrom.

    Returns
    -------
    ndarray of float64, shape (3, 3)
        ``points @ rotation.T`` has columns to the right, upward and toward the viewer.
    """
    if len(points) > _CROWDED:
        toward = int(np.linalg.norm(lattice, axis=1).argmin())
        up = 2 if toward != 2 else 1  # noqa: PLR2004 - c
        return _turn(lattice, up, lattice[toward], float(_ALONG), float(_ALONG))
    best, found = -np.inf, np.eye(3)
    for up, other in ((2, 0), (2, 1), (1, 2), (1, 0), (0, 1), (0, 2)):
        for toward, aside, height in product((lattice[other], -lattice[other]), _ASIDE, _HEIGHTS):
            view = _turn(lattice, up, toward, float(aside), float(height))
            worth = _seen(points @ view.T, radii) + _UPRIGHT * (up == 2)  # noqa: PLR2004
            if worth > best + 1e-9:
                best, found = worth, view
    return found


def _turn(
    lattice: FloatArray, up: int, toward: FloatArray, aside: float, height: float
) -> FloatArray:
    """Return the view in which a lattice vector is up and another points nearly to the viewer."""
    axis = lattice[up] / np.linalg.norm(lattice[up])
    front = toward - (toward @ axis) * axis
    front /= np.linalg.norm(front)
    flat = np.cos(aside) * front + np.sin(aside) * np.cross(axis, front)
    eye = np.cos(height) * flat + np.sin(height) * axis
    right = np.cross(axis, flat)
    return np.stack([right, np.cross(eye, right), eye])


def _seen(turned: FloatArray, radii: FloatArray) -> float:
    """Return about which share of the atoms is not behind others."""
    if not len(turned):
        return 1.0
    gaps = turned[:, None, :] - turned[None, :, :]
    apart = np.hypot(gaps[..., 0], gaps[..., 1])
    smaller = np.minimum(radii[:, None], radii[None, :])
    cover = np.clip((radii[:, None] + radii[None, :] - apart) / (2 * smaller), 0.0, 1.0)
    cover *= np.minimum(1.0, (radii[None, :] / radii[:, None]) ** 2)  # of the first by the second
    cover[gaps[..., 2] >= 0] = 0.0  # the first is in front
    return float(np.mean(1.0 - cover.max(axis=1)))
