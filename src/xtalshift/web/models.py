"""The models that a server offers: those of its folder, and those that its jobs made."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

from xtalshift.data.writers import is_model
from xtalshift.errors import NotFoundError
from xtalshift.model import FittedModel, load_model
from xtalshift.registry import near_miss

MOST_LOADED = 8
"""Models that are kept in memory."""


class Shelf:
    """Models by name. A name is looked up among those that there are, and is never a path."""

    def __init__(
        self, folder: Path | None, trained: Callable[[], Mapping[str, Path]] = dict
    ) -> None:
        self._folder = folder
        self._trained = trained
        self._loaded: OrderedDict[str, tuple[tuple[object, ...], FittedModel]] = OrderedDict()
        self._lock = Lock()

    def folders(self) -> dict[str, Path]:
        """Return the folder of each model by its name; those of the given folder win."""
        found = dict(self._trained())
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
        if name not in folders:
            names = ", ".join(list(folders)[:20]) or "none"
            raise NotFoundError(
                f"there is no model {name[:100]!r}{near_miss(name, folders)}. Models: {names}"
            )
        return folders[name]

    def load(self, name: str) -> FittedModel:
        """Return a model, which is read again if its file has changed.

        Raises
        ------
        NotFoundError
            If there is none of this name.
        ModelFormatError
            If it cannot be read.
        """
        folder = self.folder(name)
        state = (folder / "model.json").stat()
        version = (folder, state.st_mtime_ns, state.st_ino)
        with self._lock:
            if name not in self._loaded or self._loaded[name][0] != version:
                self._loaded[name] = (version, load_model(folder))
            self._loaded.move_to_end(name)
            while len(self._loaded) > MOST_LOADED:
                self._loaded.popitem(last=False)
            return self._loaded[name][1]
