"""Jobs about a table of candidates: which to measure next, and which are the best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtalshift.data.settings import ReadingOptions
from xtalshift.jobs.predict import AnyPredictor
from xtalshift.jsonio import Plain, finite
from xtalshift.model.several_folder import holds_several
from xtalshift.model.several_tables import SeveralPredictor
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.parallel import count_cores, make_executor
from xtalshift.progress import Progress
from xtalshift.screening.settings import ScreenSettings
from xtalshift.web.job_requests import Inputs, ScreenRequest, SuggestRequest
from xtalshift.web.job_settings import only_reading, reading
from xtalshift.web.job_store import RESULT

if TYPE_CHECKING:
    import pandas as pd

SUGGESTIONS = "suggestions.csv"
"""Name of the table of suggestions among the results."""
_SHOWN = 100


def check_suggesting(asked: SuggestRequest, inputs: Inputs) -> ReadingOptions:
    """Return how the table is read, or raise if the request is wrong."""
    how, others = reading(asked, inputs)
    only_reading(others)
    asked.check(_folder(inputs))
    return how


def suggest_job(asked: SuggestRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    """Write the suggestions, and return what decided and the first of them."""
    from xtalshift.data.writers import open_writer
    from xtalshift.jobs.candidates import read_measured
    from xtalshift.jobs.suggest import suggest
    from xtalshift.jobs.suggest_several import suggest_several
    from xtalshift.model import load_model, load_models

    how, model = check_suggesting(asked, inputs), _folder(inputs)
    measured, table = [_table(one) for one in inputs.measured], _table(inputs.table)
    predictor: AnyPredictor
    if holds_several(model):
        models = load_models(model)
        predictor = SeveralPredictor.of(models, asked.level, reading=how)
        found = suggest_several(
            predictor, table, asked.several_request(models), measured=measured, progress=progress
        )
        frame = found.frame
        said: Plain = {
            "reference": found.reference,
            "known": found.known,
            "front": finite(found.front.to_dict("records")),
        }
    else:
        loaded = load_model(model)
        predictor = TablePredictor(loaded, asked.level, reading=how)
        known = read_measured(predictor, measured, progress)
        frame, rule = suggest(
            predictor, table, asked.request(loaded), measured=known, progress=progress
        )
        said = {"rule": rule}
    with open_writer(folder / RESULT / SUGGESTIONS, predictor.units()) as writer:
        writer.write(frame)
    first = frame.head(_SHOWN)
    rows: Any = finite(first.to_dict("records"))
    return {
        **said,
        "n": len(frame),
        "suggestions": rows,
        "formulas": _formulas(predictor.for_file(table), first, table),
        "table": SUGGESTIONS,
    }


def _formulas(predictor: AnyPredictor, rows: pd.DataFrame, table: Path) -> list[str]:
    """Return the formulas of suggestions, whatever the name of their column."""
    one = predictor if isinstance(predictor, TablePredictor) else predictor.one
    if one.model.featurizer.needs_structures:  # the rows have no structures any more
        return [str(formula) for formula in rows["formula"]]
    return [str(formula) for formula in predictor.read(rows, table.name).formulas]


def check_screening(asked: ScreenRequest, inputs: Inputs) -> ScreenSettings:
    """Return the settings, or raise if the request is wrong."""
    how, others = reading(asked, inputs, ScreenSettings)
    own = {
        "level": asked.level,
        "intervals": asked.intervals,
        "distinct": asked.distinct or None,
        "keep": asked.keep,
        "limit_rows": asked.limit_rows,
        **asked.settings_of(_folder(inputs)),
    }
    values: Plain = {**others, **how.to_dict()}
    top: Plain = {}
    for name, value in own.items():
        if value is not None:
            group, _, key = name.rpartition(".")
            (top if group else values)[key] = value
    return ScreenSettings.from_dict({**values, **({"top": top} if top else {})})


def screen_job(asked: ScreenRequest, inputs: Inputs, folder: Path, progress: Progress) -> Plain:
    """Screen the table, or continue to, and return the counts."""
    from xtalshift.screening.stream import screen

    settings, out = check_screening(asked, inputs), folder / RESULT
    threads = settings.threads
    summary = screen(
        _folder(inputs),
        [_table(inputs.table)],
        out,
        settings,
        stability=inputs.stability,
        stability_table=None if inputs.stability_table is None else _table(inputs.stability_table),
        executor=make_executor(workers=max(1, count_cores() // threads), threads=threads),
        progress=progress,
    )
    summary.require_some(Path(RESULT))
    found: Plain = finite({
        "counts": summary.counts,
        "seconds": summary.seconds,
        "rows_per_second": summary.rows_per_second,
    })  # fmt: skip
    return found


def _folder(inputs: Inputs) -> Path:
    assert inputs.model is not None
    return Path(inputs.model)


def _table(name: str) -> Path:
    """Return the file of a table that was sent, or of a data set."""
    from xtalshift.data.catalog import dataset_path

    return Path(name) if Path(name).exists() else dataset_path(name)
