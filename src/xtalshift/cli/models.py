"""``xtalshift models``: list, describe and build the ready models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options

if TYPE_CHECKING:
    from xtalshift.model.ready import Recipe
    from xtalshift.model.ready.evaluation import AnyHeldOut, Evaluation

app = typer.Typer(
    help="List, describe or build the ready models, which other commands know by name.",
    no_args_is_help=True,
)

_Name = Annotated[str, typer.Argument(help="A name from 'xtalshift models list'.")]


@app.command("list")
def list_command() -> None:
    """List the ready models: name, unit, whether it is in the package, error, property.

    Of a model that is not in the package the reason stands in place of its error.
    """
    from xtalshift.model.ready import get_recipe, is_shipped, list_recipes
    from xtalshift.model.ready.evaluation import read_evaluation

    rows = []
    for name in list_recipes():
        recipe = get_recipe(name)
        found = read_evaluation(recipe.folder)
        rows.append(
            (
                ", ".join((name, *recipe.aliases)),
                recipe.unit or ", ".join(recipe.classes),
                "yes" if is_shipped(recipe) else "not shipped",
                recipe.not_shipped if found is None else _brief(found),
                recipe.title,
            )
        )
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    head = ("name", "unit", "in the package", "error over dummy: like, unlike", "property")
    table = Table(*head, highlight=False)
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    Console().print(table)


@app.command("info")
def info_command(name: _Name) -> None:
    """Describe a ready model: what it predicts, its errors on held-out rows, data and licence."""
    from xtalshift.model.ready import get_recipe
    from xtalshift.model.ready.evaluation import read_evaluation

    recipe = get_recipe(name)
    for line in describe(recipe, read_evaluation(recipe.folder)):
        typer.echo(line)


@app.command("train")
def train_command(
    name: _Name,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the model (default: ./NAME).", metavar="DIR"),
    ] = None,
    evaluate: Annotated[
        bool,
        typer.Option(
            "--evaluate/--no-evaluate",
            help="Measure the errors on held-out rows too: a training for each held-out set.",
        ),
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Trainings at once (default: cores).", rich_help_panel=options.RUN
        ),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Build a ready model from its recipe, with its held-out errors.

    The table is the embedded one, or it is downloaded and verified, or read from the folder that
    XTALSHIFT_DATA names. The same command continues an interrupted training. On the same machine,
    with the same versions of the libraries, the model has the same bits each time.
    """
    from xtalshift.cli.progress import make_progress
    from xtalshift.jobs.ready import make_ready
    from xtalshift.model.ready import get_recipe
    from xtalshift.parallel import make_executor

    recipe = get_recipe(name)
    place = out or Path(recipe.name)
    made = make_ready(
        recipe,
        place,
        make_executor(workers=workers),
        evaluate=evaluate,
        overwrite=overwrite,
        progress=make_progress(),
    )
    for line in describe(recipe, made.evaluation):
        typer.echo(line)
    typer.echo(f"Model: {place}")


def describe(recipe: Recipe, found: Evaluation | None) -> list[str]:
    """Return the card of a ready model in plain words."""
    from xtalshift.model.ready import is_shipped

    lines = [
        f"{recipe.name}: {recipe.title}, {_what(recipe)}",
        f"Values: {recipe.conditions}",
        f"Method: {recipe.method} on the features {recipe.features}, of the composition alone",
    ]
    if found is not None:
        lines += [
            f"Trained on: {recipe.table}, {found.rows:,} rows, {found.materials:,} compositions",
            *_errors(recipe, found),
        ]
    else:
        lines.append(f"Trained on: {recipe.table}")
    lines += [f"Note: {text}" for text in recipe.caveats]
    lines += [
        f"Licence of the data: {recipe.licence}",
        f"Attribution: {recipe.attribution}",
        f"Cite: {recipe.citation}",
    ]
    rebuild = f"xtalshift models train {recipe.name}"
    if is_shipped(recipe):
        lines.append(f"In the package; `{rebuild}` builds it again")
    else:
        lines.append(f"Not in the package: {recipe.not_shipped}; `{rebuild}` builds it")
    if found is not None:
        lines.append(f"Measured on {found.date} with xtalshift {found.version}")
    return lines


_KINDS = {
    "random": "compositions at random, like the training data",
    "covariate": "sparse chemistry: the tenth that is farthest from its neighbours",
    "loco": "a whole cluster of compositions",
}
"""What the held-out sets of each scheme are."""


def _what(recipe: Recipe) -> str:
    return f"as {' or '.join(recipe.classes)}" if recipe.classes else f"in {recipe.unit}"


def _errors(recipe: Recipe, found: Evaluation) -> list[str]:
    measure = "Log loss (nats)" if recipe.classes else "Mean absolute error"
    lines = [f"{measure} on rows that a model like this one was not trained on:"]
    for split in dict.fromkeys(one.split for one in found.held_out):
        folds = found.of(split)
        what = _KINDS.get(folds[0].scheme, folds[0].scheme)
        number = f", mean of {len(folds)} sets" if len(folds) > 1 else ""
        error, dummy = mean_of(folds, "error"), mean_of(folds, "dummy_error")
        held = _percent(folds, "coverage")
        if recipe.classes:
            lines.append(
                f"  {what}{number}: {error:.3g} ({error / dummy:.2f} of that of the shares of the "
                f"classes, {dummy:.3g}); balanced accuracy {_percent(folds, 'balanced_accuracy')} "
                f"(most frequent class: {_percent(folds, 'balanced_accuracy_dummy')}); its 90 % "
                f"sets hold {held}, with {mean_of(folds, 'mean_set_size_90'):.2f} classes each"
            )
            continue
        lines.append(
            f"  {what}{number}: {error:.3g} {recipe.unit} ({error / dummy:.2f} of the error of the "
            f"mean, {dummy:.3g}); its 90 % intervals hold {held}"
        )
    unlike = [one for one in found.held_out if one.role == "ood"]
    inside = mean_of([one for one in unlike if one.error_inside is not None], "error_inside")
    outside = mean_of([one for one in unlike if one.error_outside is not None], "error_outside")
    lines.append(
        f"  of the rows unlike the training data, {_percent(unlike, 'in_domain')} are in the "
        f"domain: error {inside:.3g} in, {outside:.3g} out of it"
    )
    return lines


def _brief(found: Evaluation) -> str:
    """Return the errors relative to those of the mean, for rows like and unlike the training."""
    return ", ".join(
        f"{mean_of(rows, 'error') / mean_of(rows, 'dummy_error'):.2f}"
        for role in ("id", "ood")
        if (rows := [one for one in found.held_out if one.role == role])
    )


def mean_of(rows: Sequence[AnyHeldOut], name: str) -> float:
    """Return the mean of a score over held-out sets, NaN without any."""
    values = [float(getattr(one, name)) for one in rows]
    return sum(values) / len(values) if values else float("nan")


def _percent(rows: Sequence[AnyHeldOut], name: str) -> str:
    return f"{100 * mean_of(rows, name):.0f} %"
