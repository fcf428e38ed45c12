"""A pretrained encoder of compositions: a small network whose last layer is the features.

The network was trained on many large tables at once (`xtalshift.nn.pretraining`). Here it only
computes, in NumPy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from xtalshift.chem.compositions import Compositions
from xtalshift.errors import DataError, ModelFormatError
from xtalshift.featurize.fractions import FRACTIONS
from xtalshift.featurize.magpie import MAGPIE
from xtalshift.files import explained, replace_file
from xtalshift.jsonio import Plain, decode_json, finite, parse
from xtalshift.rowwise import in_blocks
from xtalshift.saved_arrays import SavedArray, Schema, check_arrays

FORMAT = "xtalshift-encoder"
FORMAT_VERSION = 1
CARD_FILE = "encoder.json"
ARRAYS_FILE = "encoder.safetensors"
SHIPPED = Path(__file__).parent / "shipped_encoder"
"""Folder of the encoder of this package."""
REACH = 5.0
"""Inputs are clipped at this many standard deviations."""
N_INPUTS = len(MAGPIE.names) + len(FRACTIONS.names)
_REMEDY = "make it again with `xtalshift pretrain`"
_SHIPPED_REMEDY = "install xtalshift again"
_NAME_LENGTH = 16  # hexadecimal digits that tell encoders apart in messages

ENCODER: Schema = {
    "inputs.mean": SavedArray(np.float32, (N_INPUTS,)),
    "inputs.gain": SavedArray(np.float32, (N_INPUTS,), low=0.0),
    "first.weight": SavedArray(np.float16, (N_INPUTS, "first")),
    "first.bias": SavedArray(np.float16, ("first",)),
    "second.weight": SavedArray(np.float16, ("first", "second")),
    "second.bias": SavedArray(np.float16, ("second",)),
    "output.weight": SavedArray(np.float16, ("second", "size")),
    "output.bias": SavedArray(np.float16, ("size",)),
    "formulas": SavedArray(np.uint64, ("materials",)),
}
"""Arrays of an encoder: mean and 1 / standard deviation of the inputs (0 for an input that did not
vary), three layers, and the sorted hashes of the reduced formulas that it was trained on."""
_LAYERS = ("first", "second", "output")


@dataclass(frozen=True)
class PretrainingTable:
    """One table that an encoder was trained on."""

    name: str
    property: str
    """What the target is, in words."""
    materials: int
    """Number of different reduced formulas, with those held out to measure the error."""
    licence: str = ""
    citation: str = ""
    error: float | None = None
    """Mean absolute error for held-out formulas divided by that of the median, both on the scale
    ``asinh(y / s)`` with s the 10 % quantile of the sizes of the targets. None if there were too
    few formulas to hold any out."""


@dataclass(frozen=True)
class EncoderCard:
    """What an encoder is made of, saved with it."""

    arrays_sha256: str
    """SHA-256 of the file of arrays, which identifies the encoder."""
    tables: tuple[PretrainingTable, ...]
    materials: int
    """Number of different reduced formulas that the network was trained on."""
    without: dict[str, int]
    """Tables whose formulas were left out, with the number of formulas of each."""
    settings: Plain
    """Settings of the training, the seed included."""
    versions: dict[str, str]
    """Versions of xtalshift, NumPy and PyTorch."""
    format: str = FORMAT
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, eq=False, repr=False)
class Encoder:
    """Computes bounded features of compositions.

    Attributes
    ----------
    arrays : dict of ndarray
        Those of `ENCODER`.
    card : EncoderCard
        What it is made of.
    """

    arrays: dict[str, NDArray[Any]]
    card: EncoderCard
    _layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = field(init=False)

    def __post_init__(self) -> None:
        layers = [
            tuple(self.arrays[f"{name}.{part}"].astype(np.float32) for part in ("weight", "bias"))
            for name in _LAYERS
        ]
        object.__setattr__(self, "_layers", layers)

    def __repr__(self) -> str:
        """Return which one it is."""
        return f"<Encoder {self.label}>"

    @property
    def size(self) -> int:
        """Number of features."""
        return len(self.arrays["output.bias"])

    @property
    def label(self) -> str:
        """The first digits of the SHA-256, for messages."""
        return self.card.arrays_sha256[:_NAME_LENGTH]

    def encode(
        self, compositions: Compositions, reasons: NDArray[np.object_]
    ) -> NDArray[np.float32]:
        """Compute the features of n compositions, each at least one element.

        Parameters
        ----------
        compositions : Compositions
            n rows.
        reasons : ndarray of object, shape (n,)
            Filled with why a row has no features.

        Returns
        -------
        ndarray of float32, shape (n, size)
            Numbers from -1 to 1; those of a row do not depend on the other rows.
        """
        inputs = network_inputs(compositions, reasons)
        return in_blocks(self._evaluate, inputs).T

    def knows(self, formulas: Iterable[str]) -> NDArray[np.bool_]:
        """Return which of n reduced formulas the encoder was trained on, shape (n,).

        Two different formulas share a hash with the probability 2**-64.
        """
        known = self.arrays["formulas"]
        hashes = hash_formulas(formulas)
        if not len(known):
            return np.zeros(len(hashes), dtype=np.bool_)
        place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        return np.asarray(known[place] == hashes)

    @cached_property
    def properties(self) -> str:
        """The properties that it was trained on, in one text."""
        return ", ".join(table.property for table in self.card.tables)

    def _evaluate(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features of a block of rows, transposed: shape (size, n)."""
        h = scale_inputs(rows, self.arrays["inputs.mean"], self.arrays["inputs.gain"])
        for place, (weight, bias) in enumerate(self._layers):
            h = h @ weight
            h += bias
            if place < len(_LAYERS) - 1:
                np.maximum(h, 0.0, out=h)
        return np.tanh(h, out=h).T


