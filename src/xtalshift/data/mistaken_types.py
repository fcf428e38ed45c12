"""Files whose content is of another type than their name says: a PDF that is called .csv."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from xtalshift.errors import DataError
from xtalshift.structure.structure_files import is_structure_file

_HEAD = 4096
_PDF_WITHIN = 1024
_TAR_MARK = 257
_GZIP = b"\x1f\x8b"
_SAVE_AS = "save the table as .xlsx or as CSV UTF-8, and give that"


class _Content(NamedTuple):
    """What a file is by its first bytes."""

    what: str
    remedy: str
    kinds: tuple[str, ...] = ()
    """The types as which it can be read: ``excel``, ``parquet``, ``json`` ..."""


def _ending(what: str, ending: str, *kinds: str) -> _Content:
    return _Content(what, f"give its name the ending {ending}", kinds)


def _picture(kind: str) -> _Content:
    return _Content(
        f"a picture ({kind})", "numbers in a picture cannot be read: give the table itself"
    )


_EXCEL = _ending("an Excel file", ".xlsx", "excel")
_PARQUET = _ending("a Parquet file", ".parquet", "parquet")
_JSON = _ending("JSON", ".json", "json")
_JSON_LINES = _ending("JSON lines", ".jsonl", "jsonl")
_JSON_OF_ONE = _ending("JSON", ".json", "json", "jsonl")
_PACKED = _ending("packed by gzip", ".csv.gz")
_CIF = _ending("a crystal structure (CIF)", ".cif")
_PDF = _Content(
    "a PDF document", "copy its table into a spreadsheet, save it as CSV UTF-8, and look it through"
)
_WEB_PAGE = _Content(
    "a web page (HTML), perhaps one that asks for a login or reports an error",
    "open it in a browser, and download the table itself",
)
_XML = _Content("XML", f"open it in the program that wrote it, {_SAVE_AS}")
_BEGINNINGS: Mapping[bytes, _Content] = {
    b"PAR1": _PARQUET,
    _GZIP: _PACKED,
    b"\xd0\xcf\x11\xe0": _Content(
        "an old Office file, as Excel (.xls) and Word (.doc) write them", _SAVE_AS
    ),
    b"{\\rtf": _Content("a document (RTF)", f"copy its table into a spreadsheet; {_SAVE_AS}"),
    b"\x89PNG": _picture("PNG"),
    b"\xff\xd8\xff": _picture("JPEG"),
    b"GIF8": _picture("GIF"),
    b"II*\0": _picture("TIFF"),
    b"MM\0*": _picture("TIFF"),
    b"SQLite format 3": _Content("a database (SQLite)", "export the table as CSV"),
    b"\x89HDF": _Content("an HDF5 file", "export the table as CSV or Parquet"),
    b"\x93NUMPY": _Content("a NumPy array", "save it with the names of its columns as CSV"),
    b"BZh": _Content("packed by bzip2", "unpack it"),
    b"\xfd7zXZ": _Content("packed by xz", "unpack it"),
    b"\x28\xb5\x2f\xfd": _Content("packed by zstd", "unpack it"),
    b"7z\xbc\xaf": _Content("an archive (7z)", "unpack it, and give the table in it"),
    b"Rar!": _Content("an archive (RAR)", "unpack it, and give the table in it"),
}
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_JSON_LIST = re.compile(rb"\[\s*[\[{]")
_JSON_OBJECT = re.compile(rb'\{\s*"')
_SEVERAL_OBJECTS = re.compile(rb"\{.*\}\s*\n\s*\{")
_CIF_TEXT = re.compile(
    rb"(\s*#.*\n)*\s*data_\S*\s*\n(?=[\s\S]*^\s*(loop_|_cell_|_symmetry_|_chemical_))", re.MULTILINE
)


def refuse_mistaken(path: Path, kind: str) -> None:
    """Raise if the content of a file is of another type than its name says.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        Its type by its name, see `xtalshift.data.files.file_kind`.

    Raises
    ------
    DataError
        The message says what it is, and what to do.
    """
    packed = path.suffix.lower() == ".gz"
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if packed:
        if not head.startswith(_GZIP):
            raise DataError("it is not packed by gzip; leave .gz out of its name")
        try:
            with gzip.open(path) as stream:
                head = stream.read(_HEAD)
        except (OSError, EOFError) as error:
            raise DataError(f"it cannot be unpacked ({error}); pack it again") from error
    found = _content(head, None if packed else path)
    if found is None:
        if kind in {"excel", "parquet"} and head and _is_text(head):
            what = f"it is text, and no {kind.title()} file"
            raise DataError(f"{what}; give its name the ending .csv")
        return
    if kind in found.kinds:
        return
    raise DataError(f"it is {found.what}; {found.remedy}")


def _content(head: bytes, path: Path | None) -> _Content | None:
    """Return what a file is that begins with some bytes; None if it can be any text."""
    for beginning, content in _BEGINNINGS.items():
        if head.startswith(beginning):
            return content
    if head.startswith(b"PK\x03\x04"):
        return _zipped(path)
    if b"%PDF-" in head[:_PDF_WITHIN]:
        return _PDF
    if head[_TAR_MARK : _TAR_MARK + 5] == b"ustar":
        return _Content("an archive (tar)", "unpack it, or give its name the ending .tar")
    if _PICKLE.match(head) and not _is_text(head):
        return _Content("a pickle of Python", "write the table with DataFrame.to_csv")
    return _marked_up(head.removeprefix(b"\xef\xbb\xbf").lstrip())


def _marked_up(text: bytes) -> _Content | None:
    """Return what a text is that is no table."""
    lower = text[:200].lower()
    if lower.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return _WEB_PAGE
    if lower.startswith(b"<?xml"):
        return _WEB_PAGE if b"<html" in text.lower() else _XML
    if _JSON_LIST.match(text):
        return _JSON
    if _JSON_OBJECT.match(text):
        return _JSON_LINES if _SEVERAL_OBJECTS.match(text) else _JSON_OF_ONE
    return _CIF if _CIF_TEXT.match(text) else None


def _zipped(path: Path | None) -> _Content:
    """Return what a zip archive is, by the files in it."""
    names: list[str] = []
    if path is not None:
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, zipfile.BadZipFile, NotImplementedError):
            return _Content("a damaged zip archive or Excel file", "copy it again")
    if "xl/workbook.xml" in names:
        return _EXCEL
    if "word/document.xml" in names:
        return _Content("a Word document", f"copy its table into a spreadsheet; {_SAVE_AS}")
    if "content.xml" in names and "META-INF/manifest.xml" in names:
        return _Content("a file of LibreOffice", _SAVE_AS)
    if any(is_structure_file(PurePosixPath(name).name) for name in names):
        return _ending("an archive of structure files", ".zip")
    return _Content("a zip archive", "unpack it, and give the table in it")


def _is_text(head: bytes) -> bool:
    """Return whether bytes have no control characters but those of lines."""
    return not any(byte < 32 and byte not in b"\t\n\r\f" for byte in head)  # noqa: PLR2004
