"""Cost of the parts of CAL in units of a plain (ERM) step, all in one run.

    python benchmarks/cal_step.py [--architectures irnet3 irnet-cpu] [--device cpu] [--threads 2]
        [--repeats 7] [--bf16] [--skip-epochs]

Batch 256, 145 features, float32, the published 10 attack and 3 parameter steps, the same fused Adam
on both sides. Every repeat times all jobs one after the other and gives a ratio each; printed are
the medians of the ratios, so that a busy moment of the machine touches one repeat only. Beside
each stands what counting matrix products says (forward 1, input gradient 1, weight gradient 1 unit
per layer; the first layer needs no input gradient in an ERM step).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from xtalshift.cal.attack import attack, attack_objective_gradient
from xtalshift.cal.loop import CALTraining
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.step import random_environments, step
from xtalshift.cal.weights import init, mixed_derivative, stability_gradient
from xtalshift.nn.erm import ERMTraining, erm_step
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.rows import Rows, TrainingData
from xtalshift.nn.settings import ARCHITECTURES, ERMConfig

BATCH, FEATURES = 256, 145
Jobs = dict[str, Callable[[], object]]


def clock(job: Callable[[], object], count: int, device: torch.device) -> float:
    """Return the mean seconds of some runs of a job."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    for _ in range(count):
        job()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - begin) / count


def measure(jobs: Jobs, counts: dict[str, int], repeats: int, device: torch.device) -> dict:
    """Return the seconds of each job in each repeat."""
    for job in jobs.values():
        job()
    rounds = [
        [clock(job, counts.get(name, 5), device) for name, job in jobs.items()]
        for _ in range(repeats)
    ]
    return dict(zip(jobs, zip(*rounds, strict=True), strict=True))


def ratio(seconds: dict, name: str, base: str, factor: float = 1.0) -> float:
    """Return the median over repeats of one job's time over another's."""
    pairs = zip(seconds[name], seconds[base], strict=True)
    return statistics.median(factor * a / b for a, b in pairs)


def count_units(widths: tuple[int, ...], config: CALConfig) -> tuple[float, float]:
    """Return the matrix products of an attack step and of a CAL step over those of an ERM step."""
    sizes, fan_in = [], FEATURES
    for width in widths:
        sizes.append(fan_in * (width if width == fan_in else 2 * width))
        fan_in = width
    sizes.append(fan_in)
    total, inner = sum(sizes), sum(sizes[1:])
    erm = 2 * total + inner
    attack_step = 2 * total
    mixed = 2 * total + inner + 4 * total  # the parameter gradient and the double backward pass
    theta = config.attack_steps * attack_step + mixed
    return attack_step / erm, (erm + config.theta_steps * theta) / erm


def bare_products(widths: tuple[int, ...], device: torch.device) -> Callable[[], object]:
    """Return a job that does the matrix products of an ERM step and nothing else."""
    layers, fan_in = [], FEATURES
    for width in widths:
        out = width if width == fan_in else 2 * width
        shapes = ((BATCH, fan_in), (out, fan_in), (BATCH, out))
        layers.append([torch.randn(shape, device=device) for shape in shapes])
        fan_in = width

    def job() -> None:
        for number, (x, weight, slope) in enumerate(layers):
            x @ weight.T
            slope.T @ x
            if number:
                slope @ weight

    return job


def bench_steps(
    name: str, device: torch.device, repeats: int, *, dropout: float, bf16: bool
) -> None:
    """Print the costs of one architecture."""
    widths = ARCHITECTURES[name]
    generator = torch.Generator(device).manual_seed(0)
    model = IRNet(FEATURES, widths, dropout, torch.Generator().manual_seed(0))
    model.bf16 = bf16
    model.to(device)
    x = torch.randn(BATCH, FEATURES, generator=generator, device=device)
    rows = Rows(x, torch.randn(BATCH, generator=generator, device=device))
    config = CALConfig.from_dict({"preset": "paper", "dropout_epochs": 1000 if dropout else 0})
    state = init(FEATURES, config, like=x)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    environments = random_environments(BATCH, 5, generator)
    direction = stability_gradient(model, rows, environments, 5, 0.5)
    on = generator if dropout else None
    jobs: Jobs = {
        "bare": bare_products(widths, device),
        "erm": lambda: erm_step(model, rows, optimizer, on),
        "attack step": lambda: attack_objective_gradient(model, rows, x, state),
        "attack": lambda: attack(model, rows, state, config),
        "stability": lambda: stability_gradient(model, rows, environments, 5, 0.5),
        "mixed": lambda: mixed_derivative(model, rows, direction),
        "cal": lambda: step(model, rows, state, config, 1, generator),
    }
    counts = {"cal": 1, "attack": 1}
    if name == "irnet-cpu" or device.type == "cuda":
        counts = {"cal": 3, "attack": 5, **dict.fromkeys(("bare", "erm", "attack step"), 30)}
    seconds = measure(jobs, counts, repeats, device)
    floor_attack, floor_cal = count_units(widths, config)
    label = f"{name}{', dropout' if dropout else ''}{', bf16' if bf16 else ''}"
    erm = statistics.median(seconds["erm"]) * 1e3
    print(f"\n{label}: ERM step {erm:.2f} ms, in ERM steps:")
    print(f"  rate of the bare products   {ratio(seconds, 'bare', 'erm'):6.0%}")
    one = ratio(seconds, "attack step", "erm")
    print(f"  attack step, gradient       {one:6.2f}   (counted {floor_attack:.2f})")
    whole = ratio(seconds, "attack", "erm", 1 / config.attack_steps)
    print(f"  attack step, all of it      {whole:6.2f}")
    print(f"  stability gradient          {ratio(seconds, 'stability', 'erm'):6.2f}")
    print(f"  mixed derivative + gradient {ratio(seconds, 'mixed', 'erm'):6.2f}")
    print(f"  CAL step (10 x 3)           {ratio(seconds, 'cal', 'erm'):6.1f}   "
          f"(counted {floor_cal:.1f})")  # fmt: skip


