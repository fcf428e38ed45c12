"""The state of a training on disk, so that a killed training can continue."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from xtalshift.errors import DataError, TrainingError
from xtalshift.files import remove_file, replace_file
from xtalshift.jsonio import decode_json

FORMAT = 1
"""Changes whenever the state of a training gets other parts."""

State = dict[str, Any]
"""Nested dictionaries and lists of tensors and plain JSON values."""


@dataclass
class Checkpoint:
    """A file that holds the state of one training; nothing in it is unpickled.

    Parameters
    ----------
    path : Path
        The file; it is replaced in one step, so that a kill leaves either the old or the new one.
    key : str
        Identifies the training (settings and data); the file of another training is refused.
    seconds : float, default 20
        `save` writes at most this often.
    """

    path: Path
    key: str
    seconds: float = 20.0
    _written: float = field(default_factory=time.monotonic, init=False)

    def load(self, device: torch.device) -> State | None:
        """Return the saved state with its tensors on `device`, or None if there is no file.

        Raises
        ------
        TrainingError
            If the file is damaged or belongs to another training.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt", device="cpu") as file:
                description = decode_json(
                    file.metadata()["state"], self.path, "delete it to start again"
                )
                if (description["format"], description["key"]) != (FORMAT, self.key):
                    raise TrainingError(
                        f"{self.path} is the checkpoint of a training with other settings or data, "
                        "or of another version; delete it to start again"
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state: State = _insert(description["state"], tensors, device)
        except DataError as error:
            raise TrainingError(str(error)) from error
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(
                f"{self.path} is damaged ({error}); delete it to start again"
            ) from error
        return state

    def save(self, state: State) -> None:
        """Write `state` if the last one was written long enough ago."""
        if time.monotonic() - self._written < self.seconds:
            return
        tensors: dict[str, Tensor] = {}
        plain = _extract(state, tensors)
        text = json.dumps({"format": FORMAT, "key": self.key, "state": plain})
        replace_file(self.path, save(tensors, metadata={"state": text}))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Delete the file, when the training is done and its result is safe."""
        remove_file(self.path)


def copy_state(state: State) -> State:
    """Return a copy that later steps do not change."""
    tensors: dict[str, Tensor] = {}
    plain = _extract(state, tensors)
    copied: State = _insert(plain, {name: value.clone() for name, value in tensors.items()}, None)
    return copied


def _extract(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return `value` with every tensor moved to `tensors` and its name in its place."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().contiguous()
        return {"tensor": name, "device": value.device.type}
    if isinstance(value, Mapping):
        return {"items": [[key, _extract(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_extract(item, tensors) for item in value]
    return value


def _insert(value: Any, tensors: dict[str, Tensor], device: torch.device | None) -> Any:
    if isinstance(value, list):
        return [_insert(item, tensors, device) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor = tensors[value["tensor"]]
        # what was on the CPU (the state of a generator) stays there
        return tensor if device is None or value["device"] == "cpu" else tensor.to(device)
    return {key: _insert(item, tensors, device) for key, item in value["items"]}
