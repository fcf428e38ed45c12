"""Columns of formulas written in capitals, in which ``CO`` may be cobalt or carbon monoxide."""

from __future__ import annotations

from collections.abc import Sequence

from xtalshift.chem.advice import recase
from xtalshift.chem.elements import ATOMIC_NUMBERS
from xtalshift.chem.formulas import is_formula

_SHARE = 0.2
_ENOUGH = 3
_MOST = 1000  # texts that are looked at
_HEAVIEST = ATOMIC_NUMBERS["Lr"]  # nobody means a heavier element


def in_capitals(texts: Sequence[object]) -> bool:
    """Return whether a column of formulas is written in capitals, or a part of it.

    It is, if texts without small letters are no formulas but become some with small letters
    (``AL2O3``). Where other texts have small letters, at least three such texts, and a fifth of
    those that may mean other symbols, are needed.
    """
    known = dict.fromkeys(text for text in texts if isinstance(text, str) and text.strip())
    doubtful = [text for text in known if may_be_other_symbols(text)][:_MOST]
    broken = [text for text in doubtful if not is_formula(text) and is_formula(recase(text))]
    if all(text.isupper() for text in known):
        return len(broken) > 0
    return len(broken) >= max(_ENOUGH, _SHARE * len(doubtful))


def may_be_other_symbols(text: object) -> bool:
    """Return whether a text in capitals may mean other symbols, such as ``CO`` or ``PBS``."""
    if not isinstance(text, str) or not text.isupper():
        return False
    pairs = (text[at : at + 2] for at in range(len(text) - 1))
    return any(
        pair.isalpha() and ATOMIC_NUMBERS.get(pair.capitalize(), _HEAVIEST + 1) <= _HEAVIEST
        for pair in pairs
    )


def describe_doubt(text: str) -> str:
    """Return why a text that `may_be_other_symbols` is refused in a column of capitals."""
    likely = recase(text)
    hint = f" (did you mean {likely!r}?)" if likely and is_formula(likely) else ""
    return (
        f"formula {text!r}: the column is written in capitals, so the letters may be other "
        f"symbols; write symbols as Co or CO{hint}"
    )
