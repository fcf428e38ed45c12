"""Formula texts of every notation, and texts beside them, against the slow reference reader.

The long test reads 10^6 texts: half of them of known composition, half of them changed by one to
three slips of typing. No text may be read as something that docs/input.md does not admit.
"""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.formula_reader import read
from reference.formula_texts import NOTATIONS, mutated
from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.formulas import Notation, parse_formula
from xtalshift.chem.tokens import read_plain
from xtalshift.errors import FormulaError

REAL = [
    "Ca10(PO4)6(OH)2", "YBa2Cu3O6.95", "Pb(Mg1/3Nb2/3)O3", "CuSO4·5H2O", "CaO.2Al2O3", "Fe.947O",
    "Li0.5CoO2", "Ti-6Al-4V", "80Li2S 20P2S5", "Al2O3", "La0.7Sr0.3MnO3", "NaCl", "CsPbI3",
    "Li 1.2 Mn 0.8 O 2", "C20H10", "Na0,65CoO2", "{'Fe': 2, 'O': 3}", "In0.8Ga0.2As",
]  # fmt: skip


def outcome(text, **settings):
    """Return amounts (None: refused, in a message that names the text) and notes."""
    try:
        parsed = parse_formula(text, **settings)
    except FormulaError as error:
        assert repr(text) in str(error) or len(text) > 50  # noqa: PT017 - both outcomes are fine
        return None, ()
    return dict(zip(parsed.z, parsed.amounts, strict=True)), parsed.notes


def equal(amounts, meant):
    named = {SYMBOLS[z]: amount for z, amount in amounts.items()}
    return named.keys() == meant.keys() and all(
        abs(named[symbol] - float(meant[symbol])) <= 1e-9 * named[symbol] for symbol in named
    )


def verdict(text, *, expand=False):
    """Return ``"read"`` or ``"refused"`` if the reference admits it, else what differs."""
    amounts, _ = outcome(text, hydrates="expand" if expand else "refuse")
    admitted = read(text, expand=expand)
    if amounts is None:
        return "refused" if admitted.refusal else "refused, but it must be read"
    if any(equal(amounts, reading) for reading in admitted.readings):
        return "read"
    return "read, but it must be refused" if not admitted.readings else "read as something else"


@st.composite
def picks(draw):
    return lambda n: draw(st.integers(0, n - 1))


@pytest.mark.parametrize("notation", NOTATIONS)
@given(data=st.data())
def test_a_text_of_known_composition_is_read_as_meant_or_refused(notation, data):
    sample = notation(data.draw(picks()))
    amounts, _ = outcome(sample.text, **sample.settings)
    assert amounts is None or equal(amounts, sample.meant)
    if notation.__name__ != "formula":  # where decimal commas may be refused
        assert amounts is not None


@given(picks(), st.sampled_from(REAL), st.booleans())
def test_a_text_with_slips_is_read_as_the_document_says(pick, text, expand):
    assert verdict(mutated(pick, text), expand=expand) in {"read", "refused"}


@given(st.data(), st.sampled_from(["refuse", "expand"]))
def test_many_texts_are_read_as_one_by_one(data, hydrates):
    pick = data.draw(picks())
    texts = [NOTATIONS[pick(4)](pick).text for _ in range(4)]
    texts += [mutated(pick, text) for text in texts]
    compositions, reasons, notes = parse_formulas(texts, Notation(hydrates))
    for row, text in enumerate(texts):
        part = slice(compositions.starts[row], compositions.starts[row + 1])
        found = dict(zip(compositions.z[part], compositions.amounts[part], strict=True))
        amounts, remarks = outcome(text, hydrates=hydrates)
        assert (found, notes[row]) == (amounts or {}, "; ".join(remarks))
        assert (reasons[row] == "") == (amounts is not None)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_a_million_texts(shared_data, seed):
    counts, differing = Counter(), []
    rng = np.random.default_rng(seed)
    numbers = iter(())

    def pick(n):
        nonlocal numbers
        number = next(numbers, None)
        if number is None:
            numbers = iter(rng.random(1 << 16).tolist())
            number = next(numbers)
        return int(n * number)

    tables = sorted((shared_data / "composition").glob("*.parquet"))
    real = sorted({text for path in tables for text in pd.read_parquet(path).iloc[:, 0].map(str)})
    for _ in range(125):
        plain = []
        for _ in range(1000):
            sample = NOTATIONS[pick(4)](pick)
            amounts, _ = outcome(sample.text, **sample.settings)
            if amounts is None:
                kind = "refused"
            else:
                kind = "read" if equal(amounts, sample.meant) else "read as something else"
            source = sample.text if pick(2) else real[pick(len(real))]
            slipped = mutated(pick, source)
            slip_kind = verdict(slipped, expand=pick(2) == 1)
            for origin, text, result in (
                ("made", sample.text, kind),
                ("slips", slipped, slip_kind),
            ):
                counts[origin, result] += 1
                if result not in {"read", "refused"}:
                    differing.append((origin, result, text))
            plain += [sample.text, slipped]
        elements = read_plain(plain)
        bounds = np.searchsorted(elements.rows, np.arange(len(plain) + 1))
        for row in np.unique(elements.rows).tolist():
            part = slice(bounds[row], bounds[row + 1])
            parsed = parse_formula(plain[row])
            assert parsed == (
                tuple(elements.z[part].tolist()), tuple(elements.amounts[part].tolist()), ()
            )  # fmt: skip
    assert not differing, counts
    assert counts["made", "read"] > 0.9 * counts.total() / 2
