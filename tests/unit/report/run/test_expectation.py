import re
from dataclasses import asdict

import numpy as np
import pytest

from report_toys import own_part, read_figures, read_text, toy_answer
from xtalshift.report import build_run_report, write_report
from xtalshift.report.run.sections import SECTIONS, make_sections


def texts(folder):
    return [one.text for one in build_run_report(folder).expectation.sentences]


def test_the_answer_is_about_the_saved_method_with_its_errors(results, rewrite, folder):
    rival = {"method": "erm", "mae": 5.5, "n_rows": 90, "p_value": 0.4, "level": True}
    choice = {"method": "cal", "mae": 5.0, "n_rows": 90, "rivals": [rival]}
    results["model"] = {"method": "cal", "choice": choice}
    rewrite(results)
    answer = build_run_report(folder).expectation
    assert answer.method == "cal"
    assert [(one.kind, one.mae, one.dummy_mae, one.useless) for one in answer.rows] == [
        ("materials like those of the table", 6.0, 10.0, False),
        ("materials of the split tail", 25.0, 20.0, True),
        ("materials of the split oxides", 6.0, 16.0, False),
    ]
    first, inside, tail, oxides = answer.sentences
    assert first.text == (
        "Use cal: it has the smallest error on rows that no test set holds. It is level with erm: "
        "the difference is within chance, so that erm is as good a choice."
    )
    assert inside.text == (
        "For materials like those of the table, expect it to be wrong by 6.00 eV, where a constant "
        "is wrong by 10.0 eV."
    )
    assert tail.bad
    assert "so do not use the predictions there" in tail.text
    assert not oxides.bad
    rival["level"] = False
    rewrite(results)
    assert "its lead over erm is larger than chance explains" in texts(folder)[0]
    rival["method"] = "dummy"
    rewrite(results)
    assert texts(folder)[0] == (
        "Use cal: on rows that no test set holds, its error is smaller than that of a constant by "
        "more than chance explains. No other method was compared with it."
    )
    choice["rivals"] = []
    rewrite(results)
    assert texts(folder)[0].endswith("No other method was compared with it.")


def test_without_a_saved_model_it_is_the_best_in_distribution(folder):
    assert build_run_report(folder).expectation.method == "erm"
    assert texts(folder)[0] == (
        "Use erm: it has the smallest error on materials like those of the table."
    )


def test_factors_stand_beside_the_unit_for_logarithms(results, rewrite, folder, predictions):
    results["config"] = {"data": {"transform": "log"}}
    rewrite(results)
    (folder / "map.parquet").unlink()  # it has a target of 0
    predictions["target"] += 1.0
    predictions["prediction"] = 2.0 * predictions["target"]
    predictions.to_parquet(folder / "predictions.parquet")
    assert texts(folder)[1] == (
        "For materials like those of the table, expect it to be wrong by 5.00 eV (typically by a "
        "factor of 2.0), where a constant is wrong by 10.0 eV (typically by a factor of 2.0)."
    )


def with_intervals(predictions, covered):
    """Repeat each row 20 times, with intervals that contain the given share of the targets."""
    rows = predictions.loc[predictions.index.repeat(20)].reset_index(drop=True)
    rows["id"] = rows["id"] + "-" + rows.groupby("id").cumcount().astype(str)
    share = rows["split"].map(covered).to_numpy()
    inside = np.arange(len(rows)) % 20 < 20 * share
    rows["needed_level"] = np.where(inside, 0.5, 0.95)
    rows["lower"], rows["upper"] = rows["prediction"] - 1, rows["prediction"] + 3
    return rows.assign(std=1.0, ood_score=0.5, in_domain=True)


def test_intervals_may_be_trusted_where_they_contain_enough(folder, predictions):
    covered = {"random": 0.9, "tail": 0.5, "oxides": 0.95}
    with_intervals(predictions, covered).to_parquet(folder / "predictions.parquet")
    answer = build_run_report(folder).expectation
    assert [one.trusted for one in answer.rows] == [True, False, True]
    assert [one.width for one in answer.rows] == pytest.approx([4.0] * 3)
    *_, good, bad = answer.sentences
    assert good.text.startswith(
        "Its 90 % intervals may be trusted for materials like those of the table (90 %) and "
        "materials of the split oxides (95 %)"
    )
    assert bad.bad
    assert "Do not trust its 90 % intervals for materials of the split tail (50 %)" in bad.text
    assert "candidates" not in bad.text


