"""The registry of methods: what tables compare and commands train, and the facts about each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from xtalshift.errors import ConfigError
from xtalshift.featurize.blocks import combine
from xtalshift.methods.tuning import Range
from xtalshift.registry import Registry, near_miss

if TYPE_CHECKING:
    from xtalshift.estimators.base import Classifier, Regressor
    from xtalshift.estimators.scikit import Estimator
    from xtalshift.featurize.blocks import Blocks
    from xtalshift.methods.settings import MethodSettings

Factory = Callable[["MethodSettings", "int | None"], "Estimator"]
ClassFactory = Callable[["MethodSettings", "int | None"], "Classifier"]
Family = Literal[
    "constant", "classical", "network", "robust", "cal", "alignment", "importance", "target-only",
    "adaptation", "stack",
]  # fmt: skip
TargetAccess = Literal["source", "features", "labels"]


@dataclass(frozen=True)
class Method:
    """A prediction method and all facts about it.

    Attributes
    ----------
    build : callable
        Takes `MethodSettings` and a seed (int or None), returns an unfitted `Regressor` or any
        other estimator with `fit` and `predict`.
    classify : callable, optional
        The same for classes: returns an unfitted `Classifier`. None for a method of regression.
    family : str
        Group in tables: ``constant``, ``classical``, ``network``, ``robust``, ``cal``,
        ``alignment``, ``importance``, ``target-only``, ``adaptation``, ``stack``.
    target_access : str
        What the method sees of the target domain besides source rows: nothing (``source``), the
        ``features`` of its rows, or the ``labels`` of some of them.
    summary : str
        What it is, in one line.
    control : str, optional
        Method that lacks the one ingredient that this method adds. None for constants.
    starts_from : str, optional
        Method whose fitted network this one adapts; the change of the source error is measured
        against it.
    cost : float
        Rough processor seconds to train on 6,000 rows of 145 features; a scheduler may start the
        longest first.
    saved : bool
        Whether `run` and `train` offer it; its fitted model can be saved then.
    adapts : bool
        Whether ``xtalshift adapt`` can apply it to a saved network.
    joint : bool
        Whether one fit of it learns several targets of a table together; for one target it is its
        control.
    bounds : bool
        Whether its loss can take bounds of targets as they are (Tobit).
    experimental : bool
        Whether it belongs to `xtalshift.experimental`: it was behind its control in every
        benchmark.
    features : str, optional
        Features that it needs, see `xtalshift.featurize.CompositionFeaturizer`; None means any.
    usual_features : str, optional
        Features that it gets unless others are named; None means ``magpie``, or those of a
        benchmark.
    space : mapping
        Arguments that tuning may choose: name -> range (see `xtalshift.methods.tuning.Range`).
        Names as in `override`.
    home : str, optional
        Module of the method, where it is not that of `build`.
    """

    build: Factory
    family: Family = "classical"
    target_access: TargetAccess = "source"
    summary: str = ""
    control: str | None = None
    starts_from: str | None = None
    cost: float = 1.0
    saved: bool = False
    adapts: bool = False
    joint: bool = False
    bounds: bool = False
    experimental: bool = False
    features: Blocks | None = None
    usual_features: Blocks | None = None
    space: Mapping[str, Range] = field(default_factory=dict)
    home: str | None = None
    classify: ClassFactory | None = None

    @property
    def module(self) -> str:
        """The module that defines the method, also where `build` is a partial."""
        if self.home is not None:
            return self.home
        build: Any = self.build
        while isinstance(build, partial):
            build = build.func
        return str(build.__module__)


USUAL: Blocks = "magpie"
"""Features of methods that name none."""
METHODS: Registry[Method] = Registry("method")
"""All methods, in the order in which tables list them."""


def register_method(name: str, **facts: Any) -> Callable[[Factory], Factory]:
    """Return a decorator that adds a function ``(settings, seed) -> Regressor`` to `METHODS`.

    Parameters
    ----------
    name : str
        Name of the method in tables and on the command line.
    **facts
        The other attributes of `Method`.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def decorate(build: Factory) -> Factory:
        METHODS.add(name, Method(build, **facts))
        return build

    return decorate


def saved_methods() -> tuple[str, ...]:
    """Return the names of the methods that `run` and `train` offer."""
    return tuple(name for name in METHODS if METHODS[name].saved)


def classifying_methods() -> tuple[str, ...]:
    """Return the names of the methods that work for classes."""
    return tuple(name for name in METHODS if METHODS[name].classify is not None)


