"""Columns of text between lists and Arrow, without pandas, which `pyarrow.array` would import."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa


def text_array(cells: Sequence[str | None]) -> pa.Array:
    """Return texts as an Arrow array; unpaired surrogates, which are not text, become ``?``.

    Parameters
    ----------
    cells : sequence of str or None, length n
        None for a cell without a value.
    """
    missing = np.fromiter((cell is None for cell in cells), np.bool_, len(cells))
    texts = [cell or "" for cell in cells] if missing.any() else list(cells)
    joined = "".join(texts)  # type: ignore[arg-type]
    encoded = texts if joined.isascii() else [cell.encode("utf-8", "replace") for cell in texts]  # type: ignore[union-attr]
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(cell) for cell in encoded], out=starts[1:])  # type: ignore[arg-type]
    kind = pa.string() if starts[-1] < 2**31 else pa.large_string()
    if kind == pa.string():
        starts = starts.astype(np.int32)
    valid = None
    if missing.any():
        valid = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    data = joined.encode("utf-8", "replace")
    buffers = [valid, pa.py_buffer(starts), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(texts), buffers)


def text_cells(column: pa.ChunkedArray | pa.Array) -> list[str]:
    """Return a column of text without missing cells as a list, shape (n,)."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    cells: list[str] = []
    for chunk in chunks:
        if not len(chunk):
            continue
        _, offsets, data = chunk.buffers()
        places = np.frombuffer(offsets, dtype=np.int32)[chunk.offset :][: len(chunk) + 1]
        first = int(places[0])
        content = bytes(data)[first : int(places[-1])] if data is not None else b""
        bounds = (places - first).tolist()
        if content.isascii():
            text = content.decode()
            cells += [text[a:b] for a, b in pairwise(bounds)]
        else:
            cells += [content[a:b].decode() for a, b in pairwise(bounds)]
    return cells


def decode_bytes(table: pa.Table) -> pa.Table:
    """Return a table whose columns of bytes are texts, as some programs write texts.

    What is no UTF-8 becomes U+FFFD, so that the cell is refused where it is read.
    """
    for place, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            continue
        cells = table.column(place).cast(pa.large_binary())
        try:
            texts = cells.cast(pa.large_string())
        except pa.ArrowInvalid:
            decoded = [cell and cell.decode("utf-8", "replace") for cell in cells.to_pylist()]
            texts = pa.chunked_array([text_array(decoded)])
        table = table.set_column(place, field.name, texts.cast(pa.string()))
    return table
