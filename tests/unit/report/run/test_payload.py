import json

import pytest

from xtalshift.errors import DataError
from xtalshift.report import build_payload
from xtalshift.report.run.scores import mean_sd


def cell(payload, method, split):
    row = next(row for row in payload["headline"] if row["method"] == method)
    columns = [column["split"] for column in payload["columns"]]
    return row["cells"][columns.index(split)]


def judged(payload, split):
    return next(column for column in payload["judged"] if column["split"] == split)


def texts(payload):
    return [item["text"] for item in payload["cautions"]]


def test_the_sample_standard_deviation_needs_two_values():
    assert mean_sd([2.0, None, 6.0]) == (4.0, pytest.approx(8**0.5))
    assert mean_sd([2.0]) == (2.0, None)
    assert mean_sd([None]) == (None, None)


def test_columns_begin_in_distribution_and_rows_with_the_dummy(folder):
    payload = build_payload(folder)
    assert [(c["split"], c["role"]) for c in payload["columns"]] == [
        ("random", "id"),
        ("tail", "ood"),
        ("oxides", "ood"),
    ]
    assert [row["method"] for row in payload["headline"]] == ["dummy", "erm", "cal"]
    assert payload["n_seeds"] == 2
    assert payload["target"] == {"name": "gap", "unit": "eV"}


def test_a_split_listed_with_its_id_rows_is_still_out_of_distribution(results, rewrite, folder):
    inside = [split | {"role": "id", "n_test": 7} for split in results["splits"]]
    results["splits"] = inside + results["splits"]
    rewrite(results)
    columns = build_payload(folder)["columns"]
    assert [(c["split"], c["role"]) for c in columns] == [
        ("random", "id"),
        ("tail", "ood"),
        ("oxides", "ood"),
    ]
    assert columns[1]["sizes"] == {"train": 400, "val": 50, "test": 60}


def test_cells_equal_hand_computed_values(folder):
    found = cell(build_payload(folder), "cal", "oxides")
    assert found["mae"] == 6.0  # of 7 and 5
    assert found["mae_sd"] == pytest.approx(2**0.5)
    assert found["over_dummy"] == pytest.approx(6 / 16)
    assert found["id_mae"] == 4.0
    assert found["ratio_id"] == 1.5
    assert found["rmse"] == 12.0
    assert (found["seeds"], found["failed"]) == (2, 0)
    assert not found["worse_than_dummy"]
    assert cell(build_payload(folder), "erm", "random")["ratio_id"] is None


def test_a_method_that_loses_to_the_constant_is_marked_and_the_constant_wins(folder):
    payload = build_payload(folder)
    assert cell(payload, "erm", "tail")["worse_than_dummy"]
    assert not cell(payload, "dummy", "tail")["worse_than_dummy"]
    assert judged(payload, "tail")["winner"] == "dummy"
    assert judged(payload, "tail")["dummy_mae"] == 20.0
    assert payload["cautions"][0] == {
        "level": "stop",
        "text": "On tail no method beats the constant: do not use these predictions.",
    }


def test_smallest_error_runner_up_and_adversarial_gain(folder):
    payload = build_payload(folder)
    oxides = judged(payload, "oxides")
    assert (oxides["best"]["method"], oxides["winner"]) == ("cal", "cal")
    assert oxides["runner_up"]["second"] == "erm"
    assert oxides["runner_up"]["change"] == pytest.approx(12 / 18 - 1)
    assert (oxides["runner_up"]["wins"], oxides["runner_up"]["seeds"]) == (2, 2)
    (gain,) = payload["gain"]  # there is no control
    assert gain["label"] == "cal against erm"
    assert [pair["change"] for pair in gain["cells"]] == pytest.approx([0.2, 0.0, 12 / 18 - 1])
    assert [pair["wins"] for pair in gain["cells"]] == [0, 1, 2]


