"""What produced a result: versions, hardware, and the hash of the data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

_PACKAGES = (
    "xtalshift",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "torch",
    "lightgbm",
)


@dataclass(frozen=True, kw_only=True)
class Host:
    """All that differs between two runs of the same job: time, machine, memory."""

    time: str | None = None
    platform: str | None = None
    cpus: int | None = None
    peak_memory_mib: float | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What produced a result; `python` and `versions` depend on the installation only."""

    python: str | None = None
    versions: dict[str, str | None] = field(default_factory=dict)
    device: str | None = None
    threads: int | None = None
    host: Host = Host()


def collect_provenance(*, device: str = "cpu", threads: int | None = None) -> Provenance:
    """Describe this process and machine.

    Parameters
    ----------
    device : str
        The device that trained the models, such as ``"cpu"`` or ``"cuda:0 (NVIDIA ...)"``.
    threads : int, optional
        Threads per process.

    """
    return Provenance(
        python=platform.python_version(),
        versions={name: _version(name) for name in _PACKAGES},
        device=device,
        threads=threads,
        host=Host(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            platform=platform.platform(),
            cpus=os.cpu_count(),
            peak_memory_mib=peak_memory_mib(),
        ),
    )


def peak_memory_mib() -> float | None:
    """Return the largest resident size of this process so far in MiB (None where unknown)."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(size / (2**20 if sys.platform == "darwin" else 2**10), 1)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_text(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines of text, so that equal tables have equal hashes."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return digest.hexdigest()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
