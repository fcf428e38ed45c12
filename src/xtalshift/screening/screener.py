"""What a worker does: predict a block and return a part of the output and its best rows."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xtalshift.chem.composition_labels import composition_labels
from xtalshift.chem.compositions import Compositions
from xtalshift.chem.formulas import Notation
from xtalshift.data import RawTable
from xtalshift.data.arrow_texts import text_array
from xtalshift.data.files import STATED_FORMULA
from xtalshift.data.formula_texts import find_formulas
from xtalshift.data.materials import Materials
from xtalshift.data.sources import STRUCTURE_COLUMN, pack_table
from xtalshift.errors import XtalshiftError
from xtalshift.metrics.pareto import nondominated
from xtalshift.model.class_predictions import ClassPredictions
from xtalshift.model.predictions import Predictions
from xtalshift.screening.closer_look import CloserLook, admit_all
from xtalshift.screening.inputs import Block
from xtalshift.screening.settings import Group, ScreenSettings, TopSettings
from xtalshift.screening.top import (
    Ranking,
    chances,
    choose,
    goal_values,
    over_targets,
    rank_front,
    rank_rows,
    shortlist,
    with_ranks,
)

if TYPE_CHECKING:
    from xtalshift.chem.plausibility import Plausibility
    from xtalshift.model import FittedClassifier, FittedModel
    from xtalshift.model.several_tables import SeveralPredictor
    from xtalshift.model.table_predictor import TablePredictor

REFUSED = ("implausible", "above_hull")
COUNTS = ("rows", "ok", "errors", "duplicates", "in_domain", "clipped", *REFUSED)
"""What is counted in every block; `REFUSED`: rows that would have been in the table of the best."""
NEAREST = "nearest_known"
"""Column of the nearest training materials with their distances and values."""
PLAUSIBILITY = "plausibility"
PLAUSIBILITY_KINDS = {PLAUSIBILITY: float, "why": object}
"""Columns of `Plausibility`, as `enumerate` writes them."""
_DUPLICATE = "an earlier row has the same reduced formula"
_TEXT = ("status", "reason", "unseen_elements", "nearest_formula", "nearest_id")


@dataclass(frozen=True)
class ModelInfo:
    """What the driver, which does not load the model, needs to know about it."""

    notation: Notation
    """How formulas are read that can be read in two ways."""
    feature_cols: tuple[str, ...]
    """Columns that the model needs besides the formula."""
    added: tuple[str, ...]
    """Columns that it adds."""
    has_intervals: bool
    has_domain: bool
    """`has_intervals`, `has_domain`: whether it was calibrated, and saved with its domain."""
    one_width: bool
    """Whether its plain intervals all have the same width."""
    classes: tuple[str, ...] | None
    """Names of the classes of a model of classes."""
    said: tuple[str, ...]
    """Columns that only the best rows have: the nearest, and of the model of energies."""
    targets: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    """`targets`, `numbers`: names of the targets, if there are several; those that are numbers."""
    never_negative: dict[str, str] = field(default_factory=dict)
    """Columns of predictions of models without a negative training value; what they are of."""


@dataclass(frozen=True)
class Screened:
    """Result of a block."""

    counts: dict[str, int]
    """The numbers of `COUNTS`."""
    part: bytes | None = field(repr=False)
    """Its rows as a Parquet file, if any are written."""
    best: bytes | None = field(repr=False)
    """Its best rows as an Arrow stream, if a table of the best is wanted."""


@dataclass(frozen=True)
class PredictedBlock:
    """Predictions of a block of n rows, of which m are predicted."""

    columns: dict[str, NDArray[Any]]
    """Shape (n,). The columns of predictions."""
    ranks: dict[str, NDArray[np.float64]]
    """Shape (n,). What else rows are ranked by."""
    materials: Materials
    """Length m."""
    places: NDArray[np.int64]
    """Shape (n,). Where the material of each predicted row is."""

    @property
    def formulas(self) -> NDArray[np.object_]:
        """Formula of each row, shape (n,); ``""`` for a repeated one."""
        formulas = np.full(len(self.places), "", dtype=object)
        there = self.columns["status"] != "duplicate"
        formulas[there] = self.materials.formulas[self.places[there]]
        return formulas


def given_plausibility(top: TopSettings | None, columns: Iterable[str]) -> tuple[str, ...]:
    """Return the column of plausibilities of a table, if they are asked for and it has one."""
    wanted = top is not None and top.min_plausibility is not None
    return (PLAUSIBILITY,) if wanted and PLAUSIBILITY in columns else ()


def group_names(compositions: Compositions, by: Group) -> NDArray[np.object_]:
    """Return the chemical system or family of n readable compositions, shape (n,)."""
    labels = composition_labels(compositions, by)
    names = np.full(len(compositions), "", dtype=object)
    names[labels.rows] = np.array([*labels.names, ""], dtype=object)[labels.codes]
    return names


@dataclass(frozen=True)
class Sources:
    """What a screening loads."""

    model: Path
    """Folder of the model that predicts."""
    stability: Path | None = None
    """Folder of a model of formation energies."""
    stability_table: Path | None = None
    """Table of known formation energies."""

    def files(self) -> dict[str, bytes]:
        """Return the content of all files, for a machine that lacks them, by ``part/name``."""
        found = {
            f"model/{path.relative_to(self.model).as_posix()}": path for path in _files(self.model)
        }
        if self.stability is not None:
            found |= {f"stability/{path.name}": path for path in _files(self.stability)}
        if self.stability_table is not None:
            found[f"table/{self.stability_table.name}"] = self.stability_table
        return {name: path.read_bytes() for name, path in found.items()}

    @classmethod
    def unpacked(cls, files: Mapping[str, bytes], folder: Path) -> Self:
        """Write files into a folder, and return where they are."""
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        stability = folder / "stability"
        table = next(iter(_files(folder / "table")), None)
        return cls(folder / "model", stability if stability.exists() else None, table)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


class Screener:
    """A loaded model that predicts blocks.

    Its libraries are imported when it is made, so that the driver need not load them.

    Parameters
    ----------
    sources : Sources
        Saved models.
    settings : ScreenSettings
        Settings.

    Raises
    ------
    ModelFormatError
        If a model cannot be read.
    NotConformalizedError
        If the settings ask for intervals that the model does not have.
    ConfigError
        If the model of formation energies cannot be one.
    DataError
        If the table of formation energies cannot be read.
    """

    def __init__(self, sources: Sources, settings: ScreenSettings) -> None:
        from xtalshift.model import load_model, load_models
        from xtalshift.model.several_folder import holds_several
        from xtalshift.model.several_tables import SeveralPredictor
        from xtalshift.model.table_predictor import TablePredictor

        self.settings = settings
        self.predictor: TablePredictor | SeveralPredictor
        self._models: dict[str, FittedModel | FittedClassifier]
        how: Any = {"level": settings.level, "intervals": settings.intervals, "reading": settings}
        if holds_several(sources.model):
            several = load_models(sources.model, device=settings.device)
            self.predictor = SeveralPredictor.of(several, **how)
            self._models, self._added = {**several.models}, several.predicted_columns
        else:
            loaded = load_model(sources.model, device=settings.device)
            self.predictor = TablePredictor(loaded, **how)
            self._models, self._added = {"": loaded}, loaded.predicted_columns
        self._stability = None
        if sources.stability is not None:
            from xtalshift.model.stability import StabilityProxy

            self._stability = StabilityProxy.load(
                sources.stability,
                sources.stability_table,
                level=settings.level,
                device=settings.device,
            )

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], settings: ScreenSettings) -> Self:
        """Return a screener with the models of some files, for a machine that lacks its folders."""
        with TemporaryDirectory(prefix="xtalshift-") as folder:
            return cls(Sources.unpacked(files, Path(folder)), settings)

    @cached_property
    def info(self) -> ModelInfo:
        """Properties of the model."""
        from xtalshift.model import FittedModel

        models = list(self._models.values())
        model, several = models[0], tuple(filter(None, self._models))
        said = (NEAREST,) if model.domain is not None and len(models) == 1 else ()
        if self._stability is not None:
            from xtalshift.model.stability import STABILITY_KINDS

            said = (*STABILITY_KINDS, *said)
        return ModelInfo(
            self.predictor.notation,
            model.card.feature_cols,
            self._added,
            all(one.calibration is not None for one in models),
            all(one.domain is not None for one in models),
            isinstance(model, FittedModel) and model.one_width,
            None if isinstance(model, FittedModel) or several else model.classes,
            said,
            several,
            tuple(name for name in several if isinstance(self._models[name], FittedModel)),
            {
                f"prediction_{name}" if name else "prediction": one.card.target_name
                for name, one in self._models.items()
                if isinstance(one, FittedModel) and not one.may_be_negative
            },
        )

    def screen(self, block: Block) -> Screened:
        """Predict the rows of a block; an invalid formula becomes a row with a reason.

        Raises `DataError` if the block is malformed.
        """
        settings = self.settings
        formulas = find_formulas(
            block.layout.columns, settings, self.predictor.notation.amounts
        ).names
        given = given_plausibility(settings.top, block.layout.columns)
        table, rows = block.parse(dict.fromkeys([*formulas, *self.info.feature_cols, *given]))
        try:
            predicted = self.predict(rows, block)
        except XtalshiftError as error:
            raise type(error)(f"{block.where}: {error}") from error
        columns = predicted.columns
        if block.layout.kind == "structures":
            table = table.drop_columns([STRUCTURE_COLUMN])
        if predicted.materials.structures is not None:
            table = _with_formulas(table, predicted.formulas)
        for name, values in columns.items():
            table = table.append_column(_field(name, values, self._units), arrow_column(values))
        told = over_targets(columns, self.info.targets)
        status = told["status"]
        counts = {
            "rows": len(status),
            "ok": np.sum(status == "ok"),
            "errors": np.sum(status == "error"),
            "duplicates": np.sum(status == "duplicate"),
            "in_domain": np.sum(told["in_domain"]),
            "clipped": np.sum(told["n_clipped"] > 0),
        }
        part = best = None
        if settings.top is not None:
            found, refused = self._pick(table, rows, predicted, block, settings.top)
            best, counts = pack_table(found), {**counts, **refused}
        if settings.keep != "top":
            kept = table.filter(pa.array(status == "ok")) if settings.keep == "ok" else table
            part = parquet_bytes(kept)
        return Screened({name: int(counts.get(name, 0)) for name in COUNTS}, part, best)

    @cached_property
    def _units(self) -> dict[str, str]:
        return self.predictor.units()

    def predict(self, rows: RawTable, block: Block) -> PredictedBlock:
        """Return the predictions of a block; repeated rows have the status ``"duplicate"``."""
        top = self.settings.top
        fresh = np.ones(block.rows, np.bool_) if block.repeated is None else ~block.repeated
        materials = self.predictor.read(
            rows if fresh.all() else rows.take(fresh), block.layout.source
        )
        found = self.predictor.predict_materials(materials)
        columns = found.columns()
        single = isinstance(found, Predictions | ClassPredictions)
        ranks = chances(found, top) if top is not None and single else {}
        if not fresh.all():
            columns, ranks = (
                {name: _spread(values, name, fresh) for name, values in part.items()}
                for part in (columns, ranks)
            )
        return PredictedBlock(columns, ranks, materials, np.cumsum(fresh) - 1)

    def _pick(
        self,
        table: pa.Table,
        rows: RawTable,
        predicted: PredictedBlock,
        block: Block,
        top: TopSettings,
    ) -> tuple[pa.Table, dict[str, int]]:
        """Return the best rows of a block, and how many rows were refused for which reason."""
        columns = {**predicted.columns, **predicted.ranks}
        limits = (top.diverse, top.min_plausibility, top.max_above_hull)
        if top.goals is not None:
            ranking = rank_front(columns, top, self.info.targets)
        else:
            ranking = rank_rows(columns, top, block.floor)
            if limits == (None, None, None):
                ranking = ranking.take(np.arange(min(len(ranking.rows), top.k)))
        materials = predicted.materials.take(predicted.places[ranking.rows])
        looks = self._looks(materials, rows, ranking, top)
        groups = None
        if top.diverse is not None:
            groups = group_names(materials.compositions, top.diverse)
        values = None
        if top.goals is not None:
            values = goal_values(columns, top, self.info.targets)[ranking.rows]

        def pick(left: NDArray[np.int64]) -> NDArray[np.int64]:
            if values is not None:
                return left[nondominated(values[left])]
            own = None if groups is None else groups[left]
            return left[shortlist(own, len(left), top)]

        chosen = choose(pick, len(ranking.rows), partial(admit_all, looks))
        best = with_ranks(table, ranking.take(chosen), block.first)
        said: dict[str, NDArray[Any]] = {}
        if top.diverse is not None and groups is not None:
            said[top.diverse] = groups[chosen]
        for look in looks:
            said |= look.columns(chosen)
        for name, values in said.items():
            best = best.append_column(_field(name, values, {}), arrow_column(values))
        return best, {look.refusal: look.refused for look in looks if look.refusal}

    def _looks(
        self, materials: Materials, rows: RawTable, ranking: Ranking, top: TopSettings
    ) -> list[CloserLook]:
        """Return what is found out about rows, given best first, that may enter the table."""
        looks = []
        least, most = top.min_plausibility, top.max_above_hull
        if least is not None:
            looks.append(self._plausibility_look(materials, rows, ranking, least))
        if self._stability is not None:
            from xtalshift.model.stability import ABOVE_HULL, STABILITY_KINDS

            proxy = self._stability
            looks.append(
                CloserLook(
                    lambda places: proxy.columns(materials.take(places)),
                    STABILITY_KINDS,
                    None if most is None else (lambda found: found[ABOVE_HULL] <= most),
                    "above_hull",
                )
            )
        if NEAREST in self.info.said:
            looks.append(
                CloserLook(
                    lambda places: {NEAREST: self._nearest(materials.take(places))},
                    {NEAREST: object},
                )
            )
        return looks

    def _nearest(self, materials: Materials) -> NDArray[np.object_]:
        """Return the three nearest training materials of each row as text."""
        (model,) = self._models.values()
        assert model.domain is not None
        texts = np.empty(len(materials), dtype=object)
        found = model.domain.reasons(
            model.features_of(materials), targets=model.shown_targets(model.domain)
        )
        for row, reasons in enumerate(found):
            texts[row] = ", ".join(map(str, reasons.nearest))
        return texts

    def _plausibility_look(
        self, materials: Materials, rows: RawTable, ranking: Ranking, least: float
    ) -> CloserLook:
        def judge(places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
            compositions = materials.take(places).compositions
            values = self._plausibility.limit(compositions)
            reasons = np.full(len(places), "no frequent ions or too few analogues", dtype=object)
            near = np.flatnonzero(values >= least)  # what cannot reach it needs no ions
            values[near], reasons[near] = self._plausibility.judge(compositions.take(near))
            return {PLAUSIBILITY: values, "why": reasons}

        find, kinds = judge, PLAUSIBILITY_KINDS
        if PLAUSIBILITY in rows.frame.columns:
            given = rows.numbers(PLAUSIBILITY)[0][ranking.rows]
            find, kinds = (lambda places: {PLAUSIBILITY: given[places]}), {}
        return CloserLook(find, kinds, lambda found: found[PLAUSIBILITY] >= least, "implausible")

    @cached_property
    def _plausibility(self) -> Plausibility:
        from xtalshift.chem.plausibility import KNOWN, Plausibility
        from xtalshift.data import read_table

        return Plausibility(read_table(KNOWN, need_target=False).materials.compositions)


def _with_formulas(table: pa.Table, formulas: NDArray[np.object_]) -> pa.Table:
    """Return a table with the formulas of its structures, as `RawTable.shown` does."""
    column = text_array(formulas.tolist())
    if "formula" not in table.column_names:
        return table.append_column("formula", column)
    if STATED_FORMULA not in table.column_names:
        table = table.append_column(STATED_FORMULA, table.column("formula"))
    return table.set_column(table.column_names.index("formula"), "formula", column)


def _spread(values: NDArray[Any], name: str, fresh: NDArray[np.bool_]) -> NDArray[Any]:
    fill: Any = {"f": np.nan, "b": False, "i": 0, "u": 0}.get(values.dtype.kind, "")
    fill = {"status": "duplicate", "reason": _DUPLICATE}.get(name, fill)
    spread = np.full(len(fresh), fill, dtype=values.dtype)
    spread[fresh] = values
    return np.ma.masked_equal(spread, 0) if isinstance(values, np.ma.MaskedArray) else spread


def _field(name: str, values: NDArray[Any], units: Mapping[str, str]) -> pa.Field:
    kinds = {"f": pa.float64(), "b": pa.bool_(), "i": pa.int64()}
    kind = kinds.get(values.dtype.kind, pa.string())
    return pa.field(name, kind, metadata={"unit": units[name]} if name in units else None)


def arrow_column(values: NDArray[Any]) -> pa.Array:
    """Return a column of predictions as an Arrow array."""
    return text_array(values.tolist()) if values.dtype.kind == "O" else pa.array(values)


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file; equal tables give equal bytes."""
    sink = io.BytesIO()
    # dictionaries only where values repeat: building them for others takes half of the time
    repeating = [name for name in _TEXT if name in table.column_names]
    pq.write_table(table, sink, compression="zstd", use_dictionary=repeating)
    return sink.getvalue()
