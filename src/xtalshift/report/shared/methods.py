"""What each method is, in words, as far as the settings of the run say it."""

from __future__ import annotations

from typing import Any

from xtalshift.methods import METHODS

__all__ = ["describe_gap", "method_note", "other_recipe"]

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


def method_note(name: str, config: dict[str, Any] | None = None) -> str:
    """Say in a few words what a method is; an unknown name gives an empty text.

    Parameters
    ----------
    name : str
        Method, or ``method:variant``.
    config : dict, optional
        Settings of the run; those of cal and erm say how the two differ.
    """
    base, _, variant = name.partition(":")
    note = METHODS[base].summary if base in METHODS else ""
    if base == "cal":
        note += _recipe_of_cal(config or {})
    parts = [note, _VARIANT_NOTES.get(variant, variant)]
    return "; ".join(part for part in parts if part)


def describe_gap(config: dict[str, Any]) -> str:
    """Say what else than luck makes cal and erm differ."""
    other = other_recipe(config)
    if other is None:
        return "the attack and its recipe"
    if other:
        return f"the attack and another recipe ({', '.join(other)})"
    return "the attack and the steps it adds"


def other_recipe(config: dict[str, Any]) -> list[str] | None:
    """Name the parts of the recipe in which cal differs from erm, apart from its CAL steps.

    Returns
    -------
    list of str or None
        Of ``optimiser``, ``rows``, ``epochs``, ``batch size``, ``dropout``, ``averaging``; None if
        the run does not hold the settings of both.
    """
    cal, erm = config.get("cal"), config.get("erm")
    if not cal or not erm:
        return None
    found = {
        part
        for key, part in _SAME_KEYS.items()
        if key in cal and key in erm and cal[key] != erm[key]
    }
    found |= {part for key, (value, part) in _AS_ERM.items() if cal.get(key, value) != value}
    if cal.get("dropout_epochs", cal["epochs"]) < cal["epochs"]:
        found.add("dropout")
    return [part for part in _ORDER if part in found]


def _recipe_of_cal(config: dict[str, Any]) -> str:
    preset, other = (config.get("cal") or {}).get("preset"), other_recipe(config)
    note = f" (preset {preset})" if preset else ""
    if other is None:
        return note
    if other:
        return f"{note}: steps on attacked rows, and a recipe that differs from that of erm in " + (
            ", ".join(other)
        )
    return f"{note}: the recipe of erm with added steps on attacked rows"
