"""Which atom features of a potential are taken, and what is made of them: ``c1-c3-mean-std``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xtalshift.errors import ConfigError
from xtalshift.featurize.pooling import POOLINGS
from xtalshift.registry import near_miss

_LAYERS = re.compile(r"c(\d)(?:-c(\d))?(?:-|$)")


@dataclass(frozen=True)
class PotentialSettings:
    """The settings of a block of features of a potential."""

    layers: tuple[int, ...]
    """The convolutions whose atom features are taken, from 1."""
    poolings: tuple[str, ...]
    """What is made of the numbers of the atoms, of `POOLINGS`."""


def read_settings(block: str, text: str, *, usual: int, deepest: int) -> PotentialSettings:
    """Return the settings that stand behind the name of a block.

    Parameters
    ----------
    block : str
        Name of the block, for messages.
    text : str
        One convolution or the first and the last of several (``c2``, ``c1-c3``), and poolings
        (``mean``, ``std``, ``max``, ``by-element``), joined by ``-``; each part may be left out.
    usual : int
        The convolution that is taken if none is named.
    deepest : int
        The last convolution of the network.

    Raises
    ------
    ConfigError
        If there is no such convolution or pooling, or a pooling is named twice.

    Examples
    --------
    >>> read_settings("chgnet", "c1-c2-std", usual=3, deepest=4)
    PotentialSettings(layers=(1, 2), poolings=('std',))
    """
    known = f"c1 to c{deepest}, a range of these such as c1-c2, and {', '.join(POOLINGS)}"
    layers: tuple[int, ...] = (usual,)
    rest = text
    if found := _LAYERS.match(text):
        first, last = int(found[1]), int(found[2] or found[1])
        layers, rest = tuple(range(first, last + 1)), text[found.end() :]
        if not 1 <= first <= last <= deepest:
            raise ConfigError(f"features {block}:{text}: no such convolutions. Known: {known}")
    words = rest.replace("by-element", "by_element").split("-") if rest else ["mean"]
    poolings = tuple(word.replace("_", "-") for word in words)
    for word in poolings:
        if word not in POOLINGS:
            raise ConfigError(
                f"features {block}:{text}: unknown setting {word!r}{near_miss(word, POOLINGS)}. "
                f"Known, in this order and joined by -: {known}"
            )
    if len(set(poolings)) < len(poolings):
        raise ConfigError(f"features {block}:{text}: a pooling is named twice")
    return PotentialSettings(layers, poolings)
