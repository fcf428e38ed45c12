"""The candidates of a run of classes: what to expect, predictions, and what to measure."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from xtalshift.benchmark.answer import ClassAnswer
from xtalshift.model.class_predictions import probability_column
from xtalshift.report.shared.answer_text import (
    NEXT_STEP,
    class_measure_sentence,
    class_sentences,
    class_verdict,
    unlike_sentences,
)
from xtalshift.words import name_crystal

N_SHOWN = 10
"""Predictions that the page shows at either end of the order."""
CLASS_TEXTS = (
    "formula", "prediction", "prediction_set", "unseen_elements", "nearest_formula",
    "nearest_target", "measured", "status",
)  # fmt: skip
"""Columns that the page needs."""


@dataclass(frozen=True)
class ClassRow:
    """One candidate on the page."""

    formula: str
    prediction: str
    probability: float
    """Of the predicted class."""
    prediction_set: str
    in_domain: bool
    new_elements: str
    nearest: str
    nearest_class: str
    measured: str
    """Its class, if it is in the table."""
    id: str = ""
    nearest_id: str = ""
    """`id`, `nearest_id`: which crystals they are, if structures were read."""

    @property
    def name(self) -> str:
        """The formula, with the id of a crystal."""
        return name_crystal(self.formula, self.id)

    @property
    def nearest_name(self) -> str:
        """The formula of the nearest material, with the id of a crystal."""
        return name_crystal(self.nearest, self.nearest_id)


@dataclass(frozen=True)
class ClassCandidates:
    """What the page says about the candidates."""

    answer: ClassAnswer
    verdict: str
    errors: list[str]
    unlike: list[str]
    measure: str
    next_step: str
    surest: list[ClassRow]
    least_sure: list[ClassRow]
    """`surest`, `least_sure`: those with the largest and the smallest probability of the predicted
    class; the second is empty if the first holds all of them."""


def report_class_candidates(
    answer: ClassAnswer | None, table: pd.DataFrame | None
) -> ClassCandidates | None:
    """Return what the page says about candidates of classes; None if there are none."""
    if answer is None:
        return None
    rows = [] if table is None else _rows(table)
    return ClassCandidates(
        answer=answer,
        verdict=class_verdict(answer),
        errors=class_sentences(answer),
        unlike=unlike_sentences(answer),
        measure=class_measure_sentence(answer),
        next_step=NEXT_STEP,
        surest=rows[:N_SHOWN],
        least_sure=rows[N_SHOWN:][-N_SHOWN:],
    )


def _rows(table: pd.DataFrame) -> list[ClassRow]:
    """Return the candidates with a prediction, the surest first."""
    crystals = {"id", "nearest_id"} <= set(table)
    found = [
        ClassRow(
            str(row["formula"]), str(row["prediction"]),
            float(row[probability_column(str(row["prediction"]))]),
            str(row["prediction_set"]).replace("|", ", "), bool(row["in_domain"]),
            str(row["unseen_elements"]), str(row["nearest_formula"]), str(row["nearest_target"]),
            str(row["measured"]),
            *((str(row["id"]), str(row["nearest_id"])) if crystals else ()),
        )
        for row in table[table["status"] == "ok"].to_dict("records")
    ]  # fmt: skip
    return sorted(found, key=lambda row: -row.probability)
