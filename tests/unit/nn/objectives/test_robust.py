"""Training for a worst case, for several environments, and on mixed rows."""

import pytest
import torch

from reference.cal_problems import (
    assert_members_equal,
    make_ensemble,
    make_model,
    make_rows,
    seeded,
)
from xtalshift.errors import ConfigError
from xtalshift.experimental.divergence_balls import (
    RADII,
    DivergenceBallConfig,
    DivergenceBallTraining,
    chi2_weights,
    kl_weights,
)
from xtalshift.nn.checkpoint import Checkpoint, copy_state
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import IRNet, copy_parameters
from xtalshift.nn.objectives import robust as robust_module
from xtalshift.nn.objectives.environments import (
    GroupWeights,
    draw_balanced,
    environment_risks,
    vrex_loss,
)
from xtalshift.nn.objectives.mixup import mix_rows
from xtalshift.nn.objectives.robust import STRENGTHS, RobustConfig, RobustTraining, cvar_weights
from xtalshift.nn.rows import Rows, mean_loss, row_losses
from xtalshift.nn.settings import ERMConfig
from xtalshift.nn.training import run_training

WORST = {"cvar": cvar_weights, "chi2": chi2_weights, "kl": kl_weights}
# one batch per epoch
WHOLE = {"epochs": 6, "batch_size": 100, "learning_rate": 1e-2, "weight_decay": 0.0}
OBJECTIVES = sorted({**STRENGTHS, **RADII})
KINDS = (RobustConfig, RobustTraining)


def training(model, rows, objective, *, seed=5, sample=None, **changes):
    kinds = (DivergenceBallConfig, DivergenceBallTraining) if objective in RADII else KINDS
    config = kinds[0](**{"objective": objective, **WHOLE, **changes})
    return kinds[1](model, rows, config, seeded(seed), sample=sample)


def gradients(run):
    """Return the gradient of the first step of a training, by a step of plain descent."""
    start = copy_parameters(run.model)
    run.optimizer = torch.optim.SGD(run.model.parameters(), lr=1e-3)
    run.run_epoch(0)
    rate = run.optimizer.param_groups[0]["lr"]
    now = copy_parameters(run.model)
    return {name: (start[name] - now[name]) / rate for name in start}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["cvar", "chi2", "kl", "v-rex"])
def test_the_gradient_is_that_of_the_objective(name, weighted):
    model = make_model("irnet", dropout=0.0)
    rows = make_rows(14, weighted=weighted, n_environments=3)
    run = training(model, rows, name, strength=0.4, epochs=1)
    drawn = draw_balanced(rows.environments, seeded(5)) if name == "v-rex" else torch.arange(14)
    batch = rows.take(drawn)

    def objective():
        losses = row_losses(model(batch.x), batch.y)
        if name in WORST:
            return (WORST[name](losses, 0.4, batch.weights) * losses).sum()
        return vrex_loss(*environment_risks(losses, batch.environments, 3, batch.weights), 0.4)

    expected = torch.autograd.grad(objective(), list(model.parameters()))
    # the worst case has a gradient, and that of fixed weights is it: compare with a difference
    parameter, step = model.head.bias, 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter += sign * step
            values.append(float(objective()))
            parameter -= sign * step
    assert float(expected[-1]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)
    for (key, found), gradient in zip(gradients(run).items(), expected, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-6, atol=1e-9, msg=key)


