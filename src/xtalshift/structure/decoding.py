"""From the bytes of a structure file to its text."""

from __future__ import annotations

import codecs

from xtalshift.structure.listed_atoms import RefusedError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TEXT = {*range(32, 127), *range(128, 256), 9, 10, 12, 13, 26}


def decode(data: bytes) -> tuple[str, str]:
    """Return the text of a file, and a note if its encoding is odd.

    UTF-8, UTF-16 and UTF-32 with a byte order mark; everything else that is text is read as
    Latin-1, whose letters can only stand in comments and names.

    Raises
    ------
    RefusedError
        If it is no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), ""
            except UnicodeDecodeError:
                raise RefusedError(
                    f"it begins as {encoding.upper()} and goes on as something else; save it as "
                    "UTF-8"
                ) from None
    if any(byte not in _TEXT for byte in data[:4096]) or b"\0" in data:
        raise RefusedError("it is no text but binary data; name a text file (CIF, POSCAR, extxyz)")
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError:
        return data.decode("latin-1"), "not UTF-8: read as Latin-1"
