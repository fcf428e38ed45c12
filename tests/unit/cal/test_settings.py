"""Settings of CAL: presets, overrides, and what follows from them."""

import pytest

from xtalshift.cal.settings import PRESETS, CALConfig
from xtalshift.errors import ConfigError


def test_paper_presets_hold_the_published_values():
    base = CALConfig.from_dict({"preset": "paper"})
    assert (base.attack_steps, base.attack_step_size, base.attack_betas) == (10, 3e-4, (0.9, 0.9))
    assert (base.theta_steps, base.theta_learning_rate, base.learning_rate) == (3, 3e-4, 1e-4)
    assert (base.weight_init, base.gamma_init, base.delta) == (100.0, 0.01, 20.0)
    assert (base.alpha, base.rho, base.n_environments) == (0.5, 0.01, 5)
    assert (base.batch_size, base.warmup_epochs, base.resample_every) == (256, 10, 10)
    assert (base.partial_batches, base.ema_decay, base.ema_start) == (21, 0.999, 20)
    assert (base.epochs, base.patience, base.dropout_epochs) == (500, 100, 1)
    assert (base.ball, base.attack_method, base.theta_optimizer) == ("none", "adam", "fresh")
    assert (base.weight_rule, base.environments, base.ema_every) == ("published", "random", "epoch")
    assert (base.erm_rows, base.schedule, base.weight_decay) == ("hardest", "constant", 0.0)
    assert base.weight_every == 1
    targeted = CALConfig.from_dict({"preset": "paper-targeted"})
    assert (targeted.attack_steps, targeted.attack_step_size) == (2, 5e-5)
    assert (targeted.theta_steps, targeted.theta_learning_rate) == (10, 5e-5)
    assert (targeted.batch_size, targeted.warmup_epochs, targeted.resample_every) == (128, 4, 5)
    assert (targeted.partial_batches, targeted.delta, targeted.replay) == (6, 20.0, 0.0)


def test_the_default_mends_the_defects_of_the_recipe():
    cal = CALConfig.from_dict({})
    assert cal.preset == "cal"
    assert cal.ball != "none"
    assert cal.epsilon > 0
    assert (cal.weight_rule, cal.theta_optimizer, cal.erm_rows) == ("unrolled", "shared", "all")
    assert cal.weight_floor > 0
    assert cal.environments != "random"
    assert (cal.ema_every, cal.dropout_epochs >= cal.epochs) == ("step", True)


def test_a_setting_overrides_the_preset_and_a_wrong_name_is_named():
    assert CALConfig.from_dict({"delta": 1.0}).delta == 1.0
    assert CALConfig.from_dict({"preset": "paper", "delta": 1.0}).attack_steps == 10
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        CALConfig.from_dict({"preset": "papr"})
    with pytest.raises(ConfigError, match="did you mean 'attack_steps'"):
        CALConfig.from_dict({"atack_steps": 3})
    with pytest.raises(ConfigError, match="'attack_steps' = 0"):
        CALConfig.from_dict({"attack_steps": 0})


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_settings_survive_toml(preset, tmp_path):
    config = CALConfig.from_dict({"preset": preset})
    path = tmp_path / "cal.toml"
    path.write_text(config.to_toml())
    assert CALConfig.from_toml(path) == config


def test_weights_that_may_be_negative_have_no_norm():
    with pytest.raises(ConfigError, match="weighted-l2"):
        CALConfig.from_dict({"preset": "paper", "ball": "weighted-l2", "epsilon": 0.1})
    with pytest.raises(ConfigError, match="weight_floor"):
        CALConfig.from_dict({"weight_floor": 0.0})


def test_settings_on_crystals_come_from_their_preset_and_from_what_was_given():
    crystal = CALConfig.from_dict({"preset": "cal-crystal"})
    assert (crystal.attack, crystal.gamma_init, crystal.resample_every) == ("structure", 1e-3, 10)
    cal = CALConfig.from_dict({})
    assert cal.on_crystals() == crystal
    assert cal.without_attack().on_crystals() == crystal.without_attack()
    given = {"gamma_init": 0.5, "strain_budget": 1.0, "epochs": 3}
    assert CALConfig.from_dict(given).on_crystals() == crystal.model_copy(update=given)
    paper = CALConfig.from_dict({"preset": "paper"})
    assert paper.on_crystals() == paper.model_copy(update={"attack": "structure"})
    with pytest.raises(ConfigError, match="attack = 'structure' raises the loss"):
        CALConfig.from_dict({"preset": "cal-crystal", "objective": "uncertainty"})


def test_the_control_differs_in_the_budget_only():
    for preset in PRESETS:
        config = CALConfig.from_dict({"preset": preset})
        control = config.without_attack()
        assert config.attacks
        assert not control.attacks
        same = {"ball": config.ball, "epsilon": config.epsilon}
        assert control.model_copy(update=same) == config
    assert not CALConfig.from_dict({"epsilon": 0.0}).attacks
    assert CALConfig.from_dict({"epsilon": 0.0, "ball": "none"}).attacks


@pytest.mark.parametrize(
    ("settings", "n", "expected"),
    [
        ({"partial_batches": 2, "batch_size": 8}, 40, 16),
        ({"partial_batches": 2, "batch_size": 8}, 11, 11),
        ({"partial_batches": 0, "partial_fraction": 0.25}, 41, 11),
        ({"partial_batches": 0, "partial_fraction": 1.0}, 41, 41),
        ({"partial_batches": 0, "partial_fraction": 0.01}, 3, 1),
    ],
)
def test_partial_sampling_keeps_so_many_rows(settings, n, expected):
    assert CALConfig.from_dict(settings).hard_rows(n) == expected


def test_a_clash_of_settings_names_them_and_nothing_else():
    with pytest.raises(ConfigError, match=r"^ball = 'weighted-l2' needs positive weights"):
        CALConfig.from_dict({"weight_rule": "published", "ball": "weighted-l2"})
