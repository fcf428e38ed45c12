"""Mutations of saved models that a reader can tell from any model, and a process that tries them.

A mutation is drawn from a seed. Detectable are: other bytes without their checksum; other types,
unknown names, missing, additional or non-finite values and negative numbers in the description;
arrays that are missing, unknown, swapped, or of another type or shape, or hold NaN, infinity, a
number outside its range, or half a text; other bytes of the header of the file of arrays; trees
with other structure, lengths or characters. Not detectable is one legal value in place of another
(a coefficient, a unit, the name of another transform) with a new checksum: that is another model.
The mutations of `LEGAL` make such ones, which may answer otherwise, but must not fail.
"""

import hashlib
import json
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from safetensors.numpy import load, save

from faults.trying import try_each
from xtalshift.chem.formulas import Hydrates
from xtalshift.data.transform import TRANSFORMS
from xtalshift.errors import XtalshiftError
from xtalshift.estimators.network import WeightsChoice
from xtalshift.estimators.packed_trees import unpack_trees
from xtalshift.estimators.predictors import PREDICTORS
from xtalshift.model import load_model
from xtalshift.model.signed_json import hash_described
from xtalshift.uncertainty.conformal import ScoreKind, ScoreOrigin

ASKED = ["NaCl", "CaO", "Fe2O3", "GaAs", "UPu3", "ZnS", "LiF", "CuSO4*5H2O", "Xx"]
REFUSED, SAME, OTHER = "refused", "same", "other"
Files = tuple[bytes, bytes]
"""The description and the file of arrays."""


def read(folder: Path) -> Files:
    (arrays,) = folder.glob("arrays-*.safetensors")
    return (folder / "model.json").read_bytes(), arrays.read_bytes()


def write(folder: Path, files: Files) -> None:
    for old in folder.iterdir():
        old.unlink()
    description, arrays = files
    (folder / "model.json").write_bytes(description)
    named = re.search(rb'"arrays_sha256": "([0-9a-f]{16})', description)
    name = named[1].decode() if named else "0" * 16
    (folder / f"arrays-{name}.safetensors").write_bytes(arrays)


def signed(description: Any, arrays: bytes | None = None) -> bytes:
    """Return a description with the checksums that its writer would have given it."""
    if isinstance(description, dict):
        if arrays is not None:
            description["arrays_sha256"] = hashlib.sha256(arrays).hexdigest()
        description.pop("sha256", None)
        description["sha256"] = hash_described(description)
    return json.dumps(description, indent=2, sort_keys=True).encode()


# ------------------------------------------------------------------------------- bytes


def flip(rng: random.Random, content: bytes, end: int | None = None) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(end or len(changed))] ^= rng.randrange(1, 256)
    return bytes(changed)


def cut(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content))
    return rng.choice([content[:at], content[at:], content + content[:at], content[:at] * 2, b""])


def unsigned_bytes(rng: random.Random, files: Files) -> Files:
    description, arrays = files
    change = rng.choice([flip, cut])
    if rng.random() < 0.5:
        return change(rng, description), arrays
    return description, change(rng, arrays)


def signed_bytes(rng: random.Random, files: Files) -> Files:
    """Change the header of the arrays, or their length; other bytes are other numbers."""
    description, arrays = files
    header = 8 + int.from_bytes(arrays[:8], "little")
    changed = flip(rng, arrays, header) if rng.random() < 0.7 else cut(rng, arrays)
    return signed(json.loads(description), changed), changed


# ------------------------------------------------------------------------- description

NAMES = {"class", "transform", "hydrates", "features", "kind", "origin", "weights", "format"}
STRANGE = [None, True, -1, 1.5, float("nan"), float("inf"), 2**70, "x", [], {}, [[]], {"x": 1}]


def any_place(rng: random.Random, value: Any) -> tuple[Any, Any]:
    """Return a dictionary or list inside a description, and one of its keys."""
    while True:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.2:
            return value, key
        value = inner


def other_value(rng: random.Random, value: Any, key: Any) -> Any:
    """Return a value of another type, a number that none may be, or an unknown name."""
    if isinstance(value, str) and key in NAMES and rng.random() < 0.5:
        return value + "x"
    if isinstance(value, int | float) and not isinstance(value, bool):
        strange = [-1, -0.5, float("nan"), float("inf"), -float("inf"), None, "x"]
        # to clip nowhere is another model
        return rng.choice(strange if key == "clip" else [*strange, 2**70])
    return rng.choice([one for one in STRANGE if type(one) is not type(value)])


