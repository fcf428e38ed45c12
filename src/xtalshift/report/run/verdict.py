"""What the numbers say in words: the smallest error per shift, and what to trust."""

from __future__ import annotations

from typing import Any

from xtalshift.report.run.attacks import NO_OP_DISPLACEMENT, NO_OP_GAIN
from xtalshift.report.run.scores import DUMMY, Scores
from xtalshift.report.shared.text import format_number, format_percent, join_words

__all__ = [
    "adversarial_gain",
    "cautions",
    "describe_attack",
    "judge_column",
    "verdict_sentence",
]

_FEW_ROWS = 50
_MANY_DROPPED = 0.05
_CLOSE = 0.05
_ENOUGH_SEEDS = 3
_CONTROL = "cal-eps0"


def judge_column(scores: Scores, column: dict[str, Any]) -> dict[str, Any]:
    """Name the method of the smallest error of one column and how it stands to the others.

    Parameters
    ----------
    scores : Scores
        All records.
    column : dict
        ``split`` and ``role`` (with whatever else describes it).

    Returns
    -------
    dict
        The column plus ``best`` (the cell of the smallest mean error, None if nothing finished),
        ``dummy_mae``, ``winner`` (the method of that cell, or the dummy where that is no worse),
        ``runner_up`` (a paired comparison with the second, None with one method), and
        ``every_seed`` (whether it beats the second, and any other, on each of at least 3 seeds).
    """
    split, role = column["split"], column["role"]
    ranking = scores.ranking(split, role)
    dummy = scores.cell(DUMMY, split, role)
    best = scores.cell(ranking[0], split, role) if ranking else None
    beaten = best is None or best["worse_than_dummy"]
    pair = scores.paired(ranking[0], ranking[1], split, role) if ranking[1:] else None
    enough = pair is not None and pair["seeds"] >= _ENOUGH_SEEDS
    return {
        **column,
        "best": best,
        "winner": DUMMY if beaten else ranking[0],
        "dummy_mae": dummy["mae"] if dummy else None,
        "runner_up": pair,
        "every_seed": enough and scores.leads_every_seed(ranking[0], split, role),
    }


def adversarial_gain(
    scores: Scores, columns: list[dict[str, Any]], gap: str
) -> list[dict[str, Any]]:
    """Compare ``cal`` in every column with its control, whose attack is 0, and with ``erm``.

    Parameters
    ----------
    scores : Scores
        All records.
    columns : list of dict
        ``split`` and ``role`` of each.
    gap : str
        What differs between ``cal`` and ``erm``.

    Returns
    -------
    list of dict
        One per comparison that any column allows: ``label``, ``note`` (what differs) and ``cells``
        (as `Scores.paired` returns it, one per column).
    """
    rows = []
    for first, second, note in (("cal", _CONTROL, "the attack alone"), ("cal", "erm", gap)):
        cells = [scores.paired(first, second, c["split"], c["role"]) for c in columns]
        if any(cells):
            rows.append({"label": f"{first} against {second}", "note": note, "cells": cells})
    return rows


def verdict_sentence(judged: list[dict[str, Any]], unit: str) -> str:
    """Say in one breath: smallest error, its method, growth out of distribution, constant.

    Parameters
    ----------
    judged : list of dict
        Columns as `judge_column` returns them.
    unit : str
        Unit of the target, or an empty text.
    """
    done = [column for column in judged if column["best"]]
    if not done:
        return "No run finished, so there is nothing to compare."
    parts = [_inside(column, unit) for column in done if column["role"] == "id"][:1]
    shifted = [column for column in done if column["role"] == "ood"]
    useful = [column for column in shifted if column["winner"] != DUMMY]
    if useful:
        parts.append(_outside(useful, everywhere=len(useful) == len(shifted)))
    useless = [column["label"] for column in shifted if column["winner"] == DUMMY]
    if useless:
        parts.append(f"No method beats the constant on {join_words(useless)}.")
    return " ".join(parts)


def _inside(column: dict[str, Any], unit: str) -> str:
    best = column["best"]
    size = f"{format_number(best['mae'])} {unit}".strip()
    seeds = " on every seed" if column["every_seed"] else ""
    text = f"In distribution, {best['method']} has the smallest mean absolute error{seeds}: {size}"
    if best["over_dummy"] is None:
        return f"{text}."
    if best["worse_than_dummy"]:
        return f"{text}, no better than a constant."
    return f"{text}, {format_percent(1.0 - best['over_dummy'])} below a constant guess."


