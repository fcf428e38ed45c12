"""Mutations of the files that commands read, and what a command makes of a mutated file.

The files are tables in every format, splits, settings and specifications. A file that cannot be
used must end the command with one line that names the file; a table that can be used has all of its
rows in the output, with a reason where a row has no result.
"""

import copy
import datetime as dt
import decimal
import gzip
import json
import os
import random
import re
import shutil
import sys
import tempfile
import tomllib
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from faults.model_mutations import any_place, cut, flip, other_value
from integration.tables import make_rows
from xtalshift.cli.main import main
from xtalshift.data.frames import read_frame
from xtalshift.errors import DataError

REFUSED, DONE = "refused", "done"
ABOUT_ROWS = re.compile(r"\d+ (usable )?(rows|targets|ids|formulas|of \d+)|split '|no row could")
"""In messages about the rows of a table that was read."""
ROWS = 30


# ------------------------------------------------------------------------------- files


def call(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    raise AssertionError("the command did not exit")


def make_files(place: Path) -> None:
    """Write a file of each kind, and the model and the table that the commands need besides."""
    rows = pd.DataFrame(make_rows(3 * ROWS), columns=["id", "formula", "gap", "temperature"])
    frame, known = rows[:ROWS], place / "known.csv"
    rows[ROWS : 2 * ROWS].to_csv(known, index=False)
    rows[2 * ROWS :].to_csv(place / "candidates.csv", index=False)
    text = frame.to_csv(index=False)
    good = place / "good.csv"
    good.write_text(text)
    tables = place / "tables"
    tables.mkdir()
    (tables / "a.csv").write_text(text)
    (tables / "b.tsv").write_text(text.replace(",", "\t"))
    (tables / "c.csv").write_text(text.replace(",", ";").replace(".", ","))
    (tables / "d.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    (tables / "e.csv").write_bytes(text.encode("utf-16"))
    quoted = frame.assign(note='"é", or\nnot').to_csv(index=False)
    (tables / "f.csv").write_bytes(quoted.encode("latin-1"))
    lines = frame.to_json(orient="records", lines=True)
    (tables / "g.jsonl").write_text(lines)
    (tables / "h.ndjson.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    (tables / "i.json").write_text(frame.to_json(orient="records"))
    (tables / "j.json").write_text(frame.to_json(orient="columns"))
    (tables / "k.json").write_text(json.dumps(_matminer(frame)))
    frame.to_parquet(tables / "l.parquet")
    parts = pa.Table.from_pandas(frame.astype({"id": "category"}).assign(none=None))
    pq.write_table(parts, tables / "m.parquet", row_group_size=7, compression="zstd")
    splits = place / "splits"
    splits.mkdir()
    for name in ("a.parquet", "b.csv"):
        assert call("split", good, "--scheme", "random", "-o", splits / name) == 0
    folds = pd.read_csv(splits / "b.csv", dtype=str).to_json(orient="records", lines=True)
    (splits / "c.jsonl").write_text(folds)
    settings = place / "settings"
    settings.mkdir()
    data = {"dataset": str(good), "target": "gap", "features": "fractions"}
    network = {"architecture": [4], "dropout": 0.1}
    (settings / "train.toml").write_text(
        tomli_w.dumps({"data": data, "network": network, "erm": {"epochs": 1}})
    )
    (settings / "split.toml").write_text(
        tomli_w.dumps({"data": data, "scheme": "prior", "params": {"share": 0.2}, "budgets": [2]})
    )
    (settings / "benchmark.toml").write_text(
        tomli_w.dumps(
            {
                "title": "t", "methods": ["dummy", {"method": "ridge", "name": "r"}], "seeds": 1,
                "data": {"gaps": {"dataset": str(good), "target": "gap"}},
                "splits": {"tail": {"scheme": "prior", "params": {"tail": "low"}}},
            }
        )
    )  # fmt: skip
    assert call("train", known, "--target", "gap", "--method", "ridge", "-o", place / "model",
                "--threads", 1, "--intervals", "none") == 0  # fmt: skip


def _matminer(frame: pd.DataFrame) -> dict[str, Any]:
    def structure(formula: str) -> dict[str, Any]:
        sites = [{"species": [{"element": formula[:2], "occu": 1}], "xyz": [0, 0, 0]}]
        return {"@module": "pymatgen", "@class": "Structure", "sites": sites}

    cells = [
        [structure("LiO"), {"@class": "Composition", "Na": 1, "Cl": 1.5}, row.gap, row.temperature]
        for row in frame.itertuples()
    ]
    names = ["structure", "formula", "gap", "temperature"]
    return {"index": list(range(len(cells))), "columns": names, "data": cells}


# -------------------------------------------------------------------------- mutations


def packed(path: Path) -> bool:
    return path.suffix == ".gz"


def bytes_of(rng: random.Random, path: Path, content: bytes) -> bytes:  # noqa: PLR0911
    """Change bytes at random, also those inside of packed ones and of the footer of Parquet."""
    if packed(path) and rng.random() < 0.6:
        return gzip.compress(bytes_of(rng, path.with_suffix(""), gzip.decompress(content)))
    at = rng.randrange(len(content))
    if path.suffix == ".parquet" and rng.random() < 0.6:
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        return content[:footer] + flip(rng, content[footer:])
    kind = rng.choice(["flip", "cut", "nul", "high", "junk", "again", "marks", "line ends"])
    if kind == "flip":
        return flip(rng, content)
    if kind == "cut":
        return cut(rng, content)
    if kind == "junk":
        return rng.randbytes(rng.randrange(1, 300))
    if kind == "again":
        return content[:at] + content[rng.randrange(len(content)) :]
    if kind == "line ends":
        return content.replace(b"\n", rng.choice([b"\r", b"\r\n", b"", b"\n\n", b"\n\r"]))
    mark = {
        "nul": [b"\0", b"\0" * 50],
        "high": [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xff\xfe", b"\xf0\x9f\x98\x80"],
        "marks": [b'"', b"'", b",", b";", b"\t", b"[", b"{", b"}", b"\\", b"\xef\xbb\xbf", b"#"],
    }[kind]
    at = rng.choice([0, at, at, len(content)])
    return content[:at] + rng.choice(mark) + content[at:]


CELLS = [
    "", " ", "nan", "inf", "-1e400", "1" * 400, "x" * 5000, "0x1F", "1,5", "=1+1", "'=1", "é", "😀",
    '"', '""', "NaCl" * 300, "Na1e400", "Na99999999999999999999Cl", "(((((", "Xx", "Na0Cl0", "None",
    "2020-01-01", "Na-1Cl", "[1]", "{}", "\u2028", "\x1f", "ﬀ", "Na₂O", "Na\u0661",
]  # fmt: skip


def csv_of(rng: random.Random, path: Path, content: bytes) -> bytes:
    """Change cells, rows and columns of text."""
    if packed(path):
        return gzip.compress(csv_of(rng, path.with_suffix(""), gzip.decompress(content)))
    encoding = "utf-16" if content[:2] == b"\xff\xfe" else "latin-1"
    text = content.decode(encoding)
    mark = max(",;\t", key=text.split("\n", 1)[0].count)
    table = [line.split(mark) for line in text.splitlines()]
    row, column = rng.randrange(len(table)), rng.randrange(len(table[0]))
    column = min(column, len(table[row]) - 1)
    kind = rng.choice(["cell", "cell", "column of cells", "gone", "twice", "longer", "shorter",
                       "rows gone", "wide", "name", "other mark"])  # fmt: skip
    if kind == "cell":
        table[row][column] = rng.choice(CELLS)
    elif kind == "column of cells":
        cell = rng.choice(CELLS)
        table = [table[0], *([*line[:column], cell, *line[column + 1 :]] for line in table[1:])]
    elif kind == "gone":
        table = [line[:column] + line[column + 1 :] for line in table]
    elif kind == "twice":
        table = [line[: column + 1] + line[column:] for line in table]
    elif kind == "longer":
        table[row].append(rng.choice(["", "x"]))
    elif kind == "shorter":
        table[row] = table[row][:column]
    elif kind == "rows gone":
        table = table[: rng.choice([0, 1, 2])]
    elif kind == "wide":
        table = [line + [str(number) for number in range(300)] for line in table]
    elif kind == "name":
        table[0][column] = rng.choice([*CELLS, "formula", "gap", "id", "part", "status", "reason"])
    else:
        mark = rng.choice("|: ")
    changed = "".join(mark.join(line) + "\n" for line in table)
    return changed.encode("utf-8" if encoding == "latin-1" else encoding, "surrogatepass")


def json_of(rng: random.Random, path: Path, content: bytes) -> bytes:
    """Change values, names and nesting of JSON, in one line of JSON lines."""
    if packed(path):
        return gzip.compress(json_of(rng, path.with_suffix(""), gzip.decompress(content)))
    lines = [content] if path.suffix == ".json" else content.splitlines()
    row = rng.randrange(len(lines))
    values = json.loads(lines[row])
    place, key = any_place(rng, values)
    kind = rng.choice(["value", "value", "gone", "more", "text", "deep", "raw"])
    if kind == "value":
        place[key] = other_value(rng, place[key], key)
    elif kind == "gone":
        del place[key]
    elif kind == "more" and isinstance(place, dict):
        place[f"{key}x"] = copy.deepcopy(place[key])
    elif kind == "more":
        place.insert(0, copy.deepcopy(place[key]))
    elif kind == "text":
        place[key] = rng.choice([*CELLS, "\ud800", 10**400, 1e308, [[[]]], {"@class": "Structure"},
                                 {"@class": "Composition", "Na": "x"}])  # fmt: skip
    else:
        deep = [b"[" * 10**5, b'{"a":' * 10**5, b"[" * 900 + b"]" * 900, b"[" * 90 + b"]" * 90]
        raw = [b"9" * 10**5, b"-", b"1e999", b"NaN", b"-Infinity", b"tru", b'"\\ud800"', b'"\n"']
        place[key] = "place of something else"
        lines[row] = json.dumps(values).encode()
        text = rng.choice(deep if kind == "deep" else raw)
        lines[row] = lines[row].replace(b'"place of something else"', text)
        return b"\n".join(lines) + b"\n"
    lines[row] = json.dumps(values).encode()
    return b"\n".join(lines) + b"\n"


def parquet_of(rng: random.Random, path: Path, content: bytes) -> bytes:
    """Change types, names and rows of a Parquet file."""
    table = pq.read_table(pa.BufferReader(content))
    column = rng.randrange(table.num_columns)
    name, n = table.column_names[column], len(table)
    cells: list[Any] = [
        [None] * n, [True] * n, [-1] * n, [float("nan")] * n, [float("inf")] * n, ["x"] * n,
        [2**63 - 1] * n, [b"\xff"] * n, [[1, 2]] * n, [{"a": 1}] * n, [[]] * n,
        [dt.date(2020, 1, 1)] * n, [dt.timedelta(1)] * n, [dt.time(1)] * n,
        [dt.datetime(1, 1, 1, tzinfo=dt.UTC)] * n, [decimal.Decimal("1.5")] * n,
        [None, "NaCl"] * (n // 2),
        ["Na\0Cl"] * n, ["x" * 10**5] * n, [dt.datetime(2020, 1, 1, tzinfo=dt.UTC)] * n,
    ]  # fmt: skip
    kind = rng.choice(["cells", "cells", "cells", "type", "gone", "twice", "rows gone", "name",
                       "wide"])  # fmt: skip
    if kind == "cells":
        table = table.set_column(column, name, pa.array(rng.choice(cells)))
    elif kind == "type":
        types = [pa.large_string(), pa.binary(), pa.dictionary(pa.int8(), pa.string()), pa.uint64(),
                 pa.float16(), pa.decimal256(60, 3), pa.int8(), pa.timestamp("ns"), pa.string(),
                 pa.list_(pa.string()), pa.duration("s"), pa.bool_(), pa.date64()]  # fmt: skip
        kind_of = rng.choice(types)
        try:
            changed = table.column(column).cast(kind_of)
        except pa.ArrowException:
            changed = pa.nulls(n, kind_of)
        table = table.set_column(column, name, changed)
    elif kind == "gone":
        table = table.remove_column(column)
    elif kind == "twice":
        table = table.append_column(name, table.column(column))
    elif kind == "rows gone":
        table = table.slice(0, rng.choice([0, 1, 2]))
    elif kind == "name":
        new = rng.choice([*CELLS, "formula", "gap", "id", "part", "status", "reason", "fold"])
        table = table.rename_columns([new if one == name else one for one in table.column_names])
    else:
        for number in range(200):
            table = table.append_column(str(number), pa.array([number] * n))
    key = b"xtalshift_split"
    if key in (table.schema.metadata or {}) and rng.random() < 0.5:
        record = json_of(rng, Path("x.json"), table.schema.metadata[key])
        table = table.replace_schema_metadata({**table.schema.metadata, key: record})
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(table, sink)
    except pa.ArrowException:  # not every type can be written
        return bytes_of(rng, path, content)
    return sink.getvalue().to_pybytes()


def toml_of(rng: random.Random, path: Path, content: bytes) -> bytes:
    """Change values and names of settings."""
    values = tomllib.loads(content.decode())
    place, key = any_place(rng, values)
    kind = rng.choice(["value", "value", "gone", "more", "text", "deep"])
    if kind == "value":
        place[key] = other_value(rng, place[key], key)
    elif kind == "gone":
        del place[key]
    elif kind == "more" and isinstance(place, dict):
        place[f"{key}x"] = copy.deepcopy(place[key])
    elif kind == "more":
        place.insert(0, copy.deepcopy(place[key]))
    elif kind == "text":
        place[key] = rng.choice([*CELLS, 10**400, -(2**63), [[[]]], {}, dt.date(2020, 1, 1),
                                 "formula", "/", ".", "\0"])  # fmt: skip
    else:
        deep = [b"[" * 10**5, b"{a=" * 500, b"[" * 90 + b"]" * 90, b"a" + b".a" * 10**4 + b"=1"]
        return content + b"\nx = " + rng.choice(deep) + b"\n"
    try:
        return tomli_w.dumps(values).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError):  # TOML has no null
        return bytes_of(rng, path, content)


def mutate(rng: random.Random, path: Path) -> bytes:
    """Return other content for a file."""
    content = path.read_bytes()
    formats = {".csv": csv_of, ".tsv": csv_of, ".jsonl": json_of, ".ndjson": json_of,
               ".json": json_of, ".parquet": parquet_of, ".toml": toml_of}  # fmt: skip
    change = formats[path.suffixes[0]] if rng.random() < 0.6 else bytes_of
    return change(rng, path, content)


# ------------------------------------------------------------------------- trying them


def commands_of(kind: str, path: Path, place: Path, out: Path) -> dict[str, list[object]]:
    """Return the commands that read a file, by name."""
    model, good = place / "model", place / "good.csv"
    target = ["--target", "gap"]
    quick = ["--threads", 1, "--intervals", "none", "--features", "fractions"]
    if kind == "tables":
        return {
            "featurize": ["featurize", path, "-o", out / "o.csv", "--features", "fractions"],
            "predict": ["predict", model, path, "-o", out / "o.csv", "--threads", 1],
            "screen": ["screen", model, path, "-o", out / "s", "--workers", 1, "--chunk-rows", 8],
            "split": ["split", path, "--scheme", "random", "-o", out / "o.csv"],
            "audit": ["audit", path, place / "splits" / "b.csv", "-o", out / "a", "--quick",
                      *target],
            "train": ["train", path, *target, "--method", "dummy", "-o", out / "m", *quick],
            "calibrate": ["calibrate", model, path, *target, "-o", out / "m"],
            "suggest": ["suggest", model, path, "-n", 3, "--rule", "diversity", "-o",
                        out / "o.csv", "--threads", 1],
            "measured": ["suggest", model, place / "candidates.csv", "-n", 3, "--rule", "random",
                         "-o", out / "o.csv", "--threads", 1, "--measured", path],
        }  # fmt: skip
    if kind == "splits":
        return {
            "train": ["train", good, *target, "--method", "dummy", "-o", out / "m", *quick,
                      "--split", path],
            "audit": ["audit", good, path, "-o", out / "a", "--quick", *target],
        }  # fmt: skip
    name = path.stem.removeprefix("changed-")
    return {
        "train": {"train": ["train", good, "--config", path, "-o", out / "m", "--method", "ridge",
                            "--threads", 1, "--intervals", "none"]},
        "split": {"split": ["split", good, "--config", path, "-o", out / "o.csv"]},
        "benchmark": {"benchmark": ["benchmark", path, "--plan"]},
    }[name]  # fmt: skip


def rows_written(name: str, out: Path) -> int | None:
    """Return the number of rows in the output of a command that keeps every row."""
    if name in {"featurize", "predict"}:
        return len(pd.read_csv(out / "o.csv", dtype=str, keep_default_na=False))
    if name == "screen":
        return sum(pq.read_metadata(part).num_rows for part in (out / "s/parts").iterdir())
    return None


def judge(kind: str, name: str, code: int, err: str, path: Path, out: Path) -> str:  # noqa: PLR0911
    """Return whether a command did what it should: done, refused, or a fault."""
    lines = [line for line in err.splitlines() if line.startswith("Error")]
    if "bug in xtalshift" in err or "Traceback" in err:
        return f"fault: {err[-300:]}"
    if ".py:" in err:
        return f"fault: a warning of a library: {err[-600:]}"
    if code == 0:
        if lines:
            return f"fault: {lines} with exit code 0"
        wanted = rows_written(name, out)
        with suppress(DataError):  # a damaged column that the command does not read
            if wanted not in {None, found := len(read_frame(path))}:
                return f"fault: {wanted} rows written of {found}"
        return DONE
    if code not in {1, 2} or len(lines) != 1 or err.splitlines()[-1] != lines[0]:
        return f"fault: exit code {code} and {err[-300:]!r}"
    if not lines[0].isprintable():
        return f"fault: {lines[0]!r}"
    if kind != "settings" and path.name not in lines[0] and not ABOUT_ROWS.search(lines[0]):
        return f"fault: no name of the file: {lines[0][:300]}"
    return REFUSED


def attempts(place: Path) -> Callable[[str, str, int], str]:
    """Return what tries one mutation: of (kind of file, its name, seed)."""
    sys.stdout.flush()
    out_stream, err_stream = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115
    os.dup2(out_stream.fileno(), 1)  # libraries in C write there
    os.dup2(err_stream.fileno(), 2)
    warnings.simplefilter("always")
    home = tempfile.TemporaryDirectory()

    def attempt(kind: str, file: str, seed: int) -> str:
        rng, folder = random.Random(f"{kind} {file} {seed}"), Path(home.name)
        path = folder / f"changed-{file}"
        shutil.rmtree(folder / "out", ignore_errors=True)
        out = folder / "out"
        out.mkdir()
        path.write_bytes(mutate(rng, place / kind / file))
        name, arguments = rng.choice(list(commands_of(kind, path, place, out).items()))
        for stream in (out_stream, err_stream):
            stream.seek(0)
            stream.truncate()
        try:
            code = call(*arguments)
            sys.stderr.flush()
            err_stream.seek(0)
            result = judge(kind, name, code, err_stream.read(), path, out)
        except BaseException:  # noqa: BLE001 - any is what is looked for
            result = f"fault: {traceback.format_exc()[-600:]}"
        path.unlink()
        return result if result in {REFUSED, DONE} else f"{result} [{name}]"

    return attempt
