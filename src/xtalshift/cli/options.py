"""Options that several commands share, and how they become one configuration."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from xtalshift.errors import UsageError
from xtalshift.featurize.blocks import BLOCKS
from xtalshift.parallel import check_count, count_cores
from xtalshift.uncertainty.settings import LEVEL

if TYPE_CHECKING:
    from xtalshift.config import Settings
    from xtalshift.jobs.run_settings import RunConfig
    from xtalshift.metrics.classification import ClassificationScores
    from xtalshift.model import FittedClassifier, FittedModel, FittedModels

_DATA = "Data"
_READING = "How the table is read"
_TRAINING = "Training"
RUN = "How it runs"
FEATURES = f"{' | '.join(BLOCKS)}; several are joined by +."
MODEL = "Folder of a saved model, or name of a ready one ('xtalshift models list')."

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="TOML file of settings.", metavar="FILE")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting, such as erm.epochs=20.", metavar="NAME=VALUE"),
]
Table = Annotated[
    str | None,
    typer.Argument(
        help="File, or name of a data set ('xtalshift datasets list').", metavar="TABLE"
    ),
]
Dataset = Annotated[
    str | None, typer.Option(help="The same as TABLE.", metavar="TABLE", rich_help_panel=_DATA)
]
Target = Annotated[
    str | None, typer.Option(help="Column to predict.", rich_help_panel=_DATA, metavar="COL")
]
IdCol = Annotated[
    str | None, typer.Option(help="Column of ids.", rich_help_panel=_DATA, metavar="COL")
]
WeightCol = Annotated[
    str | None,
    typer.Option(
        help="Column of weights: how much each row counts in the fit.",
        rich_help_panel=_DATA,
        metavar="COL",
    ),
]
UncertaintyCol = Annotated[
    str | None,
    typer.Option(
        help="Column of the standard deviation of each measured target, in its unit; replicates: "
        "the scatter of rows of one material.",
        rich_help_panel=_DATA,
        metavar="COL",
    ),
]
Unit = Annotated[
    str | None,
    typer.Option(
        help="Unit of the target; of several: GPa,GPa,eV, or of some: gap=eV.",
        rich_help_panel=_DATA,
    ),
]
Targets = Annotated[
    str | None,
    typer.Option(
        help="Column to predict, or several: bulk,shear,gap (rows may lack some). Put double "
        "quotes around a name with a comma.",
        rich_help_panel=_DATA,
        metavar="COL[,COL]",
    ),
]
FeatureCols = Annotated[
    list[str] | None,
    typer.Option(
        help="Extra numeric columns to use as features: temperature,pressure. Put double quotes "
        "around a name with a comma: '\"T, K\",pressure'. Repeatable.",
        rich_help_panel=_DATA,
        metavar="COLS",
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        help=f"{FEATURES} Default: magpie, or those of the method.", rich_help_panel=_DATA
    ),
]
Transform = Annotated[
    str | None,
    typer.Option(
        help="Transform of the target: none (default) | log | log1p | asinh | clip.",
        rich_help_panel=_DATA,
    ),
]
Duplicates = Annotated[
    str | None,
    typer.Option(
        help="Rows with the same formula: mean (default) | median | lowest | highest | keep.",
        rich_help_panel=_DATA,
    ),
]
Bounds = Annotated[
    str | None,
    typer.Option(
        help="Targets such as <4.2 and 19-21: drop (default) such rows | use what they say | tobit "
        "(in the loss of a network or of lightgbm).",
        rich_help_panel=_DATA,
    ),
]
FidelityCol = Annotated[
    str | None,
    typer.Option(
        help="Column that says how each value was found (measured, computed): learn from both "
        "kinds to predict one.",
        rich_help_panel=_DATA,
        metavar="COL",
    ),
]
Fidelity = Annotated[
    str | None,
    typer.Option(
        help="Value of --fidelity-col to predict, and the one to learn from beside it: "
        "measured,computed. Default: a word for measured values, or the rarest.",
        rich_help_panel=_DATA,
        metavar="VALUE[,OTHER]",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="What the target is: auto (default: words, booleans, 0 and 1 are classes) | "
        "regression | classification | ordinal.",
        rich_help_panel=_DATA,
        metavar="NAME",
    ),
]
ClassOrder = Annotated[
    str | None,
    typer.Option(
        help="All classes of an ordinal target, the lowest first: low,middle,high.",
        rich_help_panel=_DATA,
        metavar="A,B,C",
    ),
]
Strict = Annotated[
    bool | None,
    typer.Option("--strict", help="Fail at an unusable row.", rich_help_panel=_DATA),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Seed (default 0).", min=0, max=2**31 - 1, rich_help_panel=_TRAINING),
]
Device = Annotated[
    str | None, typer.Option(help="auto (default) | cpu | cuda ...", rich_help_panel=_TRAINING)
]
Threads = Annotated[
    int | None,
    typer.Option(
        help="Threads (default: all cores).",
        callback=lambda given: given if given is None else check_count(given, "threads"),
        rich_help_panel=_TRAINING,
    ),
]
Level = Annotated[
    float, typer.Option(help="Share of the true values that intervals should contain.")
]
Executor = Annotated[str, typer.Option(help="local | ray.", rich_help_panel=RUN, metavar="NAME")]
Address = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster: auto or HOST:PORT (default: Ray on this machine).", rich_help_panel=RUN
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue (the same command always does); an error if there is nothing to continue.",
        rich_help_panel=RUN,
    ),
]

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is at -o.", rich_help_panel=RUN)
]
OverwriteTable = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace any file (without it: only an earlier output of this command).",
        rich_help_panel=RUN,
    ),
]

Reading: TypeAlias = Mapping[str, object]
"""Those options of `reads_table`, `reads_targets` or `reads_labels` that were given."""


def _reading(text: str, metavar: str, kind: Any = str) -> Any:
    option = typer.Option(help=text, rich_help_panel=_READING, metavar=metavar)
    return Annotated[kind | None, option]


_READING_OPTIONS = {
    "formula_col": _reading("Column of formulas.", "COL"),
    "structure_col": _reading(
        "Column of crystal structures: CIF, POSCAR or JSON text, or names of files.", "COL"
    ),
    "structures": _reading(
        "Folder or archive of the structure files that the column of ids names, also that of "
        "further tables of the command.",
        "DIR",
    ),
    "composition_columns": _reading(
        "One column for each element instead of formulas: Fe,Cr,Ni, or auto (default). Repeatable.",
        "COLS",
        list[str],
    ),
    "amounts": _reading("Numbers of alloys and mixtures (Ti-6Al-4V): at | wt | mol.", "UNIT"),
    "hydrates": _reading("Hydrates (CuSO4*5H2O): refuse (default) | expand.", "NAME"),
    "separator": _reading("Between cells: comma | semicolon | tab | pipe.", "NAME"),
    "decimal": _reading("Decimal mark of numbers: . or ,", "MARK"),
    "thousands": _reading("Mark between thousands: , or . or ' or a space.", "MARK"),
    "encoding": _reading("Encoding of a text file: utf-8, cp1252, gbk ...", "NAME"),
    "sheet": _reading("Sheet of an Excel file.", "NAME"),
}


_TASK_OPTIONS = {"task": Task, "class_order": ClassOrder}


_LABEL_OPTIONS = {
    "target": Target,
    "id_col": IdCol,
    "weight_col": WeightCol,
    "uncertainty_col": UncertaintyCol,
    "unit": Unit,
    "duplicates": Duplicates,
    "strict": Strict,
}


def reads_table(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of reading a table to a command, which gets those given as `reading`."""
    return _add_options(command, "reading", _READING_OPTIONS)


