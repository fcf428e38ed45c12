import pytest

from xtalshift.cal.settings import CALConfig
from xtalshift.nn.settings import ERMConfig
from xtalshift.report.shared.methods import describe_gap, method_note, other_recipe

NETWORK = "the same network, trained by crystal adversarial learning"


def settings(*, erm=None, **cal):
    return {
        "cal": CALConfig.from_dict(cal).model_dump(),
        "erm": ERMConfig.from_dict(erm or {}).model_dump(),
    }


def test_the_default_recipe_is_that_of_erm_with_added_steps():
    config = settings()
    assert other_recipe(config) == []
    assert method_note("cal", config) == (
        f"{NETWORK} (preset cal): the recipe of erm with added steps on attacked rows"
    )
    assert describe_gap(config) == "the attack and the steps it adds"


def test_the_published_recipe_differs_in_all_but_the_batch_size():
    config = settings(preset="paper")
    assert method_note("cal", config) == (
        f"{NETWORK} (preset paper): steps on attacked rows; unlike erm in optimiser, rows, epochs, "
        "dropout, averaging"
    )
    assert describe_gap(config) == (
        "the attack and another recipe (optimiser, rows, epochs, dropout, averaging)"
    )


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"epochs": 20, "erm": {"epochs": 20}}, []),
        ({"epochs": 20}, ["epochs"]),
        ({"patience": 7}, ["epochs"]),
        ({"learning_rate": 1e-4}, ["optimiser"]),
        ({"weight_decay": 0.0, "schedule": "constant"}, ["optimiser"]),
        ({"theta_optimizer": "fresh"}, ["optimiser"]),
        ({"erm_rows": "hardest"}, ["rows"]),
        ({"erm": {"batch_size": 64}}, ["batch size"]),
        ({"dropout_epochs": 79}, ["dropout"]),
        ({"dropout_epochs": 80}, []),
        ({"ema_start": 3}, ["averaging"]),
        ({"ema_every": "epoch", "erm_rows": "hardest"}, ["rows", "averaging"]),
        ({"epsilon": 0.5, "attack_steps": 9}, []),
    ],
)
def test_each_other_setting_is_named_and_those_of_the_attack_are_not(change, parts):
    assert other_recipe(settings(**change)) == parts


@pytest.mark.parametrize("config", [{}, {"cal": {"epochs": 5}}, {"erm": {"epochs": 5}}])
def test_without_the_settings_of_both_nothing_is_claimed(config):
    assert method_note("cal", config) == NETWORK
    assert describe_gap(config) == "the attack and its recipe"


def test_settings_of_an_older_run_are_compared_as_far_as_they_go():
    config = {"cal": {"preset": "paper", "epochs": 500}, "erm": {"epochs": 80, "patience": 80}}
    assert other_recipe(config) == ["epochs"]


def test_a_variant_explains_method_and_weights():
    assert method_note("cal:ema", {}) == f"{NETWORK}; moving average of the weights"
    assert method_note("cal-eps0", {}) == "as cal, but the attack moves nothing (control)"
    assert method_note("cal-eps0:last", {}).endswith("(control); weights of the last epoch")
    assert method_note("someone-elses", {}) == ""
