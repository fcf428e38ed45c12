"""A target that is a class: which columns are, how cells become classes, and what is odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from xtalshift.data.files import list_names
from xtalshift.data.intake import MAX_EXAMPLES, Example, Finding
from xtalshift.data.numbers import BLANKS, NumberColumn, cause_of
from xtalshift.errors import ConfigError, DataError
from xtalshift.registry import near_miss
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.data.dataset import Dataset

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.intp]
ObjectArray: TypeAlias = npt.NDArray[np.object_]
Task: TypeAlias = Literal["regression", "classification", "ordinal"]
TaskChoice: TypeAlias = Literal["auto", "regression", "classification", "ordinal"]

MOST_CLASSES = 1000
FEW_ROWS = 10
"""Rows below which a class is said to be rare."""
_FEW_NUMBERS = 10
"""Distinct whole numbers up to which a column may be meant as classes."""
_PER_CLASS = 2
"""Rows per word, on average, from which a column of words is one of classes."""
_MOSTLY = 0.5
_MANY = 0.1
"""Share of rows outside of a given order from which it is taken for incomplete."""
TIE = "classes tie within a material"
NOT_CLASSES = "read as numbers"
_BINARY = frozenset({0.0, 1.0})
_TWO_NUMBERS = "0 and 1"
_AGAIN = "--task regression reads it as a number"


@dataclass(frozen=True, eq=False)
class ClassColumn:
    """A column read as classes, n cells."""

    codes: FloatArray
    """Shape (n,). Number of the class, from 0; NaN if a cell is none."""
    problems: ObjectArray
    """Shape (n,). ``""``, or why a cell is no class."""
    classes: tuple[str, ...]
    """Names, in the order of the codes."""
    ordered: bool
    """Whether that order means something."""
    findings: tuple[Finding, ...] = ()
    """What was decided, and what is odd."""


def read_classes(
    cells: pd.Series,
    numbers: NumberColumn,
    name: str,
    task: TaskChoice = "auto",
    order: Sequence[str] = (),
) -> ClassColumn | None:
    """Read a column as classes, if it is one.

    With ``"auto"`` a column of words is (at least 2 of them, with at least 2 rows per word on
    average), and one of booleans or of 0 and 1; words among zeros and ones are then no classes.
    With ``"classification"`` every text that is not blank is a class; ``"ordinal"`` sorts numbers,
    and needs `order` for words. Names that differ only in capitals are one class.

    Parameters
    ----------
    cells : pandas.Series, n cells
        As they were read.
    numbers : NumberColumn
        The same cells as numbers.
    name : str
        Name of the column, for messages.
    task : {"auto", "regression", "classification", "ordinal"}
    order : sequence of str
        All classes, in their order. With ``"auto"`` it makes the classes ordinal.

    Returns
    -------
    ClassColumn or None
        None for a column of numbers.

    Raises
    ------
    DataError
        If there is no class, or there are more than 1000, or `order` is missing.
    """
    if order and task == "regression":
        raise ConfigError("a class order (--class-order) needs --task classification or ordinal")
    if order and task == "auto":
        task = "ordinal"
    why = _why_classes(cells, numbers) if task == "auto" else ""
    if task == "regression" or (task == "auto" and not why):
        return None
    texts, blank = _labels(cells, numbers)
    problems = np.where(blank, "missing", "").astype(object)
    words = np.zeros(len(texts), dtype=np.bool_)
    if _TWO_NUMBERS in why:
        words = ~blank & ~np.isin(texts, ["0", "1"])
        problems[words] = [f"a word among 0 and 1: {text[:40]!r}" for text in texts[words]]
    usable = ~blank & ~words
    texts, merged = _same_names(texts, usable, order)
    if order:
        unknown = usable & ~np.isin(texts, list(order))
        problems[unknown] = [f"not in the class order: {text[:40]!r}" for text in texts[unknown]]
        usable &= ~unknown
        _check_order(name, order, texts, usable, unknown)
    names = _sort_names(name, texts[usable], order, ordered=task == "ordinal")
    codes = np.full(len(texts), np.nan)
    places = {text: place for place, text in enumerate(names)}
    codes[usable] = [places[text] for text in texts[usable]]
    ordered = task == "ordinal"
    findings = [
        _decided(name, codes, names, ordered=ordered, why=why),
        *merged,
        *_numbers_among_words(name, texts, usable),
    ]
    return ClassColumn(codes, problems, names, ordered, tuple(findings))


def _check_order(
    name: str,
    order: Sequence[str],
    texts: ObjectArray,
    usable: npt.NDArray[np.bool_],
    unknown: npt.NDArray[np.bool_],
) -> None:
    """Raise `DataError` if the given order lacks a class, or misspells one."""
    if not unknown.any():
        return
    absent = [one for one in order if one not in set(texts[usable])]
    others = Counter(texts[unknown].tolist())
    if absent:
        raise DataError(
            f"no row of {name!r} has the class {absent[0]!r} of --class-order"
            f"{near_miss(absent[0], others)}. Classes that it does not name: {list_names(others)}"
        )
    missing, count = others.most_common(1)[0]
    if count > 1 and unknown.sum() >= _MANY * (usable | unknown).sum():
        row = int(np.flatnonzero(unknown & (texts == missing))[0]) + 1
        raise DataError(
            f"--class-order lacks the class {missing!r}, which {plural(count, 'row')} of {name!r} "
            f"{'has' if count == 1 else 'have'} "
            f"(the first is row {row}); add it to the order"
        )


def _numbers_among_words(
    name: str, texts: ObjectArray, usable: npt.NDArray[np.bool_]
) -> Iterator[Finding]:
    """Say that some cells of a column of words are numbers."""
    rows = np.flatnonzero(usable)
    numeric = np.array([_is_number(text) for text in texts[rows]], dtype=np.bool_)
    if not numeric.any() or numeric.all():
        return
    examples = tuple(
        Example(row + 1, "", str(texts[row]), "") for row in rows[numeric][:MAX_EXAMPLES].tolist()
    )
    yield Finding(
        f"{name}: numbers among words, each read as a class",
        int(numeric.sum()),
        examples,
        "If they are values of something else, leave their cells blank, or name another column "
        "(--target)",
        warns=True,
    )


def _sort_names(
    name: str, texts: ObjectArray, order: Sequence[str], *, ordered: bool
) -> tuple[str, ...]:
    """Return the classes of a column in their order, after a check of their number."""
    distinct = {str(text) for text in texts}
    if not distinct:
        raise DataError(f"column {name!r} has no class: every cell is blank or unusable")
    if len(distinct) > MOST_CLASSES:
        raise DataError(
            f"column {name!r} has {len(distinct):,} classes in {len(texts):,} rows; at most "
            f"{MOST_CLASSES:,} are possible. Join rare ones, or, if these are numbers, use --task "
            "regression"
        )
    if order:
        return tuple(one for one in order if one in distinct)
    numeric = all(_is_number(text) for text in distinct)
    if ordered and not numeric:
        raise DataError(
            f"the classes of {name!r} are words ({list_names(sorted(distinct))}), whose order is "
            "not known; give it, the lowest first: --class-order a,b,c"
        )
    return tuple(sorted(distinct, key=float) if numeric else sorted(distinct))


def number_finding(column: NumberColumn, name: str) -> Finding | None:
    """Say that a column of few whole numbers was read as numbers, not as classes."""
    known = column.values[np.isfinite(column.values)]
    distinct = np.unique(known)
    few = 1 < len(distinct) <= min(_FEW_NUMBERS, len(known) // _FEW_NUMBERS)
    if not few or (distinct % 1 != 0).any():
        return None
    examples = tuple(
        Example(int(np.flatnonzero(column.values == value)[0]) + 1, "", f"{value:g}", "")
        for value in distinct[:MAX_EXAMPLES]
    )
    return Finding(
        f"{name}: {len(distinct)} whole numbers, {NOT_CLASSES}",
        len(known),
        examples,
        "If they are classes: --task classification, or --task ordinal if their order counts",
    )


def _why_classes(cells: pd.Series, numbers: NumberColumn) -> str:
    """Return why a column is one of classes, an empty text if it is not."""
    if pd.api.types.is_bool_dtype(cells):
        return "it has booleans"
    known = numbers.values[np.isfinite(numbers.values)]
    causes = np.array([cause_of(text) for text in numbers.problems], dtype=object)
    words = causes == "not a number"
    filled = causes != "missing"
    if set(known.tolist()) == _BINARY and words.sum() <= _MOSTLY * len(known):
        if (filled & ~words & ~np.isfinite(numbers.values)).any():  # such as <1
            return ""
        return f"it has {_TWO_NUMBERS}"
    if words.sum() <= _MOSTLY * filled.sum():
        return ""
    texts, blank = _labels(cells, numbers)
    distinct = len({text.casefold() for text in texts[~blank]})
    few = distinct * _PER_CLASS <= (~blank).sum()
    if not few:
        return ""
    return f"it has {distinct} words" if distinct > 1 else "it has words"


def _labels(cells: pd.Series, numbers: NumberColumn) -> tuple[ObjectArray, npt.NDArray[np.bool_]]:
    """Return the text of each cell, and which cells are blank; 1.0 is the class 1."""
    texts = cells.astype(object).where(cells.notna(), "").astype(str).str.strip()
    found = texts.to_numpy(dtype=object, copy=True)
    blank = np.asarray(texts.str.casefold().isin(BLANKS), dtype=np.bool_)
    if not pd.api.types.is_bool_dtype(cells):
        for row in np.flatnonzero(np.isfinite(numbers.values) & (numbers.notes == "")):
            found[row] = f"{numbers.values[row]:.15g}"
    return found, blank


def _same_names(
    texts: ObjectArray, usable: npt.NDArray[np.bool_], order: Sequence[str]
) -> tuple[ObjectArray, list[Finding]]:
    """Return texts in which names that differ only in capitals are the most frequent of them."""
    counts = Counter(texts[usable].tolist())
    known = {name: name for name in order}
    usual: dict[str, str] = {name.casefold(): name for name in order}
    for text, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        known[text] = usual.setdefault(text.casefold(), text)
    changed = [text for text in counts if known[text] != text]
    if not changed:
        return texts, []
    rows = np.flatnonzero(usable & np.isin(texts, changed))
    examples = tuple(
        Example(row + 1, "", str(texts[row]), f"read as {known[texts[row]]!r}")
        for row in rows[:MAX_EXAMPLES].tolist()
    )
    joined = texts.copy()
    joined[rows] = [known[text] for text in texts[rows]]
    return joined, [Finding("classes that differ only in capitals are one", len(rows), examples)]


def _decided(
    name: str, codes: FloatArray, classes: Sequence[str], *, ordered: bool, why: str
) -> Finding:
    """Return what a column was read as."""
    what = f"ordered classes ({' < '.join(classes[:MAX_EXAMPLES])}{_more(classes)})"
    if not ordered:
        what = f"classes ({', '.join(classes[:MAX_EXAMPLES])}{_more(classes)})"
    examples = tuple(
        Example(int(np.flatnonzero(codes == place)[0]) + 1, "", text, "")
        for place, text in enumerate(classes[:MAX_EXAMPLES])
        if (codes == place).any()
    )
    remedy = _AGAIN if _TWO_NUMBERS in why else ""
    if len(classes) == 1:
        what = f"one class ({classes[0]}), from which nothing can be learned"
    else:
        what = f"{len(classes)} {what}"
    kind = f"{name}: read as {what}" + (f", because {why}" if why else "")
    return Finding(kind, int(np.isfinite(codes).sum()), examples, remedy, warns=len(classes) == 1)


def _more(classes: Sequence[str]) -> str:
    rest = len(classes) - MAX_EXAMPLES
    return f" and {rest} more" if rest > 0 else ""


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def class_findings(table: Dataset, good: IntArray) -> tuple[Finding, ...]:
    """Return what is odd about the classes of the usable rows of a table: rare ones."""
    assert table.classes is not None
    codes = table.y[good]
    codes, rows = codes[np.isfinite(codes)].astype(np.intp), good[np.isfinite(codes)]
    counts = np.bincount(codes, minlength=len(table.classes))
    rare = [place for place in np.argsort(counts, kind="stable") if 0 < counts[place] < FEW_ROWS]
    if not rare:
        return ()
    examples = tuple(
        Example(
            int(table.row_numbers[rows[codes == place][0]]),
            "",
            f"{table.classes[place]}: {counts[place]} {'row' if counts[place] == 1 else 'rows'}",
            near_miss(table.classes[place], _others(table.classes, place)).strip(" ()"),
        )
        for place in rare[:MAX_EXAMPLES]
    )
    kind = f"{table.target_name or 'target'}: classes with fewer than {FEW_ROWS} rows"
    remedy = "Their probabilities are little more than guesses; join them or measure more"
    return (Finding(kind, int(counts[rare].sum()), examples, remedy),)


def _others(classes: Sequence[str], place: int) -> tuple[str, ...]:
    """Return the classes without one."""
    return (*classes[:place], *classes[place + 1 :])


@dataclass(frozen=True, eq=False)
class Vote:
    """The classes of m materials."""

    kept: npt.NDArray[np.bool_]
    """Shape (n,). Rows of the materials with a majority."""
    codes: FloatArray
    """Shape (materials,). Winning class of each material; NaN for a tie."""
    error_floor: float
    """Share of all rows whose class is not that of their material's majority."""


