"""The command line in this process, and small tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from integration.tables import make_rows, write_rows
from xtalshift.benchmark import plugins
from xtalshift.cli.main import main

QUICK = (
    "--set",
    "erm.epochs=3",
    "--set",
    "cal.epochs=3",
    "--set",
    "cal.warmup_epochs=1",
    "--set",
    "cal.partial_batches=2",
    "--set",
    "lightgbm.n_estimators=20",
    "--set",
    "network.architecture=[16]",
    "--set",
    "choice.folds=2",
    "--set",
    "choice.repeats=1",
    "--threads",
    "1",
)
"""Options that make every method take a fraction of a second."""


@dataclass(frozen=True)
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _keep_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _forget_plugins():
    """Leave no plugin of a command in this process, whose registry other tests look at."""
    yield
    for module in plugins._loaded():
        plugins._forget(plugins._file(module))


@pytest.fixture
def xtalshift(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Return a function that runs the command line."""

    def call(*arguments: Any) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(int(stop.value.code), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV of 60 rows."""
    return write_rows(tmp_path_factory.mktemp("table") / "gaps.csv", make_rows(60))


def train_model(table: Path, folder: Path, *options: str) -> Path:
    """Train with the command line; ridge unless said otherwise."""
    with pytest.raises(SystemExit) as stop:
        main(["train", str(table), "-o", str(folder), "--target", "gap", "--method", "ridge",
              *QUICK, *options])  # fmt: skip
    assert stop.value.code == 0
    return folder


@pytest.fixture(scope="session")
def model(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a saved ridge model of formulas."""
    return train_model(table, tmp_path_factory.mktemp("models") / "ridge", "--unit", "eV")


@pytest.fixture(scope="session")
def warm_model(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a saved ridge model of formulas and temperature."""
    folder = tmp_path_factory.mktemp("models") / "warm"
    return train_model(table, folder, "--feature-cols", "temperature")


@pytest.fixture
def quick() -> tuple[str, ...]:
    """Return the options that make training quick."""
    return QUICK
