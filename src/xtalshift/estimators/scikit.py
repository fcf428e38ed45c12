"""Any scikit-learn regressor or pipeline, and any object with `fit` and `predict`, as a method."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.estimators.base import FitData, Labelled, Regressor, draw_seed
from xtalshift.estimators.predictors import INSTEAD, Arrays

_METHODS = ("fit", "predict", "transform")


class Estimator(Protocol):
    """What a regressor must have; more of scikit-learn's interface is used where it is there."""

    def fit(self, X: Any, y: Any, /) -> Any:
        """Learn from features, shape (n, d), and targets, shape (n,)."""

    def predict(self, X: Any, /) -> Any:
        """Return predictions, shape (n,)."""


@dataclass(eq=False, repr=False, kw_only=True)
class ScikitRegressor(Regressor):
    """A regressor of scikit-learn, of a library that follows it, or your own.

    `fit` trains a clone on all rows that it gets, because there is nothing to select; validation
    rows are not used. Sample weights, groups (reduced formulas) and origin (compositions) are
    passed on if `estimator.fit` has arguments of these names (``sample_weight``, ``groups``,
    ``origin``); of a pipeline, if its last step has. Each ``random_state`` of the estimator that is
    None gets a seed, so that the same seed gives the same model.

    It cannot be saved. `skops`, which keeps scikit-learn's objects without pickle, does not trust
    the nodes of its trees either (version 0.16): their numbers are used unchecked, so that a forged
    file crashes the process that predicts.

    Parameters
    ----------
    estimator : Estimator
        Unfitted; NaN among the features is passed on.
    validation_fraction
        Not used.
    random_state : int, Generator or None
        Seed.

    Attributes
    ----------
    estimator_ : Estimator
        The fitted clone.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> forest = ScikitRegressor(RandomForestRegressor(n_estimators=10), random_state=0)
    >>> forest.fit([[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 2.0, 3.0]).predict([[1.0]]).shape
    (1,)
    """

    uses = frozenset({"origin"})

    estimator: Estimator = field(kw_only=False)

    @property
    def regressor_name(self) -> str:
        """Name of the class of the estimator; of a pipeline, those of its steps."""
        return name_of(self.estimator)

    @property
    def unsaved(self) -> str:
        """Why it cannot be saved, and what to do instead."""
        return (
            f"{self.regressor_name} cannot be saved: only pickle keeps it, and reading a pickle "
            f"can run any code; {INSTEAD}"
        )

    @property
    def selects(self) -> bool:
        """No: validation rows are not used."""
        return False

    @property
    def needs_origin(self) -> bool:
        """Whether the estimator takes the compositions."""
        return _argument(self.estimator, "origin") is not None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        own = _tags(self.estimator)
        tags.input_tags.allow_nan = own is not None and own.input_tags.allow_nan
        return tags

    def _hold_out(self, rows: Labelled, *_: Any) -> tuple[Labelled, Labelled]:
        return rows, rows

    def _fit(self, data: FitData) -> None:
        check_estimator(self.estimator)
        rows = data.train
        fitted = clone(self.estimator, safe=False)
        _seed(fitted, data.rng)
        given = {"sample_weight": rows.weights, "groups": rows.groups, "origin": rows.origin}
        found = {name: _argument(fitted, name) for name in given}
        if found["sample_weight"] is None and not _alike(rows.weights):
            raise ConfigError(
                f"{self.regressor_name} takes no sample weights, and those given differ; choose an "
                "estimator whose fit has the argument sample_weight"
            )
        passed = {
            argument: given[name]
            for name, argument in found.items()
            if argument is not None and given[name] is not None
        }
        fitted.fit(rows.X, rows.y, **passed)
        self.estimator_ = fitted

    def _get_state(self) -> Arrays:
        raise ModelFormatError(self.unsaved)

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.asarray(self.estimator_.predict(X), dtype=np.float64)
        if found.shape == (len(X), 1):  # of estimators that have several targets
            found = found[:, 0]
        if found.shape != (len(X),):
            raise ConfigError(
                f"{self.regressor_name} returns predictions of shape {found.shape} for {len(X)} "
                f"rows; expected ({len(X)},)"
            )
        return found


