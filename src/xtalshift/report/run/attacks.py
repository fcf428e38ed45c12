"""What the attack of each training did: curves per method, sizes, last values per training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import fmean
from typing import Any

__all__ = [
    "ATTACK_COLUMNS",
    "NO_OP_DISPLACEMENT",
    "NO_OP_GAIN",
    "attack_curves",
    "attack_sizes",
    "last_attacks",
]

NO_OP_DISPLACEMENT = 0.01
"""Root mean square, in standard deviations of a feature; below it rows are as good as unchanged."""

NO_OP_GAIN = 0.01
"""Share of the adversarial loss; below it the attacked rows are no harder than the rows."""

Reduce = Callable[[Iterable[float]], float]

# how the seeds of a method become one value: sizes are averaged, extremes stay extremes
_REDUCE: dict[str, Reduce] = {
    "displacement_rms": fmean,
    "displacement_max": max,
    "attack_loss_gain": fmean,
    "gain_share": fmean,
    "weight_min": min,
    "weight_p10": fmean,
    "weight_median": fmean,
    "weight_p90": fmean,
    "weight_max": max,
    "hard_share": fmean,
}
ATTACK_COLUMNS = (
    "displacement_rms", "displacement_max", "attack_loss_gain", "adversarial_loss",
    "weight_min", "weight_p10", "weight_median", "weight_p90", "weight_max",
    "weights_frozen", "gamma", "hard_share",
)  # fmt: skip
"""What an epoch of an adversarial training records beside the ordinary losses."""

Curve = dict[str, Any]


def attack_curves(histories: list[Curve]) -> list[Curve]:
    """Return one set of curves per method and fit, over its seeds.

    Parameters
    ----------
    histories : list of dict
        Training curves as columns (``method``, ``split``, ``seed``, ``epoch`` and lists of the
        length of ``epoch``, None where nothing was recorded).

    Returns
    -------
    list of dict
        ``method``, ``split``, ``seeds``, ``epoch`` and those columns that are known in any epoch:
        means over the seeds, but the smallest ``weight_min`` and the largest ``weight_max`` and
        ``displacement_max``. ``gain_share`` is the loss gained over the adversarial loss.
        Trainings without attack have no entry.
    """
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in histories:
        if "displacement_rms" in curve:
            groups.setdefault((curve["method"], curve["split"]), []).append(curve)
    merged = []
    for (method, split), group in groups.items():
        seeds = [{**curve, "gain_share": _gain_share(curve)} for curve in group]
        epochs = sorted({epoch for curve in seeds for epoch in curve["epoch"]})
        entry: Curve = {"method": method, "split": split, "seeds": len(seeds), "epoch": epochs}
        for key, reduce in _REDUCE.items():
            column = _merge(seeds, key, epochs, reduce)
            if any(value is not None for value in column):
                entry[key] = column
        merged.append(entry)
    return merged


def attack_sizes(histories: list[Curve]) -> list[dict[str, Any]]:
    """Say how large the attack of each method was, over all its trainings.

    Returns
    -------
    list of dict
        ``method``; ``displacement``: the largest root mean square of any epoch; ``gain``, ``loss``
        and ``gain_share``: mean loss gained, mean adversarial loss and the one over the other, None
        where they were not recorded.
    """
    groups: dict[str, list[Curve]] = {}
    for curve in histories:
        if "displacement_rms" in curve:
            groups.setdefault(curve["method"], []).append(curve)
    sizes = []
    for method, group in groups.items():
        moved = [v for curve in group for v in curve["displacement_rms"] if v is not None]
        pairs = [pair for curve in group for pair in _pairs(curve) if pair is not None]
        gain = fmean(gain for gain, _ in pairs) if pairs else None
        loss = fmean(loss for _, loss in pairs) if pairs else None
        sizes.append(
            {
                "method": method,
                "displacement": max(moved),
                "gain": gain,
                "loss": loss,
                "gain_share": gain / loss if gain is not None and loss else None,
            }
        )
    return sizes


def last_attacks(histories: list[Curve]) -> list[Curve]:
    """Return the last known value of every column of each adversarial training."""
    rows = []
    for curve in histories:
        if "displacement_rms" not in curve:
            continue
        row = {key: curve[key] for key in ("method", "split", "seed")}
        for key in ATTACK_COLUMNS:
            row[key] = _last(curve.get(key, []))
        row["gain_share"] = _last(_gain_share(curve))
        rows.append(row)
    return rows


def _last(values: list[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _pairs(curve: Curve) -> list[tuple[float, float] | None]:
    """Return loss gained and adversarial loss of every epoch that has both."""
    nothing: list[float | None] = [None] * len(curve["epoch"])
    gains, losses = (curve.get(key, nothing) for key in ("attack_loss_gain", "adversarial_loss"))
    return [
        (gain, loss) if gain is not None and loss is not None and loss > 0 else None
        for gain, loss in zip(gains, losses, strict=True)
    ]


def _gain_share(curve: Curve) -> list[float | None]:
    return [pair and pair[0] / pair[1] for pair in _pairs(curve)]


def _merge(curves: list[Curve], key: str, epochs: list[int], reduce: Reduce) -> list[float | None]:
    found: dict[int, list[float]] = {epoch: [] for epoch in epochs}
    for curve in curves:
        # a seed that stopped early is missing from the later epochs only
        for epoch, value in zip(curve["epoch"], curve.get(key, []), strict=False):
            if value is not None:
                found[epoch].append(value)
    return [reduce(values) if values else None for values in found.values()]
