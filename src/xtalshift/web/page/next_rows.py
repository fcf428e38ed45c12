"""What is shown of the jobs of what to measure next: suggestions, and what values changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xtalshift.jsonio import Plain
from xtalshift.model.several import FittedModels
from xtalshift.web.models import AnyModel
from xtalshift.web.page.model_screen import columns_needed
from xtalshift.web.page.targets import Target

_BARS = (("a constant", "constant"), ("before", "before"), ("after", "after"))


def suggested_rows(
    job: Plain | None,
    targets: Sequence[Target],
    model: AnyModel,
    measured: Mapping[tuple[str, str], str],
) -> list[Plain]:
    """Return the suggestions as the template shows them."""
    if job is None or job["state"] != "done":
        return []
    rows = []
    several = isinstance(model, FittedModels)
    result = job["result"]
    for one, formula in zip(result["suggestions"], result["formulas"], strict=True):
        inside = all(one.get(target.column("in_domain"), True) for target in targets)
        rows.append({
            "rank": one["rank"],
            "name": formula,
            "id": str(one.get("id", "")),
            "score": one["score"],
            "inside": inside,
            "nearest": "" if several else one.get("nearest_formula", ""),
            "nearest_target": None if several else one.get("nearest_target"),
            "given": {name: one[name] for name in columns_needed(model) if name in one},
            "cells": [
                {"prediction": one.get(target.column("prediction")),
                 "lower": one.get(target.column("lower")),
                 "upper": one.get(target.column("upper")),
                 "measured": measured.get((formula, target.name), "")}
                for target in targets
            ],
        })  # fmt: skip
    return rows


def changes_of(job: Plain | None, targets: Sequence[Target]) -> list[Plain]:
    """Return the errors before and after an adaptation, a row for each target.

    Its ``bars`` are those of a constant, before and after: name, error, and percent of the largest.
    """
    if job is None or job["state"] != "done":
        return []
    result, units = job["result"], {one.name: one.unit for one in targets}
    parts = result.get("targets") or {targets[0].name: result}
    rows = []
    for name, part in parts.items():
        found = part["found"] or {}
        bars = [(what, found[key]) for what, key in _BARS if key in found]
        most = max((error for _, error in bars), default=0.0) or 1.0
        rows.append(
            {
                **found,
                "name": name,
                "unit": units.get(name, ""),
                "n": part["n_target"],
                "bars": [(what, error, round(100 * error / most, 1)) for what, error in bars],
            }
        )
    return rows
