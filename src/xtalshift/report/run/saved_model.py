"""The saved model of a run in sentences: what it has seen, how it was chosen, how sure that is."""

from __future__ import annotations

from xtalshift.benchmark.choice import Choice
from xtalshift.benchmark.run_results import Model
from xtalshift.report.shared.methods import name_methods
from xtalshift.report.shared.text import format_number
from xtalshift.words import plural


def describe_model(model: Model, unit: str, minutes: float | None) -> list[str]:
    """Return sentences about the model of a run.

    Parameters
    ----------
    model : Model
        From ``results.json``; one of an earlier version has one sentence.
    unit : str
        Unit of the target; may be empty.
    minutes : float or None
        Wall minutes that a fit of a stack could take.
    """
    if model.failure is not None:
        first = (
            f"No model is saved: {model.method} was chosen, but could not be fitted to all rows "
            f"({model.failure})."
        )
    elif model.n_rows is None:
        return [f"{model.method} ({model.rule})."]
    else:
        first = f"{model.method}, {_describe_rows(model)}."
    said = [first]
    if model.choice is not None:
        said += [_describe_error(model.choice, unit), _describe_lead(model.choice)]
    if model.unsaved is not None:
        said.append(f"{model.unsaved} has a smaller error, but cannot be saved.")
    if model.failure is None:
        said.append(
            "Errors and coverage in the tables are those of models that saw no test row; the saved "
            "model has seen these rows too."
        )
    if left_out := [str(one["name"]) for one in model.members if one.get("left_out")]:
        within = "" if minutes is None else f" (a fit has {minutes:g} min)"
        said.append(f"Members that are left out{within}: {', '.join(left_out)}.")
    return said


def _describe_rows(model: Model) -> str:
    used = (model.n_train or 0) + (model.n_validation or 0)
    everything = used == model.n_rows
    text = f"trained on all {used:,} rows" if everything else (
        f"trained on {used:,} of {model.n_rows:,} rows"
    )  # fmt: skip
    if model.beside:
        text += f" and {model.beside}"
    if model.n_validation:
        text += f" ({model.n_validation:,} of them only select its parameters)"
    if model.calibration is None:
        return f"{text}; it has no intervals"
    how = {
        "out-of-fold": "each predicted by fits to others",
        "held-out": "which were kept from its training",
        "proxies": "those of the hold-outs that imitate the candidates",
    }[model.calibration]
    return f"{text}; its intervals are calibrated on {plural(model.n_calibrated, 'row')}, {how}"


def _describe_error(choice: Choice, unit: str) -> str:
    size = f"{format_number(choice.mae)} {unit}".strip()
    folds = f"{choice.n_folds} folds"
    if choice.repeats > 1:
        folds += f", {choice.repeats} times"
    how = (
        f"the {choice.n_rows:,} rows that no test set holds, each predicted by fits to others "
        f"({folds})"
        if choice.repeats
        else f"{choice.n_rows:,} validation rows, which no test set holds"
    )
    return f"It has the smallest error, {size}, on {how}."


def _describe_lead(choice: Choice) -> str:
    if not choice.rivals:
        return "No other method could be compared with it."
    spread = "the spread of the folds" if choice.repeats else "the spread of these rows"
    if (fewest := min(one.n_rows for one in choice.rivals)) < choice.n_rows:
        spread += f" (compared on the {fewest:,} rows that both were judged by)"
    if level := choice.level_with:
        return f"It is level with {name_methods(level)}: within {spread}."
    rivals = [one.method for one in choice.rivals]
    return f"Its lead over {name_methods(rivals)} is beyond {spread}."
