import numpy as np
import pandas as pd
import pytest

from xtalshift.report import build_run_report
from xtalshift.report.run.samples import POINTS_PER_PANEL, map_panels, spread_rows


@pytest.mark.parametrize(("count", "most"), [(0, 5), (5, 5), (6, 5), (1001, 10)])
def test_thinned_rows_are_distinct_and_keep_both_ends(count, most):
    rows = spread_rows(count, most)
    assert len(set(rows)) == len(rows) == min(count, most)
    if count:
        assert (rows[0], rows[-1]) == (0, count - 1)


@pytest.mark.parametrize(
    ("held_out", "shown"), [(10, (1490, 10)), (2500, (750, 750)), (4800, (200, 1300))]
)
def test_a_map_keeps_the_smaller_class_whole_or_fills_half(held_out, shown):
    size = 5000
    table = pd.DataFrame({"formula": "NaCl", "pc1": np.arange(size), "pc2": 1.0 * np.arange(size)})
    table["in_tail"] = table.index < held_out
    (panel,) = map_panels(table, ["tail", "absent"])
    parts = panel.roles
    assert (len(parts["id"].x), len(parts["ood"].x)) == shown
    assert (parts["id"].n, parts["ood"].n) == (size - held_out, held_out)
    assert sum(shown) == POINTS_PER_PANEL
    assert max(parts["ood"].x) == held_out - 1


def test_parity_shows_measured_and_predicted_of_the_first_seed(folder):
    panels = build_run_report(folder).parity
    assert [(p.split, p.method, p.seed) for p in panels[:3]] == [
        ("random", "erm", 0),
        ("random", "cal", 0),
        ("tail", "erm", 0),
    ]
    assert panels[2].roles["ood"].x == [0.0, 1.0, 2.0, 3.0]
    assert panels[2].roles["ood"].y == [0.5, 1.5, 2.5, 3.5]


def test_training_targets_are_those_in_no_test_part(folder):
    panels = {panel.split: panel.parts for panel in build_run_report(folder).histograms}
    assert {name: part.n for name, part in panels["random"].items()} == {"train": 10, "id": 4}
    assert {name: part.n for name, part in panels["tail"].items()} == {
        "train": 9,
        "id": 4,
        "ood": 4,
    }
    for parts in panels.values():
        for part in parts.values():
            assert sum(part.share) == pytest.approx(1.0, abs=1e-4)  # five digits each


def test_splits_of_one_training_share_id_and_training_rows(results, rewrite, folder, predictions):
    for split in results["splits"]:
        split["fit"] = "all"
    rewrite(results)
    shared = (predictions["role"] == "id") & (predictions["split"] != "random")
    predictions[~shared].to_parquet(folder / "predictions.parquet")
    report = build_run_report(folder)
    tail = next(panel for panel in report.parity if panel.split == "tail")
    assert {role: part.n for role, part in tail.roles.items()} == {"id": 4, "ood": 4}
    # 12 rows, less 3 of tail and 2 of oxides, which are ID rows too
    assert [panel.parts["train"].n for panel in report.histograms] == [7, 7, 7]
    assert [panel.parts["id"].n for panel in report.histograms] == [4, 4, 4]


def test_without_tables_there_are_no_pictures(folder):
    (folder / "map.parquet").unlink()
    report = build_run_report(folder)
    assert report.maps == []
    assert "train" not in report.histograms[0].parts
    (folder / "predictions.parquet").unlink()
    report = build_run_report(folder)
    assert report.parity == report.histograms == []