def test_the_control_is_compared_first_and_its_attack_is_no_fault(with_control, rewrite, folder):
    rewrite(with_control)
    payload = build_payload(folder)
    assert [(row["label"], row["note"]) for row in payload["gain"]] == [
        ("cal against cal-eps0", "the attack alone"),
        ("cal against erm", "the attack and its recipe"),
    ]
    assert [pair["change"] for pair in payload["gain"][0]["cells"]] == pytest.approx([-0.25] * 3)
    with_control["histories"] = with_control["histories"][1:]  # only the control
    rewrite(with_control)
    assert not any("attack" in text for text in texts(build_payload(folder)))


def test_a_no_op_attack_of_cal_is_named_beside_its_control(with_control, rewrite, folder):
    with_control["histories"][0]["epochs"][-1]["displacement_rms"] = 0.0004
    with_control["histories"][1]["epochs"][0]["displacement_rms"] = 0.5
    rewrite(with_control)
    assert any("4.00e-04 standard deviations" in text for text in texts(build_payload(folder)))


def test_a_lead_on_every_seed_needs_three_of_them_and_no_exception(three_seeds, rewrite, folder):
    assert [column["every_seed"] for column in build_payload(folder)["judged"]] == [False] * 3
    rewrite(three_seeds)
    payload = build_payload(folder)
    assert [column["every_seed"] for column in payload["judged"]] == [True, False, True]
    assert payload["verdict"].startswith(
        "In distribution, erm has the smallest mean absolute error on every seed: 4.67 eV, "
        "53 % below a constant guess. "
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
    assert [column["every_seed"] for column in build_payload(folder)["judged"]] == [False] * 3


def test_the_verdict_says_smallest_error_growth_and_constant(folder):
    assert build_payload(folder)["verdict"] == (
        "In distribution, erm has the smallest mean absolute error: 5.00 eV, "
        "50 % below a constant guess. "
        "Out of distribution, cal has the smallest error on oxides, with 1.5 times the error of "
        "the same method in distribution. No method beats the constant on tail."
    )


def test_the_verdict_of_a_clear_win(results, rewrite, folder):
    for record in results["records"]:
        if record["method"] == "cal" and record["split"] == "tail" and record["role"] == "ood":
            record |= {"mae": 10.0, "mae_over_dummy": 0.5}
    rewrite(results)
    assert build_payload(folder)["verdict"].endswith(
        "Out of distribution, cal has the smallest error on every shift, with 1.5 to 2.0 times the "
        "error of the same method in distribution; each beats the constant."
    )


def test_the_verdict_tells_sure_leads_from_others(three_seeds, rewrite, folder):
    def set_tail(errors):
        for record in three_seeds["records"]:
            if (record["method"], record["split"], record["role"]) == ("cal", "tail", "ood"):
                record |= {"mae": errors[record["seed"]], "mae_over_dummy": 0.5}
        rewrite(three_seeds)
        return build_payload(folder)["verdict"]

    assert "cal has the smallest error on every seed of every shift, with" in set_tail([9, 9, 9])
    assert "cal has the smallest error on every shift, with" in set_tail([9, 9, 30])


def test_variants_stay_out_of_the_headline(folder):
    payload = build_payload(folder)
    assert "cal:ema" not in [row["method"] for row in payload["headline"]]
    assert judged(payload, "random")["best"]["method"] == "erm"  # although cal:ema is smaller
    assert 1.0 in [c["mae"] for c in payload["metrics"] if c["method"] == "cal:ema"]


def test_one_seed_has_no_spread(results, rewrite, folder):
    results["records"] = [record for record in results["records"] if record["seed"] == 0]
    rewrite(results)
    payload = build_payload(folder)
    assert cell(payload, "cal", "oxides")["mae_sd"] is None
    assert any(text.startswith("One seed only") for text in texts(payload))


def test_a_failed_run_is_listed_counted_and_loses_to_complete_methods(results, rewrite, folder):
    for record in results["records"]:
        if (record["method"], record["split"], record["seed"]) == ("cal", "oxides", 0):
            record |= {"status": "failed", "reason": "loss is not finite", "mae": None}
    rewrite(results)
    payload = build_payload(folder)
    found = cell(payload, "cal", "oxides")
    assert (found["mae"], found["seeds"], found["failed"]) == (5.0, 1, 1)
    assert judged(payload, "oxides")["best"]["method"] == "erm"
    assert payload["failures"] == [
        {"method": "cal", "seed": 0, "reason": "loss is not finite", "splits": ["oxides"]}
    ]
    assert "Runs of cal failed; they are listed below, not left out." in texts(payload)


def test_a_no_op_attack_is_named(results, rewrite, folder):
    results["histories"][0]["epochs"][-1]["displacement_rms"] = 0.0004
    rewrite(results)
    payload = build_payload(folder)
    assert payload["attacks"][0]["displacement_rms"] == 0.0004
    assert any("4.00e-04 standard deviations" in text for text in texts(payload))


@pytest.mark.parametrize(("epoch", "named"), [(0, True), (1, False), (None, False)])
def test_a_selection_before_the_first_attack_is_named(results, rewrite, folder, epoch, named):
    results["histories"][0] |= {"best_epoch": epoch}
    results["histories"][0]["epochs"][0]["phase"] = "warm-up"
    rewrite(results)
    found = [text for text in texts(build_payload(folder)) if "predate" in text]
    assert len(found) == named
    if named:
        assert found[0].startswith("The selected parameters of cal predate the first attack:")


def test_the_caution_about_duplicates_says_what_was_measured(results, rewrite, folder):
    assert (
        "Before merging, rows of equal composition and feature columns (12 groups) lay 0.250 eV "
        "from their group's mean, on average. The errors here are measured on merged targets (mean "
        "of each group) and leave that scatter out; before merging, no model could come below "
        "0.0100 eV over all rows."
    ) in texts(build_payload(folder))
    results["cleaning"]["duplicates"] = "keep"
    rewrite(results)
    assert (
        "Rows of equal composition and feature columns (12 groups) lie 0.250 eV from their group's "
        "mean, on average, which no model can explain: over all rows its mean absolute error is at "
        "least 0.0100 eV."
    ) in texts(build_payload(folder))


def test_an_error_above_that_of_the_test_mean_is_named(results, rewrite, folder):
    for record in results["records"]:
        if record["split"] == "oxides":
            record["r2"] = -2.5
    rewrite(results)
    found = [text for text in texts(build_payload(folder)) if "R²" in text]
    assert len(found) == 1
    assert found[0].startswith("On oxides even the smallest error means R² = −2.50")


def test_curves_become_columns_with_gaps(folder):
    (curve,) = build_payload(folder)["histories"]
    assert curve["epoch"] == [0, 1]
    assert curve["val_mae"] == [9.0, 6.0]
    assert curve["displacement_rms"] == [None, 0.2]
    assert "weight_max" not in curve


def test_costs_are_means_over_runs(folder):
    costs = {cost["method"]: cost["seconds"] for cost in build_payload(folder)["costs"]}
    assert costs == {"dummy": 3.5, "erm": 3.5, "cal": 3.5}


def test_non_finite_numbers_become_null(results, rewrite, folder):
    results["records"][0]["mae"] = float("nan")
    results["config"] = {"limit": float("inf")}
    rewrite(results)
    payload = build_payload(folder)
    assert payload["config"] == {"limit": None}
    json.dumps(payload, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version 2, but this version reads 1"),
        ({"records": []}, "has no 'records'"),
    ],
)
def test_results_that_cannot_be_read_say_why(results, rewrite, folder, change, message):
    rewrite(results | change)
    with pytest.raises(DataError, match=message):
        build_payload(folder)


def test_a_missing_or_broken_file_names_it(tmp_path, folder):
    with pytest.raises(DataError, match=r"nothing.*results\.json.*xtalshift run"):
        build_payload(tmp_path / "nothing")
    (folder / "map.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"map\.parquet.*delete it"):
        build_payload(folder)
    (folder / "results.json").write_text("{")
    with pytest.raises(DataError, match=r"results\.json is not valid JSON"):
        build_payload(folder)