def description_value(rng: random.Random, files: Files) -> Files:
    description = json.loads(files[0])
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
        text = "[" * rng.choice([50, 200, 100_000])
        return json.dumps(description).replace("null", text, 1).encode(), files[1]
    return signed(description), files[1]


NAMED: dict[str, tuple[str, ...]] = {
    "class": tuple(PREDICTORS),
    "transform": TRANSFORMS,
    "hydrates": get_args(Hydrates),
    "features": ("magpie", "fractions", "magpie+fractions", "fractions+magpie"),
    "kind": get_args(ScoreKind),
    "origin": get_args(ScoreOrigin),
    "weights": get_args(WeightsChoice),
}


def legal_value(rng: random.Random, files: Files) -> Files:
    """Give one setting another value of its type, the most extreme ones too."""
    description = json.loads(files[0])
    place, key = any_place(rng, description)
    while isinstance(place[key], dict | list):
        place, key = any_place(rng, description)
    value = place[key]
    if key in NAMED:
        place[key] = rng.choice(NAMED[key])
    elif isinstance(value, bool):
        place[key] = not value
    elif isinstance(value, str):
        place[key] = rng.choice(["", "x" * 1000, "\0", "\u202e", "=1+1", "../../x", "\n"])
    elif isinstance(value, int):
        place[key] = rng.choice([0, 1, 2, 3, 10**3, 10**6, 10**9, 2**63])
    else:
        place[key] = rng.choice([0.0, 5e-324, 1e-9, 0.5, 1.0, 3.0, 1e6, 1e300])
    return signed(description), files[1]


# ------------------------------------------------------------------------------ arrays

MISSING = ("scaler.constant", "range.low", "range.high", "threshold.rates", "calibration.X")
"""Arrays in which NaN is a value."""
OPTIONAL = {"calibration.X", "calibration.families"}
"""Arrays that earlier versions did not write."""
PACKED = b"packed trees of "
"""What the array of trees begins with."""
TEXTS = ("booster", "side0", "side1", "formulas", "range.names", "threshold.groups")
FREE = ("held_out", "calibration.scores")
"""Arrays of rows of which nothing else needs to be saved: fewer are another model."""
NOT_NEGATIVE = ("scale", "gain", "local", "floor", "held_out", "found", "aurocs", "clip", "dropout")
"""Last words of the names of floating-point arrays without negative numbers."""


