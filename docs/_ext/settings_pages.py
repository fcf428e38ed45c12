"""Pages of the settings, from the pydantic models that read them."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from marks import code, hidden_toctree, paragraphs, prose, table
from numpydoc.docscrape import NumpyDocString
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.pycode import ModuleAnalyzer

from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.cal.adaptation import AdaptConfig
from xtalshift.jobs.pretrain import PretrainConfig
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.web.settings import ServeConfig

FOLDER = "reference/settings"
ROOTS: dict[str, tuple[type[BaseModel], str]] = {
    "run": (RunConfig, "`xtalshift run` and `xtalshift train`"),
    "adapt": (AdaptConfig, "`xtalshift adapt`"),
    "benchmark": (BenchmarkSpec, "`xtalshift benchmark`"),
    "pretrain": (PretrainConfig, "`xtalshift pretrain`"),
    "serve": (ServeConfig, "`xtalshift serve`"),
}
"""Name of a page -> the settings, and the commands that read them."""
_SEVERAL = re.compile(r"^((?:`\w+`, )*`\w+`): ")
"""The beginning of a text that describes several settings."""
_LIMITS = {Ge: ("ge", "at least"), Gt: ("gt", "above"), Le: ("le", "at most"), Lt: ("lt", "below")}
_SIMPLE = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def settings_pages() -> dict[str, str]:
    """Return the path of each page below the folder of the docs, and its text."""
    pages = {f"{FOLDER}/{name}.md": _page(*root) for name, root in ROOTS.items()}
    return {f"{FOLDER}/index.md": _index(), **pages}


def _index() -> str:
    rows = [[f"[{commands}]({name}.md)", _first(root)] for name, (root, commands) in ROOTS.items()]
    lines = [
        "# Settings",
        "",
        (
            "What has no option of its own is a setting: give it as `--set NAME=VALUE`, as often "
            "as needed, or in a TOML file with `--config`. The command saves all of them beside "
            "its results. These pages are made from the classes that read the settings."
        ),
        "",
        "```toml",
        "# run.toml, for xtalshift run gaps.csv --target gap --config run.toml",
        "[erm]",
        "epochs = 20            # as --set erm.epochs=20",
        "[split]",
        'family = "O"',
        "```",
        "",
        *table(["read by", "what they are"], rows),
        "",
        (
            "Each setting of CAL with its value in every preset: "
            "[settings of CAL](../../science/cal-settings.md)."
        ),
        "",
        *hidden_toctree(ROOTS),
    ]
    return "\n".join([*lines, ""])


def _page(root: type[BaseModel], commands: str) -> str:
    lines = [f"# {commands.replace('xtalshift ', '')}", ""]
    for name, group, values in _groups(root, _values(root)):
        if name:
            lines += [f"## {code(name)}", ""]
        lines += [_first(group), ""]
        rows = [
            [code(_join(name, field)), _allowed(info), _default(field, info, values), text]
            for field, info, text in _fields(group)
            if _nested(info.annotation) is None
        ]
        lines += [*table(["setting", "values", "default", "meaning"], rows), ""]
    return "\n".join(lines)


def _groups(
    root: type[BaseModel], values: BaseModel | None, name: str = ""
) -> Iterator[tuple[str, type[BaseModel], BaseModel | None]]:
    """Yield what stands before the names of each group of settings, its class and its defaults."""
    yield name, root, values
    for field, info in root.model_fields.items():
        inner = _nested(info.annotation)
        if inner is not None:
            group, repeated = inner
            own = getattr(values, field, None)
            defaults = own if isinstance(own, BaseModel) else _values(group)
            yield from _groups(group, defaults, _join(name, field) + ".NAME" * repeated)


def _values(group: type[BaseModel]) -> BaseModel | None:
    """Return a group with its defaults, or None if something must be given."""
    if any(info.is_required() for info in group.model_fields.values()):
        return None
    return group()


def _nested(annotation: Any) -> tuple[type[BaseModel], bool] | None:
    """Return the group that a field holds, and whether it holds several by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for part in get_args(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part, get_origin(annotation) is dict
    return None


def _fields(group: type[BaseModel]) -> Iterator[tuple[str, FieldInfo, str]]:
    """Yield name, facts and meaning of each setting of a group."""
    texts = _texts(group)
    for name, info in group.model_fields.items():
        text = texts.get(name, "")
        yield name, info, prose(text[:1].upper() + text[1:])


def _texts(group: type[BaseModel]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for owner in reversed(group.__mro__):
        if not issubclass(owner, BaseModel) or owner is BaseModel:
            continue
        for item in NumpyDocString(owner.__doc__ or "")["Attributes"]:
            texts[item.name] = " ".join(item.desc)
        analyzer = ModuleAnalyzer.for_module(owner.__module__)
        analyzer.analyze()
        for (where, name), lines in analyzer.attr_docs.items():
            if where != owner.__name__:
                continue
            text = " ".join(lines).replace("``", "`").strip()
            several = _SEVERAL.match(text)
            for one in re.findall(r"\w+", several[1]) if several else [name]:
                texts[one] = text[several.end() :] if several else text
    return texts


def _allowed(info: FieldInfo) -> str:
    limits = [
        f"{words} {getattr(item, attribute)}"
        for item in info.metadata
        for kind, (attribute, words) in _LIMITS.items()
        if isinstance(item, kind)
    ]
    return ", ".join([_type(info.annotation), *limits])


def _type(annotation: Any) -> str:
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(code(str(part)) if str(part) else "empty" for part in parts)
    if origin in {Union, types.UnionType}:
        return " or ".join(_type(part) for part in parts if part is not types.NoneType)
    if origin is tuple:
        inner = dict.fromkeys(_type(part) for part in parts if part is not Ellipsis)
        return f"list: {' and '.join(inner)}"
    if origin is dict:
        return "table"
    return _type(parts[0]) if parts else "text"


def _default(name: str, info: FieldInfo, values: BaseModel | None) -> str:
    if values is None and info.is_required():
        return "must be given"
    value = info.get_default(call_default_factory=True) if values is None else getattr(values, name)
    if value in (None, PydanticUndefined, "", (), {}):
        return "none"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, tuple):
        return ", ".join(code(str(item)) for item in value)
    return code(f"{value:g}" if isinstance(value, float) else str(value))


def _first(group: type[BaseModel]) -> str:
    return prose(paragraphs((group.__doc__ or "").replace("``", "`"))[0])


def _join(before: str, name: str) -> str:
    return f"{before}.{name}" if before else name
