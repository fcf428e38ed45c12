"""Write the figures of docs/which-method.md and its picture from stores of `xtalshift benchmark`.

    xtalshift benchmark auto-wins -o runs/auto-wins
    python tools/which_method.py runs/auto-wins [MORE ...]

A cell is a table, a split and a seed that every method (without, or with labels of the held-out
region) has finished. The error of a method is its
MAE on the held-out rows over that of the best single method of the cell, which nobody knows
beforehand; the mean over cells is geometric. `auto`, `adapt-auto` and the constant are no
candidates for the best. The second table is that of the methods with labels. Needs matplotlib,
which comes with pymatgen.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xtalshift.benchmark.store import RECORDS_FILE, read_records

mpl.use("Agg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
PAGE, PICTURE = DOCS / "which-method.md", DOCS / "images" / "which-method.png"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
LABELS_BEGIN, LABELS_END = "<!-- labels: begin -->", "<!-- labels: end -->"
NO_CANDIDATES = ("auto", "adapt-auto", "dummy")
SHIFTS = {
    "random": "random rows",
    "loco": "a cluster",
    "element": "an element",
    "sparse": "sparse chemistry",
    "tail": "the upper tail",
}
"""First part of the name of a split, and what it holds out."""
MORE = ("largest", "level with the best, or better", "top 5 % found", "processor seconds")
"""Other columns of the table."""
LEVEL = 1.02
"""Error over that of the best up to which a method is level with it."""


@dataclass(frozen=True)
class Figures:
    """Errors of every method in every cell."""

    methods: list[str]
    shifts: NDArray[np.str_]
    """Shape (cells,). First part of the name of the split."""
    tables: int
    sizes: list[str]
    """Numbers of training rows."""
    ratios: NDArray[np.float64]
    """Shape (methods, cells). Error over the best single method of the cell."""
    recalls: NDArray[np.float64]
    """Shape (methods,). Share of the 5 % largest targets of the test rows, in and out of
    distribution, that are among as many largest predictions; mean over the cells."""
    seconds: NDArray[np.float64]
    """Shape (methods,). Median processor seconds of a training and its predictions."""

    def mean(self, shift: str | None = None) -> NDArray[np.float64]:
        """Return the geometric mean over the cells of a shift, or of all, shape (methods,)."""
        chosen = np.ones(len(self.shifts), dtype=bool) if shift is None else self.shifts == shift
        return np.asarray(np.exp(np.log(self.ratios[:, chosen]).mean(axis=1)))


def read_figures(stores: list[Path], *, labels: bool = False) -> Figures | None:
    """Read the cells that all methods have finished, those with or without labels."""
    errors: dict[tuple[str, str, int, int], dict[str, float]] = defaultdict(dict)
    recalls: dict[tuple[str, str, int, int], dict[str, float]] = defaultdict(dict)
    seconds: dict[str, list[float]] = defaultdict(list)
    for store in stores:
        for record in read_records(store / RECORDS_FILE)[1].values():
            if record.status != "ok" or bool(record.budget) != labels:
                continue
            shift = record.split.partition("_")[0]
            role = "id" if shift == "random" else "ood"
            found = {one.role: one for one in record.results if one.variant == ""}
            cell = (record.data, record.split, record.fold, record.seed)
            errors[cell][record.name] = found[role].mae
            recalls[cell][record.name] = found["pool"].top5_recall
            seconds[record.name].append(record.cpu_seconds)
    methods = sorted({name for found in errors.values() for name in found})
    cells = [cell for cell, found in errors.items() if len(found) == len(methods)]
    if not cells or len(methods) == 1:
        return None
    mae = np.array([[errors[cell][name] for cell in cells] for name in methods])
    single = [place for place, name in enumerate(methods) if name not in NO_CANDIDATES]
    figures = Figures(
        methods,
        np.array([cell[1].partition("_")[0] for cell in cells]),
        len({cell[0] for cell in cells}),
        sorted({cell[1].partition("_")[2] for cell in cells}, key=int),
        mae / mae[single].min(axis=0),
        np.array([np.mean([recalls[cell][name] for cell in cells]) for name in methods]),
        np.array([np.median(seconds[name]) for name in methods]),
    )
    order = np.argsort(figures.mean())
    return Figures(
        [methods[place] for place in order], figures.shifts, figures.tables, figures.sizes,
        figures.ratios[order], figures.recalls[order], figures.seconds[order],
    )  # fmt: skip


def table(figures: Figures) -> str:
    """Return the table of the page."""
    shifts = [name for name in SHIFTS if name in figures.shifts]
    means = [figures.mean(), *(figures.mean(name) for name in shifts)]
    best = [np.sort(mean)[0] for mean in means]
    lines = [
        f"{len(figures.shifts)} cells: {figures.tables} tables, {len(shifts)} kinds of held-out",
        f"rows, {', '.join(figures.sizes)} training rows.",
        "",
        row(["method", "all", *(SHIFTS[name] for name in shifts), *MORE]),
        row(["---"] * (2 + len(shifts) + len(MORE))),
    ]
    for place, name in enumerate(figures.methods):
        values = [
            f"**{mean[place]:.2f}**" if mean[place] <= one else f"{mean[place]:.2f}"
            for mean, one in zip(means, best, strict=True)
        ]
        level = np.mean(figures.ratios[place] <= LEVEL)
        largest, recall = figures.ratios[place].max(), figures.recalls[place]
        values += [f"{largest:.2f}", f"{100 * level:.0f} %", f"{100 * recall:.0f} %"]
        seconds = figures.seconds[place]
        values += ["<1" if seconds < 1 else f"{seconds:.0f}"]
        lines.append(row([f"`{name}`", *values]))
    return "\n".join(lines)


def row(cells: list[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


DARK = 1.25
"""Error from which the colours are so dark that numbers on them are white."""


def draw(figures: Figures, out: Path) -> None:
    """Draw the errors by method and shift."""
    shifts = [name for name in SHIFTS if name in figures.shifts]
    names = [name for name in figures.methods if name != "dummy"]
    rows = [figures.methods.index(name) for name in names]
    values = np.stack([figures.mean(name)[rows] for name in shifts], axis=1)
    figure, axis = plt.subplots(figsize=(8.5, 0.45 * len(names) + 1.6))
    axis.imshow(np.log(values), cmap="RdYlBu_r", vmin=np.log(0.7), vmax=np.log(1.43), aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        colour = "black" if value < DARK else "white"
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=10, color=colour)
    axis.set_xticks(range(len(shifts)), [SHIFTS[name] for name in shifts])
    axis.set_yticks(range(len(names)), names)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    axis.set_xlabel(
        "Error over that of the best single method of each case, which is known only afterwards.\n"
        "What is held out stands above; blue is better."
    )
    figure.tight_layout()
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110)
    with Image.open(drawn) as image:  # few colours: a quarter of the bytes
        image.convert("RGB").quantize(48).save(out, optimize=True)


def main() -> None:
    """Write the table into the page, and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    figures = read_figures(options.stores)
    if figures is not None:
        write(options.page, BEGIN, END, table(figures))
        draw(figures, options.picture)
    figures = read_figures(options.stores, labels=True)
    if figures is not None:
        write(options.page, LABELS_BEGIN, LABELS_END, table(figures))


def write(page: Path, begin: str, end: str, text: str) -> None:
    """Write a table into its place on the page."""
    head, _, rest = page.read_text().partition(begin)
    tail = rest.partition(end)[2]
    page.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


if __name__ == "__main__":
    main()
