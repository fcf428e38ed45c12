"""``xtalshift suggest``: suggest which candidates to measure next."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.files import file_kind
from xtalshift.data.spreadsheet import mark_frame
from xtalshift.data.units import name_with_unit
from xtalshift.data.writers import check_output, open_writer, refuse_loss
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.words import plural

if TYPE_CHECKING:
    import pandas as pd

    from xtalshift.jobs.suggest_options import SuggestOptions
    from xtalshift.model.several_tables import SeveralPredictor
    from xtalshift.model.table_predictor import TablePredictor

_AIM = "What is wanted"


@options.reads_table
def suggest_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=options.MODEL)],
    candidates: Annotated[
        Path, typer.Argument(metavar="CANDIDATES", help="File of formulas that can be measured.")
    ],
    n: Annotated[int, typer.Option("-n", help="Number of suggestions.", min=1, metavar="N")] = 50,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=".csv or .parquet file.", metavar="OUT")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="To find values: prediction (default with --toward) | expected-improvement | "
            "ucb | target (with --value) | probability (with --threshold or --between). To improve "
            "the model: uncertainty (default) | diversity | random. Of models of classes: "
            "class-probability (with --class) | entropy (default) | margin | diversity | random.",
            metavar="NAME",
            rich_help_panel=_AIM,
        ),
    ] = None,
    toward: Annotated[
        str | None, typer.Option(help="Good values are high | low.", rich_help_panel=_AIM)
    ] = None,
    value: Annotated[
        float | None,
        typer.Option(help="The wanted value.", rich_help_panel=_AIM, metavar="X"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Values of at least X are good (at most X with --toward low).",
            rich_help_panel=_AIM,
            metavar="X",
        ),
    ] = None,
    between: Annotated[
        str | None,
        typer.Option(
            help="Values between A and B are good: 1.1,1.6.", rich_help_panel=_AIM, metavar="A,B"
        ),
    ] = None,
    of_class: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Of a model of classes: the wanted class.",
            rich_help_panel=_AIM,
            metavar="NAME",
        ),
    ] = None,
    goal: Annotated[
        str | None,
        typer.Option(
            help="Models of several targets: max | min | - (does not matter) for each, in their "
            "order: max,min,-. Suggests what should improve all, by expected hypervolume "
            "improvement.",
            metavar="GOALS",
            rich_help_panel=_AIM,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="With --goal: the value of each target that counts that a material must reach: "
            "50,3.2 (default: a tenth of the range below the best known materials).",
            metavar="X,Y",
            rich_help_panel=_AIM,
        ),
    ] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(
            help="File of measured materials. Give the table the model was trained on, because the "
            "model does not know the rows held out from training. --structures serves it too. "
            "Repeatable.",
            metavar="FILE",
        ),
    ] = None,
    in_domain: Annotated[
        bool, typer.Option("--in-domain", help="Only candidates in the domain of the model.")
    ] = False,
    diversity: Annotated[
        float | None,
        typer.Option(
            help="How much the suggestions should differ from each other: 0 (may be alike; default "
            "of prediction and random), 1 (default of the others), or more.",
            metavar="X",
        ),
    ] = None,
    cost_col: Annotated[
        str | None, typer.Option(help="Column with the cost of each measurement.", metavar="COL")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Largest total cost, in the unit of costs.", metavar="X")
    ] = None,
    level: options.Level = LEVEL,
    seed: options.Seed = None,
    device: options.Device = None,
    threads: options.Threads = None,
    overwrite: options.OverwriteTable = False,
    *,
    reading: options.Reading,
) -> None:
    """Suggest which candidates to measure next, as one batch.

    Materials that the model was trained on are left out. In our tests (docs/science/suggest.md) the
    rules found more extreme values than random choice did, but none was shown to improve the model
    more. To improve a model, give only candidates of the family of interest.
    """
    if out is not None:
        check_output(out, model, candidates, *(measured or []))
    from xtalshift.jobs.suggest_options import SuggestOptions

    asked = {
        "n": n, "rule": rule, "toward": toward, "value": value, "threshold": threshold,
        "between": between, "class": of_class, "goal": goal, "reference": reference,
        "in_domain": in_domain, "diversity": diversity, "cost_col": cost_col, "budget": budget,
        "level": level, "seed": seed or 0,
    }  # fmt: skip
    options_given = SuggestOptions.from_dict(asked)
    options_given.check(model)
    if goal is not None:
        _suggest_several(
            model, candidates, options_given, out, measured or [], device, threads,
            overwrite=overwrite, reading=reading,
        )  # fmt: skip
        return
    from xtalshift.data.settings import ReadingOptions
    from xtalshift.jobs.candidates import read_measured
    from xtalshift.jobs.suggest import suggest
    from xtalshift.model import load_model
    from xtalshift.model.table_predictor import TablePredictor

    loaded = load_model(model, device=device)
    request = options_given.request(loaded)
    predictor = TablePredictor(loaded, level, reading=ReadingOptions.from_dict({**reading}))
    if threads is not None:  # after loading: only loaded libraries can be limited
        from xtalshift.nn.device import limit_threads

        limit_threads(threads)
    if out is not None:
        refuse_loss(out, ("utility",), overwrite=overwrite)
    progress = make_progress()
    # opened first, so that a bad place is found before the work
    with open_writer(out, predictor.units()) if out else nullcontext() as writer:
        chosen, decided = suggest(
            predictor,
            candidates,
            request,
            measured=read_measured(predictor, measured or [], progress),
            progress=progress,
        )
        if writer is not None:
            writer.write(chosen)
    aside = out is None and not _on_terminal()
    if out is not None:
        typer.echo(f"{plural(len(chosen), 'suggestion')} by rule {decided}: {out}")
    elif aside:
        typer.echo(mark_frame(chosen).to_csv(index=False), nl=False)
    else:
        _print_table(chosen, predictor.for_file(candidates), candidates)
    typer.echo(_next_step(predictor, model, candidates), err=aside)


def _suggest_several(
    model: Path,
    candidates: Path,
    asked: SuggestOptions,
    out: Path | None,
    measured: list[Path],
    device: str | None,
    threads: int | None,
    *,
    overwrite: bool,
    reading: options.Reading,
) -> None:
    """Suggest what should improve several targets."""
    from xtalshift.data.settings import ReadingOptions
    from xtalshift.jobs.suggest_several import suggest_several
    from xtalshift.model import load_models
    from xtalshift.model.several_tables import SeveralPredictor

    models = load_models(model, device=device)
    request = asked.several_request(models)
    how = ReadingOptions.from_dict({**reading})
    predictor = SeveralPredictor.of(models, asked.level, reading=how)
    if threads is not None:  # after loading: only loaded libraries can be limited
        from xtalshift.nn.device import limit_threads

        limit_threads(threads)
    if out is not None:
        refuse_loss(out, ("utility",), overwrite=overwrite)
    with open_writer(out, predictor.units()) if out else nullcontext() as writer:
        found = suggest_several(
            predictor, candidates, request, measured=measured, progress=make_progress()
        )
        if writer is not None:
            writer.write(found.frame)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in found.reference.items())
    aside = out is None and not _on_terminal()
    typer.echo(
        f"{len(found.front):,} of {found.known:,} known materials are beaten by none; improvement "
        f"counts from {shown}",
        err=aside,
    )
    if out is not None:
        typer.echo(f"{plural(len(found.frame), 'suggestion')}: {out}")
    elif aside:
        typer.echo(mark_frame(found.frame).to_csv(index=False), nl=False)
    else:
        _print_goals(found.frame, predictor, tuple(found.reference))
    typer.echo(
        "Next: measure them, add columns with the values, then: xtalshift adapt "
        f"{model} measured.csv{_where_structures(predictor.one, candidates)} -o MODEL2",
        err=aside,
    )


def _print_goals(chosen: pd.DataFrame, predictor: SeveralPredictor, names: tuple[str, ...]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    models = predictor.models
    table = Table("", "formula", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name_with_unit(name, models[name].card.unit), justify="right")
        table.add_column(f"{100 * predictor.level:g} %", justify="right")
    table.add_column("score", justify="right")
    formulas = predictor.read(chosen, "the suggestions").formulas
    for formula, row in zip(formulas, chosen.to_dict("records"), strict=True):
        cells = []
        for name in names:
            low, high = row[f"lower_{name}"], row[f"upper_{name}"]
            cells += [f"{row[f'prediction_{name}']:.4g}", f"{low:.3g} to {high:.3g}"]
        table.add_row(str(row["rank"]), formula, *cells, f"{row['utility']:.3g}")
    Console(highlight=False).print(table)


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _print_table(chosen: pd.DataFrame, predictor: TablePredictor, source: Path) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    card = predictor.model.card
    crystals = predictor.model.featurizer.needs_structures  # the rows have no structures any more
    formulas = chosen["formula"] if crystals else predictor.read(chosen, str(source)).formulas
    # polymorphs have one formula
    named = crystals and "id" in chosen.columns
    heads = ("", "id", "formula") if named else ("", "formula")
    table = Table(*heads, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    level = f"{100 * predictor.level:g} %"
    for name in (name_with_unit(card.target_name, card.unit), level, "score"):
        table.add_column(name, justify="right")
    table.add_column("nearest known")
    table.add_column("domain")
    of_classes = "lower" not in chosen.columns
    for formula, row in zip(formulas, chosen.to_dict("records"), strict=True):
        if of_classes:
            bounds, known = row["prediction_set"], str(row["nearest_target"])
        else:
            # empty for a model without intervals
            there = row["lower"] == row["lower"]
            bounds = f"{row['lower']:.3g} to {row['upper']:.3g}" if there else ""
            known = f"{row['nearest_target']:.3g}"
        near = f"{row['nearest_formula']} {row.get('nearest_id', '')}".strip()
        table.add_row(
            str(row["rank"]),
            *([escape(str(row["id"]))] if named else []),
            formula,
            escape(row["prediction"]) if of_classes else f"{row['prediction']:.4g}",
            escape(bounds),
            f"{row['score']:.3g}",
            escape(f"{near}: {known}") if near else "",
            "in" if row["in_domain"] else f"out {row['unseen_elements']}".rstrip(),
        )
    Console(highlight=False).print(table)


def _next_step(predictor: TablePredictor, model: Path, candidates: Path) -> str:
    card, structures = predictor.model.card, _where_structures(predictor, candidates)
    replay = f" --source {card.source or 'TRAINED_ON'}" if card.feature_cols else ""
    return (
        f"Next: measure them, add a column {card.target_name!r} with the values, then: "
        f"xtalshift adapt {model} measured.csv{structures} -o MODEL2{replay}"
    )


def _where_structures(predictor: TablePredictor, candidates: Path) -> str:
    """Return the options that find the structures of suggestions again, if a model needs them."""
    given = predictor.reading
    if not predictor.model.featurizer.needs_structures:
        return ""
    if file_kind(candidates) == "structures":
        return f" --structures {candidates}"
    folder = "" if given.structures is None else f" --structures {given.structures}"
    column = "" if given.structure_col is None else f" --structure-col {given.structure_col}"
    return folder + column
