import math

import pandas as pd
import pytest

from xtalshift.report import build_run_report as build
from xtalshift.report.run.run_page import render_run
from xtalshift.report.run.run_summary import typical_factors
from xtalshift.report.run.sections import build_figures, make_sections
from xtalshift.report.shared.text import Caution


def cell(report, method, split):
    row = next(row for row in report.rows if row.method == method)
    columns = [column.split for column in report.columns]
    return row.cells[columns.index(split)]


def column(report, split):
    return next(column for column in report.columns if column.split == split)


def texts(report):
    return [item.text for item in report.cautions]


def test_columns_begin_in_distribution_and_rows_with_the_dummy(folder):
    report = build(folder)
    assert [(c.split, c.role) for c in report.columns] == [
        ("random", "id"),
        ("tail", "ood"),
        ("oxides", "ood"),
    ]
    assert [row.method for row in report.rows] == ["dummy", "erm", "cal"]
    assert report.results.n_seeds == 2
    assert (report.results.target, report.results.unit) == ("gap", "eV")


def test_a_split_listed_with_its_id_rows_is_still_out_of_distribution(results, rewrite, folder):
    inside = [split | {"role": "id", "n_test": 7} for split in results["splits"]]
    results["splits"] = inside + results["splits"]
    rewrite(results)
    columns = build(folder).columns
    assert [(c.split, c.role) for c in columns] == [
        ("random", "id"),
        ("tail", "ood"),
        ("oxides", "ood"),
    ]
    assert (columns[1].n_train, columns[1].n_val, columns[1].n_test) == (400, 50, 60)


def test_cells_equal_hand_computed_values(folder):
    found = cell(build(folder), "cal", "oxides")
    assert found.mae == 6.0  # of 7 and 5
    assert found.mae_sd == pytest.approx(2**0.5)
    assert found.mae_over_dummy == pytest.approx(6 / 16)
    assert found.id_mae == 4.0
    assert found.gap == 1.5
    assert found.rmse == 12.0
    assert (found.seeds, found.failed) == (2, 0)
    assert not found.worse_than_dummy
    assert cell(build(folder), "erm", "random").gap is None


def test_a_method_that_loses_to_the_constant_is_marked_and_the_constant_wins(folder):
    report = build(folder)
    assert cell(report, "erm", "tail").worse_than_dummy
    assert not cell(report, "dummy", "tail").worse_than_dummy
    assert column(report, "tail").winner == "dummy"
    assert column(report, "tail").dummy_error == 20.0
    assert report.cautions[0] == Caution(
        "stop", "On tail, no method beats the constant: do not use these predictions."
    )


def test_smallest_error_runner_up_and_adversarial_gain(folder):
    report = build(folder)
    oxides = column(report, "oxides")
    assert (oxides.best.method, oxides.winner) == ("cal", "cal")
    assert oxides.runner_up.second == "erm"
    assert oxides.runner_up.change == pytest.approx(12 / 18 - 1)
    assert (oxides.runner_up.wins, oxides.runner_up.seeds) == (2, 2)
    (gain,) = report.gains  # there is no control
    assert gain.label == "cal against erm"
    assert [pair.change for pair in gain.cells] == pytest.approx([0.2, 0.0, 12 / 18 - 1])
    assert [pair.wins for pair in gain.cells] == [0, 1, 2]


def test_the_control_is_compared_first_and_its_attack_is_no_fault(with_control, rewrite, folder):
    rewrite(with_control)
    report = build(folder)
    assert [(row.label, row.note) for row in report.gains] == [
        ("cal against cal-eps0", "the attack alone"),
        ("cal against erm", "the attack and its recipe"),
    ]
    assert [pair.change for pair in report.gains[0].cells] == pytest.approx([-0.25] * 3)
    with_control["histories"] = with_control["histories"][1:]  # only the control
    rewrite(with_control)
    assert not any("attack" in text for text in texts(build(folder)))


def test_a_no_op_attack_of_cal_is_named_beside_its_control(with_control, rewrite, folder):
    with_control["histories"][0]["epochs"][-1]["displacement_rms"] = 0.0004
    with_control["histories"][1]["epochs"][0]["displacement_rms"] = 0.5
    rewrite(with_control)
    assert any("4.00e-04 standard deviations" in text for text in texts(build(folder)))


