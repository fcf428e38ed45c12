"""Saved models: a folder with JSON and safetensors. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from xtalshift.data.transform import TargetTransform
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.errors import DataError, ModelFormatError, XtalshiftError
from xtalshift.estimators.class_predictors import ClassPredictor
from xtalshift.estimators.predictors import PREDICTORS, Arrays, Learned, Predictor
from xtalshift.estimators.saved import SavedRegressor
from xtalshift.featurize import CompositionFeatures
from xtalshift.featurize.blocks import PRETRAINED, Blocks, kind_of, split_blocks
from xtalshift.featurize.encoder import ENCODER, Encoder, parse_card, restore_encoder
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.files import explained, hold_folder, replace_file
from xtalshift.jsonio import Plain, finite, parse
from xtalshift.model.card import ModelCard
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.description import Description, SavedCalibration, SavedClassCalibration
from xtalshift.model.fitted import FittedModel
from xtalshift.model.from_formulas import bytes_left_out, leave_out, put_back, with_left_out
from xtalshift.model.ready.names import model_folder
from xtalshift.model.signed_json import read_signed, sign
from xtalshift.saved_arrays import Layout, Schema, Unread, check_layout
from xtalshift.uncertainty.class_calibration import ClassCalibration
from xtalshift.uncertainty.conformal import Calibration

FORMAT = "xtalshift-model"
FORMAT_VERSION = 8
"""Version 4: the name of the file of arrays contains its checksum. Version 5: a model contains the
encoder of its features; before, it named the folder. Version 6: the domain of a model of crystals
has their ids and space groups. Version 7: a model says its task, and may predict classes. Version
8: trees are packed, and features that formulas give again are left out."""
READABLE_VERSIONS = (3, 4, 5, 6, 7, 8)
MODEL_FILE = "model.json"
_REMEDY = "save or copy the model again, or train it again"
_TYPES = {
    name: np.dtype(kind)
    for name, kind in {
        "F64": np.float64,
        "F32": np.float32,
        "F16": np.float16,
        "I64": np.int64,
        "U64": np.uint64,
        "U32": np.uint32,
        "U8": np.uint8,
        "BOOL": np.bool_,
    }.items()
}
"""Types of the arrays of a model, as safetensors names them."""
T = TypeVar("T")
_LARGEST_TEXT = 2**24
"""Bytes of the description. Its feature names and settings take some thousands."""
_ENCODER = "encoder."
"""Begins the names of the arrays of an encoder."""
_OURS = re.compile(
    r"model\.json|evaluation\.json|arrays(-[0-9a-f]{16})?\.safetensors|\.(model|arrays).*\.part"
)
"""Files of a model folder, also those of earlier versions and of writers that were killed; the
evaluation of a ready model is of that very model."""


def save_model(model: FittedModel | FittedClassifier, folder: Path) -> Path:
    """Write a fitted model to `folder`, replacing a model that is already there.

    Parameters
    ----------
    model : FittedModel or FittedClassifier
    folder : Path
        Made if it does not exist. At any time it holds either the earlier model or the new one.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    ModelFormatError
        If the model cannot be saved, or the folder exists and holds something other than a model,
        or is not writable.
    DataError
        If writing fails, for instance because the disk is full; an earlier model is kept.
    """
    scale, classes = "none", None
    if isinstance(model, FittedClassifier):
        learned: Learned = model.classifier
        task, classes = model.task, list(model.classes)
    else:
        learned, scale, task = model.regressor, model.scale.name, "regression"
    if learned.unsaved:
        raise ModelFormatError(learned.unsaved)
    state = {name: value.copy() for name, value in learned._get_state().items()}  # noqa: SLF001
    calibration, domain = model.calibration, model.domain
    if calibration is not None:
        state |= calibration.get_state()
    if domain is not None:
        state |= domain.get_state()
    leave_out(model, state)
    encoder = encoder_of(model.featurizer)
    if encoder is not None:
        state |= {f"{_ENCODER}{name}": values for name, values in encoder.arrays.items()}
    arrays = save(state)
    description: Plain = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "arrays_sha256": hashlib.sha256(arrays).hexdigest(),
        "pipeline": {
            "features": _own_names(model.featurizer.blocks),
            "transform": scale,
            "impute_nan": model.featurizer.impute_nan,
            "hydrates": model.featurizer.hydrates,
            "amounts": model.featurizer.amounts,
        },
        "encoder": None if encoder is None else finite(asdict(encoder.card)),
        "feature_names": list(model.featurizer.names),
        "task": task,
        "classes": classes,
        "regressor": SavedRegressor.of(learned).model_dump(by_alias=True),
        "card": asdict(model.card),
        "calibration": SavedCalibration.of(calibration).model_dump()
        if isinstance(calibration, Calibration)
        else None,
        "class_calibration": SavedClassCalibration.of(calibration).model_dump()
        if isinstance(calibration, ClassCalibration)
        else None,
        "has_domain": domain is not None,
    }
    return _write_model(folder, description, arrays)


def _own_names(blocks: Blocks) -> Blocks:
    """Return blocks without the folder of the encoder, which is a part of the model."""
    kinds = ((name, kind_of(name)) for name in split_blocks(blocks))
    return "+".join(kind if kind == PRETRAINED else name for name, kind in kinds)


def _write_model(folder: Path, description: Plain, arrays: bytes) -> Path:
    """Write a model so that the folder holds either the earlier or the new one at any time.

    The description determines the name of the file of arrays, so that replacing the description
    replaces the model.
    """
    check_model_folder(folder)
    place = Path(os.path.realpath(folder))
    description = {**description, "format_version": FORMAT_VERSION}
    text = json.dumps(sign(description), indent=2, sort_keys=True, ensure_ascii=False)
    with explained(place):
        place.mkdir(parents=True, exist_ok=True)
        with hold_folder(place):
            name = _arrays_name(description)
            replace_file(place / name, arrays)
            replace_file(place / MODEL_FILE, text + "\n")
            for old in place.iterdir():
                if old.name not in {name, MODEL_FILE}:
                    old.unlink()
    return folder


def _arrays_name(description: Plain) -> str:
    if description["format_version"] == 3:  # noqa: PLR2004 - it replaced the whole folder
        return "arrays.safetensors"
    return f"arrays-{str(description.get('arrays_sha256'))[:16]}.safetensors"


def check_model_folder(folder: Path, *, overwrite: bool = True) -> None:
    """Refuse a folder to which a model cannot, or must not, be saved.

    Parameters
    ----------
    folder : Path
        It may not exist.
    overwrite : bool
        Whether a model that is there may be replaced.

    Raises
    ------
    ModelFormatError
        If the folder holds something other than a model, or one that is to stay, or cannot be
        written.
    """
    given, folder = folder, Path(os.path.realpath(folder))
    with explained(folder):
        foreign = folder.exists() and not (
            folder.is_dir() and all(_OURS.fullmatch(path.name) for path in folder.iterdir())
        )
        parent = next(path for path in folder.absolute().parents if path.exists())
    if foreign:
        raise ModelFormatError(f"{folder} exists and is not a saved model; choose another folder")
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ModelFormatError(
            f"cannot write {folder}: {parent} is not a writable folder; choose another"
        )
    if not overwrite and (folder / MODEL_FILE).exists():
        raise ModelFormatError(
            f"{given} holds a model{_brief(folder)}; choose another -o, or give --overwrite to "
            "replace it"
        )


def _brief(folder: Path) -> str:
    """Return in brackets what a saved model is, an empty text if it cannot be read."""
    try:
        card = _read_description(folder)["card"]
    except ModelFormatError:
        return ""
    return f" ({card['provenance'].get('method', 'unknown')} for {card['target_name']})"


def load_model(folder: Path | str, *, device: str | None = None) -> Any:
    """Read a model that `save_model` wrote.

    Parameters
    ----------
    folder : Path or str
        Folder of the model, or name of a ready model (``xtalshift models list``) where no folder
        has this name.
    device : str, optional
        Device on which a network predicts; by default ``auto``.

    Returns
    -------
    FittedModel or FittedClassifier
        Which one it is was decided by the targets of its training.

    Raises
    ------
    ModelFormatError
        If the folder is missing, truncated, altered, or written by a newer version; the message
        says which.
    """
    folder = model_folder(folder)
    description, arrays = _read_files(folder)
    try:
        return _restore(Description(**description), load(arrays), device)
    except (XtalshiftError, SafetensorError, ValueError) as error:
        raise ModelFormatError(_unusable(folder, error)) from error


def saved_card(folder: Path) -> ModelCard:
    """Return the card of a saved model, whose arrays are not read.

    Raises
    ------
    ModelFormatError
        As in `load_model`.
    """
    return _card_of(Description(**_read_description(folder)))


def _card_of(description: Description) -> ModelCard:
    return ModelCard(
        **{**dict(description.card), "feature_cols": tuple(description.card.feature_cols)}
    )


def _restore(
    description: Description, state: Arrays, device: str | None
) -> FittedModel | FittedClassifier:
    """Return the model of a description and of arrays, each part after its own check."""
    made = description.pipeline
    features = CompositionFeatures(
        made.features,
        made.impute_nan,
        made.hydrates,
        made.amounts,
        _own_encoder(description, _take_encoder(state)),
    )
    if list(features.names) != description.feature_names:
        raise ModelFormatError("it was made with features that this version does not compute")
    domain = None
    formulas = put_back(features, state)
    if description.has_domain:
        domain = ApplicabilityDomain().set_state(_take(state, "domain."))
    calibration = None
    if description.calibration is not None:
        calibration = replace(
            description.calibration.make(_take(state, "calibration.")), formulas=formulas
        )
    of_classes = None
    if description.class_calibration is not None:
        n_classes = len(description.classes or ())
        of_classes = replace(
            description.class_calibration.make(_take(state, "calibration."), n_classes),
            formulas=formulas,
        )
    learned = description.regressor.make(device)
    learned._set_state(state)  # noqa: SLF001
    model: FittedModel | FittedClassifier
    if description.task == "regression":
        _demand_kind(learned, Predictor, description)
        model = FittedModel(
            features,
            TargetTransform(made.transform),
            learned,
            _card_of(description),
            calibration,
            domain,
        )
    else:
        _demand_kind(learned, ClassPredictor, description)
        classes = tuple(description.classes or ())
        if len(set(classes)) < len(classes) or len(classes) != len(learned.classes_):
            raise ModelFormatError(
                f"it names {len(classes)} classes, and its classifier has {len(learned.classes_)}"
            )
        ordered = description.task == "ordinal"
        model = FittedClassifier(
            features, classes, ordered, learned, _card_of(description), of_classes, domain
        )
    _check_features(model)
    return model


def _demand_kind(learned: Learned, kind: type[Learned], description: Description) -> None:
    """Raise `ModelFormatError` unless a model predicts what its description says."""
    of_classes = kind is ClassPredictor
    if not isinstance(learned, kind) or of_classes != (description.classes is not None):
        raise ModelFormatError(
            f"{description.regressor.class_name} is not for the task {description.task!r}"
        )
    other = description.calibration if of_classes else description.class_calibration
    if other is not None:
        raise ModelFormatError(f"its calibration is not for the task {description.task!r}")


def _own_encoder(description: Description, arrays: Arrays) -> Encoder | None:
    """Return the encoder of the features, None if they need none."""
    made = description.pipeline
    needed = PRETRAINED in map(kind_of, split_blocks(made.features))
    if description.encoder is not None and needed:
        return restore_encoder(arrays, parse_card(description.encoder, "its encoder", _REMEDY))
    if description.encoder is not None or needed != bool(made.encoder):
        raise ModelFormatError(f"it has not the encoder of its features {made.features!r}")
    if not needed:
        return None
    # a model of version 4 or before
    remedy = "put that encoder there and save the model again, or train it again"
    try:
        found = encoder_of(made.features)
    except ModelFormatError as error:
        raise ModelFormatError(
            f"a model of an earlier version does not contain its encoder, {made.encoder[:16]}, and "
            f"{error}; {remedy}"
        ) from error
    assert found is not None
    if found.card.arrays_sha256 != made.encoder:
        raise ModelFormatError(
            f"it was trained with the encoder {made.encoder[:16]}, but its features "
            f"{made.features!r} have the encoder {found.label} now; {remedy}"
        )
    return found


def _take(state: dict[str, T], prefix: str) -> dict[str, T]:
    """Remove and return the arrays of a part; those that no part takes are found at the end."""
    return {name: state.pop(name) for name in list(state) if name.startswith(prefix)}


def _take_encoder(state: dict[str, T]) -> dict[str, T]:
    """Remove and return the arrays of an encoder, by their names there."""
    return {name.removeprefix(_ENCODER): part for name, part in _take(state, _ENCODER).items()}


def _check_features(model: FittedModel | FittedClassifier) -> None:
    """Raise `ModelFormatError` unless all parts of a model take its features."""
    d = len(model.feature_names)
    if isinstance(model, FittedClassifier):
        takes = {"the classifier": model.classifier.n_features_in_}
    else:
        takes = {"the regressor": model.regressor.n_features_in_}
    if model.calibration is not None and model.calibration.X is not None:
        takes["the calibration"] = model.calibration.X.shape[1]
    names = model.featurizer.names  # those of extra columns may be given by another card
    if model.domain is not None:
        known = model.domain.range_.names
        takes["the domain"] = len(known)
        if known[: len(names)] != names:
            raise ModelFormatError("the domain has other features than the model")
    for part, number in takes.items():
        if number != d:
            raise ModelFormatError(f"{part} takes {number} features, but there are {d}")


def _read_files(folder: Path) -> tuple[Plain, bytes]:
    """Return the description of a model and its file of arrays, both of the same model."""
    description = _read_description(folder)
    path = folder / _arrays_name(description)
    try:
        arrays = _read_arrays(path, description)
    except OSError:  # perhaps another model has just replaced it
        description, path, arrays = _read_held(folder)
    if hashlib.sha256(arrays).hexdigest() != description.get("arrays_sha256"):
        raise ModelFormatError(_altered(path))
    return description, arrays


def _read_arrays(path: Path, description: Plain) -> bytes:
    """Return a file of arrays, which is read only if it can be that of its description."""
    try:
        with safe_open(path, "numpy") as file:  # is as long as its header says
            found = {name: _unread(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118
            _check_header(found, Description(**description))
            _check_memory(path, bytes_left_out(found))
            return path.read_bytes()
    except SafetensorError as error:
        raise ModelFormatError(_altered(path)) from error
    except XtalshiftError as error:
        raise ModelFormatError(_unusable(path.parent, error)) from error


def _unread(part: Any) -> Unread:
    kind = _TYPES.get(part.get_dtype(), np.dtype(object))
    return Unread(kind, tuple(part.get_shape()))


def _check_header(found: dict[str, Unread], description: Description) -> None:
    """Raise `ModelFormatError` if the arrays of a file are not those of its description."""
    d = len(description.feature_names) + len(description.card.feature_cols)
    regressor = PREDICTORS[description.regressor.class_name]
    parts: list[tuple[Layout, Schema]] = []
    found = with_left_out(found)
    if description.encoder is not None:
        weights = _take_encoder(found)
        parts.append((weights, ENCODER))
    if description.has_domain:
        materials = _take(found, "domain.")
        parts.append((materials, ApplicabilityDomain.saved(materials)))
    if description.calibration is not None:
        scores = _take(found, "calibration.")
        parts.append((scores, Calibration.saved(scores)))
    if description.class_calibration is not None:
        scores = _take(found, "calibration.")
        parts.append((scores, ClassCalibration.saved(scores)))
    parts.append((found, regressor._saved(found)))  # noqa: SLF001
    for arrays, schema in parts:
        lengths = check_layout(arrays, schema, d=d)
        kept, left_out = lengths.get("kept", d), lengths.get("left out", 0)
        if kept + left_out != d:
            raise ModelFormatError(f"{kept} of {d} features are kept and {left_out} left out")


def _check_memory(path: Path, left_out: int) -> None:
    """Raise `ModelFormatError` if a file and the arrays made of it exceed the memory."""
    size, memory = path.stat().st_size + left_out, _memory()
    if 2 * size > memory:
        raise ModelFormatError(
            f"it takes twice {size / 2**30:.3g} GiB, more than the memory of this machine "
            f"({memory / 2**30:.3g} GiB)"
        )


def _memory() -> float:
    """Return the bytes of memory of this machine; infinity where the system does not tell."""
    if not hasattr(os, "sysconf"):  # Windows
        return math.inf
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read_held(folder: Path) -> tuple[Plain, Path, bytes]:
    """Return a description, the path of its arrays and these, while no other process writes."""
    try:
        with hold_folder(folder):
            description = _read_description(folder)
            path = folder / _arrays_name(description)
            return description, path, _read_arrays(path, description)
    except OSError as error:
        raise ModelFormatError(
            f"{folder} is incomplete: cannot read its arrays ({error.strerror})"
        ) from error


def _unusable(folder: Path, error: Exception) -> str:
    return f"{folder} cannot be restored: {error}; {_REMEDY}"


def _altered(path: Path) -> str:
    return (
        f"{path} is truncated or was altered: it is not the one of {MODEL_FILE}. "
        "Save or copy the model again"
    )


def _read_description(folder: Path) -> Plain:
    path = folder / MODEL_FILE
    if not path.is_file():
        raise ModelFormatError(
            f"{folder} is not a saved model: there is no {MODEL_FILE}. "
            + (
                "It holds models of several targets: read them with load_models, or name the "
                "folder of one in it"
                if (folder / "models.json").exists()
                else f"It is the folder of a run; its model is {folder / 'model'}"
                if (folder / "model" / MODEL_FILE).exists()
                else "Name the folder that `xtalshift train` wrote, or model/ in that of `run`"
            )
        )
    description = read_signed(
        path,
        form=FORMAT,
        versions=READABLE_VERSIONS,
        what="an xtalshift model",
        largest=_LARGEST_TEXT,
        remedy=_REMEDY,
    )
    try:
        parse(Description, description, path, _REMEDY)
    except DataError as error:
        raise ModelFormatError(str(error)) from error
    return description
