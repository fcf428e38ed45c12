"""Where tensors live."""

from __future__ import annotations

import torch
from threadpoolctl import threadpool_limits

from xtalshift.errors import ConfigError

__all__ = ["describe_device", "limit_threads", "resolve_device"]


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
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def limit_threads(threads: int) -> None:
    """Let tensors and linear algebra use so many threads; results depend on the number."""
    torch.set_num_threads(threads)
    threadpool_limits(threads)
