"""What explains the prediction for one material, as typed records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from xtalshift.jsonio import Plain, finite

if TYPE_CHECKING:
    import pandas as pd

Scale = Literal["unit", "log", "log odds"]
"""On which scale contributions add up: in the unit of the target; as natural logarithms of it, for
a model of logarithms, so that ``exp`` of a contribution is a factor; or as natural logarithms of
the odds of a class."""
_ROUNDING = 1e-9
Kind = Literal["element", "proportions", "column", "family", "feature"]


@dataclass(frozen=True)
class Contribution:
    """What one part of a material adds to its prediction.

    `contribution` is on the scale of the explanation. `value` is the atomic fraction of an element
    or the value of a feature, `usual` the mean of a feature over the training materials it is
    compared with; None where there is none.
    """

    kind: Kind
    name: str
    contribution: float
    error: float = 0.0
    """Standard error of the contribution: it is a mean over training materials, of which others
    would give another."""
    value: float | None = None
    usual: float | None = None
    family: str = ""
    """Of a feature: the family whose contribution has it."""


@dataclass(frozen=True)
class Predicted:
    """What is predicted for a material, and how far it can be trusted.

    `prediction` is in the unit of the target, or the probability of the class that is explained.
    The bounds are None without intervals or where they are infinite, `in_domain` and `ood_score`
    without a domain. `known`: whether it is a training material.
    """

    formula: str
    prediction: float
    lower: float | None
    upper: float | None
    in_domain: bool | None
    ood_score: float | None
    known: bool


@dataclass(frozen=True)
class Substitution:
    """Another element in the place of one, and by how much the prediction changes."""

    removed: str
    added: str
    change: float
    """On the scale of the explanation."""
    result: Predicted


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a model predicts what it predicts for one material.

    `base` plus the contributions of `elements`, or plus those of `families`, or plus those of
    `features`, is `value`: three views of one prediction, each complete. Features have an error of
    `left_over`, which is 0 for trees and linear models.

    The contributions say what the model has learned, which need not be a cause; outside the domain
    they are as doubtful as the prediction.

    Attributes
    ----------
    formula, target, unit : str
        The material, and what is predicted.
    id : str
        Of a material with a structure; ``""`` for a formula.
    label : str
        Of a model of classes: the class whose log odds are explained.
    reason : str
        Why there is no prediction; ``""`` if there is one.
    scale : {"unit", "log", "log odds"}
        On which scale contributions add up.
    itself : Predicted or None
        The prediction, as it is shown.
    value : float
        The prediction on the scale.
    base, base_error : float
        Mean of the predictions, on the scale, for `compared` training materials, and its standard
        error.
    compared : int
        So many training materials, spread evenly over their targets.
    elements, families, features : tuple of Contribution
        The largest first; `elements` has the proportions and further columns too.
    left_over : float
        What the features do not explain because of the numerical integral of networks and kernel
        methods.
    no_elements, no_features : str
        Why there are none.
    substitutions : tuple of Substitution
        Those that change the prediction most, the largest rise first and the largest fall last.
    """

    formula: str
    target: str
    unit: str = ""
    id: str = ""
    label: str = ""
    reason: str = ""
    scale: Scale = "unit"
    itself: Predicted | None = None
    value: float = float("nan")
    base: float = float("nan")
    base_error: float = 0.0
    compared: int = 0
    elements: tuple[Contribution, ...] = ()
    families: tuple[Contribution, ...] = ()
    features: tuple[Contribution, ...] = ()
    left_over: float = 0.0
    no_elements: str = ""
    no_features: str = ""
    substitutions: tuple[Substitution, ...] = ()

    @property
    def lacks(self) -> bool:
        """Whether more than rounding is left over."""
        return abs(self.left_over) > _ROUNDING * abs(self.value - self.base)

    def plain(self) -> Plain:
        """Return it as plain values, as JSON has them."""
        found: Plain = finite(asdict(self))
        return found

    @property
    def frame(self) -> pd.DataFrame:
        """Its contributions and substitutions as a table, see `explanation_table`."""
        return explanation_table([self])


def explanation_table(explanations: Sequence[Explanation]) -> pd.DataFrame:
    """Return explanations as one table: a row for each contribution and each substitution.

    Columns: ``id`` (of structures), ``formula``, ``target``, ``label``, ``kind`` (``base``,
    ``element``, ``proportions``, ``column``, ``family``, ``feature``, ``left over``,
    ``substitution``, ``error``), ``name``,
    ``contribution``, ``error``, ``scale``, ``value``, ``usual``, and of substitutions
    ``prediction``, ``lower``, ``upper``, ``in_domain``, ``ood_score``, ``known``; ``reason``.
    """
    import pandas as pd  # a few explanations are printed without it

    return pd.DataFrame(table_rows(explanations), columns=_columns(explanations))


def table_rows(explanations: Sequence[Explanation]) -> list[dict[str, Any]]:
    """Return the rows of `explanation_table` as plain values, each with all columns."""
    blank = dict.fromkeys(_columns(explanations))
    return [{name: row.get(name) for name in blank} for one in explanations for row in _rows(one)]


def _columns(explanations: Sequence[Explanation]) -> list[str]:
    return [*(["id"] if any(one.id for one in explanations) else []), *COLUMNS]


COLUMNS = (
    *("formula", "target", "label", "kind", "name", "contribution", "error", "scale", "value"),
    *("usual", "prediction", "lower", "upper", "in_domain", "ood_score", "known", "reason"),
)
"""Columns of `explanation_table`, behind ``id``."""


def _rows(one: Explanation) -> list[dict[str, Any]]:
    head: dict[str, Any] = {"id": one.id, "formula": one.formula, "target": one.target}
    head |= {"label": one.label, "reason": ""}
    if one.reason or one.itself is None:
        return [{**head, "kind": "error", "reason": one.reason}]
    head["scale"] = one.scale

    def outcome(found: Predicted) -> dict[str, Any]:
        names = ("prediction", "lower", "upper", "in_domain", "ood_score", "known")
        return {name: getattr(found, name) for name in names}

    rows: list[dict[str, Any]] = [
        {
            **head,
            "kind": "base",
            "contribution": one.base,
            "error": one.base_error,
            **outcome(one.itself),
        }
    ]
    for part in (*one.elements, *one.families, *one.features):
        names = ("kind", "name", "contribution", "error", "value", "usual")
        rows.append({**head, **{name: getattr(part, name) for name in names}})
    for kind, reason in (("element", one.no_elements), ("feature", one.no_features)):
        if reason:
            rows.append({**head, "kind": kind, "reason": reason})
    if one.features:
        rows.append({**head, "kind": "left over", "contribution": one.left_over})
    rows.extend(
        {
            **head,
            "kind": "substitution",
            "name": f"{swap.removed} -> {swap.added}: {swap.result.formula}",
            "contribution": swap.change,
            **outcome(swap.result),
        }
        for swap in one.substitutions
    )
    return rows
