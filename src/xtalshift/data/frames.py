"""Read table files as data frames, whole or in chunks, with formulas exactly as written."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from xtalshift.data.files import (
    FORMULA_NAMES,
    file_kind,
    find_separator,
    naming_file,
    open_text,
    refuse_repeats,
)
from xtalshift.data.numbers import BLANKS, parse_numbers
from xtalshift.data.spreadsheet import unmark_frame
from xtalshift.errors import DataError
from xtalshift.jsonio import Plain

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_frame(path: str | Path, *, text_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a whole file.

    Parameters
    ----------
    path : str or Path
        .csv, .tsv, .txt (comma, semicolon or tab; UTF-8, UTF-16 with a byte order mark, or
        Latin-1), .parquet, .jsonl or .ndjson, or .json (records, columns, or the split layout of
        matminer); text formats may end in .gz. pymatgen structures and compositions in JSON are
        read as their formula.
    text_columns : sequence of str
        Columns to keep as text besides those of `FORMULA_NAMES`, such as a column of ids.

    Returns
    -------
    pandas.DataFrame
        A CSV column becomes numeric if every cell is a number or blank and none is an integer with
        leading zeros; other cells are unchanged, and empty ones are ``""``. Formula columns are
        text: ``"NaN"`` is sodium nitride.

    Raises
    ------
    DataError
        If the file is missing, a folder, empty, binary, malformed or of an unknown type, or two
        columns share a name; the message names the file.
    """
    path = Path(path)
    kind = file_kind(path)
    if kind == "csv":
        with naming_file(path), open_text(path) as stream:
            return _read_csv(stream, text_columns)
    if kind == "json":
        with naming_file(path):
            return finish_frame(_json_frame(path), text_columns)
    return next(iter_frames(path, None, text_columns=text_columns))


def iter_frames(
    path: str | Path, chunk_rows: int | None, *, text_columns: Sequence[str] = ()
) -> Iterator[pd.DataFrame]:
    """Read a file in pieces, with constant memory for CSV, Parquet and JSON lines.

    Parameters
    ----------
    path : str or Path
        As `read_frame`.
    chunk_rows : int or None
        Rows per piece, of which some may be shorter; None for all rows in one piece.
    text_columns : sequence of str
        As `read_frame`.

    Yields
    ------
    pandas.DataFrame
        At least one piece (a table without rows has one empty piece); the index continues through
        the file. Cells of a CSV remain text, so that all pieces have the same types and a cell can
        be written back unchanged; `frame.attrs["decimal_comma"]` is true if such text has decimal
        commas (`xtalshift.data.numbers.parse_numbers`).

    Raises
    ------
    DataError
        As `read_frame`.
    """
    path = Path(path)
    kind = file_kind(path)
    if kind == "csv":
        with naming_file(path), open_text(path) as stream:
            separator = find_separator(stream)
            for frame in csv_chunks(stream, chunk_rows, separator):
                cells = frame.fillna("")
                cells.attrs["decimal_comma"] = separator == ";"
                yield cells
        return
    if kind == "json":
        frame = read_frame(path, text_columns=text_columns)
        size = chunk_rows or max(len(frame), 1)
        for start in range(0, max(len(frame), 1), size):
            yield frame.iloc[start : start + size]
        return
    read_chunks = _parquet_chunks if kind == "parquet" else _line_chunks
    start = 0
    with naming_file(path):
        for frame in read_chunks(path, chunk_rows):
            frame.index = pd.RangeIndex(start, start + len(frame))
            start += len(frame)
            yield finish_frame(frame, text_columns)


def _read_csv(stream: IO[str], text_columns: Sequence[str]) -> pd.DataFrame:
    separator = find_separator(stream)
    frame = next(csv_chunks(stream, None, separator)).fillna("")
    protected = _protected(frame, text_columns)
    for name in frame.columns.difference(list(protected), sort=False):
        frame[name] = _numbers_or_text(frame[name], decimal_comma=separator == ";")
    frame.attrs["decimal_comma"] = separator == ";"
    return frame


def csv_chunks(stream: IO[str], chunk_rows: int | None, separator: str) -> Iterator[pd.DataFrame]:
    """Yield pieces of text cells, unmarked; at least one, all rows if `chunk_rows` is None."""
    with pd.read_csv(
        stream, sep=separator, dtype=str, keep_default_na=False, index_col=False, iterator=True
    ) as reader:
        while True:
            with warnings.catch_warnings():
                # else a row longer than the header would lose its last cells with only a warning
                warnings.simplefilter("error", pd.errors.ParserWarning)
                try:
                    frame = reader.read(chunk_rows)
                except StopIteration:
                    return
                except pd.errors.ParserWarning as error:
                    raise DataError("a row has more cells than the header") from error
            frame.columns = pd.Index([str(name).strip() for name in frame.columns])
            yield unmark_frame(frame)
            if chunk_rows is None:
                return


