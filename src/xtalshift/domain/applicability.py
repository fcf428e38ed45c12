"""Applicability domain: how far a material is from the training materials, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.formulas import Notation
from xtalshift.chem.writing import readable_key
from xtalshift.domain.known_crystals import CRYSTALS, KnownCrystals
from xtalshift.domain.ood_score import REFERENCE, Novelty, Reference
from xtalshift.domain.reasons import (
    RANGE,
    DomainReasons,
    FeatureRange,
    NearMaterial,
    decode_texts,
    encode_texts,
)
from xtalshift.domain.threshold import THRESHOLD, DomainThreshold, choose_threshold
from xtalshift.errors import DataError, ModelFormatError
from xtalshift.featurize.blocks import COORDINATES
from xtalshift.saved_arrays import TEXT, Layout, SavedArray, Schema, check_arrays
from xtalshift.seeding import derive_seed

FloatArray = NDArray[np.float64]

_PREFIX = "domain."
_OWN: Schema = {
    **REFERENCE,
    "held_out": SavedArray(np.float64, (3, "held out"), low=0.0),
    **THRESHOLD,
    **RANGE,
    "formulas": TEXT,
    "targets": SavedArray(np.float64, ("n",)),
    "elements": SavedArray(np.bool_, (len(SYMBOLS) - 1,)),
}

SAME = 1e-4
"""Distance, in standard deviations, below which features differ by rounding only."""
BETWEEN = 0.5
"""Target of training materials that differ in nothing but their class."""


class DomainScores(NamedTuple):
    """How far n rows are from the training materials."""

    ood_score: FloatArray
    """Shape (n,). 1 - conformal p-value, in [0, 1]: share of held-out source rows that are less
    novel; 0 for a training material itself."""
    in_domain: NDArray[np.bool_]
    """Shape (n,). Whether the score is at most the threshold."""
    nearest: NDArray[np.int64]
    """Shape (n,). Index of the nearest training material in `formulas_` and `targets_`."""
    nearest_distance: FloatArray
    """Shape (n,). Its Euclidean distance in standard deviations of the features."""
    distance_rank: FloatArray
    rarity_rank: FloatArray
    """Shape (n,). `distance_rank`, `rarity_rank`: share of held-out rows with a smaller relative
    distance, and with a smaller rarity; the larger of the two decides the score."""


class ApplicabilityDomain:
    """The region of features that the training materials cover.

    **The OOD score** is the larger of two ranks among held-out rows, ranked once more: of the
    mean distance to the 5 nearest training materials relative to their own local distances
    (`Novelty`), and of the histogram-based rarity of the feature values (`FeatureRarity`).
    Distances find new regions but not new elements, whose compounds are between known ones; the
    rarity finds new elements by feature values that no training material has. The score does not
    use the list of elements. It measures whether a material is new, **not how large the error is**:
    it hardly correlates with absolute errors (docs/science/ood-score.md).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> formulas = ["NaCl", "KCl", "NaBr", "KBr"]
    >>> X = np.array([[1.0, 2.0], [2.0, 2.0], [1.0, 3.0], [2.0, 3.0]])
    >>> domain = ApplicabilityDomain.fit(
    ...     X, [8.5, 8.4, 7.1, 7.3], formulas, feature_names=["a", "b"]
    ... )
    >>> scores = domain.assess([[1.0, 2.1], [9.0, 9.0]])
    >>> str(domain.formulas_[scores.nearest[0]]), float(scores.ood_score[1])
    ('NaCl', 1.0)
    """

    formulas_: NDArray[np.object_]
    """Shape (n,). Training materials; rows with the same features are one material."""
    targets_: FloatArray
    """Shape (n,). Their mean targets."""
    elements_: NDArray[np.bool_]
    """Shape (118,). Elements of the training materials; column Z - 1."""
    crystals_: KnownCrystals | None = None
    """Which crystals they are; None for a domain of formulas."""
    range_: FeatureRange
    """Names of the features and their training range."""
    novelty_: Novelty
    """Computes the score."""
    threshold_: DomainThreshold
    """Largest score inside the domain, and its rates on held-out groups."""

    @classmethod
    def fit(
        cls,
        X_train: ArrayLike,
        y_train: ArrayLike,
        formulas_train: Sequence[str],
        X_held_out: ArrayLike | None = None,
        *,
        feature_names: Sequence[str],
        compositions: Compositions | None = None,
        elements: ArrayLike | None = None,
        crystals: KnownCrystals | None = None,
        classes: bool = False,
        random_state: int = 0,
    ) -> Self:
        """Learn the region that the training rows cover.

        Parameters
        ----------
        X_train : array_like of float, shape (n, d)
            Features in their own units, finite or NaN.
        y_train : array_like of float, shape (n,)
            Targets, shown beside the nearest materials; for rows with equal features their mean.
        formulas_train : sequence of str, length n
            Formulas.
        X_held_out : array_like of float, shape (m, d), optional
            Features of source rows that are not training rows; the score is a rank among them.
            Without any, training rows are compared with the other training rows.
        feature_names : sequence of str, length d
            Names for the reasons.
        compositions : Compositions of n rows, optional
            The parsed formulas; without them the formulas are parsed.
        elements : array_like of bool, shape (118,), optional
            Elements of the training rows; by default those of the formulas.
        crystals : KnownCrystals of n rows, optional
            Which crystals the rows are.
        classes : bool
            Whether targets are numbers of classes, which have no mean: that of rows with equal
            features and different classes is then 1/2.
        random_state : int
            Seed of k-means and of the groups held out for the threshold.

        Raises
        ------
        DataError
            If shapes differ, there is no row, no feature varies or one is infinite.
        """
        X, y, formulas = _check_rows(X_train, y_train, formulas_train)
        if len(feature_names) != X.shape[1]:
            raise DataError(f"{len(feature_names)} feature names for {X.shape[1]} features")
        X = without_coordinates(X, feature_names)
        kept, merged = _distinct(X)
        X = X[kept]
        domain = cls()
        domain.formulas_ = formulas[kept]
        domain.crystals_ = None if crystals is None else crystals.take(kept)
        domain.targets_ = np.bincount(merged, weights=y) / np.bincount(merged)
        if classes:
            differ = np.bincount(merged, weights=y != y[kept][merged]) > 0
            domain.targets_[differ] = BETWEEN
        domain.range_ = FeatureRange.of(X, tuple(str(name) for name in feature_names))
        parsed = _parse(formulas[kept]) if compositions is None else compositions.take(kept)
        contains = parsed.contained_elements()
        domain.elements_ = np.asarray(
            contains.any(axis=0) if elements is None else elements, dtype=bool
        )
        groups = _group_names(parsed, domain.formulas_)
        domain.novelty_ = Novelty.fit(
            X,
            None
            if X_held_out is None
            else without_coordinates(_check_held_out(X_held_out, X.shape[1]), feature_names),
            groups=groups,
            random_state=derive_seed(random_state, "novelty"),
        )
        domain.threshold_ = choose_threshold(
            X, contains, groups, random_state=derive_seed(random_state, "threshold")
        )
        return domain

    def assess(self, X: ArrayLike) -> DomainScores:
        """Return how far rows, shape (n, d), are from the training materials; NaN means missing."""
        found = self.novelty_.assess(self._check_features(X))
        # a training material is not new, however isolated it is among the others
        score = np.where(found.nearest_distance < SAME, 0.0, found.score)
        return DomainScores(
            score,
            score <= self.threshold_.threshold,
            found.nearest,
            found.nearest_distance,
            found.distance_rank,
            found.rarity_rank,
        )

    def features(self, rows: NDArray[np.int64]) -> FloatArray:
        """Return the features of training materials by number, shape (n, d).

        They are as precise as single precision, a missing one is the mean, and one beyond the clip
        of the domain is at the clip.
        """
        return self.novelty_.reference.features(rows)

    def holds(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Return which rows, shape (n, d), are training materials, shape (n,)."""
        return self.assess(X).nearest_distance < SAME

    def unseen_elements(self, compositions: Compositions) -> NDArray[np.object_]:
        """Return the elements of each row that no training material has, joined by spaces, (n,).

        A row with such an element is outside the domain, whatever its score.
        """
        unseen = np.full(len(compositions), "", dtype=object)
        new = np.flatnonzero(~self.elements_[compositions.z.astype(np.intp) - 1])
        rows = np.searchsorted(compositions.starts, new, side="right") - 1
        for row, z in zip(rows.tolist(), compositions.z[new].tolist(), strict=True):
            unseen[row] = f"{unseen[row]} {SYMBOLS[z]}".lstrip()
        return unseen

    def reasons(
        self, X: ArrayLike, *, n_nearest: int = 3, targets: ArrayLike | None = None
    ) -> list[DomainReasons]:
        """Return the reasons of every row's score, with its `n_nearest` training materials.

        `targets` are those of the training materials as they are shown; by default `targets_`.
        """
        shown = (self.targets_ if targets is None else np.asarray(targets)).tolist()
        features = self._check_features(X)
        reference = self.novelty_.reference
        distances, rows = reference.neighbours(features, n_nearest)
        beyond = self.range_.beyond(features, reference.scale())
        shares = reference.shares(features)
        # a missing value is replaced by the mean, and one out of range is named already
        shares[np.isnan(features) | (beyond > 0)] = 1.0
        return [
            DomainReasons(
                self.range_.worst(features[row], beyond[row]),
                self.range_.rare(features[row], shares[row]),
                tuple(
                    self._near(place, distance, shown[place])
                    for place, distance in zip(
                        rows[row].tolist(), distances[row].tolist(), strict=True
                    )
                ),
            )
            for row in range(len(features))
        ]

    def explain(self, X: ArrayLike, *, targets: ArrayLike | None = None) -> NDArray[np.object_]:
        """Return the `reasons` of every row as one line of text, shape (n,)."""
        found = self.reasons(X, targets=targets)
        texts = np.empty(len(found), dtype=object)
        texts[:] = [str(reasons) for reasons in found]
        return texts

    def extend(
        self,
        X: ArrayLike,
        y: ArrayLike,
        formulas: Sequence[str],
        *,
        compositions: Compositions | None = None,
        crystals: KnownCrystals | None = None,
    ) -> Self:
        """Return a copy with target labels as further training materials.

        Held-out rows and threshold do not change. A material with the features of a known one
        replaces it; of several new ones with the same features the last one is kept.

        Parameters
        ----------
        X : array_like of float, shape (m, d)
            Features, finite or NaN.
        y : array_like of float, shape (m,)
            Target labels.
        formulas : sequence of str, length m
            Formulas.
        compositions : Compositions of m rows, optional
            The parsed formulas; without them the formulas are parsed.
        crystals : KnownCrystals of m rows, optional
            Which crystals they are; needed if the training materials are crystals.

        Raises
        ------
        DataError
            If shapes differ or there is another number of features, or only one side has crystals.
        """
        features, targets, names = _check_rows(X, y, formulas)
        features = self._check_features(features)
        if (crystals is None) != (self.crystals_ is None):
            raise DataError("either all materials of a domain are crystals, or none is")
        added = type(self)().set_state(self.get_state())
        distances, nearest = self.novelty_.reference.neighbours(features, 1)
        known = distances[:, 0] == 0
        added.targets_[nearest[known, 0]] = targets[known]
        added.formulas_[nearest[known, 0]] = names[known]
        if added.crystals_ is not None and crystals is not None:
            added.crystals_ = added.crystals_.replaced(nearest[known, 0], crystals.take(known))
        parsed = _parse(names) if compositions is None else compositions
        added.elements_ = self.elements_ | parsed.contained_elements().any(axis=0)
        added.range_ = self.range_.extended(features)
        new = np.flatnonzero(~known)[::-1]
        if new.size:
            new = np.sort(new[_distinct(features[new])[0]])
            reference = self.novelty_.reference.extended(features[new])
            added.novelty_ = Novelty(reference, self.novelty_.held_out)
            added.formulas_ = np.concatenate([added.formulas_, names[new]])
            added.targets_ = np.concatenate([added.targets_, targets[new]])
            if added.crystals_ is not None and crystals is not None:
                added.crystals_ = added.crystals_.joined(crystals.take(new))
        return added

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays named ``domain.*``, texts as bytes."""
        state = {
            **self.novelty_.reference.get_state(),
            "held_out": self.novelty_.held_out,
            **self.threshold_.get_state(),
            **self.range_.get_state(),
            "formulas": encode_texts(self.formulas_),
            "targets": self.targets_,
            "elements": self.elements_,
            **({} if self.crystals_ is None else self.crystals_.get_state()),
        }
        return {f"{_PREFIX}{name}": value for name, value in state.items()}

    @staticmethod
    def saved(found: Layout) -> Schema:
        """Return what the arrays of `get_state` must be; `found` need not have been read."""
        own = {**_OWN, **CRYSTALS} if f"{_PREFIX}ids" in found else _OWN
        return {f"{_PREFIX}{name}": saved for name, saved in own.items()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> Self:
        """Restore what `get_state` returned, after a check.

        Raises
        ------
        ModelFormatError
            If the arrays are not what `get_state` can return.
        """
        found = check_arrays(state, self.saved(state))
        own = {name.removeprefix(_PREFIX): value for name, value in state.items()}
        ranks = own["held_out"]
        if not found["n"] or not found["held out"]:
            raise ModelFormatError("the domain has no materials or no held-out rows")
        if (np.diff(ranks) < 0).any() or ranks[1:].max() > 1:
            raise ModelFormatError("the scores of the held-out rows do not ascend to 1 at most")
        self.novelty_ = Novelty(Reference.from_state(own), ranks)
        self.threshold_ = DomainThreshold.from_state(own)
        self.formulas_ = np.array(decode_texts("formulas", own["formulas"]), dtype=object)
        if len(self.formulas_) != found["n"]:
            raise ModelFormatError(f"{len(self.formulas_)} formulas for {found['n']} materials")
        self.targets_ = own["targets"].copy()
        self.elements_ = own["elements"]
        self.range_ = FeatureRange.from_state(own)
        self.crystals_ = KnownCrystals.from_state(own) if "ids" in own else None
        return self

    def _near(self, place: int, distance: float, target: float | str) -> NearMaterial:
        """Return the training material at a place."""
        formula = readable_key(self.formulas_[place])
        if self.crystals_ is None:
            return NearMaterial(formula, float(distance), target)
        group = int(self.crystals_.space_groups[place])
        return NearMaterial(formula, float(distance), target, self.crystals_.ids[place], group)

    def _check_features(self, X: ArrayLike) -> FloatArray:
        features = np.asarray(X, dtype=np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.range_.names):  # noqa: PLR2004
            raise DataError(
                f"X has shape {features.shape}, expected (n, {len(self.range_.names)}): the "
                "features of the training rows"
            )
        return without_coordinates(features, self.range_.names)


def without_coordinates(X: FloatArray, names: Sequence[str]) -> FloatArray:
    """Return features, shape (n, d), in which coordinates of atoms are 0.

    Two descriptions of one crystal have other coordinates: nothing is measured in them. Constant
    columns have no weight in a distance.
    """
    columns = [name.startswith(COORDINATES) for name in names]
    if not any(columns):
        return X
    return np.where(columns, 0.0, X)


def _check_rows(
    X: ArrayLike, y: ArrayLike, formulas: Sequence[str]
) -> tuple[FloatArray, FloatArray, NDArray[np.object_]]:
    features, targets = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    names = np.array([str(formula) for formula in formulas], dtype=object)
    if features.ndim != 2 or targets.shape != names.shape or len(features) != len(names):  # noqa: PLR2004
        raise DataError(
            f"X has shape {features.shape}, y {targets.shape}, formulas ({len(names)},); expected "
            "(n, d), (n,) and (n,)"
        )
    if not len(features):
        raise DataError("there are no training rows; a domain needs at least one")
    return features, targets, names


def _check_held_out(X: ArrayLike, d: int) -> FloatArray:
    features = np.asarray(X, dtype=np.float64)
    if features.ndim != 2 or features.shape[1] != d or not len(features):  # noqa: PLR2004
        raise DataError(f"X_held_out has shape {features.shape}, expected (m, {d}) with m > 0")
    return features


def _distinct(X: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first row of each set of equal rows, in order, and the place of each row there.

    Polymorphs have equal composition features and would be each other's neighbours. NaN equals NaN
    here, which `numpy.unique` along an axis does not provide.
    """
    rows = np.ascontiguousarray(X + 0.0)  # -0 becomes 0
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[numbers]


def _parse(formulas: NDArray[np.object_]) -> Compositions:
    # the elements of a hydrate do not depend on how it is read
    return parse_formulas(formulas.tolist(), Notation("expand"))[0]


def _group_names(compositions: Compositions, formulas: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return reduced formulas, or the text if it cannot be read."""
    reduced = compositions.reduced_formulas()
    return np.where(reduced == "", formulas, reduced)
