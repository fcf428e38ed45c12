"""The settings of the server, and its limits."""

from __future__ import annotations

import ipaddress
from typing import Self

from pydantic import Field, field_validator, model_validator

from xtalshift.config import Settings

_SHORTEST_TOKEN = 16


class ServeConfig(Settings):
    """Where the server listens, whom it serves, and how much."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    """`host`, `port`: where it listens; port 0 is any free one."""
    token: str | None = Field(default=None, repr=False)
    """What a client sends as ``Authorization: Bearer TOKEN``; needed for another host than this
    machine."""
    names: tuple[str, ...] = ()
    """Further names of this machine by which clients may ask (addresses and ``localhost`` are
    always accepted), so that no page of another name can reach the server through its user."""
    workers: int = Field(default=1, ge=1, le=1000)
    """Jobs that run at the same time; others wait."""
    predictions: int = Field(default=4, ge=1, le=1000)
    """Predictions that are computed at the same time; others wait."""
    max_waiting: int = Field(default=200, ge=0)
    """Predictions that may wait."""
    max_formulas: int = Field(default=20_000, ge=1, le=50_000)
    """Formulas of a JSON body; tables may be longer."""
    max_rows: int = Field(default=2_000_000, ge=1)
    """Rows of a table."""
    max_json_mb: float = Field(default=16, gt=0)
    max_body_mb: float = Field(default=512, gt=0)
    """`max_json_mb`, `max_body_mb`: size of a JSON body or of the fields of a form, and of a table,
    in 10^6 bytes."""
    max_unpacked_mb: float = Field(default=2000, gt=0)
    max_files: int = Field(default=100_000, ge=1)
    """`max_unpacked_mb`, `max_files`: size of what is packed, in 10^6 bytes unpacked, and number of
    files of an archive."""
    max_seconds: float = Field(default=600, gt=0)
    """Time to receive a request, and time to predict a table, in seconds."""
    max_job_hours: float = Field(default=24, gt=0)
    """Time of a job, in hours."""
    max_jobs: int = Field(default=100, ge=1)
    """Jobs that wait or run."""
    max_disk_mb: float = Field(default=20_000, gt=0)
    """Size of the store, in 10^6 bytes."""

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: str | None) -> str | None:
        if token is not None and (len(token) < _SHORTEST_TOKEN or not token.isascii()):
            raise ValueError(
                f"a token has at least {_SHORTEST_TOKEN} ASCII characters; make one with "
                "python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        return token

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.token is None and not is_this_machine(self.host):
            raise ValueError(
                f"host {self.host!r} can be reached by other machines, so a token is needed: set "
                "XTALSHIFT_TOKEN or give --token (python -c 'import secrets; "
                "print(secrets.token_urlsafe())' makes one), or leave out --host"
            )
        return self


def is_this_machine(host: str) -> bool:
    """Return whether only this machine can reach a host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
