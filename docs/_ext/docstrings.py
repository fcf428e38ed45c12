"""Sphinx extension: types in the reference as the source writes them.

Sphinx evaluates annotations, and `ArrayLike` then becomes ten lines that no reader knows.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature


def write_signature(
    _app: Sphinx, what: str, _name: str, value: Any, _options: Any, given: str | None, *_: Any
) -> tuple[str, str] | None:
    """Return arguments and result with the annotations of the source."""
    if given is None or what not in {"class", "function", "method"}:
        return None
    signature = inspect.signature(value)
    parameters = list(signature.parameters.values())
    if what == "method" and parameters and parameters[0].name in {"self", "cls"}:
        parameters = parameters[1:]
    plain = [
        part if part.default is part.empty else part.replace(default=_short(part.default))
        for part in parameters
    ]
    result = inspect.Signature.empty if what == "class" else signature.return_annotation
    arguments, _, returned = stringify_signature(
        inspect.Signature(plain, return_annotation=result)
    ).partition(" -> ")
    return arguments, returned


class _Shown:
    """A default that is shown by a name, because its value is long or has an address."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def _short(default: Any) -> Any:
    if inspect.isfunction(default) or inspect.isclass(default):
        return _Shown(default.__name__)
    text = repr(default)
    return _Shown("...") if len(text) > 40 or " at 0x" in text else default  # noqa: PLR2004


def write_type(
    _app: Sphinx, what: str, name: str, _value: Any, _options: Any, lines: list[str]
) -> None:
    """Put the annotation of a field above its text."""
    if what != "attribute" or not lines:
        return
    path, _, field = name.rpartition(".")
    module, _, owner = path.rpartition(".")
    kinds = getattr(getattr(import_module(module), owner, None), "__mro__", ())
    for kind in kinds:
        annotation = inspect.get_annotations(kind).get(field)
        if isinstance(annotation, str):
            lines[:0] = [f"``{annotation}``", ""]
            return


def skip_foreign(_app: Sphinx, _what: str, name: str, value: Any, *_: Any) -> bool | None:
    """Leave out what scikit-learn adds to every estimator."""
    foreign = (getattr(value, "__module__", None) or "").startswith("sklearn")
    return True if foreign or name.endswith("_request") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to autodoc, which has to be there."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-signature", write_signature)
    app.connect("autodoc-process-docstring", write_type, priority=900)  # after numpydoc
    app.connect("autodoc-skip-member", skip_foreign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
