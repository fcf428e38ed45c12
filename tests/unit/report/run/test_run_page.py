import re

import plotly.graph_objects as go
import pytest

from report_toys import own_part, read_figures
from xtalshift.report import build_run_report, write_report
from xtalshift.report.run.run_figures import ROLE_COLOURS
from xtalshift.report.run.sections import build_figures, make_sections
from xtalshift.report.shared.methods import method_colours


@pytest.fixture
def page(folder):
    return write_report(folder).read_text(encoding="utf-8")


def test_the_page_loads_nothing_and_its_policy_forbids_it_to(page):
    own = own_part(page)
    assert len(page) - len(own) > 1_000_000  # the library is inside
    assert page.count("plotly.js v") == 1
    assert not re.search(r"https?://|\bsrc=|\bhref=|@import|url\(", own)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', own)[1]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_the_file_is_small_enough_and_replaced_at_once(folder):
    path = write_report(folder)
    assert path == folder / "report.html"
    assert path.stat().st_size < 8_000_000
    assert [p.name for p in folder.glob("*.part")] == []


def test_equal_results_give_equal_bytes(folder):
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_formulas_and_names_cannot_become_markup(results, rewrite, folder):
    results["records"][0]["reason"] = "unused"
    results["records"].append(
        {"method": "<i>odd</i>", "split": "tail", "role": "ood", "seed": 0, "n": 60}
        | {"status": "failed", "reason": "<script>alert(2)</script>"}
    )
    results["config"] = {"name": "</pre><script>alert(3)</script>"}
    rewrite(results)
    own = own_part(write_report(folder).read_text(encoding="utf-8"))
    assert "<script>alert" not in own
    assert "<i>odd" not in own
    assert "&lt;i&gt;odd" in own
    assert "X&lt;b&gt;2" in own
    texts = read_figures(own)["figure-parity-1"]["data"][0]["text"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in texts


def test_every_figure_has_its_place_and_is_valid_plotly(page):
    figures = read_figures(page)
    assert [name for name in figures if name.startswith("figure-bars")] == [
        "figure-bars-1",
        "figure-bars-2",
        "figure-bars-3",
    ]
    assert re.findall(r'<div id="(figure-[^"]*)"', page) == list(figures)
    for figure in figures.values():
        go.Figure(figure)  # raises at an unknown or wrong property


def test_bars_show_the_error_over_the_dummy_and_in_distribution(folder):
    bars = build_figures(make_sections(build_run_report(folder)))["bars"]
    bar, inside = bars[1].data  # tail
    assert bar["y"] == ["cal", "erm"]
    assert bar["x"] == [1.25, 1.25]
    assert inside["x"] == [0.5, 0.4]
    (line,) = bars[1].layout["shapes"]
    assert (line["x0"], line["x1"]) == (1, 1)


def test_an_exploding_method_does_not_flatten_the_others(results, rewrite, folder):
    results["records"][-3]["mae_over_dummy"] = 1e6
    rewrite(results)
    for panel in build_figures(make_sections(build_run_report(folder)))["bars"]:
        assert panel.layout["xaxis"]["range"][1] < 3


def test_numbers_and_negative_results_stand_in_the_page(page):
    text = re.sub(r"<[^>]*>", "", own_part(page))
    assert "6.00 ± 1.41" in text
    assert "1.5 × ID (4.00)" in text
    assert "worse than constant" in text
    assert "no better than a constant (20.0)" in text
    assert "520 rows read, 500 kept. 5 dropped as unusable, 15 merged" in text
    assert "512 MiB" in text


def test_the_gain_rows_stand_under_the_methods_and_say_what_differs(with_control, rewrite, folder):
    rewrite(with_control)
    text = re.sub(r"<[^>]*>", " ", own_part(write_report(folder).read_text(encoding="utf-8")))
    rows = re.sub(r"\s+", " ", text)
    assert "cal against cal-eps0 the attack alone −25 % smaller in 2 of 2" in rows
    assert "cal against erm the attack and its recipe +20 % smaller in 0 of 2" in rows
    assert "cal-eps0, the control, moves no features, as intended." in rows
    assert " best " not in rows


def test_a_card_says_so_if_a_method_leads_on_every_seed(three_seeds, rewrite, folder):
    rewrite(three_seeds)
    page = write_report(folder).read_text(encoding="utf-8")
    assert re.findall(r"smallest error(.*?): <b>(\w+)</b>", page) == [
        (" on every seed", "erm"),  # random
        ("", "cal"),  # tail
        (" on every seed", "cal"),  # oxides
    ]


def test_a_bare_folder_still_gives_a_report(results, rewrite, folder):
    (folder / "map.parquet").unlink()
    (folder / "predictions.parquet").unlink()
    for key in ("cleaning", "histories", "provenance", "config"):
        del results[key]
    for record in results["records"]:
        if record["method"] == "cal":
            record |= {"status": "failed", "reason": "out of memory", "mae": None}
    rewrite(results)
    page = write_report(folder).read_text(encoding="utf-8")
    assert "out of memory" in page
    assert "figure-parity" not in page
    assert "figure-bars-1" in page


def test_a_folder_without_one_finished_run_says_so(results, rewrite, folder):
    for record in results["records"]:
        record |= {"status": "failed", "mae": None, "mae_over_dummy": None}
    rewrite(results)
    page = write_report(folder).read_text(encoding="utf-8")
    assert "No run finished, so there is nothing to compare." in page


def test_colours_are_fixed_per_method_and_never_those_of_rows():
    names = ["dummy", "x", "cal", "y", "cal:ema"]
    colours = method_colours(names)
    assert colours["cal"] == colours["cal:ema"] == method_colours(["cal"])["cal"]
    assert len(set(colours.values())) == 4
    assert method_colours(["cal-eps0", "x"])["cal-eps0"] == method_colours(["cal-eps0"])["cal-eps0"]
    assert len(set(method_colours(["cal-eps0", *(f"x{i}" for i in range(7))]).values())) == 8
    assert not set(colours.values()) & set(ROLE_COLOURS.values())