def _outside(shifted: list[dict[str, Any]], *, everywhere: bool) -> str:
    winners: dict[str, list[dict[str, Any]]] = {}
    for column in shifted:
        winners.setdefault(column["winner"], []).append(column)
    same = everywhere and len(winners) == 1 and len(shifted) > 1
    names = [
        f"{method} has the smallest error {_places(columns, every_shift=same)}"
        for method, columns in winners.items()
    ]
    text = f"Out of distribution, {join_words(names)}"
    ratios = [c["best"]["ratio_id"] for c in shifted if c["best"]["ratio_id"] is not None]
    if ratios:
        low, high = f"{min(ratios):.1f}", f"{max(ratios):.1f}"
        span = low if low == high else f"{low} to {high}"
        text += f", with {span} times the error of the same method in distribution"
    return text + ("; each beats the constant." if everywhere else ".")


def _places(columns: list[dict[str, Any]], *, every_shift: bool) -> str:
    sure = [column["label"] for column in columns if column["every_seed"]]
    if every_shift:
        return "on every seed of every shift" if len(sure) == len(columns) else "on every shift"
    other = [column["label"] for column in columns if not column["every_seed"]]
    places = [f"on {join_words(other)}"] if other else []
    return " and ".join(places + ([f"on every seed of {join_words(sure)}"] if sure else []))


def describe_attack(size: dict[str, Any]) -> str:
    """Say how far an attack moved the features and how much loss it gained.

    Parameters
    ----------
    size : dict
        As `xtalshift.report.run.attacks.attack_sizes` returns it.
    """
    method = size["method"]
    if size["method"] == _CONTROL and not size["displacement"]:
        return f"{method}, the control, moves nothing, as it should."
    text = (
        f"{method} moves features by up to {format_number(size['displacement'])} standard "
        "deviations (root mean square of an epoch)"
    )
    return f"{text} and gains {_gained(size)}." if size["gain_share"] is not None else f"{text}."


def _gained(size: dict[str, Any]) -> str:
    return (
        f"{format_number(size['gain'])} of an adversarial loss of {format_number(size['loss'])} "
        f"({format_percent(size['gain_share'])}, means over epochs)"
    )


def cautions(payload: dict[str, Any]) -> list[dict[str, str]]:
    """List what limits the conclusions, each computed from the payload.

    Returns
    -------
    list of dict
        ``text``, and ``level``: ``"stop"`` (do not rely on it) or ``"care"`` (read this first).
    """
    found = [
        *_about_columns(payload),
        *_about_seeds(payload),
        *_about_failures(payload),
        *_about_attack(payload),
        *_about_selection(payload),
        *_about_intervals(payload["trust"]),
        *_about_cleaning(payload),
    ]
    return sorted(found, key=lambda item: item["level"] != "stop")


def _about_columns(payload: dict[str, Any]) -> list[dict[str, str]]:
    found = []
    for column in payload["judged"]:
        best = column["best"]
        if best is None:
            text = f"Every run failed on {column['label']}: there is no error to report."
            found.append({"level": "stop", "text": text})
        elif best["worse_than_dummy"]:
            text = (
                f"On {column['label']} no method beats the constant: do not use these predictions."
            )
            found.append({"level": "stop", "text": text})
        elif best["r2"] is not None and best["r2"] < 0:
            text = (
                f"On {column['label']} even the smallest error means R² = "
                f"{format_number(best['r2'])}: "
                "the mean of these test rows, unknown beforehand, would predict them better."
            )
            found.append({"level": "care", "text": text})
        rows = column["n_rows"]
        if rows is not None and rows < _FEW_ROWS:
            text = f"{column['label']} has only {rows} test rows; its errors are rough."
            found.append({"level": "care", "text": text})
    return found


def _about_seeds(payload: dict[str, Any]) -> list[dict[str, str]]:
    if payload["n_seeds"] == 1:
        text = "One seed only: no spread is known, and small differences may be chance."
        return [{"level": "care", "text": text}]
    close = [
        column["label"]
        for column in payload["judged"]
        if column["winner"] != DUMMY
        and (pair := column["runner_up"])
        and (pair["wins"] < pair["seeds"] or pair["change"] > -_CLOSE)
    ]
    if not close:
        return []
    text = (
        f"On {join_words(close)} the two smallest errors are within {_CLOSE:.0%} or change places "
        "between seeds: treat these methods as equal."
    )
    return [{"level": "care", "text": text}]


