"""``xtalshift serve``: models, predictions and jobs over HTTP."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from xtalshift.cli import options
from xtalshift.errors import ConfigError, DataError

_SERVER = "Server"


def serve_command(
    models: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MODELS]",
            help="Folder of saved models, or of one, besides the ready ones.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        Path,
        typer.Option(help="Folder for tables, jobs and their results.", metavar="DIR"),
    ] = Path("xtalshift-server"),
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen at (default 127.0.0.1: only this machine can reach it); any "
            "other needs a token.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port (default 8000; 0: a free one).", rich_help_panel=_SERVER),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="Clients must send it; better given in the variable XTALSHIFT_TOKEN, as other "
            "users of the machine can see the options of a command.",
            envvar="XTALSHIFT_TOKEN",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Jobs that run at the same time (default 1).", rich_help_panel=_SERVER),
    ] = None,
    open_: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open",
            help="Open the page in a browser (default: if a person starts it who has a display).",
            show_default=False,
        ),
    ] = None,
    config: options.ConfigFile = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting, such as max_rows=100000.", metavar="NAME=VALUE"),
    ] = None,
) -> None:
    """Serve a page for the browser, and models, predictions and jobs over REST under /api/v1.

    The page leads from a table to predictions and the error to expect of them.
    """
    try:
        from xtalshift.web.serve import serve
        from xtalshift.web.settings import ServeConfig
    except ModuleNotFoundError as error:
        raise ConfigError(f"the server needs {error.name}: pip install 'xtalshift[web]'") from error
    flags = {"host": host, "port": port, "token": token, "workers": workers}
    settings = options.build_settings(ServeConfig, config, assign, flags)
    if models is not None and not models.is_dir():
        raise DataError(f"{models} is no folder; name the folder of your models")

    def ready(address: str) -> None:
        typer.echo(f"Serving at {address}")
        if has_display() and (sys.stdout.isatty() if open_ is None else open_):
            # a browser that is slow to start must not delay the answers that it waits for
            Thread(target=webbrowser.open, args=(local_address(address),), daemon=True).start()

    serve(models, store, settings, ready)


def has_display() -> bool:
    """Return whether this machine can show a browser to who starts a command."""
    if sys.platform in {"win32", "darwin"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def local_address(address: str) -> str:
    """Return the address under which this machine reaches a server that listens everywhere.

    Examples
    --------
    >>> local_address("http://0.0.0.0:8000"), local_address("http://127.0.0.1:80")
    ('http://127.0.0.1:8000', 'http://127.0.0.1:80')
    """
    return address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
