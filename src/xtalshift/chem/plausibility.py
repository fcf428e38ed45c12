"""How plausible an enumerated composition is, and why: frequent ions and known analogues."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.analogues import Analogues
from xtalshift.chem.charge_balance import ChargeRule, Ions
from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import SYMBOLS, load_elements
from xtalshift.chem.oxidation import load_oxidation
from xtalshift.errors import ConfigError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

KNOWN = "ricci_seebeck"
"""The embedded table of known compounds: 34,630 of the Materials Project."""

ANY_IONS = ChargeRule(mixed_valence=True, intermetallics=True, polyanions=True)
"""Everything that enumeration can admit."""

HALF = 10.0
"""With so many analogues the factor of analogues is one half (see `Plausibility`)."""

_ROUNDING = 1e-9

NONE = 0.1
"""No analogue counts as this part of one."""


class Plausibility:
    """Judges compositions for `xtalshift.chem.enumeration.enumerate_formulas`.

    The plausibility is ``s (n + 0.1) / (n + 10)`` with n analogues among known compounds
    (`xtalshift.chem.analogues`), and ``s`` for a known compound. ``s`` is the geometric mean over
    the elements of the `state_shares`; of several ways to be balanced the one with the largest
    ``s`` counts. The formula is ours; its two constants follow how often compositions with no, one,
    ten ... analogues exist in another table (docs/science/plausibility.md). It orders candidates.
    It is no probability, and knows nothing of energies.

    Parameters
    ----------
    known : Compositions
        Known compounds.
    """

    def __init__(self, known: Compositions) -> None:
        self.analogues = Analogues(known)

    def limit(self, compositions: Compositions) -> FloatArray:
        """Return what the plausibility of n compositions can be at most, shape (n,), much faster.

        Whatever their ions are: by the number of analogues, and by the most frequent state of each
        element.
        """
        limits = np.zeros(len(compositions))
        filled = compositions.sizes > 0
        rows = compositions.take(filled)
        if len(rows):
            number, known = self.analogues.count_each(rows)
            logs = np.add.reduceat(np.log(_largest_shares())[rows.z], rows.starts[:-1])
            share = np.where(rows.sizes > 1, np.exp(logs / rows.sizes) * (1 + _ROUNDING), 1.0)
            limits[filled] = share * np.where(known, 1.0, (number + NONE) / (number + HALF))
        return limits

    def judge(self, compositions: Compositions) -> tuple[FloatArray, list[str]]:
        """Return the plausibility of n compositions of any elements, shape (n,), and the reasons.

        They may be balanced in every way that enumeration can admit (`ANY_IONS`). What no ions
        balance has the plausibility 0, even if it is known.
        """
        ordered = compositions.ordered()
        counts, bounds = ordered.counts(), ordered.starts.tolist()
        values, reasons = np.zeros(len(ordered)), ["no formula"] * len(ordered)
        sets: dict[tuple[int, ...], list[int]] = {}
        for row, (start, stop) in enumerate(pairwise(bounds)):
            if start < stop:
                sets.setdefault(tuple(ordered.z[start:stop].tolist()), []).append(row)
        for z, rows in sets.items():
            amounts = np.stack([counts[bounds[row] : bounds[row + 1]] for row in rows], axis=1)
            found, texts = self._judge_set(z, amounts)
            values[rows] = found
            for row, text in zip(rows, texts, strict=True):
                reasons[row] = text
        return values, reasons

    def _judge_set(self, z: tuple[int, ...], amounts: IntArray) -> tuple[FloatArray, list[str]]:
        """Return the plausibility and the reasons of n compositions of k elements."""
        n = amounts.shape[1]
        try:
            ions = ANY_IONS.ions(z, amounts)
        except ConfigError:
            return np.zeros(n), ["too many elements to balance their ions"] * n
        balanced = np.zeros(n, dtype=np.bool_)
        balanced[ions.places] = True
        values, reasons = np.zeros(n), ["no ions balance it"] * n
        if balanced.any():
            found, texts = self(z, amounts[:, balanced], ions.take(balanced))
            values[balanced] = found
            for row, text in zip(np.flatnonzero(balanced).tolist(), texts, strict=True):
                reasons[row] = text
        return values, reasons

    def __call__(
        self, z: tuple[int, ...], amounts: IntArray, ions: Ions | None
    ) -> tuple[FloatArray, list[str]]:
        """Return the plausibility of n compositions of k elements, shape (n,), and the reasons.

        Without ions the charges are not judged, and ``s`` is 1.
        """
        number, known, kinds = self.analogues.count(z, amounts)
        if ions is None:
            share, texts = np.ones(amounts.shape[1]), ["charges not judged"] * amounts.shape[1]
        else:
            share, texts = _judge_ions(z, ions)
        plausibility = share * np.where(known, 1.0, (number + NONE) / (number + HALF))
        relatives = dict.fromkeys(range(len(texts)), "no analogue")
        for place in np.flatnonzero(kinds >= 0).tolist():
            words = ["known"] if known[place] else []
            if n := int(number[place]):
                like = self.analogues.nearest(z, amounts[:, place], int(kinds[place]))
                words.append(f"{n} analogue{'s' * (n > 1)}: {like}")
            relatives[place] = "; ".join(words)
        return plausibility, [f"{text}; {relatives[at]}" for at, text in enumerate(texts)]


def state_shares(z: tuple[int, ...], states: FloatArray) -> FloatArray:
    """Return how frequent oxidation states are among those that the elements might have.

    Counted are entries of the ICSD (`xtalshift.chem.oxidation`), plus one for each state that an
    ion of the element may have: among all its ions; for the most electronegative element, which
    must be the anion, among its anions; for the state 0 among all entries. Two states of one
    element, given by their mean, have the geometric mean of their shares, weighted by atoms.

    Parameters
    ----------
    z : tuple of int
        Atomic numbers of k elements.
    states : ndarray of float64, shape (k, p)
        As in `Ions.states`, p ways.

    Returns
    -------
    ndarray of float64, shape (k, p)
    """
    if len(z) == 1:
        return np.ones(states.shape)
    last = max(z, key=lambda number: float(load_elements().electronegativity[number]))
    shares = np.empty(states.shape)
    for row, number in enumerate(z):
        possible, logs, neutral = _log_shares(number, number == last)
        shares[row] = np.where(
            states[row] == 0, neutral, np.exp(np.interp(states[row], possible, logs))
        )
    return shares


@cache
def _log_shares(z: int, anion: bool) -> tuple[list[int], FloatArray, float]:  # noqa: FBT001
    """Return the states of an element's ions, logarithms of their shares, and the share of 0."""
    table = load_oxidation()
    counts = table.counts[z]
    states = sorted((*table.anions[z], *table.bonded[z], *table.cations[z]))
    neutral = (counts.get(0, 0) + 1) / (sum(counts.values()) + len(states) + 1)
    if not states:
        return [0], np.zeros(1), neutral
    alone = anion and states[0] < 0
    rivals = [state for state in states if state < 0] if alone else states
    total = sum(counts.get(state, 0) + 1 for state in rivals)
    logs = [np.log(min(1.0, (counts.get(state, 0) + 1) / total)) for state in states]
    return states, np.array(logs), neutral


