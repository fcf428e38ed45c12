"""The attack of adversarial trainings: sizes, curves, sentences and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from xtalshift.benchmark.run_results import History
from xtalshift.report.shared.figures import INK, Figure, Panel, draw_level, make_layout, scale_axis
from xtalshift.report.shared.text import Caution, format_number, format_percent, join_words

NO_OP_DISPLACEMENT = 0.01
"""Root mean square in standard deviations of a feature; rows that move less hardly change."""

NO_OP_GAIN = 0.01
"""Share of the adversarial loss; with a smaller gain the attacked rows are hardly harder."""

ATTACK_COLUMNS = (
    "displacement_rms", "displacement_max", "attack_loss_gain", "adversarial_loss",
    "weight_min", "weight_p10", "weight_median", "weight_p90", "weight_max",
    "weights_frozen", "gamma", "hard_share",
)  # fmt: skip
"""What an epoch of an adversarial training records beside the ordinary losses."""

# sizes are averaged over seeds, extremes stay extremes
_OVER_SEEDS = dict.fromkeys([*ATTACK_COLUMNS, "gain_share"], "mean") | {
    "displacement_max": "max",
    "weight_min": "min",
    "weight_max": "max",
}
_COLUMNS = ("train_loss", "val_mae", "val_log_loss", "val_tobit", *ATTACK_COLUMNS, "gain_share")
_CONTROL = "cal-eps0"
_HEIGHT = 220
_FLOOR = NO_OP_DISPLACEMENT / 10
_WARM_UP = "#eef0f2"
_BAND_OPACITY = 0.22

Values = list[float | None]


@dataclass(frozen=True)
class Curve:
    """What a training recorded, epoch by epoch, as columns; `split` names its training rows.

    Values are None where an epoch has none, and columns without any value are left out. `seed` is
    None for several seeds together, `best_phase` is the phase of the selected parameters.
    """

    method: str
    split: str
    seed: int | None
    epoch: list[int]
    columns: dict[str, Values]
    best_phase: str | None = None

    @property
    def attacked(self) -> bool:
        """Whether the training has an attack."""
        return "displacement_rms" in self.columns

    def last(self, name: str) -> float | None:
        """Return the last known value of a column."""
        values = reversed(self.columns.get(name, []))
        return next((value for value in values if value is not None), None)


@dataclass(frozen=True)
class AttackSize:
    """Size of the attack of one method over all its trainings.

    `displacement` is the largest root mean square of any epoch in standard deviations of the
    features; `gain`, `loss` and `gain_share` are the mean loss gained, the mean adversarial loss
    and their ratio, None if not recorded.
    """

    method: str
    displacement: float
    gain: float | None
    loss: float | None
    gain_share: float | None

    @property
    def still(self) -> bool:
        """Whether the features practically do not move."""
        return self.displacement < NO_OP_DISPLACEMENT

    @property
    def harmless(self) -> bool:
        """Whether the loss practically does not grow."""
        return self.gain_share is not None and self.gain_share < NO_OP_GAIN


def training_curves(histories: Sequence[History]) -> list[Curve]:
    """Return the curves of every training that recorded epochs."""
    curves = []
    for history in histories:
        frame = pd.DataFrame([dict(epoch) for epoch in history.epochs])
        if frame.empty:
            continue
        if "epoch" not in frame:
            frame["epoch"] = range(len(frame))
        frame = frame.reindex(columns=["epoch", "phase", *_COLUMNS]).set_index("epoch")
        numbers = frame[list(_COLUMNS)].astype(float)
        loss = numbers["adversarial_loss"].where(numbers["adversarial_loss"] > 0)
        numbers["gain_share"] = numbers["attack_loss_gain"] / loss
        phase = frame["phase"].get(history.best_epoch) if history.best_epoch is not None else None
        curve = _make_curve((history.method, history.split, history.seed), numbers, phase)
        curves.append(curve)
    return curves


def _make_curve(
    key: tuple[str, str, int | None], frame: pd.DataFrame, phase: str | None = None
) -> Curve:
    known = frame.dropna(axis="columns", how="all")
    columns: dict[str, Values] = {
        str(name): [None if pd.isna(value) else float(value) for value in known[name]]
        for name in known
    }
    return Curve(*key, [int(epoch) for epoch in frame.index], columns, phase)


def _frame(curves: Iterable[Curve]) -> pd.DataFrame:
    """Return the epochs of several trainings below each other."""
    frames = [
        pd.DataFrame({"epoch": curve.epoch, "seed": curve.seed, **curve.columns}, dtype=float)
        for curve in curves
    ]
    return pd.concat(frames, ignore_index=True).reindex(columns=["epoch", "seed", *_COLUMNS])


def _by_method(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """Return the trainings with an attack by method."""
    attacked = [curve for curve in curves if curve.attacked]
    return {
        method: [curve for curve in attacked if curve.method == method]
        for method in dict.fromkeys(curve.method for curve in attacked)
    }


def attack_curves(curves: Sequence[Curve]) -> list[Curve]:
    """Return one curve per method and training rows: means over seeds, extremes of all seeds."""
    merged = []
    for method, group in _by_method(curves).items():
        for split in dict.fromkeys(curve.split for curve in group):
            frame = _frame(curve for curve in group if curve.split == split)
            merged.append(
                _make_curve((method, split, None), frame.groupby("epoch").agg(_OVER_SEEDS))
            )
    return merged


def attack_sizes(curves: Sequence[Curve]) -> list[AttackSize]:
    """Return the size of the attack of each method."""
    sizes = []
    for method, group in _by_method(curves).items():
        frame = _frame(group)
        both = frame.loc[frame["gain_share"].notna(), ["attack_loss_gain", "adversarial_loss"]]
        gain, loss = (float(mean) for mean in both.mean()) if len(both) else (None, None)
        share = gain / loss if gain is not None and loss else None
        moved = float(frame["displacement_rms"].max())
        sizes.append(AttackSize(method, moved, gain, loss, share))
    return sizes


def describe_attack(size: AttackSize) -> str:
    """Say how far an attack moved the features and how much loss it gained."""
    if size.method == _CONTROL and not size.displacement:
        return f"{size.method}, the control, moves no features, as intended."
    text = (
        f"{size.method} moves features by up to {format_number(size.displacement)} standard "
        "deviations (root mean square of an epoch)"
    )
    if size.gain_share is not None:
        text += (
            f" and gains {format_number(size.gain)} of an adversarial loss of "
            f"{format_number(size.loss)} ({format_percent(size.gain_share)}, means over epochs)"
        )
    return f"{text}."


def attack_cautions(sizes: Sequence[AttackSize], curves: Sequence[Curve]) -> list[Caution]:
    """Name attacks that do nothing, other than that of the control, and selections before them."""
    found = []
    for size in sizes:
        if size.method != _CONTROL and (size.still or size.harmless):
            what = "hardly moves the rows" if size.still else "hardly raises the loss"
            text = f"The attack of {size.method} {what}: {describe_attack(size)}"
            found.append(Caution("care", text))
    early = dict.fromkeys(curve.method for curve in curves if curve.best_phase == "warm-up")
    if early:
        text = f"The selected parameters of {join_words(list(early))} come from the plain training "
        found.append(Caution("care", f"{text}of the warm-up, before the first attack."))
    return found


def draw_attacks(
    curves: Sequence[Curve], labels: dict[str, str], colours: dict[str, str]
) -> list[Panel]:
    """Draw displacement, loss gained, covariate weights and share of hard rows.

    `curves` are those of `attack_curves`. There are at most four panels per training; one without
    recorded numbers is left out.
    """
    panels = []
    fits = dict.fromkeys(curve.split for curve in curves)
    for fit in fits:
        # the first method is drawn last, on top of its control
        group = [curve for curve in reversed(curves) if curve.split == fit]
        place = "" if len(fits) == 1 else f"{labels.get(fit, fit)}: "
        epochs, shade = _epoch_axis(group)
        for draw in (_draw_displacement, _draw_gain, _draw_weights, _draw_hard_rows):
            found = draw(group, colours)
            if found is not None:
                title, note, data, y, yaxis, levels = found
                layout = make_layout(
                    _HEIGHT, "epoch", y, xaxis=epochs, yaxis=yaxis, shapes=shade + levels
                )
                panels.append(Panel(title, place + note, data, layout))
    return panels


Drawing = tuple[str, str, list[Figure], str, Figure, list[Figure]]
"""Title, note, traces, title of the y axis, y axis, levels."""


def _draw_displacement(curves: list[Curve], colours: dict[str, str]) -> Drawing:
    """Draw on a logarithmic axis with a floor, so that both 0 and large values are visible."""
    data, top = [], _FLOOR
    for key, what in (("displacement_max", "largest"), ("displacement_rms", "rms")):
        for curve in (curve for curve in curves if key in curve.columns):
            values = curve.columns[key]
            shown = [value if value is None else max(value, _FLOOR) for value in values]
            top = max(top, *(value for value in shown if value is not None))
            line = _line(curve, values, what, colours, thin=what == "largest", at="customdata")
            data.append(line | {"customdata": values, "y": shown})
    highest = max(math.ceil(math.log10(top)), 0)
    powers = range(round(math.log10(_FLOOR)), highest + 1)
    axis: Figure = {
        "type": "log",
        "range": [powers[0] - 0.1, highest + 0.1],
        "tickvals": [10.0**power for power in powers],
        "ticktext": [f"≤ {_FLOOR:g}", *(f"{10.0**power:g}" for power in powers[1:])],
    }
    levels = [draw_level(NO_OP_DISPLACEMENT, "y")]
    return "Displacement", "root mean square; thin: the largest", data, "sd", axis, levels


def _draw_gain(curves: list[Curve], colours: dict[str, str]) -> Drawing | None:
    relative = any("gain_share" in curve.columns for curve in curves)
    key = "gain_share" if relative else "attack_loss_gain"
    shown = [curve for curve in curves if key in curve.columns]
    if not shown:
        return None
    data = [_line(one, one.columns[key], "gained", colours, percent=relative) for one in shown]
    if not relative:
        note = "by the attack, same parameters"
        return "Loss gained", note, data, "loss", {"rangemode": "tozero"}, []
    values = [100.0 * v for curve in shown for v in curve.columns[key] if v is not None]
    # the axis shows ten times the level at least, or a no-op would fill the picture
    highest, lowest = max(1000.0 * NO_OP_GAIN, *values), min(0.0, *values)
    margin = 0.05 * (highest - lowest)
    axis: Figure = {"range": [lowest - margin, highest + margin]}
    levels = [draw_level(100.0 * NO_OP_GAIN, "y")]
    return "Loss gained", "share of the adversarial loss", data, "% of the loss", axis, levels


def _draw_weights(curves: list[Curve], colours: dict[str, str]) -> Drawing | None:
    data: list[Figure] = []
    known: list[float] = []
    for curve in curves:
        if {"weight_p10", "weight_p90"} <= set(curve.columns):
            data.append(_band(curve, colours))
        for key, what in (
            ("weight_min", "smallest weight"),
            ("weight_max", "largest weight"),
            ("weight_median", "median weight"),
        ):
            if key in curve.columns:
                thin = key != "weight_median"
                data.append(_line(curve, curve.columns[key], what, colours, thin=thin))
                known += [value for value in curve.columns[key] if value is not None]
    if not data:
        return None
    whole = any("weight_median" in curve.columns for curve in curves)
    note = "median, middle 80 %; thin: extremes" if whole else "smallest and largest"
    return "Covariate weights", note, data, "weight", scale_axis(known), []


def _draw_hard_rows(curves: list[Curve], colours: dict[str, str]) -> Drawing | None:
    shown = [curve for curve in curves if "hard_share" in curve.columns]
    if not shown:
        return None
    # methods of one recipe lie on each other: dashes show the one below
    dashes = ("solid", *["dash"] * len(shown))
    data = [
        _line(one, one.columns["hard_share"], "attacked", colours, percent=True, dash=dash)
        for one, dash in zip(shown, dashes, strict=False)
    ]
    note = "share of the rows in CAL steps"
    return "Hard rows", note, data, "% of the rows", {"range": [0, 105]}, []


def _line(
    curve: Curve,
    values: Values,
    what: str,
    colours: dict[str, str],
    *,
    thin: bool = False,
    percent: bool = False,
    dash: str = "solid",
    at: str = "y",
) -> Figure:
    factor, unit = (100.0, " %") if percent else (1.0, "")
    colour = colours.get(curve.method, INK)
    alone = sum(value is not None for value in values) == 1  # a line needs two points
    return {
        "type": "scatter",
        "mode": "markers" if alone else "lines",
        "x": curve.epoch,
        "y": [value if value is None else factor * value for value in values],
        "line": {"color": colour, "width": 0.9 if thin else 1.9, "dash": dash},
        "marker": {"color": colour, "size": 4 if thin else 7},
        "opacity": 0.75 if thin else 0.95,
        "hovertemplate": f"{curve.method}, {what}, epoch %{{x}}: %{{{at}:.3~g}}{unit}"
        "<extra></extra>",
    }


def _band(curve: Curve, colours: dict[str, str]) -> Figure:
    """Return the area between the 10 % and the 90 % quantile as one closed outline."""
    columns = zip(
        curve.epoch, curve.columns["weight_p10"], curve.columns["weight_p90"], strict=True
    )
    rows = [row for row in columns if None not in row]
    epochs = [row[0] for row in rows]
    colour = colours.get(curve.method, INK)
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return {
        "type": "scatter",
        "mode": "lines",
        "x": epochs + epochs[::-1],
        "y": [row[1] for row in rows] + [row[2] for row in rows[::-1]],
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},{_BAND_OPACITY})",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _epoch_axis(curves: list[Curve]) -> tuple[Figure, list[Figure]]:
    """Return an axis from the first epoch on, and a shade over those before the first attack."""
    epochs = [epoch for curve in curves for epoch in curve.epoch]
    first = min(
        epoch
        for curve in curves
        for epoch, value in zip(curve.epoch, curve.columns["displacement_rms"], strict=True)
        if value is not None
    )
    low, high = min(epochs), max(epochs)
    margin = 0.02 * (high - low) or 0.5
    shade: Figure = {
        "type": "rect",
        "xref": "x",
        "yref": "paper",
        "x0": low - margin,
        "x1": first,
        "y0": 0,
        "y1": 1,
        "fillcolor": _WARM_UP,
        "line": {"width": 0},
        "layer": "below",
    }
    return {"range": [low - margin, high + margin]}, [shade] if first > low else []
