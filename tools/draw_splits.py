"""Draw what each scheme holds out of one table, with its audit labels: docs/images/splits.png.

    python tools/draw_splits.py [TABLE] [--target COLUMN] [--out FILE]

One panel per scheme, in the first two principal components of the standardised features. The
labels and figures are those of `xtalshift audit`. Needs matplotlib, which comes with pymatgen.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from xtalshift.data.readers import read_configured
from xtalshift.data.settings import DataConfig
from xtalshift.jobs.split import prepare_rows
from xtalshift.splits import (
    CovariateSplit,
    FamilySplit,
    FarthestPointSplit,
    GroupedSplit,
    LOCOSplit,
    PriorSplit,
    RandomSplit,
    SparseXSplit,
)
from xtalshift.splits.audit.fold_audit import audit_split
from xtalshift.splits.feature_space import embed

mpl.use("Agg")
from matplotlib import pyplot as plt

SCHEMES = {
    "random 20 %": RandomSplit(0.2, 0),
    "grouped: whole chemical systems": GroupedSplit("chemsys"),
    "family: contains F": FamilySplit("F"),
    "LOCO: one of 10 clusters": LOCOSplit(10),
    "covariate: the 10 % most isolated": CovariateSplit(),
    "farthest: a region of 10 %": FarthestPointSplit(),
    "SparseX: 11 isolated formulas": SparseXSplit(),
    "prior: the 10 % highest targets": PriorSplit(),
}
_TRAIN, _TEST = "#9aa3ab", "#8e2a7f"


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="?", default="ricci_seebeck")
    parser.add_argument("--target")
    parser.add_argument("--out", type=Path, default=Path("docs/images/splits.png"))
    options = parser.parse_args()
    data = DataConfig(dataset=options.table, target=options.target)
    rows = prepare_rows(read_configured(data, need_target=True), data, {"X", "y"}).usable
    points = embed(rows.X, 2)
    low, high = np.quantile(points, [0.001, 0.999], axis=0)
    figure, axes = plt.subplots(2, 4, figsize=(13, 7), sharex=True, sharey=True)
    for (name, splitter), axis in zip(SCHEMES.items(), axes.flat, strict=True):
        fold = next(splitter.folds(rows))
        (found,) = audit_split([fold], rows).folds
        for part, colour in ((fold.train, _TRAIN), (fold.test, _TEST)):
            size = 1.5 if len(part) > 100 else 14  # noqa: PLR2004
            axis.scatter(*points[part].T, s=size, c=colour, linewidths=0, rasterized=True)
        auc = "-" if found.auc is None else f"{found.auc:.2f}"
        axis.set_title(f"{name}\n{', '.join(found.labels)}", fontsize=10)
        axis.set_xlabel(
            f"AUC {auc}   distance {found.distance_ratio:.2f}   W1/sd {found.wasserstein:.2f}",
            fontsize=9,
        )
        axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
    figure.suptitle(
        f"{options.table}: held-out rows (purple) in two principal components of the features",
        fontsize=12,
    )
    figure.tight_layout()
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110)
    with Image.open(drawn) as image:  # few colours: a quarter of the bytes
        image.convert("RGB").quantize(48).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