def network_inputs(compositions: Compositions, reasons: NDArray[np.object_]) -> NDArray[np.float32]:
    """Return what the network sees of n compositions: magpie features and fractions, (n, d)."""
    inputs = np.empty((len(compositions), N_INPUTS))
    magpie = len(MAGPIE.names)
    MAGPIE.fill(compositions, inputs[:, :magpie], reasons, impute_nan=True)
    FRACTIONS.fill(compositions, inputs[:, magpie:], reasons, impute_nan=True)
    return inputs.astype(np.float32)


def scale_inputs(
    rows: NDArray[np.float32], mean: NDArray[np.float32], gain: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return standardised inputs, clipped to `REACH`, shape (n, d)."""
    scaled = (rows - mean) * gain
    np.clip(scaled, -REACH, REACH, out=scaled)
    return scaled


def hash_formulas(formulas: Iterable[str]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each text (BLAKE2b), shape (n,)."""
    digests = b"".join(
        hashlib.blake2b(formula.encode(), digest_size=8).digest() for formula in formulas
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def save_encoder(folder: Path, arrays: dict[str, NDArray[Any]], card: Plain) -> Encoder:
    """Write an encoder to a folder, replacing one that is there.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    arrays : dict of ndarray
        Those of `ENCODER`.
    card : dict
        Fields of `EncoderCard` without the hash of the arrays.

    Returns
    -------
    Encoder
        As it will be read.

    Raises
    ------
    DataError
        If the folder cannot be written.
    """
    content = save({name: np.ascontiguousarray(arrays[name]) for name in ENCODER})
    made = EncoderCard(arrays_sha256=hashlib.sha256(content).hexdigest(), **card)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / ARRAYS_FILE, content)
    text = json.dumps(finite(asdict(made)), indent=1, ensure_ascii=False)
    replace_file(folder / CARD_FILE, text + "\n")
    return read_encoder(folder)


def parse_card(values: object, where: object, remedy: str) -> EncoderCard:
    """Return the card of an encoder from JSON values.

    Parameters
    ----------
    values : dict
        Fields of `EncoderCard`.
    where, remedy : object, str
        Used in messages: what holds the card, and what to do.

    Raises
    ------
    ModelFormatError
        If it is none, or one of a newer version.
    DataError
        If a field is missing or wrong.
    """
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ModelFormatError(f"{where} does not describe an encoder; {remedy}")
    if values.get("format_version") != FORMAT_VERSION:
        raise ModelFormatError(
            f"{where} has format version {values.get('format_version')}; this version of xtalshift "
            f"reads {FORMAT_VERSION}. Update xtalshift, or {remedy}"
        )
    return parse(EncoderCard, values, where, remedy)


def restore_encoder(arrays: dict[str, NDArray[Any]], card: EncoderCard) -> Encoder:
    """Return the encoder of a card and of arrays that were read from a file.

    Raises
    ------
    ModelFormatError
        If the arrays are not those of such an encoder.
    """
    check_arrays(arrays, ENCODER)
    hashes = arrays["formulas"]
    if not (hashes[1:] > hashes[:-1]).all() or len(hashes) != card.materials:
        raise ModelFormatError("the hashes are not those of the formulas in the card")
    return Encoder(arrays, card)


def read_encoder(folder: Path) -> Encoder:
    """Read and check an encoder; the same files are read once.

    Raises
    ------
    ModelFormatError
        If there is none, or its files are damaged, altered, or of a newer version.
    """
    remedy = _SHIPPED_REMEDY if folder == SHIPPED else _REMEDY
    card, path = folder / CARD_FILE, folder / ARRAYS_FILE
    try:
        text = card.read_bytes()
        state = path.stat()
    except OSError as error:
        raise ModelFormatError(
            f"{folder} holds no encoder: cannot read {error.filename} ({error.strerror}); name the "
            "folder that `xtalshift pretrain` wrote"
            if folder != SHIPPED
            else f"cannot read {error.filename} ({error.strerror}); {remedy}"
        ) from error
    return _read(folder, text, (state.st_mtime_ns, state.st_size), remedy)


@lru_cache(maxsize=8)
def _read(folder: Path, text: bytes, state: tuple[int, int], remedy: str) -> Encoder:  # noqa: ARG001 - a changed file is read again
    place = folder / CARD_FILE
    try:
        card = parse_card(decode_json(text, place, remedy), place, remedy)
        content = (folder / ARRAYS_FILE).read_bytes()
        if hashlib.sha256(content).hexdigest() != card.arrays_sha256:
            raise ModelFormatError(
                f"{folder / ARRAYS_FILE} was altered: it is not that of {CARD_FILE}; {remedy}"
            )
        return restore_encoder(load(content), card)
    except (DataError, SafetensorError, OSError) as error:
        raise ModelFormatError(f"{folder} cannot be used: {error}; {remedy}") from error