def _about_failures(payload: dict[str, Any]) -> list[dict[str, str]]:
    failed = list(dict.fromkeys(row["method"] for row in payload["failures"]))
    if not failed:
        return []
    text = f"Runs of {join_words(failed)} failed; they are listed below, not left out."
    return [{"level": "care", "text": text}]


def _about_attack(payload: dict[str, Any]) -> list[dict[str, str]]:
    found = []
    for size in payload["attack_sizes"]:
        still = size["displacement"] < NO_OP_DISPLACEMENT
        harmless = size["gain_share"] is not None and size["gain_share"] < NO_OP_GAIN
        # the attack of the control is to do nothing
        if size["method"] != _CONTROL and (still or harmless):
            text = _weak_attack(size, still=still, harmless=harmless)
            found.append({"level": "care", "text": text})
    return found


def _weak_attack(size: dict[str, Any], *, still: bool, harmless: bool) -> str:
    method = size["method"]
    moved = f"{format_number(size['displacement'])} standard deviations (root mean square)"
    gained = _gained(size) if size["gain_share"] is not None else ""
    if not still:
        return (
            f"The attack of {method} does nothing to the loss, although it moves features by up to "
            f"{moved}: it gains {gained}."
        )
    text = f"The attack of {method} never moves features by more than {moved}"
    unchanged = f"{method} trains on practically unchanged rows."
    if harmless:
        return f"{text} and gains {gained}. It does nothing: {unchanged}"
    return f"{text}{f' and gains {gained}' if gained else ''}: {unchanged}"


def _about_selection(payload: dict[str, Any]) -> list[dict[str, str]]:
    early = [c["method"] for c in payload["histories"] if c["best_phase"] == "warm-up"]
    if not early:
        return []
    text = (
        f"The selected parameters of {join_words(list(dict.fromkeys(early)))} predate the first "
        "attack: they come from the plain training of the warm-up."
    )
    return [{"level": "care", "text": text}]


def _about_intervals(trust: dict[str, Any] | None) -> list[dict[str, str]]:
    if trust is None:
        return []
    method = next(one for one in trust["methods"] if one["method"] == trust["first"])
    short = [part for part in method["parts"] if part["short"]]
    if not short:
        return []
    held = join_words([f"{format_percent(part['coverage'])} on {part['label']}" for part in short])
    text = (
        f"The 90 % intervals of {method['method']} hold fewer targets than promised: {held}. "
        "Where such materials matter, calibrate on measured values of some (xtalshift calibrate)."
    )
    return [{"level": "care", "text": text}]


def _about_cleaning(payload: dict[str, Any]) -> list[dict[str, str]]:
    report = payload["cleaning"]
    found = []
    scatter = report.get("duplicate_scatter")
    if scatter:
        found.append(
            {"level": "care", "text": _about_duplicates(report, payload["target"]["unit"])}
        )
    if report.get("zero_inflated"):
        found.append({"level": "care", "text": report["remedy"]})
    read, dropped = report.get("rows_read"), report.get("rows_dropped")
    if read and dropped and dropped > _MANY_DROPPED * read:
        lost = format_percent(dropped / read)
        text = f"Cleaning dropped {lost} of the rows as unusable; the reasons are listed below."
        found.append({"level": "care", "text": text})
    return found


def _about_duplicates(report: dict[str, Any], unit: str) -> str:
    size = f"{format_number(report['duplicate_scatter'])} {unit}".strip()
    floor = f"{format_number(report['error_floor'])} {unit}".strip()
    groups = f"equal composition and feature columns ({report['duplicate_groups']:,} groups)"
    if report["duplicates"] == "keep":
        return (
            f"Rows of {groups} lie {size} from their group's mean, on average, which no model can "
            f"explain: over all rows its mean absolute error is at least {floor}."
        )
    return (
        f"Before merging, rows of {groups} lay {size} from their group's mean, on average. The "
        f"errors here are measured on merged targets ({report['duplicates']} of each group) and "
        f"leave that scatter out; before merging, no model could come below {floor} over all rows."
    )
