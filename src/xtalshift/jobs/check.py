"""Check a table without training: what is read as what, what is odd, and a corrected table."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from xtalshift.chem.advice import recase
from xtalshift.chem.capitals import may_be_other_symbols
from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.formulas import Notation, parse_formula
from xtalshift.chem.writing import readable_formula
from xtalshift.data.clean import Inspection, find_faults, inspect_table
from xtalshift.data.columns import numeric_columns
from xtalshift.data.dataset import Dataset
from xtalshift.data.files import check_new_columns
from xtalshift.data.frames import RawTable
from xtalshift.data.intake import Finding, advise_on_range, advise_on_zeros
from xtalshift.data.number_findings import number_findings, remark_findings
from xtalshift.data.number_texts import POINT
from xtalshift.data.numbers import NumberColumn, cause_of, plain_numbers, read_numbers
from xtalshift.data.readers import read_file
from xtalshift.data.settings import DataConfig, refuse_of_numbers
from xtalshift.data.structure_findings import crystal_findings
from xtalshift.data.target_bounds import bounds_findings, use_bounds
from xtalshift.errors import FormulaError
from xtalshift.progress import NO_PROGRESS, Progress

ADDED = ("changed", "problem")
"""Columns of a corrected table besides those of the table: not those of predictions, which are
added next."""

_NO_NUMBERS = ("not a number", "a date", "several values", "ambiguous")
"""Causes in columns of words, dates and paths, and the one that is a finding of the table."""


@dataclass(frozen=True, eq=False)
class Checked:
    """What was found in a table of n rows."""

    table: Dataset
    raw: RawTable
    inspection: Inspection
    numbers: tuple[Finding, ...]
    """What is odd about the other columns of numbers, and what was left out in reading targets."""
    crystals: tuple[Finding, ...] = ()
    """Rows that describe one crystal."""
    feature_cols: tuple[str, ...] = ()
    """Extra columns to use as features."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings: on the table, unusable rows, remarks, and what is odd."""
        reading = self.table.reading
        found = self.inspection
        whole = reading.findings if reading else ()
        odd = (*found.findings, *found.notes, *self.numbers, *self.crystals)
        return (*whole, *found.dropped, *odd)

    @property
    def advice(self) -> tuple[str, ...]:
        """What the usable targets suggest for their scale."""
        known = self.table.targets is not None and self.table.classes is None
        if not known or not len(self.inspection.good):
            return ()
        y = self.table.y[self.inspection.good]
        texts = (advise_on_zeros(float(np.mean(y == 0))), advise_on_range(y))
        return tuple(filter(None, texts))


def check_table(data: DataConfig, progress: Progress = NO_PROGRESS) -> Checked:
    """Read a table and find everything a user should know before using it.

    Parameters
    ----------
    data : DataConfig
        The file, its columns and how it is read. Without a target, a column named target or the
        only column of numbers is taken, if there is one.
    progress : Progress
        Reports the search for crystals that several rows describe.

    Raises
    ------
    DataError
        If the file cannot be read or a column does not exist.
    ConfigError
        If the target is a class, and a unit or bounds are given.
    """
    raw, table = read_file(data, need_target=False)
    if table.classes is not None:
        refuse_of_numbers(data)
    others = [str(name) for name in table.columns if name not in data.feature_cols]
    numeric = numeric_columns(table.columns[others])
    numbers = [
        finding
        for name in others
        for column in [read_numbers(table.columns[name], raw.style)]
        if name in numeric or _is_text_of_numbers(table.columns[name], column)
        for finding in number_findings(column, table.columns[name], name)
    ]
    numbers += _target_remarks(table, raw)
    if data.bounds != "drop":
        table = replace(use_bounds(table), bounds_in_loss=data.bounds == "tobit")
    inspection = inspect_table(table, data.feature_cols)
    if data.bounds != "drop":
        told = bounds_findings(table, inspection.good)
        inspection = replace(inspection, findings=(*told, *inspection.findings))
    crystals = crystal_findings(table, progress=progress)
    return Checked(table, raw, inspection, tuple(numbers), crystals, data.feature_cols)


