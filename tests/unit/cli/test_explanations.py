"""Explanations on the terminal."""

import io

import numpy as np
import pytest
from rich.console import Console

from xtalshift.cli.explanations import amount, print_explanations
from xtalshift.model.explaining.record import Contribution, Explanation, Predicted, Substitution

ITSELF = Predicted("PbTe", 150.0, 100.0, None, True, 0.2, False)
NUMBER = Explanation(
    formula="PbTe",
    target="Seebeck [p]",
    unit="uV/K",
    itself=ITSELF,
    value=150.0,
    base=400.0,
    compared=64,
    elements=(
        Contribution("element", "Pb", -200.0, 12.0, 0.5),
        Contribution("element", "Te", -60.0, 8.0, 0.5),
        Contribution("proportions", "proportions", 10.0),
    ),
    families=(Contribution("family", "size of the atoms", -250.0),),
    features=(
        Contribution("feature", "MagpieData mean Row", -300.0, 9.0, 5.5, 3.44),
        Contribution("feature", "a", 30.0, 1.0, 1.0, 0.0),
        Contribution("feature", "b", 15.0, 1.0, 2.0, 0.0),
    ),
    left_over=5.0,
    substitutions=(
        Substitution("Te", "Se", 12.5, Predicted("PbSe", 162.5, 1.0, 2.0, True, 0.1, True)),
        Substitution("Te", "O", -50.0, Predicted("PbO", 100.0, 1.0, 2.0, False, 0.97, False)),
    ),
)


def shown(*explanations, **options):
    console = Console(file=io.StringIO(), width=100, color_system=None, highlight=False)
    print_explanations(explanations, **{"level": 0.9, "top": 1, "console": console, **options})
    return console.file.getvalue()


def test_a_number_and_what_moves_it():
    text = shown(NUMBER)
    assert "PbTe  Seebeck [p]: 150 uV/K, [100, unbounded] at 90 %.\n" in text
    assert (
        "Mean of 64 training materials: 400 uV/K. What makes up the difference of -250 uV/K:"
        in (" ".join(text.split()))
    )
    lines = {line.split("  ")[1].strip(): line for line in text.splitlines() if "  " in line}
    assert "50.0%" in lines["Pb"]
    assert lines["Pb"].split()[-4:] == ["-200", "±", "12", "██████│"]
    assert "█" not in lines["proportions"].partition("│")[0]
    assert "5.5 (mean 3.44)" in lines["mean Row"]
    assert "+45" in lines["all others"]
    assert "+5" in lines["not shared (integral of a network)"]
    swap = next(line.split() for line in text.splitlines() if "Te -> Se" in line)
    assert swap == ["Te", "->", "Se", "PbSe", "162.5", "+12.5", "in", "domain,", "known"]
    assert "out of domain (0.97)" in text


def test_bars_are_as_long_as_the_largest_contribution_says():
    from xtalshift.cli.explanations import _HALF, _bar

    assert _bar(-10.0, 10.0) == f"[red]{'█' * _HALF}[/red]│"
    assert _bar(5.0, 10.0) == f"{' ' * _HALF}│[green]{'█' * (_HALF // 2)}▌[/green]"
    assert _bar(0.0, 0.0) == ""
    assert _bar(1e-9, 10.0) == f"{' ' * _HALF}│[green][/green]"


def test_factors_of_a_model_of_logarithms():
    log = Explanation(
        formula="PbTe", target="PF", unit="W", scale="log", itself=ITSELF, value=np.log(150.0),
        base=np.log(50.0), compared=64,
        elements=(Contribution("element", "Pb", np.log(6.0), np.log(1.1), 0.5),
                  Contribution("element", "Te", np.log(0.5), 0.0, 0.5)),
        no_features="the method cannot say",
    )  # fmt: skip
    text = shown(log)
    assert "50 W (geometric mean). What makes up the factor of 3:" in " ".join(text.split())
    assert "x 6 ± 10 %" in text
    assert "x 0.5 " in text
    assert "the method cannot say" in text
    assert "Single features" not in text


def test_log_odds_of_a_class_and_a_doubtful_domain():
    outside = Predicted("PbTe", 0.88, None, None, False, 0.99, False)
    odds = Explanation(
        formula="PbTe", target="kind", label="metal", scale="log odds", itself=outside, value=2.0,
        base=0.0, compared=64, elements=(Contribution("element", "Pb", 2.0, 0.1, 1.0),),
    )  # fmt: skip
    text = " ".join(shown(odds).split())
    assert "kind is 'metal': probability 88.0%. Out of domain: the reasons are as doubtful" in text
    assert "probability 50.0%, as log odds +0.00. What makes up the difference of +2" in text


def test_a_bad_formula_and_markup_in_names():
    bad = Explanation(formula="[red]", target="t", reason="unknown [bold]element")
    assert "[red]  unknown [bold]element" in shown(bad)


@pytest.mark.parametrize(
    ("contribution", "scale", "text"),
    [(-1.23456, "unit", "-1.235"), (0.0, "unit", "+0"), (np.log(2), "log", "x 2")],
)
def test_amounts(contribution, scale, text):
    assert amount(contribution, scale) == text
