"""Settings as the description of the interface has them: with what their docstrings say."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, TypeAlias

from fastapi import Path
from pydantic import BaseModel

from xtalshift.jsonio import Plain

ModelName: TypeAlias = Annotated[str, Path(description="Name of a model, see /api/v1/models.")]
TableId: TypeAlias = Annotated[str, Path(description="Id of a table, see /api/v1/tables.")]
JobId: TypeAlias = Annotated[str, Path(description="Id of a job, see /api/v1/jobs.")]

_SHARED = re.compile(r"((?:`\w+`, )+`\w+`): ")
"""Begins a docstring of several fields: their names."""


def schema_of(kind: type[BaseModel]) -> Plain:
    """Return the JSON schema of settings, in which each has its description."""
    schema: Plain = kind.model_json_schema()
    said = _docstrings(kind)
    for name, field in kind.model_fields.items():
        shape = schema["properties"][field.alias or name]
        if name in said:
            shape["description"] = said[name]
    return schema


@cache
def _docstrings(kind: type[BaseModel]) -> dict[str, str]:
    """Return what stands below each field of a class, or of those that it is derived from."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if issubclass(one, BaseModel) and one is not BaseModel:
            found |= _own_docstrings(one)
    return found


def _own_docstrings(kind: type[BaseModel]) -> dict[str, str]:
    try:
        text = inspect.getsource(kind)
    except OSError:  # installed without its source
        return {}
    body: list[Any] = ast.parse(textwrap.dedent(text)).body[0].body  # type: ignore[attr-defined]
    found: dict[str, str] = {}
    for field, below in pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(below, ast.Expr):
            continue
        said = inspect.cleandoc(ast.literal_eval(below.value)).replace("\n", " ")
        shared = _SHARED.match(said)
        names = re.findall(r"\w+", shared[1]) if shared else [ast.unparse(field.target)]
        found |= dict.fromkeys(names, said)
    return found
