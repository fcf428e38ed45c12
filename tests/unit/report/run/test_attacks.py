import math
import re

import plotly.graph_objects as go
import pytest

from reference.cal_problems import problem, seeded
from reference.training import train_cal
from xtalshift.cal.settings import CALConfig
from xtalshift.nn.rows import TrainingData
from xtalshift.report import build_run_report, write_report
from xtalshift.report.run.attacks import (
    ATTACK_COLUMNS,
    AttackSize,
    Curve,
    attack_curves,
    attack_sizes,
)
from xtalshift.report.run.sections import build_figures, make_sections

NEW = ("adversarial_loss", "weight_p10", "weight_median", "weight_p90", "weights_frozen")
NEW += ("hard_share",)


def attacked(epoch, rms, gain, loss=2.0):
    """Return what the loop records of one epoch; its weights are 1 to 5 times the epoch."""
    names = ("weight_min", "weight_p10", "weight_median", "weight_p90", "weight_max")
    return {
        "epoch": epoch,
        "phase": "cal",
        "train_loss": 1.0,
        "val_mae": 5.0,
        "adversarial_loss": loss,
        "attack_loss_gain": gain,
        "displacement_rms": rms,
        "displacement_max": 4 * rms,
        **{name: float(epoch * size) for size, name in enumerate(names, start=1)},
        "weights_frozen": 0,
        "gamma": 0.1,
        "hard_share": 0.25,
    }


def training(method, seed, *epochs, split="all"):
    warm_up = {"epoch": 0, "phase": "warm-up", "train_loss": 3.0, "val_mae": 9.0}
    return {"method": method, "split": split, "seed": seed, "epochs": [warm_up, *epochs]}


HISTORIES = [
    training("cal", 0, attacked(1, 0.1, 0.5), attacked(2, 0.3, 1.0)),
    training("cal", 1, attacked(1, 0.2, 0.1)),  # stopped early
    training("cal-eps0", 0, attacked(1, 0.0, 0.0)),
]


@pytest.fixture
def report(results, rewrite, folder):
    """Return the page_data of a run with these histories."""

    def build(histories):
        rewrite(results | {"histories": histories})
        return build_run_report(folder)

    return build


def attack_cautions(page_data):
    return [item.text for item in page_data.cautions if "attack of" in item.text]


def panel(page_data, title):
    (found,) = (
        one for one in build_figures(make_sections(page_data))["attack"] if one.title == title
    )
    return {"data": found.data, "layout": found.layout}


def lines(figure, method="cal"):
    texts = [(one, one.get("hovertemplate", "").split(", ")) for one in figure["data"]]
    return {words[1]: one for one, words in texts if words[0] == method}


def test_seeds_are_averaged_but_extremes_stay_extremes(report):
    cal, control = report(HISTORIES).attack_curves
    assert (cal.method, cal.split, cal.seed) == ("cal", "all", None)
    assert cal.epoch == [0, 1, 2]
    assert cal.columns["displacement_rms"] == [None, pytest.approx(0.15), 0.3]
    assert cal.columns["displacement_max"] == [None, 0.8, 1.2]
    assert cal.columns["gain_share"] == [None, pytest.approx((0.5 + 0.1) / 2 / 2), 0.5]
    assert [cal.columns["weight_min"], cal.columns["weight_max"]] == [
        [None, 1.0, 2.0],
        [None, 5.0, 10.0],
    ]
    assert cal.columns["weight_median"] == [None, 3.0, 6.0]
    assert cal.columns["hard_share"] == [None, 0.25, 0.25]
    assert (control.columns["displacement_rms"], control.columns["gain_share"]) == (
        [None, 0.0],
        [None, 0.0],
    )


def test_the_smallest_and_largest_weight_are_those_of_any_seed():
    def curve(seed, low, high):
        columns = {"displacement_rms": [0.1], "weight_min": [low], "weight_max": [high]}
        return Curve("cal", "all", seed, [0], columns)

    (merged,) = attack_curves([curve(0, 3.0, 4.0), curve(1, 2.0, 9.0)])
    assert (merged.columns["weight_min"], merged.columns["weight_max"]) == ([2.0], [9.0])


def test_trainings_without_attack_have_no_curves():
    plain = Curve("erm", "all", 0, [0], {"train_loss": [1.0]})
    assert attack_curves([plain]) == attack_sizes([plain]) == []


def test_sizes_are_the_largest_move_and_the_mean_gain_over_the_mean_loss(report):
    cal, control = report(HISTORIES).attack_sizes
    assert cal == AttackSize("cal", 0.3, pytest.approx(1.6 / 3), 2.0, pytest.approx(0.8 / 3))
    assert (control.displacement, control.gain_share) == (0.0, 0.0)


def test_the_last_values_are_of_the_last_attacked_epoch(report):
    cal, early, _ = (one for one in report(HISTORIES).curves if one.attacked)
    assert (cal.seed, cal.last("displacement_rms"), cal.last("gain_share")) == (0, 0.3, 0.5)
    assert (early.seed, early.last("weight_median"), early.last("gain_share")) == (1, 3.0, 0.05)


