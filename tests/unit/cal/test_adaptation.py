"""Adaptation: every method does what its name says, at the same budget."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.cal_problems import make_ensemble, make_model, make_rows, seeded, vector
from xtalshift.cal.adaptation import ADAPTATIONS, AdaptConfig, adapt_network
from xtalshift.cal.attack import attack, ball_norm
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.weights import init
from xtalshift.errors import ConfigError
from xtalshift.experimental.unlabelled_cal import attack_toward, shift_weights
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.nn.irnet import copy_parameters
from xtalshift.nn.rows import Rows

METHODS = tuple(ADAPTATIONS)
UNLABELLED = ("unlabelled-cal", "unlabelled-cal-eps0")
LABELLED = tuple(name for name in METHODS if name not in UNLABELLED)
FINE_TUNED = ("fine-tune", "l2-sp", "head-only")
EPS0 = ("targeted-cal-eps0", "unlabelled-cal-eps0")
FAR = 6.0
"""Target rows lie so far away in the first feature that an attack of 0.1 cannot hide them."""


def target_rows(n, seed=1):
    rows = make_rows(n, seed=seed)
    x = rows.x.clone()
    x[:, 0] = FAR + 0.3 * x[:, 0]
    return Rows(x, x[:, 2] + 2.0)


SOURCE, TARGET, VALIDATION = make_rows(24), target_rows(20), target_rows(12, seed=2)


def tiny(method, **changes):
    values = {"steps": 20, "batch_size": 4, "learning_rate": 5e-3, "cal": {"weight_every": 1}}
    return AdaptConfig.from_dict({"method": method, **values, **changes})


def adapt(method, *, source=SOURCE, target=TARGET, validation=VALIDATION, model=None, **changes):
    """Return the model before the adaptation and what came of it."""
    model = make_model("irnet") if model is None else model
    start = copy_parameters(model)
    config = tiny(method, **changes)
    return start, adapt_network(model, source, target, validation, config, seeded(3))


def assert_same(a, b):
    for kind, state in a.states.items():
        for name, value in state.items():
            assert torch.equal(value, b.states[kind][name]), (kind, name)


def differs(a, b):
    return any(not torch.equal(v, b.states["last"][k]) for k, v in a.states["last"].items())


def distance(state, start):
    return math.sqrt(sum(float((state[name] - start[name]).square().sum()) for name in start))


def count_steps(method, **options):
    """Return per kind of rows the sizes of the batches that parameters were stepped on.

    Only parameter steps have dropout, so only they pass a generator.
    """
    model = make_model("irnet")
    forward, sizes = model.forward, {"source": [], "target": []}

    def counting(x, generator=None):
        if generator is not None:
            far = (x[:, 0] > FAR / 2).tolist()
            assert all(far) or not any(far)
            sizes["target" if far[0] else "source"].append(len(x))
        return forward(x, generator)

    model.forward = counting
    adapt(method, model=model, **options)
    return sizes


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_take_the_same_number_of_steps(method):
    sizes = count_steps(method)
    steps = {kind: len(batches) for kind, batches in sizes.items()}
    if method in UNLABELLED:  # a step on the rows and one on what the attack makes of them
        assert steps == {"source": 2 * 24, "target": 0}  # 20 steps are 4 epochs of 6
    else:
        assert steps == {"source": 0 if method in FINE_TUNED else 20, "target": 20}
    assert {size for batches in sizes.values() for size in batches} == {4}


@pytest.mark.parametrize("method", LABELLED)
def test_few_labels_get_as_many_steps_as_many_labels(method):
    sizes = count_steps(method, target=target_rows(3))
    assert sizes["target"] == [3] * 20


@pytest.mark.parametrize("method", ["targeted-cal", "targeted-cal-eps0", *FINE_TUNED])
def test_without_source_rows_only_target_rows_are_trained_on(method):
    sizes = count_steps(method, source=None)
    assert sizes["source"] == []
    # CAL has an ordinary step beside each adversarial one
    assert len(sizes["target"]) == 20


@pytest.mark.parametrize("method", ["joint", *UNLABELLED])
def test_methods_that_need_source_rows_say_so(method):
    with pytest.raises(ValueError, match=f"{method}.*source rows"):
        adapt(method, source=None)


@pytest.mark.parametrize(
    ("replay", "expected"),
    [
        (0.5, 10),
        (1.0, 20),
        (2.5, 50),
    ],
)
def test_replay_is_the_number_of_source_steps_per_target_step(replay, expected):
    sizes = count_steps("targeted-cal", replay=replay)
    assert (len(sizes["source"]), len(sizes["target"])) == (expected, 20)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_repeats_its_bits_and_changes_the_model(method):
    start, first = adapt(method)
    _, again = adapt(method)
    assert_same(first, again)
    assert set(first.states) == {"best", "last", "ema"}
    assert all(distance(state, start) > 0 for state in first.states.values())
    errors = [record["val_mae"] for record in first.history]
    assert first.best_epoch == errors.index(min(errors))


@pytest.mark.parametrize("method", LABELLED)
def test_labels_of_the_target_domain_lower_the_error_there(method):
    model = make_model("irnet", (16, 8))
    with torch.no_grad():
        before = float((model(VALIDATION.x) - VALIDATION.y).abs().mean())
    _, result = adapt(method, model=model, steps=200, learning_rate=1e-2)
    assert result.history[result.best_epoch]["val_mae"] < 0.5 * before


@pytest.mark.parametrize("method", ["targeted-cal", "unlabelled-cal"])
def test_the_control_is_the_same_recipe_with_no_row_moved(method):
    _, attacked = adapt(method)
    _, control = adapt(f"{method}-eps0")
    assert all(record["displacement_rms"] > 0.05 for record in attacked.history)
    assert all(record["displacement_max"] == 0 for record in control.history)
    assert all(record["attack_loss_gain"] == 0 for record in control.history)
    assert len(attacked.history) == len(control.history)
    _, zero = adapt(method, cal={"epsilon": 0.0, "weight_every": 1})
    assert_same(control, zero)
    assert torch.equal(control.extras["weights"], zero.extras["weights"])


@pytest.mark.parametrize("method", ["targeted-cal", "unlabelled-cal"])
def test_the_attack_is_recorded_and_bounded(method):
    for epsilon in (0.05, 0.3):
        settings = {"epsilon": epsilon, "attack_steps": 5}
        _, result = adapt(method, cal=settings)
        assert all(r["displacement_rms"] <= epsilon * (1 + 1e-9) for r in result.history)
        assert result.history[0]["displacement_rms"] == pytest.approx(epsilon, rel=0.05)


def test_head_only_leaves_all_but_the_head_as_it_was():
    start, result = adapt("head-only", l2_sp=5.0)
    for kind, state in result.states.items():
        for name, value in state.items():
            assert torch.equal(value, start[name]) == (not name.startswith("head.")), (kind, name)
    _, without = adapt("head-only", l2_sp=0.0)
    assert_same(result, without)


def test_l2_sp_stays_nearer_to_the_start_the_stronger_it_is():
    start, fine_tune = adapt("fine-tune", steps=100)
    far = distance(fine_tune.states["last"], start)
    distances = [
        distance(adapt("l2-sp", steps=100, l2_sp=strength)[1].states["last"], start)
        for strength in (1.0, 10.0, 100.0)
    ]
    assert far > distances[0] > distances[1] > distances[2] > 0
    assert distances[2] < 0.2 * far
    assert_same(fine_tune, adapt("l2-sp", steps=100, l2_sp=0.0)[1])


@pytest.mark.parametrize("method", ["joint", "targeted-cal", "targeted-cal-eps0"])
def test_source_labels_matter_where_source_rows_are_replayed(method):
    _, result = adapt(method)
    _, other = adapt(method, source=Rows(SOURCE.x, SOURCE.y + 1.0))
    assert differs(result, other)
    _, other = adapt(method, target=Rows(TARGET.x, TARGET.y + 1.0))
    assert differs(result, other)


@pytest.mark.parametrize("method", FINE_TUNED)
def test_source_rows_do_not_matter_to_fine_tuning(method):
    _, result = adapt(method)
    _, other = adapt(method, source=Rows(SOURCE.x + 1.0, SOURCE.y + 1.0))
    assert_same(result, other)


@pytest.mark.parametrize("method", UNLABELLED)
def test_unlabelled_cal_never_looks_at_target_labels(method):
    blank = Rows(TARGET.x, torch.full_like(TARGET.y, math.nan))
    _, without = adapt(method, target=blank, validation=SOURCE)
    _, labelled = adapt(method, validation=SOURCE)
    assert_same(without, labelled)
    for state in without.states.values():
        assert all(bool(torch.isfinite(value).all()) for value in state.values())


def test_where_the_target_rows_lie_matters_to_unlabelled_cal_and_not_to_its_control():
    other = Rows(-TARGET.x, TARGET.y)
    assert differs(adapt("unlabelled-cal")[1], adapt("unlabelled-cal", target=other)[1])
    assert_same(adapt(EPS0[1])[1], adapt(EPS0[1], target=other)[1])


def nearest(x, others):
    return torch.cdist(x, others).amin(dim=-1).mean()


def test_the_pull_brings_rows_nearer_to_target_rows():
    model = make_model("irnet")
    config = CALConfig.from_dict({"preset": "cal-targeted", "epsilon": 0.3, "attack_steps": 5})
    state = init(4, config, like=SOURCE.x)
    plain = attack(model, SOURCE, state, config).rows.x
    pulled = attack_toward(TARGET.x)(model, SOURCE, state, config).rows.x
    before = nearest(SOURCE.x, TARGET.x)
    assert nearest(pulled, TARGET.x) < before - 0.2
    assert nearest(pulled, TARGET.x) < nearest(plain, TARGET.x) - 0.1


def test_the_pull_leads_to_the_nearest_row_where_the_loss_is_flat():
    model = make_model("tanh", (3,))
    with torch.no_grad():
        model.head.weight.zero_()  # no gradient in x: the pull alone decides
    config = CALConfig.from_dict(
        {"preset": "cal-targeted", "ball": "none", "attack_steps": 1, "attack_step_size": 0.5}
    )
    rows = Rows(vector([0.0, 0, 0, 0], [10.0, 0, 0, 0]), vector(0.0, 0.0))
    targets = vector([0.0, 3.0, 4.0, 0.0], [10.0, 0.0, 0.0, -2.0])
    moved = attack_toward(targets)(model, rows, init(4, config, like=rows.x), config).rows.x
    # length 0.5 in the root mean square over 4 features is 1
    torch.testing.assert_close(moved, vector([0.0, 0.6, 0.8, 0.0], [10.0, 0.0, 0.0, -1.0]))


@given(
    seed=st.integers(0, 1000),
    ball=st.sampled_from(["linf", "l2", "weighted-l2"]),
    epsilon=st.floats(0.01, 2.0),
    steps=st.integers(1, 4),
    size=st.floats(0.01, 3.0),
)
@settings(max_examples=30, deadline=None)
def test_the_pull_does_not_lead_out_of_the_ball(seed, ball, epsilon, steps, size):
    config = CALConfig.from_dict(
        {"preset": "cal-targeted", "ball": ball, "epsilon": epsilon, "attack_steps": steps,
         "attack_step_size": size}
    )  # fmt: skip
    rows = make_rows(5, seed=seed)
    state = init(4, config, like=rows.x)
    weights = 0.1 + torch.rand(4, generator=seeded(seed), dtype=torch.float64)
    state = type(state)(weights, state.frozen, state.gamma)
    moved = attack_toward(TARGET.x)(make_model("irnet"), rows, state, config).rows.x - rows.x
    reached = ball_norm(moved, weights, ball)
    assert float(reached.max()) <= epsilon * (1 + 1e-9)
    assert float(reached.min()) > 0


def test_shift_weights_known_answer():
    config = CALConfig.from_dict(
        {"preset": "cal-targeted", "weight_init": 2.0, "weight_floor": 0.1}
    )
    source = vector([-1.0, 0.0, 2.0, 1.0], [1.0, 0.0, 4.0, 1.0])
    target = vector([0.0, 1.0, 0.0, 11.0])
    found = shift_weights(source, target, config)
    torch.testing.assert_close(found, vector(2.0, 1.0, 0.2, 0.1))  # 2/101 is below the floor


def test_an_ensemble_adapts_every_member():
    for method in METHODS:
        stacked, _ = make_ensemble((0, 1))
        start, result = adapt(method, model=stacked)
        for m in range(2):
            moved = [float((result.states["last"][k][m] - start[k][m]).norm()) for k in start]
            assert max(moved) > 0, method


class KilledError(Exception):
    """Stands for a kill."""


def test_a_killed_adaptation_goes_on_with_the_same_bits(tmp_path):
    for method in ("targeted-cal", "unlabelled-cal", "joint", "l2-sp"):
        config = tiny(method, steps=40)
        whole = adapt(method, steps=40)[1]
        checkpoint = Checkpoint(tmp_path / method, "same", seconds=0.0)

        class Stop(Checkpoint):
            def save(self, state, calls=[0]):  # noqa: B006 - counts
                super().save(state)
                calls[0] += 1
                if calls[0] == 2:
                    raise KilledError

        model = make_model("irnet")
        rest = (SOURCE, TARGET, VALIDATION, config)
        with pytest.raises(KilledError):
            adapt_network(
                copy.deepcopy(model), *rest, seeded(3),
                checkpoint=Stop(tmp_path / method, "same", seconds=0.0),
            )  # fmt: skip
        assert checkpoint.path.exists()
        assert_same(adapt_network(model, *rest, seeded(99), checkpoint=checkpoint), whole)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cal": {"epsilonn": 0.2}}, r"'cal'.*'epsilonn'.*did you mean 'epsilon'"),
        ({"cal": {"epsilon": -1.0}}, r"'cal'.*'epsilon' = -1"),
        ({"cal": {"preset": "papr"}}, r"'cal'.*no CAL preset 'papr' \(did you mean 'paper'"),
        ({"cal": 3}, "'cal' = 3"),
        ({"stepz": 3}, r"unknown setting 'stepz' \(did you mean 'steps'"),
        ({"steps": 0}, "'steps' = 0"),
        ({"method": "fine-tuning"}, "'method' = 'fine-tuning'.*'fine-tune'"),
        ({"target_share": 0.0}, "'target_share' = 0"),
    ],
)
def test_wrong_settings_are_named(values, words):
    with pytest.raises(ConfigError, match=words):
        AdaptConfig.from_dict(values)


def test_settings_of_the_cal_steps_are_those_of_adaptation_and_can_be_overridden():
    config = tiny("targeted-cal", replay=0.5, cal={"attack_steps": 3, "batch_size": 7})
    cal = config.cal_config(6)
    assert (cal.preset, cal.epochs, cal.replay, cal.learning_rate) == ("cal-targeted", 4, 0.5, 5e-3)
    assert (cal.attack_steps, cal.batch_size) == (3, 7)
    assert cal.attacks
    assert not tiny("targeted-cal-eps0").cal_config(6).attacks


@pytest.mark.parametrize("name", ["steps", "patience", "batch_size"])
def test_a_number_of_steps_or_rows_is_at_least_1(name):
    assert getattr(AdaptConfig.from_dict({name: 1}), name) == 1
    with pytest.raises(ConfigError, match=name):
        AdaptConfig.from_dict({name: 0})
