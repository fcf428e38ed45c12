"""Pages of the public names of Python, from what the packages export.

Public is what a package lists in ``__all__``, and what `xtalshift.errors` and `xtalshift.testing`
define. A name has one page, that of the first package in `PACKAGES` that has it.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any

from marks import hidden_toctree, prose
from sphinx.pycode import ModuleAnalyzer

import xtalshift

FOLDER = "reference/api"
_FIRST = ("xtalshift", "xtalshift.data", "xtalshift.model", "xtalshift.splits")
_MODULES = ("xtalshift.testing", "xtalshift.errors")
"""Modules whose names are public too."""
_FOREIGN = "BaseEstimator, RegressorMixin, ClassifierMixin, TransformerMixin, BaseModel, Exception"
"""Bases of other packages, whose members stand in their own reference."""


def public_names() -> dict[str, list[str]]:
    """Return the public names of each package and module that has some."""
    found = [
        part.name for part in pkgutil.walk_packages(xtalshift.__path__, "xtalshift.") if part.ispkg
    ]
    modules = [*_FIRST, *sorted(set(found) - set(_FIRST)), *_MODULES]
    names = {module: _names(import_module(module)) for module in modules}
    return {module: own for module, own in names.items() if own}


def _names(module: ModuleType) -> list[str]:
    if module.__name__ in _MODULES:
        return sorted(
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        )
    return sorted(name for name in getattr(module, "__all__", []) if not name.startswith("_"))


def page_names() -> dict[str, dict[str, str]]:
    """Return for each package its names, and for each name that of its page."""
    homes: dict[int, str] = {}
    pages: dict[str, dict[str, str]] = {}
    for module, names in public_names().items():
        for name in names:
            value = getattr(import_module(module), name)
            own = f"{module}.{name}"
            # constants of equal value are other names; classes and functions are known by identity
            page = homes.setdefault(id(value), own) if _is_defined(value) else own
            pages.setdefault(module, {})[name] = page
    return pages


def api_pages() -> dict[str, str]:
    """Return the path of each page below the folder of the docs, and its text."""
    found = page_names()
    texts = {f"{FOLDER}/index.md": _index(list(found))}
    for module, names in found.items():
        texts[f"{FOLDER}/{module}.md"] = _package(module, names)
        for name, page in names.items():
            if page == f"{module}.{name}":
                texts[f"{FOLDER}/{page}.rst"] = _page(module, name)
    return texts


def _index(modules: list[str]) -> str:
    rows = [
        f"| [`{module}`]({module}.md) | {_first(import_module(module))} |" for module in modules
    ]
    lines = [
        "# Python",
        "",
        (
            "These pages are made from the docstrings. `import xtalshift as xs` loads nothing "
            "heavy; each name is loaded at its first use."
        ),
        "",
        "| package | what it has |",
        "| --- | --- |",
        *rows,
        "",
        *hidden_toctree(modules),
    ]
    return "\n".join([*lines, ""])


def _package(module: str, names: dict[str, str]) -> str:
    package = import_module(module)
    rows = [
        f"| [`{name}`]({page}.rst) | {_first(getattr(package, name), package, name)} |"
        for name, page in names.items()
    ]
    own = [page for name, page in names.items() if page == f"{module}.{name}"]
    lines = [
        f"# `{module}`",
        "",
        _first(package),
        "",
        "| name | what it is |",
        "| --- | --- |",
        *rows,
        "",
        *(hidden_toctree(own) if own else []),
    ]
    return "\n".join([*lines, ""])


def _page(module: str, name: str) -> str:
    value = getattr(import_module(module), name)
    lines = [name, "=" * len(name), "", f".. currentmodule:: {module}", ""]
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        lines += [f".. {kind}:: {name}", "   :members:", f"   :inherited-members: {_FOREIGN}"]
    elif callable(value) and _is_defined(value):
        lines += [f".. autofunction:: {name}"]
    else:  # a constant; its text stands where it is defined, which autodoc does not know
        lines += [f".. py:data:: {name}", "", *(f"   {line}" for line in _text(module, name))]
    return "\n".join([*lines, ""])


def _is_defined(value: Any) -> bool:
    """Say whether a value is a class or function, which has a docstring of its own."""
    return inspect.isclass(value) or inspect.isfunction(value)


def _first(value: Any, package: ModuleType | None = None, name: str = "") -> str:
    """Return the first sentence of a docstring as Markdown."""
    if package is None or _is_defined(value):
        text = inspect.getdoc(value) or ""
    else:
        text = "\n".join(_text(package.__name__, name))
    return prose(text.partition("\n\n")[0].replace("``", "`"))


def _text(package: str, name: str) -> list[str]:
    """Return the lines below the definition of a constant that a package exports."""
    module = package
    for statement in ast.walk(ast.parse(inspect.getsource(import_module(package)))):
        if isinstance(statement, ast.ImportFrom) and name in {one.name for one in statement.names}:
            module = statement.module or package
    analyzer = ModuleAnalyzer.for_module(module)
    analyzer.analyze()
    return analyzer.attr_docs.get(("", name), [])