def array_value(rng: random.Random, name: str, array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    place = tuple(rng.randrange(length) for length in array.shape)
    if array.dtype.kind == "f":
        strange = [np.inf, -np.inf]
        if not name.endswith(MISSING):
            strange.append(np.nan)
        if name.endswith(NOT_NEGATIVE):
            strange.append(-1.0)
        changed[place] = rng.choice(strange)
    elif array.dtype == bool:
        changed.view(np.uint8)[place] = rng.choice([2, 128, 255])
    elif array.dtype == np.uint8:
        if array[: len(PACKED)].tobytes() == PACKED:  # other bytes behind it may be legal
            place = (rng.randrange(len(PACKED)),)
        changed[place] = rng.choice([0x80, 0xC3, 0xFF])
    else:  # counts, widths, families, numbers of rows
        limits = np.iinfo(array.dtype)
        changed[place] = rng.choice([limits.min or limits.max, limits.max, limits.max // 2])
    return changed


def array_shape(rng: random.Random, array: np.ndarray) -> np.ndarray:
    if not array.size:
        return np.zeros([2] * array.ndim, array.dtype)
    axis = rng.randrange(array.ndim)
    changes = [
        np.delete(array, 0, axis),
        np.delete(array, -1, axis),
        np.repeat(array, 2, axis),
        array[:0],
        array[None],
        array[..., None],
    ]
    if array.ndim > 1:
        changes.append(array.reshape(-1))
    if array.shape != array.T.shape:
        changes.append(array.T)
    return np.ascontiguousarray(rng.choice(changes))


def array_type(rng: random.Random, array: np.ndarray) -> np.ndarray:
    kinds = ("float64", "float32", "float16", "int64", "int32", "int8", "uint8", "uint32", "bool")
    with np.errstate(all="ignore"):
        return array.astype(rng.choice([kind for kind in kinds if kind != array.dtype]))


def arrays_of(rng: random.Random, files: Files) -> Files:
    arrays = load(files[1])
    name = rng.choice(sorted(arrays))
    kind = rng.choice(["value", "value", "value", "shape", "type", "gone", "more", "swap"])
    if kind == "value" and arrays[name].size:
        arrays[name] = array_value(rng, name, arrays[name])
    elif kind == "type":
        arrays[name] = array_type(rng, arrays[name])
    elif kind == "gone":
        del arrays[rng.choice(sorted(arrays.keys() - OPTIONAL))]
    elif kind == "more":
        arrays[rng.choice([f"{name}x", "x", "domain.x", "net.best.x", "extra.x"])] = arrays[name]
    elif kind == "swap":
        other = rng.choice(sorted(arrays))
        if {name, other} == {"side0", "side1"}:  # what they mean is their order only
            other = "booster"
        if arrays[other].shape != arrays[name].shape or arrays[other].dtype != arrays[name].dtype:
            arrays[name], arrays[other] = arrays[other], arrays[name]
    elif name.endswith(TEXTS):
        arrays[name] = rng.choice([arrays[name][:-1], arrays[name][None]])
    elif name.endswith(FREE):
        arrays[name] = rng.choice([arrays[name][:0], arrays[name][None], arrays[name][..., None]])
    else:
        arrays[name] = array_shape(rng, arrays[name])
    changed = save(arrays)
    return signed(json.loads(files[0]), changed), changed


def legal_array(rng: random.Random, files: Files) -> Files:
    """Give some entries of an array other values of its type, the most extreme ones too."""
    arrays = load(files[1])
    name = rng.choice([name for name in sorted(arrays) if arrays[name].size])
    flat = arrays[name].reshape(-1)
    places = rng.choice([slice(None), [rng.randrange(flat.size)], slice(rng.randrange(flat.size))])
    if flat.dtype == bool:
        flat[places] = ~flat[places]
    elif flat.dtype.kind == "f":
        most = np.finfo(flat.dtype).max
        flat[places] = rng.choice([0, most, -most, np.finfo(flat.dtype).tiny, 1, -1, 1e9, 1e30])
    elif flat.dtype == np.uint8:
        flat[places] = rng.choice(b"0123456789-. \nexN")
    else:
        flat[places] = rng.choice([0, 1, 2, 3, 7, 1000, 2**20, 2**31 - 1])
    changed = save(arrays)
    return signed(json.loads(files[0]), changed), changed


# ------------------------------------------------------------------------------- trees


def resized(text: str) -> str:
    """Return trees with the sizes that they have."""
    head, *trees = re.split(r"(?=Tree=\d+\n)", text.split("end of trees\n", maxsplit=1)[0])
    sizes = " ".join(str(len(tree)) for tree in trees)
    end = text[text.index("end of trees\n") :] if "end of trees\n" in text else ""
    return re.sub(r"tree_sizes=.*", f"tree_sizes={sizes}", head) + "".join(trees) + end


def tree_text(rng: random.Random, text: str) -> str:
    end = text.index("end of trees\n")
    lines = text[:end].splitlines(keepends=True)
    row = rng.choice([row for row, line in enumerate(lines) if line.strip()])
    name, _, values = lines[row].rstrip("\n").partition("=")
    kind = rng.choice(["entry", "entry", "entry", "fewer", "more", "gone", "twice", "letter"])
    entries = values.split(" ")
    place = rng.randrange(len(entries))
    if kind == "letter":
        lines[row] = lines[row][:-1] + rng.choice(["x", "#", "\0", " ", "é", "=", "\n"]) + "\n"
    elif kind == "gone":
        lines[row] = ""
    elif kind == "twice":
        lines[row] *= 2
    else:
        if kind == "entry":
            strange = ["nan", "inf", "1e999", "-", "x", "", "0x1", "1 1"]
            indices = {"left_child", "right_child", "split_feature", "num_leaves", "decision_type"}
            if name in indices:
                strange += ["99999999999", "-9", "-999", "1e9", "2147483647", "-2147483648", "1.5"]
            if name in {"left_child", "right_child"}:
                strange += ["0"]
            entries[place] = rng.choice(strange)
        elif kind == "fewer":
            del entries[place]
        else:
            entries.insert(place, entries[place])
        lines[row] = f"{name}={' '.join(entries)}\n"
    changed = "".join(lines) + text[end:]
    return resized(changed) if rng.random() < 0.7 else changed


def packed_trees(rng: random.Random, data: bytes) -> bytes:
    """Return packed trees of another structure."""
    begin, _, body = data.partition(b"\n")
    arrays = load(body)
    name = rng.choice(sorted(arrays))
    kind = rng.choice(["value", "value", "value", "shorter", "longer", "type", "gone", "more"])
    array = arrays[name]
    if kind == "value" and array.size:
        changed = array.astype(np.float64 if array.dtype.kind == "f" else np.int32)
        strange = [np.nan, -np.inf] if array.dtype.kind == "f" else [2**31 - 1, -(2**31), 10**6]
        changed[rng.randrange(len(changed))] = rng.choice(strange)
        arrays[name] = changed
    elif kind == "longer":
        arrays[name] = np.concatenate([array, array[:1]]) if array.size else array[None]
    elif kind == "type":
        other = np.int64 if array.dtype.kind == "f" else np.float64
        arrays[name] = array.astype(other)
    elif kind == "gone":
        del arrays[name]
    elif kind == "more":
        arrays[f"{name}x"] = array
    else:
        arrays[name] = array[1:] if array.size else array[None]
    return begin + b"\n" + save(arrays)


def trees_of(rng: random.Random, files: Files) -> Files:
    """Change trees, as they are or as the text of earlier versions."""
    arrays = load(files[1])
    names = [name for name in ("booster", "side0", "side1") if name in arrays]
    if not names:
        return arrays_of(rng, files)
    name = rng.choice(names)
    data = arrays[name].tobytes()
    if rng.random() < 0.5:
        changed = packed_trees(rng, data)
    else:
        loss = data[len(PACKED) : data.index(b"\n")].decode()
        changed = tree_text(rng, unpack_trees(name, arrays[name], loss).text).encode()
    arrays[name] = np.frombuffer(changed, dtype=np.uint8)
    changed = save(arrays)
    return signed(json.loads(files[0]), changed), changed


MUTATIONS = {
    "unsigned bytes": unsigned_bytes,
    "signed bytes": signed_bytes,
    "description": description_value,
    "arrays": arrays_of,
    "trees": trees_of,
    "legal settings": legal_value,
    "legal arrays": legal_array,
}
LEGAL = {"legal settings", "legal arrays"}
"""Mutations after which a model may answer otherwise."""


# -------------------------------------------------------------------------- trying them


def answer(folder: Path) -> list[Any]:
    model = load_model(folder, device="cpu")
    columns = len(model.card.feature_cols)
    extra = np.linspace(-1, 1, len(ASKED) * columns).reshape(len(ASKED), columns)
    known = getattr(model.calibration, "families", None) is not None
    frames = [model.predict(ASKED, extra, explain=True).frame]
    if known:
        frames.append(model.predict(ASKED, extra, by_family=True).frame)
    return [found[name].to_numpy() for found in frames for name in found]


def equal(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        a.dtype == b.dtype
        and (a.tobytes() == b.tobytes() if a.dtype.kind in "fib" else a.tolist() == b.tolist())
        for a, b in zip(one, other, strict=True)
    )


def attempt(files: Files, kind: str, seed: int, usual: list[Any], folder: Path) -> str:
    """Return what a mutation does: refused, same, other if that is legal, or a fault."""
    changed = MUTATIONS[kind](random.Random(f"{kind} {seed}"), files)
    write(folder, changed)
    try:
        found = answer(folder)
    except XtalshiftError as error:
        return REFUSED if "\n" not in str(error) else f"fault: several lines: {error}"
    except Exception as error:  # noqa: BLE001 - any other is what is looked for
        return f"fault: {type(error).__name__}: {error}"
    if kind == "unsigned bytes" and changed != files:
        meaning = [changed[1] == files[1], json.loads(changed[0]) == json.loads(files[0])]
        if not all(meaning):
            return "fault: read without its checksum"
    if equal(found, usual):
        return SAME
    return OTHER if kind in LEGAL else "fault: another answer"


def attempts(models: dict[str, Path]) -> Callable[[str, str, int], str]:
    """Return what tries one mutation (model, kind, seed)."""
    files = {name: read(folder) for name, folder in models.items()}
    usual = {name: answer(folder) for name, folder in models.items()}
    place = tempfile.TemporaryDirectory()
    return lambda name, kind, seed: attempt(files[name], kind, seed, usual[name], Path(place.name))


def try_all(
    models: dict[str, Path], tasks: list[tuple[str, str, int]]
) -> Iterator[tuple[tuple[str, str, int], str]]:
    """Yield each task (model, mutation, seed) and what it did, a crash or a hang too."""
    return try_each(partial(attempts, models), tasks)