def test_group_dro_steps_down_the_weighted_risks_and_keeps_the_weights():
    model = make_model("irnet", dropout=0.0)
    rows = make_rows(30, n_environments=3)
    run = training(model, rows, "group-dro", strength=2.0, epochs=1)
    batch = rows.take(draw_balanced(rows.environments, seeded(5)))
    risks, present = environment_risks(row_losses(model(batch.x), batch.y), batch.environments, 3)
    weights = GroupWeights.uniform(3, None, rows.y).update(risks, present, 2.0)
    expected = torch.autograd.grad((weights.values * risks).sum(), list(model.parameters()))
    for found, gradient in zip(gradients(run).values(), expected, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(run.extras()["group_weights"], weights.values)
    assert training(model, rows, "v-rex").extras() == {}


@pytest.mark.parametrize(
    ("objective", "strength"), [("cvar", 1.0), ("chi2", 0.0), ("kl", 0.0)]
)  # fmt: skip
@pytest.mark.parametrize("weighted", [False, True])
def test_without_robustness_it_is_plain_training(objective, strength, weighted):
    rows = make_rows(23, weighted=weighted)
    states = []
    for kind in ("robust", "plain"):
        model = make_model("irnet", dropout=0.3)
        options = {"strength": strength, "epochs": 3, "batch_size": 8}
        plain = ERMConfig(epochs=3, batch_size=8, learning_rate=1e-2)
        run = (
            training(model, rows, objective, seed=2, weight_decay=1e-2, **options)
            if kind == "robust"
            else ERMTraining(model, rows, plain, seeded(2))
        )  # fmt: skip
        for epoch in range(3):
            run.run_epoch(epoch)
        states.append((copy_parameters(model), run.ema))
    for first, second in zip(*states, strict=True):
        for name, value in first.items():
            torch.testing.assert_close(value, second[name], rtol=1e-8, atol=1e-10)


def test_a_narrow_mixture_of_distinct_targets_is_plain_training():
    """No other row is near: each row is its own partner."""
    model, rows = make_model("irnet", dropout=0.0), make_rows(14, weighted=True)
    loss = mean_loss(model(rows.x), rows.y, rows.weights)
    expected = torch.autograd.grad(loss, list(model.parameters()))
    found = gradients(training(model, rows, "c-mixup", strength=1e-6, epochs=1))
    for value, gradient in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(value, gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("pool", [5, 1000])
@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_partners_have_similar_targets_in_every_kind_of_training(
    pool, members, bootstrap, monkeypatch
):
    monkeypatch.setattr(robust_module, "POOL", pool)
    y = torch.tensor([0.0] * 20 + [10.0] * 20, dtype=torch.float64)
    rows = Rows(torch.stack([y, torch.arange(40.0)], dim=-1).repeat(1, 2).double(), y)
    mixed = []
    monkeypatch.setattr(
        robust_module, "mix_rows", lambda *parts: (mixed.append(parts), mix_rows(*parts))[1]
    )
    if bootstrap and members is None:
        return
    sample = torch.randint(40, (2, 40), generator=seeded(1)) if bootstrap else None
    model = make_model("irnet") if members is None else make_ensemble((0, 1))[0]
    training(model, rows, "c-mixup", sample=sample, batch_size=16).run_epoch(0)
    for batch, partners, share in mixed:
        assert torch.equal(batch.y, partners.y)
        assert batch.x.shape == partners.x.shape
        assert share.shape == batch.y.shape
        if sample is not None:  # a member sees the rows of its own sample only
            for m in range(2):
                assert set(partners.x[m, :, 1].long().tolist()) <= set(sample[m].tolist())
    assert any(not torch.equal(batch.x, partners.x) for batch, partners, _ in mixed)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_small_set_is_fitted(objective):
    x = torch.randn(64, 5, generator=seeded(0))
    y = torch.sin(x[:, 0]) + 0.5 * x[:, 1]
    rows = Rows(x, y, environments=torch.arange(64) % 3)
    model = IRNet(5, (64, 32), 0.0, seeded())
    strength = {"c-mixup": 0.01}.get(objective)  # else it fits the mixtures
    run = training(model, rows, objective, strength=strength, epochs=80, batch_size=16,
                   learning_rate=1e-2, weight_decay=1e-2)  # fmt: skip
    result = run_training(run, rows, epochs=80, patience=80, name="toy")
    assert min(record["val_mae"] for record in result.history) < 0.04
    assert result.history[0]["val_mae"] > 0.2


class Killed(Exception):  # noqa: N818
    pass


def bits_of(result):
    return {
        (kind, name): value.tolist()
        for kind, state in [*result.states.items(), ("extras", result.extras)]
        for name, value in state.items()
    }


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_killed_training_goes_on_with_the_same_bits(objective, tmp_path):
    rows, validation = make_rows(40, n_environments=3), make_rows(10, seed=1)
    file = tmp_path / "training"

    def run(checkpoint=None, stop=None):
        model = make_model("irnet", dropout=0.3)
        robust = training(model, rows, objective, batch_size=16, epochs=20)
        epoch_of = robust.run_epoch

        def run_epoch(epoch):
            if epoch == stop:
                raise Killed
            return epoch_of(epoch)

        robust.run_epoch = run_epoch
        return run_training(robust, validation, epochs=20, patience=20, name="x",
                            checkpoint=checkpoint)  # fmt: skip

    whole = run()
    for stop in (1, 7):
        with pytest.raises(Killed):
            run(Checkpoint(file, "key", seconds=0.0), stop)
        assert file.exists()
        resumed = run(Checkpoint(file, "key", seconds=0.0))
        assert bits_of(resumed) == bits_of(whole)
        assert resumed.history == whole.history
        file.unlink()


def test_the_weights_of_groups_are_undone_with_an_epoch():
    run = training(make_model("irnet"), make_rows(12, n_environments=3), "group-dro", strength=1.0)
    before = copy_state(run.get_state())
    run.run_epoch(0)
    after = run.groups.log.clone()
    run.set_state(before)
    assert torch.equal(run.groups.values, torch.full((3,), 1 / 3, dtype=torch.float64))
    run.run_epoch(0)
    assert torch.equal(run.groups.log, after)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("objective", ["cvar", "chi2", "kl"])
def test_an_ensemble_is_its_members_trained_alone(objective, weighted):
    """With all rows in one batch the order does not matter, only what each member gets."""
    stacked, singles = make_ensemble((0, 1))
    rows = make_rows(15, weighted=weighted)
    for model in (stacked, *singles):
        run = training(model, rows, objective)
        for epoch in range(4):
            run.run_epoch(epoch)
    assert_members_equal(stacked, singles, 1e-8)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_members_with_samples_of_their_own(objective):
    rows = make_rows(12, n_environments=2)
    sample = torch.stack([torch.arange(12) % 5, 5 + torch.arange(12) % 6])  # row 11 in none

    def train(spoiled=()):
        x = rows.x.clone()
        x[list(spoiled)] += 1.0
        model, _ = make_ensemble((0, 1), dropout=0.3)
        given = Rows(x, rows.y, None, rows.environments)
        run = training(model, given, objective, sample=sample, batch_size=5)
        for epoch in range(2):
            run.run_epoch(epoch)
        return copy_parameters(model)

    start = train()
    for row in (0, 7, 11):
        found = train([row])
        for m in range(2):
            same = all(torch.equal(found[name][m], value[m]) for name, value in start.items())
            assert same or row in sample[m]


def test_vrex_has_its_penalty_after_the_first_tenth_and_selects_only_then():
    run = training(make_model("irnet"), make_rows(12, n_environments=2), "v-rex", epochs=20)
    assert [run.may_select(epoch) for epoch in (0, 1, 2, 19)] == [False, False, True, True]
    seen = []
    original = robust_module.vrex_loss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robust_module, "vrex_loss", lambda *a: (seen.append(a[2]), original(*a))[1])
        for epoch in range(4):
            run.run_epoch(epoch)
    assert seen == [0.0, 0.0, STRENGTHS["v-rex"], STRENGTHS["v-rex"]]
    assert training(make_model("irnet"), make_rows(9), "cvar", epochs=20).may_select(0)


@pytest.mark.parametrize(
    ("objective", "strength"),
    [("cvar", 0.0), ("cvar", 1.5), ("c-mixup", 0.0),
     ("group-dro", -0.1)],
)  # fmt: skip
def test_a_wrong_strength_is_named(objective, strength):
    with pytest.raises(ConfigError, match=f"strength = {strength}.*{objective}"):
        RobustConfig.from_dict({"objective": objective, "strength": strength})


def test_an_infinite_strength_is_refused():
    with pytest.raises(ConfigError, match="'strength' = inf: Input should be a finite number"):
        RobustConfig.from_dict({"objective": "v-rex", "strength": float("inf")})


def test_a_wrong_radius_is_named():
    for radius in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=f"'strength' = {radius}"):
            DivergenceBallConfig.from_dict({"objective": "chi2", "strength": radius})