def reads_targets(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of reading a table with targets, which the command gets as `reading`."""
    return _add_options(command, "reading", {**_READING_OPTIONS, **_TASK_OPTIONS})


def reads_labels(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a table of labels to a command, which gets those given as `labels`."""
    return _add_options(command, "labels", {**_LABEL_OPTIONS, **_READING_OPTIONS})


def _add_options(
    command: Callable[..., None], argument: str, options: Mapping[str, Any]
) -> Callable[..., None]:
    """Add options to a command, which gets those given as a mapping in one argument."""
    own = inspect.signature(command, eval_str=True)
    optional = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(name, optional, default=None, annotation=kind)
        for name, kind in options.items()
    ]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in options}
        given["composition_columns"] = join_lists(given["composition_columns"])
        found = {name: value for name, value in given.items() if value is not None}
        command(**arguments, **{argument: found})

    kept = [one for name, one in own.parameters.items() if name != argument]
    wrapper.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    return wrapper


def in_data(reading: Reading) -> dict[str, object]:
    """Return the options of reading as settings of the group `data`."""
    return {f"data.{name}": value for name, value in reading.items()}


S = TypeVar("S", bound="Settings")


def build_config(
    file: Path | None, assignments: list[str] | None, flags: Mapping[str, object]
) -> RunConfig:
    """Return the settings of a run, see `build_settings`; threads are all cores by default."""
    from xtalshift.jobs.run_settings import RunConfig

    config = build_settings(RunConfig, file, assignments, flags)
    threads = check_count(config.threads or count_cores(), "threads")
    return config.model_copy(update={"threads": threads})


def build_settings(
    kind: type[S], file: Path | None, assignments: list[str] | None, flags: Mapping[str, object]
) -> S:
    """Merge a file, ``--set`` and flags, in this order; later values win.

    Parameters
    ----------
    kind : type of Settings
        Class of the settings.
    file : Path, optional
        TOML file.
    assignments : list of str, optional
        ``name=value`` texts.
    flags : dict
        Value of each setting (dotted name); None if not given.

    Raises
    ------
    UsageError
        If a setting is unknown or wrong.
    """
    from xtalshift.config import read_toml

    return merge_settings(kind, read_toml(file) if file is not None else {}, assignments, flags)


