"""The audit of a split in sentences: what its folds are, what is wrong, what to be careful with.

All functions take a split, or its folds, as
`xtalshift.report.audit.payload.audit_payload` describes them.
"""

from __future__ import annotations

from typing import Any

from xtalshift.report.audit.figures import KINDS
from xtalshift.report.shared.text import format_percent, join_words

__all__ = ["SHIFTED", "SHIFTS", "list_alerts", "list_cautions", "write_headline"]

SHIFTS = ("covariate", "prior", "relation")
"""Labels of a fold out of distribution."""
SHIFTED = (*SHIFTS, "several")
"""Kinds of such a fold."""
_N_EXAMPLES = 3


def write_headline(split: dict[str, Any]) -> str:
    """Say how many folds are what a split is made for, and what the others are."""
    folds, kinds, shifted = split["folds"], split["kinds"], split["shifted"]
    if not folds:
        return "This split has no folds."
    if len(folds) == 1:
        return _write_one(folds[0])
    enough = len(folds) - kinds.get("degenerate", 0)
    number = "None" if not shifted else "All" if shifted == len(folds) else str(shifted)
    of = "" if number == "All" else "of "
    some = f"{len(folds)} folds"
    if 0 < enough < len(folds):
        some = f"the {enough} folds that are not degenerate"
    many = f"{number} {of}{some} {'is' if shifted < 2 else 'are'}"  # noqa: PLR2004
    parts = [f"{count} by {KINDS[kind][0]}" for kind, count in kinds.items() if kind in SHIFTED]
    sentences = [f"{many} out of distribution{': ' if parts else ''}{join_words(parts)}."]
    if count := kinds.get("interpolation"):
        sentences.append(f"{_whole(count, folds)} {_no_shift(folds)}")
    if count := kinds.get("degenerate"):
        sentences.append(f"{_whole(count, folds)} degenerate ({_why_small(split)}).")
    return " ".join(sentences)


def _whole(count: int, folds: list[dict[str, Any]]) -> str:
    return "All are" if count == len(folds) else f"{count} {'is' if count == 1 else 'are'}"


def _write_one(fold: dict[str, Any]) -> str:
    shifts = [KINDS[label][0] for label in fold["labels"] if label in SHIFTS]
    if fold["kind"] == "degenerate":
        reasons = [text for text in fold["reasons"] if text.startswith("degenerate: ")]
        why = join_words([text.removeprefix("degenerate: ") for text in reasons])
        return f"The only fold is degenerate: {why}."
    if shifts:
        return f"The only fold is out of distribution: {join_words(shifts)}."
    return f"The only fold is {_no_shift([fold])}"


def _no_shift(folds: list[dict[str, Any]]) -> str:
    plain = [fold for fold in folds if fold["kind"] == "interpolation"]
    if any(fold["auc"] is None for fold in plain):
        return "undecided: no shift by the measures that were taken, but no classifier was asked."
    return "no more than interpolation: no measure finds a shift."


def _why_small(split: dict[str, Any]) -> str:
    limits = split["settings"]
    few = sum(fold["n_test"] < limits["min_test"] for fold in split["folds"])
    poor = sum(fold["train_share"] < limits["min_train_share"] for fold in split["folds"])
    share = format_percent(limits["min_train_share"])
    texts = (
        (few, f"fewer than {limits['min_test']} test rows"),
        (poor, f"less than {share} of the rows in training"),
    )
    found = [(count, text) for count, text in texts if count]
    if len(found) == 1:
        return found[0][1]
    return join_words([f"{count} with {text}" for count, text in found])


def list_alerts(folds: list[dict[str, Any]]) -> list[str]:
    """Return what makes scores on the split wrong: a sentence, then its first examples."""
    leaks = [
        f"{fold['title']}: {reason.removeprefix('leak: ')}"
        for fold in folds
        for reason in fold["reasons"]
        if reason.startswith("leak: ")
    ]
    if not leaks:
        return []
    count = sum("leak" in fold["labels"] for fold in folds)
    which = "The fold leaks" if len(folds) == 1 else f"{count} of {len(folds)} folds leak"
    head = f"{which}: a formula or row of the test part stands in another part too."
    further = len(leaks) - _N_EXAMPLES
    tail = [f"and {further} more, in the table of folds"] if further > 0 else []
    return [head, *leaks[:_N_EXAMPLES], *tail]


def list_cautions(split: dict[str, Any]) -> list[str]:
    """Return what a reader should know before relying on the labels, one sentence each."""
    folds, found = split["folds"], []
    plain = [fold for fold in folds if fold["kind"] == "interpolation"]
    blind = [fold for fold in plain if fold["auc"] is None or fold["wasserstein"] is None]
    if blind:
        found.append(
            f"In {len(blind)} of the {len(plain)} folds that are called interpolation not every "
            "measure was taken, so a shift may have been missed."
        )
    if tuned := sum(fold["val_shared_formulas"] > 0 for fold in folds):
        where = "" if len(folds) == 1 else f" in {tuned} of {len(folds)} folds"
        found.append(
            f"Train and val share formulas{where}: scores on val are too good there; test rows are "
            "not concerned."
        )
    return found
