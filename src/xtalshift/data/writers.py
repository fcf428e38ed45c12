"""Write tables to files, whole or in pieces; a file appears only when it is complete."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtalshift.data.spreadsheet import mark_frame
from xtalshift.errors import DataError, XtalshiftError
from xtalshift.files import explained, replacing

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

WRITABLE = (".csv", ".parquet")


def check_output(out: Path, *inputs: Path | str | None, replaces_model: bool = False) -> None:
    """Refuse, before the work, an output that would change an input or a saved model.

    Parameters
    ----------
    out : Path
        File or folder; symbolic links are followed.
    inputs : Path, str or None
        Files and folders that are read; other names, such as those of data sets, do not matter.
    replaces_model : bool
        Whether the output is a model, which may replace another one.

    Raises
    ------
    DataError
        If `out` is one of the inputs or a saved model, or lies in a saved model, the only folder
        that a command reads.
    """
    place = Path(os.path.realpath(out))
    for source in inputs:
        try:
            if source is None or not Path(source).exists():
                continue
        except OSError:  # too long for a name
            continue
        if place.exists() and place.samefile(source):
            raise DataError(f"{out} is the input, which is kept; choose another output")
    for folder in place.parents if replaces_model else (place, *place.parents):
        if is_model(folder):
            what = "is a saved model, which is kept" if folder == place else "lies in a saved model"
            raise DataError(f"{out} {what}; choose another output")


def is_model(folder: Path) -> bool:
    """Return whether a folder holds a saved model, or those of several targets."""
    if (folder / "models.json").is_file():
        return True
    return (folder / "model.json").is_file() and any(folder.glob("arrays*.safetensors"))


def refuse_loss(
    out: Path, columns: Collection[str], without: Collection[str] = (), *, overwrite: bool
) -> None:
    """Refuse, before the work, to replace a table that is not an earlier output of the command.

    Parameters
    ----------
    out : Path
        File; it may not exist.
    columns : collection of str
        Columns by which the command knows its output; empty: it cannot know it.
    without : collection of str
        Columns by which it knows the output of other commands.
    overwrite : bool
        Whether the user allows to replace any file.

    Raises
    ------
    DataError
        If `out` is another file.
    """
    from xtalshift.data.sources import open_source

    if overwrite or not out.is_file() or out.stat().st_size == 0:
        return
    try:
        found = set(open_source(out).layout.columns)
    except XtalshiftError:
        found = set()
    if not columns or not found.issuperset(columns) or found.intersection(without):
        raise DataError(
            f"{out} exists and is not known to be an earlier output of this command; choose "
            "another place, or give --overwrite to replace it"
        )


def refuse_existing(out: Path, names: Collection[str], what: str, *, overwrite: bool) -> None:
    """Refuse, before the work, to replace results in a folder.

    Parameters
    ----------
    out : Path
        Folder; it may not exist.
    names : collection of str
        Files that the command writes there.
    what : str
        What they are together, for the message, such as ``an encoder``.
    overwrite : bool
        Whether the user allows to replace them.

    Raises
    ------
    DataError
        If one of the files is there.
    """
    taken = sorted(name for name in names if (out / name).exists())
    if taken and not overwrite:
        raise DataError(
            f"{out} holds {what} ({', '.join(taken)}); choose another -o, or give --overwrite to "
            "replace it"
        )


def write_frame(
    frame: pd.DataFrame | pa.Table, path: Path, units: Mapping[str, str] | None = None
) -> None:
    """Write a table to a .csv or .parquet file; see `open_writer` for arguments and errors."""
    with open_writer(path, units) as writer:
        writer.write(frame)


def check_writable(path: Path) -> None:
    """Raise `DataError` if a table cannot be written under this name."""
    if path.suffix.lower() not in WRITABLE:
        raise DataError(f"{path}: the name of an output file must end in {' or '.join(WRITABLE)}")
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file in it")


@contextmanager
def open_writer(path: Path, units: Mapping[str, str] | None = None) -> Iterator[FrameWriter]:
    """Open a file for a table that is written in pieces.

    The file gets its name once it is complete; an error or interrupt leaves an earlier file as it
    was.

    Parameters
    ----------
    path : Path
        Ends in ``.csv`` or ``.parquet``.
    units : mapping, optional
        Units by column name, kept as ``unit`` in the metadata of the column (Parquet only).

    Raises
    ------
    DataError
        If the type is unknown or the place cannot be written.
    """
    path = Path(path)
    check_writable(path)
    with replacing(path) as part:
        writer = FrameWriter(path, part, units)
        try:
            yield writer
        finally:
            writer.close()


class FrameWriter:
    """Appends pieces of a table to one file; all pieces have the columns of the first."""

    def __init__(self, path: Path, part: Path, units: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._part = part
        self._units = units or {}
        self._rows = 0
        self._sink: Any = None
        self._context = copy_context()

    def write(self, frame: pd.DataFrame | pa.Table) -> None:
        """Append `frame`.

        Raises
        ------
        DataError
            If a column changes its type between pieces (Parquet only), or the disk is full.
        """
        import pyarrow as pa  # imported here and below in the thread that writes

        with explained(self._path):
            if self._path.suffix.lower() == ".parquet":
                self._write_parquet(frame)
            else:
                header = self._rows == 0
                frame = frame.to_pandas() if isinstance(frame, pa.Table) else frame
                marked = self._context.run(mark_frame, frame)  # also in a thread that writes
                marked.to_csv(self._part, mode="w" if header else "a", header=header, index=False)
        self._rows += max(1, len(frame))

    def describe(self, key: str, text: str) -> None:
        """Keep a text in the metadata of the file (Parquet only), after the first rows."""
        if self._sink is not None:
            self._sink.add_key_value_metadata({key: text})

    def _write_parquet(self, frame: pd.DataFrame | pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            if isinstance(frame, pa.Table):
                table = frame
            else:
                schema = self._sink.schema if self._sink else None
                table = pa.Table.from_pandas(frame, schema, preserve_index=False)
            if self._sink is None:
                fields = [
                    field.with_metadata({"unit": self._units[field.name]})
                    if field.name in self._units
                    else field
                    for field in table.schema
                ]
                self._sink = pq.ParquetWriter(
                    self._part,
                    pa.schema(fields, table.schema.metadata),
                    use_dictionary=_repeating(table),
                )
        except (pa.ArrowInvalid, pa.ArrowTypeError, KeyError) as error:
            raise DataError(
                f"a column changes its type after row {self._rows} ({error}); write .csv instead"
            ) from error
        self._sink.write_table(table)

    def close(self) -> None:
        """Finish the file."""
        sink, self._sink = self._sink, None
        if sink is not None:
            with explained(self._path):
                sink.close()


def _repeating(table: pa.Table) -> list[str]:
    """Return the columns with repeated values; for others a dictionary costs time and space."""
    head = table.slice(0, 256)
    return [
        field.name
        for field, column in zip(head.schema, head.columns, strict=True)
        if field.type.num_fields == 0 and len(set(column.to_pylist())) < 0.9 * len(column)
    ]
