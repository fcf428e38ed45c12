"""Draw the pictures of docs/concepts: docs/images/concept-*.png.

    python tools/draw_concepts.py [NAME ...]

`shifts` and `attack` are sketches in one dimension; the rows of `attack` are moved by the attack of
the package. `flatter` shows what evaluation.json of the ready models says, `coverage` a table of
docs/science/uncertainty.md, `interval` and `domain` the ready model of the shear modulus. Needs
matplotlib, which comes with pymatgen.
"""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOCS = Path(__file__).parent.parent / "docs"
GREY, PURPLE, BLUE, ORANGE = "#8a939b", "#8e2a7f", "#2563a8", "#c96a1b"
plt.rcParams.update(
    {
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11.5,
        "axes.titleweight": "bold",
        "legend.frameon": False,
    }
)
Floats = NDArray[np.float64]
SHARES = (0.7, 0.15, 0.15)
"""Of the rows that train, that rank scores, and that are scored."""


def shifts() -> Figure:
    """Sketch the three kinds of shift in one feature x and one target y."""
    rng = np.random.default_rng(3)
    figure, axes = plt.subplots(1, 4, figsize=(12.4, 3.3), sharex=True, sharey=True)
    x = rng.normal(-0.6, 0.55, 90)
    line = np.linspace(-2.2, 2.6, 200)
    panels: list[tuple[str, str, Floats, Callable[[Floats], Floats]]] = [
        ("No shift", "new materials like the known", rng.normal(-0.6, 0.55, 30), _relation),
        ("Covariate shift", "other compositions, P(x)", rng.normal(1.5, 0.35, 30), _relation),
        ("Prior shift", "other values, P(y)", _high(rng), _relation),
        (
            "Relation shift",
            "another law, P(y | x)",
            rng.normal(-0.4, 0.5, 30),
            lambda v: _relation(v) - 1.1 - 0.5 * v,
        ),
    ]
    for axis, (title, says, new, law) in zip(axes, panels, strict=True):
        axis.plot(line, _relation(line), color=GREY, lw=1, ls=":")
        axis.scatter(x, _relation(x) + rng.normal(0, 0.16, len(x)), s=12, color=GREY, lw=0)
        axis.scatter(new, law(new) + rng.normal(0, 0.16, len(new)), s=18, color=PURPLE, lw=0)
        axis.set(title=title, xlabel=says, xticks=[], yticks=[])
    axes[0].set_ylabel("property y")
    axes[0].legend(["the law", "known", "to predict"], loc="lower right", fontsize=9)
    figure.tight_layout()
    return figure


def _relation(x: Floats) -> Floats:
    return np.asarray(np.tanh(1.1 * x) + 0.35 * x)


def _high(rng: np.random.Generator) -> Floats:
    x = rng.normal(-0.2, 0.8, 900)
    return x[_relation(x) > np.quantile(_relation(x), 0.965)][:30]


def flatter() -> Figure:
    """Show error and coverage of the ready models by what judges them."""
    from xtalshift.model.ready import get_recipe, list_recipes
    from xtalshift.model.ready.evaluation import read_evaluation

    def mean(folds: tuple[Any, ...], value: str) -> float:
        return float(np.mean([getattr(one, value) for one in folds]))

    found: dict[str, dict[str, tuple[float, float]]] = {}
    for name in list_recipes():
        evaluation = read_evaluation(get_recipe(name).folder)
        if evaluation is not None:
            folds = {part: evaluation.of(part) for part in ("random", "sparse", "cluster")}
            found[name] = {
                part: (mean(those, "error") / mean(those, "dummy_error"), mean(those, "coverage"))
                for part, those in folds.items()
            }
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.2), sharey=True)
    looks = {"random": (GREY, "o"), "sparse": (BLUE, "s"), "cluster": (PURPLE, "D")}
    names = list(found)[::-1]
    for place, (axis, title) in enumerate(
        zip(axes, ["Error over that of the mean", "Coverage of 90 % intervals"], strict=True)
    ):
        for part, (colour, marker) in looks.items():
            values = [found[name][part][place] for name in names]
            axis.scatter(values, range(len(names)), s=46, color=colour, marker=marker, zorder=3)
        for row, name in enumerate(names):
            ends = [found[name][part][place] for part in looks]
            axis.plot([min(ends), max(ends)], [row, row], color="#d5d9dd", lw=2, zorder=1)
        axis.set(title=title, yticks=range(len(names)), yticklabels=names)
        axis.grid(axis="x", color="#eceff1")
    axes[0].axvline(1, color=ORANGE, lw=1, ls="--")
    axes[1].axvline(0.9, color=ORANGE, lw=1, ls="--")
    axes[1].xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0))
    axes[0].legend(
        ["random rows", "sparse chemistry", "whole clusters"], loc="lower right", fontsize=9
    )
    for name in names:
        random, cluster = (found[name][part][0] for part in ("random", "cluster"))
        print(f"{name}: error on clusters {cluster / random:.2f} times that on random rows")
    figure.tight_layout()
    return figure


