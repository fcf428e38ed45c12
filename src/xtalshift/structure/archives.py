"""The files in a folder or an archive, one after the other, with nothing written to disk."""

from __future__ import annotations

import gzip
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, Self

from xtalshift.errors import DataError
from xtalshift.structure.listed_atoms import RefusedError

LARGEST_FILE = 64 * 2**20
"""Bytes of a file, unpacked; larger ones are refused."""

MOST_FILES = 1_000_000
"""Files of an archive."""

_LARGEST_HEADER = 2**20
"""Bytes of a long name or of notes in a tar archive, which are held in memory."""
_KEPT_WHOLE = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_READ = 2**20
_USUAL_BYTES = 100 * 2**20
_MOST_RATIO = 200  # structure files shrink to a third to a thirtieth
_TARS = (".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")
_DAMAGE = (
    *(OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(RuntimeError, NotImplementedError),  # of zipfile, for passwords and rare compressions
)


class FileSource(Protocol):
    """A place with files."""

    def names(self) -> list[str]:
        """Return the paths of all files inside, hidden ones left out, in a fixed order."""

    def contents(self, wanted: set[str]) -> Iterator[tuple[str, bytes | RefusedError]]:
        """Yield the wanted files, in the order of `names`, or why one cannot be read."""


def open_source(path: Path) -> FileSource:
    """Return the files of a folder or archive, or the one file that a path is.

    Raises
    ------
    DataError
        If there is no such path.
    """
    if path.is_dir():
        return _Folder(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist; name a folder, an archive or a structure file")
    if not is_archive(path.name):
        return _One(path)
    return _Zip(path) if path.name.lower().endswith(".zip") else _Tar(path)


def check_archive(path: Path, *, most_bytes: int, most_files: int) -> None:
    """Refuse an archive with more than some bytes, unpacked, or files; nothing is unpacked.

    Parameters
    ----------
    path : Path
        An archive by its name, or an Excel file, which is a zip archive.
    most_bytes, most_files : int
        Largest size and number.

    Raises
    ------
    DataError
        If it has more, or is damaged.
    """
    total = count = 0
    tar = path.name.lower().endswith(_TARS)
    for size in _tar_sizes(path) if tar else _zip_sizes(path):
        total, count = total + size, count + 1
        if total > most_bytes or count > most_files:
            raise DataError(
                f"{path} unpacks to more than {most_bytes / 1e6:,.0f} MB or {most_files:,} files; "
                "split it"
            )


def _zip_sizes(path: Path) -> Iterator[int]:
    _check_directory(path)
    with _intact(path), zipfile.ZipFile(path) as archive:
        yield from (one.file_size for one in archive.infolist())


def _tar_sizes(path: Path) -> Iterator[int]:
    with _open_tar(path) as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]
            yield member.size


def is_archive(name: str) -> bool:
    """Return whether a file is an archive by its name."""
    return name.lower().endswith((".zip", *_TARS))


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        found: list[str] = []
        seen = set[str]()
        places = [self.path]
        while places:  # a folder comes before the links to it
            for folder, subfolders, files in os.walk(places.pop(0)):
                real = os.path.realpath(folder)
                if real in seen:  # links may lead in a circle
                    subfolders.clear()
                    continue
                seen.add(real)
                subfolders[:] = sorted(one for one in subfolders if not _hidden(one))
                paths = (Path(folder, one) for one in subfolders)
                places += [path for path in paths if path.is_symlink()]
                inside = Path(folder).relative_to(self.path)
                found += [(inside / one).as_posix() for one in files if not _hidden(one)]
        return sorted(found)

    def contents(self, wanted: set[str]) -> Iterator[tuple[str, bytes | RefusedError]]:
        for name in sorted(wanted):
            yield name, _read_path(self.path / name)


class _One:
    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        return [self.path.name]

    def contents(self, wanted: set[str]) -> Iterator[tuple[str, bytes | RefusedError]]:
        for name in wanted:
            yield name, _read_path(self.path)


class _Zip:
    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        _check_directory(self.path)
        with _intact(self.path), zipfile.ZipFile(self.path) as archive:
            members = archive.infolist()
            _check_size(self.path, sum(one.file_size for one in members), len(members))
            return sorted({one.filename for one in members if _visible(one.filename)})

    def contents(self, wanted: set[str]) -> Iterator[tuple[str, bytes | RefusedError]]:
        with _intact(self.path), zipfile.ZipFile(self.path) as archive:
            for name in sorted(wanted):
                try:
                    with archive.open(name) as file:
                        content = _read_bounded(file, name)
                except _DAMAGE as error:
                    yield name, _unreadable(error)
                else:
                    yield name, content


class _Tar:
    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        total, count = 0, 0
        found: dict[str, None] = {}
        with _open_tar(self.path) as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # it would keep the heads of all
                total, count = total + member.size, count + 1
                _check_size(self.path, total, count)
                if member.isfile() and _visible(member.name):
                    found[member.name] = None
        return list(found)

    def contents(self, wanted: set[str]) -> Iterator[tuple[str, bytes | RefusedError]]:
        left = set(wanted)
        with _open_tar(self.path) as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]
                if member.isfile() and member.name in left:
                    left.remove(member.name)
                    file = archive.extractfile(member)
                    if file is not None:
                        yield member.name, _read_bounded(file, member.name)


