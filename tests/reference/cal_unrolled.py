"""The risk after one CAL step as a function of the covariate weights, followed by autograd.

Nothing is approximated: every attack step and every parameter step stays in the graph, and the
derivative of the result in ``w`` is the truth that the formulas of the package are measured by.
"""

import torch
from torch.func import functional_call


def smooth_l1(predictions, targets):
    difference = (predictions - targets).abs()
    return torch.where(difference < 1, 0.5 * difference**2, difference - 0.5)


def cross_entropy(logits, classes):
    """Return ``-log (exp z_y / sum_k exp z_k)`` of each row, one after the other."""
    found = []
    for z, y in zip(logits, classes, strict=True):
        total = sum(torch.exp(z[k]) for k in range(len(z)))
        found.append(torch.log(total) - z[int(y)])
    return torch.stack(found)


def mean_loss(model, theta, rows, x, row_loss=smooth_l1):
    losses = row_loss(functional_call(model, theta, (x,)), rows.y)
    if rows.weights is None:
        return losses.sum() / len(losses)
    return (losses * rows.weights).sum() / rows.weights.sum()


def unrolled_attack(model, theta, rows, w, gamma, config, row_loss=smooth_l1):
    """Return ``x_adv`` with its whole history in the graph; there is no ball."""
    x = rows.x.detach()
    x_adv = x.clone().requires_grad_()
    first, second = 0.0, 0.0
    b1, b2 = config.attack_betas
    for t in range(1, config.attack_steps + 1):
        cost = (w * (x_adv - x) ** 2).sum(dim=1).mean()
        objective = mean_loss(model, theta, rows, x_adv, row_loss) - gamma * cost
        (slope,) = torch.autograd.grad(objective, x_adv, create_graph=True)
        if config.attack_method == "ascent":
            move = slope
        elif config.attack_method == "steepest":
            move = slope / (slope**2).mean(dim=1, keepdim=True).sqrt()
        else:
            first = b1 * first + (1 - b1) * slope
            second = b2 * second + (1 - b2) * slope**2
            move = (first / (1 - b1**t)) / ((second / (1 - b2**t)).sqrt() + 1e-8)
        x_adv = x_adv + config.attack_step_size * move
    return x_adv


def stability(model, theta, rows, spread, row_loss=smooth_l1):
    losses = row_loss(functional_call(model, theta, (rows.x,)), rows.y)
    if rows.weights is not None:
        losses = losses * rows.weights / rows.weights.mean()
    means = [losses[rows.environments == e].mean() for e in rows.environments.unique()]
    return sum(means) + spread * (max(means) - min(means))


def risk_after(model, rows, w, gamma, config, spread, row_loss=smooth_l1):
    """Return ``R`` after ``theta_steps`` attacks, each with a plain parameter step of rho."""
    theta = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    for _ in range(config.theta_steps):
        x_adv = unrolled_attack(model, theta, rows, w, gamma, config, row_loss)
        # copies: the parameter step takes x_adv as given, not as a function of theta
        copies = {name: p.clone() for name, p in theta.items()}
        loss = mean_loss(model, copies, rows, x_adv, row_loss)
        slopes = torch.autograd.grad(loss, list(copies.values()), create_graph=True)
        theta = {
            name: p - config.rho * slope
            for (name, p), slope in zip(theta.items(), slopes, strict=True)
        }
    return stability(model, theta, rows, spread, row_loss)


def exact_weight_gradient(model, rows, w, gamma, config, spread, row_loss=smooth_l1):
    """Return ``dR/dw`` by autograd through everything."""
    w = w.detach().clone().requires_grad_()
    risk = risk_after(model, rows, w, gamma, config, spread, row_loss)
    (gradient,) = torch.autograd.grad(risk, w, allow_unused=True)
    return torch.zeros_like(w) if gradient is None else gradient


def finite_weight_gradient(model, rows, w, gamma, config, spread, step=1e-4):
    """Return ``dR/dw`` by central differences, one weight at a time."""
    result = torch.zeros_like(w)
    for j in range(len(w)):
        e = torch.zeros_like(w)
        e[j] = step
        up = float(risk_after(model, rows, w + e, gamma, config, spread).detach())
        down = float(risk_after(model, rows, w - e, gamma, config, spread).detach())
        result[j] = (up - down) / (2 * step)
    return result