def as_regressor(estimator: Estimator, *, seed: int | None, name: str = "method") -> Regressor:
    """Return an unfitted regressor of this package: the estimator itself, or one around it.

    Parameters
    ----------
    estimator : Estimator
        What the user gave.
    seed : int, optional
        Seed of an estimator that is not of this package; ours have their own.
    name : str
        What the estimator is called in errors.

    Raises
    ------
    ConfigError
        If it is no regressor; the message says what it is.
    """
    check_estimator(estimator, name)
    if isinstance(estimator, Regressor):
        return estimator
    return ScikitRegressor(estimator, random_state=seed)


def check_estimator(estimator: object, name: str = "estimator") -> None:
    """Raise `ConfigError`, which says what an object is, unless it is an unfitted regressor."""
    if isinstance(estimator, type):
        raise ConfigError(
            f"{name} is the class {estimator.__name__}; give an object of it: "
            f"{estimator.__name__}(...)"
        )
    shown, kind = name_of(estimator), _kind(estimator)
    has = {method: callable(getattr(estimator, method, None)) for method in _METHODS}
    if has["fit"] and kind == "regressor":  # some have `predict` only once they are fitted
        return
    if has["fit"] and has["transform"] and not has["predict"]:
        raise ConfigError(
            f"{name} is a transformer, {shown}, which predicts nothing; put it into a Pipeline "
            "that ends with a regressor"
        )
    missing = [method for method in ("fit", "predict") if not has[method]]
    if missing:
        raise ConfigError(
            f"{name} is an object of {shown}, which has no method {missing[0]}; give a regressor"
        )
    if kind is not None:
        article = "an" if kind[0] in "aeiou" else "a"
        raise ConfigError(
            f"{name} is {article} {kind.replace('_', ' ')}, {shown}, but the target is a number; "
            "give a regressor"
        )


def name_of(estimator: object) -> str:
    """Return the name of the class of an estimator; of a pipeline, those of its steps."""
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in {None, "passthrough"}]
        return " + ".join(name_of(step) for step in steps)
    return type(estimator).__name__


def _kind(estimator: object) -> str | None:
    """Return what scikit-learn calls an estimator, None if it cannot know."""
    tags = _tags(estimator)
    kind = getattr(estimator, "_estimator_type", None) if tags is None else tags.estimator_type
    return kind if isinstance(kind, str) else None


def _tags(estimator: object) -> Any:
    """Return what scikit-learn says of an estimator, None if it says nothing."""
    if isinstance(estimator, type) or not hasattr(estimator, "__sklearn_tags__"):
        return None
    try:
        return get_tags(estimator)
    except AttributeError:  # a mixin without BaseEstimator behind it
        return None


def _argument(estimator: Any, name: str) -> str | None:
    """Return the argument of `fit` that takes something, None if there is none."""
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        inside = _argument(last, name)
        return None if inside is None else f"{step}__{inside}"
    fit = getattr(estimator, "fit", None)
    return name if fit is not None and name in inspect.signature(fit).parameters else None


def _seed(estimator: Any, rng: np.random.Generator) -> None:
    """Set each ``random_state`` that is None, also those of estimators inside, in fixed order."""
    if not hasattr(estimator, "get_params"):
        return
    known = estimator.get_params(deep=True)
    seeds = {
        name: draw_seed(rng)
        for name in sorted(known)
        if name.rpartition("__")[2] == "random_state" and known[name] is None
    }
    if seeds:
        estimator.set_params(**seeds)


def _alike(weights: NDArray[np.float64] | None) -> bool:
    return weights is None or bool((weights == weights[0]).all())