@cache
def _largest_shares() -> FloatArray:
    """Return the share of the most frequent state of each element, by atomic number."""
    largest = np.ones(len(SYMBOLS))
    for z in range(1, len(SYMBOLS)):
        for anion in (False, True):
            _, logs, neutral = _log_shares(z, anion)
            own = max(float(np.exp(logs.max())), neutral)
            largest[z] = own if not anion else max(largest[z], own)
    return largest


def _judge_ions(z: tuple[int, ...], ions: Ions) -> tuple[FloatArray, list[str]]:
    """Return the best geometric mean share of each composition, and its ions as text."""
    shares = state_shares(z, ions.states)
    means = np.exp(np.log(shares).mean(axis=0))[ions.which]
    best = np.zeros(int(ions.places[-1]) + 1)
    np.maximum.at(best, ions.places, means)
    winners = np.flatnonzero(means == best[ions.places])[::-1]
    first = np.empty(len(best), dtype=np.int64)
    first[ions.places[winners]] = ions.which[winners]  # of equal ways the first one stays
    symbols, texts = [SYMBOLS[number] for number in z], {}
    for way in np.unique(first).tolist():
        parts = zip(symbols, ions.states[:, way].tolist(), shares[:, way].tolist(), strict=True)
        texts[way] = " ".join(f"{symbol}{state:+.3g} ({part:.2g})" for symbol, state, part in parts)
    return best, list(map(texts.__getitem__, first.tolist()))
