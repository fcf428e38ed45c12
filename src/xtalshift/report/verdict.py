"""What the numbers say in words: the best method per shift, and what to trust."""

from __future__ import annotations

from typing import Any

from xtalshift.report.scores import DUMMY, Scores
from xtalshift.report.text import format_number, format_percent, join_words

__all__ = ["adversarial_gain", "cautions", "judge_column", "verdict_sentence"]

_FEW_ROWS = 50
_NO_OP_DISPLACEMENT = 0.01
_MANY_DROPPED = 0.05
_CLOSE = 0.05


def judge_column(scores: Scores, column: dict[str, Any]) -> dict[str, Any]:
    """Name the best method of one column and how it stands to the others.

    Parameters
    ----------
    scores : Scores
        All records.
    column : dict
        ``split`` and ``role`` (with whatever else describes it).

    Returns
    -------
    dict
        The column plus ``best`` (the cell of the best method, None if nothing finished),
        ``dummy_mae``, ``winner`` (the best method, or the dummy where that is no worse), and
        ``runner_up`` (a paired comparison of the best with the second, None with one method).
    """
    split, role = column["split"], column["role"]
    ranking = scores.ranking(split, role)
    dummy = scores.cell(DUMMY, split, role)
    best = scores.cell(ranking[0], split, role) if ranking else None
    beaten = best is None or best["worse_than_dummy"]
    return {
        **column,
        "best": best,
        "winner": DUMMY if beaten else ranking[0],
        "dummy_mae": dummy["mae"] if dummy else None,
        "runner_up": scores.paired(ranking[0], ranking[1], split, role) if ranking[1:] else None,
    }


def adversarial_gain(scores: Scores, columns: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """Compare ``cal`` with ``erm``, the same network trained plainly, in every column.

    Returns
    -------
    list
        As `Scores.paired` returns it, one per column; empty if no column has both.
    """
    pairs = [scores.paired("cal", "erm", column["split"], column["role"]) for column in columns]
    return pairs if any(pairs) else []


def verdict_sentence(judged: list[dict[str, Any]], unit: str) -> str:
    """Say in one breath: best method, size of the error, growth out of distribution, constant.

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
    text = f"In distribution, {best['method']} is best with a mean absolute error of {size}"
    if best["over_dummy"] is None:
        return f"{text}."
    if best["worse_than_dummy"]:
        return f"{text}, no better than a constant."
    return f"{text}, {format_percent(1.0 - best['over_dummy'])} below a constant guess."


def _outside(shifted: list[dict[str, Any]], *, everywhere: bool) -> str:
    winners: dict[str, list[str]] = {}
    for column in shifted:
        winners.setdefault(column["winner"], []).append(column["label"])
    if everywhere and len(winners) == 1 and len(shifted) > 1:
        names = f"{next(iter(winners))} is best on every shift"
    else:
        names = join_words(
            [f"{method} is best on {join_words(labels)}" for method, labels in winners.items()]
        )
    text = f"Out of distribution, {names}"
    ratios = [c["best"]["ratio_id"] for c in shifted if c["best"]["ratio_id"] is not None]
    if ratios:
        low, high = f"{min(ratios):.1f}", f"{max(ratios):.1f}"
        span = low if low == high else f"{low} to {high}"
        text += f", with {span} times the error of the same method in distribution"
    return text + ("; each beats the constant." if everywhere else ".")


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
                f"On {column['label']} even the best method has R² = {format_number(best['r2'])}: "
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
        f"On {join_words(close)} the best and the second method are within "
        f"{_CLOSE:.0%} or change places between seeds: treat them as equal."
    )
    return [{"level": "care", "text": text}]


def _about_failures(payload: dict[str, Any]) -> list[dict[str, str]]:
    failed = list(dict.fromkeys(row["method"] for row in payload["failures"]))
    if not failed:
        return []
    text = f"Runs of {join_words(failed)} failed; they are listed below, not left out."
    return [{"level": "care", "text": text}]


def _about_attack(payload: dict[str, Any]) -> list[dict[str, str]]:
    known = [
        value
        for curve in payload["histories"]
        for value in curve.get("displacement_rms", [])
        if value is not None
    ]
    if not known or max(known) >= _NO_OP_DISPLACEMENT:
        return []
    text = (
        f"The attack never moves features by more than {format_number(max(known))} standard "
        "deviations (root mean square): cal trains on practically unchanged rows."
    )
    return [{"level": "care", "text": text}]


def _about_cleaning(payload: dict[str, Any]) -> list[dict[str, str]]:
    report = payload["cleaning"]
    found = []
    scatter = report.get("duplicate_scatter")
    if scatter:
        size = f"{format_number(scatter)} {payload['target']['unit']}".strip()
        text = (
            f"Rows of equal composition ({report['duplicate_groups']:,} groups) deviate from their "
            f"mean by {size}: a model that sees the composition alone cannot explain that."
        )
        found.append({"level": "care", "text": text})
    if report.get("zero_inflated"):
        found.append({"level": "care", "text": report["remedy"]})
    read, dropped = report.get("rows_read"), report.get("rows_dropped")
    if read and dropped and dropped > _MANY_DROPPED * read:
        lost = format_percent(dropped / read)
        text = f"Cleaning dropped {lost} of the rows as unusable; the reasons are listed below."
        found.append({"level": "care", "text": text})
    return found
