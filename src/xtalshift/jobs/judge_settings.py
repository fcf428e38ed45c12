"""The settings of a judgement of candidates."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from xtalshift.chem.elements import ATOMIC_NUMBERS
from xtalshift.config import Settings
from xtalshift.registry import near_miss
from xtalshift.splits.proxies import NEAREST

FAST = ("ridge", "svr", "lightgbm", "auto")
"""Methods that are compared on proxies unless others are named."""
_CLUSTER = re.compile(r"cluster-\d+")


class JudgeConfig(Settings):
    """How candidates are judged by proxies of them."""

    methods: tuple[str, ...] = Field(default=FAST, min_length=1)
    """Methods to compare on the proxies; one of them is recommended."""
    proxies: tuple[str, ...] = ()
    """Names of the proxies (elements, ``nearest``, ``cluster-K``); by default those that imitate
    the step to the candidates best."""
    n_proxies: int = Field(default=8, ge=1, le=50)
    """Number of proxies, if they are not named."""
    max_rows: int = Field(default=2000, ge=50)
    """Most rows of a fit that predicts a proxy, drawn at random."""
    n_measure: int = Field(default=20, ge=0, le=1000)
    """Number of candidates to measure first; what that would bring is simulated on proxies of
    twice as many materials, or with half of a smaller proxy. 0: no simulation."""

    @field_validator("proxies")
    @classmethod
    def _possible_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in ATOMIC_NUMBERS and name != NEAREST and not _CLUSTER.fullmatch(name):
                hint = near_miss(name, (*ATOMIC_NUMBERS, NEAREST, "cluster-0"))
                raise ValueError(
                    f"no proxy {name!r}{hint}; name elements, {NEAREST}, or groups like cluster-0"
                )
        return names
