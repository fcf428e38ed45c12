"""The settings of a benchmark, which a TOML file holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from xtalshift.benchmark.plugins import own_files, own_methods, registered_name, shown_name
from xtalshift.config import Settings, read_toml
from xtalshift.data.settings import DataConfig, FidelityConfig
from xtalshift.errors import ConfigError
from xtalshift.featurize.blocks import Blocks, combine, split_blocks
from xtalshift.methods import METHODS, MethodSettings
from xtalshift.methods.registry import USUAL, refuse_tobit
from xtalshift.metrics import Side
from xtalshift.registry import near_miss
from xtalshift.splits import SPLITTERS

DATA_FOLDER = "XTALSHIFT_DATA"


def _check_budgets(budgets: tuple[int, ...]) -> tuple[int, ...]:
    if any(budget < 1 for budget in budgets):
        raise ValueError("label budgets are at least 1")
    return tuple(sorted(set(budgets)))


def _check_blocks(features: Blocks) -> Blocks:
    split_blocks(combine(features, USUAL))  # raises with the names
    return features


Budgets = Annotated[tuple[int, ...], AfterValidator(_check_budgets)]
KnownBlocks = Annotated[Blocks, AfterValidator(_check_blocks)]


class BenchmarkData(DataConfig):
    """One table; splits and audits use its `features`."""

    features: KnownBlocks | None = None
    sample: int | None = Field(default=None, ge=50)
    """Number of rows to draw at random, the same for every seed; by default all."""
    flag: str | None = None
    """Column of flags; one flagged row flags its formula, also after merging."""
    catalogue: str | None = None
    """Data set of the catalogue with the same rows, for use if ``$XTALSHIFT_DATA`` is not set."""
    encoder: str | None = None
    """Folder of the encoder of the block ``pretrained`` for this table, such as one that has seen
    none of its formulas, see ``xtalshift pretrain --without``; by default that of the package."""
    cuts: tuple[float, ...] = ()
    cut_names: tuple[str, ...] = ()
    ordered: bool = False
    """`cuts`, `cut_names`, `ordered`: make classes of a number, see
    `xtalshift.data.cut_classes.cut_classes`."""
    fidelity: FidelityConfig = FidelityConfig()
    """Rows of two fidelities: one is predicted and divided into folds, the other one trains every
    method, see `xtalshift.model.fidelities.fit_fidelities`."""
    targets: dict[str, str] = Field(default_factory=dict)
    """All targets of the table with their units, for methods that learn them together."""
    beside: tuple[str, ...] = ()
    """Names of other tables of the benchmark, whose targets such methods learn together with this
    one: of its training materials, and of those that it does not have."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.fidelity.column is not None and (self.cuts or self.targets or self.beside):
            raise ValueError(
                "rows of two fidelities have one target, which is a number: leave out cuts, "
                "several targets or --fidelity-col"
            )
        if self.targets and self.beside:
            raise ValueError("targets are those of one table, beside those of several; give one")
        return self

    def resolve(self) -> Self:
        """Return the settings with ``$XTALSHIFT_DATA`` in `dataset` replaced by that folder.

        If the variable is not set, `dataset` is that of the catalogue.

        Raises
        ------
        ConfigError
            If the variable is needed, not set, and there is no data set of the catalogue.
        """
        if not self.dataset.startswith(f"${DATA_FOLDER}"):
            return self
        folder = os.environ.get(DATA_FOLDER)
        if not folder and self.catalogue:
            return self.model_copy(update={"dataset": self.catalogue})
        if not folder:
            raise ConfigError(
                f"{self.dataset} needs the environment variable {DATA_FOLDER}, which is not set; "
                "set it to the folder of the tables, or name another file or data set with --set "
                "data.NAME.dataset=..."
            )
        path = folder.rstrip("/") + self.dataset.removeprefix(f"${DATA_FOLDER}")
        return self.model_copy(update={"dataset": path})


