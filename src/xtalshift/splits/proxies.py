"""Hold-outs of a table that imitate the step from its materials to given candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import ATOMIC_NUMBERS, MAGPIE_PROPERTIES, SYMBOLS, load_elements
from xtalshift.errors import SplitError
from xtalshift.importance.density_ratio import standardise
from xtalshift.registry import near_miss
from xtalshift.seeding import derive_seed
from xtalshift.splits.audit.shift_measures import nearest, sample
from xtalshift.splits.feature_space import cluster_points, embed

MIN_PROXY = 10
"""Fewest materials of a proxy."""
MOST_SHARE = 0.4
"""Largest share of the table that a proxy may hold out."""
NEAREST = "nearest"
"""Name of the proxy of the materials most like the candidates."""

_ELEMENTS = SYMBOLS[1:]
_MOST_POINTS = 3000
_MOST_CANDIDATES = 2000
_N_CLUSTERS = 10
_COMPONENTS = 10
_TYPICAL = 3
"""Elements that describe a cluster."""
_COMMON = 0.5
"""Share of the candidates that have an element in common, to name the step after it."""
_RARE = 0.25
"""The table has few of them if its share is less than this part of that share."""
_COLUMNS, _ROWS, _ELECTRONEGATIVITY = 4.0, 1.5, 0.4
"""Differences of group, row and electronegativity that count as one unit of unlikeness."""
_CLUSTER_UNLIKENESS = 1.5
"""Unlikeness of a proxy that no element defines."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Proxy:
    """Rows of a table that are held out together, as a stand-in for the candidates."""

    name: str
    """An element, ``nearest``, or ``cluster-K``."""
    rows: IntArray
    """Row numbers, shape (n,); no formula has rows inside and outside."""
    reason: str
    """What it has in common with the candidates."""
    distance_ratio: float
    """Median distance to the nearest material outside, over the same between materials outside;
    about 1 for random materials."""
    unlikeness: float
    """How badly it imitates the step; proxies are ordered by it."""


class Step(NamedTuple):
    """How far candidates are from a table, and what is new about them."""

    distance_ratio: float
    """As in `Proxy`."""
    new_elements: tuple[str, ...]
    """Elements of the candidates that no material of the table has, most frequent first."""
    n_new: int
    """Candidates with such an element."""
    themes: tuple[str, ...]
    """Elements that at least half of the candidates have and few materials of the table."""


