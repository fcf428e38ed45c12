"""The settings of a run and of a split: data, schemes, methods, seeds."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from xtalshift.config import Settings
from xtalshift.errors import ConfigError
from xtalshift.methods import METHODS, MethodSettings, saved_methods
from xtalshift.splits import SPLITTERS

__all__ = ["DataConfig", "IntervalConfig", "RunConfig", "SplitConfig", "SplitSpec", "check_saved"]

Scheme = Literal["random", "covariate", "prior", "family", "relation"]


class DataConfig(Settings):
    """Where the rows come from and how they become features and targets.

    Attributes
    ----------
    dataset : str
        Name in the catalogue, or a file.
    target, formula_col, id_col : str, optional
        Columns; the target of a data set of the catalogue is known.
    unit : str
        Unit of the target of a file.
    feature_cols : list of str
        Extra numeric columns that are features (temperature, pressure, doping).
    features : str
        ``magpie``, ``fractions`` or ``magpie+fractions``.
    impute_nan : bool
        Whether an element without a tabulated property gets the mean over the elements.
    transform : str
        Change of scale of the target: ``none``, ``log``, ``log1p``, ``asinh`` or ``clip``.
    duplicates : str
        ``keep``, or merge rows of one reduced formula by ``mean``, ``median``, ``lowest`` or
        ``highest`` target.
    hydrates : str
        ``refuse`` or ``expand`` formulas such as ``CuSO4*5H2O``.
    strict : bool
        Whether an unusable row is an error.
    """

    dataset: str = "ricci_seebeck"
    target: str | None = None
    formula_col: str | None = None
    id_col: str | None = None
    unit: str = ""
    feature_cols: tuple[str, ...] = ()
    features: Literal["magpie", "fractions", "magpie+fractions"] = "magpie"
    impute_nan: bool = True
    transform: Literal["none", "log", "log1p", "asinh", "clip"] = "none"
    duplicates: Literal["keep", "mean", "median", "lowest", "highest"] = "mean"
    hydrates: Literal["refuse", "expand"] = "refuse"
    strict: bool = False


class SplitConfig(Settings):
    """Which rows are held out, and how.

    Attributes
    ----------
    schemes : list of str
        ``random``, ``covariate``, ``prior``, ``family``, ``relation``.
    separate : bool
        Train once per split instead of once for all of them.
    random_share : float
        Share of the rows that no OOD set holds, drawn at random as ID test set.
    validation_share : float
        Share of the remaining rows used for model selection.
    covariate_share, n_neighbors, n_components, embedding
        As in `xtalshift.splits.CovariateSplit`.
    tail, prior_share
        As in `xtalshift.splits.PriorSplit`.
    family : str
        Element (or several joined by ``+``) of the held-out family.
    relation_flag : str, optional
        Column that is true for materials of another relation.
    relation_file : str, optional
        File of formulas that follow another relation.
    """

    schemes: tuple[Scheme, ...] = ("random", "covariate", "prior", "family")
    separate: bool = False
    random_share: float = Field(default=0.2, gt=0, lt=1)
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    covariate_share: float = Field(default=0.1, gt=0, lt=1)
    n_neighbors: int = Field(default=10, ge=1)
    n_components: int = Field(default=10, ge=1)
    embedding: Literal["pca", "umap"] = "pca"
    tail: Literal["high", "low", "both"] = "high"
    prior_share: float = Field(default=0.1, gt=0, lt=1)
    family: str = "F"
    relation_flag: str | None = None
    relation_file: str | None = None

    @property
    def active(self) -> tuple[Scheme, ...]:
        """The schemes, with ``relation`` where one is declared, and ``random`` first."""
        declared = self.relation_flag is not None or self.relation_file is not None
        wanted = {"random", *self.schemes, *(["relation"] if declared else [])}
        order: tuple[Scheme, ...] = ("random", "covariate", "prior", "family", "relation")
        return tuple(scheme for scheme in order if scheme in wanted)


class SplitSpec(Settings):
    """All settings of ``xtalshift split``.

    Attributes
    ----------
    data : DataConfig
        Rows; `features` are those in which distances are measured.
    scheme : str
        Name in `xtalshift.splits.SPLITTERS`.
    params : dict
        Arguments of the splitter, see `xtalshift.splits.schemes.build_scheme`.
    inner : str, optional
        Scheme of an inner cross-validation of the training rows, for model choice.
    inner_params : dict
        Its arguments.
    validation_share : float
        Share of the training rows for model selection where neither the scheme nor an inner
        cross-validation has some; 0 for none.
    budgets : list of int
        Numbers of target labels; the largest is taken from the held-out rows.
    thin : float, optional
        Composition distance to which the table is thinned first.
    min_distance : float, optional
        Training rows within this composition distance of a test row are left out.
    seed : int
        Of all that is random.
    """

    data: DataConfig = DataConfig()
    scheme: str = "random"
    params: dict[str, Any] = Field(default_factory=dict)
    inner: str | None = None
    inner_params: dict[str, Any] = Field(default_factory=dict)
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    budgets: tuple[int, ...] = ()
    thin: float | None = Field(default=None, gt=0, le=1)
    min_distance: float | None = Field(default=None, gt=0, le=1)
    seed: int = Field(default=0, ge=0)

    @field_validator("scheme", "inner")
    @classmethod
    def _known_scheme(cls, name: str | None) -> str | None:
        if name is not None:
            SPLITTERS[name]  # raises with the list of names
        return name


class IntervalConfig(Settings):
    """Which rows tell `train` how wide prediction intervals must be.

    Attributes
    ----------
    method : str
        ``held-out``: a share of the rows is kept from training; ``cross``: no row is kept, and as
        many further models as there are folds are trained, each without one part; ``auto``: cross
        below `small` rows; ``none``: no intervals.
    share : float
        Share of rows kept.
    folds : int
        Further trainings.
    small : int
        Number of rows.
    """

    method: Literal["auto", "held-out", "cross", "none"] = "auto"
    share: float = Field(default=0.1, gt=0, lt=1)
    folds: int = Field(default=5, ge=2)
    small: int = Field(default=1000, ge=0)

    def how(self, n_rows: int) -> Literal["held-out", "cross", "none"]:
        """Return what ``auto`` means for a table of so many rows."""
        if self.method != "auto":
            return self.method
        return "cross" if n_rows < self.small else "held-out"


class RunConfig(MethodSettings):
    """All settings of ``xtalshift run``.

    Attributes
    ----------
    seed, n_seeds : int
        The seeds are ``seed, seed + 1, ...``; each draws its own random split, validation rows and
        initial parameters. The shifted test sets are the same for all.
    methods : list of str
        Names of `xtalshift.estimators.saved_methods`; the dummy is always among them.
    data : DataConfig
        Rows.
    split : SplitConfig
        Held-out sets.
    intervals : IntervalConfig
        Of the model of ``xtalshift train``; that of `run` has its ID test rows for them.
    """

    seed: int = Field(default=0, ge=0)
    n_seeds: int = Field(default=1, ge=1)
    methods: tuple[str, ...] = ("dummy", "ridge", "lightgbm", "erm", "cal", "cal-eps0")
    data: DataConfig = DataConfig()
    split: SplitConfig = SplitConfig()
    intervals: IntervalConfig = IntervalConfig()

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            check_saved(name)
        if not names:
            raise ValueError(f"name at least one method of {', '.join(saved_methods())}")
        return tuple(dict.fromkeys(["dummy", *names]))

    @property
    def seeds(self) -> range:
        """All seeds."""
        return range(self.seed, self.seed + self.n_seeds)


def check_saved(name: str) -> None:
    """Raise unless `run` and `train` can save the model of a method.

    Raises
    ------
    NotFoundError
        If there is no such method; the message lists those there are.
    ConfigError
        If only `benchmark` offers it.
    """
    if not METHODS[name].saved:
        raise ConfigError(
            f"models of {name} cannot be saved, so only `xtalshift benchmark` compares it; here "
            f"there is: {', '.join(saved_methods())}"
        )
