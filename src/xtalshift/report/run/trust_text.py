"""What intervals and domain of one method did, in sentences that hide nothing."""

from __future__ import annotations

import math
from typing import Any

from xtalshift.report.run.scores import DUMMY
from xtalshift.report.shared.text import format_number, format_percent, join_words
from xtalshift.uncertainty.conformal import LEVEL

__all__ = ["describe_trust", "falls_short"]

_LEAST_GAP = 0.02
_FOUND = 0.5
_NARROWER = 0.97

Part = dict[str, Any]


def falls_short(part: Part, inside: Part | None) -> bool:
    """Return whether intervals hold clearly fewer targets than they promise.

    Clearly: by more than 2 points, and by more than two standard deviations of the coverage of so
    many materials after a calibration on as many as there are ID rows.
    """
    counts = [part["materials"], inside["materials"] if inside else part["materials"]]
    noise = math.sqrt(LEVEL * (1 - LEVEL) * sum(1 / count for count in counts))
    return bool(part["coverage"] < LEVEL - max(_LEAST_GAP, 2 * noise))


def describe_trust(method: str, parts: list[Part]) -> list[dict[str, Any]]:
    """Say what the numbers of one method mean for who uses its intervals.

    Parameters
    ----------
    method : str
        Its name.
    parts : list of dict
        As `xtalshift.report.run.trust.trust_payload` returns them.

    Returns
    -------
    list of dict
        ``text``, and ``bad`` where it is a reason for distrust.
    """
    inside = next((part for part in parts if part["role"] == "id"), None)
    shifted = [part for part in parts if part["role"] == "ood"]
    short = [part for part in shifted if part["short"]]
    found = []
    if inside:
        text = (
            f"On rows like the training data the 90 % intervals of {method} hold "
            f"{format_percent(inside['coverage'])} of the targets"
        )
        found.append(_item(f"{text}.", bad=inside["short"]))
    found += _about_shifts(shifted, short)
    found += _about_domain(inside, shifted, short)
    found += _about_width(method, inside)
    return found


def _about_shifts(shifted: list[Part], short: list[Part]) -> list[dict[str, Any]]:
    found = []
    kept = [part for part in shifted if part not in short]
    if short:
        text = (
            f"{_places(short)}: they are calibrated on rows like the training data, which these "
            "are not."
        )
        found.append(_item(text, bad=True))
    if kept:
        found.append(_item(f"{_places(kept)}: no clear loss."))
    return found


def _places(parts: list[Part]) -> str:
    first, *rest = parts
    places = [
        f"On {first['label']} they hold {format_percent(first['coverage'])}",
        *(f"on {part['label']} {format_percent(part['coverage'])}" for part in rest),
    ]
    return join_words(places)


def _about_domain(
    inside: Part | None, shifted: list[Part], short: list[Part]
) -> list[dict[str, Any]]:
    known = [part for part in shifted if part["outside"] is not None]
    if not known:
        return []
    shares = join_words([f"{format_percent(part['outside'])} of {part['label']}" for part in known])
    text = f"The domain leaves out {shares}"
    if inside and inside["outside"] is not None:
        text += f", and {format_percent(inside['outside'])} of the ID rows (false alarms)"
    found = [_item(f"{text}.")]
    silent = [part["label"] for part in short if part in known and part["outside"] < _FOUND]
    if silent:
        text = (
            f"On {join_words(silent)} most rows count as inside the domain: neither interval nor "
            "domain warns of the errors there."
        )
        found.append(_item(text, bad=True))
    return found


def _about_width(method: str, inside: Part | None) -> list[dict[str, Any]]:
    ratio = inside["width_over_dummy"] if inside else None
    if method == DUMMY or ratio is None:
        return []
    if ratio >= _NARROWER:
        text = "Even on ID rows its intervals are no narrower than those of a constant."
        return [_item(text, bad=True)]
    return [
        _item(
            f"On ID rows the median interval is {format_number(ratio)} times as wide as that of a "
            "constant."
        )
    ]


def _item(text: str, *, bad: bool = False) -> dict[str, Any]:
    return {"text": text, "bad": bad}
