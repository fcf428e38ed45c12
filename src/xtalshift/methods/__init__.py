"""Methods by name: how each is built, what it may see of the target domain, its control."""

# the modules that fill METHODS, in the order of tables
from xtalshift.methods import classical as _classical  # noqa: F401
from xtalshift.methods import networks as _networks  # noqa: F401
from xtalshift.methods import target_labels as _target  # noqa: F401
from xtalshift.methods.registry import (
    METHODS,
    Method,
    MethodSettings,
    build_method,
    register_method,
    saved_methods,
)

__all__ = [
    "METHODS",
    "Method",
    "MethodSettings",
    "build_method",
    "register_method",
    "saved_methods",
]
