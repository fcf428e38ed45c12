"""Write ``src/xtalshift/data/ricci_seebeck.parquet`` from the table that matminer's wheel carries.

The published numbers are decimals of up to ten digits. As doubles they compress to 3.6 MB, so each
column ``x`` is stored as two columns of whole numbers, ``x.digits`` and ``x.exponent``, with
``x = digits * 10**exponent``: 2.4 MB, and the same doubles when read. Rows and columns keep their
order. Run this script once, with matminer 0.10 installed, then ``tools/make_catalog.py`` for the
checksum: ``.venv/bin/python tools/make_ricci_table.py``
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import tarfile
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TARGET = Path(__file__).parents[1] / "src/xtalshift/data/ricci_seebeck.parquet"
ARCHIVE = "utils/data_files/mp_transport/transport_database.tar.xz"
ARCHIVE_SHA256 = "d6cecdd6dc68ab95bc4348026e3872e77a186b96189a4e34dd253f8bacf0b08d"
TEXT = ("mp_id", "pretty_formula")
ABOUT = {
    "numbers": "x = x.digits * 10**x.exponent, rounded to the nearest double",
    "source": "Ricci et al., Sci. Data 4, 170085 (2017), as in matminer 0.10",
    "terms": "see ricci_seebeck.LICENSE.txt beside this file",
}


def read_published() -> dict[str, list[str]]:
    """Return the columns of matminer's CSV as text."""
    spec = importlib.util.find_spec("matminer")
    if spec is None or spec.origin is None:
        raise SystemExit("matminer is not installed")
    content = (Path(spec.origin).parent / ARCHIVE).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != ARCHIVE_SHA256:
        raise SystemExit(f"{ARCHIVE}: expected sha256 {ARCHIVE_SHA256}, got {found}")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.extractfile("transport_database.csv")
        if member is None:
            raise SystemExit(f"{ARCHIVE} holds no transport_database.csv")
        header, *rows = csv.reader(io.TextIOWrapper(member, encoding="utf-8", newline=""))
    return {name: list(cells) for name, *cells in zip(header, *rows, strict=True)}


def split_decimal(text: str) -> tuple[int, int]:
    """Return whole numbers (digits, exponent) with ``digits * 10**exponent`` equal to `text`."""
    sign, digits, exponent = Decimal(text).normalize().as_tuple()
    if not isinstance(exponent, int):
        raise SystemExit(f"{text!r} is not a finite number")
    return (-1) ** sign * int("".join(map(str, digits))), exponent


def main() -> None:
    """Write the table and print its size and checksum."""
    columns: dict[str, pa.Array] = {}
    for name, cells in read_published().items():
        if name in TEXT:
            columns[name] = pa.array(cells)
        else:
            digits, exponents = zip(*map(split_decimal, cells), strict=True)
            columns[f"{name}.digits"] = pa.array(digits, pa.int64())
            columns[f"{name}.exponent"] = pa.array(exponents, pa.int8())
    exponents = [name for name in columns if name.endswith(".exponent")]
    pq.write_table(
        pa.table(columns).replace_schema_metadata(ABOUT),
        TARGET,
        compression="zstd",
        compression_level=22,
        use_dictionary=exponents,
        column_encoding={
            "mp_id": "DELTA_BYTE_ARRAY",
            "pretty_formula": "DELTA_LENGTH_BYTE_ARRAY",
            **{name: "BYTE_STREAM_SPLIT" for name in columns if name.endswith(".digits")},
        },
    )
    content = TARGET.read_bytes()
    print(f"{TARGET.name}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
