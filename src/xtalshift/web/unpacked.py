"""Whether a file that was sent is what its name says, and how large it is when it is unpacked."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from xtalshift.data.files import file_kind, naming_file
from xtalshift.data.mistaken_types import refuse_mistaken
from xtalshift.errors import DataError
from xtalshift.structure.archives import check_archive, is_archive
from xtalshift.web.problems import RequestError
from xtalshift.web.settings import ServeConfig

_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_READ = 2**20
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)


def check_unpacked(path: Path, config: ServeConfig) -> None:
    """Refuse a file that is larger, unpacked, than the server allows; nothing is written.

    One whose content is of another type than its name says is refused, too.

    Parameters
    ----------
    path : Path
        File with one of the suffixes that can be sent.
    config : ServeConfig
        The limits.

    Raises
    ------
    RequestError
        With status 413.
    DataError
        If it cannot be unpacked, or is of another type.
    """
    kind = file_kind(path)
    if kind != "structures":
        with naming_file(path):
            refuse_mistaken(path, kind)
    most = int(config.max_unpacked_mb * 1e6)
    opener = _OPENERS.get(path.suffix)
    if opener is not None:
        size = 0
        try:
            with opener(path) as stream:
                while block := stream.read(_READ):
                    size += len(block)
                    if size > most:
                        raise RequestError(
                            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                            f"it unpacks to more than {most / 1e6:g} MB; send it in parts",
                        )
        except _DAMAGE as error:
            raise DataError(f"it cannot be unpacked ({error}); pack it again") from error
    if is_archive(path.name) or path.suffix == ".xlsx":
        check_archive(path, most_bytes=most, most_files=config.max_files)
