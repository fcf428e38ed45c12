"""The attack on the disagreement of an ensemble: slow references, labels, batches, controls."""

import numpy as np
import pytest
import torch

from reference.cal_disagreement import ascend, disagreement, finite_slope
from reference.cal_problems import make_ensemble, make_rows, seeded, stack_rows, vector
from reference.training import train_cal
from xtalshift.cal.adaptation import AdaptConfig
from xtalshift.cal.attack import attack
from xtalshift.cal.loop import CALTraining, select_hardest
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.step import step
from xtalshift.cal.uncertainty import disagreement_gradient, mean_prediction, predict_all
from xtalshift.cal.weights import CALState, init
from xtalshift.errors import ConfigError
from xtalshift.estimators import CALRegressor
from xtalshift.methods import METHODS, MethodSettings, build_method
from xtalshift.nn.rows import Rows, TrainingData, mean_loss

UNCERTAIN = {"objective": "uncertainty"}
MEAN = {"objective": "uncertainty", "labels": "mean"}
MEMBERS = 3


def ensemble(n_rows=5, *, weighted=False):
    """Return an ensemble, its members as single networks, and one batch for all members."""
    stacked, singles = make_ensemble(range(MEMBERS))
    one = make_rows(n_rows, weighted=weighted)
    return stacked, singles, stack_rows([one] * MEMBERS)


def state(gamma=0.1):
    weights = torch.stack([vector(0.5, 1.0, 2.0, 3.0)] * MEMBERS)
    frozen = torch.zeros_like(weights, dtype=torch.bool)
    return CALState(weights, frozen, vector(*[gamma] * MEMBERS))


class Lines(torch.nn.Module):
    """Two members, ``a . x`` and ``-a . x``: their standard deviation is ``sqrt(2) |a . x|``."""

    members = 2

    def __init__(self, a):
        super().__init__()
        self.a = torch.nn.Parameter(torch.stack([a, -a]))

    def forward(self, x, generator=None):
        return (x * self.a.unsqueeze(-2)).sum(dim=-1)


def test_every_member_predicts_the_rows_of_all():
    stacked, singles, _ = ensemble()
    x = torch.randn(2, 4, 4, generator=seeded(1), dtype=torch.float64)
    found = predict_all(stacked, x)
    assert found.shape == (MEMBERS, 2, 4)
    for member, single in zip(found, singles, strict=True):
        torch.testing.assert_close(member, torch.stack([single(part) for part in x]))
    torch.testing.assert_close(mean_prediction(stacked, x), found.mean(dim=0))
    assert not mean_prediction(stacked, x).requires_grad


