"""What is odd about the rows of a table as a whole: repeated ids, same rows, unused columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from xtalshift.data.intake import MAX_EXAMPLES, Example, Finding


def id_findings(cells: pd.Series, name: str, *, used: bool) -> tuple[Finding, ...]:
    """Return what is odd about a column of ids.

    Parameters
    ----------
    cells : pandas.Series
        n ids.
    name : str
        The column.
    used : bool
        Whether they are the ids of the rows, because the user named the column.

    Returns
    -------
    tuple of Finding
        Blank and repeated ids, each with the number of such rows.
    """
    texts = cells.astype(object).where(cells.notna(), "").astype(str)
    blank = (texts == "").to_numpy(dtype=bool)
    remedy = (
        "Rows of one id cannot be told apart: make the ids unique, or leave --id-col out"
        if used
        else "Row numbers are the ids: make these unique, or name another column (--id-col)"
    )
    found = []
    if blank.any():
        rows = np.flatnonzero(blank)
        examples = [Example(row + 1, "", "", "blank") for row in rows[:MAX_EXAMPLES].tolist()]
        found.append(Finding(f"no id in column {name!r}", len(rows), tuple(examples), remedy))
    repeats = texts.duplicated().to_numpy(dtype=bool) & ~blank
    if repeats.any():
        codes = pd.factorize(texts)[0]
        kind = f"an id of column {name!r} that an earlier row has"
        found.append(_repeats(kind, repeats, codes, texts.tolist(), remedy))
    return tuple(found)


def same_rows(frame: pd.DataFrame, names: list[str]) -> tuple[Finding, ...]:
    """Return the rows of which all cells are those of an earlier row.

    Parameters
    ----------
    frame : pandas.DataFrame
        n rows.
    names : list of str, length n
        Their formulas, for the examples.

    Returns
    -------
    tuple of Finding
        One finding with the number of such rows, or none.
    """
    codes = np.zeros(len(frame), dtype=np.int64)
    for name in frame.columns:  # nested cells cannot be hashed
        cells = frame[name]
        cells = cells.map(repr) if cells.dtype == object else cells
        found, distinct = pd.factorize(cells, use_na_sentinel=False)
        codes = pd.factorize(codes * max(len(distinct), 1) + found)[0]
    repeats = pd.Series(codes).duplicated().to_numpy(dtype=bool)
    if not repeats.any():
        return ()
    remedy = "Remove them, unless each is a measurement of its own"
    return (_repeats("a row that is the same as an earlier one", repeats, codes, names, remedy),)


def unused_structures(cells: list[object], name: str) -> tuple[Finding, ...]:
    """Return the rows whose formulas are read although they have crystal structures.

    Parameters
    ----------
    cells : list, length n
        Those of the column of structures.
    name : str
        The column.

    Returns
    -------
    tuple of Finding
        One finding with the number of such rows, or none: a word such as ``rutile`` is none.
    """
    texts = [cell if isinstance(cell, str) else "" for cell in cells]
    rows = [row for row, text in enumerate(texts) if "\n" in text.strip() or text[:1] == "{"]
    if not rows:
        return ()
    examples = tuple(
        Example(row + 1, "", " ".join(texts[row][:200].split()), "") for row in rows[:MAX_EXAMPLES]
    )
    kind = f"a crystal structure in column {name!r} that the features leave out for the formula"
    return (Finding(kind, len(rows), examples, f"To read it give --structure-col {name}"),)


def _repeats(
    kind: str,
    repeats: np.ndarray[tuple[int], np.dtype[np.bool_]],
    codes: np.ndarray[tuple[int], np.dtype[np.int64]],
    values: list[str],
    remedy: str,
) -> Finding:
    """Return the finding of rows that repeat the first one of their code."""
    rows = np.flatnonzero(repeats)
    examples = tuple(
        Example(row + 1, "", values[row], f"as row {int(np.argmax(codes == codes[row])) + 1}")
        for row in rows[:MAX_EXAMPLES].tolist()
    )
    return Finding(kind, len(rows), examples, remedy)
