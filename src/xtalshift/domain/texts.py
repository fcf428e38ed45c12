"""Texts as arrays of bytes, for formats of arrays without strings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode_texts", "encode_texts"]


def encode_texts(texts: Iterable[str]) -> NDArray[np.uint8]:
    """Return texts as UTF-8, each ended by a line feed (those inside become spaces)."""
    ended = "".join(text.replace("\n", " ") + "\n" for text in texts)
    return np.frombuffer(ended.encode(), dtype=np.uint8).copy()


def decode_texts(data: NDArray[np.uint8]) -> list[str]:
    """Return the texts that `encode_texts` joined."""
    return data.tobytes().decode().split("\n")[:-1]
