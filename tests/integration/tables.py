"""Small tables of binary compounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

METALS = ["Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "Zn", "Al", "Ga", "In", "Ti", "Fe"]
ANIONS = ["O", "S", "Se", "Te", "F", "Cl", "Br", "I", "N", "P", "As"]


def make_rows(n: int) -> list[tuple[str, str, float, int]]:
    """Return (id, formula, gap, temperature) of `n` different binary formulas, gaps above 0."""
    rng = np.random.default_rng(7)
    pairs = [(metal, anion) for metal in METALS for anion in ANIONS]
    rows = []
    for number, index in enumerate(rng.permutation(len(pairs))[:n]):
        metal, anion = pairs[index]
        temperature = int(rng.choice([300, 400]))
        gap = 1 + 0.37 * ANIONS.index(anion) + 0.11 * METALS.index(metal) + temperature / 100
        rows.append((f"{number:04d}", metal + anion, round(gap, 3), temperature))
    return rows


def write_rows(path: Path, rows: list[tuple[Any, ...]], separator: str = ",") -> Path:
    """Write rows of `make_rows` to a CSV."""
    lines = [("id", "formula", "gap", "temperature"), *rows]
    path.write_text("".join(separator.join(map(str, line)) + "\n" for line in lines))
    return path
