"""The disagreement of an ensemble and its slope, one member, row and feature at a time."""

import math

import torch


def disagreement(singles, row):
    """Return the standard deviation of single networks at one row, shape (d,)."""
    with torch.no_grad():
        found = [float(model(row[None])[0]) for model in singles]
    mean = sum(found) / len(found)
    return math.sqrt(sum((one - mean) ** 2 for one in found) / (len(found) - 1))


def objective(singles, x, x_adv, sample_weights, w, gamma):
    """Return the (weighted) mean disagreement at ``x_adv`` less the mean transport cost."""
    share = [1.0] * len(x) if sample_weights is None else sample_weights.tolist()
    gain = sum(s * disagreement(singles, row) for s, row in zip(share, x_adv, strict=True))
    cost = sum(
        float(w[j] * (x_adv[i, j] - x[i, j]) ** 2) for i in range(len(x)) for j in range(len(w))
    )
    return gain / sum(share) - float(gamma) * cost / len(x)


def finite_slope(singles, x, x_adv, sample_weights, w, gamma, step=1e-5):
    """Return the derivative of `objective` in ``x_adv`` by central differences, shape (n, d)."""
    slope = torch.zeros_like(x_adv)
    for i in range(x_adv.shape[0]):
        for j in range(x_adv.shape[1]):
            up, down = x_adv.clone(), x_adv.clone()
            up[i, j] += step
            down[i, j] -= step
            values = [objective(singles, x, at, sample_weights, w, gamma) for at in (up, down)]
            slope[i, j] = (values[0] - values[1]) / (2 * step)
    return slope


def ascend(singles, x, sample_weights, w, gamma, size, steps, epsilon):
    """Return ``x_adv`` after steps of the same root mean square along the slope, in the l2 ball."""
    x_adv = x.clone()
    for _ in range(steps):
        slope = finite_slope(singles, x, x_adv, sample_weights, w, gamma)
        for i in range(len(x)):
            rms = math.sqrt(float((slope[i] ** 2).mean()))
            if rms > 0:
                x_adv[i] += size * slope[i] / rms
            moved = x_adv[i] - x[i]
            rms = math.sqrt(float((moved**2).mean()))
            if rms > epsilon:
                x_adv[i] = x[i] + moved * epsilon / rms
    return x_adv
