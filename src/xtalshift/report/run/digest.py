"""The answers of a run as plain data: what a screen shows first, with its figures."""

from __future__ import annotations

from dataclasses import asdict

from xtalshift.jsonio import Plain, finite
from xtalshift.report.run.candidates import CandidatesReport, PredictedRow
from xtalshift.report.run.class_candidates import ClassCandidates, ClassRow
from xtalshift.report.run.classes import ClassReport
from xtalshift.report.run.expectation import Expectation, describe_kind
from xtalshift.report.run.run_page import RunReport
from xtalshift.report.run.sections import build_figures, make_sections
from xtalshift.report.run.worst import WorstCompound
from xtalshift.report.shared.methods import DUMMY

_FIGURES = (
    "proxies", "chosen", "reliability", "abstention", "confusion", "distances", "families",
    "elements", "bars", "learning", "drivers",
)  # fmt: skip
"""Groups of figures of the page that belong to the answers; the others are for experts."""


def digest_run(report: RunReport) -> Plain:
    """Return the answers of a run, as far as it has them, as JSON.

    Nothing is computed here: numbers, sentences and figures are those of the page of the run.

    Returns
    -------
    dict
        ``verdict``; ``expected`` errors by kind of material, ``classes`` or ``candidates``;
        ``cautions``, the gravest first; ``worst`` compounds; sentences about the ``model`` and its
        ``mistakes``; ``figures``, each with ``id``, ``group``, ``title``, ``note``, ``data`` and
        ``layout``; ``facts``.
    """
    results = report.results
    figures = build_figures(make_sections(report))
    found: Plain = {
        "source": report.source,
        "rows": results.provenance.data.rows,
        "target": results.target,
        "unit": results.unit,
        "seeds": results.n_seeds,
        "logarithmic": report.logarithmic,
        "verdict": report.verdict,
        "cautions": [asdict(one) for one in report.cautions],
        "expected": _expected(report, report.expectation),
        "classes": _classes(report.classes),
        "candidates": _candidates(report.candidates or report.class_candidates),
        "mistakes": report.mistake_sentences,
        "methods": len({name.partition(":")[0] for name, _ in report.methods} - {DUMMY}),
        "learning": [part.sentence for part in report.learning.parts] if report.learning else [],
        "drivers": [text for text in report.driver_sentences if text],
        "worst": [_worst(one) for one in report.worst],
        "model": report.model,
        "facts": [list(pair) for pair in report.facts],
        "figures": [
            {
                "id": panel.id,
                "group": group,
                "title": panel.title,
                "note": panel.note,
                "data": panel.data,
                "layout": panel.layout,
            }
            for group in _FIGURES
            for panel in figures.get(group, [])
        ],
    }
    plain: Plain = finite(found)
    return plain


def _expected(report: RunReport, found: Expectation | None) -> Plain | None:
    if found is None:
        return None
    outside = {}
    for one in report.intervals.methods if report.intervals else ():
        if one.method == found.method:
            outside = {(part.rows.split, part.rows.role): part.outside for part in one.parts}
    return {
        "method": found.method,
        "sentences": [asdict(one) for one in found.sentences],
        "rows": [
            {
                "kind": row.kind,
                "label": row.column.label,
                "role": row.column.role,
                "n": row.column.n_rows,
                "error": row.mae,
                "error_sd": row.mae_sd,
                "factor": row.factor,
                "constant": row.dummy_mae,
                "constant_factor": row.dummy_factor,
                "over_constant": row.over_dummy,
                "useless": row.useless,
                "coverage": row.coverage,
                "width": row.width,
                "trusted": row.trusted,
                "outside": outside.get((row.column.split, row.column.role)),
            }
            for row in found.rows
        ],
    }


def _classes(found: ClassReport | None) -> Plain | None:
    if found is None:
        return None
    return {
        "method": found.method,
        "names": list(found.names),
        "sentences": found.sentences,
        "rows": [
            {
                "kind": describe_kind(part.column, "high"),  # classes have no extreme values
                "label": part.column.label,
                "role": part.column.role,
                "n": part.column.n_rows,
                "log_loss": cell.error,
                "over_constant": cell.error_over_dummy,
                "accuracy": cell.accuracy,
                "balanced_accuracy": cell.balanced_accuracy,
                "coverage": cell.set_coverage_90,
                "set_size": cell.mean_set_size_90,
                "calibration_error": cell.ece,
            }
            for part in found.parts
            if (cell := part.cell) is not None
        ],
    }


def _candidates(found: CandidatesReport | ClassCandidates | None) -> Plain | None:
    if found is None:
        return None
    told: Plain = {
        "verdict": found.verdict,
        "n": found.answer.n,
        "sentences": [*found.errors, *found.unlike],
        "measure": found.measure,
        "next_step": found.next_step if found.measure else "",
    }
    if isinstance(found, ClassCandidates):
        rows = [_named_candidate(row) for row in found.surest]
        return {**told, "bad": not found.answer.useful, "rows": rows}
    rows = [_candidate(row) for row in found.highest]
    return {**told, "bad": found.answer.verdict == "no", "rows": rows}


def _candidate(row: PredictedRow) -> Plain:
    return {
        "name": row.name,
        "rank": row.rank,
        "prediction": row.prediction,
        "lower": row.lower,
        "upper": row.upper,
        "in_domain": row.in_domain,
        "new_elements": row.new_elements,
        "nearest": row.nearest_name,
        "nearest_target": row.nearest_target,
        "measured": row.measured,
    }


def _named_candidate(row: ClassRow) -> Plain:
    return {
        "name": row.name,
        "prediction": row.prediction,
        "probability": row.probability,
        "set": row.prediction_set,
        "in_domain": row.in_domain,
        "new_elements": row.new_elements,
        "nearest": row.nearest_name,
        "nearest_target": row.nearest_class,
        "measured": row.measured,
    }


def _worst(one: WorstCompound) -> Plain:
    row = one.row
    return {
        "formula": row.formula,
        "id": row.id,
        "label": one.label,
        "role": row.role,
        "target": row.target,
        "prediction": row.prediction,
        "lower": row.lower,
        "upper": row.upper,
        "covered": one.covered,
        "error": one.error,
        "times": one.factor_text,
        "neighbours": [
            {"formula": near.formula, "target": near.target, "distance": near.distance}
            for near in row.neighbours
        ],
        "hint": one.hint,
    }
