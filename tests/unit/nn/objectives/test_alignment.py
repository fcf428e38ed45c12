"""Distances between representations against their definitions, and training on them."""

import math

import numpy as np
import pytest
import torch

from reference.cal_problems import (
    TanhNet,
    assert_members_equal,
    make_ensemble,
    make_model,
    make_rows,
    seeded,
    vector,
)
from xtalshift.errors import ConfigError
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import IRNet, copy_parameters
from xtalshift.nn.objectives.alignment import AlignedConfig, AlignedTraining, coral_loss, mmd_loss
from xtalshift.nn.rows import Rows, mean_loss
from xtalshift.nn.settings import ERMConfig
from xtalshift.nn.training import run_training

LOSSES = {"coral": coral_loss, "mmd": mmd_loss}
WHOLE = {"epochs": 6, "batch_size": 100, "learning_rate": 1e-2, "weight_decay": 0.0}


def samples(n=7, m=5, d=3, seed=0):
    generator = seeded(seed)
    source = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return source, 2.0 + 3.0 * torch.randn(m, d, generator=generator, dtype=torch.float64)


def test_coral_known_answers():
    # variances 1 and 4 in one dimension: (4 - 1)^2 / 4
    one, two = vector(-1.0, 0.0, 1.0)[:, None], vector(3.0, 5.0, 7.0)[:, None]
    assert float(coral_loss(one, two)) == pytest.approx(9 / 4)
    source, target = samples()
    difference = np.cov(source.T.numpy()) - np.cov(target.T.numpy())
    assert float(coral_loss(source, target)) == pytest.approx((difference**2).sum() / 36)
    # a mean is not seen
    assert float(coral_loss(source, source + 4.0)) == pytest.approx(0, abs=1e-20)


