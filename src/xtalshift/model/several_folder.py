"""Saved models of several targets: a folder with a folder for each target, and one JSON file."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ValidationError

from xtalshift.errors import DataError, ModelFormatError
from xtalshift.estimators.saved import STRICT
from xtalshift.files import explained, hold_folder, replace_file
from xtalshift.jsonio import Plain, read_json
from xtalshift.model.card import ModelCard
from xtalshift.model.persist import (
    MODEL_FILE,
    check_model_folder,
    load_model,
    save_model,
    saved_card,
)
from xtalshift.model.several import FittedModels
from xtalshift.model.signed_json import read_signed, sign

FORMAT = "xtalshift-models"
FORMAT_VERSION = 1
MODELS_FILE = "models.json"
_LARGEST_TEXT = 2**28
"""Bytes of the file; a row of the joint calibration takes some ten for each target."""
_REMEDY = "save or copy the models again, or train them again"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_OURS = re.compile(r"models\.json|[0-9]+(-[A-Za-z0-9_-]+)?|\.models.*\.part")


class _SavedTarget(BaseModel):
    """A target and where its model is."""

    model_config = STRICT

    name: str
    folder: str
    sha256: str
    """Checksum of the description of the model, which has that of its arrays."""


class _SavedModels(BaseModel):
    """What ``models.json`` holds besides its format and checksum."""

    model_config = STRICT

    targets: list[_SavedTarget]
    joint_rows: list[list[int]] | None


def target_folder(number: int, name: str) -> str:
    """Return the name of the folder of a target: its number from 1, and its name if it is plain."""
    return f"{number}-{name}" if _PLAIN.fullmatch(name) else str(number)


def holds_several(folder: Path | str) -> bool:
    """Return whether a folder is one of models of several targets."""
    return (Path(folder) / MODELS_FILE).is_file()


def saved_targets(folder: Path) -> tuple[str, ...]:
    """Return the names of the targets of saved models, without loading these.

    Raises
    ------
    ModelFormatError
        As `load_models`.
    """
    return tuple(one.name for one in _read(folder).targets)


def saved_cards(folder: Path) -> dict[str, ModelCard]:
    """Return the card of the model of each target, without loading these.

    Raises
    ------
    ModelFormatError
        As `load_models`.
    """
    return {one.name: saved_card(folder / one.folder) for one in _read(folder).targets}


def save_models(models: FittedModels, folder: Path) -> Path:
    """Write models of several targets to `folder`, replacing those that are already there.

    Parameters
    ----------
    models : FittedModels
    folder : Path
        Made if it does not exist. A process that is killed may leave it with models of two
        trainings, which `load_models` refuses.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    ModelFormatError
        If a model cannot be saved, or the folder holds something other than such models.
    DataError
        If writing fails.
    """
    check_models_folder(folder)
    for model in models.models.values():
        if model.learned.unsaved:
            raise ModelFormatError(model.learned.unsaved)
    place = Path(os.path.realpath(folder))
    with explained(place):
        place.mkdir(parents=True, exist_ok=True)
    with hold_folder(place):
        targets = []
        for number, (name, model) in enumerate(models.models.items(), start=1):
            own = target_folder(number, name)
            save_model(model, place / own)
            targets.append(_SavedTarget(name=name, folder=own, sha256=_checksum(place / own)))
        rows = None if models.joint_rows is None else models.joint_rows.tolist()
        content = _SavedModels(targets=targets, joint_rows=rows).model_dump()
        described: Plain = {"format": FORMAT, "format_version": FORMAT_VERSION, **content}
        text = json.dumps(sign(described), ensure_ascii=False)
        replace_file(place / MODELS_FILE, text + "\n")
        kept = {MODELS_FILE, *(one.folder for one in targets)}
        with explained(place):
            for old in place.iterdir():
                if old.name not in kept:
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
    return folder


def load_models(folder: Path | str, *, device: str | None = None) -> FittedModels:
    """Read models that `save_models` wrote.

    Parameters
    ----------
    folder : Path or str
        Their folder.
    device : str, optional
        Device on which networks predict; by default ``auto``.

    Raises
    ------
    ModelFormatError
        If the folder is missing, truncated, altered, or written by a newer version.
    """
    folder = Path(folder)
    saved = _read(folder)
    models = {}
    for one in saved.targets:
        if _checksum(folder / one.folder) != one.sha256:
            raise ModelFormatError(
                f"{folder / one.folder} is not the model of {one.name!r} that {MODELS_FILE} was "
                f"written with; {_REMEDY}"
            )
        models[one.name] = load_model(folder / one.folder, device=device)
    try:
        rows = None
        if saved.joint_rows is not None:
            rows = np.array(saved.joint_rows, dtype=np.int64)
        return FittedModels(models, rows)
    except (DataError, ValueError, OverflowError) as error:
        raise ModelFormatError(f"{folder} cannot be restored: {error}; {_REMEDY}") from error


def check_models_folder(folder: Path, *, overwrite: bool = True) -> None:
    """Refuse a folder to which models of several targets cannot, or must not, be saved.

    Raises
    ------
    ModelFormatError
        As `xtalshift.model.persist.check_model_folder`.
    """
    place = Path(os.path.realpath(folder))
    if not holds_several(place):
        check_model_folder(folder, overwrite=overwrite)
        if (place / MODEL_FILE).exists():
            raise ModelFormatError(
                f"{folder} holds a model of one target; choose another folder for several"
            )
        return
    with explained(place):
        foreign = [path.name for path in place.iterdir() if not _OURS.fullmatch(path.name)]
    if foreign:
        raise ModelFormatError(
            f"{folder} holds {foreign[0]!r} besides models; choose another folder"
        )
    if not overwrite:
        raise ModelFormatError(
            f"{folder} holds models; choose another -o, or give --overwrite to replace them"
        )


def _checksum(folder: Path) -> str:
    try:
        return str(read_json(folder / MODEL_FILE)["sha256"])
    except (DataError, KeyError, TypeError) as error:
        raise ModelFormatError(f"{folder} holds no model that can be read; {_REMEDY}") from error


def _read(folder: Path) -> _SavedModels:
    path = folder / MODELS_FILE
    if not path.is_file():
        raise ModelFormatError(
            f"{folder} holds no models of several targets: there is no {MODELS_FILE}. Name the "
            "folder that `xtalshift train --target A,B` wrote"
        )
    described = read_signed(
        path,
        form=FORMAT,
        versions=(FORMAT_VERSION,),
        what="xtalshift models of several targets",
        largest=_LARGEST_TEXT,
        remedy=_REMEDY,
    )
    content = {key: one for key, one in described.items() if not key.startswith("format")}
    try:
        saved = _SavedModels(**content)
    except (ValidationError, TypeError) as error:
        raise ModelFormatError(f"{path} is damaged; {_REMEDY}") from error
    places = [one.folder for one in saved.targets]
    named = [one.name for one in saved.targets]
    if (
        any(not _OURS.fullmatch(place) or place == MODELS_FILE for place in places)
        or len(set(places)) < len(places)
        or len(set(named)) < len(named)
    ):
        raise ModelFormatError(f"{path} names no folders of models; {_REMEDY}")
    return saved