class BenchmarkSplit(Settings):
    """How rows are held out."""

    scheme: str
    params: dict[str, Any] = Field(default_factory=dict)
    """`scheme`, `params`: as in `xtalshift.splits.split_spec.SplitSpec`. Files may start with
    ``$XTALSHIFT_DATA``."""
    data: tuple[str, ...] = ()
    """Names of the tables that it applies to; empty: all."""
    max_folds: int | None = Field(default=None, ge=1)
    """Largest number of folds; the first ones are used."""
    max_train_rows: int | None = Field(default=None, ge=50)
    """Largest number of training rows (with those for validation), drawn at random by each seed
    after the ID test rows; to see what a method needs."""
    known_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of the training rows whose target is known, drawn by each seed; of the others only the
    targets of tables `beside`, for methods that learn them together."""
    budgets: Budgets | None = None
    validation_share: float | None = Field(default=None, ge=0, lt=1)
    id_share: float | None = Field(default=None, ge=0, lt=1)
    """`budgets`, `validation_share`, `id_share`: replace those of the benchmark."""
    min_distance: float | None = Field(default=None, gt=0, le=1)
    """Training rows within this composition distance of a test row are removed."""
    tail: Side | None = None
    """Replaces that of the benchmark."""

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
        """Return the settings with ``$XTALSHIFT_DATA`` in parameters replaced by that folder."""
        params = {
            key: BenchmarkData(dataset=value).resolve().dataset
            if isinstance(value, str) and value.startswith(f"${DATA_FOLDER}")
            else value
            for key, value in self.params.items()
        }
        return self.model_copy(update={"params": params})


class MethodEntry(Settings):
    """One method of a benchmark, which is one row of its tables."""

    name: str
    """Name in tables."""
    method: str
    """Key of `xtalshift.methods.METHODS`, or ``FILE.py:NAME``: an estimator in a file of one's own,
    or a function that returns one."""
    features: KnownBlocks | None = None
    """Features to use; by default those that the method needs, else all of the benchmark."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the regressor, see `xtalshift.methods.registry.override`."""

    @property
    def own_features(self) -> Blocks | None:
        """Features that the entry names, or that its method needs or usually gets, if any."""
        method = METHODS[self.method]
        usual = method.features or method.usual_features
        return usual if self.features is None else combine(self.features, usual or USUAL)

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: Any) -> Any:
        """Read ``"ridge@fractions"``: a method and its features."""
        if isinstance(value, str):
            method, at, features = value.partition("@")
            name = f"{shown_name(method)}{at}{features}"
            return {"name": name, "method": method, "features": features or None}
        if isinstance(value, dict) and "method" not in value and "name" in value:
            return {**value, "name": shown_name(value["name"]), "method": value["name"]}
        return value


class PublishedError(Settings):
    """An error that others published for a split; the report shows it beside the measured ones."""

    data: str
    split: str
    """`data`, `split`: names in the specification."""
    method: str
    """As published, with what it sees where that is not the composition alone."""
    mae: float = Field(gt=0)
    """Mean absolute error in the unit of the target, mean over the folds."""
    source: str
    """Where it was published."""


class TuningConfig(Settings):
    """Choice of arguments by validation error, with the same number of trials for every method."""

    trials: int = Field(default=0, ge=0, le=1000)
    """Trainings per task, the first with the default arguments; 0: no tuning."""