def test_an_epoch_without_a_measured_gain_or_loss_is_a_gap(report):
    epochs = attacked(1, 0.1, None), attacked(2, 0.1, 0.5), attacked(3, 0.1, 0.5, loss=0.0)
    page_data = report([training("cal", 0, *epochs)])
    assert page_data.attack_curves[0].columns["gain_share"] == [None, None, 0.25, None]
    assert page_data.attack_sizes[0].gain_share == 0.25


def test_the_columns_are_those_that_a_real_training_records(report):
    model, rows = problem(12)
    settings = {"epochs": 2, "warmup_epochs": 1, "environments": "random", "n_environments": 2}
    config = CALConfig.from_dict(settings)
    history = train_cal(model, TrainingData(rows, rows), config, seeded()).history
    ordinary = {"epoch", "phase", "train_loss", "val_mae"}
    assert set(history[1]) - ordinary == set(ATTACK_COLUMNS)
    page_data = report([{"method": "cal", "split": "all", "seed": 0, "epochs": history}])
    (size,) = page_data.attack_sizes
    assert 0.01 < size.displacement <= 0.1 * (1 + 1e-6)  # the radius of the preset
    assert size.gain == history[1]["attack_loss_gain"]
    assert len(build_figures(make_sections(page_data))["attack"]) == 4


def test_sentences_state_the_numbers(report):
    assert report(HISTORIES).attack_sentences == [
        (
            "cal moves features by up to 0.300 standard deviations (root mean square of an epoch) "
            "and gains 0.533 of an adversarial loss of 2.00 (27 %, means over epochs)."
        ),
        "cal-eps0, the control, moves no features, as intended.",
    ]


def test_an_attack_that_moves_and_gains_is_no_caution_nor_is_the_control(report):
    assert attack_cautions(report(HISTORIES)) == []


SIZE = "cal moves features by up to {} standard deviations (root mean square of an epoch)"
GAIN = " and gains {} of an adversarial loss of 2.00 ({} %, means over epochs)."


@pytest.mark.parametrize(
    ("rms", "gain", "what", "size"),
    [
        (0.002, 0.01, "hardly moves the rows", ("0.00200", "0.0100", "0.5")),
        (0.002, 0.1, "hardly moves the rows", ("0.00200", "0.100", "5.0")),
        (0.1, 0.01, "hardly raises the loss", ("0.100", "0.0100", "0.5")),
        (0.01, 0.02, None, None),  # at both levels
    ],
)
def test_an_attack_that_does_practically_nothing_is_a_caution(report, rms, gain, what, size):
    page_data = report([training("cal", 0, attacked(1, rms, gain)), HISTORIES[2]])
    said = attack_cautions(page_data)
    if what is None:
        assert said == []
        return
    moved, gained, share = size
    text = f"The attack of cal {what}: {SIZE.format(moved)}{GAIN.format(gained, share)}"
    assert said == [text]


def test_displacement_has_a_floor_so_that_nothing_is_seen_as_nothing(report):
    figure = panel(report(HISTORIES), "Displacement")
    cal, control = lines(figure), lines(figure, "cal-eps0")
    assert cal["rms"]["y"] == [None, pytest.approx(0.15), 0.3]
    assert cal["largest"]["y"] == [None, 0.8, 1.2]
    assert control["rms"]["y"] == [None, 0.001]
    assert control["rms"]["customdata"] == [None, 0.0]  # what pointing at it says
    assert "%{customdata:" in control["rms"]["hovertemplate"]
    axis = figure["layout"]["yaxis"]
    assert axis["ticktext"] == ["≤ 0.001", "0.01", "0.1", "1", "10"]
    assert axis["tickvals"] == pytest.approx([0.001, 0.01, 0.1, 1.0, 10.0])
    assert axis["range"][0] < math.log10(0.001) < math.log10(1.2) < axis["range"][1]
    assert figure["layout"]["shapes"][-1]["y0"] == 0.01


def test_the_gain_is_a_percentage_on_an_axis_that_shows_the_level(report):
    figure = panel(report(HISTORIES), "Loss gained")
    assert lines(figure)["gained"]["y"] == [None, pytest.approx(15.0), 50.0]
    assert figure["layout"]["yaxis"]["range"] == pytest.approx([-2.5, 52.5])
    assert figure["layout"]["shapes"][-1]["y0"] == 1.0
    weak = panel(report([training("cal", 0, attacked(1, 0.1, 0.004))]), "Loss gained")
    assert weak["layout"]["yaxis"]["range"] == pytest.approx([-0.5, 10.5])
    worse = panel(report([training("cal", 0, attacked(1, 0.1, -0.4))]), "Loss gained")
    assert worse["layout"]["yaxis"]["range"][0] < -20.0


