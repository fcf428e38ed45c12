"""A truth of which 30 % is known as a bound alone is recovered from a table as a user has it."""

from __future__ import annotations

import numpy as np
import pytest

from xtalshift.data import clean_table, read_table
from xtalshift.model import fit
from xtalshift.uncertainty.settings import IntervalConfig

SLOPE = 2.0


@pytest.fixture(scope="module")
def slopes(tmp_path_factory):
    """Return the slopes of fits to a table with 30 % of ``<limit``: those used, and dropped."""
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, 3000)
    y = 1 + SLOPE * x + rng.normal(0, 1, len(x))
    limit = np.quantile(y, 0.3)
    path = tmp_path_factory.mktemp("censored") / "table.csv"
    cells = [f"<{limit:.4f}" if value < limit else f"{value:.4f}" for value in y]
    lines = (
        f"Li{1000 + n}Na{7001 - n}S,{a:.6f},{cell}"
        for n, (a, cell) in enumerate(zip(x, cells, strict=True))
    )
    path.write_text("\n".join(["formula,x,y", *lines]) + "\n")
    table = read_table(path, target="y")
    found = {}
    for bounds in ("use", "drop"):
        data = clean_table(table, feature_cols=("x",), bounds=bounds, duplicates="keep")
        model = fit(
            data, "ridge", features="fractions", intervals=IntervalConfig(method="none"),
            domain=False,
        )  # fmt: skip
        low, high = model.predict(["Li4000Na4001S"] * 2, [[-1.0], [1.0]]).prediction
        found[bounds] = (high - low) / 2
    return found


def test_bounds_that_are_used_recover_the_slope_within_5_percent(slopes):
    assert slopes["use"] == pytest.approx(SLOPE, rel=0.05)


def test_without_these_rows_it_is_more_than_15_percent_off(slopes):
    assert slopes["drop"] < 0.85 * SLOPE
