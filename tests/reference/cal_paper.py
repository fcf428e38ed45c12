"""The published CAL recipe, transcribed literally and slowly in float64.

Everything is written out: one loop per environment, theta step, attack step, parameter and feature.
It draws from its generator in the same order as the package (an order of rows per warm-up epoch, an
assignment to environments per CAL step), so that both can be compared number by number.
"""

import copy
import math

import torch


def smooth_l1(prediction, target):
    difference = abs(prediction - target)
    return 0.5 * difference**2 if difference < 1 else difference - 0.5


def mean_loss(model, x, y):
    predictions = model(x)
    return sum(smooth_l1(predictions[i], y[i]) for i in range(len(y))) / len(y)


class SlowAdam:
    """Adam on a list of tensors, element formulas as in arXiv:1412.6980."""

    def __init__(self, learning_rate, betas=(0.9, 0.999), eps=1e-8):
        self.learning_rate, self.betas, self.eps = learning_rate, betas, eps
        self.t, self.m, self.v = 0, None, None

    def direction(self, gradients):
        if self.m is None:
            self.m = [torch.zeros_like(g) for g in gradients]
            self.v = [torch.zeros_like(g) for g in gradients]
        self.t += 1
        b1, b2 = self.betas
        steps = []
        for k, g in enumerate(gradients):
            self.m[k] = b1 * self.m[k] + (1 - b1) * g
            self.v[k] = b2 * self.v[k] + (1 - b2) * g**2
            m_hat = self.m[k] / (1 - b1**self.t)
            v_hat = self.v[k] / (1 - b2**self.t)
            steps.append(self.learning_rate * m_hat / (torch.sqrt(v_hat) + self.eps))
        return steps

    def descend(self, model):
        for p, d in zip(
            model.parameters(), self.direction([p.grad for p in model.parameters()]), strict=True
        ):
            p.data = p.data - d


def erm_step(model, x, y, adam):
    loss = mean_loss(model, x, y)
    model.zero_grad()
    loss.backward()
    adam.descend(model)


def slow_attack(model, x, y, w, gamma, config):
    adam = SlowAdam(config.attack_step_size, config.attack_betas)
    x_adv = x.clone()
    for _ in range(config.attack_steps):
        x_adv = x_adv.detach().requires_grad_()
        cost = 0.0
        for i in range(len(x)):
            for j in range(x.shape[1]):
                cost = cost + w[j] * (x_adv[i, j] - x[i, j]) ** 2
        objective = mean_loss(model, x_adv, y) - gamma * cost / len(x)
        objective.backward()
        x_adv = x_adv.detach() + adam.direction([x_adv.grad])[0]
    return x_adv


def stability(model, x, y, environment, config, epoch):
    losses = []
    for e in range(max(environment) + 1):
        rows = [i for i in range(len(y)) if environment[i] == e]
        losses.append(mean_loss(model, x[rows], y[rows]))
    a = config.alpha / math.sqrt(epoch + 1)
    values = [float(loss.detach()) for loss in losses]
    factors = [1.0] * len(losses)
    if len(losses) > 1:
        factors[values.index(max(values))] += a
        factors[values.index(min(values))] -= a
    return sum(f * loss for f, loss in zip(factors, losses, strict=True))


def cal_step(model, x, y, w, frozen, gamma, config, epoch, environment):
    """Return the new weights; the model is changed in place."""
    risk = stability(model, x, y, environment, config, epoch)
    g = torch.autograd.grad(risk, list(model.parameters()))
    adam = SlowAdam(config.theta_learning_rate)
    A = torch.zeros_like(x)
    for _ in range(config.theta_steps):
        x_adv = slow_attack(model, x, y, w, gamma, config)
        leaf = x_adv.clone().requires_grad_()
        gradients = torch.autograd.grad(
            mean_loss(model, leaf, y), list(model.parameters()), create_graph=True
        )
        product = sum((a * b).sum() for a, b in zip(g, gradients, strict=True))
        A = A + torch.autograd.grad(product, leaf)[0]
        for p, value in zip(model.parameters(), gradients, strict=True):
            p.grad = value.detach()
        adam.descend(model)
    dR = torch.zeros_like(w)
    for j in range(len(w)):
        for i in range(len(x)):
            dR[j] += (-config.rho * A[i, j]) * (
                -2 * gamma * config.attack_step_size * (x_adv[i, j] - x[i, j])
            )
    new = w.clone()
    for j in range(len(w)):
        if not frozen[j]:
            new[j] = w[j] - config.delta / max(abs(value) for value in dR) * dR[j]
    return new


def train(model, x, y, x_val, y_val, config, generator):
    """Return the best, last and EMA parameters, and the history of (w, frozen, gamma)."""
    erm_adam = SlowAdam(config.learning_rate)
    w = torch.full((x.shape[1],), config.weight_init, dtype=x.dtype)
    frozen = [False] * x.shape[1]
    gamma = config.gamma_init
    best, best_error, best_epoch = None, math.inf, -1
    ema, history = None, []
    for epoch in range(config.epochs):
        if epoch < config.warmup_epochs:
            order = torch.randperm(len(y), generator=generator).tolist()
        elif (epoch - config.warmup_epochs) % config.resample_every == 0:
            with torch.no_grad():
                predictions = model(x)
            losses = [float(smooth_l1(predictions[i], y[i])) for i in range(len(y))]
            ranked = sorted(range(len(y)), key=lambda i: -losses[i])
            order = ranked[: config.partial_batches * config.batch_size]
        for start in range(0, len(order), config.batch_size):
            rows = order[start : start + config.batch_size]
            erm_step(model, x[rows], y[rows], erm_adam)
            if epoch >= config.warmup_epochs:
                permutation = torch.randperm(len(rows), generator=generator).tolist()
                environment = [k % min(config.n_environments, len(rows)) for k in permutation]
                w = cal_step(model, x[rows], y[rows], w, frozen, gamma, config, epoch, environment)
        if epoch >= config.warmup_epochs:
            for j in range(len(w)):
                if w[j] <= 0:  # at 0 the published gamma would be infinite
                    w[j] = 1.0
                    frozen[j] = True
            gamma = 1.0 / float(min(w))
        parameters = [p.detach().clone() for p in model.parameters()]
        if epoch <= config.ema_start:
            ema = parameters
        else:
            d = config.ema_decay
            ema = [d * a + (1 - d) * p for a, p in zip(ema, parameters, strict=True)]
        with torch.no_grad():
            error = float((model(x_val) - y_val).abs().mean())
        if error < best_error and epoch >= config.warmup_epochs:  # the warm-up is no CAL
            best, best_error, best_epoch = copy.deepcopy(parameters), error, epoch
        history.append((w.clone(), list(frozen), gamma))
        if epoch >= config.warmup_epochs and epoch - best_epoch >= config.patience:
            break
    return {"best": best, "last": parameters, "ema": ema}, history
