"""``xtalshift serve``: models, predictions and jobs over HTTP."""

from __future__ import annotations

from pathlib import Path
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
    config: options.ConfigFile = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting, such as max_rows=100000.", metavar="NAME=VALUE"),
    ] = None,
) -> None:
    """Serve models, predictions and jobs over HTTP, with a REST interface under /api/v1."""
    try:
        from xtalshift.web.serve import serve
        from xtalshift.web.settings import ServeConfig
    except ModuleNotFoundError as error:
        raise ConfigError(f"the server needs {error.name}: pip install 'xtalshift[web]'") from error
    flags = {"host": host, "port": port, "token": token, "workers": workers}
    settings = options.build_settings(ServeConfig, config, assign, flags)
    if models is not None and not models.is_dir():
        raise DataError(f"{models} is no folder; name the folder of your models")
    serve(models, store, settings, lambda address: typer.echo(f"Serving at {address}"))
