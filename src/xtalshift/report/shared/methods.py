"""What each method is: in words, as far as the settings of a run tell, and its colour."""

from __future__ import annotations

from collections.abc import Sequence

from xtalshift.jsonio import Plain
from xtalshift.methods import METHODS
from xtalshift.report.shared.text import join_words
from xtalshift.words import plural

DUMMY = "dummy"
"""Method that predicts the mean of the training targets."""
_MOST_NAMED = 4
_VARIANT_NOTES = {
    "ema": "moving average of the weights",
    "last": "weights of the last epoch",
    "best": "weights of the best validation epoch",
}
_SAME_KEYS = {
    "learning_rate": "optimiser",
    "weight_decay": "optimiser",
    "epochs": "epochs",
    "patience": "epochs",
    "batch_size": "batch size",
    "ema_decay": "averaging",
}
_AS_ERM = {
    "schedule": ("cosine", "optimiser"),
    "theta_optimizer": ("shared", "optimiser"),
    "erm_rows": ("all", "rows"),
    "ema_every": ("step", "averaging"),
    "ema_start": (0, "averaging"),
}
_ORDER = ("optimiser", "rows", "epochs", "batch size", "dropout", "averaging")

# Okabe and Ito's palette (readable with every common colour vision), then darker relatives of it
_COLOURS = {
    "dummy": "#8a8f94",
    "ridge": "#56b4e9",
    "lightgbm": "#009e73",
    "erm": "#0072b2",
    "cal": "#d55e00",
    "cal-eps0": "#e69f00",
}
_FURTHER = ("#cc79a7", "#6a51a3", "#8c6d31", "#7fbc41", "#01665e", "#b2182b", "#4d4d4d")


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """Give every method a colour; a variant has that of its method, known names a fixed one."""
    colours = dict(_COLOURS)
    for base in (method.partition(":")[0] for method in methods):
        if base not in colours:
            colours[base] = _FURTHER[(len(colours) - len(_COLOURS)) % len(_FURTHER)]
    return {method: colours[method.partition(":")[0]] for method in methods}


def name_methods(methods: Sequence[str]) -> str:
    """Name methods in a sentence; many are counted.

    Examples
    --------
    >>> name_methods(["ridge", "dummy"]), name_methods(["svr"] * 6)
    ('ridge and a constant', 'all 6 other methods')
    """
    if len(methods) > _MOST_NAMED:
        return f"all {plural(len(methods), 'other method')}"
    return join_words(["a constant" if one == DUMMY else one for one in methods])


def method_note(name: str, config: Plain) -> str:
    """Say in a few words what a method is; an unknown name gives an empty text.

    Parameters
    ----------
    name : str
        Method, or ``method:variant``.
    config : Plain
        Settings of the run; those of cal and erm tell how the two differ.
    """
    base, _, variant = name.partition(":")
    note = METHODS[base].summary if base in METHODS else ""
    if base == "cal":
        note += _recipe_of_cal(config)
    return "; ".join(filter(None, [note, _VARIANT_NOTES.get(variant, variant)]))


def describe_gap(config: Plain) -> str:
    """Say what makes cal and erm differ, apart from chance."""
    other = other_recipe(config)
    if other is None:
        return "the attack and its recipe"
    if other:
        return f"the attack and another recipe ({', '.join(other)})"
    return "the attack and the steps it adds"


def other_recipe(config: Plain) -> list[str] | None:
    """Name the parts of the recipe in which cal differs from erm, apart from its CAL steps.

    Returns
    -------
    list of str or None
        Of ``optimiser``, ``rows``, ``epochs``, ``batch size``, ``dropout``, ``averaging``; None if
        the run does not hold the settings of both.
    """
    cal, erm = _section(config, "cal"), _section(config, "erm")
    if not cal or not erm:
        return None
    found = {
        part
        for key, part in _SAME_KEYS.items()
        if key in cal and key in erm and cal[key] != erm[key]
    }
    found |= {part for key, (value, part) in _AS_ERM.items() if cal.get(key, value) != value}
    dropout, epochs = cal.get("dropout_epochs"), cal.get("epochs")
    if isinstance(dropout, int) and isinstance(epochs, int) and dropout < epochs:
        found.add("dropout")
    return [part for part in _ORDER if part in found]


def _section(config: Plain, name: str) -> Plain:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _recipe_of_cal(config: Plain) -> str:
    preset, other = _section(config, "cal").get("preset"), other_recipe(config)
    note = f" (preset {preset})" if preset else ""
    if other is None:
        return note
    if other:
        parts = ", ".join(other)
        return f"{note}: steps on attacked rows; unlike erm in {parts}"
    return f"{note}: the recipe of erm with added steps on attacked rows"
