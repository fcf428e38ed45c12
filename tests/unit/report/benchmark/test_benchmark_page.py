import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from report_toys import own_part, read_figures, read_page
from xtalshift.report import write_report
from xtalshift.report.benchmark.benchmark_figures import KINDS, build_benchmark_figures, draw_ranks
from xtalshift.report.benchmark.benchmark_page import build_benchmark_report


def test_every_text_is_escaped(place):
    evil = "<script>alert(1)</script>"
    folder = place(names={"erm": evil, "fine-tune": "<i>odd</i>"}, failed={(evil, 1)}, table="<u>t")
    own = own_part(read_page(folder))
    assert "<script>alert" not in own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in own
    for markup in ("<i>odd", "<u>t", "<b>no", "at <line>"):
        assert markup not in own
    figures = read_figures(own)
    assert "&lt;i&gt;odd&lt;/i&gt; (16)" in json.dumps(figures)
    assert "<i>odd" not in json.dumps(figures)


def test_equal_summaries_give_equal_bytes(place):
    folder = place()
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()
    assert [path.name for path in folder.glob("*.part")] == []


def test_the_page_loads_nothing_and_every_figure_is_valid(place):
    own = own_part(read_page(place()))
    assert not re.search(r"https?://|\bsrc=|\bhref=|@import|url\(", own)
    assert "default-src 'none';" in own
    figures = read_figures(own)
    assert sorted(re.findall(r'<div id="(figure-[^"]*)"', own)) == sorted(figures)
    kinds = {name.rpartition("-")[0] for name in figures}
    assert kinds == {f"figure-{kind}" for kind in ("ranks", "cost", "curves", "gaps", "folds")}
    for figure in figures.values():
        go.Figure(figure)  # raises at an unknown or wrong property


class Table(HTMLParser):
    """The columns that buttons sort by, and the sort keys of each row, per table."""

    def __init__(self):
        super().__init__()
        self.tables = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "table":
            self.tables.append({"columns": [], "rows": []})
        elif tag == "tr" and self.tables:
            self.tables[-1]["rows"].append([])
        elif tag == "button" and "data-c" in values:
            self.tables[-1]["columns"].append(int(values["data-c"]))
        elif tag in {"td", "th"} and "data-v" in values:
            self.tables[-1]["rows"][-1].append(values["data-v"])


def test_published_errors_stand_among_the_measured_ones(place):
    folder = place()
    values = json.loads((folder / "summary.json").read_text())
    (table,) = {one["name"] for one in values["data"]}
    values["spec"]["published"] = [
        {"data": table, "split": "loco", "method": "<b>CrabNet", "mae": 7.0, "source": "their page"}
    ]
    (folder / "summary.json").write_text(json.dumps(values))
    (panel,) = build_benchmark_report(folder).published
    assert panel.rows == [
        ("ridge", pytest.approx(6.533, abs=5e-4), None),
        ("<b>CrabNet", 7.0, "their page"),
        ("erm", pytest.approx(7.839, abs=2e-3), None),
        ("dummy", 13.0, None),
    ]
    own = own_part(read_page(folder))
    assert "Published errors" in own
    assert '<b>ridge</b></th><td class="num">6.533</td>' in own
    assert '&lt;b&gt;CrabNet</th><td class="num">7</td><td class="wrap">their page' in own
    assert "Published errors" not in own_part(read_page(place()))


def test_every_column_of_the_leaderboard_can_be_sorted(place):
    parser = Table()
    parser.feed(own_part(read_page(place())).partition("<script")[0])
    board = parser.tables[0]
    rows = [row for row in board["rows"] if row]
    assert sorted(board["columns"]) == list(range(len(rows[0])))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [row[0] for row in rows] == ["ridge", "erm", "erm:ema", "dummy"]
    assert [row[4] for row in rows] == ["1", "2", "", "3"]
    assert [float(row[10]) for row in rows] == pytest.approx([6.5325, 7.839, 7.839, 13])


def test_the_diagram_joins_methods_without_a_significant_difference(place):
    board = build_benchmark_report(place(budgets=())).boards[0]
    ranks = {"a": 1.0, "b": 1.5, "c": 3.5, "d": 4.0}
    rows = [
        replace(board.rows[0], label=label, rank=rank, kind="network", bold=label == "a")
        for label, rank in ranks.items()
    ]
    cliques = (("a", "b", "c"), ("b", "c", "d"))
    board = replace(board, critical_difference=2.6, cliques=cliques, rows=rows)
    layout = draw_ranks(board, {"network": KINDS["network"].colour}).layout
    bars = [s for s in layout["shapes"] if s["line"]["width"] == 3.5]
    assert [(bar["x0"], bar["x1"]) for bar in bars] == [(1.0, 3.5), (1.5, 4.0)]
    assert bars[0]["y0"] != bars[1]["y0"]  # they overlap, so they stand below each other
    names = {note["text"].partition(" ")[0]: note["xanchor"] for note in layout["annotations"]}
    assert names["<b>a</b>"] == "right"
    assert "CD = 2.60" in [note["text"] for note in layout["annotations"]]
    assert draw_ranks(replace(board, critical_difference=None), {}) is None


def test_forty_methods_still_fit(place):
    ratios = {"dummy": 1.0, "ridge": 0.5, "erm": 0.6}
    folder = place(ratios=ratios, budgets=())
    report = build_benchmark_report(folder)
    board = report.boards[0]
    many = [replace(board.rows[0], label=f"method-{i}", rank=1 + i / 2) for i in range(40)]
    board = replace(board, rows=many, cliques=())
    (panel,) = build_benchmark_figures(replace(report, boards=[board]))["ranks"]
    names = [n for n in panel.layout["annotations"] if "method-" in n["text"]]
    assert len({(n["xanchor"], n["y"]) for n in names}) == 40
