"""Run the server until it is stopped."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from xtalshift.errors import ConfigError
from xtalshift.files import lock_folder
from xtalshift.web.app import create_app
from xtalshift.web.prompt import PromptProtocol
from xtalshift.web.settings import ServeConfig

_BACKLOG = 256
_CONNECTIONS, _IDLE = 1000, 60
"""Most connections at once, and the seconds for which one may be idle."""
_SECONDS = 10
"""Time that requests have to end when the server is stopped."""


def serve(
    models: Path | None, store: Path, config: ServeConfig, ready: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM.

    Parameters
    ----------
    models, store, config
        See `xtalshift.web.app.create_app`.
    ready : callable
        Called with the address once connections are accepted.

    Raises
    ------
    ConfigError
        If the address cannot be taken, or another server has the store.
    """
    # to all processes of jobs: cells of their tables name no files of this machine
    os.environ["XTALSHIFT_CELLS_NAME_FILES"] = "no"
    with lock_folder(store), _listen(config) as listener:
        host, port = listener.getsockname()[:2]
        settings = uvicorn.Config(
            create_app(models, store, config),
            log_level="warning",
            access_log=False,
            server_header=False,
            http=PromptProtocol,
            ws="none",
            proxy_headers=False,
            timeout_graceful_shutdown=_SECONDS,
            timeout_keep_alive=_IDLE,
            limit_concurrency=_CONNECTIONS,
            backlog=_BACKLOG,
        )
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        uvicorn.Server(settings).run([listener])


def _listen(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # only of sockets that say they are TCP does asyncio send each part at once; else every answer
    # would wait 40 ms for a receipt
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen at {config.host}, port {config.port}: {error.strerror or error}; "
            "choose another --port"
        ) from error
    return listener
