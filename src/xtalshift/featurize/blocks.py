"""The blocks of features of compositions by name; each is imported at its first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from xtalshift.errors import ConfigError
from xtalshift.registry import Registry, near_miss

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xtalshift.chem.compositions import Compositions
    from xtalshift.structure import Structures

Blocks: TypeAlias = str
"""Names of `BLOCKS`, joined by ``+``. Behind a colon stands the folder of one that is read from
files, or the settings of one that has some: ``magpie+pretrained:encoder/``, ``structure+chgnet:c2``
"""


COORDINATES = "sites "
"""Begins the names of features that are coordinates of atoms: they depend on how a crystal is
described, so that nothing is measured in them."""
PRETRAINED = "pretrained"
"""The block of the features of an encoder."""


class _Fill(Protocol):
    def __call__(
        self,
        compositions: Compositions,
        values: NDArray[np.float64],
        reasons: NDArray[np.object_],
        *,
        impute_nan: bool,
    ) -> None: ...


class _FillByStructure(Protocol):
    def __call__(
        self,
        structures: Structures,
        values: NDArray[np.float64],
        reasons: NDArray[np.object_],
        *,
        impute_nan: bool,
    ) -> None: ...


@dataclass(frozen=True)
class Block:
    """Features of compositions that are computed together."""

    names: tuple[str, ...]
    """Names of the d features, which no other block has."""
    fill: _Fill
    """``fill(compositions, values, reasons, impute_nan=...)`` writes the features of n compositions
    to `values`, shape (n, d), and to `reasons`, shape (n,), why a row has none. With `impute_nan`
    an unknown property of an element is replaced by its mean over the elements, otherwise it makes
    the feature NaN. Rows without elements may get any value: they already have a reason."""


@dataclass(frozen=True)
class StructureBlock:
    """Features of crystal structures that are computed together."""

    names: tuple[str, ...]
    """As in `Block`."""
    fill: _FillByStructure
    """``fill(structures, values, reasons, impute_nan=...)``, as in `Block`. Rows without atoms may
    get any value: they already have a reason."""
    note: str = ""
    """What a pretrained network has seen, to be told before its features are believed."""
    follows: frozenset[str] = frozenset()
    """Quantities that follow from it, as `xtalshift.featurize.known_targets` names them."""


AnyBlock = Block | StructureBlock
OpenBlock = Callable[[str], AnyBlock]
"""Takes the text behind the colon: the folder that the block is read from, or its settings. For an
empty text it returns the block of this package, or that with the usual settings."""

BLOCKS: Registry[AnyBlock | OpenBlock] = Registry(
    "block of features",
    {
        "magpie": "xtalshift.featurize.magpie:MAGPIE",
        "fractions": "xtalshift.featurize.fractions:FRACTIONS",
        "pretrained": "xtalshift.featurize.pretrained:open_block",
        "structure": "xtalshift.featurize.structure_block:STRUCTURE",
        "symmetry": "xtalshift.featurize.symmetry_block:SYMMETRY",
        "chgnet": "xtalshift.featurize.chgnet_block:open_block",
        "chgnet-random": "xtalshift.featurize.chgnet_block:open_control",
        "sevennet": "xtalshift.featurize.sevennet_block:open_block",
        "sevennet-random": "xtalshift.featurize.sevennet_block:open_control",
        "sites": "xtalshift.featurize.sites_block:SITES",
    },
)
"""All blocks, in the order of help and messages."""
OF_STRUCTURES = frozenset(
    {"structure", "symmetry", "chgnet", "chgnet-random", "sevennet", "sevennet-random", "sites"}
)
"""Blocks that need crystal structures. Named here, so that a question loads none."""


def split_blocks(features: Blocks) -> tuple[str, ...]:
    """Return the names of the blocks of, for instance, ``"magpie+fractions"``.

    Raises
    ------
    ConfigError
        If there is no such block, or one is named twice; the message lists all blocks.
    """
    names = tuple(str(features).split("+"))
    kinds = [kind_of(name) for name in names]
    for name, kind in zip(names, kinds, strict=True):
        if kind not in BLOCKS:
            raise ConfigError(
                f"features {features!r}: unknown block {kind!r}{near_miss(kind, BLOCKS)}. "
                f"Known: {', '.join(BLOCKS)}; join several with +"
            )
        if kind != name and not callable(BLOCKS[kind]):
            raise ConfigError(
                f"features {features!r}: the block {kind!r} is read from no folder and has no "
                f"settings; write {kind}"
            )
    if len(set(kinds)) < len(kinds):
        raise ConfigError(f"features {features!r}: a block is named twice")
    return names


def kind_of(name: str) -> str:
    """Return the name of a block without the folder that it is read from, or its settings."""
    return name.partition(":")[0]


def needs_structures(features: Blocks) -> bool:
    """Return whether features need crystal structures."""
    return not OF_STRUCTURES.isdisjoint(map(kind_of, split_blocks(features)))


def combine(given: Blocks | None, usual: Blocks) -> Blocks:
    """Return the features that a user names, or the usual ones; ``+structure`` adds to these.

    A block of another folder or with other settings replaces the usual one.

    Examples
    --------
    >>> combine(None, "magpie"), combine("fractions", "magpie"), combine("+structure", "magpie")
    ('magpie', 'fractions', 'magpie+structure')
    >>> combine("+pretrained:own/", "magpie+pretrained")
    'magpie+pretrained:own/'
    """
    if given is None or not given.startswith("+"):
        return given or usual
    added = given[1:].split("+")
    new = set(map(kind_of, added))
    return "+".join([*(name for name in split_blocks(usual) if kind_of(name) not in new), *added])


def with_structures(given: Blocks | None) -> Blocks:
    """Return the features that a user names for a table with crystal structures.

    The block ``structure`` is one of the usual features then.

    Examples
    --------
    >>> with_structures(None), with_structures("+chgnet"), with_structures("magpie")
    ('+structure', '+structure+chgnet', 'magpie')
    """
    if given is None:
        return "+structure"
    if not given.startswith("+") or "structure" in given[1:].split("+"):
        return given
    return f"+structure{given}"


def find_block(name: str) -> AnyBlock:
    """Return a block by its name, with ``:`` and the folder of its files, or its settings."""
    kind, _, text = name.partition(":")
    found = BLOCKS[kind]
    return found(text) if callable(found) else found
