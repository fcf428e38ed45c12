"""Methods by name: how each is built, its target access, its control, its cost."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from xtalshift.lazy import lazy_names

# the modules that fill METHODS, in the order of tables
from xtalshift.methods import classical as _classical  # noqa: F401
from xtalshift.methods import networks as _networks  # noqa: F401
from xtalshift.methods import stacks as _stacks  # noqa: F401
from xtalshift.methods import target_domain as _target_domain  # noqa: F401
from xtalshift.methods.registry import (
    METHODS,
    Method,
    adapting_methods,
    build_classifier,
    build_method,
    classifying_methods,
    features_of,
    register_method,
    saved_methods,
)

if TYPE_CHECKING:
    from xtalshift.methods.settings import MethodSettings

__all__ = [
    "METHODS",
    "Method",
    "MethodSettings",
    "adapting_methods",
    "build_classifier",
    "build_method",
    "classifying_methods",
    "features_of",
    "register_method",
    "saved_methods",
]

# by name, because the experimental methods import this package
import_module("xtalshift.experimental.methods")


# every command reads the facts about methods; few need their settings
__getattr__ = lazy_names(__name__, {"MethodSettings": "xtalshift.methods.settings"})