class BenchmarkSpec(MethodSettings):
    """All settings of ``xtalshift benchmark``."""

    title: str = ""
    """One line for the report."""
    data: dict[str, BenchmarkData] = Field(min_length=1)
    """Tables by name."""
    features: tuple[KnownBlocks, ...] = Field(default=("magpie",), min_length=1)
    """Features of all methods that do not name their own."""
    splits: dict[str, BenchmarkSplit] = Field(default_factory=dict)
    """Splits by name."""
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    """Names such as ``"ridge"`` and ``"ridge@fractions"``, or tables with ``name``, ``method``,
    ``features`` and ``params``. The dummy is always added."""
    seeds: int = Field(default=3, ge=1, le=1000)
    """Number of seeds; each draws its own ID test rows, validation rows, target labels and random
    splits."""
    seed: int = Field(default=0, ge=0)
    """The first seed."""
    budgets: Budgets = ()
    """Numbers of target labels; methods that use labels run once for each."""
    id_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training rows that become ID test rows."""
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the remaining rows for model selection, if the scheme has no validation rows."""
    tail: Side = "high"
    """The side on which targets count as extreme, ``high`` or ``low``."""
    minutes: float | None = Field(default=None, gt=0)
    """Wall minutes that each fit of a stack may take; its numbers then depend on the machine."""
    joint: bool = False
    """Whether to train once on the rows outside all held-out sets, instead of once per split (the
    protocol of arXiv:2408.09297); all splits then share the ID test rows."""
    id_name: str = "random"
    """Name of the ID test rows in a joint benchmark."""
    audit: bool = True
    """Whether to audit the splits."""
    plugins: tuple[str, ...] = ()
    """Python files that register your own methods, relative to the specification, as are those of
    the methods ``FILE.py:NAME``."""
    published: tuple[PublishedError, ...] = ()
    """Published errors on the same rows."""
    tuning: TuningConfig = TuningConfig()
    """Tuning, off by default; methods with nothing to tune are trained once."""

    @property
    def all_plugins(self) -> tuple[str, ...]:
        """The files of `plugins` and of the methods ``FILE.py:NAME``."""
        named = own_files(entry.method for entry in self.methods)
        return tuple(dict.fromkeys((*self.plugins, *named)))

    @property
    def own_methods(self) -> tuple[str, ...]:
        """Those methods ``FILE.py:NAME``, as they are registered."""
        return own_methods(entry.method for entry in self.methods)

    @property
    def all_seeds(self) -> range:
        """The seeds."""
        return range(self.seed, self.seed + self.seeds)

    def only(self, tables: Sequence[str]) -> Self:
        """Return the benchmark of some of its tables, with the splits that apply to them.

        Raises
        ------
        ConfigError
            If a table is unknown, or no split is left.
        """
        for name in tables:
            if name not in self.data:
                hint = near_miss(name, self.data)
                raise ConfigError(
                    f"the benchmark has no table {name!r}{hint}; it has {', '.join(self.data)}"
                )
        splits = {}
        for name, split in self.splits.items():
            named = tuple(one for one in split.data if one in tables)
            if named or not split.data:
                splits[name] = split.model_copy(update={"data": named})
        if self.splits and not splits:
            raise ConfigError(f"no split of the benchmark applies to {', '.join(tables)}")
        for name in tables:
            if missing := [one for one in self.data[name].beside if one not in tables]:
                raise ConfigError(
                    f"the table {name!r} is learned beside {', '.join(missing)}; name these too"
                )
        changes = {
            "data": {name: one for name, one in self.data.items() if name in tables},
            "splits": splits,
            "published": tuple(
                one for one in self.published if one.data in tables and one.split in splits
            ),
        }
        return self.model_copy(update=changes)

    @model_validator(mode="after")
    def _check_data(self) -> Self:
        if not self.splits and not self.joint:
            raise ValueError("name at least one split")
        for name, split in self.splits.items():
            for data in split.data:
                if data not in self.data:
                    hint = near_miss(data, self.data)
                    raise ValueError(
                        f"split {name!r} is for the table {data!r}, which does not exist{hint}"
                    )
            for setting in ("max_train_rows", "known_share"):
                if self.joint and getattr(split, setting) is not None:
                    raise ValueError(
                        f"split {name!r} sets {setting}, but one training serves all splits of a "
                        "joint benchmark"
                    )
            if self.joint and split.tail not in {None, self.tail}:
                raise ValueError(
                    f"split {name!r} sets tail = {split.tail!r}, but the splits of a joint "
                    "benchmark share it; set it for the benchmark"
                )
        for one in self.published:
            if one.data not in self.data or one.split not in self.splits:
                raise ValueError(
                    f"the published error of {one.method!r} is for {one.data}/{one.split}, which "
                    "does not exist"
                )
        return self

    @model_validator(mode="after")
    def _check_beside(self) -> Self:
        for name, table in self.data.items():
            for other in table.beside:
                if other == name or other not in self.data:
                    hint = near_miss(other, self.data)
                    raise ValueError(
                        f"the table {name!r} is beside {other!r}, which is no other table of the "
                        f"benchmark{hint}"
                    )
                if self.data[other].cuts or self.data[other].fidelity.column is not None:
                    raise ValueError(
                        f"the table {name!r} is beside {other!r}, whose targets are classes or of "
                        "two fidelities; targets that are learned together are numbers"
                    )
        return self

    def check_methods(self) -> Self:
        """Return the settings with the dummy first; call it after plugins registered their methods.

        The methods ``FILE.py:NAME`` have the name under which they are registered, without folder,
        and their files are among `plugins`.

        Raises
        ------
        NotFoundError
            If a method is unknown; the message lists all methods.
        ConfigError
            If a method uses target labels and there are no budgets, or it cannot use the features.
        """
        methods = tuple(
            entry.model_copy(update={"method": registered_name(entry.method)})
            for entry in self.methods
        )
        for entry in methods:
            method = METHODS[entry.method]
            budgets = self.budgets or [b for one in self.splits.values() for b in one.budgets or ()]
            if method.target_access == "labels" and not budgets:
                raise ConfigError(
                    f"method {entry.name!r} uses target labels, but there are no budgets; add "
                    "budgets = [64], or leave the method out"
                )
            needed = set(split_blocks(method.features)) if method.features else set()
            if not needed <= set(split_blocks(entry.own_features or USUAL)):
                raise ConfigError(
                    f"method {entry.name!r} needs features {method.features}, not {entry.features}"
                )
            if any(data.bounds == "tobit" for data in self.data.values()):
                refuse_tobit(entry.method)
        if all(entry.method != "dummy" for entry in methods):
            methods = (MethodEntry(name="dummy", method="dummy"), *methods)
        return self.model_copy(update={"methods": methods, "plugins": self.all_plugins})


def canonical_specs() -> dict[str, str]:
    """Return the title of each specification that comes with the package, by name."""
    folder = resources.files("xtalshift.benchmark") / "specs"
    files = sorted(item.name for item in folder.iterdir() if item.name.endswith(".toml"))
    return {
        name.removesuffix(".toml"): str(read_toml(Path(str(folder / name))).get("title", ""))
        for name in files
    }


def read_spec(name: str) -> tuple[dict[str, Any], Path]:
    """Return the plain values of a specification, and the folder of its plugins.

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
            f"{name!r} is neither a TOML file nor a benchmark of the package{hint}. Known: "
            f"{', '.join(known)}"
        )
    folder = resources.files("xtalshift.benchmark") / "specs"
    return read_toml(Path(str(folder / f"{name}.toml"))), Path()
