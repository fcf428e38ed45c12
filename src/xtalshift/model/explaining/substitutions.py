"""Which other element in the place of one changes a prediction most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.charge_neutrality import neutral_rows
from xtalshift.chem.element_similarity import similar_elements
from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.writing import EXACT_DIGITS, readable_formula, write_formula
from xtalshift.data.materials import Materials
from xtalshift.domain.applicability import SAME
from xtalshift.model.explaining.outcome import AnyOne, Outcome
from xtalshift.model.explaining.record import Predicted, Substitution

FloatArray = NDArray[np.float64]

SIMILAR = 8
"""Elements tried in the place of each: the nearest ones of its family that share a common oxidation
state with it."""


def find_substitutions(
    model: AnyOne, outcome: Outcome, material: Materials, value: float, level: float, most: int
) -> tuple[Substitution, ...]:
    """Return the substitutions of one element that change the prediction most.

    If common oxidation states of the material can cancel, those of the new one must, too.

    Parameters
    ----------
    model : FittedModel or FittedClassifier
        The model, of formulas.
    outcome : Outcome
        Which number is explained.
    material : Materials
        One row.
    value : float
        Its number.
    level : float
        Level of the intervals.
    most : int
        So many that raise it, and so many that lower it, at most.
    """
    swaps, tried = _candidates(material)
    if not swaps:
        return ()
    features = model.featurize(tried)
    good = np.flatnonzero(features.reasons == "")
    changes = np.full(len(swaps), np.nan)
    if good.size:
        changes[good] = outcome.values(features.values[good]) - value
    order = np.argsort(-changes, kind="stable")  # NaN is last
    rises = [k for k in order.tolist() if changes[k] > 0][:most]
    falls = [k for k in order.tolist() if changes[k] < 0][::-1][:most][::-1]
    chosen = rises + falls
    results = outcomes_of(model, outcome, tried.take(np.array(chosen, dtype=np.int64)), level)
    return tuple(
        Substitution(swaps[k][0], swaps[k][1], float(changes[k]), result)
        for k, result in zip(chosen, results, strict=True)
    )


def outcomes_of(
    model: AnyOne, outcome: Outcome, materials: Materials, level: float
) -> list[Predicted]:
    """Return what is predicted for good materials."""
    if not len(materials):
        return []
    found = model.predict(materials, level=level)
    bounds = [getattr(found, name, np.full(len(materials), np.nan)) for name in ("lower", "upper")]
    lower, upper = (
        [bound if np.isfinite(bound) else None for bound in one.tolist()] for one in bounds
    )
    return [
        Predicted(*row)
        for row in zip(
            found.formula.tolist(),
            outcome.shown(found).tolist(),
            lower,
            upper,
            found.in_domain.tolist(),
            found.ood_score.tolist(),
            (found.nearest_distance < SAME).tolist(),
            strict=True,
        )
    ]


def _candidates(material: Materials) -> tuple[list[tuple[str, str]], Materials]:
    """Return pairs of a removed and an added element, and the materials that they give."""
    own = [SYMBOLS[z] for z in material.compositions.z]
    amounts = material.compositions.amounts.tolist()
    near = similar_elements(SIMILAR)
    swaps, texts, shown = [], [], []
    for place, z in enumerate(material.compositions.z.tolist()):
        for other in near[z].tolist():
            if other == 0 or SYMBOLS[other] in own:
                continue
            symbols = [*own[:place], SYMBOLS[other], *own[place + 1 :]]
            new = dict(zip(symbols, amounts, strict=True))
            swaps.append((own[place], SYMBOLS[other]))
            texts.append(write_formula(new, EXACT_DIGITS))
            shown.append(readable_formula(new))
    tried = Materials.parse(
        texts,
        shown=shown,
        extra=np.repeat(material.extra, len(texts), axis=0),
        extra_names=material.extra_names,
    )
    if not swaps or not neutral_rows(material.compositions)[0][0]:
        return swaps, tried
    kept = np.flatnonzero(neutral_rows(tried.compositions)[0])
    return [swaps[k] for k in kept.tolist()], tried.take(kept)
