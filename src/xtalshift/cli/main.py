"""The command ``xtalshift``: one sub-command per file, errors as one readable line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import xtalshift
from xtalshift.cli import (
    adapt,
    audit,
    benchmark,
    calibrate,
    datasets,
    featurize,
    predict,
    report,
    run,
    screen,
    split,
    suggest,
    train,
)
from xtalshift.cli import enumerate as enumerate_
from xtalshift.errors import XtalshiftError

__all__ = ["app", "main"]

INTERRUPTED = 130
"""What typer makes of Ctrl-C; some versions raise `typer.Abort` instead."""

app = typer.Typer(
    name="xtalshift",
    help="Predict properties of materials unlike the training data, and say how far to trust it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # joins the lines of a paragraph of help
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(datasets.app, name="datasets")
app.command("run")(run.run_command)
app.command("featurize")(featurize.featurize_command)
app.command("split")(split.split_command)
app.command("audit")(audit.audit_command)
app.command("train")(train.train_command)
app.command("adapt")(adapt.adapt_command)
app.command("calibrate")(calibrate.calibrate_command)
app.command("predict")(predict.predict_command)
app.command("screen")(screen.screen_command)
app.command("suggest")(suggest.suggest_command)
app.command("benchmark")(benchmark.benchmark_command)
app.command("enumerate")(enumerate_.enumerate_command)
app.command("report")(report.report_command)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (anywhere).")
    ] = False,
) -> None:
    del debug  # main() takes it out of the arguments, wherever it stands
    if version:
        typer.echo(f"xtalshift {xtalshift.__version__}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 the job failed, 2 wrong usage.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    sys.exit(_run([text for text in given if text != "--debug"], debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        code = app(arguments, standalone_mode=False)
        if code != INTERRUPTED:
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        message = _STOPPED
    except BrokenPipeError:  # the reader of a pipe went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (typer.Abort, KeyboardInterrupt):
        message = _STOPPED
    except Exception as error:  # noqa: BLE001 - every failure ends in one readable line
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            return _show_usage(error)
        message = _describe(error)
        if debug:
            traceback.print_exc()
    print(message, file=sys.stderr)  # noqa: T201
    return 1


_STOPPED = "Stopped. What was finished is kept; the same command continues."


def _show_usage(error: Any) -> int:
    """Show an error of the parser (its class is click's, or typer's copy of it)."""
    if type(error).__name__ != "NoArgsIsHelpError":  # that one has shown the help already
        error.show()
    return int(error.exit_code)


def _describe(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, XtalshiftError):
        return f"Error: {text}"
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"Error: {error.strerror or text or type(error).__name__}{where}"
    kind = type(error).__name__
    return f"Error: unexpected {kind}: {text}. This is a fault of xtalshift; --debug shows where"
