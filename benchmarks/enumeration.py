"""Charge rules and plausibility of `xtalshift enumerate` against real tables, and its speed.

    XTALSHIFT_DATA=FOLDER python benchmarks/enumeration.py

Prints (1) the share of known and of made-up formulas that each rule accepts, (2) how often
candidates that are missing in ricci_seebeck exist in mp_e_form, by plausibility, (3) which
compounds of mp_e_form `screen --min-plausibility 0.01` would keep, and (4) formulas per second of
processor time. docs/science/plausibility.md has the figures.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from xtalshift.chem import Compositions, parse_formulas
from xtalshift.chem.analogues import Analogues
from xtalshift.chem.charge_balance import ChargeRule
from xtalshift.chem.charge_neutrality import neutral_rows
from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.chem.enumeration import count_formulas, enumerate_formulas
from xtalshift.chem.families import FAMILIES, family_codes
from xtalshift.chem.oxidation import load_oxidation
from xtalshift.chem.plausibility import Plausibility
from xtalshift.data import read_table

TABLES = {
    "mp_e_form": "composition/mp_e_form.parquet",
    "expt_gap": "composition/expt_gap.parquet",
    "dielectric": "structures/dielectric.parquet",
}
LEAST = 0.01
ANIONS = ("O", "F", "Cl", "Br", "I", "S", "Se", "Te", "N")
RULES = {
    "default": ChargeRule(),
    "mixed valence": ChargeRule(mixed_valence=True),
    "polyanions": ChargeRule(polyanions=True),
    "all three": ChargeRule(mixed_valence=True, intermetallics=True, polyanions=True),
}
SPACE = "Li Na K Mg Ca Sr Ba Al Ga In Si Ge Sn Ti Zr Mn Fe Co Ni Cu Zn Ag La O S Se Te F Cl Br N P"


def read(path: Path) -> Compositions:
    """Return the distinct reduced formulas of 2 to 7 elements of a table that has an anion."""
    parsed = parse_formulas(pd.read_parquet(path)["formula"].tolist())[0]
    reduced = np.unique(parsed.reduced_formulas().astype(str))
    parsed = parse_formulas(reduced.tolist())[0]
    anion = np.logical_or.reduce([parsed.contains(symbol) for symbol in ANIONS])
    return parsed.take(anion & (parsed.sizes >= 2) & (parsed.sizes <= 7))


def make_up(n: int, rng: np.random.Generator) -> Compositions:
    """Return formulas of random elements, amounts 1 to 8, with one of the anions."""
    elements = [z for z in range(1, 95) if load_oxidation().cations[z]]
    texts = []
    for _ in range(n):
        anion = ATOMIC_NUMBERS[str(rng.choice(ANIONS))]
        size = int(rng.choice([1, 2, 3], p=[0.15, 0.55, 0.3]))
        others = rng.choice([z for z in elements if z != anion], size, replace=False)
        amounts = rng.integers(1, 9, size + 1)
        symbols = [SYMBOLS[z] for z in (*others, anion)]
        texts.append("".join(f"{s}{a}" for s, a in zip(symbols, amounts, strict=True)))
    return parse_formulas(texts)[0]


def accepted(rows: Compositions, rule: ChargeRule) -> float:
    """Return the share of rows that a rule accepts."""
    hits = 0
    for a, b in zip(rows.starts, rows.starts[1:], strict=False):
        z = tuple(rows.z[a:b].tolist())
        hits += len(rule.ions(z, np.rint(rows.amounts[a:b]).astype(np.int64)[:, None]).places) > 0
    return hits / len(rows)


def print_shares(folder: Path, rng: np.random.Generator) -> None:
    """Print what the rules accept; of large tables 10,000 random rows."""
    tables = {name: read(folder / path) for name, path in TABLES.items()}
    tables["made up"] = make_up(10_000, rng)
    for name, rows in tables.items():
        some = rows.take(np.sort(rng.permutation(len(rows))[:10_000]))
        shares = {"any order": float(neutral_rows(some)[0].mean())}
        shares |= {rule: accepted(some, of) for rule, of in RULES.items()}
        print(f"{name} ({len(some):,}):", {rule: round(share, 3) for rule, share in shares.items()})


def print_existence(folder: Path, rng: np.random.Generator, systems: int = 3000) -> None:
    """Print how many candidates of random systems exist, by plausibility and analogues."""
    judge = Plausibility(read_table("ricci_seebeck").materials.compositions)
    other = Analogues(parse_formulas(pd.read_parquet(folder / TABLES["mp_e_form"])["formula"])[0])
    elements = [z for z in range(3, 84) if load_oxidation().cations[z]]
    elements = [z for z in elements if SYMBOLS[z] not in (*ANIONS, "C")]
    rows = []

    def note(z, amounts, ions):  # noqa: ANN001, ANN202
        values, reasons = judge(z, amounts, ions)
        number, known, _ = judge.analogues.count(z, amounts)
        rows.append(np.column_stack((values, number, known, other.count(z, amounts)[1])))
        return values, reasons

    for _ in range(systems):
        size = int(rng.choice([1, 2, 3], p=[0.1, 0.6, 0.3]))
        chosen = rng.choice(elements, size, replace=False)
        names = [*(SYMBOLS[z] for z in chosen), str(rng.choice(ANIONS))]
        for _ in enumerate_formulas(names, max_atoms=12, min_elements=size + 1, judge=note):
            pass
    found = np.concatenate(rows)
    found = found[found[:, 2] == 0]
    exists = found[:, 3]
    print(f"{len(found):,} candidates that are not in ricci_seebeck, {int(exists.sum()):,} exist")
    print(f"AUC of the plausibility: {roc_auc_score(exists, found[:, 0]):.3f}")
    for title, column, edges in [
        ("analogues", 1, [1, 3, 10, 50]),
        ("plausibility", 0, [0.003, 0.01, 0.03, 0.1, 0.3]),
    ]:
        bins = np.digitize(found[:, column], edges)
        for number, low in enumerate([0, *edges]):
            of = exists[bins == number]
            print(f"  {title} from {low}: {len(of):,}, {of.mean():.4f} exist")


def print_kept(folder: Path, n: int = 8000) -> None:
    """Print, by chemical family, how many known compounds are balanced and plausible."""
    judge = Plausibility(read_table("ricci_seebeck").materials.compositions)
    table = pd.read_parquet(folder / TABLES["mp_e_form"]).sample(n, random_state=1)
    rows = parse_formulas(table["formula"].tolist())[0]
    rows = rows.take(rows.sizes > 1)
    values, known = judge.judge(rows)[0], judge.analogues.count_each(rows)[1]
    family = np.array(list(FAMILIES))[family_codes(rows)]
    found = pd.DataFrame(
        {"family": family, "known": known, "balanced": values > 0, "kept": values >= LEAST}
    )
    print(f"{len(found):,} compounds: {found[['balanced', 'kept']].mean().to_dict()}")
    print(found.groupby("known")[["balanced", "kept"]].agg(["size", "mean"]))
    print(found.groupby("family")[["balanced", "kept"]].agg(["size", "mean"]))


def print_speed() -> None:
    """Print formulas per second of one core."""
    begin = time.process_time()
    judge = Plausibility(read_table("ricci_seebeck").materials.compositions)
    print(f"known compounds read in {time.process_time() - begin:.1f} s")
    limits = {"max_atoms": 10, "max_elements": 4}
    total = count_formulas(SPACE.split(), **limits)
    for name, settings in [
        ("no rule", {"charges": None}),
        ("default rule", {}),
        ("default rule and plausibility", {"judge": judge}),
        ("mixed valence and plausibility", {"judge": judge, "charges": RULES["mixed valence"]}),
    ]:
        begin = time.process_time()
        found = sum(
            len(b.formulas) for b in enumerate_formulas(SPACE.split(), **limits, **settings)
        )
        seconds = time.process_time() - begin
        print(f"{name}: {total:,} examined, {found:,} found, {seconds:.2f} s")


if __name__ == "__main__":
    data = Path(os.environ["XTALSHIFT_DATA"])
    print_shares(data, np.random.default_rng(0))
    print_existence(data, np.random.default_rng(1))
    print_kept(data)
    print_speed()
