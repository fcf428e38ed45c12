"""Saved models: a folder with JSON and safetensors. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.errors import ModelFormatError
from xtalshift.estimators.base import REGRESSORS, Regressor
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.jsonio import Plain
from xtalshift.model.card import ModelCard
from xtalshift.model.fitted import FittedModel
from xtalshift.model.fitting import target_scale
from xtalshift.provenance import hash_text
from xtalshift.uncertainty.conformal import Calibration

__all__ = ["FORMAT_VERSION", "check_model_folder", "check_new_model", "load_model", "save_model"]

FORMAT = "xtalshift-model"
FORMAT_VERSION = 3
MODEL_FILE = "model.json"
ARRAYS_FILE = "arrays.safetensors"


def save_model(model: FittedModel, folder: Path) -> Path:
    """Write a fitted model to `folder`, replacing a model that is already there.

    Parameters
    ----------
    model : FittedModel
    folder : Path
        Made if it does not exist. The model is written completely or not at all.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    ModelFormatError
        If the folder exists and holds something other than a model, or cannot be written.
    OSError
        If writing fails; a model that was there is kept.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - "missing/../folder" is the folder
    check_model_folder(folder)
    state = {name: value.copy() for name, value in model.regressor._get_state().items()}  # noqa: SLF001
    regressor = model.regressor
    calibration, domain = model.calibration, model.domain
    if calibration is not None:
        state |= calibration.get_state()
    if domain is not None:
        state |= domain.get_state()
    arrays = save(state)
    description: Plain = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "arrays_sha256": hashlib.sha256(arrays).hexdigest(),
        "pipeline": {
            "features": model.featurizer.blocks,
            "transform": model.scale.name,
            "impute_nan": model.featurizer.impute_nan,
            "hydrates": model.featurizer.hydrates,
        },
        "feature_names": [str(name) for name in model.featurizer.get_feature_names_out()],
        "regressor": {"class": type(regressor).__name__, "parameters": _plain(regressor)},
        "card": asdict(model.card),
        "calibration": None
        if calibration is None
        else {"kind": calibration.kind, "origin": calibration.origin},
        "has_domain": domain is not None,
    }
    description["sha256"] = _hash_description(description)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    old = part.with_name(f"{part.name}-old")
    try:
        part.chmod(0o755)
        (part / ARRAYS_FILE).write_bytes(arrays)
        text = json.dumps(description, indent=2, sort_keys=True, ensure_ascii=False)
        (part / MODEL_FILE).write_text(text + "\n", encoding="utf-8")
        if folder.exists():
            folder.replace(old)
        part.replace(folder)
    finally:
        if old.exists() and not folder.exists():
            old.replace(folder)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return folder


def check_model_folder(folder: Path) -> None:
    """Raise `ModelFormatError` if `folder` has something other than a model or is not writable."""
    folder = Path(os.path.abspath(folder))  # noqa: PTH100
    files = {MODEL_FILE, ARRAYS_FILE}
    if folder.exists() and (
        not folder.is_dir() or {path.name for path in folder.iterdir()} - files
    ):
        raise ModelFormatError(f"{folder} exists and is not a saved model; choose another folder")
    parent = next(path for path in folder.absolute().parents if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ModelFormatError(
            f"cannot write {folder}: {parent} is not a writable folder; choose another"
        )


def check_new_model(model: Path, out: Path) -> None:
    """Raise `ModelFormatError` if `out` is `model`, or a new model cannot be written there."""
    check_model_folder(out)
    if out.exists() and model.exists() and out.samefile(model):
        raise ModelFormatError(
            f"{out} is the model to start from, which is kept; choose another -o"
        )


def load_model(folder: Path | str, *, device: str | None = None) -> FittedModel:
    """Read a model that `save_model` wrote.

    Parameters
    ----------
    folder : Path or str
        Folder of the model.
    device : str, optional
        Device on which a network predicts; by default ``auto``.

    Returns
    -------
    FittedModel

    Raises
    ------
    ModelFormatError
        If the folder is missing, truncated, altered, or written by a newer version; the message
        says which.
    """
    folder = Path(folder)
    description = _read_description(folder)
    try:
        arrays = (folder / ARRAYS_FILE).read_bytes()
    except OSError as error:
        raise ModelFormatError(f"{folder} is incomplete: cannot read {ARRAYS_FILE}") from error
    if hashlib.sha256(arrays).hexdigest() != description.get("arrays_sha256"):
        raise ModelFormatError(
            f"{folder / ARRAYS_FILE} is truncated or was altered: its checksum is not the one in "
            f"{MODEL_FILE}. Save or copy the model again"
        )
    try:
        saved = description["regressor"]
        regressor = REGRESSORS[saved["class"]](**saved["parameters"])
        if device is not None and "device" in saved["parameters"]:
            regressor.set_params(device=device)
        state = load(arrays)
        regressor._set_state(state)  # noqa: SLF001
        card = description["card"]
        card["feature_cols"] = tuple(card["feature_cols"])
        made, calibration = description["pipeline"], description["calibration"]
        transform = made.pop("transform")
        model = FittedModel(
            CompositionFeaturizer(made.pop("features"), **made),
            target_scale(regressor, transform),
            regressor,
            ModelCard(**card),
            None if calibration is None else Calibration.from_state(state, **calibration),
            ApplicabilityDomain().set_state(state) if description["has_domain"] else None,
        )
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFormatError(
            f"{folder} cannot be restored ({type(error).__name__}: {error}); "
            f"{MODEL_FILE} was altered, or has an incompatible version"
        ) from error
    names = [str(name) for name in model.featurizer.get_feature_names_out()]
    if names != description.get("feature_names"):
        raise ModelFormatError(
            f"{folder} was made with features that this version does not compute; train it again"
        )
    return model


def _read_description(folder: Path) -> Plain:
    path = folder / MODEL_FILE
    if not folder.is_dir() or not path.exists():
        raise ModelFormatError(
            f"{folder} is not a saved model: there is no {MODEL_FILE}. "
            + (
                f"It is the folder of a run; its model is {folder / 'model'}"
                if (folder / "model" / MODEL_FILE).exists()
                else "Name the folder that `xtalshift train` wrote, or model/ in that of `run`"
            )
        )
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path} is truncated or damaged: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ModelFormatError(f"{path} does not describe an xtalshift model")
    version = description.get("format_version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        remedy = "Update xtalshift: pip install -U xtalshift" if newer else "Train it again"
        raise ModelFormatError(
            f"{folder} has format version {version}; this version of xtalshift reads "
            f"{FORMAT_VERSION}. {remedy}"
        )
    if description.pop("sha256", None) != _hash_description(description):
        raise ModelFormatError(
            f"{path} was altered: its content does not have the checksum it states. "
            "Save or copy the model again"
        )
    return description


def _hash_description(description: Plain) -> str:
    return hash_text([json.dumps(description, sort_keys=True)])


def _plain(regressor: Regressor) -> Plain:
    """Return the parameters as JSON values, without those that belong to the machine."""
    parameters = regressor.get_params(deep=False)
    if not isinstance(parameters["random_state"], int | np.integer):
        parameters["random_state"] = None
    if "device" in parameters:
        parameters["device"] = "auto"  # the model may predict on another machine
    if "threads" in parameters:
        parameters["threads"] = 0
    return json.loads(json.dumps(parameters, default=_plain_value))  # type: ignore[no-any-return]


def _plain_value(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else dict(value)