def test_the_intervals_of_candidates_are_told_from_those_of_the_test_rows(
    results, rewrite, folder, predictions
):
    covered = {"random": 0.9, "tail": 0.5, "oxides": 0.95}
    with_intervals(predictions, covered).to_parquet(folder / "predictions.parquet")
    results["answer"] = asdict(toy_answer())
    rewrite(results)
    bad = build_run_report(folder).expectation.sentences[-1]
    assert bad.text.endswith(
        "The intervals of your candidates are others: they are as wide as the hold-outs that "
        "imitate them need."
    )


def test_predictions_are_drawn_with_their_intervals(folder, predictions):
    rows = with_intervals(predictions, {"random": 0.9, "tail": 0.5, "oxides": 0.95})
    own = (rows["method"] == "erm") & (rows["split"] == "random") & (rows["seed"] == 0)
    rows.loc[np.flatnonzero(own)[0], "upper"] = np.inf
    rows.to_parquet(folder / "predictions.parquet")
    inside, tail, _ = build_run_report(folder).interval_parity
    assert (inside.split, inside.role, inside.n) == ("random", "id", 80)
    own = rows[own]
    assert inside.target == own["target"].tolist()
    assert inside.low == pytest.approx(own["lower"].tolist())
    assert inside.high[0] is None
    assert inside.inside == (own["needed_level"] < 0.9).tolist()
    assert sum(tail.inside) == 40
    figures = read_figures(write_report(folder).read_text(encoding="utf-8"))
    yes, no = figures["figure-chosen-2"]["data"]
    assert (len(yes["x"]), len(no["x"])) == (40, 40)
    assert set(yes["error_y"]["array"]) == {3.0}
    assert set(yes["error_y"]["arrayminus"]) == {1.0}


def test_the_page_is_in_the_order_of_the_questions(folder):
    page = own_part(write_report(folder).read_text(encoding="utf-8"))
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        "What to expect", "Where it goes wrong", "Predicted and measured",
        "Appendix for referees", "Glossary",
    ]  # fmt: skip
    assert len(SECTIONS) == 11


def test_measured_explanations_have_their_sections(results, rewrite, folder):
    worst = {"split": "random", "role": "id", "id": "m<1>", "formula": "NaCl"}
    worst |= {"target": 1.0, "prediction": 3.0, "lower": 2.0, "upper": 4.0}
    worst["neighbours"] = [{"formula": "KCl", "target": 2.5, "distance": 1.5}]
    points = [
        {"split": "random", "role": "id", "draw": 0, "n_train": n, "mae": 100 / n}
        for n in (50, 100, 200)
    ]
    driver = {"family": "electronegativity", "n_features": 6, "role": "id", "rise": 0.25}
    results["explanation"] = {
        "method": "erm",
        "worst": [worst],
        "learning": {"learner": "lightgbm", "n_train": 200, "points": points},
        "drivers": {"repeats": 1, "n_id": 60, "n_ood": 0, "found": [driver]},
    }
    rewrite(results)
    sections = [section.template for section in make_sections(build_run_report(folder))]
    assert sections == [
        f"run/{name}.html.j2"
        for name in ("expectation", "mistakes", "worst", "interval_parity", "learning", "drivers",
                     "appendix", "glossary")
    ]  # fmt: skip
    page = write_report(folder).read_text(encoding="utf-8")
    text = read_text(page)
    assert "NaCl m&lt;1&gt;, random split 1.00 3.00 2.00 to 4.00 2.00 KCl 2.50 (1.50)" in text
    assert "10 times the rows would bring the error from 0.500 eV to 0.0500" in text
    assert "erm takes long to train, so lightgbm was trained on parts of the table" in text
    assert "electronegativity (+25 %)" in text
    assert read_figures(page)["figure-drivers-1"]["data"][0]["x"] == [25.0]


def test_every_explained_term_is_in_the_glossary(folder):
    page = own_part(write_report(folder).read_text(encoding="utf-8"))
    used = set(re.findall(r'aria-describedby="([^"]*)"', page))
    assert {"term-in-distribution-ID-", "term-interval", "term-seed"} <= used
    assert used <= set(re.findall(r'<dd id="([^"]*)"', page))
    assert page.count("<button") == page.count("</button>")
    assert not re.search(r"<button[^>]*>[^<]*<button", page)
