"""The terms of a page, explained where they stand, and all together at the end."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Term:
    """A word of a page, what it means, and patterns of the forms in which it occurs."""

    name: str
    meaning: str
    forms: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """Id of its explanation in the page."""
        return "term-" + re.sub(r"\W+", "-", self.name)


GLOSSARY = (
    Term(
        "constant (dummy)",
        "A prediction that ignores the composition: the mean of the training values for every "
        "material. A method that is not better than this constant has learned nothing of use.",
        (r"constant", r"dummy"),
    ),
    Term(
        "covariate shift",
        "The test materials have unusual compositions: they lie in sparse regions of the features.",
        (r"covariate shift",),
    ),
    Term(
        "coverage",
        "The share of measured values that lie inside their intervals. Intervals of 90 % that are "
        "right contain about 90 % of the values.",
        (r"coverage",),
    ),
    Term(
        "cross-fit",
        "The rows are divided into parts, and each part is predicted by a model that was fitted to "
        "the other parts, so that no row is predicted by a model that has seen it.",
        (r"cross-fit(?:ted)?",),
    ),
    Term(
        "domain",
        "The region of compositions that the training materials cover. A material outside it is "
        "new to the model; its error may or may not be larger.",
        (r"domain",),
    ),
    Term(
        "factor",
        "Errors of values that span decades are ratios: a factor of 2 means that predictions are "
        "typically twice or half the measured value.",
        (r"by a factor of", r"factors?"),
    ),
    Term(
        "feature",
        "A number that is computed from the composition, such as the mean electronegativity of its "
        "elements. The models see features only.",
        (r"features?",),
    ),
    Term(
        "held-out",
        "Materials that were kept from the training, so that the error on them is that on new "
        "materials.",
        (r"held[- ]out", r"holds? out"),
    ),
    Term(
        "in distribution (ID)",
        "Test materials that were drawn at random from the table: they resemble the training "
        "materials.",
        (r"in distribution", r"ID"),
    ),
    Term(
        "interval",
        "A lower and an upper bound of a prediction. The measured value lies between the bounds of "
        "a 90 % interval in 90 % of the cases, if the material resembles those of the table.",
        (r"intervals?",),
    ),
    Term(
        "level",
        "Two methods are level if the difference of their errors is as small as chance makes it; "
        "either of them may be the better one.",
        (r"level with",),
    ),
    Term(
        "mean absolute error (MAE)",
        "The difference of prediction and measured value without its sign, averaged over the "
        "materials; it has the unit of the target.",
        (r"mean absolute error", r"MAE"),
    ),
    Term(
        "OOD score",
        "The share of held-out materials of the table that lie nearer to the training materials "
        "than this one does. 0.99 means that only one of a hundred is as far away.",
        (r"OOD scores?",),
    ),
    Term(
        "out of distribution (OOD)",
        "Test materials that differ from the training materials on purpose: unusual compositions, "
        "extreme values, or an element that no training material contains.",
        (r"out of distribution", r"OOD"),
    ),
    Term(
        "power law",
        "Errors often fall by the same factor whenever the number of training rows doubles. This "
        "straight line in a plot with two logarithmic axes is continued to larger tables.",
        (r"power laws?",),
    ),
    Term(
        "pretrained encoder",
        "A network that has learned from other tables of materials; what it says about a "
        "composition are 96 further features.",
        (r"pretrained encoder",),
    ),
    Term(
        "prior shift",
        "The test materials have other values than the training materials: here the most extreme "
        "values of the table.",
        (r"prior shift",),
    ),
    Term(
        "R²",
        "1 for perfect predictions, 0 for predictions as good as the mean of the test rows, "
        "negative for worse ones.",
        (r"R²",),
    ),
    Term(
        "seed",
        "The number that starts all random draws. Runs with several seeds show how much of a "
        "difference is chance.",
        (r"seeds?",),
    ),
    Term(
        "stack",
        "A method that averages the predictions of other methods, its members.",
        (r"stack",),
    ),
    Term(
        "validation rows",
        "Rows that choose when a training stops; they are neither fitted nor tested.",
        (r"validation rows",),
    ),
)
"""The terms, in alphabetical order."""

# longer forms first, so that "OOD score" is not read as "OOD"
_ORDER = sorted(
    ((form, term) for term in GLOSSARY for form in term.forms), key=lambda one: -len(one[0])
)
_FORMS = re.compile(
    r"(?<![\w-])(?:" + "|".join(f"(?P<t{i}>{form})" for i, (form, _) in enumerate(_ORDER)) + r")"
    r"(?![\w-])"
)
_PROSE = re.compile(r"(<(p|li)\b[^>]*>)(.*?)(</\2>)", re.DOTALL)
_TAGS = re.compile(r"(<[^>]*>)")


def explain_terms(html: str) -> Markup:
    """Underline each term where paragraphs and lists of HTML first use it, with its meaning.

    A term becomes a button, which the keyboard reaches; its meaning is in the attribute that the
    style shows on hover and focus, and in the glossary, for those who hear the page.

    Parameters
    ----------
    html : str
        Part of a page that contains no button in a paragraph.
    """
    known: set[str] = set()

    def mark(found: re.Match[str]) -> str:
        _, term = _ORDER[int(str(found.lastgroup)[1:])]
        if term.name in known:
            return found[0]
        known.add(term.name)
        return (
            f'<button type="button" class="term" aria-describedby="{term.anchor}" '
            f'data-says="{escape(term.meaning)}">{found[0]}</button>'
        )

    def explain(found: re.Match[str]) -> str:
        pieces = _TAGS.split(found[3])
        text = "".join(one if one.startswith("<") else _FORMS.sub(mark, one) for one in pieces)
        return f"{found[1]}{text}{found[4]}"

    return Markup(_PROSE.sub(explain, html))  # noqa: S704 (escaped before it comes here)
