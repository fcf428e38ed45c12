"""Mutations of the checkpoint of a training, with and without a new checksum."""

import json
import random
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save

from faults.model_mutations import (
    REFUSED,
    SAME,
    any_place,
    array_shape,
    array_type,
    array_value,
    cut,
    flip,
    other_value,
)
from xtalshift.errors import XtalshiftError
from xtalshift.estimators import CALRegressor, IRNetRegressor
from xtalshift.nn import checkpoint as module

X = np.random.default_rng(0).normal(size=(24, 3))
Y = X[:, 0] + 0.1 * X[:, 1]
COMMON: dict[str, Any] = {"architecture": [4], "device": "cpu", "random_state": 0}
CAL = {"epochs": 4, "warmup_epochs": 1, "attack_steps": 1, "partial_batches": 1, "batch_size": 16}
TRAININGS: dict[str, Callable[[], Any]] = {
    "erm": lambda: IRNetRegressor(epochs=4, **COMMON),
    "ensemble": lambda: IRNetRegressor(epochs=4, n_members=2, **COMMON),
    "cal": lambda: CALRegressor(settings=CAL, **COMMON),
}


class Killed(BaseException):
    """Ends a training in the middle."""


def train(name: str, path: Path, stop: int | None = None) -> np.ndarray:
    """Return the predictions of a training that may continue from a checkpoint."""
    saved = 0

    def save_state(self: module.Checkpoint, state: module.State) -> None:
        nonlocal saved
        saved += 1
        self.seconds = 0.0
        kept(self, state)
        if saved == stop:
            raise Killed

    kept = module.Checkpoint.save
    module.Checkpoint.save = save_state
    try:
        return TRAININGS[name]().fit(X, Y, checkpoint=path).predict(X)
    finally:
        module.Checkpoint.save = kept


def split(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the description and the arrays."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["state"]), load(content)


def signed(description: Any, arrays: dict[str, np.ndarray]) -> bytes:
    """Return a checkpoint with the checksum that its writer would have given it."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if isinstance(description, dict):
        description["sha256"] = module._hash(description.get("state"), tensors)
    return save(arrays, metadata={"state": json.dumps(description)})


def plain_bytes(rng: random.Random, content: bytes) -> bytes:
    header = 8 + int.from_bytes(content[:8], "little")
    end = rng.choice([header, None])
    return flip(rng, content, end) if rng.random() < 0.7 else cut(rng, content)


def description_value(rng: random.Random, content: bytes) -> bytes:
    description, arrays = split(content)
    place, key = any_place(rng, description)
    kind = rng.choice(["other", "other", "gone", "more", "deep"])
    if kind == "other":
        place[key] = other_value(rng, place[key], key)
    elif kind == "gone":
        del place[key]
    elif kind == "more" and isinstance(place, dict):
        place[f"{key}x"] = place[key]
    elif kind == "more":
        place.insert(0, place[key])
    else:
        text = json.dumps(description).replace("0", "[" * 10**5, 1)
        return save(arrays, metadata={"state": text})
    return signed(description, arrays)


def arrays_of(rng: random.Random, content: bytes) -> bytes:
    description, arrays = split(content)
    name = rng.choice(sorted(arrays))
    kind = rng.choice(["value", "value", "shape", "type", "gone"])
    if kind == "value" and arrays[name].dtype != np.uint8:  # any state of a generator is one
        arrays[name] = array_value(rng, name, arrays[name])
    elif kind == "type":
        arrays[name] = array_type(rng, arrays[name])
    elif kind == "gone":
        del arrays[name]
    else:
        array = arrays[name]
        arrays[name] = array_shape(rng, array) if array.ndim else array[None]
    return signed(description, arrays)


MUTATIONS = {"bytes": plain_bytes, "description": description_value, "arrays": arrays_of}


def attempts() -> Callable[[str, str, int], str]:
    """Return what tries one mutation (training, kind, seed)."""
    torch.set_num_threads(1)
    home = tempfile.TemporaryDirectory()

    @cache
    def usual(name: str) -> tuple[bytes, bytes]:
        path = Path(home.name) / name
        try:
            train(name, path, stop=3)
        except Killed:
            content = path.read_bytes()
        answer = train(name, Path(home.name) / "other").tobytes()
        assert train(name, path).tobytes() == answer
        return content, answer

    def attempt(name: str, kind: str, seed: int) -> str:
        content, answer = usual(name)
        path = Path(home.name) / "changed"
        path.write_bytes(MUTATIONS[kind](random.Random(f"{name} {kind} {seed}"), content))
        try:
            found = train(name, path)
        except XtalshiftError as error:
            named = path.name in str(error) and "\n" not in str(error)
            return REFUSED if named else f"fault: {error}"
        return SAME if found.tobytes() == answer else "fault: another answer"

    return attempt
