"""Training on source and target rows together."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.cal_problems import (
    assert_members_equal,
    make_ensemble,
    make_model,
    make_rows,
    seeded,
)
from xtalshift.nn.irnet import copy_parameters
from xtalshift.nn.objectives.joint import JointTraining
from xtalshift.nn.rows import Rows, draw_batches, mean_loss
from xtalshift.nn.settings import ERMConfig
from xtalshift.nn.training import run_training

RATE = 1e-3


def numbered(n):
    """Return rows whose target is their number."""
    y = torch.arange(n, dtype=torch.float64)
    return Rows(y.unsqueeze(-1), y)


def joint(model, source, target, *, share, steps=1, batch_size=100, epochs=1, **changes):
    config = ERMConfig(
        epochs=epochs, batch_size=batch_size, learning_rate=RATE, weight_decay=0.0, **changes
    )
    return JointTraining(
        model, source, target, config, seeded(5), target_share=share, steps=steps
    )  # fmt: skip


@given(
    n=st.integers(1, 40),
    size=st.integers(1, 17),
    count=st.integers(1, 30),
    members=st.sampled_from([None, 1, 3]),
)
@settings(max_examples=60, deadline=None)
def test_batches_use_every_row_equally_often_to_within_one(n, size, count, members):
    batches = draw_batches(numbered(n), size, count, members, seeded(n))
    assert [len(batch) for batch in batches] == [min(size, n)] * count
    for m in range(members or 1):
        drawn = torch.cat([batch.y if members is None else batch.y[m] for batch in batches])
        used = torch.bincount(drawn.long(), minlength=n)
        assert int(used.sum()) == count * min(size, n)
        assert int(used.max() - used.min()) <= 1


def test_batches_are_random_and_members_have_their_own():
    (batch,) = draw_batches(numbered(30), 30, 1, 2, seeded(0))
    assert batch.y[0].tolist() != sorted(batch.y[0].tolist())
    assert batch.y[0].tolist() != batch.y[1].tolist()
    (other,) = draw_batches(numbered(30), 30, 1, 2, seeded(1))
    assert not torch.equal(batch.y, other.y)


@given(
    share=st.floats(0.01, 1.0),
    n_source=st.integers(1, 30),
    n_target=st.integers(1, 12),
    weighted=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_the_gradient_is_that_of_the_mixture_of_mean_losses(share, n_source, n_target, weighted):
    model = make_model("irnet", dropout=0.0)
    source = make_rows(n_source, seed=1, weighted=weighted)
    target = make_rows(n_target, seed=2)
    losses = [mean_loss(model(rows.x), rows.y, rows.weights) for rows in (source, target)]
    mixture = (1 - share) * losses[0] + share * losses[1]
    expected = torch.autograd.grad(mixture, list(model.parameters()))
    start = copy_parameters(model)
    training = joint(model, source, target, share=share)
    training.optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    record = training.run_epoch(0)
    assert record["train_loss"] == pytest.approx(float(mixture.detach()), rel=1e-12)
    for (name, value), gradient in zip(model.named_parameters(), expected, strict=True):
        found = (start[name] - value.detach()) / RATE
        torch.testing.assert_close(found, gradient, rtol=1e-8, atol=1e-10)


def test_a_share_of_1_ignores_the_source_labels_and_less_does_not():
    def train(share, shift):
        model = make_model("irnet")
        source = make_rows(9, seed=1)
        source = Rows(source.x, source.y + shift)
        joint(model, source, make_rows(5, seed=2), share=share, steps=4, batch_size=4).run_epoch(0)
        return copy_parameters(model)

    for share in (1.0, 0.9):
        same = [
            torch.equal(a, b)
            for a, b in zip(train(share, 0.0).values(), train(share, 2.0).values(), strict=True)
        ]
        assert all(same) == (share == 1.0)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_share_says_to_which_domain_the_fit_leans(share):
    """Two domains that contradict each other: the model settles between them."""
    x = torch.zeros(8, 4, dtype=torch.float64)
    source, target = Rows(x, x[:, 0]), Rows(x[:3], x[:3, 0] + 0.5)
    model = make_model("irnet", dropout=0.0)
    config = ERMConfig(epochs=40, learning_rate=0.05, weight_decay=0.0)
    training = JointTraining(model, source, target, config, seeded(), target_share=share, steps=10)
    run_training(training, target, epochs=40, patience=99, name="joint")
    # quadratic losses: the minimum is the weighted mean of the labels
    assert model(x[:1]).item() == pytest.approx(0.5 * share, abs=1e-3)


def test_the_rate_falls_along_a_cosine_and_the_average_follows():
    model = make_model("irnet")
    training = joint(model, make_rows(6), make_rows(6, seed=1), share=0.5, steps=5, epochs=4,
                     ema_decay=0.0)  # fmt: skip
    rates, original = [], training.set_rate
    training.set_rate = lambda rate: (rates.append(rate), original(rate))
    for epoch in range(4):
        training.run_epoch(epoch)
    expected = [RATE * 0.5 * (1 + math.cos(math.pi * k / 20)) for k in range(20)]
    assert rates == pytest.approx(expected)
    for name, value in model.named_parameters():
        assert torch.equal(training.ema[name], value)


def test_an_ensemble_is_its_members_trained_apart():
    """With all rows in every batch the order does not matter, only what each member gets."""
    stacked, singles = make_ensemble((0, 1))
    source, target = make_rows(7, seed=1), make_rows(4, seed=2)
    joint(stacked, source, target, share=0.3, steps=6, ema_decay=0.9).run_epoch(0)
    for single in singles:
        joint(single, source, target, share=0.3, steps=6, ema_decay=0.9).run_epoch(0)
    assert_members_equal(stacked, singles, 1e-8)