def vote(groups: IntArray, codes: FloatArray, weights: FloatArray | None, n_classes: int) -> Vote:
    """Let the rows of each material vote.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
        Number of the material of each row, from 0.
    codes : ndarray of float64, shape (n,)
        Finite.
    weights : ndarray of float64, shape (n,), optional
        Votes of each row; one by default.
    n_classes : int
    """
    size = int(groups.max(initial=-1)) + 1
    ballots = np.zeros((size, n_classes))
    np.add.at(ballots, (groups, codes.astype(np.intp)), 1.0 if weights is None else weights)
    most = ballots.max(axis=1, keepdims=True)
    tie = (ballots == most).sum(axis=1) > 1
    winners = ballots.argmax(axis=1)
    wrong = float(np.mean(codes != winners[groups])) if len(codes) else 0.0
    return Vote(~tie[groups], np.where(tie, np.nan, winners), wrong)


def tie_finding(table: Dataset, rows: IntArray) -> Finding:
    """Return the rows of materials without a majority, which are dropped."""
    assert table.classes is not None
    examples = tuple(
        Example(
            int(table.row_numbers[row]),
            table.ids[row],
            f"{table.formulas[row]}: {table.classes[int(table.y[row])]}",
            "as many rows of it say something else",
        )
        for row in rows[:MAX_EXAMPLES].tolist()
    )
    return Finding(
        f"target: {TIE}", len(rows), examples, "Correct them, or name a feature that tells them"
    )