def merge_settings(
    kind: type[S],
    values: dict[str, Any],
    assignments: list[str] | None,
    flags: Mapping[str, object],
) -> S:
    """Merge plain values, ``--set`` and flags, see `build_settings`; `values` is changed."""
    from xtalshift.config import parse_assignment, set_nested

    for text in assignments or []:
        set_nested(values, *parse_assignment(text))
    for name, value in flags.items():
        if value is not None:
            set_nested(values, name.split("."), value)
    return kind.from_dict(values)


def one_table(table: str | None, dataset: str | None) -> str | None:
    """Return the table that was named as an argument or by ``--dataset``.

    Raises
    ------
    UsageError
        If both are given and differ.
    """
    if table is not None and dataset is not None and table != dataset:
        raise UsageError(f"two tables are given, {table} and --dataset {dataset}; give one")
    return table if table is not None else dataset


def read_params(texts: list[str] | None) -> dict[str, Any] | None:
    """Return ``name=value`` texts as a dictionary, None if there are none."""
    from xtalshift.config import parse_assignment

    if not texts:
        return None
    pairs = (parse_assignment(text, option="--param") for text in texts)
    return {".".join(keys): value for keys, value in pairs}


def read_numbers(text: str | None) -> list[int] | None:
    """Return the whole numbers in a comma-separated text.

    Raises
    ------
    UsageError
        If a part is not a whole number.
    """
    names = split_names(text)
    if names is None:
        return None
    for name in names:
        if not name.isdecimal():
            raise UsageError(f"{text!r}: {name!r} is not a whole number; write 16,32,64")
    return [int(name) for name in names]


def join_lists(texts: list[str] | None) -> str | None:
    """Return the lists of a repeated option as one, which `xtalshift.config.split_names` splits."""
    return ",".join(texts) if texts else None


def split_names(text: str | None) -> list[str] | None:
    """Return the names in a comma-separated text, see `xtalshift.config.split_names`."""
    from xtalshift import config

    return None if text is None else config.split_names(text)


_CALIBRATED_ON = {
    "held-out": "rows held out from training",
    "out-of-fold": "rows, each predicted by a model trained without it",
    "target": "labels of the new region, each predicted by a model trained without it",
    "proxies": "rows of hold-outs that imitate the candidates",
}


def describe_intervals(model: FittedModel) -> str:
    """Return in one line how the intervals of a model were calibrated."""
    calibration = model.calibration
    if calibration is None:
        return "Intervals: none"
    rows = _CALIBRATED_ON[calibration.origin]
    error = ""
    if calibration.kind == "absolute" and model.scale.name == "none":
        unit = f" {model.card.unit}" if model.card.unit else ""
        error = f", mean {calibration.scores.mean():.4g}{unit}"
    return (
        f"Intervals: calibrated on {len(calibration):,} {rows} ({calibration.kind} errors{error})"
    )


def describe_sets(model: FittedClassifier) -> str:
    """Return in one line how probabilities and sets of a model of classes were calibrated."""
    calibration = model.calibration
    if calibration is None:
        return "Probabilities: as the classifier gives them; prediction sets: none"
    return (
        f"Probabilities and prediction sets: calibrated on {len(calibration):,} "
        f"{_CALIBRATED_ON[calibration.origin]} (probabilities: {calibration.probabilities.kind})"
    )


def describe_joint(models: FittedModels) -> str:
    """Return in one line how the intervals of all targets at once were calibrated."""
    if models.joint is None:
        return "Joint intervals: none"
    levels = models.joint_levels()
    shown = ", ".join(f"{name} {100 * level:.1f} %" for name, level in levels.items())
    which = "all targets" if models.numbers.keys() == models.models.keys() else "all numbers"
    return (
        f"Joint intervals ({100 * LEVEL:g} % for {which} at once): calibrated on "
        f"{len(models.joint):,} rows that have {which}; level of each: {shown}"
    )


def _describe_error(member: dict[str, Any]) -> str:
    for key, name in (("mae", "MAE"), ("log_loss", "log loss")):
        if member.get(key) is not None:
            return f" ({name} {member[key]:.4g})"
    return ""


HALF_PERCENT = 0.005
"""Weight below which 0 % would stand for a member that is there."""


def describe_members(members: list[dict[str, Any]]) -> str:
    """Return the members with a weight, how many have none, and why some were left out."""
    used = [one for one in members if one["weight"] > 0]
    shown = [
        f"{one['name']} {'<1%' if one['weight'] < HALF_PERCENT else format(one['weight'], '.0%')}"
        + _describe_error(one)
        for one in used
    ]
    left_out = [one for one in members if one.get("left_out")]
    rest = len(members) - len(used) - len(left_out)
    others = f"; {rest} others without weight" if rest else ""
    reasons = [f"\nLeft out: {one['name']} ({one['left_out']})" for one in left_out]
    return f"Members: {', '.join(shown)}{others}{''.join(reasons)}"


def describe_scores(scores: ClassificationScores) -> str:
    """Return accuracy and log loss of a classifier beside those of the shares of the classes."""
    return (
        f"log loss {scores.log_loss:.4g} ({scores.log_loss_over_dummy:.0%} of that of the shares "
        f"of the classes), balanced accuracy {scores.balanced_accuracy:.1%} (the most frequent "
        f"class: {scores.balanced_accuracy_dummy:.1%})"
    )
