"""The features of a pretrained encoder, and how many materials of a table it has seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions
from xtalshift.featurize.blocks import PRETRAINED, Block, Blocks, split_blocks
from xtalshift.featurize.composition import CompositionFeatures
from xtalshift.featurize.encoder import SHIPPED, Encoder, read_encoder


@dataclass(frozen=True)
class Overlap:
    """How many materials of a table an encoder was trained on."""

    encoder: str
    """SHA-256 of the encoder."""
    materials: int
    seen: int
    """`materials`, `seen`: number of materials of the table, and how many the encoder has seen."""
    properties: str
    """The properties that the encoder was trained on."""

    def describe(self) -> str:
        """Return it as one sentence."""
        return (
            f"{self.seen:,} of {self.materials:,} materials were seen by the encoder during "
            f"pretraining ({self.properties})"
        )


def open_block(place: str) -> Block:
    """Return the block of the encoder in a folder, for an empty text that of this package."""
    return encoder_block(read_encoder(Path(place) if place else SHIPPED))


def encoder_block(encoder: Encoder) -> Block:
    """Return the block of an encoder."""

    def fill(
        compositions: Compositions,
        values: NDArray[np.float64],
        reasons: NDArray[np.object_],
        *,
        impute_nan: bool,  # noqa: ARG001 - the encoder was trained with imputed properties
    ) -> None:
        filled = compositions.sizes > 0
        told = reasons[filled]
        values[filled] = encoder.encode(compositions.take(filled), told)
        reasons[filled] = told

    return Block(tuple(f"{PRETRAINED} {k}" for k in range(encoder.size)), fill)


def encoder_of(features: Blocks | CompositionFeatures) -> Encoder | None:
    """Return the encoder behind some features, None if none of them needs one.

    Parameters
    ----------
    features : str or CompositionFeatures
        Names of blocks, or a featurizer, which may have an encoder of its own.

    Raises
    ------
    ConfigError
        If a block is unknown.
    ModelFormatError
        If the encoder cannot be read.
    """
    if isinstance(features, CompositionFeatures):
        if features.encoder is not None:
            return features.encoder
        features = features.blocks
    for name in split_blocks(features):
        kind, _, place = name.partition(":")
        if kind == PRETRAINED:
            return read_encoder(Path(place) if place else SHIPPED)
    return None


def count_overlap(
    features: Blocks | CompositionFeatures, formulas: NDArray[np.object_]
) -> Overlap | None:
    """Count the materials of a table that the encoder behind its features was trained on.

    Parameters
    ----------
    features : str or CompositionFeatures
        As in `encoder_of`.
    formulas : ndarray of str, shape (n,)
        Reduced formulas.

    Returns
    -------
    Overlap or None
        None if no block needs an encoder.
    """
    encoder = encoder_of(features)
    if encoder is None:
        return None
    distinct = np.unique(formulas.astype(str)).tolist()
    seen = int(encoder.knows(distinct).sum())
    return Overlap(encoder.card.arrays_sha256, len(distinct), seen, encoder.properties)
