"""Write the table of the ready models in docs/ready-models.md from their evaluations.

    python tools/ready_table.py

A test compares the table with what is shipped.
"""

from __future__ import annotations

import sys
from pathlib import Path

from xtalshift.model.ready import get_recipe, is_shipped, list_recipes
from xtalshift.model.ready.evaluation import AnyHeldOut, HeldOutClasses, read_evaluation

PAGE = Path(__file__).parent.parent / "docs" / "ready-models.md"
BEGIN = "<!-- models: written by tools/ready_table.py -->\n"
END = "<!-- end of models -->\n"


def make_table() -> str:
    """Return the table in Markdown: errors, and coverage at 90 %, of each model."""
    lines = [
        "| model | trained on | like | sparse | cluster | coverage: like, sparse, cluster |",
        "|---|---|---|---|---|---|",
    ]
    for name in list_recipes():
        recipe = get_recipe(name)
        names = ", ".join(f"`{one}`" for one in (name, *recipe.aliases))
        found = read_evaluation(recipe.folder)
        if found is None or not is_shipped(recipe):
            lines.append(f"| {names} | not shipped: {recipe.not_shipped} | | | | |")
            continue
        parts = [found.of(split) for split in ("random", "sparse", "cluster")]
        errors = " | ".join(_error(part) for part in parts)
        held = ", ".join(f"{100 * _mean(part, 'coverage'):.0f} %" for part in parts)
        of = f"{found.materials:,} compositions"
        lines.append(f"| {names} ({recipe.unit or 'class'}) | {of} | {errors} | {held} |")
    return "\n".join(lines) + "\n"


def replace_table(page: str) -> str:
    """Return the text of the page with the current table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{make_table()}{END}{after}"


def _error(folds: tuple[AnyHeldOut, ...]) -> str:
    error = _mean(folds, "error")
    text = f"{error:.3g} ({error / _mean(folds, 'dummy_error'):.2f})"
    if not isinstance(folds[0], HeldOutClasses):
        return text
    right, size = _mean(folds, "balanced_accuracy"), _mean(folds, "mean_set_size_90")
    return f"{text}; {100 * right:.0f} % right; sets of {size:.2f}"


def _mean(folds: tuple[AnyHeldOut, ...], name: str) -> float:
    return sum(getattr(one, name) for one in folds) / len(folds)


if __name__ == "__main__":
    PAGE.write_text(replace_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