class _Member(tarfile.TarInfo):
    """A head of a tar archive; one that would fill the memory is refused."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _KEPT_WHOLE and found.size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a name or note of {found.size:,} bytes")
        return found


@contextmanager
def _open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    with _intact(path), tarfile.open(path, "r|*", tarinfo=_Member) as archive:
        yield archive


def _check_directory(path: Path) -> None:
    """Refuse a zip archive whose list of files would fill the memory, before it is read."""
    count, mark, end = 0, b"PK\1\2", b""  # each file of the list begins with the mark
    with path.open("rb") as file:
        while block := file.read(_READ):
            count += (end + block).count(mark)
            end = block[1 - len(mark) :]
    _check_size(path, 0, count)


def _read_path(path: Path) -> bytes | RefusedError:
    if not path.is_file():  # a pipe would wait forever
        return RefusedError("it is no regular file; remove it from the folder")
    try:
        with path.open("rb") as file:
            return _read_bounded(file, path.name)
    except _DAMAGE as error:
        return _unreadable(error)


def _read_bounded(file: IO[bytes], name: str) -> bytes | RefusedError:
    """Return the content of a file, unpacked if its name ends in ``.gz``."""
    if name.lower().endswith(".gz"):
        try:
            with gzip.open(file) as unpacked:
                data = unpacked.read(LARGEST_FILE + 1)
        except _DAMAGE as error:
            return _unreadable(error)
    else:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        return RefusedError(
            f"it has more than {LARGEST_FILE // 2**20} MB; split it, or use smaller cells"
        )
    return data


def _unreadable(error: Exception) -> RefusedError:
    cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return RefusedError(f"the file cannot be read ({cause}); copy or pack it again")


@contextmanager
def _intact(path: Path) -> Iterator[None]:
    """Turn what a damaged archive causes into a `DataError`."""
    try:
        yield
    except _DAMAGE as error:
        raise DataError(
            f"cannot unpack {path} ({type(error).__name__}: {error}); copy or pack it again"
        ) from error


def _check_size(path: Path, total: int, count: int) -> None:
    if count > MOST_FILES:
        raise DataError(f"{path} holds more than {MOST_FILES:,} files; split it")
    packed = path.stat().st_size
    if total > max(_USUAL_BYTES, _MOST_RATIO * packed):
        raise DataError(
            f"{path} has {packed:,} bytes and unpacks to {total:,} or more, which no structure "
            "files do; unpack it yourself if you trust it, and name the folder"
        )


def _visible(name: str) -> bool:
    """Return whether a member is a file that is not hidden; names of folders end in a slash."""
    return not name.endswith("/") and not any(map(_hidden, PurePosixPath(name).parts))


def _hidden(name: str) -> bool:
    return (name.startswith(".") and name not in {".", ".."}) or name == "__MACOSX"
