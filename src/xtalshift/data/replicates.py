"""Rows of one material merged into one: its target, its weight and its uncertainty.

An uncertainty s_i makes the merged target the mean with weights ``w_i / s_i^2``, where w_i is the
weight of the row. Its own uncertainty is that of this mean, times the ratio of Birge (Phys. Rev.
40, 207, 1932) where that is above 1: replicates that differ by more than their uncertainties allow
are less certain than they say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.errors import DataError

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.intp]
MergeRule: TypeAlias = Literal["mean", "median", "lowest", "highest"]

_AGGREGATES = {"mean": "mean", "median": "median", "lowest": "min", "highest": "max"}
_OF_MEDIAN = float(np.sqrt(np.pi / 2))
"""Standard error of a median over that of the mean, for many normal values."""
_LEAST = 1e-6
"""Smallest uncertainty in a mean, as a share of the largest: one of 0 would be infinitely sure."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Targets of n rows with what is known of each; all arrays have the shape (n,)."""

    targets: FloatArray
    weights: FloatArray | None = None
    """Positive; how much each counts in a fit."""
    noise: FloatArray | None = None
    """At least 0; standard deviation of each measurement."""


def merge_rows(
    codes: IntArray, rows: Measured, rule: MergeRule, *, enlarge: bool = True
) -> Measured:
    """Merge the rows of each material.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
        Number of the material of each row, from 0.
    rows : Measured
        n rows with finite targets.
    rule : {"mean", "median", "lowest", "highest"}
        Which target the merged row has; mean and median are weighted.
    enlarge : bool
        Whether replicates that differ much have a larger uncertainty.

    Returns
    -------
    Measured
        One row per material. Weights are the sums; with uncertainties, which already say how much
        more replicates are worth than one value, they are the means. The uncertainty of a median is
        1.25 times that of the mean, that of the lowest or highest target its own.
    """
    y, weights, noise = rows.targets, rows.weights, rows.noise
    counts = np.bincount(codes)
    merged_weights = None
    if weights is not None:
        merged_weights = np.bincount(codes, weights) / (1.0 if noise is None else counts)
    share = np.ones(len(y)) if weights is None else weights
    if noise is not None:
        share = share / np.maximum(noise, _LEAST * float(noise.max()) or 1.0) ** 2
    if rule in ("lowest", "highest"):
        merged = pd.Series(y).groupby(codes).agg(_AGGREGATES[rule]).to_numpy()
        if noise is not None:
            # of several rows with that target the most certain
            there = np.where(y == merged[codes], noise, np.inf)
            noise = np.asarray(pd.Series(there).groupby(codes).min(), dtype=np.float64)
        return Measured(merged, merged_weights, noise)
    if weights is None and noise is None:
        merged = pd.Series(y).groupby(codes).agg(_AGGREGATES[rule]).to_numpy()
    else:
        merged = (_weighted_mean if rule == "mean" else _weighted_median)(codes, y, share)
    if noise is not None:
        noise = _noise_of_means(codes, y, share, noise, enlarge=enlarge)
        noise = np.where((counts > 1) & (rule == "median"), _OF_MEDIAN, 1.0) * noise
    return Measured(merged, merged_weights, noise)


def replicate_noise(codes: IntArray, targets: FloatArray) -> float:
    """Return the pooled standard deviation of rows of one material.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
        Number of the material of each row, from 0.
    targets : ndarray of float64, shape (n,)
        Finite.

    Raises
    ------
    DataError
        If no material has two rows.
    """
    counts = np.bincount(codes)
    spare = len(targets) - len(counts)
    if not spare:
        raise DataError(
            "no material has two rows, so that their scatter says nothing of the uncertainty of "
            "the targets; name a column of uncertainties (--uncertainty-col)"
        )
    means = np.bincount(codes, targets) / counts
    return float(np.sqrt(np.sum((targets - means[codes]) ** 2) / spare))


def _weighted_mean(codes: IntArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    # from the first target on, so that equal targets have exactly this mean
    first = targets[np.unique(codes, return_index=True)[1]]
    off = np.bincount(codes, weights * (targets - first[codes])) / np.bincount(codes, weights)
    return np.asarray(first + off)


def _weighted_median(codes: IntArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the targets with half of the weight on either side: the mean of two that have it."""
    order = np.lexsort((targets, codes))
    sorted_codes, y, w = codes[order], targets[order], weights[order]
    starts = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
    found = np.empty(len(starts))
    for place, (ours, shares) in enumerate(
        zip(np.split(y, starts[1:]), np.split(w, starts[1:]), strict=True)
    ):
        share = np.cumsum(shares)
        sides = [int(np.searchsorted(share, share[-1] / 2, side)) for side in ("left", "right")]
        found[place] = ours[sides].mean()
    return found


def _noise_of_means(
    codes: IntArray, targets: FloatArray, share: FloatArray, noise: FloatArray, *, enlarge: bool
) -> FloatArray:
    """Return the uncertainty of the weighted mean of each material."""
    part = share / np.bincount(codes, share)[codes]
    stated = np.sqrt(np.bincount(codes, (part * noise) ** 2))
    if not enlarge:
        return np.asarray(stated)
    off = targets - _weighted_mean(codes, targets, share)[codes]
    known = np.maximum(noise, _LEAST * float(noise.max()) or 1.0)
    spare = np.maximum(np.bincount(codes) - 1, 1)
    birge = np.sqrt(np.bincount(codes, (off / known) ** 2) / spare)
    return np.asarray(stated * np.maximum(birge, 1.0))
