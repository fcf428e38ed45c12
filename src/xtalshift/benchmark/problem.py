"""What all tasks share, prepared once: tables with features, and folds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xtalshift.benchmark.records import Role
from xtalshift.benchmark.summary_records import RowCounts, TableInfo
from xtalshift.data import Dataset
from xtalshift.data.settings import DataConfig
from xtalshift.domain.applicability import ApplicabilityDomain
from xtalshift.estimators.base import Classifier, Regressor
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.blocks import PRETRAINED, Blocks, split_blocks
from xtalshift.methods import METHODS, MethodSettings, build_classifier, build_method

Rows = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """One table; its features may be read-only and shared with other processes."""

    name: str
    """Name in the specification."""
    data: Dataset
    """n clean rows."""
    settings: DataConfig
    """Settings of features and targets."""
    X: Mapping[Blocks, FloatArray]
    """Shape (n, d). Features by name; extra feature columns come last."""
    tails: tuple[float, float]
    """The 5 % and 95 % quantiles of the targets, beyond which they count as extreme."""
    encoder: str | None = None
    """Folder of the encoder of the block ``pretrained``; None: that of the package."""
    lower: Dataset | None = None
    """Clean rows of a cheaper fidelity of the target, of materials that `data` does not have; they
    are training rows of every fold."""
    lower_name: str = ""
    """What the column of fidelities says of the rows of `lower`."""
    targets: tuple[str, ...] = ()
    others: Mapping[str, Dataset] = field(default_factory=dict)
    transforms: Mapping[str, str] = field(default_factory=dict)
    """`targets`, `others`, `transforms`: names of all targets, in order; clean rows of those other
    than that of `data`, and their changes of scale, for methods that learn them together. Of a
    material that `data` has, they are training rows where that is one."""

    @property
    def target(self) -> str:
        """Name of the target of `data` among `targets`."""
        named = str(self.settings.target)
        return named if named in self.targets else self.name

    def with_others(self, others: Mapping[str, Problem]) -> Problem:
        """Return the table beside others of the benchmark, with the targets in their order."""
        return replace(
            self,
            targets=(self.name, *others),
            others={name: one.data for name, one in others.items()},
            transforms={name: one.settings.transform for name, one in others.items()},
        )

    def beside(self, method: str) -> str:
        """Return what a method learns from beside the rows of `data`; an empty text if nothing."""
        facts = METHODS[method]
        if self.lower is not None and facts.family != "constant":
            return f"{len(self.lower):,} materials of {self.lower_name!r}"
        return f"the values of {', '.join(self.others)}" if facts.joint and self.others else ""

    @cached_property
    def formula_numbers(self) -> Rows:
        """Number of the reduced formula of each row, shape (n,)."""
        return np.unique(self.data.groups.astype(str), return_inverse=True)[1].astype(np.int64)

    def blocks(self, features: Blocks) -> Blocks:
        """Return the given features with the encoder of this table."""
        if self.encoder is None:
            return features
        own = f"{PRETRAINED}:{self.encoder}"
        return "+".join(own if name == PRETRAINED else name for name in split_blocks(features))

    def featurizer(self, features: Blocks) -> CompositionFeaturizer:
        """Return the featurizer of the given features."""
        notation = self.settings.notation
        return CompositionFeaturizer(
            self.blocks(features), self.settings.impute_nan, notation.hydrates, notation.amounts
        )

    def build(
        self,
        method: str,
        settings: MethodSettings,
        *,
        seed: int | None,
        params: Mapping[str, Any] | None = None,
    ) -> Regressor | Classifier:
        """Return the unfitted estimator of a method for the targets of this table."""
        if self.data.classes is None:
            return build_method(method, settings, seed=seed, params=params)
        return build_classifier(
            method, settings, seed=seed, params=params, ordered=self.data.ordered
        )

    def describe(self) -> TableInfo:
        """Return a description of the table, for the summary."""
        settings, intake = self.settings, self.data.intake
        assert intake is not None
        return TableInfo(
            name=self.name,
            **vars(self.data.description),
            transform=settings.transform,
            impute_nan=settings.impute_nan,
            hydrates=settings.notation.hydrates,
            amounts=settings.amounts,
            feature_cols=settings.feature_cols,
            split_features=settings.blocks,
            tails={"low": self.tails[0], "high": self.tails[1]},
            cleaning=RowCounts(
                intake.rows_read, intake.rows_kept, intake.rows_merged, intake.rows_dropped
            ),
        )


@dataclass(frozen=True, eq=False)
class TestRows:
    """Rows that a trained method is evaluated on, with a description."""

    __test__ = False  # for pytest

    split: str
    role: Role
    rows: Rows
    description: str = ""
    n_bounded: int = 0
    """Further rows that were held out, of which only bounds of the target are known."""


@dataclass(frozen=True, eq=False)
class FoldRows:
    """The rows of one fold for one seed."""

    data: str
    split: str
    """`data`, `split`: names in the specification; the split is ``all`` if one training serves all
    splits."""
    fold: int
    seed: int
    """`fold`, `seed`: number of the fold; seed of all draws."""
    name: str
    """What is held out."""
    tail: Literal["high", "low"]
    """The side on which targets count as extreme."""
    budgets: tuple[int, ...]
    """Numbers of target labels for which the fold has enough rows."""
    train: Rows = field(repr=False)
    val: Rows = field(repr=False)
    target: Rows = field(repr=False)
    """`train`, `val`, `target`: row numbers; `target` in the order of the budgets."""
    tests: tuple[TestRows, ...] = field(repr=False)
    """At least one set of test rows."""
    hidden: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    """Training rows whose target is taken as unknown."""

    @property
    def key(self) -> str:
        """Text that identifies the fold in a benchmark."""
        return f"{self.data}/{self.split}/{self.fold}/{self.seed}"

    def describe_split(self, split: str) -> str:
        """Return a description of what a split holds out."""
        return next((t.description for t in self.tests if t.split == split and t.description), "")

    @property
    def id_rows(self) -> Rows:
        """The ID test rows, which all splits of the fold share."""
        return next((test.rows for test in self.tests if test.role == "id"), self.train[:0])

    @cached_property
    def test_rows(self) -> Rows:
        """The held-out rows of all splits, each once; the ID test rows if there are no others."""
        outside = [test.rows for test in self.tests if test.role == "ood"]
        return np.unique(np.concatenate(outside)) if outside else self.id_rows

    def sha256(self) -> str:
        """Return the hash of all rows."""
        digest = hashlib.sha256()
        named = [("train", self.train), ("val", self.val), ("target", self.target)]
        named += [("hidden", self.hidden)] if len(self.hidden) else []
        named += [(f"{test.split} {test.role}", test.rows) for test in self.tests]
        for name, rows in named:
            digest.update(f"{name} {len(rows)} ".encode())
            digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ChoiceRows:
    """The rows that choose among methods; none is in a test set."""

    fold: str
    """Key of the fold whose tasks are judged."""
    rows: Rows = field(repr=False)
    """Row numbers."""
    n_folds: int = 0
    repeats: int = 0
    """`n_folds`, `repeats`: of the cross-fit of these rows; 0 if they are validation rows."""

    def content(self) -> list[Any]:
        """Return what the judgement of a task depends on."""
        digest = hashlib.sha256(np.ascontiguousarray(self.rows, dtype="<i8").tobytes())
        return [digest.hexdigest(), self.n_folds, self.repeats]


@dataclass(frozen=True, eq=False)
class Shared:
    """All tables and folds of a benchmark."""

    problems: dict[str, Problem]
    """Tables by name."""
    folds: dict[str, FoldRows]
    """Folds by `FoldRows.key`."""
    plugins: dict[str, str]
    """Source of each plugin by file name."""
    own_methods: tuple[str, ...] = ()
    """Methods ``FILE.py:NAME`` of these plugins."""
    domains: dict[tuple[str, Blocks], ApplicabilityDomain] = field(default_factory=dict)
    """Domains by fold and features, for models that are kept."""
    choice: ChoiceRows | None = None
    """The rows that choose among methods, if one is to be chosen."""