def without_empty(data: Dataset) -> Dataset:
    """Return a data set whose classes all have a row; the others are left out."""
    assert data.classes is not None
    there = np.unique(data.y[np.isfinite(data.y)]).astype(np.intp)
    if len(there) == len(data.classes):
        return data
    numbers = np.full(len(data.classes), np.nan)
    numbers[there] = np.arange(len(there))
    known = np.isfinite(data.y)
    codes = np.full(len(data), np.nan)
    codes[known] = numbers[data.y[known].astype(np.intp)]
    return replace(data, targets=codes, classes=tuple(data.classes[place] for place in there))


def check_classes(data: Dataset) -> None:
    """Raise `DataError` unless a clean data set has two classes, each with two materials."""
    assert data.classes is not None
    # rows of one material may be kept apart, and are all on one side of a split
    _, first = np.unique(
        [f"{code} {group}" for code, group in zip(data.y, data.groups, strict=True)],
        return_index=True,
    )
    counts = np.bincount(data.y[first].astype(np.intp), minlength=len(data.classes))
    name = data.target_name or "target"
    if (counts > 0).sum() < 2:  # noqa: PLR2004
        only = data.classes[int(counts.argmax())]
        raise DataError(
            f"all {len(data)} usable rows have one class of {name!r}, {only!r}; there is nothing "
            "to learn. Check the table, or name another column (--target)"
        )
    alone = np.flatnonzero(counts == 1)
    if alone.size:
        row = int(np.flatnonzero(data.y == alone[0])[0])
        more = f" (so have {alone.size - 1} others)" if alone.size > 1 else ""
        raise DataError(
            f"class {data.classes[alone[0]]!r} of {name!r} has one material, row "
            f"{data.row_numbers[row]} ({data.formulas[row]}){more}; a class needs at least 2, one "
            "to learn from and one to judge by. Join it with another class, or leave the row out"
        )
