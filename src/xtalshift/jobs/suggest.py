"""Suggest which candidates of a table to measure next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from xtalshift.acquisition.acquisition_rules import RULES, best_measured, choose_candidates
from xtalshift.acquisition.batch_selection import Batch
from xtalshift.data import RawTable, iter_raw
from xtalshift.errors import ConfigError, DataError, NotConformalizedError
from xtalshift.jobs.candidates import Kept, Measured, Points, Pool, Request
from xtalshift.model import FittedClassifier, FittedModel
from xtalshift.model.negative_values import warn_of_negative
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.progress import NO_PROGRESS, Progress

CHUNK_ROWS = 20_000
_UNUSED = ["n_clipped", "n_imputed", "status", "reason"]
_NOTHING = Measured()
_REMEDY = (
    "For an uncertainty of each material, train with --method lightgbm-quantile, or --method erm "
    "--set network.n_members=8 (= ensemble)"
)


class Suggestions(NamedTuple):
    """Chosen rows, and the rule that decided, which may differ from the requested one."""

    frame: pd.DataFrame
    rule: str


def suggest(
    model: FittedModel | FittedClassifier | TablePredictor,
    candidates: Path | str | pd.DataFrame | Sequence[str],
    request: Request | int,
    *,
    measured: Measured = _NOTHING,
    progress: Progress = NO_PROGRESS,
) -> Suggestions:
    """Choose the candidates that are to be measured next.

    Unreadable rows, repeated materials (the first row counts), training materials of the model and
    measured materials are left out. A file is read once, piece by piece. Memory holds the best
    200,000 candidates (by score per cost, or by distance from the training materials for
    ``diversity``) and all reduced formulas so far, some 100 bytes each.

    Parameters
    ----------
    model : FittedModel, FittedClassifier or TablePredictor
        The model; a predictor also has the formula column and the level of the intervals.
    candidates : Path, str, pandas.DataFrame or sequence of str
        A file, a table, or formulas.
    request : Request or int
        What to suggest; a number n means the n candidates with the least certain predictions.
    measured : Measured
        See `read_measured`. Rules that keep their distance from known materials use them too.
    progress : Progress
        Receives what was left out, and warnings about the choice.

    Returns
    -------
    Suggestions
        The rule that decided, and the rows in order of choice: rank, input columns, predictions,
        score of the rule, and the utility that decided (score times distance factor, per cost).
        Fewer than `n` rows if there are fewer candidates or the budget is spent.

    Raises
    ------
    NotConformalizedError
        If the rule needs uncertainties and the model has none.
    ConfigError
        If the rule needs something else that is missing.
    DataError
        If a column is missing, a cost is wrong, or nothing is left to choose from.
    """
    predictor = model if isinstance(model, TablePredictor) else TablePredictor(model)
    request = Request(request) if isinstance(request, int) else request
    if isinstance(candidates, Path | str):
        predictor = predictor.for_file(Path(candidates))
    request = _settle(predictor.model, request, measured, progress)
    source, tables = _pieces(candidates, predictor)
    pool = Pool(predictor, source, request, measured)
    with progress.task("candidates", None) as task:
        for raw in tables:
            pool.add(raw)
            task.advance(len(raw))
    kept = pool.close(progress)
    batch = choose_candidates(
        request.rule,
        kept.described(_known(predictor.model, request, measured)),
        request.n,
        request.aim,
        diversity=request.diversity,
        costs=kept.costs,
        budget=request.budget,
        rng=request.seed,
    )
    if not len(batch.rows):
        assert kept.costs is not None
        raise DataError(
            f"the cheapest candidate costs {kept.costs.min():g}, the budget is {request.budget:g}"
        )
    chosen = kept.frame.iloc[batch.rows].reset_index(drop=True)
    _say_choice(kept, batch, request, progress)
    outside = int(np.sum(~chosen["in_domain"].to_numpy(dtype=bool)))
    if outside and predictor.model.domain is not None:
        progress.say(
            f"{outside:,} of {len(chosen):,} {'is' if outside == 1 else 'are'} outside the domain "
            "of the model (in_domain), where its intervals need not hold"
            + ("; --in-domain leaves them out" if outside < len(chosen) else "")
        )
    fitted = predictor.model
    if isinstance(fitted, FittedModel) and not fitted.may_be_negative:
        for text in warn_of_negative(chosen["prediction"], fitted.card.target_name):
            progress.say(text)
    chosen = chosen.drop(columns=_UNUSED).assign(score=batch.score, utility=batch.utility)
    chosen.insert(0, "rank", np.arange(1, len(chosen) + 1))
    return Suggestions(chosen, request.rule)


def _pieces(
    candidates: Path | str | pd.DataFrame | Sequence[str], predictor: TablePredictor
) -> tuple[str, Iterable[RawTable]]:
    """Return the name of a table of candidates in messages, and its pieces (running index)."""
    if isinstance(candidates, pd.DataFrame):
        return "the table", [RawTable(candidates.reset_index(drop=True))]
    if not isinstance(candidates, Path | str):
        return "the list", [RawTable(pd.DataFrame({"formula": list(candidates)}))]
    return str(candidates), iter_raw(Path(candidates), CHUNK_ROWS, predictor.reading)


def _settle(
    model: FittedModel | FittedClassifier, request: Request, measured: Measured, progress: Progress
) -> Request:
    """Return the request completed by what the model knows, or raise if it cannot be met."""
    request = _for_task(model, request)
    rule, domain = request.rule, model.domain
    if request.needs_distribution:
        assert isinstance(model, FittedModel)
        calibration = model.calibration
        if calibration is None:
            raise NotConformalizedError(
                f"rule {rule!r} needs the uncertainty of predictions, but the model was saved "
                "without intervals; train it again (not with --intervals none), or use rule "
                "prediction, diversity or random"
            )
        text = "warning: the intervals of this model all have the same width, so "
        if rule == "uncertainty" and model.one_width:
            text += "the distance from the training materials decides instead of uncertainty"
            request = replace(request, rule="diversity")
            progress.say(f"{text}. {_REMEDY}")
        elif rule != "uncertainty" and calibration.kind == "absolute":
            text = text.replace("width", "width on its scale")
            progress.say(f"{text}rule {rule!r} follows the prediction alone. {_REMEDY}")
    if "points" in RULES[request.rule].needs and domain is None:
        raise ConfigError(f"rule {rule!r} needs a model saved with its domain (training materials)")
    origin, adapted = model.card.provenance, False
    while isinstance(origin.get("adapted_from"), dict):  # its domain has the labels too
        origin, adapted = origin["adapted_from"], True
    data = origin.get("data")
    rows = data.get("materials") if isinstance(data, dict) else None
    rows = rows if isinstance(rows, int) else 0
    if not measured.keys and domain is not None and rows > len(domain.formulas_):
        fitted = "a part" if adapted else f"{len(domain.formulas_):,}"
        progress.say(
            f"note: the model was fitted to {fitted} of the {rows:,} materials of "
            f"{model.card.source or 'its table'}; the others (kept for validation and "
            "intervals) may be suggested: exclude them with --measured"
        )
    aim = request.aim
    if "best" in RULES[rule].needs and aim.best is None:
        assert isinstance(model, FittedModel)
        known = np.empty(0) if domain is None else domain.targets_
        best = best_measured(np.concatenate([known, measured.targets]), aim, model.scale)
        unit = f" {model.card.unit}" if model.card.unit else ""
        progress.say(f"Best value known so far: {best:g}{unit}")
        if best == aim.target:
            raise ConfigError(
                f"a material with {aim.target:g}{unit} is already known; to find more of them use "
                "rule probability with a window around the value (--between A,B)"
            )
        request = replace(request, aim=replace(aim, best=best))
    return request


def _for_task(model: FittedModel | FittedClassifier, request: Request) -> Request:
    """Return the request with a rule that fits the model, or raise if there is none."""
    needs = RULES[request.rule].needs
    if not isinstance(model, FittedClassifier):
        if "probabilities" in needs:
            raise ConfigError(
                f"rule {request.rule!r} is for classes, and the model predicts numbers; use "
                "uncertainty to look where they are least certain"
            )
        return request
    if request.rule == "uncertainty":  # of a class
        return replace(request, rule="entropy")
    if {"mean", "distribution"} & set(needs):
        raise ConfigError(
            f"rule {request.rule!r} is for numbers, and the model predicts the classes "
            f"{', '.join(model.classes)}; use entropy, margin, class-probability (with --class "
            "NAME), diversity or random"
        )
    return request


def _known(
    model: FittedModel | FittedClassifier, request: Request, measured: Measured
) -> Points | None:
    """Return the positions of the measured materials, for rules that use them."""
    if model.domain is None or not RULES[request.rule].uses_known:
        return None
    known = model.domain.novelty_.reference.index.unsorted()
    return known if measured.points is None else np.concatenate([known, measured.points])


def _say_choice(candidates: Kept, batch: Batch, request: Request, progress: Progress) -> None:
    """Report what a reader of the table should know."""
    n, there = len(batch.rows), len(candidates.frame)
    if n < request.n:
        why = "there are no more candidates" if n == there else "the budget is spent"
        progress.say(f"{n:,} instead of {request.n:,} are suggested: {why}")
    if candidates.costs is not None:
        of = "" if request.budget is None else f" of {request.budget:g}"
        progress.say(f"Total cost: {candidates.costs[batch.rows].sum():g}{of}")
    if not batch.decisive.all():
        progress.say(
            f"warning: only {int(batch.decisive.sum()):,} of {n:,} suggestions have a fair chance "
            "to reach the goal. For the others it is in the far tail of what the calibration "
            "supports, or beyond; they are ordered by its distance from their 90 % interval, not "
            "by score"
        )
