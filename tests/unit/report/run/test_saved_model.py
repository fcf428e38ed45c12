"""What a page and the terminal say about the saved model of a run."""

from dataclasses import replace

import pytest

from report_toys import read_page, read_text
from xtalshift.benchmark.choice import Choice, Rival
from xtalshift.benchmark.run_results import Model, read_results
from xtalshift.jsonio import to_json
from xtalshift.report.run.saved_model import describe_model

CHOICE = Choice(
    "auto", 0.3125, 196, n_folds=5, repeats=3,
    rivals=(Rival("svr", 0.32, 98, 0.4), Rival("lightgbm", 0.33, 98, 0.06),
            Rival("ridge", 0.5, 98, 0.0004, level=False)),
)  # fmt: skip
MODEL = Model(
    "auto", seed=0, rule="smallest error", n_rows=397, n_train=397, n_validation=0,
    n_calibration=0, calibration="out-of-fold", n_calibrated=190,
    members=({"name": "ridge", "weight": 1.0, "left_out": None},), choice=CHOICE,
)  # fmt: skip
HONEST = (
    "Errors and coverage in the tables are those of models that saw no test row; the saved model "
    "has seen these rows too."
)


def test_a_small_table():
    assert describe_model(MODEL, "eV", 5.0) == [
        (
            "auto, trained on all 397 rows; its intervals are calibrated on 190 rows, each "
            "predicted by fits to others."
        ),
        (
            "It has the smallest error, 0.312 eV, on the 196 rows that no test set holds, each "
            "predicted by fits to others (5 folds, 3 times)."
        ),
        (
            "It is level with svr and lightgbm: within the spread of the folds (compared on the 98 "
            "rows that both were judged by)."
        ),
        HONEST,
    ]


def test_a_better_method_that_cannot_be_saved_is_named():
    said = describe_model(replace(MODEL, unsaved="forest"), "eV", None)
    assert said[3:] == ["forest has a smaller error, but cannot be saved.", HONEST]


def test_a_large_table_with_a_clear_winner():
    rivals = (Rival("ridge", 0.5, 2000, 0.0004, level=False),)
    choice = Choice("lightgbm", 0.3, 2000, rivals=rivals)
    model = replace(MODEL, method="lightgbm", n_train=357, n_validation=40, members=(),
                    calibration=None, choice=choice)  # fmt: skip
    assert describe_model(model, "", 5.0) == [
        (
            "lightgbm, trained on all 397 rows (40 of them only select its parameters); it has no "
            "intervals."
        ),
        "It has the smallest error, 0.300, on 2,000 validation rows, which no test set holds.",
        "Its lead over ridge is beyond the spread of these rows.",
        HONEST,
    ]


def test_rows_that_were_kept_from_the_training_are_told():
    model = replace(MODEL, n_train=317, n_validation=40, n_calibration=40, calibration="held-out",
                    n_calibrated=40, choice=replace(CHOICE, rivals=()))  # fmt: skip
    first, _, third, _ = describe_model(model, "eV", None)
    assert first == (
        "auto, trained on 357 of 397 rows (40 of them only select its parameters); its intervals "
        "are calibrated on 40 rows, which were kept from its training."
    )
    assert third == "No other method could be compared with it."


def test_members_that_are_left_out_are_named():
    members = (*MODEL.members, {"name": "ensemble", "weight": 0.0, "left_out": "no time"})
    said = describe_model(replace(MODEL, members=members), "eV", 5.0)
    assert said[-1] == "Members that are left out (a fit has 5 min): ensemble."


def test_a_fit_that_failed_and_a_folder_of_an_earlier_version():
    said = describe_model(Model("cal", choice=CHOICE, failure="no luck"), "eV", 5.0)
    assert said[0] == (
        "No model is saved: cal was chosen, but could not be fitted to all rows (no luck)."
    )
    assert HONEST not in said
    assert describe_model(Model("cal", rule="smallest validation error"), "eV", None) == [
        "cal (smallest validation error)."
    ]


@pytest.mark.parametrize("unit", ["eV", ""])
def test_the_page_has_the_sentences_and_the_errors_that_chose(results, rewrite, folder, unit):
    results["provenance"]["data"]["unit"] = unit
    rewrite(results | {"model": to_json(MODEL)})
    assert read_results(folder).model == MODEL
    text = read_text(read_page(folder))
    assert " ".join(describe_model(MODEL, unit, None)) in text
    assert "svr" in text
    assert "0.400" in text  # the p value of svr
    assert "0.001" in text  # that of ridge
    assert "beyond the spread" in text


def test_a_model_of_an_earlier_version_is_described_by_its_rule(results, rewrite, folder):
    old = {"method": "cal", "fit": "all", "seed": 0, "val_mae": 0.1, "rule": "smallest error"}
    rewrite(results | {"model": old})
    text = read_text(read_page(folder))
    assert "cal (smallest error)." in text
    assert "The errors that chose it" not in text
