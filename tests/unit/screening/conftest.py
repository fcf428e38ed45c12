"""A tiny model, formulas, and a way to read what a screening wrote."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from integration.tables import make_rows
from xtalshift.model import FormulaRegressor, save_model


@pytest.fixture(autouse=True)
def _keep_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """Return a saved ridge model with intervals."""
    rows = make_rows(120)
    formulas = [row[1] for row in rows]
    gaps = np.array([row[2] for row in rows])
    fitted = FormulaRegressor("ridge", random_state=0).fit(formulas[:80], gaps[:80])
    fitted.conformalize(formulas[80:], gaps[80:])
    return save_model(fitted.model_, tmp_path_factory.mktemp("models") / "ridge")


@pytest.fixture(scope="session")
def energies(tmp_path_factory) -> Path:
    """Return a saved ridge model of made-up formation energies, with intervals."""
    rows = make_rows(154)
    formulas = [f"{row[1]}{number % 3 + 1}" for number, row in enumerate(rows)]
    values = np.array([-0.3 * row[2] + 0.5 * (number % 3) for number, row in enumerate(rows)])
    fitted = FormulaRegressor("ridge", random_state=0)
    fitted.fit(formulas[:100], values[:100]).conformalize(formulas[100:], values[100:])
    card = replace(fitted.model_.card, unit="eV/atom")
    model = replace(fitted.model_, card=card)
    return save_model(model, tmp_path_factory.mktemp("models") / "energies")


@pytest.fixture(scope="session")
def formulas() -> list[str]:
    """Return 150 formulas, of which some are not distinct and some are no formulas."""
    good = [f"{row[1]}{number % 4 + 1}" for number, row in enumerate(make_rows(147))]
    return [*good[:70], "", "Xx2", *good[70:], "Na2Cl2"]


@pytest.fixture
def table(tmp_path, formulas) -> Path:
    """Return them as a CSV."""
    path = tmp_path / "candidates.csv"
    pd.DataFrame({"id": range(len(formulas)), "formula": formulas}).to_csv(path, index=False)
    return path


@pytest.fixture
def read():
    """Return a function that reads all parts of a folder as one table."""

    def call(folder: Path) -> pd.DataFrame:
        parts = sorted((folder / "parts").glob("*.parquet"))
        return pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)

    return call


@pytest.fixture
def hashes():
    """Return a function that hashes what must not depend on how a screening ran."""

    def call(folder: Path) -> dict[str, str]:
        paths = [*sorted((folder / "parts").glob("*")), folder / "top.csv"]
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if path.exists()
        }

    return call
