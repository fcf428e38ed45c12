"""Public names of a package that are loaded at first use.

lazy_loader does the same without a hint at the name that was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package.

    Parameters
    ----------
    package : str
        Its name.
    homes : mapping
        Public name -> module that defines it.
    """

    def load(name: str) -> Any:
        if name in homes:
            return getattr(import_module(homes[name]), name)
        from xtalshift.registry import near_miss

        hint = near_miss(name, homes)
        raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")

    return load
