"""The rows of a prediction as its screen shows them: filtered, sorted, some at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtalshift.jsonio import Plain, finite
from xtalshift.web.page.prediction_figure import draw_predictions
from xtalshift.web.page.targets import Target

if TYPE_CHECKING:
    import pandas as pd

PER_PAGE = 50
MOST_SORTED = 100_000
"""Rows that are shown; a longer table is a download, of which the first page is shown."""
_MOST_DRAWN = 60
_MOST_BAD = 50


@dataclass(frozen=True)
class Query:
    """What of a prediction is shown, as the address says it."""

    sort: str = ""
    """Column; empty for the order of the table."""
    down: bool = False
    domain: str = ""
    """``in`` or ``out``; empty for both."""
    text: str = ""
    """Part of a formula or id."""
    page: int = 1


class View:
    """A prediction in the order and with the filter that a reader wants."""

    def __init__(self, path: Path, targets: Sequence[Target], n_rows: int, query: Query) -> None:
        self.targets = targets
        self.query = query
        self.whole = n_rows <= MOST_SORTED
        """Whether all rows can be sorted and filtered."""
        frame = _read(path, None if self.whole else PER_PAGE)
        self._frame = frame
        self.names = [name for name in ("id", "formula") if name in frame.columns]
        self._first = targets[0]
        bad = frame["status"] != "ok"
        self.bad = self._bad_rows(frame[bad])
        good = frame[~bad]
        inside = self._inside(good)
        self.inside, self.outside = int(inside.sum()), int((~inside).sum())
        self._good = self._sorted(self._filtered(good, inside))
        self.found = len(self._good)
        self.pages = max(1, math.ceil(self.found / PER_PAGE))
        self.page = min(max(1, query.page), self.pages)

    def rows(self) -> list[Plain]:
        """Return the rows of the page."""
        start = (self.page - 1) * PER_PAGE
        return [self._row(one) for one in self._records(self._good.iloc[start : start + PER_PAGE])]

    def every_row(self, most: int) -> list[Plain]:
        """Return the first rows of all pages."""
        return [self._row(one) for one in self._records(self._good.head(most))]

    def figures(self) -> list[Plain]:
        """Return the figure of the rows of the page: predictions with their intervals."""
        rows = self.rows()[:_MOST_DRAWN]
        return [
            draw_predictions(rows, number, target)
            for number, target in enumerate(self.targets)
            if rows and not target.classes
        ]

    def _inside(self, frame: pd.DataFrame) -> pd.Series:
        import pandas as pd

        inside = pd.Series(True, index=frame.index)
        for target in self.targets:
            column = target.column("in_domain")
            if column in frame.columns:
                inside &= frame[column].astype(bool)
        return inside

    def _filtered(self, frame: pd.DataFrame, inside: pd.Series) -> pd.DataFrame:
        if self.query.domain:
            frame = frame[inside if self.query.domain == "in" else ~inside]
        wanted = self.query.text.strip().casefold()
        if wanted and self.names:
            hits = frame[self.names[0]].astype(str).str.casefold().str.contains(wanted, regex=False)
            for name in self.names[1:]:
                texts = frame[name].astype(str).str.casefold()
                hits |= texts.str.contains(wanted, regex=False)
            frame = frame[hits]
        return frame

    def _sorted(self, frame: pd.DataFrame) -> pd.DataFrame:
        known = {*self.names, *(name for target in self.targets for name in self.sortable(target))}
        if self.query.sort not in known or self.query.sort not in frame.columns:
            return frame
        found: pd.DataFrame = frame.sort_values(
            self.query.sort, ascending=not self.query.down, kind="stable"
        )
        return found

    def sortable(self, target: Target) -> tuple[str, ...]:
        """Return the columns of a target by which rows can be sorted."""
        names = ("prediction", "ood_score", "std", "lower", "upper")
        probabilities = tuple(f"probability_{one}" for one in target.classes)
        return (*map(target.column, names), *probabilities)

    def _records(self, frame: pd.DataFrame) -> list[Plain]:
        rows: list[Plain] = []
        for number, record in zip(frame.index.tolist(), frame.to_dict("records"), strict=True):
            rows.append({"row": number + 1, **{str(key): one for key, one in record.items()}})
        return rows

    def _row(self, record: Plain) -> Plain:
        """Return a row as the template shows it."""
        given = [str(record[name]) for name in self.names]
        return {
            "row": record["row"],
            "name": given[-1] if given else f"row {record['row']}",
            "id": given[0] if len(given) > 1 and given[0] != given[-1] else "",
            "targets": [_of_target(record, target) for target in self.targets],
        }

    def _bad_rows(self, frame: pd.DataFrame) -> list[Plain]:
        rows = []
        for record in self._records(frame.head(_MOST_BAD)):
            cause, _, remedy = str(record["reason"]).partition("; ")
            value = next((str(record[name]) for name in reversed(self.names)), "")
            rows.append({"row": record["row"], "value": value, "cause": cause, "remedy": remedy})
        return rows


def _read(path: Path, most: int | None) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if most is None:
            table = file.read()
        else:
            batches = list(islice(file.iter_batches(batch_size=most), 1))
            table = pa.Table.from_batches(batches, file.schema_arrow)
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _of_target(record: Plain, target: Target) -> Plain:
    def value(name: str) -> Any:
        return finite(record.get(target.column(name)))

    unseen = str(value("unseen_elements") or "")
    known = bool(value("nearest_formula"))
    found: Plain = {
        "name": target.name,
        "unit": target.unit,
        "prediction": value("prediction"),
        "lower": value("lower"),
        "upper": value("upper"),
        "has_interval": target.column("lower") in record,
        "in_domain": bool(value("in_domain")),
        "judged": known or bool(unseen),
        "unseen": unseen.replace(" ", ", "),
        "ood_score": value("ood_score"),
        "nearest": value("nearest_formula") or "",
        "nearest_target": value("nearest_target"),
        "reasons": [one for one in str(value("explanation") or "").split("; ") if one],
        "clipped": value("n_clipped") or 0,
    }
    if target.classes:
        found["probabilities"] = sorted(
            ((name, finite(record.get(f"probability_{name}"))) for name in target.classes),
            key=lambda one: -(one[1] or 0.0),
        )
        found["set"] = str(value("prediction_set") or "").split("|")
    return found
