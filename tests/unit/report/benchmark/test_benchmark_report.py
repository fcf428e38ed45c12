import json
import re
from dataclasses import replace

import pytest

from report_toys import PLACES, RATIOS, own_part, read_page, read_text
from xtalshift.errors import DataError
from xtalshift.jsonio import read_json, to_json, write_json
from xtalshift.report import build_run_report, write_report
from xtalshift.report.benchmark.benchmark_page import build_benchmark_report as build
from xtalshift.report.benchmark.benchmark_text import describe_board
from xtalshift.report.run.run_page import render_run
from xtalshift.report.shared.text import Caution


def row_of(board, label):
    return next(row for row in board.rows if row.label == label)


def replace_row(board, label, **values):
    rows = [replace(row, **values) if row.label == label else row for row in board.rows]
    return replace(board, rows=rows)


def texts(report):
    return [item.text for item in report.cautions]


def test_the_report_holds_the_numbers_of_the_summary(place):
    report = build(place())
    assert len(json.loads(json.dumps(to_json(report), allow_nan=False))["boards"]) == 2
    first, second = report.boards
    assert [row.label for row in first.rows] == ["ridge", "erm", "erm:ema", "dummy"]
    assert [row.rank for row in first.rows] == [1.0, 2.0, None, 3.0]
    ridge = row_of(first, "ridge")
    assert ridge.over_dummy == pytest.approx(0.5025)  # only the OOD split counts
    loco, random = ridge.cells
    assert loco.mae == pytest.approx(0.5025 * 13)
    assert loco.mae_sd == pytest.approx(0.005 * 13 / 2**0.5)
    assert (loco.gap, loco.id_mae) == pytest.approx((2.0, 0.5025 * 6.5))
    assert loco.worst_fold_mae == pytest.approx(0.5025 * 16)
    assert random.mae == pytest.approx(0.5025 * 5)
    assert row_of(second, "fine-tune (16)").sees == "16 labels"
    assert row_of(first, "erm").kind == "network"
    assert first.wins[0][1] == (7, 0, 0)
    assert first.p_value("erm", "ridge") == first.p_value("ridge", "erm") == pytest.approx(0.046875)
    assert first.wins[1][0] == (0, 0, 7)


def test_a_difference_that_the_tests_tell_is_said_and_bold(place):
    folder = place()
    report = build(folder)
    assert report.verdict == [
        (
            "Without target labels, ridge has the best average rank and differs significantly from "
            "each of the other 2 methods (paired Wilcoxon tests, Holm-corrected)."
        ),
        "With 16 target labels, no method is bold.",
        (
            "On 1 of 1 split, the best classical method, ridge (1.0 s per fit), has a smaller mean "
            "error than erm (1.2 s) (means without tests)."
        ),
    ]
    assert [row.label for row in report.boards[0].rows if row.bold] == ["ridge"]
    page = own_part(read_page(folder))
    assert re.findall(r'<th scope="row"[^>]*>(?:<span[^>]*></span>)<b>(.*?)</b>', page) == ["ridge"]


def test_methods_that_are_not_told_from_the_best_are_named(place):
    report = build(place())
    board = report.boards[0]
    board = replace_row(board, "erm", bold=True, p=0.5)
    assert describe_board(board, report.places).test == (
        "Without target labels, ridge has the best average rank. erm does not differ significantly "
        "from it; 1 of the 3 methods does (paired Wilcoxon tests, Holm-corrected)."
    )
    board = replace_row(board, "erm", bold=False, p=None)
    assert describe_board(board, report.places).test == (
        "Without target labels, ridge has the best average rank and differs significantly from 1 "
        "of the other 2 methods (paired Wilcoxon tests, Holm-corrected). Not bold, because of too "
        "few tasks or no significant difference from the dummy: erm."
    )


def test_where_nothing_is_bold_the_page_says_whether_anything_could_be(place):
    folder = place(places={"covariate": ("ood", 1)}, budgets=(), ratios={"dummy": 1, "ridge": 0.5})
    report = build(folder)
    assert report.verdict[0] == (
        "Without target labels, no method is bold: ridge has the best average rank, but the other "
        "method does not differ significantly from it; 2 tasks cannot show a difference (smallest "
        "possible p = 0.500)."
    )
    assert report.verdict[1] == (
        "The only other method has a smaller mean error than the best constant, dummy; 2 tasks are "
        "too few to test the pair."
    )
    assert any("p-values tend to be too small" in text for text in texts(report))