def coverage() -> Figure:
    """Show the first of the coverage tables of docs/science/uncertainty.md."""
    page = (DOCS / "science/uncertainty.md").read_text(encoding="utf-8")
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if re.match(r"\| (mp_gap|shear|expt_gap) \| (random|tilt|covariate|prior|family) \|", line)
    ]
    shown = {"random": "random rows", "tilt": "tilt (overlap)", "covariate": "sparse chemistry",
             "prior": "upper tail", "family": "new family"}  # fmt: skip
    looks = [(2, "plain", GREY, "o"), (4, "weighted", BLUE, "s"), (6, "128 labels", PURPLE, "D")]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), sharey=True)
    for axis, table in zip(axes, ("mp_gap", "shear", "expt_gap"), strict=True):
        rows = {cells[1]: cells for cells in lines if cells[0] == table}
        for column, name, colour, marker in looks:
            points = [
                (place, float(rows[shift][column].split(" ")[0]))
                for place, shift in enumerate(shown)
                if rows[shift][column]
            ]
            axis.plot(
                *zip(*points, strict=True), color=colour, marker=marker, ms=7, lw=0, label=name
            )
        axis.axhline(90, color=ORANGE, lw=1, ls="--")
        axis.set(title=table, ylim=(0, 104), xlim=(-0.5, 4.5), xticks=range(5))
        axis.set_xticklabels(shown.values(), rotation=28, ha="right", fontsize=9.5)
        axis.grid(axis="y", color="#eceff1")
    axes[0].set_ylabel("targets inside, %")
    axes[0].legend(loc="lower left", fontsize=9)
    figure.tight_layout()
    return figure


