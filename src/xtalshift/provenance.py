"""What produced a result: versions, hardware, and the hash of the data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from xtalshift.jsonio import Plain

_PACKAGES = (
    "xtalshift",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "torch",
    "lightgbm",
)


def collect_provenance(*, device: str = "cpu", threads: int | None = None) -> Plain:
    """Describe this process and machine.

    Parameters
    ----------
    device : str
        The device that trained the models, such as ``"cpu"`` or ``"cuda:0 (NVIDIA ...)"``.
    threads : int, optional
        Threads per process.

    Returns
    -------
    dict
        ``versions`` and ``python`` depend on the installation only; ``host`` holds everything that
        differs between two runs of the same job (time, machine, memory).
    """
    return {
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "device": device,
        "threads": threads,
        "host": {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "peak_memory_mib": peak_memory_mib(),
        },
    }


def peak_memory_mib() -> float | None:
    """Return the largest resident size of this process so far in MiB (None where unknown)."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(size / (2**20 if sys.platform == "darwin" else 2**10), 1)


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
