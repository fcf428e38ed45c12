"""The network against its formula, and dropout as an argument."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xtalshift.errors import ConfigError
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.settings import resolve_architecture

CPU = torch.device("cpu")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def scramble(model, seed=20):
    """Give every parameter a random value, so that gain and shift are not 1 and 0."""
    generator = seeded(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn(value.shape, generator=generator))
    return model


def parameters(model):
    return {name: value.detach().numpy() for name, value in model.named_parameters()}


def formula(x, p, same):
    """Return the predictions of a single network; `same` says where the skip is the identity."""
    h = x
    for k, identity in enumerate(same):
        z = h @ p[f"blocks.{k}.main.weight"] + p[f"blocks.{k}.main.bias"]
        z = (z - z.mean(axis=1, keepdims=True)) / np.sqrt(z.var(axis=1, keepdims=True) + 1e-5)
        z = z * p[f"blocks.{k}.gain"] + p[f"blocks.{k}.shift"]
        skip = h if identity else h @ p[f"blocks.{k}.skip"]
        h = np.maximum(z, 0) + skip
    return (h @ p["head.weight"] + p["head.bias"])[:, 0]


def test_forward_equals_the_formula():
    model = scramble(IRNet(4, (6, 6, 3), 0.5, seeded()).double())
    x = np.random.default_rng(0).normal(size=(5, 4))
    p = parameters(model)
    expected = formula(x, p, [False, True, False])
    np.testing.assert_allclose(model(torch.from_numpy(x)).detach().numpy(), expected, rtol=1e-10)
    assert "blocks.1.skip" not in p  # identity where the widths are equal


def test_main_and_skip_have_the_same_shape_and_start_but_their_own_draws():
    p = parameters(IRNet(4, (6,), 0.0, seeded()))
    main, skip = p["blocks.0.main.weight"], p["blocks.0.skip"]
    assert main.shape == skip.shape == (4, 6)
    assert (main != skip).all()
    assert np.abs(skip).max() <= 0.5  # 1 / sqrt(4)
    assert set(p) == {
        "blocks.0.main.weight", "blocks.0.main.bias", "blocks.0.skip", "blocks.0.gain",
        "blocks.0.shift", "head.weight", "head.bias",
    }  # fmt: skip


@pytest.mark.parametrize("widths", [(6, 6, 3), (4, 7)])  # in the second one x itself is skipped
@pytest.mark.parametrize("shared", [True, False])
def test_an_ensemble_predicts_what_its_members_predict_alone(shared, widths):
    alone = [IRNet(4, widths, 0.0, seeded(k)).double() for k in range(3)]
    together = IRNet(4, widths, 0.0, [seeded(k) for k in range(3)]).double()
    assert (together.members, alone[0].members) == (3, None)
    stacked = dict(together.named_parameters())
    for k, model in enumerate(alone):
        for name, value in model.named_parameters():
            assert torch.equal(stacked[name][k], value)
    x = torch.randn(*(() if shared else (3,)), 5, 4, generator=seeded(9), dtype=torch.float64)
    for start in ("drawn", "scrambled"):
        if start == "scrambled":
            scramble(together)
            for k, model in enumerate(alone):
                model.load_state_dict({name: value[k] for name, value in stacked.items()})
        found = together(x)
        assert found.shape == (3, 5)
        for k, model in enumerate(alone):
            expected = model(x if shared else x[k])
            torch.testing.assert_close(found[k], expected, rtol=1e-12, atol=1e-12)


def test_members_have_their_own_dropout():
    model = IRNet(6, (64,), 0.5, [seeded(), seeded()])  # two members alike
    x = torch.randn(10, 6, generator=seeded(1))
    assert torch.equal(*model(x))
    first, second = model(x, seeded(2))
    assert not bool((first == second).any())


@pytest.mark.parametrize("members", [None, 2])
def test_bfloat16_products_give_nearly_the_same_numbers(members):
    generators = [[seeded(m) for m in range(members)] if members else seeded() for _ in range(2)]
    exact = IRNet(145, (256, 64, 64), 0.0, generators[0])
    fast = IRNet(145, (256, 64, 64), 0.0, generators[1])
    fast.bf16 = True
    x = torch.randn(50, 145, generator=seeded(1))
    found, expected = fast(x), exact(x)
    assert found.dtype == torch.float32
    difference = (found - expected).detach().abs()
    # bfloat16 has 8 bits: its products are seen to be rounded, and no worse than a few roundings
    assert 0 < float(difference.max()) < 0.05 * float(expected.detach().std())
    found.square().sum().backward()
    assert {value.dtype for value in fast.parameters()} == {torch.float32}
    assert {value.grad.dtype for value in fast.parameters()} == {torch.float32}


def test_initial_parameters_depend_on_the_generator_only():
    torch.manual_seed(1)
    first = IRNet(4, (8,), 0.0, seeded(3)).state_dict()
    torch.manual_seed(2)
    second = IRNet(4, (8,), 0.0, seeded(3)).state_dict()
    other = IRNet(4, (8,), 0.0, seeded(4)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert float(first["blocks.0.main.weight"].abs().max()) <= 0.5  # 1 / sqrt(4)


def test_dropout_is_on_exactly_with_a_generator():
    model = IRNet(6, (64, 32), 0.5, seeded())
    x = torch.randn(10, 6, generator=seeded(1))
    assert torch.equal(model(x), model(x))
    assert torch.equal(model(x, seeded(2)), model(x, seeded(2)))
    assert not torch.equal(model(x, seeded(2)), model(x))
    assert not torch.equal(model(x, seeded(2)), model(x, seeded(3)))
    assert torch.equal(IRNet(6, (64, 32), 0.0, seeded())(x, seeded(2)), model(x))


@given(p=st.sampled_from([0.1, 0.25, 0.5, 0.9]), n=st.integers(1, 33))
@settings(max_examples=20, deadline=None)
def test_dropout_zeroes_the_right_share_and_keeps_the_mean(p, n):
    from xtalshift.nn.irnet import dropout_mask

    mask = dropout_mask(torch.zeros(n, 4001), p, seeded(n))
    kept = float((mask > 0).float().mean())
    spread = 5 * (p * (1 - p) / mask.numel()) ** 0.5
    assert abs(kept - (1 - p)) < spread + 1 / 512  # the resolution of the masks is 1/256
    assert len(mask.unique()) == 2
    assert float(mask.max()) == pytest.approx(1 / (1 - p), rel=0.02)


def test_architectures_by_name_and_device():
    assert resolve_architecture("auto") == (256, 128, 64)
    assert resolve_architecture("auto", "cuda") == (2048, 1024, 512)
    assert resolve_architecture("irnet3") == (2048, 1024, 512)
    assert resolve_architecture([32, 16]) == (32, 16)
    with pytest.raises(ConfigError, match="did you mean 'irnet3'"):
        resolve_architecture("irnet33")
    with pytest.raises(ConfigError, match="from 1 to 16,384"):
        resolve_architecture([32, 0])
