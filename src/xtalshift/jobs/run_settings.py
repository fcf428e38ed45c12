"""The settings of a run: data, splits, methods, seeds."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from xtalshift.benchmark.choice_settings import ChoiceConfig
from xtalshift.benchmark.explain_settings import ExplainConfig
from xtalshift.benchmark.plugins import split_own
from xtalshift.config import Settings
from xtalshift.data.settings import DataConfig, FidelityConfig
from xtalshift.errors import ConfigError
from xtalshift.featurize.blocks import split_blocks
from xtalshift.jobs.judge_settings import FAST, JudgeConfig
from xtalshift.methods import METHODS, MethodSettings, saved_methods
from xtalshift.registry import near_miss
from xtalshift.uncertainty.settings import IntervalConfig

Scheme = Literal["random", "covariate", "prior", "family", "relation"]


class SplitConfig(Settings):
    """Which rows are held out, and how."""

    schemes: tuple[Scheme, ...] = ("random", "covariate", "prior", "family")
    """``random``, ``covariate``, ``prior``, ``family``, ``relation``."""
    separate: bool = False
    """Whether to train once per split instead of once for all of them."""
    random_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the rows outside all OOD sets, drawn at random as ID test set."""
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the remaining rows used for model selection."""
    covariate_share: float = Field(default=0.1, gt=0, lt=1)
    n_neighbors: int = Field(default=10, ge=1)
    n_components: int = Field(default=10, ge=1)
    embedding: Literal["pca", "umap"] = "pca"
    """`covariate_share`, `n_neighbors`, `n_components`, `embedding`: as in
    `xtalshift.splits.CovariateSplit`."""
    tail: Literal["high", "low", "both"] = "high"
    prior_share: float = Field(default=0.1, gt=0, lt=1)
    """`tail`, `prior_share`: as in `xtalshift.splits.PriorSplit`. The extremes that the scores of a
    search refer to are the low ones for ``low``, else the high ones."""
    family: str | None = None
    """Element (or several joined by ``+``) of the held-out family. By default F; if no row
    of a file contains it, the element that is nearest to a tenth of the rows."""
    relation_flag: str | None = None
    """Column that is true for materials that follow another relation."""
    relation_file: str | None = None
    """File with the formulas of materials that follow another relation."""

    @property
    def active(self) -> tuple[Scheme, ...]:
        """The schemes with ``random`` first, and with ``relation`` if one is declared."""
        declared = self.relation_flag is not None or self.relation_file is not None
        wanted = {"random", *self.schemes, *(["relation"] if declared else [])}
        order: tuple[Scheme, ...] = ("random", "covariate", "prior", "family", "relation")
        return tuple(scheme for scheme in order if scheme in wanted)


class RunConfig(MethodSettings):
    """All settings of ``xtalshift run``."""

    seed: int = Field(default=0, ge=0)
    n_seeds: int = Field(default=1, ge=1, le=1000)
    """`seed`, `n_seeds`: the seeds are ``seed, seed + 1, ...``; each draws its own random split,
    validation rows and initial parameters. The shifted test sets are the same for all."""
    methods: tuple[str, ...] = ("dummy", "ridge", "lightgbm", "erm", "cal", "cal-eps0", "auto")
    """Names of `xtalshift.methods.saved_methods`, or ``FILE.py:NAME``, see
    `xtalshift.benchmark.plugins`; the dummy is always added."""
    data: DataConfig = DataConfig()
    """Settings of the table."""
    fidelity: FidelityConfig = FidelityConfig()
    """Rows of two fidelities: one is predicted, the other one only ever trains."""
    targets: dict[str, str] = Field(default_factory=dict)
    """All targets of the table with their units, if methods learn them together; see
    `xtalshift.jobs.run_several.run_several`."""
    split: SplitConfig = SplitConfig()
    """Settings of the held-out sets."""
    intervals: IntervalConfig = IntervalConfig()
    """Intervals of saved models; for ``auto``, `run` takes ``cross``, so that its model is fitted
    to all rows. The models that it compares are calibrated on the ID test rows."""
    candidates: str | None = None
    """File of materials to judge: their predictions, the error to expect and a verdict."""
    judge: JudgeConfig = JudgeConfig()
    """How candidates are judged."""
    choice: ChoiceConfig = ChoiceConfig()
    """How `run` chooses the method of its model."""
    explain: ExplainConfig = ExplainConfig()
    """What `run` measures to explain the errors of that method."""
    minutes: float | None = Field(default=None, gt=0)
    """Wall minutes that each fit of ``auto`` may take in `run`; members that there is no time for
    are left out and named, and the numbers depend on the machine. By default all are tried."""

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            check_saved(name)
        if not names:
            raise ValueError(f"name at least one method of {', '.join(saved_methods())}")
        return tuple(dict.fromkeys(["dummy", *names]))

    @model_validator(mode="after")
    def _known_blocks(self) -> Self:
        split_blocks(self.data.blocks)  # raises with the names
        return self

    @property
    def judging(self) -> JudgeConfig:
        """The settings of the judgement; methods that are named for the run are judged too."""
        usual = type(self).model_fields["methods"].default
        if self.methods == usual or self.judge.methods != FAST:
            return self.judge
        named = tuple(name for name in self.methods if name != "dummy") or FAST
        return self.judge.model_copy(update={"methods": named})

    @property
    def seeds(self) -> range:
        """All seeds."""
        return range(self.seed, self.seed + self.n_seeds)


def check_saved(name: str) -> None:
    """Raise `ConfigError` unless `run` and `train` offer a method, or it is one's own."""
    offered = saved_methods()
    if split_own(name) is None and name not in offered:
        hint = ", only `xtalshift benchmark` does" if name in METHODS else near_miss(name, offered)
        raise ConfigError(
            f"`run` and `train` do not offer {name!r}{hint}; choose from: {', '.join(offered)}, "
            "or name your own, FILE.py:NAME"
        )
