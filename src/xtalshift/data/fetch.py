"""Downloads that end with a verified file or a clear error.

We do not use pooch (1.9) because it deletes a partial download and starts again at byte 0; it has
no lock, so two processes download the same file twice; it retries a missing file (HTTP 404) as
often as an overloaded server; the library requests undoes the server's ``Content-Encoding``, so the
checksum may be compared with bytes other than the published ones; and its errors do not say where
to put a file that was downloaded by hand.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import platformdirs
from filelock import FileLock

from xtalshift.errors import FetchError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.provenance import hash_file

_RETRY_STATUS = frozenset({408, 425, 429})
_TIMEOUT = 30.0  # seconds to wait for the server (not for the whole file)
_HTTP_OK = 200
_HTTP_PARTIAL = 206
_HTTP_UNSATISFIABLE = 416
_HTTP_SERVER_ERROR = 500


class _RetryableError(Exception):
    """A failed attempt; another one may succeed."""


def cache_folder() -> Path:
    """Return the folder of downloads: XTALSHIFT_CACHE, or the user's cache folder."""
    named = os.environ.get("XTALSHIFT_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("xtalshift")


def fetch(
    url: str,
    sha256: str,
    destination: Path,
    *,
    progress: Progress = NO_PROGRESS,
    retries: int = 4,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Download the file at `url` to `destination`, unless it is there with this checksum.

    The bytes go to ``destination + ".part"``, where an interrupted download resumes. The file is
    verified and then renamed in one step. Processes that need the same file wait for each other.

    Parameters
    ----------
    url, sha256 : str
        Address of the file, and its SHA-256 in hexadecimal.
    destination : Path
        Path of the file. If it exists with the right checksum, nothing is downloaded.
    progress : Progress
        Receives the number of bytes.
    retries : int
        Number of attempts after the first one, 1, 2, 4, ... seconds apart.
    sleep : callable
        Waits between attempts.

    Returns
    -------
    Path
        `destination`.

    Raises
    ------
    FetchError
        If the download fails; the message names the URL, the cause, and where to put the file by
        hand.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(destination.with_name(destination.name + ".lock")):
            return _fetch_locked(url, sha256, destination, progress, retries, sleep)
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(
            f"cannot store {url} as {destination}: {error}; free some space, or set the "
            "environment variable XTALSHIFT_CACHE to another folder"
        ) from error


def _fetch_locked(
    url: str,
    sha256: str,
    destination: Path,
    progress: Progress,
    retries: int,
    sleep: Callable[[float], None],
) -> Path:
    if destination.exists():
        if hash_file(destination) == sha256:
            return destination
        progress.say(f"{destination} does not match its checksum; downloading it again")
    part = destination.with_name(destination.name + ".part")
    causes: list[str] = []
    for attempt in range(retries + 1):
        if attempt:
            sleep(2.0 ** (attempt - 1))
        try:
            _download(url, part, progress)
        except _RetryableError as error:
            causes.append(str(error))
            progress.say(f"attempt {attempt + 1} of {retries + 1} failed: {error}")
            continue
        found = hash_file(part)
        if found == sha256:
            part.replace(destination)
            return destination
        part.unlink()
        causes.append(f"checksum: expected sha256 {sha256}, got {found}")
        progress.say(f"attempt {attempt + 1} of {retries + 1} failed: {causes[-1]}")
    raise FetchError(_failure(url, destination, f"{retries + 1} attempts, last: {causes[-1]}"))


def _download(url: str, part: Path, progress: Progress) -> None:
    """Append the missing bytes to `part`, or rewrite it if the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    # the checksum is that of the stored file, so the server must not compress it in transit
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with httpx.stream(
            "GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True
        ) as reply:
            status = reply.status_code
            if status == _HTTP_UNSATISFIABLE and have:
                part.unlink()
                raise _RetryableError("the server has no more than the partial file; starting over")
            if status >= _HTTP_SERVER_ERROR or status in _RETRY_STATUS:
                raise _RetryableError(f"HTTP {status} {reply.reason_phrase}")
            if status not in {_HTTP_OK, _HTTP_PARTIAL}:
                raise FetchError(
                    _failure(url, part.with_suffix(""), f"HTTP {status} {reply.reason_phrase}")
                )
            resumed = status == _HTTP_PARTIAL
            length = reply.headers.get("Content-Length")
            total = int(length) + (have if resumed else 0) if length else None
            with (
                part.open("ab" if resumed else "wb") as stream,
                progress.task(f"download {part.stem}", total) as task,
            ):
                if resumed:
                    task.advance(have)
                # no block size: bytes of an incomplete block would be lost with the connection
                for block in reply.iter_raw():
                    stream.write(block)
                    task.advance(len(block))
    except httpx.HTTPError as error:
        raise _RetryableError(f"{type(error).__name__}: {error}") from error


def _failure(url: str, destination: Path, cause: str) -> str:
    return (
        f"cannot download {url} ({cause}). Without network, download it elsewhere and save it as "
        f"{destination}; its checksum is verified before use"
    )
