"""The screening rules of the package SMACT for many amounts of the same elements at once."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.enumerate import Accept
from xtalshift.chem.ion_rules import join_states, neutral_under
from xtalshift.errors import ConfigError

__all__ = ["load_smact_rules"]


def load_smact_rules() -> Accept:
    """Return the screening of SMACT as a rule for `enumerate_formulas`.

    It keeps what `smact.screening.smact_validity` accepts with its own settings: elements, alloys
    (of what SMACT counts as metals), and compositions that are neutral with one of its oxidation
    states (ICSD, 2024) per element, where no cation is as electronegative as an anion.

    Oxidation states, metals, electronegativities and their test are those of the library. The test
    looks at two ions at a time, so it is asked once per two elements, not once per formula.

    Returns
    -------
    callable
        Symbols of k elements and amounts of shape (k, n) -> which of them to keep, shape (n,).

    Raises
    ------
    ConfigError
        If the package is not installed.

    References
    ----------
    Davies et al., J. Open Source Softw. 4, 1361, 2019; Chem 1, 617, 2016.
    """
    try:
        from smact import Element, metals
        from smact.screening import ICSD24FilterConfig, pauling_test
        from smact.utils.oxidation import ICSD24OxStatesFilter
    except ImportError as error:
        raise ConfigError(
            "the rules smact need the package SMACT 4 or later: pip install 'xtalshift[smact]'"
        ) from error

    usual = ICSD24FilterConfig()
    table = ICSD24OxStatesFilter().filter(
        consensus=usual.consensus, include_zero=usual.include_zero, commonality=usual.commonality
    )
    texts = zip(table["element"], table["oxidation_state"], strict=True)
    states = {str(symbol): [int(state) for state in str(text).split()] for symbol, text in texts}

    @cache
    def electronegativity(symbol: str) -> float | None:
        value: float | None = Element(symbol).pauling_eneg
        return value

    @cache
    def together(one: str, other: str) -> NDArray[np.bool_]:
        x = electronegativity(one), electronegativity(other)
        return np.array([[pauling_test((a, b), x) for b in states[other]] for a in states[one]])

    @lru_cache(maxsize=64)  # amounts of many atoms come in several pieces
    def choices(symbols: tuple[str, ...]) -> NDArray[np.int64]:
        own = [states[symbol] for symbol in symbols]
        return join_states(own, lambda i, j: together(symbols[i], symbols[j]))

    def keep(symbols: tuple[str, ...], amounts: NDArray[np.int64]) -> NDArray[np.bool_]:
        if len(symbols) == 1 or all(symbol in metals for symbol in symbols):
            return np.ones(amounts.shape[1], dtype=np.bool_)
        if not all(symbol in states for symbol in symbols):
            return np.zeros(amounts.shape[1], dtype=np.bool_)
        return neutral_under(amounts, choices(symbols))

    return keep
