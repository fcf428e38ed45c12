"""The parts of the page of a run, in the order of a scientist's questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xtalshift.report.run.candidates import draw_proxies
from xtalshift.report.run.classes import draw_abstention, draw_confusion, draw_reliability
from xtalshift.report.run.drivers import draw_drivers
from xtalshift.report.run.learning import draw_learning
from xtalshift.report.run.mistake_figures import (
    draw_distances,
    draw_elements,
    draw_families,
    draw_interval_parity,
)
from xtalshift.report.run.run_figures import draw_scores
from xtalshift.report.shared.figures import Panel, number_panels

if TYPE_CHECKING:
    from xtalshift.report.run.run_page import RunReport


@dataclass(frozen=True)
class Section:
    """One part of the page: the template that shows it, and the figures that it has places for."""

    template: str
    figures: dict[str, list[Panel | None]] = field(default_factory=dict)


def show_candidates(report: RunReport) -> Section | None:
    """Answer what to believe about the candidates, if there are some."""
    found = report.candidates
    if found is None:
        return None
    figures: dict[str, list[Panel | None]] = {
        "proxies": [draw_proxies(found.answer, report.results.unit)]
    }
    return Section("run/candidates.html.j2", figures)


def show_class_candidates(report: RunReport) -> Section | None:
    """Answer what to believe about candidates of classes, if there are some."""
    if report.class_candidates is None:
        return None
    return Section("run/class_candidates.html.j2")


def show_expectation(report: RunReport) -> Section | None:
    """Say which method to use, what error to expect, and whether intervals may be trusted."""
    return Section("run/expectation.html.j2") if report.results.classes is None else None


def show_classes(report: RunReport) -> Section | None:
    """Say the same of a target that is a class: reliability, abstention, confusion, sets."""
    if report.results.classes is None:
        return None
    found = report.classes
    if found is None:
        return Section("run/classes.html.j2")
    figures = {
        "reliability": draw_reliability(found),
        "abstention": draw_abstention(found),
        "confusion": draw_confusion(found),
    }
    return Section("run/classes.html.j2", figures)


def show_mistakes(report: RunReport) -> Section | None:
    """Show where it goes wrong: errors by element, chemical family and distance."""
    found, unit = report.mistakes, report.results.unit
    if found is None:
        return None
    figures = {
        "elements": [draw_elements(found, unit)],
        "families": [draw_families(found, unit)],
        "distances": draw_distances(found, unit),
    }
    return Section("run/mistakes.html.j2", figures)


def show_interval_parity(report: RunReport) -> Section | None:
    """Show predictions with their intervals against the measured values."""
    if not report.interval_parity:
        return None
    labels = {column.split: column.label for column in report.columns}
    unit = report.results.unit
    panels = draw_interval_parity(
        report.interval_parity, labels, unit, logarithmic=report.logarithmic
    )
    return Section("run/interval_parity.html.j2", {"chosen": panels})


def show_worst(report: RunReport) -> Section | None:
    """Show the compounds with the largest errors, beside their nearest training materials."""
    return Section("run/worst.html.j2") if report.worst else None


def show_learning(report: RunReport) -> Section | None:
    """Show the error against the number of training rows."""
    if report.learning is None or not report.learning.parts:
        return None
    results = report.results
    panels = draw_learning(report.learning, results.unit, results.error_name)
    return Section("run/learning.html.j2", {"learning": panels})


def show_drivers(report: RunReport) -> Section | None:
    """Show the families of features that the predictions need."""
    found = report.results.explanation
    if found is None or found.drivers is None:
        return None
    return Section("run/drivers.html.j2", {"drivers": [draw_drivers(found.drivers)]})


def show_appendix(report: RunReport) -> Section:
    """Show all methods, scores, controls, splits and settings."""
    return Section("run/appendix.html.j2", draw_scores(report))


def show_glossary(_: RunReport) -> Section:
    """Explain the terms of the page."""
    return Section("run/glossary.html.j2")


SECTIONS: tuple[Callable[[RunReport], Section | None], ...] = (
    show_candidates,
    show_class_candidates,
    show_expectation,
    show_classes,
    show_mistakes,
    show_worst,
    show_interval_parity,
    show_learning,
    show_drivers,
    show_appendix,
    show_glossary,
)
"""The functions that make the parts of the page, first to last; each returns None where a run has
nothing to show."""


def make_sections(report: RunReport) -> list[Section]:
    """Return the parts of the page of a run that have something to show."""
    found = (show(report) for show in SECTIONS)
    return [section for section in found if section is not None]


def build_figures(sections: Iterable[Section]) -> dict[str, list[Panel]]:
    """Return all figures of some sections by their names, with ids that are unique in the page."""
    return number_panels(
        {name: panels for section in sections for name, panels in section.figures.items()}
    )
