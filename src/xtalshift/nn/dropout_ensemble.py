"""Dropout as an ensemble: the thinned networks that it draws, as parameters."""

from __future__ import annotations

import torch

from xtalshift.nn.ema import Parameters

__all__ = ["thin_network"]

_LEVELS = 256  # the resolution of dropout in `IRNet`


def thin_network(
    state: Parameters, dropout: float, n_samples: int, generator: torch.Generator
) -> Parameters:
    """Return an ensemble of networks that each lack a random share of their units.

    Monte Carlo dropout (Gal and Ghahramani, ICML 2016) draws new masks for every row; here all rows
    see the same masks, so that a prediction does not depend on the rows beside it. A unit is
    dropped after the norm of its block, so that a mask can be multiplied into gain and shift.

    Parameters
    ----------
    state : dict of Tensor
        Parameters of one `IRNet`, without a member axis.
    dropout : float
        Probability that a unit is dropped, to the nearest 1/256.
    n_samples : int
        Networks s to draw.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    dict of Tensor
        Of an ensemble: each with a leading axis of s.
    """
    dropped = min(round(dropout * _LEVELS), _LEVELS - 1)
    scale = _LEVELS / (_LEVELS - dropped)
    thinned = {name: value.expand(n_samples, *value.shape).clone() for name, value in state.items()}
    for name in state:
        block, _, kind = name.rpartition(".")
        if kind != "gain":
            continue
        shape = thinned[name].shape
        kept = torch.randint(_LEVELS, shape, generator=generator) >= dropped
        for part in ("gain", "shift"):
            mask = kept.to(thinned[f"{block}.{part}"]) * scale
            thinned[f"{block}.{part}"] *= mask
    return thinned
