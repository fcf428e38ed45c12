"""Numbers, lists and cautions in words: three digits, no false precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from xtalshift.jsonio import Plain
from xtalshift.provenance import Provenance

_PLAIN_LIMIT = 1e6
_THREE_DIGITS = 100.0
_SMALLEST_PLAIN = 1e-3
_MOST_DECIMALS = 6
_SHORTEST = 0.1
_WHOLE_SECONDS = 10.0
_LEAST_P = 0.001
_MOST_NAMES = 4


@dataclass(frozen=True)
class Caution:
    """One limit of the conclusions."""

    level: Literal["stop", "care"]
    """``"stop"``: do not rely on the numbers. ``"care"``: read this before you use them."""
    text: str
    """One or two sentences."""


def as_sentence(text: str) -> str:
    """Return a finding, which begins in lower case and ends without a stop, as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def format_number(value: float | None) -> str:
    """Write a number with three significant digits (whole numbers from 100 on).

    Parameters
    ----------
    value : float or None
        None and non-finite values give an en dash.

    Examples
    --------
    >>> format_number(0.012345), format_number(12.345), format_number(12345.6)
    ('0.0123', '12.3', '12,346')
    """
    if value is None or not math.isfinite(value):
        return "–"  # noqa: RUF001 (the typographic sign is meant)
    size = abs(value)
    if size == 0:
        return "0"
    if not _SMALLEST_PLAIN <= size < _PLAIN_LIMIT:
        return f"{value:.2e}"
    decimals = 0 if size >= _THREE_DIGITS else 2 - math.floor(math.log10(size))
    return f"{value:,.{decimals}f}".replace("-", "−")  # noqa: RUF001 (the minus sign is meant)


def format_spread(mean: float, sd: float | None) -> str:
    """Write ``mean ± sd`` with the same decimals, enough to show the first digit of the spread.

    Examples
    --------
    >>> format_spread(265.87, 0.219), format_spread(28.81, 1.362), format_spread(28.81, None)
    ('265.9 ± 0.2', '28.8 ± 1.4', '28.8')
    """
    if not sd or not _SMALLEST_PLAIN <= abs(mean) < _PLAIN_LIMIT:
        text = format_number(mean)
        return text if sd is None else f"{text} ± {format_number(sd)}"
    decimals = max(2 - math.floor(math.log10(abs(mean))), -math.floor(math.log10(sd)), 0)
    decimals = min(decimals, _MOST_DECIMALS)
    return f"{mean:,.{decimals}f} ± {sd:,.{decimals}f}"


def format_count(value: float | None) -> str:
    """Write a whole number with separators (``"1,200"``)."""
    return format_number(None) if value is None else f"{value:,}"


def format_ratio(value: float | None) -> str:
    """Write a ratio of errors with one decimal (none from 10 on)."""
    if value is None:
        return format_number(None)
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004


def format_seconds(value: float | None) -> str:
    """Write a duration in seconds without false precision (``"<0.1"``, ``"4.2"``, ``"1,310"``)."""
    if value is None:
        return format_number(None)
    if value < _SHORTEST:
        return f"<{_SHORTEST}"
    return f"{value:.1f}" if value < _WHOLE_SECONDS else f"{value:,.0f}"


def format_percent(share: float | None) -> str:
    """Write a share as a percentage with at most one decimal (``0.034`` gives ``"3.4 %"``)."""
    if share is None:
        return format_number(None)
    percent = 100.0 * share
    return f"{percent:.1f} %" if abs(percent) < 10 else f"{percent:.0f} %"  # noqa: PLR2004


def join_words(words: Sequence[str]) -> str:
    """Write a list as prose: ``a, b and c``."""
    if len(words) < 2:  # noqa: PLR2004
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def join_some(words: Sequence[str]) -> str:
    """Write the first words as prose, and how many more there are."""
    if len(words) <= _MOST_NAMES:
        return join_words(words)
    return f"{', '.join(words[: _MOST_NAMES - 1])} and {len(words) - _MOST_NAMES + 1} more"


def format_p(value: float | None) -> str:
    """Write a p-value with three decimals (``"<0.001"``, ``"0.034"``)."""
    if value is None:
        return format_number(None)
    return f"<{_LEAST_P}" if value < _LEAST_P else f"{value:.3f}"


def list_facts(first: Plain, provenance: Provenance) -> list[tuple[str, str]]:
    """Return named facts, those of `first` before the provenance, without empty ones."""
    memory = provenance.host.peak_memory_mib
    facts = {
        **first,
        "device": provenance.device,
        "threads": provenance.threads,
        "machine": provenance.host.platform,
        "peak memory": None if memory is None else f"{memory:,.0f} MiB",
        "time": provenance.host.time,
        "Python": provenance.python,
        "versions": ", ".join(f"{name} {text}" for name, text in provenance.versions.items()),
    }
    return [(name, str(value)) for name, value in facts.items() if value not in {None, ""}]