def slow_mmd(source, target):
    """Return the squared MMD by loops over pairs."""
    rows = [row.numpy() for row in (*source, *target)]
    n, count = len(source), len(rows)
    pairs = [((rows[i] - rows[j]) ** 2).sum() for i in range(count) for j in range(i)]
    median = sorted(pairs)[(len(pairs) - 1) // 2]

    def kernel(a, b):
        r2 = ((rows[a] - rows[b]) ** 2).sum()
        return np.mean([math.exp(-r2 / (2 * median * c)) for c in (4, 2, 1, 1 / 2, 1 / 4)])

    first, second = range(n), range(n, count)
    mean = lambda A, B: np.mean([kernel(a, b) for a in A for b in B])  # noqa: E731
    return mean(first, first) + mean(second, second) - 2 * mean(first, second)


@pytest.mark.parametrize("seed", range(4))
def test_mmd_is_its_definition(seed):
    source, target = samples(seed=seed)
    assert float(mmd_loss(source, target)) == pytest.approx(slow_mmd(source, target), rel=1e-10)


def test_mmd_known_answers():
    # two points at distance r, the median: 2 - 2 k(r)
    expected = 2 - 2 * np.mean([math.exp(-1 / (2 * c)) for c in (4, 2, 1, 1 / 2, 1 / 4)])
    for r in (1e-3, 1.0, 50.0):
        found = mmd_loss(vector(5.0)[:, None], vector(5.0 + r)[:, None])
        assert float(found) == pytest.approx(expected, rel=1e-6)
    source, target = samples()
    assert float(mmd_loss(source, source)) == pytest.approx(0, abs=1e-12)
    assert float(mmd_loss(source, source.flip(0))) == pytest.approx(0, abs=1e-12)
    assert float(mmd_loss(target, source)) == pytest.approx(float(mmd_loss(source, target)))
    # a shift of everything and the scale do not matter; a shift of one sample does
    moved = mmd_loss(1e4 + 3 * source, 1e4 + 3 * target)
    assert float(moved) == pytest.approx(float(mmd_loss(source, target)), rel=1e-6)
    assert float(mmd_loss(source, source + 1.0)) > 0.1


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_members_have_their_own_distance_and_equal_rows_a_finite_gradient(name):
    parts = [samples(seed=seed) for seed in range(3)]
    together = LOSSES[name](*(torch.stack(values) for values in zip(*parts, strict=True)))
    alone = torch.stack([LOSSES[name](*part) for part in parts])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)
    same = torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(LOSSES[name](same, same), same)
    assert gradient.abs().max() == 0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_gradient_is_that_of_the_value(name):
    source, target = samples()
    if name == "mmd":  # the pair of median distance stays as it is, so the median does
        pairs = torch.pdist(torch.cat([source, target]))
        rank = pairs.argsort()[(len(pairs) - 1) // 2]
        first, second = torch.triu_indices(12, 12, 1)[:, rank]
        row = next(k for k in range(7) if k not in {int(first), int(second)})
    else:
        row = 0
    source.requires_grad_()
    (gradient,) = torch.autograd.grad(LOSSES[name](source, target), source)
    step = torch.zeros_like(source)
    step[row, 1] = 1e-6
    with torch.no_grad():
        change = LOSSES[name](source + step, target) - LOSSES[name](source - step, target)
    assert float(gradient[row, 1]) == pytest.approx(float(change) / 2e-6, rel=1e-6)


def aligned(model, rows, target, alignment="coral", *, seed=5, sample=None, **changes):
    config = AlignedConfig(**{"alignment": alignment, **WHOLE, **changes})
    return AlignedTraining(model, rows, target, config, seeded(seed), sample=sample)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_step_goes_down_the_sum_of_both_losses(name, weighted):
    model = make_model("irnet", dropout=0.0)
    rows, target = make_rows(9, weighted=weighted), make_rows(6, seed=1)
    loss = mean_loss(model(rows.x), rows.y, rows.weights)
    distance = LOSSES[name](model.embed(rows.x), model.embed(target.x))
    expected = torch.autograd.grad(loss + 0.7 * distance, list(model.parameters()))
    start = copy_parameters(model)
    run = aligned(model, rows, target, name, strength=0.7, epochs=1)
    run.optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    record = run.run_epoch(0)
    rate = run.optimizer.param_groups[0]["lr"]
    assert record["train_loss"] == pytest.approx(float(loss.detach()))
    assert record["alignment"] == pytest.approx(float(distance.detach()))
    for (key, value), gradient in zip(model.named_parameters(), expected, strict=True):
        found = (start[key] - value.detach()) / rate
        torch.testing.assert_close(found, gradient, rtol=1e-8, atol=1e-10)


def test_without_strength_it_is_plain_training_and_target_labels_are_never_seen():
    rows, target = make_rows(9), make_rows(6, seed=1)
    unlabelled = Rows(target.x, torch.full_like(target.y, float("nan")))
    plain = make_model("irnet", dropout=0.0)
    ERMTraining(plain, rows, ERMConfig(**WHOLE), seeded(1)).run_epoch(0)
    for given in (target, unlabelled):
        model = make_model("irnet", dropout=0.0)
        aligned(model, rows, given, strength=0.0).run_epoch(0)
        for value, other in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(value, other, rtol=1e-9, atol=1e-12)
    models = [make_model("irnet") for _ in range(2)]
    for model, given in zip(models, (target, unlabelled), strict=True):
        aligned(model, rows, given, "mmd").run_epoch(0)
    for value, other in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(value, other)


def test_any_network_with_embed_and_head_is_trained():
    class Net(TanhNet):
        def embed(self, x, generator=None):
            return self.blocks(x)

    model = Net(4, (5, 3), seeded()).double()
    before = copy_parameters(model)
    aligned(model, make_rows(9), make_rows(6, seed=1), "mmd").run_epoch(0)
    after = copy_parameters(model)
    assert all(not torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_an_ensemble_is_its_members_trained_alone(name):
    stacked, singles = make_ensemble((0, 1))
    rows, target = make_rows(15), make_rows(8, seed=1)
    for model in (stacked, *singles):
        run = aligned(model, rows, target, name)
        for epoch in range(4):
            run.run_epoch(epoch)
    assert_members_equal(stacked, singles, 1e-8)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_state_holds_all_that_the_next_epoch_depends_on(name, tmp_path):
    rows, target = make_rows(30), make_rows(11, seed=1)

    def new():
        return aligned(make_model("irnet", dropout=0.3), rows, target, name, batch_size=8)

    whole = new()
    whole.run_epoch(0)
    checkpoint = Checkpoint(tmp_path / "file", "key", seconds=0.0)
    checkpoint.save(whole.get_state())
    record = whole.run_epoch(1)
    resumed = new()
    resumed.set_state(checkpoint.load(torch.device("cpu")))
    assert resumed.run_epoch(1) == record
    for value, other in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(value, other)


def test_a_wrong_strength_is_named():
    for strength in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="strength"):
            AlignedConfig.from_dict({"strength": strength})
    assert AlignedConfig(alignment="mmd", strength=0.0).number == 0


@pytest.mark.parametrize(("name", "strength"), [("coral", 100.0), ("mmd", 1.0)])
def test_representations_come_nearer_and_the_fit_stays(name, strength):
    """A second feature is wide in the target domain and means nothing."""
    generator = seeded(0)
    x = torch.randn(300, 2, generator=generator)
    x_target = torch.randn(200, 2, generator=generator) * torch.tensor([1.0, 4.0])
    rows, target = Rows(x, torch.sin(x[:, 0])), Rows(x_target, torch.zeros(200))
    options = {"epochs": 40, "batch_size": 50, "learning_rate": 5e-3, "weight_decay": 0.0}

    def train(run):
        result = run_training(run, rows, epochs=40, patience=40, name="toy")
        with torch.no_grad():
            seen = run.model.embed(x), run.model.embed(x_target)
        # relative to the spread: the value of CORAL falls when everything shrinks
        seen = [part / seen[0].std() for part in seen]
        return float(LOSSES[name](*seen)), result.history[-1]["val_mae"]

    def model():
        return IRNet(2, (32, 16), 0.0, seeded())

    far, _ = train(ERMTraining(model(), rows, ERMConfig(**options), seeded(1)))
    near, error = train(aligned(model(), rows, target, name, strength=strength, **options))
    assert near < 0.4 * far
    assert error < 0.15
