import json

import pytest

from xtalshift.errors import DataError
from xtalshift.report import build_payload
from xtalshift.report.scores import mean_sd


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


def test_best_runner_up_and_adversarial_gain(folder):
    payload = build_payload(folder)
    oxides = judged(payload, "oxides")
    assert (oxides["best"]["method"], oxides["winner"]) == ("cal", "cal")
    assert oxides["runner_up"]["second"] == "erm"
    assert oxides["runner_up"]["change"] == pytest.approx(12 / 18 - 1)
    assert (oxides["runner_up"]["wins"], oxides["runner_up"]["seeds"]) == (2, 2)
    assert [gain["change"] for gain in payload["gain"]] == pytest.approx([0.2, 0.0, 12 / 18 - 1])
    assert [gain["wins"] for gain in payload["gain"]] == [0, 1, 2]


def test_the_verdict_says_best_growth_and_constant(folder):
    assert build_payload(folder)["verdict"] == (
        "In distribution, erm is best with a mean absolute error of 5.00 eV, "
        "50 % below a constant guess. "
        "Out of distribution, cal is best on oxides, with 1.5 times the error of the same method "
        "in distribution. No method beats the constant on tail."
    )


def test_the_verdict_of_a_clear_win(results, rewrite, folder):
    for record in results["records"]:
        if record["method"] == "cal" and record["split"] == "tail" and record["role"] == "ood":
            record |= {"mae": 10.0, "mae_over_dummy": 0.5}
    rewrite(results)
    assert build_payload(folder)["verdict"].endswith(
        "Out of distribution, cal is best on every shift, with 1.5 to 2.0 times the error of the "
        "same method in distribution; each beats the constant."
    )


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


def test_an_error_above_that_of_the_test_mean_is_named(results, rewrite, folder):
    for record in results["records"]:
        if record["split"] == "oxides":
            record["r2"] = -2.5
    rewrite(results)
    found = [text for text in texts(build_payload(folder)) if "R²" in text]
    assert len(found) == 1
    assert found[0].startswith("On oxides even the best method has R² = −2.50")


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
