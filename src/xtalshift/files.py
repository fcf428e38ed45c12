"""Files that are written completely or not at all, and folders that only one process may write."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xtalshift.errors import ConfigError, DataError

if sys.platform != "win32":  # there, the files of killed writers are not removed
    import fcntl

LOCK_FILE = ".lock"
_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_TEMPORARY = "xtalshift-{}.tmp"
_LONGEST = 50
"""Characters of a name that its temporary file keeps: names have up to 255 bytes, characters 4."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file that gets the name `path` when the block ends without an error.

    After an error, an interrupt or a kill the earlier file is unchanged. Each writer of a file has
    a temporary file of its own, and the last to finish wins. The content is on the disk before the
    file gets its name. Temporary files of killed writers are removed by the next writer.

    Parameters
    ----------
    path : Path
        The file; a symbolic link is followed. Its folder is made if it does not exist.

    Raises
    ------
    DataError
        If the file cannot be written, for instance because the disk is full, or if the path is
        that of a folder or a device.
    """
    path = Path(os.path.realpath(path))
    with explained(path):
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is a folder or a device; name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        part, descriptor = _open_temporary(path)
    try:
        yield part
        with explained(path):
            if path.exists():
                part.chmod(path.stat().st_mode)
            os.fsync(descriptor)
            if sys.platform == "win32":  # it cannot rename an open file
                os.close(descriptor)
                descriptor = -1
            os.replace(part, path)  # noqa: PTH105 - Path.replace returns a path nobody needs
            _sync_folder(path.parent)
    finally:
        # what cannot be removed now is removed by the next writer
        with contextlib.suppress(OSError):
            part.unlink()
        with contextlib.suppress(OSError):
            if descriptor >= 0:
                os.close(descriptor)


def replace_file(path: Path, content: bytes | str) -> None:
    """Write a file (text as UTF-8) as `replacing` does."""
    with replacing(path) as part, explained(path):
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def append(path: Path, content: bytes) -> None:
    """Append to a file, which is made if it does not exist, and wait until the disk has it.

    After an error the file ends where it ended before: a system may write a part of the content on
    a disk that is nearly full. A kill may leave a part, which the reader has to cut off.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    with explained(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _BINARY, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            try:
                while content:
                    content = content[os.write(descriptor, content) :]
                os.fsync(descriptor)
                if not size:
                    _sync_folder(path.parent)
            except BaseException:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)


def remove_file(path: Path) -> None:
    """Remove a file, if it exists, and the temporary files that killed writers left."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        _remove_leftovers(path)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock an output folder against other processes; after an error a new, empty one is removed.

    Raises
    ------
    ConfigError
        If another process writes there.
    DataError
        If the folder cannot be written.
    """
    from filelock import FileLock, Timeout  # loads asyncio, which most commands do not need

    path = folder / LOCK_FILE
    with explained(folder):
        made, new = not folder.exists(), not path.exists()
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ConfigError(
                f"another process is writing to {folder}; wait for it, or choose another folder"
            ) from error
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            if new:
                path.unlink()
            if made:
                folder.rmdir()
        raise
    finally:
        with explained(folder):
            lock.release()


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Wait until no other process writes to a folder, and lock it without a lock file."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_temporary_folder() -> Path:
    """Make a folder for temporary files, locked until this process ends; the caller removes it.

    If a process is killed before, the next one that makes such a folder removes that one too.
    """
    for left in Path(tempfile.gettempdir()).glob(_TEMPORARY.format("*")):
        _remove_unlocked(left)
    while True:
        folder = Path(tempfile.mkdtemp(*reversed(_TEMPORARY.split("{}"))))
        if sys.platform == "win32":
            return folder
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():  # no other process removed it before it was locked
                return folder
            os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn a failure to write into a `DataError` with the path and a remedy."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        remedy = f"{'free some space or ' if full else ''}choose another place"
        raise DataError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error


def _open_temporary(path: Path) -> tuple[Path, int]:
    """Create a file beside `path`; its lock distinguishes it from the file of a killed writer."""
    while True:
        part = path.with_name(f"{_prefix(path)}{secrets.token_hex(4)}.part")
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if sys.platform == "win32":
            return part, descriptor
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)  # another writer removed it before it was locked


def _remove_leftovers(path: Path) -> None:
    prefix = _prefix(path)
    for left in path.parent.iterdir():
        if left.name.startswith(prefix) and left.suffix == ".part":
            _remove_unlocked(left)


def _remove_unlocked(left: Path) -> None:
    """Remove a temporary file or folder unless its process, which has locked it, still runs."""
    if sys.platform == "win32":
        return
    folder = left.is_dir()
    with contextlib.suppress(OSError):
        descriptor = os.open(left, (os.O_RDONLY if folder else os.O_RDWR) | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left) if folder else left.unlink()
        finally:
            os.close(descriptor)


def _prefix(path: Path) -> str:
    return f".{path.name[:_LONGEST]}."


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
