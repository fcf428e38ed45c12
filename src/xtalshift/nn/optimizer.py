"""The optimiser of all trainings."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


class _AdamW(torch.optim.AdamW):
    """AdamW that does not load the compiler of PyTorch.

    To be left out of compiled code, methods of PyTorch's class import that compiler: 1,600 modules,
    which takes longer than many a training here. These are the same functions without it.
    """

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


def make_adamw(
    parameters: Iterable[nn.Parameter] | list[dict[str, Any]],
    learning_rate: float,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Return AdamW for parameters or groups of them; without weight decay it is Adam."""
    return _AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
