"""Randomness is an argument: an int, a generator, or None."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np

Seed: TypeAlias = int | np.random.Generator | np.random.RandomState | None


def as_generator(seed: Seed) -> np.random.Generator:
    """Turn a seed into a NumPy generator.

    Parameters
    ----------
    seed : int, numpy.random.Generator, numpy.random.RandomState or None
        An int gives a fresh, reproducible generator; a generator is returned as it is; a legacy
        ``RandomState`` (scikit-learn's habit) seeds a new one; None draws from the system.

    Returns
    -------
    numpy.random.Generator
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, np.random.RandomState):
        return np.random.default_rng(seed.randint(0, 2**31 - 1))
    return np.random.default_rng(seed)


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a seed that depends on `seed` and `names` only, so that parts do not share a stream.

    Parameters
    ----------
    seed : int
        The user's seed.
    *names : str or int
        What the derived stream is for, such as ``"validation"``.

    Returns
    -------
    int
        In [0, 2**31).

    Examples
    --------
    >>> derive_seed(0, "split") == derive_seed(0, "split") != derive_seed(1, "split")
    True
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
