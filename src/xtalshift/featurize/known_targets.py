"""Find targets that follow from what a pretrained potential was trained on."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from xtalshift.featurize.blocks import Blocks, StructureBlock, find_block, kind_of, split_blocks
from xtalshift.structure import Structures

QUANTITIES: dict[str, str] = {
    "a formation energy": r"formation|e ?form|form energy|[hd]?h ?form|delta h f|cohesive",
    "an energy above the hull": r"hull|ehull|decomposition energ\w*",
    "a total energy": r"(total|dft|potential|corrected|uncorrected) energy|energy per atom|"
    r"(?:^e|^energy|e total)( ev| per)?$",
    "a volume": r"volume(?! fraction)|^v$|vpa|^(mass )?density$|lattice (constant|parameter)s?",
    "an elastic modulus": r"(bulk|shear|young\w*|elastic)( s)? (moduli|modulus|constants?|tensor)|"
    r"bulk|shear|young\w*|[kg] ?vrh|[kg] (voigt|reuss)|moduli|modulus|stiffness|poisson|c[1-6]{2}",
    "a magnetic moment": r"magmoms?|magnetic moments?|magneti[sz]ations?|total mag",
}
"""Quantities, and how columns of them are called in lower case, with spaces for other signs."""
_ROWS = 20
_OBVIOUS = 0.99  # rank correlation with a volume


def find_known_target(
    features: Blocks,
    target: str,
    y: NDArray[np.float64] | None = None,
    structures: Structures | None = None,
) -> tuple[str, ...]:
    """Return why a split is no out-of-distribution test for some features, one finding a block.

    Parameters
    ----------
    features : str
        Names of blocks.
    target : str
        Name of the target, often that of a column.
    y : ndarray of float64, shape (n,), optional
        Targets; NaN where unknown.
    structures : Structures, optional
        n structures. A target that orders them as their volumes do is a volume whatever its name.

    Raises
    ------
    ConfigError
        If a block is unknown.
    """
    found = []
    for name in split_blocks(features):
        block = find_block(name)
        if not isinstance(block, StructureBlock) or not block.follows:
            continue
        quantity, why = name_quantity(target), f"by the name {target!r}"
        if quantity not in block.follows and y is not None and structures is not None:
            volume = _find_volume(y, structures)
            if volume:
                quantity, why = "a volume", f"by its rank correlation with the {volume}"
        if quantity in block.follows:
            kind = kind_of(name)
            found.append(
                f"not an out-of-distribution test: the target is {quantity} ({why}), which follows "
                f"from what the network of the features {kind} was trained on. Compare with "
                f"{kind}-random, or leave {kind} out"
            )
    return tuple(found)


def name_quantity(target: str) -> str:
    """Return which of `QUANTITIES` a name of a column stands for, ``""`` for none.

    Examples
    --------
    >>> name_quantity("log10(K_VRH)"), name_quantity("band gap")
    ('an elastic modulus', '')
    """
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", target)
    words = " ".join(re.sub(r"[^a-z0-9]+", " ", split.lower()).split())
    words = re.sub(r"^(log ?10|log|ln) ", "", words)
    for quantity, pattern in QUANTITIES.items():
        if re.search(rf"(?:^|(?<= ))(?:{pattern})(?=$| )", words):
            return quantity
    return ""


def _find_volume(y: NDArray[np.float64], structures: Structures) -> str:
    """Return which volume orders the rows as the targets do, ``""`` for none."""
    known = np.isfinite(y) & (structures.sizes > 0)
    if known.sum() < _ROWS or np.ptp(y[known]) == 0:
        return ""
    volumes, sizes = structures.volumes[known], structures.sizes[known]
    for name, values in (("volume per atom", volumes / sizes), ("volume of the cell", volumes)):
        one, other = (_rank(part) - known.sum() / 2 for part in (y[known], values))
        if abs(one @ other) > _OBVIOUS * np.sqrt((one @ one) * (other @ other)):
            return name
    return ""


def _rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each of n values, n / 2 in the mean; equal values have equal ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - counts / 2.0)[inverse])
