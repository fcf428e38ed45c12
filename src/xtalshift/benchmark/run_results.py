"""``results.json`` of a run as typed records."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xtalshift.benchmark.answer import Answer, ClassAnswer
from xtalshift.benchmark.choice import Choice
from xtalshift.benchmark.explanation import Explanation
from xtalshift.benchmark.measures import Errors
from xtalshift.benchmark.records import READABLE_VERSIONS, RESULTS_FILE, SCHEMA_VERSION
from xtalshift.data import CleaningReport
from xtalshift.data.dataset import DatasetDescription
from xtalshift.errors import DataError
from xtalshift.featurize.pretrained import Overlap
from xtalshift.jsonio import Plain, parse, read_object
from xtalshift.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class Record(Errors):
    """Scores of one method on one set of test rows for one seed; errors in the target's unit.

    Those of a target that is a class begin with `log_loss`, see
    `xtalshift.benchmark.records.Score`.

    The measures of `TAIL_MEASURES` say whether extreme materials are found among all test rows of a
    split, `n_tail` of them; records of the ID rows of an OOD split have none.
    """

    method: str
    split: str
    role: str
    seed: int
    n: int | None = None
    rmse: float | None = None
    r2: float | None = None
    spearman: float | None = None
    rmse_over_dummy: float | None = None
    coverage_90: float | None = None
    median_width_90: float | None = None
    n_tail: int | None = None
    tail_recall: float | None = None
    tail_precision: float | None = None
    tail_enrichment: float | None = None
    top5_recall: float | None = None
    top5_enrichment: float | None = None
    regret: float | None = None
    regret_over_range: float | None = None
    top30_precision: float | None = None
    top30_precision_weighted: float | None = None
    balanced_accuracy_dummy: float | None = None
    seconds: float | None = None
    status: str = "ok"
    reason: str | None = None


@dataclass(frozen=True)
class Split:
    """One set of test rows and how many rows its training had; `fit` names the training."""

    name: str
    role: str
    seed: int = 0
    fit: str | None = None
    description: str | None = None
    n_train: int | None = None
    n_val: int | None = None
    n_test: int | None = None
    n_bounded: int = 0
    """Further rows that were held out, of which only bounds of the target are known (``<4.2``), so
    that they have no error."""
    n_seen: int | None = None
    """Test rows whose formula a pretrained encoder has seen, with other properties or this one.
    None if no method uses one."""


@dataclass(frozen=True)
class History:
    """Values that one training recorded in each epoch."""

    method: str
    split: str
    seed: int
    best_epoch: int | None = None
    epochs: tuple[dict[str, int | float | str | None], ...] = ()


@dataclass(frozen=True)
class Model:
    """The saved model, the rows that it was fitted to, and the choice of its method."""

    method: str
    seed: int | None = None
    rule: str | None = None
    """How its method was chosen."""
    unsaved: str | None = None
    """A method with a smaller error that cannot be saved, if there is one."""
    n_rows: int | None = None
    n_train: int | None = None
    n_validation: int | None = None
    n_calibration: int | None = None
    """`n_rows`, `n_train`, `n_validation`, `n_calibration`: usable rows of the table; rows that
    were fitted; rows that selected parameters only; rows that calibrated intervals only. None in
    folders of earlier versions, whose model had not seen the test rows."""
    calibration: str | None = None
    n_calibrated: int = 0
    """`calibration`, `n_calibrated`: where the scores of its intervals come from, and their
    number."""
    beside: str = ""
    """What it has learned from beside the rows of the table: a cheaper fidelity, other targets."""
    members: tuple[Plain, ...] = ()
    """Members of a stack."""
    choice: Choice | None = None
    """The errors that chose its method."""
    failure: str | None = None
    """Why the method that was chosen could not be fitted to all rows; there is no model then."""


@dataclass(frozen=True, kw_only=True)
class RunProvenance(Provenance):
    """Provenance of a run, with its table."""

    data: DatasetDescription = field(default_factory=DatasetDescription)


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """Content of ``results.json``, with at least one record and one split."""

    schema_version: int = SCHEMA_VERSION
    config: Plain = field(default_factory=dict)
    provenance: RunProvenance = field(default_factory=RunProvenance)
    intake: CleaningReport | None = None
    pretrained: Overlap | None = None
    """How many materials of the table a pretrained encoder has seen; None if none is used."""
    known_target: tuple[str, ...] = ()
    """Why the splits are no test of features of a pretrained potential."""
    splits: tuple[Split, ...]
    model: Model | None = None
    answer: Answer | None = None
    """What to believe about the candidates, if there are some."""
    class_answer: ClassAnswer | None = None
    """The same of a target that is a class."""
    explanation: Explanation | None = None
    """What explains the errors of its method; None in folders of earlier versions."""
    records: tuple[Record, ...]
    histories: tuple[History, ...] = ()

    @property
    def n_seeds(self) -> int:
        """Number of seeds that have a record."""
        return len({record.seed for record in self.records})

    @property
    def target(self) -> str:
        """Name of the target."""
        return self.provenance.data.target or "target"

    @property
    def unit(self) -> str:
        """Unit of the target; may be empty."""
        return self.provenance.data.unit or ""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes, if the target is one."""
        return self.provenance.data.classes

    @property
    def error_name(self) -> str:
        """The error that ranks methods."""
        return "mean absolute error" if self.classes is None else "log loss"

    @property
    def transform(self) -> str:
        """Transform of the target in training, see `xtalshift.data.transform.TargetTransform`."""
        data = self.config.get("data")
        name = data.get("transform") if isinstance(data, dict) else None
        return name if isinstance(name, str) else "none"


def read_results(folder: Path) -> RunResults:
    """Read ``results.json`` of a run.

    Raises
    ------
    DataError
        If the file is missing, is not JSON, has another schema version, or has no records.
    """
    path = folder / RESULTS_FILE
    values = read_object(path, "run")
    version = values.get("schema_version")
    if version not in READABLE_VERSIONS:
        known = " and ".join(str(one) for one in READABLE_VERSIONS)
        raise DataError(
            f"{path} has schema_version {version!r}, but this version reads {known}; repeat the "
            "run with this version"
        )
    for key in ("records", "splits"):
        if not values.get(key):
            raise DataError(f"{path} has no {key!r}: the run stopped before its first result")
    held = {key: value for key, value in values.items() if value is not None}
    held.setdefault("intake", held.get("cleaning"))  # its name in version 1
    return parse(RunResults, held, path)
