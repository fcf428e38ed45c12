"""The device of tensors and the number of threads; PyTorch is imported only where it is used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from xtalshift.errors import ConfigError

if TYPE_CHECKING:
    import torch

_threads: list[int] = []
"""The limit, if one is set; PyTorch gets it when it is loaded."""


def resolve_device(name: str) -> torch.device:
    """Return the device that `name` stands for.

    Parameters
    ----------
    name : str
        ``"auto"`` (a CUDA device if there is one, else the CPU) or a PyTorch device such as
        ``"cpu"`` or ``"cuda:1"``.

    Raises
    ------
    ConfigError
        If there is no such device.
    """
    import torch

    for threads in _threads:
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used: {reason}; use auto or cpu") from error
    return device


def describe_device(device: torch.device) -> str:
    """Return the device with its model name, such as ``cuda:0 (NVIDIA H200)``."""
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def limit_threads(threads: int) -> None:
    """Limit the threads of tensors and linear algebra; results depend on their number.

    This does not load PyTorch: `resolve_device`, which every network calls, passes the limit on.
    """
    _threads[:] = [threads]
    threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