def test_a_lead_on_every_seed_needs_three_of_them_and_no_exception(three_seeds, rewrite, folder):
    assert [column.every_seed for column in build(folder).columns] == [False] * 3
    rewrite(three_seeds)
    report = build(folder)
    assert [column.every_seed for column in report.columns] == [True, False, True]
    assert report.verdict.startswith(
        "In distribution, erm has the smallest mean absolute error on every seed: 4.67 eV, "
        "53 % below a constant. "
        "Out of distribution, cal has the smallest error on every seed of oxides, with"
    )
    third = [r for r in three_seeds["records"] if (r["method"], r["seed"]) == ("erm", 0)]
    # a third method, the last on average, that leads on one seed
    three_seeds["records"] += [
        record | {"method": "x", "seed": seed, "mae": mae}
        for record in third
        for seed, mae in enumerate((1.0, 99.0, 99.0))
    ]
    rewrite(three_seeds)
    assert [column.every_seed for column in build(folder).columns] == [False] * 3


def test_the_verdict_says_smallest_error_growth_and_constant(folder):
    assert build(folder).verdict == (
        "In distribution, erm has the smallest mean absolute error: 5.00 eV, "
        "50 % below a constant. "
        "Out of distribution, cal has the smallest error on oxides, with 1.5 times the error of "
        "the same method in distribution. No method beats the constant on tail."
    )


def test_the_verdict_of_a_clear_win(results, rewrite, folder):
    for record in results["records"]:
        if record["method"] == "cal" and record["split"] == "tail" and record["role"] == "ood":
            record |= {"mae": 10.0, "mae_over_dummy": 0.5}
    rewrite(results)
    assert build(folder).verdict.endswith(
        "Out of distribution, cal has the smallest error on every shift, with 1.5 to 2.0 times the "
        "error of the same method in distribution; each beats the constant."
    )


def test_the_verdict_tells_sure_leads_from_others(three_seeds, rewrite, folder):
    def set_tail(errors):
        for record in three_seeds["records"]:
            if (record["method"], record["split"], record["role"]) == ("cal", "tail", "ood"):
                record |= {"mae": errors[record["seed"]], "mae_over_dummy": 0.5}
        rewrite(three_seeds)
        return build(folder).verdict

    assert "cal has the smallest error on every seed of every shift, with" in set_tail([9, 9, 9])
    assert "cal has the smallest error on every shift, with" in set_tail([9, 9, 30])


def test_variants_stay_out_of_the_headline(folder):
    report = build(folder)
    assert "cal:ema" not in [row.method for row in report.rows]
    assert column(report, "random").best.method == "erm"  # although cal:ema is smaller
    assert 1.0 in [c.mae for c in report.cells if c.method == "cal:ema"]


def test_one_seed_has_no_spread(results, rewrite, folder):
    results["records"] = [record for record in results["records"] if record["seed"] == 0]
    rewrite(results)
    report = build(folder)
    assert cell(report, "cal", "oxides").mae_sd is None
    assert any(text.startswith("There is only one seed") for text in texts(report))


def test_a_failed_run_is_listed_counted_and_loses_to_complete_methods(results, rewrite, folder):
    for record in results["records"]:
        if (record["method"], record["split"], record["seed"]) == ("cal", "oxides", 0):
            record |= {"status": "failed", "reason": "loss is not finite", "mae": None}
    rewrite(results)
    report = build(folder)
    found = cell(report, "cal", "oxides")
    assert (found.mae, found.seeds, found.failed) == (5.0, 1, 1)
    assert column(report, "oxides").best.method == "erm"
    assert [
        [(one.method, one.seed, one.split, one.reason) for one in group]
        for group in report.failures
    ] == [[("cal", 0, "oxides", "loss is not finite")] * 2]
    assert "Some runs of cal failed; the list of failures gives the reasons." in texts(report)


def test_a_no_op_attack_is_named(results, rewrite, folder):
    results["histories"][0]["epochs"][-1]["displacement_rms"] = 0.0004
    rewrite(results)
    report = build(folder)
    assert report.curves[0].last("displacement_rms") == 0.0004
    assert any("4.00e-04 standard deviations" in text for text in texts(report))