def fix_table(checked: Checked) -> pd.DataFrame:
    """Return the table with everything corrected that has one likely correction.

    Formulas that were read with a remark, or refused with a likely formula, and numbers with more
    in their cells than a number are replaced. Two columns are added: ``changed``, what was
    replaced, and ``problem``, why the row still cannot be used (blank if it can). A table that was
    corrected before keeps what they say, so that it does not change if it is corrected again.

    Raises
    ------
    DataError
        If the table has a column of one of these names of its own.
    """
    table, raw = checked.table, checked.raw
    frame, earlier = raw.frame.copy(), pd.DataFrame("", index=raw.frame.index, columns=list(ADDED))
    if tuple(frame.columns[-len(ADDED) :]) == ADDED:
        earlier = frame[list(ADDED)].fillna("").astype(str)
        frame = frame.drop(columns=list(ADDED))
    check_new_columns(ADDED, frame.columns, table.source)
    changes = [[text] if text else [] for text in earlier["changed"]]
    reading = table.reading
    formula_col = reading.options.get("formula_col") if reading else None
    if formula_col is not None:
        notation = table.materials.notation
        cells = frame[formula_col].tolist()
        for row, text in enumerate(cells):
            if row not in raw.faults and (new := _corrected(text, notation)) != text:
                changes[row].append(f"{formula_col}: {text!r} -> {new!r}")
                cells[row] = new
        frame[formula_col] = pd.Series(cells, index=frame.index, dtype=object)
        settings = _by_names(table)
        texts = RawTable(frame, raw.faults, raw.notes).formulas(settings)
        table = replace(table, materials=texts.materials(settings.notation, ids=table.ids.tolist()))
    for name in (table.target_name, *checked.feature_cols):
        if name == table.target_name and table.classes is not None:
            continue
        if name in frame.columns and not pd.api.types.is_numeric_dtype(frame[name]):
            unit = table.unit if name == table.target_name else ""
            values = read_numbers(frame[name], raw.style, unit=unit).values
            cells = frame[name].tolist()
            for row in np.flatnonzero(np.isfinite(values)).tolist():
                new = repr(float(values[row]))
                if not _same_number(cells[row], new):
                    changes[row].append(f"{name}: {cells[row]!r} -> {new!r}")
                    cells[row] = new
            written = pd.Series(cells, index=frame.index, dtype=object)
            plain = plain_numbers(written, POINT)  # as the corrected table will be read
            frame[name] = written if plain is None else plain
    frame["changed"] = ["; ".join(change) for change in changes]
    _, faults = find_faults(table, checked.feature_cols)  # only formulas have to be read again
    frame["problem"] = [
        (before or ": ".join(filter(None, (kind, reason)))) if kind else ""
        for (kind, _, reason), before in zip(faults, earlier["problem"], strict=True)
    ]
    return frame


def _target_remarks(table: Dataset, raw: RawTable) -> tuple[Finding, ...]:
    """Return what was left out of cells of the target that are used, such as an uncertainty."""
    name = table.target_name
    if table.targets is None or table.classes is not None or name not in raw.frame.columns:
        return ()
    column = read_numbers(raw.frame[name], raw.style, unit=table.unit)
    return remark_findings(column, raw.frame[name], name)


def _is_text_of_numbers(cells: pd.Series, column: NumberColumn) -> bool:
    """Return whether most cells of a column of text are numbers with something in the way."""
    causes = [cause_of(problem) for problem in column.problems if problem != "missing"]
    like = sum(cause not in _NO_NUMBERS for cause in causes)
    return not pd.api.types.is_numeric_dtype(cells) and 2 * like > len(causes)


def _by_names(table: Dataset) -> DataConfig:
    """Return the settings that find the same columns of formulas again."""
    options = table.reading.options if table.reading else {}
    names = {"formula_col", "composition_columns", "amounts", "hydrates"}
    return DataConfig.from_dict({name: options[name] for name in names & set(options)})


def _corrected(text: str, notation: Notation) -> str:
    """Return the formula that is meant by a text, or the text if it is clear or hopeless."""
    if notation.capitals and may_be_other_symbols(text):
        return recase(text) or text
    try:
        parsed = parse_formula(text, hydrates=notation.hydrates, amounts=notation.amounts)
    except FormulaError as error:
        return error.likely or text
    if not parsed.notes and _is_clear(text):
        return text
    written = readable_formula(
        {SYMBOLS[z]: amount for z, amount in zip(parsed.z, parsed.amounts, strict=True)}
    )
    return written if _is_clear(written) else text


def _is_clear(text: str) -> bool:
    """Return whether a formula is read without options and without a remark."""
    try:
        return not parse_formula(text).notes
    except FormulaError:
        return False


def _same_number(cell: object, text: str) -> bool:
    try:
        return float(str(cell)) == float(text)
    except ValueError:
        return False
