"""What a model is, and the errors to expect of it, as far as they were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xtalshift.data.units import name_with_unit
from xtalshift.domain.threshold import DomainThreshold
from xtalshift.errors import XtalshiftError
from xtalshift.jsonio import Plain, read_json
from xtalshift.model.card import ModelCard
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.ready.evaluation import AnyHeldOut, HeldOutClasses, read_evaluation
from xtalshift.model.several import FittedModels
from xtalshift.web.job_store import DIGEST, Job, JobStore
from xtalshift.web.models import AnyModel
from xtalshift.words import plural

_KINDS = {
    "random": "materials like the training data",
    "covariate": "materials of sparse chemistry",
    "loco": "materials of a cluster that was kept out",
}


@dataclass(frozen=True)
class KindError:
    """The error on one kind of materials that a model like this one was not trained on."""

    kind: str
    role: str
    """``id`` for materials like the training data, ``ood`` for others."""
    error: float
    constant: float | None
    """The same of a constant."""
    unit: str
    coverage: float | None
    """Share of the values in 90 % intervals, or of the classes in 90 % sets."""
    trusted: bool
    """Whether so many values may be as few as they should be, or fewer by chance."""
    n: int | None
    """Materials tested."""


def made_by(name: str, folder: Path, jobs: JobStore) -> Job | None:
    """Return the job that made the model of a folder; None for another model."""
    known = jobs.models()
    if known.get(name) != folder:
        return None
    made = (job for job in jobs.all() if job.name == name and job.state == "done")
    return next(made, None)  # it may be deleted just now


def errors_of(folder: Path, job: Job | None, jobs: JobStore, unit: str) -> list[KindError]:
    """Return the errors that were measured; none if none were, or a job's are of another form."""
    if job is None:
        return _ready(folder, unit)
    files = jobs.files(job)
    if DIGEST in files:
        expected = read_json(files[DIGEST]).get("expected") or {}
        return [
            KindError(
                row["kind"], row["role"], row["error"], row["constant"], unit, row["coverage"],
                row["trusted"] is not False, row["n"],
            )
            for row in expected.get("rows", [])
        ]  # fmt: skip
    result: Plain = (jobs.outcome(job) or {}).get("result") or {}
    found = result.get("found")
    if found:
        return [
            KindError("materials of the labels, each held out in turn", "id", found["after"],
                      found["constant"], unit, None, True, found["n"])
        ]  # fmt: skip
    if result.get("val_mae") is not None:
        return [
            KindError("materials like the training data", "id", result["val_mae"],
                      result.get("val_mae_dummy"), unit, None, True, result.get("n_validation"))
        ]  # fmt: skip
    return []


def _ready(folder: Path, unit: str) -> list[KindError]:
    try:
        found = read_evaluation(folder)
    except XtalshiftError:  # damaged: the model may be sound
        return []
    if found is None:
        return []
    rows = []
    for split in dict.fromkeys(one.split for one in found.held_out):
        folds = found.of(split)
        of_classes = isinstance(folds[0], HeldOutClasses)
        rows.append(
            KindError(
                _KINDS.get(folds[0].scheme, folds[0].scheme),
                folds[0].role,
                _mean(folds, "error"),
                _mean(folds, "dummy_error"),
                "nats (log loss)" if of_classes else unit,
                _mean(folds, "coverage"),
                False,
                sum(one.n_test for one in folds),
            )
        )
    return rows


def _mean(rows: Sequence[AnyHeldOut], name: str) -> float:
    return sum(float(getattr(one, name)) for one in rows) / len(rows)


def card_facts(model: AnyModel) -> list[tuple[str, str]]:
    """Return what a model is, as names and texts in which numbers are written 1,234.5."""
    one = model.first if isinstance(model, FittedModels) else model
    cards = _cards(model) if isinstance(model, FittedModels) else [one.card]
    card = one.card
    found = {
        "Targets" if len(cards) > 1 else "Target": ", ".join(map(_with_unit, cards)),
        "Classes": (" < " if one.ordered else ", ").join(one.classes)
        if isinstance(one, FittedClassifier)
        else "",
        "Table": _table(card),
        "Conditions": card.conditions or "not stated",
        "Needs besides formulas": ", ".join(card.feature_cols),
        "Method": str(card.provenance.get("method", "unknown")),
        "Adapted from": _before(card),
        "Intervals": "none"
        if one.calibration is None
        else f"calibrated on {plural(len(one.calibration), 'material')}",
    }
    if one.domain is not None:
        found["Fitted to"] = plural(len(one.domain.formulas_), "material")
        found["Domain"] = _domain(one.domain.threshold_)
    ready = card.provenance.get("ready")
    if isinstance(ready, dict):
        found |= {
            name.capitalize(): str(ready.get(name, ""))
            for name in ("citation", "licence", "attribution")
        }
    return [(name, text) for name, text in found.items() if text]


def _table(card: ModelCard) -> str:
    data = card.provenance.get("data")
    rows = data.get("materials") if isinstance(data, dict) else None
    counted = plural(rows, "material") if isinstance(rows, int) else ""
    return ", ".join(filter(None, (card.source, counted)))


def _before(card: ModelCard) -> str:
    adapted = card.provenance.get("adapted_from")
    return f"a model of {adapted.get('method', '?')}" if isinstance(adapted, dict) else ""


def _domain(limit: DomainThreshold) -> str:
    text = f"inside: OOD score up to {limit.threshold:.2f}"
    if limit.true_positive_rate != limit.true_positive_rate:
        return text
    return (
        f"{text}. Of whole groups that were kept out it marks "
        f"{100 * limit.true_positive_rate:.0f} % as outside, of random materials "
        f"{100 * limit.false_positive_rate:.0f} %"
    )


def _cards(model: FittedModels) -> list[ModelCard]:
    return [one.card for one in model.models.values()]


def _with_unit(card: ModelCard) -> str:
    return name_with_unit(card.target_name, "" if card.unit == "1" else card.unit)
