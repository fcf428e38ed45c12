"""Fit a model of values that are rare with the help of cheaper ones of the same property."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xtalshift._version import __version__
from xtalshift.data.clean import clean_table
from xtalshift.data.dataset import Dataset
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.errors import ConfigError
from xtalshift.featurize import CompositionFeatures
from xtalshift.methods import METHODS, MethodSettings
from xtalshift.methods.stacks import fidelity_stack
from xtalshift.model.fit_plan import FitRows
from xtalshift.model.fitted import FittedModel
from xtalshift.model.fitting import find_domain, fit
from xtalshift.model.label_judges import CrossFit
from xtalshift.model.stacked_adaptation import adapt_by_stack
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.settings import IntervalConfig
from xtalshift.words import plural

FEWEST = 10
"""Fewest rows of the lower fidelity, of materials without a value of the higher one."""


@dataclass(frozen=True)
class FidelityFit:
    """A model of the higher fidelity, and what the lower one brought."""

    model: FittedModel
    n_high: int
    n_low: int
    """`n_high`, `n_low`: numbers of materials of the two fidelities that were learned from; 0 of
    the lower if there were too few of its own."""
    n_shared: int
    """Materials of the lower fidelity that have a value of the higher one too: left out."""
    found: CrossFit | None = None
    """Errors of held-out materials: ``before`` is that of the model of the lower fidelity,
    ``after`` that of all together. None if the lower fidelity was not used."""
    alone: float | None = None
    """The same without the lower fidelity."""


def fit_fidelities(
    high: Dataset,
    low: Dataset,
    method: str = "auto",
    *,
    features: str | CompositionFeatures | None = None,
    transform: str = "none",
    settings: MethodSettings | None = None,
    params: Mapping[str, Any] | None = None,
    intervals: IntervalConfig | None = None,
    domain: ApplicabilityDomain | bool = True,
    seed: int = 0,
    workers: int = 1,
    minutes: float | None = None,
    progress: Progress = NO_PROGRESS,
    checkpoint: Path | None = None,
) -> FidelityFit:
    """Fit a model that predicts the targets of `high`, with what `low` knows.

    A method is fitted to the lower fidelity. Its predictions are corrected by the values of the
    higher one (delta-learning), the method is fitted to both with the fidelity as a feature, and
    to the higher one alone (with ``auto`` trees, support vectors and others are tried for each). A
    cross-fit of the higher fidelity weighs them, see `xtalshift.estimators.AdaptedStackRegressor`.
    A material with both values gives the higher one only: nothing of a material that is held out
    is learned from, so that the errors are those of materials of which neither value is known.

    Parameters
    ----------
    high, low : Dataset
        Materials with targets of the two fidelities, in the same unit. Those that have not been
        cleaned are cleaned first, as in `fit`.
    method : str
        Name of the method.
    features, transform, settings, params, intervals, domain, seed, workers, minutes, progress,
    checkpoint
        As in `fit`. Intervals are those of the cross-fit of the higher fidelity, unless
        ``intervals.method`` is ``none``.

    Returns
    -------
    FidelityFit
        Its model has the domain of the higher fidelity. With fewer than 10 materials in `low` that
        are not in `high`, the model is that of `fit` on `high`.

    Raises
    ------
    DataError
        As `fit`.
    ConfigError
        As `fit`, and if the targets are classes or some are bounds.
    """
    if high.classes is not None or low.classes is not None:
        raise ConfigError("values of two fidelities are numbers, and these targets are classes")
    high, low = (data if data.intake else clean_table(data) for data in (high, low))
    if high.bounded.any() or low.bounded.any():
        raise ConfigError(
            "values of two fidelities are compared with each other, and a bound is none: leave out "
            "--bounds, or train on one fidelity"
        )
    shared = np.isin(low.groups.astype(str), high.groups.astype(str))
    apart = low.take(np.flatnonzero(~shared))
    n_shared = int(shared.sum())
    options = {
        "features": features, "transform": transform, "settings": settings, "params": params,
        "seed": seed, "workers": workers, "minutes": minutes, "progress": progress,
        "checkpoint": checkpoint,
    }  # fmt: skip
    if METHODS[method].family == "constant":  # one of the values that are predicted
        model = fit(high, method, intervals=intervals, domain=domain, **options)  # type: ignore[arg-type]
        return FidelityFit(model, len(high), 0, n_shared)
    if len(apart) < FEWEST or np.ptp(apart.y) == 0:
        progress.say(
            f"warning: the lower fidelity is not used: {len(apart):,} of its materials "
            f"{'has' if len(apart) == 1 else 'have'} no value of the higher one, and at least "
            f"{FEWEST} that differ are needed"
        )
        model = fit(high, method, intervals=intervals, domain=domain, **options)  # type: ignore[arg-type]
        return FidelityFit(model, len(high), 0, n_shared)
    if n_shared:
        progress.say(
            f"{plural(n_shared, 'material', 'has', 'have')} both fidelities: their lower one is "
            "left out"
        )
    aside = IntervalConfig(method="none")
    start = fit(apart, method, intervals=aside, domain=domain is True, **options)  # type: ignore[arg-type]
    X = start.features_of(high.materials)
    regressor, calibration, said = adapt_by_stack(
        start, high, X, apart, settings=settings,
        make_stack=partial(fidelity_stack, method=method, params=params), seed=seed,
        progress=progress,
    )  # fmt: skip
    learned = {"data": asdict(high.description)}
    if said["cross_fit"]["kept"]:
        learned = {"data": asdict(apart.description)}
        domain = start.domain or domain
    elif domain is True:
        # what is near to a material of the lower fidelity alone may still be far from any measured
        rows = np.arange(len(high))
        domain = find_domain(high, X, FitRows(rows, rows), start.feature_names, seed)
    if intervals is not None and intervals.method == "none":
        calibration = None
    if calibration is not None:
        calibration = replace(calibration, origin="out-of-fold")
    provenance = {
        "method": method,
        **said,
        **learned,
        "lower_fidelity": asdict(apart.description),
        "version": __version__,
    }
    card = replace(
        start.card,
        source=high.source,
        unit=high.unit,
        conditions=high.conditions,
        provenance=provenance,
    )
    return FidelityFit(
        replace(
            start, regressor=regressor, calibration=calibration, domain=domain or None, card=card
        ),
        len(high),
        len(apart),
        n_shared,
        CrossFit(**said["cross_fit"]),
        said.get("alone"),
    )