@pytest.mark.parametrize(("epoch", "named"), [(0, True), (1, False), (None, False)])
def test_a_selection_before_the_first_attack_is_named(results, rewrite, folder, epoch, named):
    results["histories"][0] |= {"best_epoch": epoch}
    results["histories"][0]["epochs"][0]["phase"] = "warm-up"
    rewrite(results)
    found = [text for text in texts(build(folder)) if "warm-up" in text]
    assert len(found) == named
    if named:
        assert found[0].startswith(
            "The selected parameters of cal come from the plain training of the warm-up"
        )


def test_the_caution_about_duplicates_says_what_was_measured(results, rewrite, folder):
    assert (
        "Before merging, rows of equal composition and feature columns (12 groups) lay 0.250 eV "
        "from the mean of their group, on average. The errors here refer to merged targets (mean "
        "of each group) and do not include this scatter; before merging, no model could have an "
        "error below 0.0100 eV over all rows."
    ) in texts(build(folder))
    results["cleaning"]["duplicates"] = "keep"
    rewrite(results)
    assert (
        "Rows of equal composition and feature columns (12 groups) lie 0.250 eV from the mean of "
        "their group, on average. No model can explain this scatter: its mean absolute error over "
        "all rows is at least 0.0100 eV."
    ) in texts(build(folder))


def test_an_error_above_that_of_the_test_mean_is_named(results, rewrite, folder):
    for record in results["records"]:
        if record["split"] == "oxides":
            record["r2"] = -0.9 if record["method"] == "dummy" else -2.5
    rewrite(results)
    found = [text for text in texts(build(folder)) if "R²" in text]
    assert len(found) == 1
    assert found[0].startswith("On oxides, the smallest error has R² = −2.50")


def test_curves_become_columns_with_gaps(folder):
    (curve,) = build(folder).curves
    assert curve.epoch == [0, 1]
    assert curve.columns["val_mae"] == [9.0, 6.0]
    assert curve.columns["displacement_rms"] == [None, 0.2]
    assert "weight_max" not in curve.columns


def test_costs_are_means_over_runs(folder):
    costs = {row.method: row.seconds for row in build(folder).rows}
    assert costs == {"dummy": 3.5, "erm": 3.5, "cal": 3.5}


def set_record(results, method, split, role, **values):
    for record in results["records"]:
        if (record["method"], record["split"], record["role"]) == (method, split, role):
            record |= values


def test_r2_of_a_tail_far_from_the_training_mean_is_no_headline(results, rewrite, folder):
    # the constant is 3 sd of the test rows from their mean: R² = -9
    set_record(results, "dummy", "oxides", "ood", r2=-9.0)
    set_record(results, "cal", "oxides", "ood", r2=-4.0)
    rewrite(results)
    report = build(folder)
    found = column(report, "oxides")
    assert found.distance == 3.0
    assert found.r2_says_nothing
    assert not column(report, "random").r2_says_nothing
    assert (
        "On oxides, the mean of the test rows is 3.0 of their standard deviations from the "
        "training mean, so R² says nothing about a model: compare with the constant."
    ) in texts(report)
    assert not any("R² = " in text for text in texts(report))
    page = render_run(report)
    assert "R² = −4" not in page
    assert "R² = 0.500" in page


