"""``xtalshift enumerate``: write candidate formulas for screening."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from xtalshift.cli.options import Overwrite, split_names
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output, open_writer, refuse_loss

RULES = ("smact",)
MOST_ATOMS = 1000
"""Larger formulas are no reduced formulas of crystals, and their amounts could not be counted."""
MANY = 1_000_000_000
"""From this number of compositions on, the command tells how to reduce it."""
PER_HOUR = 3_600_000_000  # a million per second; usually it is faster


def enumerate_command(
    elements: Annotated[
        str,
        typer.Option(help="Symbols and classes: Li,Mg,halogens,rare_earth.", metavar="NAMES"),
    ],
    max_atoms: Annotated[
        int,
        typer.Option(help="Largest number of atoms in a reduced formula.", min=1, max=MOST_ATOMS),
    ],
    min_elements: Annotated[int, typer.Option(help="Smallest number of elements.", min=1)] = 2,
    max_elements: Annotated[int, typer.Option(help="Largest number of elements.", min=1)] = 4,
    must_contain: Annotated[
        str | None,
        typer.Option(
            help="Elements that every formula contains (one or more of a class).", metavar="NAMES"
        ),
    ] = None,
    charge_neutral: Annotated[
        bool | None,
        typer.Option(
            "--charge-neutral/--no-charge-neutral",
            help="Only formulas that common oxidation states make neutral (default, unless "
            "--rules).",
        ),
    ] = None,
    electronegativity: Annotated[
        bool,
        typer.Option(
            "--electronegativity",
            help="Only formulas that are neutral with cations less electronegative than anions.",
        ),
    ] = False,
    rules: Annotated[
        str | None,
        typer.Option(
            help="smact: formulas that SMACT accepts with its own oxidation states, alloys too "
            "(pip install 'xtalshift[smact]')."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=".csv or .parquet file (default: CSV to the screen)."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write every composition of given elements up to a size, one reduced formula per row.

    Each composition is written once, always in the same order and with constant memory. `xtalshift
    predict` and `screen` read the file.
    """
    from xtalshift.chem.enumeration import count_formulas, enumerate_formulas
    from xtalshift.errors import ConfigError, DataError

    if rules is not None and rules not in RULES:
        raise ConfigError(f"no rules {rules!r}; there are: {', '.join(RULES)}")
    accept = None
    if rules == "smact":
        from xtalshift.chem.charge_neutrality import load_smact_rules

        accept = load_smact_rules()
    names = split_names(elements) or []
    limits = {"max_atoms": max_atoms, "min_elements": min_elements, "max_elements": max_elements}
    required = split_names(must_contain) or []
    total = count_formulas(names, **limits, required=required)
    blocks = enumerate_formulas(
        names,
        **limits,
        required=required,
        neutral=electronegativity or not rules if charge_neutral is None else charge_neutral,
        ordered=electronegativity,
        accept=accept,
    )
    if out is not None:
        check_output(out)
        refuse_loss(out, (), overwrite=overwrite)  # a list of formulas may be anyone's
    progress = make_progress()
    progress.say(f"{total:,} compositions to check{_advise(total)}")
    written = 0
    with _open(out) as write, progress.task("enumerate", total) as task:
        for block in blocks:
            if block.formulas:
                write(block.formulas)
            written += len(block.formulas)
            task.advance(block.examined, found=f"{written:,}")
        if not written:
            raise DataError(
                f"none of the {total:,} compositions of {elements} passes; add an element that "
                "forms anions, such as O, allow more atoms, or leave out a rule "
                "(--no-charge-neutral)"
            )
    typer.echo(f"{written:,} formulas{'' if out is None else f': {out}'}", err=out is None)


@contextmanager
def _open(out: Path | None) -> Iterator[Callable[[list[str]], None]]:
    """Return a function that writes formulas to a file or, as CSV, to standard output."""
    if out is None:
        typer.echo("formula")
        yield lambda formulas: typer.echo("\n".join(formulas))
        return
    import pandas as pd

    with open_writer(out) as writer:
        yield lambda formulas: writer.write(pd.DataFrame({"formula": formulas}))


def _advise(total: int) -> str:
    if total < MANY:
        return ""
    return (
        f", up to {total / PER_HOUR:,.1f} hours; to reduce the number, give fewer elements, a "
        "lower --max-elements or --max-atoms, or --must-contain"
    )