@dataclass(frozen=True, eq=False)
class Landscape:
    """The materials of a table and the candidates, in one space of features.

    Attributes
    ----------
    compositions : Compositions
        n materials of the table.
    numbers : ndarray of int64, shape (n,)
        Number of the formula of each row.
    points : ndarray of float64, shape (p, d)
        Standardised features of one row per formula, at most 3,000 drawn at random.
    drawn : ndarray of int64, shape (p,)
        Their row numbers.
    candidates : Compositions
        m candidates.
    places : ndarray of float64, shape (k, d)
        Standardised features of the candidates, at most 2,000 drawn at random.
    """

    compositions: Compositions
    numbers: IntArray
    points: FloatArray
    drawn: IntArray
    candidates: Compositions
    places: FloatArray
    seed: int

    @classmethod
    def of(
        cls,
        X: FloatArray,
        groups: NDArray[np.object_],
        compositions: Compositions,
        X_candidates: FloatArray,
        candidates: Compositions,
        *,
        seed: int = 0,
    ) -> Self:
        """Return a landscape of features, shapes (n, d) and (m, d), and compositions.

        Parameters
        ----------
        X, X_candidates : ndarrays of float64, shapes (n, d) and (m, d)
            Features.
        groups : ndarray of str, shape (n,)
            Reduced formulas of the table.
        compositions, candidates : Compositions
            Of the n and m rows.
        seed : int
            Draws the points of large tables, and starts k-means.
        """
        _, first, numbers = np.unique(groups.astype(str), return_index=True, return_inverse=True)
        drawn = np.sort(first)[sample(len(first), _MOST_POINTS, derive_seed(seed, "points"))]
        places = X_candidates[
            sample(len(X_candidates), _MOST_CANDIDATES, derive_seed(seed, "places"))
        ]
        points, places = standardise(X[drawn], places)
        return cls(compositions, numbers.astype(np.int64), points, drawn, candidates, places, seed)

    @cached_property
    def step(self) -> Step:
        """How far the candidates are, and what is new about them."""
        has, wanted = self.elements, self.candidates.contained_elements()
        counts = wanted.sum(axis=0)
        new = (counts > 0) & ~has.any(axis=0)
        share, known = wanted.mean(axis=0), has.mean(axis=0)
        themes = (share >= _COMMON) & (known < _RARE * share)
        order = np.argsort(-counts, kind="stable")
        return Step(
            float(np.median(nearest(self.places, self.points)[0])) / self._usual,
            tuple(_ELEMENTS[k] for k in order if new[k]),
            int(wanted[:, new].any(axis=1).sum()),
            tuple(_ELEMENTS[k] for k in order if themes[k]),
        )

    @cached_property
    def elements(self) -> BoolArray:
        """Which row of the table has which element, shape (n, 118); column Z - 1."""
        return self.compositions.contained_elements()

    @cached_property
    def _usual(self) -> float:
        own = np.arange(len(self.points))
        usual = float(np.median(nearest(self.points, self.points, own)[0]))
        return max(usual, 1e-12)

    def distance_ratio(self, rows: BoolArray) -> float:
        """Return the `Proxy.distance_ratio` of a mask of rows; NaN if none of them was drawn."""
        inside = rows[self.drawn]
        if not inside.any() or inside.all():
            return float("nan")
        return float(np.median(nearest(self.points[inside], self.points[~inside])[0])) / self._usual


def find_proxies(
    landscape: Landscape,
    n: int = 8,
    *,
    names: Sequence[str] = (),
    judges: BoolArray | None = None,
) -> tuple[Proxy, ...]:
    """Return the hold-outs that imitate the step from a table to candidates best.

    Proxies are all materials with one element, the clusters of the table, and the materials that
    are most like the candidates. Where candidates have an element in common that few materials of
    the table have, elements that resemble it (by group, row and electronegativity) come first;
    otherwise what is as far from the rest of the table as the candidates are.

    Parameters
    ----------
    landscape : Landscape
        The table and the candidates.
    n : int
        Most proxies.
    names : sequence of str
        Names of proxies to take instead: elements, ``nearest``, ``cluster-K``.
    judges : ndarray of bool, shape (n,), optional
        Rows that may judge; a proxy has at least 10 of them. By default all.

    Returns
    -------
    tuple of Proxy
        Best first.

    Raises
    ------
    SplitError
        If a name is unknown, or no hold-out of at least 10 materials leaves 60 % of the table.
    """
    usable = np.ones(len(landscape.numbers), dtype=np.bool_) if judges is None else judges
    found = {proxy.name: proxy for proxy in _propose(landscape, usable)}
    if names:
        for name in names:
            if name not in found:
                hint = near_miss(name, found)
                raise SplitError(
                    f"no proxy {name!r}{hint}; this table offers {', '.join(found)} (at least "
                    f"{MIN_PROXY} materials, at most {MOST_SHARE:.0%} of the table)"
                )
        return tuple(found[name] for name in dict.fromkeys(names))
    chosen: list[Proxy] = []
    for proxy in sorted(found.values(), key=lambda one: one.unlikeness):
        if len(chosen) < n and all(_overlap(proxy, other) < 0.5 for other in chosen):  # noqa: PLR2004 - half of the smaller one
            chosen.append(proxy)
    if not chosen:
        raise SplitError(
            f"the table has {len(landscape.numbers)} materials; no hold-out of at least "
            f"{MIN_PROXY} of them imitates the candidates and leaves {1 - MOST_SHARE:.0%} to train "
            "on. Give more labelled materials"
        )
    return tuple(chosen)