@pytest.mark.parametrize("weighted", [False, True])
def test_the_slope_equals_finite_differences(weighted):
    stacked, singles, rows = ensemble(weighted=weighted)
    x = rows.x[0]
    share = rows.weights[0] if weighted else None
    mean, gradient = disagreement_gradient(stacked, x, share)
    spread = torch.tensor([disagreement(singles, row) for row in x], dtype=torch.float64)
    expected = spread.mean() if share is None else (share * spread).sum() / share.sum()
    torch.testing.assert_close(mean, expected, rtol=1e-12, atol=0)
    slow = finite_slope(singles, x, x, share, state().weights[0], 0.1)  # nothing moved: no cost
    torch.testing.assert_close(gradient, slow, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("epsilon", [0.15, 5.0])
def test_the_attack_equals_the_reference(weighted, epsilon):
    stacked, singles, rows = ensemble(weighted=weighted)
    config = CALConfig.from_dict(
        {**UNCERTAIN, "attack_steps": 3, "attack_step_size": 0.1, "epsilon": epsilon}
    )
    found = attack(stacked, rows, state(), config)
    share = rows.weights[0] if weighted else None
    slow = ascend(singles, rows.x[0], share, state().weights[0], 0.1, 0.1, 3, epsilon)
    for member in found.rows.x:
        torch.testing.assert_close(member, slow, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.start_loss, mean_loss(stacked(rows.x), rows.y, rows.weights))
    assert found.rows.y is rows.y
    assert all(p.grad is None for p in stacked.parameters())


def test_rows_go_where_two_lines_part():
    model = Lines(vector(3.0, 4.0))
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    rows = stack_rows([Rows(x, vector(0.0, 0.0))] * 2)
    config = CALConfig.from_dict(
        {**MEAN, "attack_steps": 1, "attack_step_size": 0.5, "epsilon": 0.5}
    )
    weights = torch.ones(2, 2, dtype=torch.float64)
    free = CALState(weights, torch.zeros_like(weights, dtype=torch.bool), vector(0.0, 0.0))
    found = attack(model, rows, free, config)
    # a root mean square of 0.5 along (3, 4) / 5 on one side and against it on the other
    moved = 0.5 * 2**0.5 * torch.tensor([[0.6, 0.8], [-0.6, -0.8]], dtype=torch.float64)
    torch.testing.assert_close(found.rows.x, (x + moved).expand(2, 2, 2))
    torch.testing.assert_close(found.rows.y, torch.zeros(2, 2, dtype=torch.float64))
    # at the start the members predict 3 and -3, one half from 1 on the linear branch
    torch.testing.assert_close(found.start_loss.detach(), vector(2 * 2.5)[0])


def test_members_that_agree_leave_a_row_where_it_is():
    model = Lines(vector(3.0, 4.0))
    x = torch.tensor([[4.0, -3.0]], dtype=torch.float64)  # both predict 0
    mean, gradient = disagreement_gradient(model, x)
    assert float(mean) == 0.0
    assert gradient.tolist() == [[0.0, 0.0]]


def test_a_mean_label_is_that_of_the_place_the_row_has_moved_to():
    stacked, singles, rows = ensemble()
    config = CALConfig.from_dict(MEAN)
    found = attack(stacked, rows, state(), config)
    own = attack(stacked, rows, state(), CALConfig.from_dict(UNCERTAIN))
    assert torch.equal(found.rows.x, own.rows.x)
    expected = torch.stack([single(found.rows.x[0]) for single in singles]).mean(dim=0)
    torch.testing.assert_close(found.rows.y, expected.detach().expand(MEMBERS, -1))
    assert not found.rows.y.requires_grad
    start = mean_prediction(stacked, rows.x)
    torch.testing.assert_close(found.start_loss, mean_loss(stacked(rows.x), start).detach())


def test_the_control_moves_no_row_and_labels_alike():
    stacked, _, rows = ensemble()
    own, mean = (
        attack(stacked, rows, state(), CALConfig.from_dict(settings).without_attack())
        for settings in (UNCERTAIN, MEAN)
    )
    for found in (own, mean):
        assert torch.equal(found.rows.x, rows.x)
        assert not bool(found.path.any())
    assert own.rows.y is rows.y
    torch.testing.assert_close(mean.rows.y, mean_prediction(stacked, rows.x))


def test_labels_may_be_the_mean_where_the_loss_is_raised():
    """Then each member has its own batch."""
    stacked, _, _ = ensemble()
    rows = stack_rows([make_rows(4, seed=m) for m in range(MEMBERS)])
    found = attack(stacked, rows, state(), CALConfig.from_dict({"labels": "mean"}))
    loss = attack(stacked, rows, state(), CALConfig.from_dict({}))
    assert torch.equal(found.rows.x, loss.rows.x)
    torch.testing.assert_close(found.rows.y, mean_prediction(stacked, found.rows.x))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_hardest_rows_are_those_of_the_largest_disagreement(weighted):
    stacked, singles, rows = ensemble(11, weighted=weighted)
    one = make_rows(11, weighted=weighted)
    spread = np.array([disagreement(singles, row) for row in rows.x[0]])
    if weighted:
        spread = spread * one.weights.numpy()
    found = select_hardest(stacked, one, 4, None, "uncertainty")
    assert found.tolist() == [np.argsort(-spread)[:4].tolist()] * MEMBERS


def test_all_members_get_the_same_adversarial_batches_and_keep_one_transport_cost():
    stacked, _ = make_ensemble(range(MEMBERS))
    source = make_rows(13)
    config = CALConfig.from_dict(
        {**UNCERTAIN, "epochs": 3, "warmup_epochs": 1, "batch_size": 4, "partial_fraction": 0.7,
         "weight_every": 1, "environments": "random"}
    )  # fmt: skip
    seen = []

    def attacker(model, rows, state, config):
        seen.append(rows.y)
        return attack(model, rows, state, config)

    training = CALTraining(
        stacked, TrainingData(source, source), config, seeded(), attacker=attacker
    )
    for epoch in range(3):
        training.run_epoch(epoch)
    assert [batch.shape for batch in seen] == [(MEMBERS, 4), (MEMBERS, 4), (MEMBERS, 2)] * 2
    for batch in seen:
        assert torch.equal(batch, batch[:1].expand_as(batch))
    assert not torch.equal(torch.cat(seen[:3], 1)[0], torch.cat(seen[3:], 1)[0])
    weights = training.cal.weights
    assert torch.equal(weights, weights[:1].expand_as(weights))
    assert float((weights - 1).abs().max()) > 0.05


@pytest.mark.parametrize("settings", [UNCERTAIN, MEAN])
def test_an_attack_raises_the_disagreement_and_a_step_with_mean_labels_lowers_it(settings):
    stacked, _, rows = ensemble(9)
    config = CALConfig.from_dict({**settings, "dropout_epochs": 0, "weight_rule": "fixed"})
    cost = init(4, config, like=rows.x, members=MEMBERS)
    moved = attack(stacked, rows, cost, config).rows
    before = float(disagreement_gradient(stacked, rows.x[0])[0])
    attacked = float(disagreement_gradient(stacked, moved.x[0])[0])
    assert attacked > before
    optimizer = torch.optim.SGD(stacked.parameters(), lr=0.02)
    _, report = step(stacked, rows, cost, config, 0, seeded(), optimizer=optimizer, measure=True)
    assert report.loss_gain is not None
    if settings is MEAN:
        assert float(report.loss_gain) > 0
        assert float(disagreement_gradient(stacked, moved.x[0])[0]) < attacked


def test_an_ensemble_of_one_batch_is_trained_to_finite_weights():
    stacked, _ = make_ensemble(range(MEMBERS))
    rows = make_rows(20, n_environments=3)
    config = CALConfig.from_dict({**MEAN, "epochs": 4, "warmup_epochs": 1, "weight_every": 1})
    result = train_cal(stacked, TrainingData(rows, make_rows(5, seed=1)), config, seeded())
    last = result.history[-1]
    assert last["phase"] == "cal"
    assert 0 < last["displacement_rms"] <= 0.1 * (1 + 1e-6)
    assert result.extras["weights"].shape == (MEMBERS, 4)


def test_one_network_has_nobody_to_disagree_with():
    X = np.random.default_rng(0).normal(size=(20, 3))
    for settings in (UNCERTAIN, {"labels": "mean"}):
        with pytest.raises(ConfigError, match="n_members = 1; set n_members = 5"):
            CALRegressor(settings=settings, device="cpu").fit(X, X[:, 0])
    with pytest.raises(ConfigError, match="leave bootstrap = False"):
        CALRegressor(settings=UNCERTAIN, n_members=2, bootstrap=True, device="cpu").fit(X, X[:, 0])


def test_compositions_and_adaptations_raise_the_loss_only():
    for settings in (UNCERTAIN, {"labels": "mean"}):
        with pytest.raises(ConfigError, match="attack = 'composition' raises the loss"):
            CALConfig.from_dict({**settings, "attack": "composition"})
    with pytest.raises(ConfigError, match=r"cal\.objective = 'uncertainty' does not work"):
        AdaptConfig.from_dict({"cal": UNCERTAIN})
    with pytest.raises(ConfigError, match=r"cal\.labels = 'mean' does not work"):
        AdaptConfig.from_dict({"cal": {"labels": "mean"}})


def test_the_methods_are_an_ensemble_and_differ_in_the_attack_only():
    settings = MethodSettings.from_dict({"device": "cpu", "cal": {"epsilon": 0.2}})
    model, control = (
        build_method(name, settings, seed=1) for name in ("cal-uncertainty", "cal-uncertainty-eps0")
    )
    assert METHODS["cal-uncertainty"].control == "cal-uncertainty-eps0"
    assert (model.n_members, control.n_members) == (5, 5)
    own = model._config()
    assert (own.objective, own.labels, own.epsilon) == ("uncertainty", "own", 0.2)
    assert control._config() == own.without_attack()
    many = MethodSettings.from_dict({"network": {"n_members": 7}})
    assert build_method("cal-uncertainty", many, seed=1).n_members == 7
