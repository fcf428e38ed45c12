"""The answers of a run as plain data."""

from __future__ import annotations

import json

from xtalshift.report import build_run_report
from xtalshift.report.run.digest import digest_run


def test_a_digest_says_what_the_page_says(folder):
    report = build_run_report(folder)
    found = digest_run(report)
    json.dumps(found, allow_nan=False)
    assert (found["verdict"], found["target"]) == (report.verdict, report.results.target)
    expected = found["expected"]
    assert [text["text"] for text in expected["sentences"]] == [
        one.text for one in report.expectation.sentences
    ]
    by_label = {row["label"]: row for row in expected["rows"]}
    first = by_label["random split"]
    assert (first["error"], first["constant"], first["over_constant"]) == (5.0, 10.0, 0.5)
    assert by_label["tail"]["useless"]
    assert [one["text"] for one in found["cautions"]] == [one.text for one in report.cautions]
    assert (found["classes"], found["candidates"]) == (None, None)
    assert found["methods"] == len({name.partition(":")[0] for name, _ in report.methods}) - 1
    parts = report.learning.parts if report.learning else []
    assert found["learning"] == [one.sentence for one in parts]


def test_its_figures_are_those_of_the_page(folder):
    found = digest_run(build_run_report(folder))["figures"]
    assert {one["group"] for one in found} >= {"chosen", "families", "bars"}
    assert len({one["id"] for one in found}) == len(found)
    assert all(one["data"] and one["layout"]["height"] for one in found)
