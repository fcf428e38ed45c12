"""A truth of which 30 % is known as a bound alone is recovered from a table as a user has it."""

from __future__ import annotations

import numpy as np
import pytest

from xtalshift.data import clean_table, read_table
from xtalshift.model import fit
from xtalshift.uncertainty.settings import IntervalConfig

SLOPE = 2.0
TREES = {"n_estimators": 60, "learning_rate": 0.1, "num_leaves": 8, "loss": "squared"}


@pytest.fixture(scope="module")
def slopes(tmp_path_factory):
    """Return the slopes of fits to a table with 30 % of ``<limit``, by what becomes of them."""
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
    at = np.linspace(-1, 1, 21)
    for method, bounds in (
        ("ridge", "use"), ("ridge", "drop"), ("lightgbm", "tobit"), ("lightgbm", "drop"),
    ):  # fmt: skip
        data = clean_table(table, feature_cols=("x",), bounds=bounds, duplicates="keep")
        model = fit(
            data, method, features="fractions", intervals=IntervalConfig(method="none"),
            params=TREES if method == "lightgbm" else None, domain=False,
        )  # fmt: skip
        told = model.predict(["Li4000Na4001S"] * len(at), at[:, None]).prediction
        found[method, bounds] = np.polyfit(at, told, 1)[0]
    return found


@pytest.mark.parametrize("way", [("ridge", "use"), ("lightgbm", "tobit")])
def test_bounds_recover_the_slope_within_5_percent(slopes, way):
    assert slopes[way] == pytest.approx(SLOPE, rel=0.05)


@pytest.mark.parametrize("method", ["ridge", "lightgbm"])
def test_without_these_rows_it_is_more_than_15_percent_off(slopes, method):
    assert slopes[method, "drop"] < 0.85 * SLOPE
