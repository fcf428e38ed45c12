"""``xtalshift audit``: measure how far out of distribution a split is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output, refuse_existing


@options.reads_targets
def audit_command(
    source: Annotated[str, typer.Argument(metavar="IN", help="File, or name of a data set.")],
    split: Annotated[
        Path,
        typer.Argument(
            metavar="SPLIT",
            help="Output of 'xtalshift split', or any file with the columns id, part and fold.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for audit.html, audit.json and audit.csv.", metavar="DIR"
        ),
    ] = None,
    scheme: Annotated[
        str | None,
        typer.Option(help="Only this scheme of a file with several.", metavar="NAME"),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Omit the classifier and the residual test."),
    ] = False,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A threshold or sample size: auc=0.9, n_max=1000.", metavar="N=V"
        ),
    ] = None,
    target: options.Target = None,
    id_col: options.IdCol = None,
    features: options.Features = None,
    seed: options.Seed = None,
    overwrite: options.Overwrite = False,
    *,
    reading: options.Reading,
) -> None:
    """Label every fold: interpolation, a kind of shift, or degenerate (too small to judge).

    Measures sizes, formulas in two parts, distances to the training rows, how well a classifier
    separates test from training rows, the shift of the target, the error of a constant, unseen
    elements, and whether the residuals of a model differ for test rows near training rows.
    """
    from xtalshift.cli.audit_table import print_audit
    from xtalshift.data.settings import DataConfig
    from xtalshift.data.several import check_columns
    from xtalshift.jobs.audit import audit_file
    from xtalshift.report.audit.audit_page import AUDIT_FILES, write_audit
    from xtalshift.splits.audit.findings import AuditSettings

    settings = options.build_settings(
        AuditSettings,
        None,
        assign,
        {
            "seed": seed,
            "classifier": False if quick else None,
            "relation": False if quick else None,
        },
    )
    data = {
        "dataset": source,
        "target": target,
        "id_col": id_col,
        "features": features,
        **reading,
    }
    given = DataConfig.from_dict({name: value for name, value in data.items() if value is not None})
    if out is not None:
        check_columns(given, out)
        check_output(out, source, split)
        refuse_existing(out, AUDIT_FILES, "an audit", overwrite=overwrite)
    audits = audit_file(
        given,
        split,
        settings,
        scheme=scheme,
        progress=make_progress(),
    )
    for item in audits:
        print_audit(item)
    if out is not None:
        typer.echo(f"Report: {write_audit(audits, out)}")