def _parquet_chunks(path: Path, chunk_rows: int | None) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        refuse_repeats(file.schema_arrow.names)
        if chunk_rows is None or file.metadata.num_rows == 0:
            yield file.read().to_pandas(ignore_metadata=True)
            return
        # a piece ends with a row group where the categories of a column may change
        for batch in file.iter_batches(batch_size=chunk_rows):
            yield batch.to_pandas(ignore_metadata=True)


def _line_chunks(path: Path, chunk_rows: int | None) -> Iterator[pd.DataFrame]:
    with open_text(path) as stream:
        lines = ((number, line) for number, line in enumerate(stream, 1) if line.strip())
        columns: list[str] | None = None
        while rows := list(islice(lines, chunk_rows)):
            frame = pd.DataFrame([json_line(*row) for row in rows])
            columns = columns or list(frame.columns)
            new = frame.columns.difference(columns)
            if len(new):
                raise DataError(
                    f"column {new[0]!r} first occurs after line {rows[0][0]}, too late for reading "
                    "in pieces; name every column in the first line (null where there is no value)"
                )
            frame = frame.reindex(columns=columns)
            yield frame
        if columns is None:
            raise DataError("it has no rows")


def json_line(number: int, line: str) -> Plain:
    """Return one line of JSON lines as a row; messages name it by `number`."""
    try:
        row = _decode(line)
    except json.JSONDecodeError as error:
        raise DataError(f"line {number} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"line {number} is {type(row).__name__}, expected an object of columns")
    return row


def _json_frame(path: Path) -> pd.DataFrame:
    with open_text(path) as stream:
        try:
            content = _decode(stream.read())
        except json.JSONDecodeError as error:
            raise DataError(f"it is not JSON: {error}") from error
    if isinstance(content, dict) and {"columns", "data"} <= set(content):
        refuse_repeats(content["columns"])
        return pd.DataFrame(content["data"], columns=content["columns"])
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return pd.DataFrame(content)
    if isinstance(content, dict) and content:
        columns = {
            name: list(cells.values()) if isinstance(cells, dict) else cells
            for name, cells in content.items()
        }
        if all(isinstance(cells, list) for cells in columns.values()):
            return pd.DataFrame(columns)
    raise DataError("its JSON is not a table; expected a list of rows or an object of columns")


def _decode(text: str) -> Any:
    """Decode JSON; unpaired surrogates, which no file can hold as text, become ``?``."""
    if _SURROGATE.search(text):
        plain = json.dumps(json.loads(text), ensure_ascii=False)
        text = plain.encode("utf-8", "replace").decode()
    return json.loads(text, object_hook=_collapse)


def _collapse(node: Plain) -> Any:
    """Replace a pymatgen structure or composition by its formula while JSON is parsed."""
    kind = node.get("@class")
    if kind in {"Structure", "Composition"}:
        amounts: Counter[str] = Counter()
        if kind == "Structure":
            for site in node["sites"]:
                for species in site["species"]:
                    amounts[species["element"]] += species["occu"]
        else:
            amounts.update({key: value for key, value in node.items() if not key.startswith("@")})
        return "".join(
            element + ("" if amount == 1 else f"{amount:.8g}")
            for element, amount in amounts.items()
        )
    return node


def _protected(frame: pd.DataFrame, text_columns: Sequence[str]) -> set[str]:
    named = {str(name) for name in frame.columns if str(name).casefold() in FORMULA_NAMES}
    return named | (set(text_columns) & set(frame.columns))


def finish_frame(frame: pd.DataFrame, text_columns: Sequence[str]) -> pd.DataFrame:
    """Make names and formula columns plain text and dictionary columns plain objects."""
    frame.columns = frame.columns.map(str)
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(frame[name].cat.categories.dtype)
    for name in _protected(frame, text_columns):
        cells = frame[name].astype(object)
        frame[name] = cells.where(cells.notna(), "").map(str).astype(object)
    return frame


def _numbers_or_text(cells: pd.Series, *, decimal_comma: bool) -> pd.Series:
    if cells.str.fullmatch(r"\s*0\d+\s*").any():  # 0042 is an id; as a number it would change
        return cells
    values, problems = parse_numbers(cells, decimal_comma=decimal_comma)
    blank = cells.str.strip().str.lower().isin(BLANKS)
    if blank.all() or any(problem.startswith("not a number") for problem in problems):
        return cells
    if not blank.any() and cells.str.fullmatch(r"\s*[-+]?\d{1,15}\s*").all():
        return pd.Series(values.astype(np.int64), index=cells.index)
    return pd.Series(values, index=cells.index)
