"""The settings of a benchmark, as a TOML file holds them."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from xtalshift.config import Settings, read_toml
from xtalshift.data.settings import DataConfig
from xtalshift.errors import ConfigError
from xtalshift.featurize.blocks import Blocks, split_blocks
from xtalshift.methods import METHODS, MethodSettings
from xtalshift.registry import near_miss
from xtalshift.splits import SPLITTERS

__all__ = [
    "BenchmarkData",
    "BenchmarkSpec",
    "BenchmarkSplit",
    "MethodEntry",
    "TuningConfig",
    "canonical_specs",
    "read_spec",
]

DATA_FOLDER = "XTALSHIFT_DATA"


def _check_budgets(budgets: tuple[int, ...]) -> tuple[int, ...]:
    if any(budget < 1 for budget in budgets):
        raise ValueError("label budgets are at least 1")
    return tuple(sorted(set(budgets)))


def _check_blocks(features: Blocks) -> Blocks:
    split_blocks(features)  # raises with the names
    return features


Budgets = Annotated[tuple[int, ...], AfterValidator(_check_budgets)]
KnownBlocks = Annotated[Blocks, AfterValidator(_check_blocks)]


class BenchmarkData(DataConfig):
    """One table; `features` are those that splits and audits look at.

    Attributes
    ----------
    sample : int, optional
        So many rows are drawn at random once, the same for every seed.
    flag : str, optional
        Column of flags; a flagged row flags its formula before rows of one formula are merged.
    """

    features: KnownBlocks = "magpie"
    sample: int | None = Field(default=None, ge=50)
    flag: str | None = None

    def resolve(self) -> Self:
        """Return the same with ``$XTALSHIFT_DATA`` in `dataset` replaced by that folder.

        Raises
        ------
        ConfigError
            If the variable is needed and not set.
        """
        if not self.dataset.startswith(f"${DATA_FOLDER}"):
            return self
        folder = os.environ.get(DATA_FOLDER)
        if not folder:
            raise ConfigError(
                f"{self.dataset} lies in the folder of tables that the environment variable "
                f"{DATA_FOLDER} names, and it is not set; set it, or name another file or data set "
                "with --set data.NAME.dataset=..."
            )
        path = folder.rstrip("/") + self.dataset.removeprefix(f"${DATA_FOLDER}")
        return self.model_copy(update={"dataset": path})


class BenchmarkSplit(Settings):
    """How rows are held out.

    Attributes
    ----------
    scheme, params
        As in `xtalshift.splits.split_spec.SplitSpec`. Files may start with ``$XTALSHIFT_DATA``.
    data : list of str
        Names of the tables it is for; empty: all.
    max_folds : int, optional
        Only the first so many folds.
    budgets : list of int, optional
        Instead of those of the benchmark.
    validation_share, id_share : float, optional
        Instead of those of the benchmark.
    min_distance : float, optional
        Training rows within this composition distance of a test row are left out.
    tail : {"high", "low"}
        The side on which extreme targets are sought.
    """

    scheme: str
    params: dict[str, Any] = Field(default_factory=dict)
    data: tuple[str, ...] = ()
    max_folds: int | None = Field(default=None, ge=1)
    budgets: Budgets | None = None
    validation_share: float | None = Field(default=None, ge=0, lt=1)
    id_share: float | None = Field(default=None, ge=0, lt=1)
    min_distance: float | None = Field(default=None, gt=0, le=1)
    tail: Literal["high", "low"] = "high"

    @field_validator("scheme")
    @classmethod
    def _known_scheme(cls, name: str) -> str:
        SPLITTERS[name]  # raises with the list of names
        return name

    @property
    def is_id(self) -> bool:
        """Whether the held-out rows follow the training distribution."""
        return SPLITTERS[self.scheme].role == "id"

    def resolve(self) -> Self:
        """Return the same with ``$XTALSHIFT_DATA`` in parameters replaced by that folder."""
        params = {
            key: BenchmarkData(dataset=value).resolve().dataset
            if isinstance(value, str) and value.startswith(f"${DATA_FOLDER}")
            else value
            for key, value in self.params.items()
        }
        return self.model_copy(update={"params": params})


class MethodEntry(Settings):
    """One row of the tables.

    Attributes
    ----------
    name : str
        In tables.
    method : str
        Key of `xtalshift.estimators.METHODS`.
    features : str, optional
        Features that it is run on; by default those that the method needs, else all of the
        benchmark.
    params : dict
        Arguments of its regressor, see `xtalshift.methods.registry.override`.
    """

    name: str
    method: str
    features: KnownBlocks | None = None
    params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: Any) -> Any:
        """Read ``"ridge@fractions"``: a method and its features."""
        if isinstance(value, str):
            method, _, features = value.partition("@")
            return {"name": value, "method": method, "features": features or None}
        if isinstance(value, dict) and "method" not in value and "name" in value:
            return {**value, "method": value["name"]}
        return value


class TuningConfig(Settings):
    """Choice of arguments by validation error, with the same budget for every method.

    Attributes
    ----------
    trials : int
        Trainings per task, of which the first has the usual settings; 0: no tuning.
    """

    trials: int = Field(default=0, ge=0)


class BenchmarkSpec(MethodSettings):
    """All settings of ``xtalshift benchmark``.

    Attributes
    ----------
    title : str
        One line for the report.
    data : dict of BenchmarkData
        Tables by name.
    features : list of str
        Features on which methods are run that name none.
    splits : dict of BenchmarkSplit
        Splits by name.
    methods : list of MethodEntry
        Names such as ``"ridge"`` and ``"ridge@fractions"``, or tables with ``name``, ``method``,
        ``features`` and ``params``. The dummy is always among them.
    seeds : int
        How many; each draws its own ID test rows, validation rows, target labels, and random split.
    seed : int
        The first.
    budgets : list of int
        Numbers of target labels; methods that use labels run once for each.
    id_share : float
        Share of the training rows that become ID test rows.
    validation_share : float
        Share of the rest for model selection, where the scheme has no validation rows.
    joint : bool
        Train once on the rows that no split holds out, instead of once per split (the protocol of
        arXiv:2408.09297); the ID test rows are then those of every split.
    id_name : str
        Name of the ID test rows in a joint benchmark.
    audit : bool
        Whether splits are audited.
    plugins : list of str
        Python files that register methods of your own, relative to the specification.
    tuning : TuningConfig
        Off by default; methods with nothing to tune are trained as they are.
    """

    title: str = ""
    data: dict[str, BenchmarkData] = Field(min_length=1)
    features: tuple[KnownBlocks, ...] = Field(default=("magpie",), min_length=1)
    splits: dict[str, BenchmarkSplit] = Field(default_factory=dict)
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    seeds: int = Field(default=3, ge=1)
    seed: int = Field(default=0, ge=0)
    budgets: Budgets = ()
    id_share: float = Field(default=0.1, ge=0, lt=1)
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    joint: bool = False
    id_name: str = "random"
    audit: bool = True
    plugins: tuple[str, ...] = ()
    tuning: TuningConfig = TuningConfig()

    @property
    def all_seeds(self) -> range:
        """The seeds."""
        return range(self.seed, self.seed + self.seeds)

    @model_validator(mode="after")
    def _check_data(self) -> Self:
        if not self.splits and not self.joint:
            raise ValueError("name at least one split")
        for name, split in self.splits.items():
            for data in split.data:
                if data not in self.data:
                    hint = near_miss(data, self.data)
                    raise ValueError(
                        f"split {name!r} is for data {data!r}, which is not there{hint}"
                    )
        return self

    def check_methods(self) -> Self:
        """Return the same with the dummy first, once plugins have registered their methods.

        Raises
        ------
        NotFoundError
            If a method is unknown; the message lists those there are.
        ConfigError
            If a method uses target labels and there are no budgets, or does not take the features.
        """
        for entry in self.methods:
            method = METHODS[entry.method]
            budgets = self.budgets or [b for one in self.splits.values() for b in one.budgets or ()]
            if method.target_access == "labels" and not budgets:
                raise ConfigError(
                    f"method {entry.name!r} uses target labels, and there are no budgets; add "
                    "budgets = [64], or leave the method out"
                )
            if entry.features and method.features not in {None, entry.features}:
                raise ConfigError(
                    f"method {entry.name!r} works on {method.features}, not on {entry.features}"
                )
        if any(entry.method == "dummy" for entry in self.methods):
            return self
        dummy = MethodEntry(name="dummy", method="dummy")
        return self.model_copy(update={"methods": (dummy, *self.methods)})


def canonical_specs() -> dict[str, str]:
    """Return the title of each specification that comes with the package, by name."""
    folder = resources.files("xtalshift.benchmark") / "specs"
    files = sorted(item.name for item in folder.iterdir() if item.name.endswith(".toml"))
    return {
        name.removesuffix(".toml"): str(read_toml(Path(str(folder / name))).get("title", ""))
        for name in files
    }


def read_spec(name: str) -> tuple[dict[str, Any], Path]:
    """Return the plain values of a specification, and the folder that its plugins lie in.

    Parameters
    ----------
    name : str
        A TOML file, or the name of a specification that comes with the package.

    Raises
    ------
    ConfigError
        If there is neither.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return read_toml(path), path.parent
    known = canonical_specs()
    if name not in known:
        hint = near_miss(name, known)
        raise ConfigError(
            f"{name!r} is neither a TOML file nor a benchmark of the package{hint}. There is: "
            f"{', '.join(known)}"
        )
    folder = resources.files("xtalshift.benchmark") / "specs"
    return read_toml(Path(str(folder / f"{name}.toml"))), Path()
