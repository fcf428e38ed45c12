"""Norms, projections and steepest directions: known answers and what defines them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.cal_problems import seeded, vector
from xtalshift.cal.attack import ball_norm, project, steepest_direction

BALLS = ("linf", "l2", "weighted-l2")


def draw(shape, seed, low=0.0):
    return low + torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def draw_weights(shape, seed):
    return 0.1 + torch.rand(shape, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("ball", "expected"), [("linf", 4.0), ("l2", 12.5**0.5), ("weighted-l2", 14.25**0.5)]
)
def test_norms_known_answers(ball, expected):
    # 3^2 and 4^2; mean 12.5; with shares 1/4 and 3/4: 9/4 + 12
    size = ball_norm(torch.tensor([[3.0, -4.0]]).double(), vector(1.0, 3.0), ball)
    assert size.tolist() == [pytest.approx(expected)]


def test_projection_known_answers():
    moved = torch.tensor([[3.0, -4.0], [0.1, 0.2]], dtype=torch.float64)
    weights = vector(1.0, 3.0)
    assert project(moved, weights, "none", 0.5) is moved
    assert project(moved, weights, "linf", 0.5).tolist() == [[0.5, -0.5], [0.1, 0.2]]
    shortened = project(moved, weights, "l2", 0.5)
    torch.testing.assert_close(shortened[0], vector(3.0, -4.0) * 0.5 / 12.5**0.5)
    torch.testing.assert_close(shortened[1], moved[1], rtol=1e-14, atol=0)


@given(seed=st.integers(0, 999), ball=st.sampled_from(BALLS), epsilon=st.floats(1e-6, 10))
@settings(max_examples=40, deadline=None)
def test_projection_ends_inside_and_twice_is_once(seed, ball, epsilon):
    moved, weights = draw((2, 5, 4), seed), draw_weights((2, 4), seed)
    inside = project(moved, weights, ball, epsilon)
    assert float(ball_norm(inside, weights, ball).max()) <= epsilon * (1 + 1e-12)
    torch.testing.assert_close(project(inside, weights, ball, epsilon), inside, rtol=1e-12, atol=0)
    kept = ball_norm(moved, weights, ball) <= epsilon
    torch.testing.assert_close(inside[kept], moved[kept], rtol=1e-14, atol=0)


@given(seed=st.integers(0, 999), ball=st.sampled_from(BALLS))
@settings(max_examples=30, deadline=None)
def test_no_direction_of_norm_1_is_steeper(seed, ball):
    gradient, weights = draw((5, 4), seed), draw_weights(4, seed)
    best = steepest_direction(gradient, weights, ball)
    torch.testing.assert_close(
        ball_norm(best, weights, ball), torch.ones(5, dtype=torch.float64), rtol=1e-12, atol=0
    )
    others = draw((300, 5, 4), seed + 1)
    others = others / ball_norm(others, weights.expand(300, 4), ball).unsqueeze(-1)
    rises = (others * gradient).sum(dim=-1)
    assert bool((rises <= (best * gradient).sum(dim=-1) + 1e-12).all())


@pytest.mark.parametrize("ball", [*BALLS, "none"])
def test_a_row_without_a_gradient_does_not_move_and_a_small_one_does(ball):
    gradient = torch.tensor([[0.0, 0.0], [3e-30, 4e-30]], dtype=torch.float64)
    direction = steepest_direction(gradient, vector(1.0, 1.0), ball)
    assert direction[0].tolist() == [0.0, 0.0]
    norm = "l2" if ball == "none" else ball
    assert float(ball_norm(direction, vector(1.0, 1.0), norm)[1]) == pytest.approx(1.0)


@pytest.mark.parametrize("ball", ["none", "linf", "l2", "weighted-l2"])
def test_a_gradient_that_is_no_number_is_not_taken_for_none(ball):
    gradient = torch.tensor([[torch.nan, 1.0], [0.0, 2.0]])
    direction = steepest_direction(gradient, torch.ones(2), ball)
    assert bool(direction[0].isnan().any())
    assert not bool(direction[1].isnan().any())