def test_weights_have_a_median_a_band_and_extremes(report):
    figure = panel(report(HISTORIES[:1]), "Covariate weights")
    band, *_ = figure["data"]
    assert (band["x"], band["y"]) == ([1, 2, 2, 1], [2.0, 4.0, 8.0, 4.0])
    assert (band["fill"], band["fillcolor"]) == ("toself", "rgba(213,94,0,0.22)")
    drawn = lines(figure)
    assert drawn["median weight"]["y"] == [None, 3.0, 6.0]
    assert drawn["smallest weight"]["y"] == [None, 1.0, 2.0]
    assert drawn["largest weight"]["y"] == [None, 5.0, 10.0]
    assert drawn["median weight"]["line"]["width"] > drawn["largest weight"]["line"]["width"]


def test_weights_that_spread_widely_have_a_logarithmic_axis(report):
    wide = attacked(1, 0.1, 0.5) | {"weight_max": 31.0}
    figure = panel(report([training("cal", 0, wide)]), "Covariate weights")
    assert figure["layout"]["yaxis"]["type"] == "log"
    below = wide | {"weight_min": -1.0}
    figure = panel(report([training("cal", 0, below)]), "Covariate weights")
    assert "type" not in figure["layout"]["yaxis"]


def test_hard_rows_of_two_methods_on_each_other_are_both_seen(report):
    control, cal = panel(report(HISTORIES), "Hard rows")["data"]
    assert (control["y"], cal["y"]) == ([None, 25.0], [None, 25.0, 25.0])
    assert (control["line"]["dash"], cal["line"]["dash"]) == ("solid", "dash")


def test_the_axis_begins_with_the_warm_up_which_is_shaded(report):
    layout = panel(report(HISTORIES), "Hard rows")["layout"]
    assert layout["xaxis"]["range"] == pytest.approx([-0.04, 2.04])
    (shade,) = layout["shapes"]
    assert (shade["type"], shade["x0"], shade["x1"]) == ("rect", pytest.approx(-0.04), 1)
    history = training("cal", 0, attacked(1, 0.1, 0.5))
    history["epochs"] = history["epochs"][1:]  # no warm-up, one epoch
    layout = panel(report([history]), "Hard rows")["layout"]
    assert layout["shapes"] == []
    assert layout["xaxis"]["range"] == [0.5, 1.5]


def test_a_single_attacked_epoch_is_a_mark(report):
    drawn = lines(panel(report(HISTORIES[1:]), "Displacement"))
    assert drawn["rms"]["mode"] == "markers"
    drawn = lines(panel(report(HISTORIES[:1]), "Displacement"))
    assert drawn["rms"]["mode"] == "lines"


def test_each_fit_has_its_row_of_panels_and_is_named(report):
    epochs = attacked(1, 0.1, 0.5), attacked(2, 0.3, 1.0)
    page_data = report([training("cal", 0, *epochs, split=split) for split in ("random", "tail")])
    panels = build_figures(make_sections(page_data))["attack"]
    titles = ["Displacement", "Loss gained", "Covariate weights", "Hard rows"]
    assert [one.title for one in panels] == titles * 2
    assert panels[2].note == "random split: median, middle 80 %; thin: extremes"
    assert panels[7].note == "tail: share of the rows in CAL steps"
    for one in panels:
        go.Figure(
            {"data": one.data, "layout": one.layout}
        )  # raises at an unknown or wrong property


def test_a_history_without_the_newer_numbers_is_drawn_as_far_as_it_goes(report, folder):
    old = {key: value for key, value in attacked(1, 0.002, 0.5).items() if key not in NEW}
    page_data = report([training("cal", 0, old, old | {"epoch": 2})])
    panels = build_figures(make_sections(page_data))["attack"]
    assert [one.title for one in panels] == ["Displacement", "Loss gained", "Covariate weights"]
    assert lines({"data": panels[1].data})["gained"]["y"] == [
        None,
        0.5,
        0.5,
    ]  # in units of the loss
    assert panels[2].note == "smallest and largest"
    assert attack_cautions(page_data) == [
        f"The attack of cal hardly moves the rows: {SIZE.format('0.00200')}."
    ]
    page = write_report(folder).read_text(encoding="utf-8")
    assert "cal moves features by up to 0.00200 standard deviations (root mean square of" in page


def test_the_page_has_panels_sentences_and_the_table_of_the_end(report, folder):
    report(HISTORIES)
    page = write_report(folder).read_text(encoding="utf-8")
    assert re.findall(r'<div id="(figure-attack-\d)"', page) == [
        f"figure-attack-{number}" for number in (1, 2, 3, 4)
    ]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert "gains 0.533 of an adversarial loss of 2.00 (27 %, means over epochs)." in text
    assert "cal all 0 0.300 1.20 1.00 50 % 2.00 6.00 10.0 0.100 25 %" in text


def test_without_an_adversarial_training_the_page_says_nothing_about_attacks(report, folder):
    plain = {"method": "erm", "split": "all", "seed": 0}
    report([plain | {"epochs": [{"epoch": 0, "train_loss": 1.0, "val_mae": 2.0}]}])
    assert "What the attack does" not in write_report(folder).read_text(encoding="utf-8")