def attack() -> Figure:
    """Sketch rows that the attack moves, and what a budget and a cost for each feature allow."""
    import torch

    from xtalshift.cal.attack import attack as move
    from xtalshift.cal.settings import CALConfig
    from xtalshift.cal.weights import CALState
    from xtalshift.nn.rows import Rows

    torch.manual_seed(0)
    rng = np.random.default_rng(1)

    class Surface(torch.nn.Module):
        """A prediction of one feature, or of two, that is no longer right at its edges."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(1.6 * x).sum(dim=-1)

    def moved(x: Floats, y: Floats, weights: list[float], gamma: float) -> Floats:
        rows = Rows(torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64))
        config = CALConfig.from_dict(
            {"attack_steps": 20, "attack_step_size": 0.1, "epsilon": 0.45, "ball": "l2"}
        )
        state = CALState(
            torch.tensor(weights, dtype=torch.float64),
            torch.zeros(len(weights), dtype=torch.bool),
            torch.tensor(gamma, dtype=torch.float64),
        )
        return move(Surface().double(), rows, state, config).rows.x.numpy()

    figure, axes = plt.subplots(1, 3, figsize=(12.4, 3.8))
    line = np.linspace(-2, 2, 200)
    x = np.linspace(-1.5, 1.5, 9)[:, None]
    y = np.tanh(1.6 * x[:, 0]) + rng.normal(0, 0.28, len(x))
    there = moved(x, y, [1.0], 0.0)
    axes[0].plot(line, np.tanh(1.6 * line), color=BLUE, lw=1.5, label="prediction")
    axes[0].scatter(x, y, s=34, color=GREY, zorder=3, label="training rows")
    axes[0].scatter(there, y, s=34, color=PURPLE, zorder=3, label="after the attack")
    for start, end, height in zip(x[:, 0], there[:, 0], y, strict=True):
        _arrow(axes[0], (start, height), (end, height))
    axes[0].set(title="Each row keeps its target and moves", xlabel="a feature", ylabel="target")
    axes[0].legend(loc="upper left", fontsize=9)

    points = rng.uniform(-1.3, 1.3, (16, 2))
    targets = np.tanh(1.6 * points).sum(axis=1) + rng.normal(0, 0.5, len(points))
    for axis, weights, gamma, title in (
        (axes[1], [1.0, 1.0], 0.0, "free inside the budget"),
        (axes[2], [12.0, 0.3], 0.35, "costly in x1, cheap in x2"),
    ):
        ends = moved(points, targets, weights, gamma)
        grid = np.stack(np.meshgrid(np.linspace(-2, 2, 80), np.linspace(-2, 2, 80)), axis=-1)
        axis.contour(
            grid[..., 0],
            grid[..., 1],
            np.tanh(1.6 * grid).sum(-1),
            9,
            colors="#d5d9dd",
            linewidths=0.8,
        )
        axis.scatter(*points.T, s=26, color=GREY, zorder=3)
        axis.scatter(*ends.T, s=26, color=PURPLE, zorder=3)
        for start, end in zip(points, ends, strict=True):
            _arrow(axis, start, end)
        axis.set(title=title, xlabel="feature x1", ylabel="feature x2", aspect="equal")
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    figure.tight_layout()
    return figure


def _arrow(axis: Axes, start: Floats, end: Floats) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-", "color": PURPLE, "lw": 1.1})


def interval() -> Figure:
    """Show how the errors on calibration rows become the width of the intervals."""
    from xtalshift.model import load_model

    model = load_model("shear-modulus")
    scores = np.sort(np.asarray(model.calibration.scores, dtype=np.float64))
    place = int(np.ceil(0.9 * (len(scores) + 1))) - 1
    figure, axis = plt.subplots(figsize=(7.6, 3.5))
    bins = np.linspace(0, np.quantile(scores, 0.995), 60)
    axis.hist(scores[: place + 1], bins, color=GREY)
    axis.hist(scores[place + 1 :], bins, color=PURPLE)
    axis.axvline(scores[place], color=ORANGE, lw=1.5)
    axis.annotate(
        "90 % of the calibration rows\nhave a smaller error: this\nis half the width",
        (scores[place], axis.get_ylim()[1] * 0.55),
        xytext=(12, 0),
        textcoords="offset points",
        fontsize=10,
    )
    axis.set(
        xlabel="error of a row that the model was not trained on (scale of the model)",
        ylabel="rows",
        yticks=[],
    )
    figure.tight_layout()
    return figure


def domain() -> Figure:
    """Show the OOD scores of known-like materials and of compounds of an element never seen."""
    import xtalshift as xs
    from xtalshift.domain.applicability import ApplicabilityDomain

    data = xs.clean_table(xs.load_dataset("ricci_seebeck"))
    rng = np.random.default_rng(0)
    data = data.take(rng.permutation(len(data))[:6000])
    features = xs.CompositionFeaturizer().transform(data.materials.compositions)
    formulas = np.asarray(data.formulas)
    bromine = np.array([bool(re.search(r"Br(?![a-z])", text)) for text in formulas])
    part = np.where(
        bromine, "bromine", rng.choice(["train", "held", "test"], len(formulas), p=SHARES)
    )
    train, held, test = (part == name for name in ("train", "held", "test"))
    names = [f"x{place}" for place in range(features.shape[1])]
    found = ApplicabilityDomain.fit(
        features[train], data.y[train], list(formulas[train]), features[held], feature_names=names
    )
    figure, axis = plt.subplots(figsize=(7.6, 3.5))
    bins = np.linspace(0, 1, 26)
    for rows, colour, label in (
        (test, GREY, "random rows"),
        (bromine, PURPLE, "bromides; no bromine in training"),
    ):
        scores = found.assess(features[rows]).ood_score
        axis.hist(
            scores, bins, density=True, color=colour, alpha=0.75, label=f"{label} ({len(scores)})"
        )
    axis.axvline(found.threshold_.threshold, color=ORANGE, lw=1.5, label="limit of the domain")
    axis.set(xlabel="OOD score", ylabel="share of the rows", yticks=[])
    axis.legend(loc="upper left", fontsize=9.5)
    figure.tight_layout()
    return figure


PICTURES = {one.__name__: one for one in (shifts, flatter, coverage, attack, interval, domain)}


def main() -> None:
    """Draw the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*PICTURES, []], default=list(PICTURES))
    for name in parser.parse_args().names:
        figure = PICTURES[name]()
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=120)
        with Image.open(drawn) as image:  # few colours: a quarter of the bytes
            path = DOCS / "images" / f"concept-{name}.png"
            image.convert("RGB").quantize(64).save(path, optimize=True)
        print(path)


if __name__ == "__main__":
    main()