def _propose(landscape: Landscape, judges: BoolArray) -> Iterator[Proxy]:
    step, n = landscape.step, len(landscape.numbers)
    masks: list[tuple[str, BoolArray, str, float]] = []
    for column in np.flatnonzero(landscape.elements.any(axis=0)):
        symbol, unlike = _ELEMENTS[column], _CLUSTER_UNLIKENESS
        reason = f"compounds with {symbol}"
        if step.themes:
            unlike, theme = min((element_unlikeness(symbol, one), one) for one in step.themes)
            how = "the candidates have in common" if symbol == theme else f"resembles {theme}"
            reason += f", which {how}"
        masks.append((symbol, landscape.elements[:, column], reason, unlike))
    masks += [
        (f"cluster-{number}", mask, _describe_cluster(landscape, mask), _CLUSTER_UNLIKENESS)
        for number, mask in enumerate(_clusters(landscape))
    ]
    masks.append(
        (NEAREST, _nearest(landscape), "the materials most like the candidates",
         _CLUSTER_UNLIKENESS / 2)
    )  # fmt: skip
    for name, mask, reason, unlike in masks:
        if (mask & judges).sum() < MIN_PROXY or mask.sum() > MOST_SHARE * n:
            continue
        ratio = landscape.distance_ratio(mask)
        if not np.isfinite(ratio):
            continue
        gap = abs(np.log(max(ratio, 1e-3) / max(step.distance_ratio, 1e-3)))
        yield Proxy(name, np.flatnonzero(mask), reason, ratio, float(unlike + gap))


def _describe_cluster(landscape: Landscape, mask: BoolArray) -> str:
    """Return what a group of similar materials has more often than the others."""
    inside, others = landscape.elements[mask].mean(axis=0), landscape.elements[~mask].mean(axis=0)
    typical = np.argsort(others - inside, kind="stable")[:_TYPICAL]
    names = ", ".join(f"{_ELEMENTS[k]} ({inside[k]:.0%})" for k in typical)
    return f"similar materials, typically with {names}"


def element_unlikeness(one: str, other: str) -> float:
    """Return how unlike two elements are by group, row and electronegativity.

    One unit is a difference of four groups, one and a half rows, or 0.4 (Pauling).
    """
    magpie = load_elements(impute_nan=True).magpie
    first, second = magpie[ATOMIC_NUMBERS[one]], magpie[ATOMIC_NUMBERS[other]]
    units = {"Column": _COLUMNS, "Row": _ROWS, "Electronegativity": _ELECTRONEGATIVITY}
    places = [MAGPIE_PROPERTIES.index(name) for name in units]
    return float(np.linalg.norm((first - second)[places] / np.array(list(units.values()))))


def _whole(landscape: Landscape, chosen: IntArray) -> BoolArray:
    """Return a mask of all rows with the formulas of some points."""
    return np.isin(landscape.numbers, landscape.numbers[landscape.drawn[chosen]])


def _clusters(landscape: Landscape) -> list[BoolArray]:
    n_clusters = min(_N_CLUSTERS, len(landscape.points) // (2 * MIN_PROXY))
    if n_clusters < 2:  # noqa: PLR2004 - one cluster is the whole table
        return []
    space = embed(landscape.points, _COMPONENTS)
    labels = cluster_points(space, n_clusters, random_state=derive_seed(landscape.seed, "clusters"))
    return [_whole(landscape, np.flatnonzero(labels == label)) for label in range(n_clusters)]


def _nearest(landscape: Landscape) -> BoolArray:
    """Return the tenth of the materials that are nearest to a candidate."""
    distance = nearest(landscape.points, landscape.places)[0]
    count = max(MIN_PROXY, len(distance) // 10)
    return _whole(landscape, np.argsort(distance, kind="stable")[:count])


def _overlap(one: Proxy, other: Proxy) -> float:
    """Return the shared rows of two proxies over those of the smaller one."""
    both = len(np.intersect1d(one.rows, other.rows))
    return both / min(len(one.rows), len(other.rows))