@pytest.mark.parametrize(
    ("constant", "mae", "relative", "expected"),
    [
        (2.0, 1.2, 0.6, "only"),  # relative to the constant 0.6, in distribution 0.5
        (5.0, 1.5, 0.3, "in part"),  # half the values, but also a better model
        (9.5, 2.0, 0.21, ""),
        (16.0, 6.0, 0.375, ""),  # the error is larger
    ],
)
def test_an_error_that_is_smaller_since_the_values_are(
    results, rewrite, folder, constant, mae, relative, expected
):
    set_record(results, "dummy", "oxides", "ood", mae=constant)
    set_record(results, "dummy", "oxides", "id", mae=10.0)
    set_record(results, "cal", "oxides", "ood", mae=mae, mae_over_dummy=relative)
    set_record(results, "erm", "oxides", "ood", mae=20.0, mae_over_dummy=2.0)
    set_record(results, "cal", "oxides", "id", mae=4.0, mae_over_dummy=0.5)
    rewrite(results)
    report = build(folder)
    found = [text for text in texts(report) if "On oxides, the error is smaller" in text]
    if not expected:
        assert found == []
        return
    assert column(report, "oxides").only_smaller_values is (expected == "only")
    part = "" if expected == "only" else "partly "
    end = ": this shift is not easier." if expected == "only" else "."
    assert found == [
        (
            f"On oxides, the error is smaller than in distribution {part}because the values are "
            f"smaller or vary less: the constant's error is {constant:.2f}, in distribution 10.0. "
            f"Relative to the constant the error is {relative:.3f}, in distribution 0.500{end}"
        )
    ]
    assert f"(relative to the constant {relative:.2f}, in distribution 0.50)" in report.verdict
    assert f"(relative to the constant {relative:.2f}, ID 0.50)" in render_run(report)


def test_typical_factors_by_hand():
    rows = [("a", "s", "id", 1.0, 2.0), ("a", "s", "id", 8.0, 4.0), ("a", "s", "ood", 3.0, 3.0)]
    rows += [("b", "s", "id", 1.0, -2.0), ("c", "s", "id", 1.0, 1.0), ("c", "s", "id", 1.0, 4.0)]
    frame = pd.DataFrame(rows, columns=["method", "split", "role", "target", "prediction"])
    found = typical_factors(frame)
    assert found == pytest.approx({("a", "s", "id"): 2, ("a", "s", "ood"): 1, ("c", "s", "id"): 2})


def logarithmic(results, rewrite, folder, predictions):
    results["config"]["data"]["transform"] = "log"
    results["provenance"]["data"] |= {"target": "kappa (W/(m K))", "unit": "W/(m K)"}
    results["histories"][0]["method"] = "cal"
    rewrite(results)
    predictions["target"] += 1.0
    predictions["prediction"] = predictions["target"] * 3.0
    predictions.to_parquet(folder / "predictions.parquet")
    table = pd.read_parquet(folder / "map.parquet")
    table.assign(target=table["target"] + 1.0).to_parquet(folder / "map.parquet")
    return build(folder)


def test_errors_of_a_model_of_logarithms_are_factors_too(results, rewrite, folder, predictions):
    report = logarithmic(results, rewrite, folder, predictions)
    assert cell(report, "cal", "oxides").factor == pytest.approx(3)
    assert cell(report, "cal", "oxides").mae == 6.0  # in the unit of the target
    assert "error: 5.00 W/(m K) (typically a factor of 3.0), 50 %" in report.verdict
    page = render_run(report)
    assert "typically a factor of 3.0" in page
    assert '<span class="sub">factor 3.0</span>' in page


def test_figures_of_a_model_of_logarithms(results, rewrite, folder, predictions):
    report = logarithmic(results, rewrite, folder, predictions)
    figures = build_figures(make_sections(report))
    layout = figures["parity"][0].layout
    assert layout["xaxis"]["type"] == layout["yaxis"]["type"] == "log"
    low, high = layout["xaxis"]["range"]  # targets 1 to 4, in decades
    assert (low, high) == pytest.approx((-0.06 * math.log10(4), 1.06 * math.log10(4)))
    assert layout["shapes"][0]["x1"] == pytest.approx(10**high)
    histogram = figures["histograms"][0].layout["xaxis"]
    assert histogram["type"] == "log"
    assert histogram["title"]["text"] == "kappa (W/(m K))"  # the unit stands once
    curve = next(panel for panel in figures["curves"] if panel.title == "Validation error")
    assert curve.layout["yaxis"]["title"]["text"] == "MAE of ln(kappa (W/(m K)))"


def test_figures_without_a_transform_are_in_the_unit(folder):
    figures = build_figures(make_sections(build(folder)))
    assert "type" not in figures["parity"][0].layout["xaxis"]
    assert figures["histograms"][0].layout["xaxis"]["title"]["text"] == "gap (eV)"
    curve = next(panel for panel in figures["curves"] if panel.title == "Validation error")
    assert curve.layout["yaxis"]["title"]["text"] == "MAE (eV)"
    assert cell(build(folder), "cal", "oxides").factor is None
