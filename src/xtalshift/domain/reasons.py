"""Reasons of an OOD score: features out of range, rare values, nearest training materials."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ModelFormatError
from xtalshift.saved_arrays import TEXT, SavedArray, Schema, read_text

FloatArray = NDArray[np.float64]

_WORST = 3
_RARE = 0.001  # share of training materials up to which a value is called rare

RANGE: Schema = {
    "range.names": TEXT,
    "range.low": SavedArray(np.float64, ("d",), missing=True),
    "range.high": SavedArray(np.float64, ("d",), missing=True),
}
"""Arrays of `FeatureRange.get_state`; d features."""


class FeatureOutOfRange(NamedTuple):
    """A value outside the training range, in the unit of the feature.

    `n_sd` is its distance from the range in standard deviations, infinite for a constant feature.
    """

    name: str
    value: float
    low: float
    high: float
    n_sd: float

    def __str__(self) -> str:
        """Return one phrase."""
        range_ = f"{self.low:.4g} to {self.high:.4g}"
        if math.isinf(self.n_sd):
            return f"{self.name} = {self.value:.4g} (training: {range_})"
        side = "above" if self.value > self.high else "below"
        return f"{self.name} = {self.value:.4g} (training: {range_}; {self.n_sd:.2g} sd {side})"


class RareValue(NamedTuple):
    """A value and the share of training materials with almost the same value."""

    name: str
    value: float
    share: float

    def __str__(self) -> str:
        """Return one phrase."""
        where = f"in {100 * self.share:.2g}% of the training materials" if self.share else "in none"
        return f"{self.name} = {self.value:.4g} ({where})"


class NearMaterial(NamedTuple):
    """A training material, its distance in standard deviations, and its target: value or class.

    Crystals have an id and the number of their space group (0: none is found).
    """

    formula: str
    distance: float
    target: float | str
    id: str = ""
    space_group: int = 0

    def __str__(self) -> str:
        """Return one phrase."""
        group = f"space group {self.space_group}, " if self.space_group else ""
        name = f"{self.formula} {self.id}".rstrip()
        known = self.target
        told = f"class {known}" if isinstance(known, str) else f"value {known:.4g}"
        return f"{name} ({group}distance {self.distance:.3g}, {told})"


class DomainReasons(NamedTuple):
    """Reasons for one row, each list with the most important first."""

    out_of_range: tuple[FeatureOutOfRange, ...]
    """At most three features outside the training range."""
    rare: tuple[RareValue, ...]
    """At most three values inside the range that at most 0.1 % of the training materials have."""
    nearest: tuple[NearMaterial, ...]
    """Nearest training materials."""

    def __str__(self) -> str:
        """Return one line."""
        parts = (
            ("out of range", self.out_of_range),
            ("rare", self.rare),
            ("nearest", self.nearest),
        )
        return "; ".join(
            f"{title}: {', '.join(map(str, found))}" for title, found in parts if found
        )


@dataclass(frozen=True, eq=False)
class FeatureRange:
    """Range of every feature over the training materials."""

    names: tuple[str, ...]
    """Length d. Features."""
    low: FloatArray
    high: FloatArray
    """Shape (d,). `low`, `high`: in the unit of the feature; NaN if it was always missing."""

    @classmethod
    def of(cls, X: FloatArray, names: tuple[str, ...]) -> Self:
        """Return the range of features of shape (n, d); NaN means missing."""
        return cls(names, np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0))

    def extended(self, X: FloatArray) -> FeatureRange:
        """Return the range with further rows, shape (m, d)."""
        more = FeatureRange.of(X, self.names)
        return FeatureRange(self.names, np.fmin(self.low, more.low), np.fmax(self.high, more.high))

    def beyond(self, X: FloatArray, scale: FloatArray) -> FloatArray:
        """Return how far each value is out of range, in units of `scale` (d,), shape (n, d).

        0 inside and where the value or the range is missing; infinite where the scale is 0.
        """
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            gaps = np.fmax(self.low - X, X - self.high)
            # sums in another order differ in the last digits
            return np.where(gaps > 1e-9 * np.maximum(1.0, size), gaps / scale, 0.0)

    def worst(self, values: FloatArray, beyond: FloatArray) -> tuple[FeatureOutOfRange, ...]:
        """Return the features of one row, (d,), that are farthest out of range."""
        return tuple(
            FeatureOutOfRange(
                self.names[j],
                float(values[j]),
                float(self.low[j]),
                float(self.high[j]),
                float(beyond[j]),
            )
            for j in np.argsort(-beyond, kind="stable")[:_WORST].tolist()
            if beyond[j] > 0
        )

    def rare(self, values: FloatArray, shares: FloatArray) -> tuple[RareValue, ...]:
        """Return the values of one row, (d,), that the fewest training materials have."""
        return tuple(
            RareValue(self.names[j], float(values[j]), float(shares[j]))
            for j in np.argsort(shares, kind="stable")[:_WORST].tolist()
            if shares[j] <= _RARE
        )

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays."""
        return {
            "range.names": encode_texts(self.names),
            "range.low": self.low,
            "range.high": self.high,
        }

    @classmethod
    def from_state(cls, state: dict[str, NDArray[Any]]) -> Self:
        """Restore what `get_state` returned, checked by `RANGE`; other names are ignored.

        Raises
        ------
        ModelFormatError
            If the arrays do not agree.
        """
        names = tuple(decode_texts("range.names", state["range.names"]))
        low, high = state["range.low"], state["range.high"]
        if len(names) != len(low) or (low > high).any() or (np.isnan(low) != np.isnan(high)).any():
            raise ModelFormatError("the ranges of the features do not agree with each other")
        return cls(names, low, high)


def encode_texts(texts: Iterable[str]) -> NDArray[np.uint8]:
    """Return texts as an array of UTF-8 bytes, each ended by a line feed (inner ones: spaces)."""
    ended = "".join(text.replace("\n", " ") + "\n" for text in texts)
    return np.frombuffer(ended.encode(), dtype=np.uint8).copy()


def decode_texts(name: str, data: NDArray[np.uint8]) -> list[str]:
    """Return the texts that `encode_texts` joined in the array of a name."""
    *texts, rest = read_text(name, data).split("\n")
    if rest:
        raise ModelFormatError(f"the last text of the array {name!r} has no end")
    return texts
