"""``xtalshift enumerate``: write candidate formulas for screening."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli.options import Overwrite, split_names
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output, open_writer, refuse_loss
from xtalshift.words import plural

if TYPE_CHECKING:
    import pyarrow as pa

RULES = ("smact",)
MOST_ATOMS = 1000
"""Larger formulas are no reduced formulas of crystals, and their amounts could not be counted."""
MANY = 1_000_000_000
"""From this number of compositions on, the command tells how to reduce it."""
PER_HOUR = 3_600_000_000  # a million per second; usually it is faster


class Order(StrEnum):
    """In which order formulas are written."""

    PLAUSIBILITY = "plausibility"
    ELEMENTS = "elements"


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
            help="Every formula contains ALL of these: S,Se means S and Se, as in the Materials "
            "Project and in HAS ALL of OPTIMADE (of a class: one or more of its elements).",
            metavar="NAMES",
        ),
    ] = None,
    must_contain_any: Annotated[
        list[str] | None,
        typer.Option(
            help="Every formula contains AT LEAST ONE of these: S,Se means S, Se or both (HAS ANY "
            "of OPTIMADE). Repeatable.",
            metavar="NAMES",
        ),
    ] = None,
    charge_neutral: Annotated[
        bool | None,
        typer.Option(
            "--charge-neutral/--no-charge-neutral",
            help="Only formulas that ions balance, one oxidation state per element, no cation more "
            "electronegative than an anion (default, unless --rules).",
        ),
    ] = None,
    mixed_valence: Annotated[
        bool,
        typer.Option(
            "--mixed-valence",
            help="Also formulas in which one metal or metalloid has two oxidation states: Fe3O4.",
        ),
    ] = False,
    intermetallics: Annotated[
        bool,
        typer.Option(
            "--intermetallics", help="Also all formulas of metals, B, Si and Ge only: FeAl."
        ),
    ] = False,
    polyanions: Annotated[
        bool,
        typer.Option(
            "--polyanions",
            help="Also anions whose atoms are bonded to each other: Na2O2, K2S2, CaC2.",
        ),
    ] = False,
    rules: Annotated[
        str | None,
        typer.Option(
            help="smact: formulas that SMACT accepts with its own oxidation states, alloys too "
            "(pip install 'xtalshift[smact]')."
        ),
    ] = None,
    known: Annotated[
        str,
        typer.Option(
            help="Table of known compounds, in which analogues are counted (file or name).",
            metavar="TABLE",
        ),
    ] = "ricci_seebeck",
    order: Annotated[
        Order,
        typer.Option(help="elements: by elements and amounts, with constant memory."),
    ] = Order.PLAUSIBILITY,
    top: Annotated[
        int | None,
        typer.Option(
            help="Keep the most plausible formulas only (default: 5,000,000).", metavar="N", min=1
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=".csv or .parquet file (default: CSV to the screen)."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write every composition of given elements up to a size, one reduced formula per row.

    The most plausible formulas come first. The plausibility (0 to 1) is high if the oxidation
    states are frequent ones of their elements, and if known compounds have the same formula type
    with elements of the same groups; the column `why` names both. It orders candidates and is no
    probability. `xtalshift predict` and `screen` read the file.
    """
    from xtalshift.chem.charge_balance import ChargeRule
    from xtalshift.errors import ConfigError
    from xtalshift.jobs.enumerate import (
        TOP,
        EnumerationSettings,
        count_compositions,
        write_candidates,
    )

    if rules is not None and rules not in RULES:
        raise ConfigError(f"no rules {rules!r}; there are: {', '.join(RULES)}")
    more = mixed_valence or intermetallics or polyanions
    if more and charge_neutral is False:
        raise ConfigError(
            "--mixed-valence, --intermetallics and --polyanions add to the formulas that ions "
            "balance; --no-charge-neutral keeps all formulas anyway: leave one of them out"
        )
    if order is Order.ELEMENTS and top is not None:
        raise ConfigError("--top keeps the most plausible formulas: leave out --order elements")
    balanced = charge_neutral if charge_neutral is not None else more or rules is None
    settings = EnumerationSettings(
        elements=tuple(split_names(elements) or ()),
        max_atoms=max_atoms,
        min_elements=min_elements,
        max_elements=max_elements,
        all_of=tuple(split_names(must_contain) or ()),
        any_of=tuple(tuple(split_names(text) or ()) for text in must_contain_any or ()),
        charges=ChargeRule(mixed_valence, intermetallics, polyanions) if balanced else None,
        smact=rules == "smact",
        known=known,
        order=order.value,
        top=top or TOP,
    )
    total = count_compositions(settings)
    if out is not None:
        check_output(out)
        refuse_loss(out, (), overwrite=overwrite)  # a list of formulas may be anyone's
    progress = make_progress()
    contains = settings.describe()
    progress.say(
        f"{plural(total, 'composition')} to check{'; ' * bool(contains)}{contains}{_advise(total)}"
    )
    with _open(out) as write:
        done = write_candidates(settings, write, progress)
    kept = f" (the most plausible of {done.found:,})" * (done.written < done.found)
    typer.echo(
        f"{plural(done.written, 'formula')}{kept}{'' if out is None else f': {out}'}",
        err=out is None,
    )


@contextmanager
def _open(out: Path | None) -> Iterator[Callable[[pa.Table], None]]:
    """Return a function that writes to a file or, as CSV, to standard output."""
    if out is None:
        header = iter([True])
        yield lambda table: typer.echo(
            table.to_pandas().to_csv(index=False, header=next(header, False), float_format="%.4g"),
            nl=False,
        )
        return
    with open_writer(out) as writer:
        yield writer.write


def _advise(total: int) -> str:
    if total < MANY:
        return ""
    return (
        f", up to {total / PER_HOUR:,.1f} hours; to reduce the number, give fewer elements, a "
        "lower --max-elements or --max-atoms, or --must-contain"
    )
