"""Files that are named as what they are not."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile

import pandas as pd
import pytest

from xtalshift.data import read_raw
from xtalshift.errors import DataError

CSV = "formula,gap\nGaN,3.4\nAlN,6.1\n"
TABLE = pd.read_csv(io.StringIO(CSV))
CIF = "# a comment\ndata_GaN\nloop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n"


def zipped(*names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return stream.getvalue()


def made(write):
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def tar():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    return stream.getvalue()


EXCEL = made(lambda out: TABLE.to_excel(out, index=False))
PARQUET = made(TABLE.to_parquet)
CASES = {
    "text.csv": (b"%PDF-1.4\n1 0 obj\nformula,gap\n", r"a PDF document; copy its table into a sp"),
    "bytes.csv": (b"\n%PDF-1.7\n\0\1\2", "a PDF document"),
    "paper.xlsx": (b"%PDF-1.7\n\0\1\2", "a PDF document"),
    "book.csv": (EXCEL, r"an Excel file; give its name the ending \.xlsx"),
    "book.parquet": (EXCEL, "an Excel file"),
    "columns.csv": (PARQUET, r"a Parquet file; give its name the ending \.parquet"),
    "columns.json": (PARQUET, "a Parquet file"),
    "packed.csv": (gzip.compress(CSV.encode()), r"packed by gzip; .* the ending \.csv\.gz"),
    "packed.tsv.gz": (gzip.compress(EXCEL), "a zip archive"),
    "notpacked.csv.gz": (CSV.encode(), r"not packed by gzip; leave \.gz out of its name"),
    "cut.csv.gz": (gzip.compress(CSV.encode())[:-9], r"cannot be unpacked .*; pack it again"),
    "zip.csv": (zipped("a.csv"), "a zip archive; unpack it"),
    "cifs.csv": (zipped("a.cif"), r"an archive of structure files; .* \.zip"),
    "letter.csv": (zipped("word/document.xml"), "a Word document"),
    "sheet.csv": (zipped("content.xml", "META-INF/manifest.xml"), "a file of LibreOffice; save"),
    "cut.xlsx": (EXCEL[:-40], "a damaged zip archive or Excel file; copy it again"),
    "tar.csv": (tar(), "an archive .tar.; unpack it"),
    "old.csv": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"an old Office file.*; save the table as"),
    "photo.csv": (b"\x89PNG\r\n\x1a\n", r"a picture \(PNG\); numbers in a picture"),
    "page.csv": (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html>", r"a web page .*; open it in a browser"),
    "page.xhtml.csv": (b'<?xml version="1.0"?><html xmlns="x">', "a web page"),
    "old.xml.csv": (b'<?xml version="1.0"?><Workbook>', "XML; open it in the program"),
    "rows.csv": (TABLE.to_json(orient="records").encode(), r"JSON; give its name the ending \.js"),
    "named.csv": (TABLE.to_json().encode(), r"JSON; give its name the ending \.json"),
    "lines.csv": (TABLE.to_json(orient="records", lines=True).encode(), r"JSON lines; .*\.jsonl"),
    "lines.json": (TABLE.to_json(orient="records", lines=True).encode(), r"JSON lines; .*\.jsonl"),
    "rows.jsonl": (TABLE.to_json(orient="records").encode(), r"JSON; .*\.json"),
    "crystal.csv": (CIF.encode(), r"a crystal structure \(CIF\); .*\.cif"),
    "pickle.csv": (made(TABLE.to_pickle), r"a pickle of Python; write the table with"),
    "text.xlsx": (CSV.encode(), r"text, and no Excel file; give its name the ending \.csv"),
    "text.parquet": (CSV.encode(), r"text, and no Parquet file"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_another_type_is_named(name, tmp_path):
    content, what = CASES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"cannot read .*{name}: it (is )?{what}"):
        read_raw(path)


READ = {
    "t.csv": CSV.encode(),
    "data_.csv": b"data_x,formula,gap\n1,GaN,3.4\n2,AlN,6.1\n",
    "sets.csv": b'"{a}",formula,gap\n1,GaN,3.4\n2,AlN,6.1\n',
    "t.csv.gz": gzip.compress(CSV.encode()),
    "t.xlsx": EXCEL,
    "t.parquet": PARQUET,
    "lines.jsonl": TABLE.to_json(orient="records", lines=True).encode(),
    "rows.json": TABLE.to_json(orient="records").encode(),
    "columns.json": json.dumps(TABLE.to_dict("list")).encode(),
}


@pytest.mark.parametrize("name", READ)
def test_a_file_of_its_type_is_read(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(READ[name])
    assert read_raw(path).frame["formula"].tolist() == ["GaN", "AlN"]