def refuse_tobit(method: str | Estimator) -> None:
    """Raise `ConfigError` if the loss of a method takes no bounds; constants need none."""
    if isinstance(method, str):
        able, name = METHODS[method].bounds or METHODS[method].family == "constant", method
    else:
        able, name = "bounds" in getattr(method, "uses", ()), type(method).__name__
    if not able:
        can = [name for name in METHODS if METHODS[name].bounds]
        saved, others = (
            ", ".join(name for name in can if METHODS[name].saved is kind) for kind in (True, False)
        )
        raise ConfigError(
            f"{name} has no loss for bounds (--bounds tobit); choose one of {saved} (in benchmarks "
            f"also {others}), or --bounds use, which works with all methods"
        )


def adapting_methods() -> tuple[str, ...]:
    """Return the names of the methods that `adapt` offers."""
    return tuple(name for name in METHODS if METHODS[name].adapts)


def features_of(method: str | Estimator, given: Blocks | None = None) -> Blocks:
    """Return the features of a method: those given, or those that it needs or usually gets.

    Parameters
    ----------
    method : str or Estimator
        Name of a method; an estimator usually gets ``magpie``.
    given : str, optional
        Features that the user names; ``+structure`` adds to the usual ones.
    """
    usual = USUAL
    if isinstance(method, str):
        facts = METHODS[method]
        usual = facts.features or facts.usual_features or USUAL
    return combine(given, usual)


def build_method(
    name: str,
    settings: MethodSettings,
    *,
    seed: int | None,
    params: Mapping[str, Any] | None = None,
) -> Regressor:
    """Return the unfitted regressor of a method.

    Parameters
    ----------
    name : str
        Key of `METHODS`.
    settings : MethodSettings
        Settings of all methods.
    seed : int, optional
        Its only source of randomness.
    params : mapping, optional
        Arguments of the regressor that differ from the settings, see `override`.

    Raises
    ------
    NotFoundError
        If there is no such method; the message lists all methods.
    ConfigError
        If an argument is unknown, or what the method builds is no regressor.
    """
    from xtalshift.estimators.scikit import as_regressor

    built = METHODS[name].build(settings, seed)
    return as_regressor(override(built, params or {}), seed=seed, name=f"method {name!r}")


def build_classifier(
    name: str,
    settings: MethodSettings,
    *,
    seed: int | None,
    params: Mapping[str, Any] | None = None,
    ordered: bool = False,
) -> Classifier:
    """Return the unfitted classifier of a method.

    Parameters
    ----------
    name, settings, seed, params
        As in `build_method`.
    ordered : bool
        Whether the order of the classes means something, see
        `xtalshift.estimators.ordinal.OrdinalClassifier`.

    Raises
    ------
    NotFoundError
        If there is no such method.
    ConfigError
        If the method is for regression, or an argument is unknown.
    """
    build = METHODS[name].classify
    if build is None:
        raise ConfigError(
            f"{name} is for regression; for classes use: {', '.join(classifying_methods())}"
        )
    built: Any = override(build(settings, seed), params or {})
    if ordered:
        from xtalshift.estimators.ordinal import with_thresholds

        return with_thresholds(built)
    classifier: Classifier = built
    return classifier


def override(regressor: Estimator, params: Mapping[str, Any]) -> Any:
    """Return a regressor with some arguments set.

    Parameters
    ----------
    regressor : Estimator
        Changed in place.
    params : mapping
        Name -> value, as in ``set_params``: ``estimator__alpha`` is an argument of an inner
        estimator. A mapping is merged into an argument that is a mapping (the settings of CAL);
        ``settings.epsilon`` sets one entry of it.

    Raises
    ------
    ConfigError
        If an argument is unknown.
    """
    if not params:
        return regressor
    given_to: Any = regressor
    if not hasattr(given_to, "get_params"):
        raise ConfigError(
            f"{type(regressor).__name__} has no get_params, so that no argument of it can be set; "
            f"set {min(params)} in its code"
        )
    known = given_to.get_params(deep=True)
    for path, given in params.items():
        name, _, entry = path.partition(".")
        value = {entry: given} if entry else given
        if name not in known:
            hint = near_miss(name, known)
            raise ConfigError(
                f"{type(regressor).__name__} has no argument {name!r}{hint}. "
                f"It has: {', '.join(sorted(known))}"
            )
        if isinstance(value, Mapping):
            value = {**(known[name] or {}), **value}
            known[name] = value
        given_to.set_params(**{name: value})
    return regressor