def test_a_constant_ahead_of_a_network_is_said(place):
    report = build(place(ratios=RATIOS | {"erm": 1.2}))
    assert report.verdict[-1].endswith(
        "than erm (2.4 s); on loco, even a constant has a smaller error than erm (means without "
        "tests)."
    )
    assert (
        "1 of the 2 other methods has a smaller mean error than the best constant, dummy"
        in report.texts[0].constants
    )


def test_failures_are_grouped_and_what_they_leave_out_is_said(place):
    failed = {("erm", 0), ("ridge", 0), ("ridge", 1)}
    folder = place(failed=failed)
    report = build(folder)
    assert [(group[0].name, len(group)) for group in report.failures] == [
        ("ridge", 16),
        ("erm", 8),
    ]
    assert report.summary.n_failed == 24
    assert report.boards[0].absent == ["ridge"]
    assert "24 tasks failed; the list of failures gives the reasons." in texts(report)
    assert "Without any result: ridge." in texts(report)
    assert (
        "Without target labels, 7 of 7 tasks lack a method and do not count for the ranks: erm."
        in (texts(report))
    )
    text = read_text(read_page(folder))
    assert "7 of 14 runs" in text
    assert "and 10 more" in text
    assert text.count("alloys, loco, fold 0, seed 0") == 2
    assert "No task has a result of every method, so there are no average ranks" in text


def test_splits_that_could_not_be_scored_are_listed_and_marked(place):
    folder = place()
    summary = read_json(folder / "summary.json")
    summary["cells"] = [
        cell
        for cell in summary["cells"]
        if (cell["name"], cell["role"]) not in {("ridge", "ood"), ("erm", "ood")}
    ]
    where = {"data": "alloys", "fold": 0, "seed": 0}
    summary["failures"] = [
        {"name": "ridge", "split": "loco", "reason": "the prediction of GaN is inf", **where},
        {"name": "erm", "split": "all", "reason": "out of memory", **where},  # for all splits
    ]
    summary |= {"n_failed": 1, "n_done": summary["n_done"] - 1}
    write_json(folder / "summary.json", summary)
    report = build(folder)
    lines = texts(report)
    assert "1 task failed; the list of failures gives the reasons." in lines
    text = "1 split of finished tasks could not be scored; the list of failures gives the reasons."
    assert text in lines
    columns = [report.places[number].split for number in report.boards[0].columns]
    failed = {row.label: row.cells[columns.index("loco")].failed for row in report.boards[0].usual}
    assert failed == {"dummy": 0, "ridge": 1, "erm": 1}
    page = read_text(read_page(folder))
    assert "the prediction of GaN is inf" in page
    assert "1 failed" in page


def test_a_method_with_too_few_tasks_is_not_bold(place):
    folder = place(places={"loco": ("ood", 9)}, failed={("erm", 1)})
    board = build(folder).boards[0]
    assert [(row.label, row.bold) for row in board.rows if not row.variant] == [
        ("ridge", True),
        ("erm", False),  # each of its folds lacks a seed
        ("dummy", False),
    ]
    assert "no significant difference from the dummy: erm." in build(folder).texts[0].test


def test_a_missing_cell_is_a_dash_and_is_not_in_the_mean(place):
    folder = place(places=PLACES | {"prior": ("ood", 1)}, budgets=())
    found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    found["cells"] = [
        one for one in found["cells"] if (one["name"], one["split"]) != ("erm", "prior")
    ]
    write_json(folder / "summary.json", found)
    row = row_of(build(folder).boards[0], "erm")
    assert (row.n_splits, row.of_splits) == (1, 2)
    assert row.cells[1].mae is None
    assert row.over_dummy == pytest.approx(0.603)
    assert "1 of 2 splits" in read_text(read_page(folder))


def test_a_split_without_the_budget_is_not_in_its_board(place):
    report = build(place(places=PLACES | {"few": ("ood", 1)}))
    first, second = report.boards
    names = [[report.places[i].split for i in board.columns] for board in (first, second)]
    assert names == [["loco", "few", "random"], ["loco", "random"]]
    assert (first.n_tasks, second.n_tasks) == (8, 7)
    assert second.n_complete == 7


