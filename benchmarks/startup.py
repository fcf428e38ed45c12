"""Seconds that each command takes over bare Python on next to no work: its start-up.

    python benchmarks/startup.py [--repeats 7]

Each command runs in a new process; Python keeps compiled files, as in an installation. The least
wall and CPU seconds of the repeats are printed; CPU seconds are less sensitive to other programs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FORMULAS = ["GaN", "LiFePO4", "Fe2O3"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
RUN = ["-c", "from xtalshift.cli.main import main; main()"]


def measure(arguments: list[str], repeats: int) -> tuple[float, float]:
    """Return the least wall and CPU seconds of a Python process."""
    runs = []
    for _ in range(repeats):
        begin, before = time.perf_counter(), os.times()
        command = [sys.executable, *arguments]
        subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
        after = os.times()
        cpu = after.children_user + after.children_system
        cpu -= before.children_user + before.children_system
        runs.append((time.perf_counter() - begin, cpu))
    return min(wall for wall, _ in runs), min(cpu for _, cpu in runs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = str(folder / "table.csv")
        features, parts = str(folder / "features.parquet"), str(folder / "parts.parquet")
        symbols = ["Li", "Na", "K", "Mg", "Ca", "Al", "Ga", "Ti", "Fe", "Zn"]
        lines = [f"{a}{b},{i}.{j}\n" for i, a in enumerate(symbols) for j, b in enumerate("OSNP")]
        Path(table).write_text("".join(["formula,gap\n", *lines]))
        commands = {
            "--version": ["--version"],
            "--help": ["--help"],
            "datasets list": ["datasets", "list"],
            "featurize, 40 rows": ["featurize", table, "-o", features],
            "split, 40 rows": ["split", table, "--scheme", "random", "-o", parts],
        }
        for method in ("dummy", "ridge", "lightgbm", "erm"):
            model = str(folder / method)
            train = ["train", table, "--target", "gap", "--method", method, "-o", model]
            subprocess.run([sys.executable, *RUN, *train], check=True, capture_output=True)
            commands[f"predict with {method}, 3 formulas"] = ["predict", model, *FORMULAS]
        least_wall, least_cpu = measure(["-c", "pass"], repeats)
        print(f"{'bare Python':32}{'wall':>8}{'CPU':>8}\n{'':32}{least_wall:8.2f}{least_cpu:8.2f}")
        imports = {
            "import xtalshift": "import xtalshift",
            "import numpy, pyarrow, typer": "import numpy, pyarrow.parquet, typer",
            "import pandas": "import pandas",
            "import sklearn.base": "import sklearn.base",
            "import lightgbm": "import lightgbm",
            "import torch": "import torch",
        }
        jobs = {name: ["-c", code] for name, code in imports.items()}
        jobs |= {name: [*RUN, *arguments] for name, arguments in commands.items()}
        for title, arguments in jobs.items():
            wall, cpu = measure(arguments, repeats)
            print(f"{title:32}{wall - least_wall:8.2f}{cpu - least_cpu:8.2f}", flush=True)


if __name__ == "__main__":
    main()
