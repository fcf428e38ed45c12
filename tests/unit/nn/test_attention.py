"""Attention between elements: sets, not tables."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.cal_problems import seeded
from reference.training import train_erm
from xtalshift.chem.elements import ATOMIC_NUMBERS, load_elements
from xtalshift.errors import ConfigError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.nn.attention import AttentionNet, element_properties, find_tokens
from xtalshift.nn.irnet import copy_parameters
from xtalshift.nn.rows import Rows, TrainingData
from xtalshift.nn.settings import ERMConfig

FORMULAS = ["NaCl", "Fe2O3", "LiFePO4", "Si", "Ba0.6K0.4Fe2As2", "YBa2Cu3O7", "CuInGaSe2"]


def net(n_columns=118, *, width=16, blocks=2, heads=4, dropout=0.0, seed=0, scramble=True):
    model = AttentionNet(n_columns, width, blocks, heads, dropout, seeded(seed)).double()
    if scramble:  # gains are not 1, and what starts at 0 is not 0
        generator = seeded(seed + 100)
        with torch.no_grad():
            for value in model.parameters():
                value += 0.3 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
    return model


def fractions(formulas=FORMULAS):
    return torch.from_numpy(CompositionFeaturizer("fractions").transform(formulas))


def test_tokens_are_the_columns_that_are_not_0():
    x = torch.tensor([[0.0, 0.3, 0.0, 0.7], [0.0, 0.0, -2.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    columns, values = find_tokens(x)
    assert columns[0].tolist() == [3, 1]
    assert (int(columns[1, 0]), values[1].tolist()) == (2, [-2.0, 0.0])
    torch.testing.assert_close(values, torch.tensor([[0.7, 0.3], [-2.0, 0.0], [0.0, 0.0]]))
    assert find_tokens(torch.zeros(2, 4))[1].tolist() == [[0.0], [0.0]]
    assert find_tokens(torch.zeros(0, 4))[1].shape == (0, 1)


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_order_of_columns_has_no_meaning(seed):
    """Columns and their vectors permuted together predict the same."""
    n_columns = 9
    model = net(n_columns, seed=seed)
    x = torch.rand(6, n_columns, generator=seeded(seed), dtype=torch.float64)
    x[x < 0.5] = 0.0
    order = torch.randperm(n_columns, generator=seeded(seed + 1))
    expected = model(x)
    with torch.no_grad():
        model.columns.copy_(model.columns[order].clone())
    torch.testing.assert_close(model(x[:, order]), expected, rtol=1e-12, atol=1e-12)


def test_the_order_of_equal_entries_does_not_matter_and_slots_are_a_set():
    """Elements of equal fractions come in any order out of the search for tokens."""
    model, x = net(), fractions(["NaCl", "CuInGaSe"])
    columns, values = find_tokens(x)
    expected = model(x)
    order = torch.tensor([2, 0, 3, 1])

    def shuffled(_):
        return columns[:, order], values[:, order]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xtalshift.nn.attention.find_tokens", shuffled)
        found = model(x[1:].expand(2, -1))
    torch.testing.assert_close(found[1], expected[1], rtol=1e-12, atol=1e-12)


def test_a_row_predicts_alone_as_in_a_batch():
    """Alone it has no empty slots."""
    model, x = net(), fractions()
    x = torch.cat([x, torch.zeros(1, 118, dtype=x.dtype)])
    together = model(x)
    assert together.shape == (len(x),)
    for k in range(len(x)):
        torch.testing.assert_close(model(x[k : k + 1])[0], together[k], rtol=1e-12, atol=1e-12)
    single = model.float()
    found = single(x.float())
    for k in range(len(x)):
        torch.testing.assert_close(single(x[k : k + 1].float())[0], found[k], rtol=2e-6, atol=2e-6)


def test_many_rows_predict_in_pieces_what_they_predict_at_once(monkeypatch):
    model, x = net(), fractions().repeat(5, 1)
    expected = model(x)
    monkeypatch.setattr("xtalshift.nn.attention.MOST_SLOTS", 20)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=0)  # with gradient: as before
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)


def test_columns_that_are_0_do_not_count():
    model = net(9)
    x = torch.tensor([[0.2, 0.8, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    expected = model(x)
    with torch.no_grad():
        model.columns[2:] += 7.0
    assert torch.equal(model(x), expected)
    with torch.no_grad():
        model.columns[0] *= -1.0  # a constant would be lost in the norms
    assert not torch.allclose(model(x), expected)


def test_a_row_without_entries_has_a_vector_of_its_own():
    model = net(5)
    x = torch.zeros(3, 5, dtype=torch.float64)
    x[1, 2] = 1.0
    before = model(x).detach()
    assert torch.isfinite(before).all()
    torch.testing.assert_close(before[0], before[2], rtol=1e-12, atol=1e-12)
    assert before[0] != before[1]
    with torch.no_grad():
        model.empty += 1.0
    after = model(x).detach()
    torch.testing.assert_close(after[1], before[1], rtol=1e-12, atol=1e-12)
    assert after[0] != before[0]
    model(torch.zeros(2, 5, dtype=torch.float64)).sum().backward()
    assert torch.isfinite(torch.cat([p.grad.flatten() for p in model.parameters()
                                     if p.grad is not None])).all()  # fmt: skip


def test_any_numbers_are_accepted():
    model = net(4)
    x = torch.tensor([[1e6, -3.0, 1e-300, 0.0], [-1.0, -1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0]],
                     dtype=torch.float64)  # fmt: skip
    found = model(x)
    assert torch.isfinite(found).all()
    assert found[1] != found[2]  # the sign is seen
    assert model(2 * x)[2] != found[2]  # so is the size


@pytest.mark.parametrize("name", ["columns", "empty", "entry_in.weight", "properties_map.weight"])
def test_every_part_of_a_token_has_a_gradient(name):
    model, x = net(), fractions()
    x = torch.cat([x, torch.zeros(1, 118, dtype=x.dtype)])
    model(x).sum().backward()
    gradient = dict(model.named_parameters())[name].grad
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def test_an_element_that_training_never_saw_is_what_its_properties_say():
    model = net(scramble=False)
    rows = Rows(fractions(), torch.linspace(-1, 1, len(FORMULAS), dtype=torch.float64))
    train_erm(model, TrainingData(rows, rows), ERMConfig(epochs=3, batch_size=3), seeded(1))
    seen = (rows.x != 0).any(dim=0)
    assert bool((model.columns[~seen] == 0).all())
    assert bool((model.columns[seen] != 0).all(dim=1).all())
    # two unseen elements with the same properties are one
    with torch.no_grad():
        model.properties[ATOMIC_NUMBERS["Sr"] - 1] = model.properties[ATOMIC_NUMBERS["Ca"] - 1]
    a, b = model(fractions(["CaO", "SrO"]))
    torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


def test_element_properties_are_standardised_and_complete():
    table = element_properties()
    assert table.shape == (118, 22)
    torch.testing.assert_close(table.mean(0), torch.zeros(22), atol=1e-6, rtol=0)
    torch.testing.assert_close(table.std(0, correction=0), torch.ones(22))
    unknown = np.isnan(load_elements().magpie[1:])
    assert np.abs(table.numpy()[unknown]).max() < 1e-6
    # not a parameter: nothing of it is stored with a model
    assert "properties" not in net().state_dict()


def test_dropout_is_on_exactly_with_a_generator():
    model, x = net(dropout=0.5), fractions()
    assert torch.equal(model(x), model(x))
    assert torch.equal(model(x, seeded(2)), model(x, seeded(2)))
    assert not torch.equal(model(x, seeded(2)), model(x))
    assert not torch.equal(model(x, seeded(2)), model(x, seeded(3)))
    assert torch.equal(net(dropout=0.0)(x, seeded(2)), net(dropout=0.0)(x))


@pytest.mark.parametrize("n_columns", [7, 118])
def test_initial_parameters_depend_on_the_generator_only(n_columns):
    def start(global_seed, seed):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        model = AttentionNet(n_columns, 16, 2, 4, 0.0, seeded(seed))
        assert torch.equal(torch.get_rng_state(), state)
        return copy_parameters(model)

    first, second, other = start(1, 3), start(2, 3), start(1, 4)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert bool((first["columns"] == 0).all()) == (n_columns == 118)


def test_the_head_sees_what_embed_returns():
    model, x = net(), fractions()
    seen = model.embed(x)
    assert seen.shape == (len(x), 16)
    assert torch.equal(model.head(seen).squeeze(-1), model(x))


def test_bfloat16_products_give_nearly_the_same_numbers():
    exact, fast = (net(scramble=False, width=32).float() for _ in range(2))
    fast.bf16 = True
    x = fractions().float()
    found, expected = fast(x), exact(x)
    assert found.dtype == torch.float32
    difference = (found - expected).detach().abs().max()
    assert 0 < float(difference) < 0.05
    found.square().sum().backward()
    assert {value.dtype for value in fast.parameters()} == {torch.float32}


def test_training_fits_a_small_set():
    x = fractions([f"{m}{n}{a}" for m in ("Na", "K", "Ca", "Fe") for n in (1, 2, 3)
                   for a in ("O", "S2", "Cl3")]).float()  # fmt: skip
    y = 3 * x[:, 7] - x[:, 25] + (x[:, 10] > 0) * x[:, 16]
    rows = Rows(x, (y - y.mean()) / y.std())
    model = AttentionNet(118, 32, 2, 4, 0.0, seeded())
    config = ERMConfig(epochs=120, batch_size=12, learning_rate=3e-3)
    result = train_erm(model, TrainingData(rows, rows), config, seeded())
    assert min(record["val_mae"] for record in result.history) < 0.03
    assert result.history[0]["val_mae"] > 0.3


def test_wrong_sizes_are_named():
    with pytest.raises(ConfigError, match="width = 16, n_blocks = 2, n_heads = 3"):
        net(heads=3)
    with pytest.raises(ConfigError, match="n_blocks = 0"):
        net(blocks=0)
