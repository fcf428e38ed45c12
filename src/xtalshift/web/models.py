"""The models that a server offers: of its folder, of its jobs, and the ready ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeAlias

from xtalshift.data.writers import is_model
from xtalshift.errors import NotFoundError
from xtalshift.model import FittedClassifier, FittedModel, load_model
from xtalshift.model.persist import MODEL_FILE
from xtalshift.model.ready.recipe import all_names, get_recipe, is_shipped, list_recipes
from xtalshift.model.several import FittedModels
from xtalshift.model.several_folder import MODELS_FILE, holds_several, load_models
from xtalshift.provenance import hash_file
from xtalshift.registry import near_miss

AnyModel: TypeAlias = FittedModel | FittedClassifier | FittedModels
MOST_LOADED = 8
"""Models that are kept in memory."""


class _Version(NamedTuple):
    """Which model a folder holds."""

    folder: Path
    written: int
    file: int


def _description(folder: Path) -> Path:
    return folder / (MODELS_FILE if holds_several(folder) else MODEL_FILE)


def _version(folder: Path) -> _Version | None:
    try:
        state = _description(folder).stat()
    except OSError:  # deleted
        return None
    return _Version(folder, state.st_mtime_ns, state.st_ino)


class Shelf:
    """Models by name. A name is looked up among those that there are, and is never a path."""

    def __init__(
        self, folder: Path | None, trained: Callable[[], Mapping[str, Path]] = dict
    ) -> None:
        self._folder = folder
        self._trained = trained
        self._loaded: OrderedDict[str, tuple[_Version, AnyModel]] = OrderedDict()
        self._lock = Lock()

    def folders(self) -> dict[str, Path]:
        """Return the folder of each model by its name.

        Those of the given folder win over those of jobs, and these over the ready ones.
        """
        shipped = filter(is_shipped, map(get_recipe, list_recipes()))
        found = {one.name: one.folder for one in shipped} | dict(self._trained())
        if self._folder is not None and self._folder.is_dir():
            given = (self._folder, *sorted(self._folder.iterdir()))
            found |= {path.resolve().name: path for path in given if is_model(path)}
        return dict(sorted(found.items()))

    def folder(self, name: str) -> Path:
        """Return the folder of a model.

        Raises
        ------
        NotFoundError
            If there is none of this name; the message says which there are.
        """
        folders = self.folders()
        ready = all_names().get(name, "")  # a ready model has several
        if name not in folders and ready in folders:
            return folders[ready]
        if name not in folders:
            names = ", ".join(list(folders)[:20]) or "none"
            raise NotFoundError(
                f"there is no model {name[:100]!r}{near_miss(name, folders)}. Models: {names}"
            )
        return folders[name]

    def checksum(self, name: str) -> str:
        """Return the checksum of a model: of its description, which has that of its numbers.

        Raises
        ------
        NotFoundError
            If there is none of this name.
        """
        return hash_file(_description(self.folder(name)))

    def load(self, name: str) -> AnyModel:
        """Return a model, which is read again if its file has changed.

        Raises
        ------
        NotFoundError
            If there is none of this name.
        ModelFormatError
            If it cannot be read.
        """
        with self._lock:
            known = self._loaded.get(name)
            if known is None or known[0] != _version(known[0].folder):
                folder = self.folder(name)
                version = _version(folder)
                if version is None:
                    raise NotFoundError(f"the model {name!r} has been deleted meanwhile")
                model = load_models(folder) if holds_several(folder) else load_model(folder)
                self._loaded[name] = (version, model)
            self._loaded.move_to_end(name)
            while len(self._loaded) > MOST_LOADED:
                self._loaded.popitem(last=False)
            return self._loaded[name][1]
