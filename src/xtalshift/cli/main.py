"""The command ``xtalshift``: one sub-command per file, one line per error."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

import xtalshift
from xtalshift.data.spreadsheet import SAFE
from xtalshift.errors import UsageError, XtalshiftError

_WORD, _MESSAGE = 300, 3000
"""Most characters of a word and of a message on the terminal."""

_NO_MEMORY = re.compile(
    "allocate memory|out of memory|cannot map|failed to map|start new thread"
    "|error return without exception set"
)
"""Words of libraries where memory (or the number of threads) ran out.

The last ones are Python's, where no memory was left for the error itself.
"""

_NOTHING_KEPT = "Nothing was finished that could be continued."

_COMMANDS = (
    *(
        "datasets",
        "models",
        "check",
        "run",
        "featurize",
        "split",
        "audit",
        "train",
        "adapt",
        "calibrate",
        "predict",
        "explain",
    ),
    *("screen", "suggest", "benchmark", "enumerate", "pretrain", "report", "serve"),
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
    spreadsheet_safe: Annotated[
        bool,
        typer.Option(
            "--spreadsheet-safe/--no-spreadsheet-safe",
            help="Put an apostrophe before text of CSV output that a spreadsheet would run as a "
            "formula (at any place). xtalshift reads it without.",
        ),
    ] = True,
) -> None:
    del debug, spreadsheet_safe  # `main` removes them from the arguments, wherever they are
    if version:
        typer.echo(f"xtalshift {xtalshift.__version__}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with 0 (done), 1 (failed) or 2 (wrong usage).

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    """
    _fill_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    anywhere = {"--debug", "--spreadsheet-safe", "--no-spreadsheet-safe"}
    asked = {text for text in given if text in anywhere}
    SAFE.set("--no-spreadsheet-safe" not in asked)
    sys.exit(_run([text for text in given if text not in anywhere], debug="--debug" in asked))


def _run(arguments: list[str], *, debug: bool) -> int:
    code = 1
    try:
        command = typer.main.get_command(_build(arguments))
        with command.make_context("xtalshift", arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:  # the reader of a pipe has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (typer.Abort, KeyboardInterrupt) as stop:
        message = " ".join(["Stopped.", *getattr(stop, "__notes__", [_NOTHING_KEPT])])
    except Exception as error:  # noqa: BLE001 - every failure ends in one readable line
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            return _show_usage(error)
        if debug:
            traceback.print_exc()
        message = _describe(error)
        code = 2 if isinstance(error, UsageError) else 1
    else:
        return 0
    print(message, file=sys.stderr)  # noqa: T201
    return code


def _fill_streams() -> None:
    """Put the null device where the process was started without a standard stream.

    Otherwise the next file that is opened, such as a result, would get the output. Standard input
    stays None.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def _show_usage(error: Any) -> int:
    """Show a usage error (a class of click or of typer's copy of it)."""
    if type(error).__name__ != "NoArgsIsHelpError":  # the help is shown already
        error.message = _cut(error.message)
        error.show()
    return int(error.exit_code)


def _describe(error: Exception) -> str:
    text = _cut(" ".join(str(error).split()))
    if isinstance(error, XtalshiftError):
        return f"Error: {text}"
    kind = type(error).__name__
    if isinstance(error, MemoryError) or _NO_MEMORY.search(text):
        why = f" ({text})" if text else ""
        return f"Error: memory ran out{why}; use fewer workers, threads or rows, or a larger limit"
    if isinstance(error, OSError):
        where = f" ({_cut(str(error.filename))})" if error.filename else ""
        more = "; raise the limit of the shell (ulimit -n)" if error.errno == errno.EMFILE else ""
        return f"Error: {error.strerror or text or kind}{where}{more}"
    return f"Error: unexpected {kind}: {text}. This is a bug in xtalshift; --debug shows where"


def _cut(text: str) -> str:
    """Return a message without the middle of long words, which the user gave, and a long end.

    Characters that would control the terminal are escaped.
    """
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    text = re.sub(rf"\S{{{_WORD},}}", lambda found: f"{found[0][:80]}...{found[0][-40:]}", text)
    return text if len(text) <= _MESSAGE else f"{text[:_MESSAGE]}..."