def test_missing_environments_are_named():
    for objective in ("group-dro", "v-rex"):
        with pytest.raises(ConfigError, match=f"{objective}.*environment of each row"):
            training(make_model("irnet"), make_rows(5), objective)
    training(make_model("irnet"), make_rows(5), "cvar").run_epoch(0)


def two_groups():
    """Return a large easy and a small group of rows that a line cannot fit both."""
    generator = seeded(0)
    x = torch.randn(400, 2, generator=generator, dtype=torch.float64)
    rare = torch.arange(400) % 10 == 0
    x[:, 1] = 0.0  # nothing tells the groups apart
    y = torch.where(rare, -x[:, 0], x[:, 0])
    return Rows(x, y, environments=rare.long()), rare


@pytest.mark.parametrize(
    ("objective", "strength"),
    [("cvar", 0.15), ("chi2", 5.0), ("kl", 1.0), ("group-dro", 0.5), ("v-rex", 20.0)],
)
def test_the_worst_group_is_better_than_with_plain_training(objective, strength):
    rows, rare = two_groups()
    options = {"epochs": 60, "batch_size": 100, "learning_rate": 1e-2, "weight_decay": 0.0}

    def worst(run):
        for epoch in range(60):
            run.run_epoch(epoch)
        with torch.no_grad():
            losses = row_losses(run.model(rows.x), rows.y)
        return max(float(losses[rare].mean()), float(losses[~rare].mean()))

    def model():
        return IRNet(2, (16,), 0.0, seeded()).double()

    plain = worst(ERMTraining(model(), rows, ERMConfig(**options), seeded(1)))
    robust = worst(training(model(), rows, objective, strength=strength, **options))
    assert robust < 0.7 * plain
