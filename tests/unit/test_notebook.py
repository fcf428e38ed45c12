"""What a notebook shows, and what `help` and `inspect.signature` print."""

import inspect

import numpy as np

import xtalshift
from xtalshift.data import Dataset
from xtalshift.model import fit
from xtalshift.notebook import html_table


def test_texts_are_escaped_and_numbers_are_short():
    found = html_table("a & b", ("x<y", "z"), [("<script>", 1 / 3), (None, float("nan"))])
    assert found == (
        "<table><caption>a &amp; b</caption><tr><th>x&lt;y</th><th>z</th></tr>"
        "<tr><td>&lt;script&gt;</td><td>0.33333</td></tr><tr><td></td><td></td></tr></table>"
    )


def test_data_a_model_and_predictions_are_tables():
    formulas = [f"{a}{b}" for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br")]
    data = Dataset.of(formulas, np.arange(12.0), unit="eV")
    model = fit(data, "ridge", features="fractions")
    predictions = model.predict(["CsF", "<b>x</b>"])
    shown = data._repr_html_()
    assert shown.count("<tr>") == 1 + 5
    assert "<th>id</th><th>formula</th><th>target</th>" in shown
    assert "<td>LiF</td><td>0</td>" in shown
    assert "from 0 to 11 eV" in shown
    assert "<td>features</td><td>fractions</td>" in model._repr_html_()
    assert "ridge for target in eV" in model._repr_html_()
    value = f"{predictions.prediction[0]:.5g}"
    assert f"<tr><td>CsF</td><td>{value}</td>" in predictions._repr_html_()
    assert "&lt;b&gt;x&lt;/b&gt;" in predictions._repr_html_()
    assert "<b>" not in predictions._repr_html_()
    for one in (data, model, predictions):
        assert one._repr_html_() == one._repr_html_()
        assert "0x" not in one._repr_html_()


def test_signatures_of_public_functions_print_plainly():
    for name in xtalshift.__all__:
        public = getattr(xtalshift, name)
        if inspect.isfunction(public):
            assert " object at 0x" not in str(inspect.signature(public)), name
    assert "progress: 'Progress' = NO_PROGRESS" in str(inspect.signature(xtalshift.fit))
