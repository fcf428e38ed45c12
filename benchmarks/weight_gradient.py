"""How far the two formulas of the weight gradient are from the exact derivative.

    python benchmarks/weight_gradient.py [--rows 64] [--features 12] [--seeds 3] [--reach 0.1]

The truth is the derivative of the stability loss in the covariate weights, by autograd through all
attack steps and one plain parameter step. One step size per method and number of steps is chosen so
that the attack moves the rows by about `reach` standard deviations. Relative error of the vector
and its cosine to the truth, medians over seeds; the weights' update uses the direction only. The
network is an IRNet after some steps of plain training, everything in float64.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path

import torch

from xtalshift.cal.attack import attack
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.weights import CALState, mixed_derivative, stability_gradient, weight_gradient
from xtalshift.nn.erm import erm_step
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.rows import Rows

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from reference.cal_unrolled import exact_weight_gradient

CASES = [
    *(("ascent", steps) for steps in (1, 2, 3, 5, 10)),
    *((method, steps) for method in ("adam", "steepest") for steps in (2, 10)),
]
ENVIRONMENTS = 4
SPREAD = 0.3


def make_problem(n_rows: int, n_features: int, seed: int) -> tuple[IRNet, Rows]:
    """Return a network after 100 steps of plain training, and rows in environments."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_rows, n_features, generator=generator, dtype=torch.float64)
    y = torch.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * x[:, 3]
    rows = Rows(x, (y - y.mean()) / y.std(), environments=torch.arange(n_rows) % ENVIRONMENTS)
    model = IRNet(n_features, (32, 16), 0.0, generator).double()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(100):
        erm_step(model, rows, optimizer, None)
    return model, rows


def choose_settings(
    model: IRNet, rows: Rows, state: CALState, method: str, steps: int, reach: float
) -> CALConfig:
    """Return settings with the step size that moves the rows by about `reach`."""
    size = 1.0
    for _ in range(8):  # the displacement grows nearly in proportion
        config = CALConfig.from_dict(
            {
                "attack_method": method,
                "attack_steps": steps,
                "attack_step_size": size,
                "ball": "none",
                "gamma_init": 0.1,
            }
        )
        moved = attack(model, rows, state, config).rows.x - rows.x
        size *= min(10.0, max(0.1, reach / float(moved.square().mean().sqrt())))
    return config


def formulas(
    model: IRNet, rows: Rows, state: CALState, config: CALConfig
) -> dict[str, torch.Tensor]:
    """Return the weight gradient by both rules."""
    attacked = attack(model, rows, state, config)
    environments = rows.environments
    if environments is None:
        raise ValueError("rows without environments")

    def outer(network: IRNet) -> list[torch.Tensor]:
        return stability_gradient(network, rows, environments, ENVIRONMENTS, SPREAD)

    mixed, slopes, _ = mixed_derivative(model, attacked.rows, outer(model))
    published = config.model_copy(update={"weight_rule": "published"})
    found = {
        "published": weight_gradient([(mixed, attacked.rows.x - rows.x)], state.gamma, published)
    }
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for p, slope in zip(model.parameters(), slopes, strict=True):
            p.sub_(config.rho * slope)
    after = outer(model)
    model.load_state_dict(start)
    mixed = mixed_derivative(model, attacked.rows, after)[0]
    found["unrolled"] = weight_gradient([(mixed, attacked.path)], state.gamma, config)
    return found


def compare(value: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Return relative error and cosine; of two vectors of zeros 0 and 1."""
    size = float(truth.norm())
    if size == 0:
        return (0.0, 1.0) if float(value.norm()) == 0 else (math.inf, 0.0)
    cosine = float(torch.dot(value, truth) / (value.norm() * truth.norm()))
    return float((value - truth).norm()) / size, cosine


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--reach", type=float, default=0.1, help="standard deviations")
    options = parser.parse_args()

    rules = ("unrolled", "published")
    print(f"{'':18}" + "".join(f"{rule:>22}" for rule in rules))
    print(f"{'method':10}{'steps':>8}" + f"{'rel. error':>13}{'cosine':>9}" * len(rules))
    for method, steps in CASES:
        found: dict[str, list[tuple[float, float]]] = {rule: [] for rule in rules}
        for seed in range(options.seeds):
            model, rows = make_problem(options.rows, options.features, seed)
            generator = torch.Generator().manual_seed(1000 + seed)
            weights = 0.5 + 1.5 * torch.rand(
                options.features, generator=generator, dtype=torch.float64
            )
            gamma = torch.tensor(0.1, dtype=torch.float64)
            state = CALState(weights, torch.zeros(options.features, dtype=torch.bool), gamma)
            config = choose_settings(model, rows, state, method, steps, options.reach)
            truth = exact_weight_gradient(model, rows, weights, gamma, config, SPREAD)
            for rule, value in formulas(model, rows, state, config).items():
                found[rule].append(compare(value, truth))
        line = f"{method:10}{steps:8}"
        for rule in rules:
            errors, cosines = zip(*found[rule], strict=True)
            line += f"{statistics.median(errors):13.1e}{statistics.median(cosines):9.4f}"
        print(line)


if __name__ == "__main__":
    main()
