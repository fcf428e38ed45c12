"""How each ready model is made: table, target, method and the splits that judge it."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from xtalshift.config import Settings
from xtalshift.errors import NotFoundError
from xtalshift.registry import Registry, near_miss

_FOLDER = Path(__file__).parent
SHIPPED = _FOLDER / "shipped"
"""Where the package has its models."""
MODEL_FILE = "model.json"


class Recipe(Settings):
    """Everything that a ready model follows from, and the terms of its data."""

    name: str
    aliases: tuple[str, ...] = ()
    """Other names."""
    title: str
    """The property, in one line."""
    target_name: str
    """Name of the property in predictions."""
    unit: str = ""
    """Of a number."""
    cuts: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()
    """`cuts`, `classes`: ends and names of the ranges that the model predicts in place of the
    number, see `xtalshift.data.cut_classes.cut_classes`; rows of one formula then vote."""
    conditions: str
    """How the values were computed or measured."""
    table: str
    """Data set of the catalogue."""
    column: str | None = None
    """Its target column; by default that of the catalogue."""
    file: str | None = None
    """The same rows in the folder that ``XTALSHIFT_DATA`` names, with the columns ``formula`` and
    ``target``; it is taken instead of a download."""
    log10: bool = False
    """Whether the table has decadic logarithms; the model predicts the values themselves."""
    duplicates: Literal["mean", "median", "lowest", "highest"] = "mean"
    """How rows of one formula are merged."""
    materials: int | None = None
    """Number of formulas that are drawn, where all of them would make the model too large."""
    transform: Literal["none", "log", "log1p", "asinh", "clip"] = "none"
    features: str = "magpie"
    method: str = "lightgbm"
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the method, such as ``lightgbm = {n_estimators = 1000}``."""
    splits: dict[str, dict[str, Any]]
    """Held-out sets that judge the model, as in a benchmark."""
    licence: str
    attribution: str
    """`licence`, `attribution`: terms of the table, and what must be said of it."""
    citation: str
    caveats: tuple[str, ...] = ()
    """What a user must know besides the errors."""
    not_shipped: str = ""
    """Why the package does not contain the model; empty if it does."""

    @property
    def folder(self) -> Path:
        """Where the package has the model."""
        return SHIPPED / self.name


def list_recipes() -> tuple[str, ...]:
    """Return the names of the ready models, in their order."""
    return tuple(_recipes())


def get_recipe(name: str) -> Recipe:
    """Return the recipe of a ready model, by its name or another name that it has.

    Raises
    ------
    NotFoundError
        If the name is unknown; the message names the nearest one.
    """
    if name not in all_names():
        raise NotFoundError(
            f"no ready model named {name!r}{like(name)}. Known: {', '.join(all_names())}."
        )
    return _recipes()[all_names()[name]]


def like(name: str) -> str:
    """Return in brackets the names like one that is none, an empty text without any.

    They contain it, or it misses one of them by a letter or two.
    """
    inside = [repr(known) for known in all_names() if name.casefold() in known]
    if name and inside:
        return f" (did you mean {' or '.join(inside)}?)"
    return near_miss(name, all_names())


def is_shipped(recipe: Recipe) -> bool:
    """Return whether the package contains the model."""
    return (recipe.folder / MODEL_FILE).is_file()


@cache
def all_names() -> dict[str, str]:
    """Return the name of each model by all its names."""
    recipes = _recipes()
    names = {name: name for name in recipes}
    return names | {alias: name for name in recipes for alias in recipes[name].aliases}


@cache
def _recipes() -> Registry[Recipe]:
    recipes = Registry[Recipe]("ready model")
    for name, values in tomllib.loads((_FOLDER / "recipes.toml").read_text("utf-8")).items():
        recipes.add(name, Recipe.from_dict({"name": name, **values}))
    return recipes
