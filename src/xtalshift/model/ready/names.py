"""From what a user calls a model to its folder."""

from __future__ import annotations

from pathlib import Path

from xtalshift.errors import ModelFormatError
from xtalshift.model.ready.recipe import all_names, get_recipe, is_shipped, like


def model_folder(model: Path | str) -> Path:
    """Return the folder of a model that is named by a path or, where nothing is there, by a name.

    Parameters
    ----------
    model : Path or str
        A folder, or the name of a ready model.

    Raises
    ------
    ModelFormatError
        If nothing is there, and it is not the name of a model of the package, but like one; the
        message says what to do. Any other path is returned as it is, for its reader to judge.
    """
    path, text = Path(model), str(model)
    if path.exists() or path.name != text:
        return path
    if text in all_names():
        recipe = get_recipe(text)
        if is_shipped(recipe):
            return recipe.folder
        raise ModelFormatError(
            f"the ready model {text!r} does not come with the package: {recipe.not_shipped}. Build "
            f"it with `xtalshift models train {text}`, which writes the folder {text}/"
        )
    shipped = [name for name in all_names() if is_shipped(get_recipe(name))]
    raise ModelFormatError(
        f"there is neither a folder nor a ready model named {text!r}{like(text)}. Name the folder "
        f"that `xtalshift train` wrote, or a ready model: {', '.join(shipped)}"
    )