def bench_members(name: str, device: torch.device, repeats: int, members: int) -> None:
    """Print the cost of an ensemble in one model over that of one network after the other."""
    widths = ARCHITECTURES[name]
    generator = torch.Generator(device).manual_seed(0)
    config = CALConfig.from_dict({"preset": "cal", "dropout_epochs": 0})
    jobs: Jobs = {}
    for label, count in (("one", None), ("members", members)):
        seeds = [torch.Generator().manual_seed(k) for k in range(members)]
        model = IRNet(FEATURES, widths, 0.0, seeds[0] if count is None else seeds).to(device)
        lead = () if count is None else (count,)
        x = torch.randn(*lead, BATCH, FEATURES, generator=generator, device=device)
        rows = Rows(x, torch.randn(*lead, BATCH, generator=generator, device=device))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        state = init(FEATURES, config, like=x, members=count)

        def run_erm(model=model, rows=rows, optimizer=optimizer):  # noqa: ANN001, ANN202
            return erm_step(model, rows, optimizer, None)

        def run_cal(model=model, rows=rows, optimizer=optimizer, state=state):  # noqa: ANN001, ANN202
            return step(model, rows, state, config, 1, generator, optimizer=optimizer)

        jobs[f"erm {label}"], jobs[f"cal {label}"] = run_erm, run_cal
    seconds = measure(jobs, dict.fromkeys(jobs, 3), repeats, device)
    print(f"\n{name}, {members} members in one model, over one network:")
    for kind in ("erm", "cal"):
        print(f"  {kind} step {ratio(seconds, f'{kind} members', f'{kind} one'):6.1f}")


def bench_epochs(device: torch.device, repeats: int) -> None:
    """Print the cost of an epoch of the default presets over one of ERM, after the warm-up."""
    n = 8192
    generator = torch.Generator(device).manual_seed(0)
    x = torch.randn(n, FEATURES, generator=generator, device=device)
    rows = Rows(x, x[:, 0] + torch.sin(2 * x[:, 1]))
    environments = torch.arange(n, device=device) % 8
    architecture = "irnet-cpu" if device.type == "cpu" else "irnet3"

    def fresh() -> IRNet:
        return IRNet(
            FEATURES, ARCHITECTURES[architecture], 0.1, torch.Generator().manual_seed(0)
        ).to(device)

    config = CALConfig.from_dict({})
    erm = ERMTraining(fresh(), rows, ERMConfig(), generator)
    cal_rows = Rows(rows.x, rows.y, environments=environments)
    cal = CALTraining(fresh(), TrainingData(cal_rows, rows), config, generator)
    epoch = config.warmup_epochs
    cal.run_epoch(epoch)  # ranks the rows
    seconds = measure(
        {"erm": lambda: erm.run_epoch(0), "cal": lambda: cal.run_epoch(epoch + 1)},
        {"erm": 1, "cal": 1},
        repeats,
        device,
    )
    share = config.hard_rows(n) / n
    learning = 3 + config.theta_steps * (1 + 7)  # g, the loss gain, A at its own theta
    per_step = config.theta_steps * (2 * config.attack_steps + 3) + learning / config.weight_every
    units = (3 + share * per_step) / 3
    print(
        f"\n{architecture}, an epoch of preset cal over one of ERM: "
        f"{ratio(seconds, 'cal', 'erm'):.2f}   (counted {units:.2f})"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", nargs="+", default=["irnet3", "irnet-cpu"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--bf16", action="store_true", help="also in bfloat16")
    parser.add_argument("--skip-epochs", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    what = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {what}, {options.threads} threads")
    for name in options.architectures:
        for dropout in (0.0, 0.5 if name == "irnet3" else 0.1):
            bench_steps(name, device, options.repeats, dropout=dropout, bf16=False)
        if options.bf16:
            bench_steps(name, device, options.repeats, dropout=0.0, bf16=True)
        bench_members(name, device, options.repeats, options.members)
    if not options.skip_epochs:
        bench_epochs(device, options.repeats)


if __name__ == "__main__":
    main()
