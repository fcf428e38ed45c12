"""JSON files with a format, its version and a checksum of all else, so that damage is found."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from xtalshift.errors import DataError, ModelFormatError
from xtalshift.jsonio import Plain, decode_json
from xtalshift.provenance import hash_text


def sign(described: Plain) -> Plain:
    """Return a description with its checksum."""
    return {**described, "sha256": hash_described(described)}


def hash_described(described: Plain) -> str:
    """Return the checksum of a description."""
    return hash_text([json.dumps(described, sort_keys=True)])


def read_signed(
    path: Path, *, form: str, versions: Collection[int], what: str, largest: int, remedy: str
) -> Plain:
    """Return what `sign` returned and a file holds, without the checksum.

    Parameters
    ----------
    path : Path
        An existing file.
    form : str
        Its `format`.
    versions : collection of int
        Versions of the format that can be read.
    what : str
        What the file describes, for messages.
    largest : int
        Bytes above which it is no such file.
    remedy : str
        What to do about a damaged file.

    Raises
    ------
    ModelFormatError
        If it cannot be read, is of another format or version, or was altered.
    """
    try:
        if path.stat().st_size > largest:
            raise ModelFormatError(f"{path} is larger than any description of {what}; {remedy}")
        described = decode_json(path.read_bytes(), path, remedy)
    except OSError as error:
        raise ModelFormatError(f"cannot read {path}: {error.strerror}") from error
    except DataError as error:
        raise ModelFormatError(str(error)) from error
    if not isinstance(described, dict) or described.get("format") != form:
        raise ModelFormatError(f"{path} does not describe {what}")
    version = described.get("format_version")
    if version not in versions:
        newer = isinstance(version, int) and version > max(versions)
        way_out = "Update xtalshift: pip install -U xtalshift" if newer else "Train it again"
        raise ModelFormatError(
            f"{path.parent} has format version {version}; this version of xtalshift reads "
            f"{' and '.join(map(str, versions))}. {way_out}"
        )
    if described.pop("sha256", None) != hash_described(described):
        raise ModelFormatError(
            f"{path} was altered: its content does not match its checksum; {remedy}"
        )
    return described
