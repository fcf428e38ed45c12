"""The folder of the server: how much is in it, and files that live as long as a request."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xtalshift.web.bodies import no_room
from xtalshift.web.settings import ServeConfig

_KEPT_FREE = 100_000_000
"""Bytes that the disk always keeps."""
_FRESH = 1.0
"""Seconds for which the size of the store is not measured again."""


class Disk:
    """The folder of a server, its size, and its temporary folders."""

    def __init__(self, store: Path, config: ServeConfig) -> None:
        self._store = store
        self._limit = config.max_disk_mb * 1e6
        self._used, self._measured = 0, -_FRESH
        self._scratch = store / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)  # of a server that was killed
        self._scratch.mkdir(parents=True)

    def room(self) -> int:
        """Return how many bytes more the store may take.

        Raises
        ------
        RequestError
            With status 507, if there is no room at all.
        """
        now = time.monotonic()
        if now - self._measured > _FRESH:
            self._used, self._measured = _size(self._store), now
        free = shutil.disk_usage(self._store).free - _KEPT_FREE
        left = int(min(self._limit - self._used, free))
        if left <= 0:
            raise no_room()
        return left

    def folder(self) -> Path:
        """Make a temporary folder, which the caller removes."""
        folder = self._scratch / secrets.token_hex(8)
        folder.mkdir()
        return folder

    @contextmanager
    def removed_on_error(self) -> Iterator[Path]:
        """Yield a temporary folder, which stays for the answer unless there is an error."""
        folder = self.folder()
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _size(folder: Path) -> int:
    total, folders = 0, [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as items:
                for item in items:
                    if item.is_dir(follow_symlinks=False):
                        folders.append(Path(item.path))
                    else:
                        total += item.stat(follow_symlinks=False).st_size
        except OSError:  # removed meanwhile
            continue
    return total
