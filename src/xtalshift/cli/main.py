"""The command ``xtalshift``: one sub-command per file, one line per error."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

import xtalshift
from xtalshift.errors import XtalshiftError

INTERRUPTED = 130
"""Exit code of typer after Ctrl-C; some versions raise `typer.Abort` instead."""

_STOPPED = "Stopped. Finished work is kept; run the same command to continue."

_COMMANDS = (
    *("datasets", "run", "featurize", "split", "audit", "train", "adapt", "calibrate", "predict"),
    *("screen", "suggest", "benchmark", "enumerate", "report"),
)
"""Modules of this folder in the order of the help; each has `app` or the function NAME_command."""


def _build(arguments: Sequence[str]) -> typer.Typer:
    """Return the parser with the command that is asked for, or with all of them."""
    app = typer.Typer(
        name="xtalshift",
        help="Predict properties of materials unlike the training data, and estimate how far to "
        "trust each prediction.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",  # joins the lines of a paragraph of help
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    asked = next((text for text in arguments if not text.startswith("-")), "")
    for name in (asked,) if asked in _COMMANDS else _COMMANDS:
        module = import_module(f"xtalshift.cli.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, f"{name}_command"))
    return app


def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (at any place).")
    ] = False,
) -> None:
    del debug  # `main` removes it from the arguments, wherever it is
    if version:
        typer.echo(f"xtalshift {xtalshift.__version__}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with 0 (done), 1 (failed) or 2 (wrong usage).

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
        code = _build(arguments)(arguments, standalone_mode=False)
        if code != INTERRUPTED:
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        message = _STOPPED
    except BrokenPipeError:  # the reader of a pipe has closed it, as `head` does
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


def _show_usage(error: Any) -> int:
    """Show a usage error (a class of click or of typer's copy of it)."""
    if type(error).__name__ != "NoArgsIsHelpError":  # the help is shown already
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
    return f"Error: unexpected {kind}: {text}. This is a bug in xtalshift; --debug shows where"
