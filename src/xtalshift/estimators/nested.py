"""Predictors inside a predictor: how their arrays are named, checked and restored."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from xtalshift.errors import ModelFormatError
from xtalshift.estimators.predictors import PREDICTORS, Arrays, Learned
from xtalshift.estimators.saved import SavedRegressor
from xtalshift.saved_arrays import Layout, Schema

_NESTED = re.compile(r"(start|member\d{1,3})\.(\w+)\.(.+)", re.ASCII)
_LONGEST = 500
"""Characters of a name: a model that was adapted 10 times has 300."""


def nest(parts: Mapping[str, Learned]) -> Arrays:
    """Return the arrays of predictors, each name as ``place.class.name``.

    Parameters
    ----------
    parts : mapping of Learned
        By place: ``start`` or ``member0``, ``member1`` ...
    """
    return {
        f"{place}.{predictor.regressor_name}.{name}": value
        for place, predictor in parts.items()
        for name, value in predictor._get_state().items()  # noqa: SLF001
    }


def nested_schema(found: Layout, own: Schema, without: Container[str] = ()) -> Schema:
    """Return what the arrays of a predictor must be that holds others.

    Parameters
    ----------
    found : mapping of ndarray or Unread
        The arrays that are there.
    own : mapping of SavedArray
        What must be there besides those of the others.
    without : container of str
        Classes that cannot be inside.

    Raises
    ------
    ModelFormatError
        If a name is not that of an array inside.
    """
    schema = dict(own)
    for place, kind in sorted({_place_of(name, without) for name in found.keys() - own.keys()}):
        prefix = f"{place}.{kind}."
        inside = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
        for name, saved in PREDICTORS[kind]._saved(inside).items():  # noqa: SLF001
            # lengths of the same name in another predictor have other values
            lengths = (f"{place}.{one}" if isinstance(one, str) else one for one in saved.shape)
            schema[prefix + name] = replace(saved, shape=tuple(lengths))
    return schema


def take_nested(state: Arrays, place: str, saved: SavedRegressor, device: str | None) -> Any:
    """Remove the arrays of a predictor from others and return it, restored.

    Raises
    ------
    ModelFormatError
        If they are not its arrays.
    """
    prefix = f"{place}.{saved.class_name}."
    names = [name for name in state if name.startswith(prefix)]
    predictor = saved.make(device)
    predictor._set_state({name.removeprefix(prefix): state.pop(name) for name in names})  # noqa: SLF001
    return predictor


def _place_of(name: str, without: Container[str]) -> tuple[str, str]:
    """Return the place and the class of the predictor that an array belongs to."""
    match = _NESTED.fullmatch(name)
    if match is None or len(name) > _LONGEST or match[2] not in PREDICTORS or match[2] in without:
        raise ModelFormatError(f"the array {name[:80]!r} is unknown")
    return match[1], match[2]
