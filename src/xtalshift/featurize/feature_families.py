"""Features that say the same, as families with names in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_PROPERTIES = {
    "place in the periodic table": (
        "Number", "MendeleevNumber", "AtomicWeight", "Column", "Row",
    ),
    "melting points of the elements": ("MeltingT",),
    "size of the atoms": ("CovalentRadius", "GSvolume_pa"),
    "electronegativity": ("Electronegativity",),
    "valence electrons": ("NsValence", "NpValence", "NdValence", "NfValence", "NValence"),
    "unfilled orbitals": ("NsUnfilled", "NpUnfilled", "NdUnfilled", "NfUnfilled", "NUnfilled"),
    "band gaps of the elements": ("GSbandgap",),
    "magnetic moments of the elements": ("GSmagmom",),
    "crystal structures of the elements": ("SpaceGroupNumber",),
}  # fmt: skip
_FAMILY_OF = {name: family for family, names in _PROPERTIES.items() for name in names}
_BLOCKS = {
    "fractions": "amounts of the single elements",
    "pretrained": "pretrained encoder",
    "chgnet": "features of CHGNet",
    "chgnet-random": "features of a random CHGNet",
    "sevennet": "features of SevenNet",
    "sevennet-random": "features of a random SevenNet",
    "sites": "the positions of the atoms",
}


def feature_families(
    names: Sequence[str], blocks: Mapping[str, range]
) -> dict[str, NDArray[np.int64]]:
    """Return the columns of each family of features, by a name in plain words.

    Parameters
    ----------
    names : sequence of str, length d
        Names of the features; those behind the blocks are columns of the table, each a family.
    blocks : mapping
        Columns of each block, see `xtalshift.featurize.CompositionFeatures.columns`.

    Examples
    --------
    >>> found = feature_families(["2-norm", "MagpieData mean Column", "T"], {"magpie": range(2)})
    >>> {name: columns.tolist() for name, columns in found.items()}
    {'number of elements and their ratio': [0], 'place in the periodic table': [1], 'T': [2]}
    """
    block_of = {column: block for block, columns in blocks.items() for column in columns}
    families: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        block = block_of.get(column)
        family = _BLOCKS.get(block or "") or (name if block is None else _family(name))
        families.setdefault(family, []).append(column)
    return {name: np.array(columns) for name, columns in families.items()}


def _family(name: str) -> str:
    if name.endswith("-norm"):
        return "number of elements and their ratio"
    if "ionic char" in name or name == "compound possible":  # neutral with ions
        return "ionic character of the bonds"
    if "valence electrons" in name:
        return "valence electrons"
    return _FAMILY_OF.get(name.rpartition(" ")[2], name)