def test_one_number_of_labels_needs_no_switch(place):
    page = own_part(read_page(place(budgets=(), ratios={"dummy": 1, "ridge": 0.5, "erm": 0.6})))
    assert "data-to=" not in page.partition("<script")[0]
    assert page.count("<section data-part=") == 4
    assert "Value of target labels" not in page
    both = own_part(read_page(place()))
    assert re.findall(r'data-to="(\d)" aria-pressed="(\w+)"', both)[:2] == [
        ("0", "true"),
        ("1", "false"),
    ]


def test_one_seed_has_no_spread(place):
    folder = place(seeds=1)
    report = build(folder)
    assert "There is only one seed, so the spread over seeds is unknown." in texts(report)
    assert report.texts[0].unit == (
        "A task is a fold. Folds of one table share training rows, which the tests neglect."
    )
    assert "±" not in read_text(read_page(folder))


def test_one_method_is_nothing_to_compare(place):
    folder = place(ratios={"dummy": 1.0}, budgets=())
    assert build(folder).verdict == [
        "There is nothing to compare: fewer than two methods have a result."
    ]
    assert "Leaderboard" not in read_text(read_page(folder))


def test_the_audit_stands_beside_the_numbers(place):
    folds = {
        str(fold): {
            "labels": ["covariate"] + ["leak"] * (fold == 2),
            "reasons": ["covariate: far <away>"] + ["leak: MgO"] * (fold == 2),
            "auc": 0.9,
            "distance_ratio": None,
        }
        for fold in range(7)
    }
    audit = {"key": "k", "full": False, "labels": {"covariate": 7, "leak": 1}, "folds": folds}
    folder = place(loco=audit)
    report = build(folder)
    first = report.places[0]
    assert (first.auc, first.distance_ratio) == (pytest.approx(0.9), None)
    assert first.why["leak"] == "fold 2: MgO"
    assert report.cautions[0] == Caution(
        "stop",
        "loco (1 of 7 folds) leaks: a formula or row of the test part is also in another part.",
    )
    text = read_text(read_page(folder))
    assert "covariate 7/7" in text
    assert "fold 0: covariate: far &lt;away&gt;" in text
    assert "without the classifier and the residual test" in text


def test_folds_come_hardest_first_with_their_audit(place):
    (drill,) = build(place()).folds
    assert drill.labels == ["ridge", "erm", "dummy", "fine-tune (16)", "target-ridge (16)"]
    assert [fold.number for fold in drill.folds] == list(range(7))
    assert drill.folds[0].values == pytest.approx([0.5025, 0.603, 1.0, 0.3015, 0.402])


def test_curves_say_what_labels_are_worth(place):
    found = build(place(budgets=(16, 32))).curves
    loco = found[0]
    assert (loco.budgets, loco.source[0]) == ([16, 32], "ridge")
    only, tuned = loco.methods
    assert only.target_only
    assert only.efficiency == [None, None]
    assert tuned.mae == pytest.approx([0.3015 * 13, 0.3015 * 6.5])
    assert tuned.efficiency[0] > 1
    assert tuned.beyond == [False, True]  # the reference never is as good as with 32 labels
    assert tuned.bound == [False, False]
    assert tuned.forgetting == pytest.approx([-0.5, -0.75])


def test_a_run_has_the_page_that_it_had(folder):
    before = render_run(build_run_report(folder))
    assert write_report(folder).read_text(encoding="utf-8") == before
    (folder / "summary.json").write_text('{"kind": "of something else"}', encoding="utf-8")
    assert write_report(folder).read_text(encoding="utf-8") == before
    (folder / "summary.json").write_text("{", encoding="utf-8")
    assert write_report(folder).read_text(encoding="utf-8") == before
    text = '{"kind": "xtalshift-benchmark-summary", "schema_version": 2}'  # as a run leaves
    (folder / "summary.json").write_text(text, encoding="utf-8")
    assert write_report(folder).read_text(encoding="utf-8") == before


def test_an_empty_folder_names_both_commands(tmp_path):
    with pytest.raises(DataError, match=r"`xtalshift run` or `xtalshift benchmark`") as error:
        write_report(tmp_path)
    assert "results.json" in str(error.value)
    assert "summary.json" in str(error.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is damaged"),
        ("[]", "is of kind None"),
        ('{"kind": "xtalshift-benchmark-summary", "schema_version": 9}', "schema_version 9"),
        ('{"kind": "xtalshift-benchmark-summary", "schema_version": 2}', "has no 'spec'"),
    ],
)
def test_a_summary_that_cannot_be_read_says_why(tmp_path, content, expected):
    (tmp_path / "summary.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=expected):
        write_report(tmp_path)
