import csv
import json
import re
from dataclasses import replace
from math import inf, nan

import plotly.graph_objects as go
import pytest

from report_toys import own_part, read_figures, read_text
from xtalshift.errors import DataError
from xtalshift.report.audit.audit_figures import draw_split
from xtalshift.report.audit.audit_page import render_audit, write_audit
from xtalshift.report.audit.split_findings import describe_split
from xtalshift.report.shared.figures import FOLD_KINDS
from xtalshift.splits.audit.findings import AuditSettings, FoldAudit, SplitAudit, find


def make_fold(name="a", **values):
    """Return a measured fold, near to its training rows unless `values` say otherwise."""
    settings = values.pop("settings", AuditSettings())
    base = {
        "n_train": 800,
        "n_val": 0,
        "n_target": 0,
        "n_test": 100,
        "n_unused": 100,
        "train_share": 0.8,
        "distance_ratio": 1.04,
        "median_test": 2.08,
        "median_train": 2.0,
        "auc": 0.53,
        "auc_low": 0.47,
        "auc_high": 0.59,
        "ess": 640.0,
        "ess_share": 0.8,
        "wasserstein": 0.07,
        "ks": 0.06,
        "dummy_mae": 12.5,
        "dummy_over_random": 1.25,
        "unseen_elements": (),
        "n_unseen": 0,
        "relation_shift": 0.03,
        "relation_p": 0.4,
        "n_supported": 90,
        "share_supported": 0.9,
    }
    fold = FoldAudit(name=name, **(base | values))
    found = find(fold, settings)
    return replace(
        fold,
        labels=tuple(dict.fromkeys(finding.label for finding in found)),
        reasons=tuple(f"{finding.label}: {finding.reason}" for finding in found),
        crossed=tuple(finding.setting for finding in found if finding.setting),
    )


def make_split(*folds, name="LOCO", random_mae=10.0):
    return SplitAudit(name, 1000, random_mae, AuditSettings(), folds)


SHIFTED = {"auc": 0.97, "auc_low": 0.95, "auc_high": 0.99, "distance_ratio": 2.5}
NO_TARGETS = {
    "wasserstein": None,
    "ks": None,
    "dummy_mae": None,
    "dummy_over_random": None,
    "relation_shift": None,
    "relation_p": None,
    "n_supported": None,
    "share_supported": None,
}
WHY = {"wasserstein": "there are no targets", "relation_shift": "there are no targets"}


@pytest.fixture
def several():
    return make_split(
        make_fold("near"),
        make_fold("far", **SHIFTED, n_unseen=20, unseen_elements=("Tc", "Pm")),
        make_fold("rich", wasserstein=0.9),
        make_fold("both", **SHIFTED, wasserstein=0.9, relation_shift=-0.8, relation_p=1e-5),
        make_fold("tiny", n_test=5, **SHIFTED),
        make_fold("leaky", shared_formulas=2, shared_examples=("MgO", "NaCl")),
    )


def draw(split):
    return [panel for panel in draw_split(split) if panel]


def test_the_payload_counts_every_fold_once(several):
    split = describe_split(several)
    assert split.kinds == {
        "covariate": 1,
        "prior": 1,
        "several": 1,
        "interpolation": 2,
        "degenerate": 1,
    }
    assert sum(split.kinds.values()) == len(split.folds)
    assert (split.shifted, split.leaking) == (3, 1)
    assert split.sizes == [5, 100, 100]
    assert split.means["auc"] == pytest.approx((3 * 0.53 + 3 * 0.97) / 6)
    assert split.crossed == {
        "auc": 3,
        "distance_ratio": 3,
        "unseen_share": 1,
        "wasserstein": 2,
        "relation_shift": 1,
        "min_test": 1,
    }
    assert split.folds[4].crossed == ("min_test", "auc", "distance_ratio")


def test_what_is_crossed_is_what_gives_a_label(several):
    measures = {"degenerate": {"min_test", "min_train_share"}, "prior": {"wasserstein"}}
    measures |= {"covariate": {"auc", "distance_ratio", "unseen_share"}}
    measures |= {"relation": {"relation_shift"}}
    split = describe_split(several)
    for fold in split.folds:
        by_measure = {label for label, names in measures.items() if names & set(fold.crossed)}
        assert by_measure == set(fold.labels) - {"leak", "interpolation"}


def test_the_headline_says_how_many_folds_are_what_they_claim(several):
    split = describe_split(several)
    assert split.headline == (
        "3 of the 5 folds that are not degenerate are out of distribution: 1 by covariate shift, "
        "1 by prior shift and 1 by several shifts. 2 are interpolation: no measure shows a shift. "
        "1 is degenerate (fewer than 20 test rows)."
    )
    assert split.alerts[0].startswith("1 of 6 folds leak: ")
    assert split.alerts[1].startswith("leaky: 2 formulas")
    assert "MgO, NaCl" in split.alerts[1]


@pytest.mark.parametrize(
    ("folds", "headline"),
    [
        ((), "This split has no folds."),
        (
            (make_fold("a"), make_fold("b")),
            (
                "None of 2 folds is out of distribution. "
                "All are interpolation: no measure shows a shift."
            ),
        ),
        (
            (make_fold("a", **SHIFTED), make_fold("b", **SHIFTED)),
            "All 2 folds are out of distribution: 2 by covariate shift.",
        ),
        (
            (make_fold("a", n_test=3), make_fold("b", train_share=0.25)),
            (
                "None of 2 folds is out of distribution. All are degenerate (1 "
                "with fewer than 20 test rows and 1 with less than 50 % of the rows in training)."
            ),
        ),
        (
            (make_fold("a", **SHIFTED, wasserstein=2.0),),
            "The only fold is out of distribution: covariate shift and prior shift.",
        ),
        (
            (make_fold("a"),),
            "The only fold is interpolation: no measure shows a shift.",
        ),
        (
            (make_fold("a", n_test=3),),
            "The only fold is degenerate: 3 test rows, fewer than 20.",
        ),
    ],
)
def test_headlines(folds, headline):
    split = describe_split(make_split(*folds))
    assert split.headline == headline
    assert headline in read_text(render_audit([split]))


def test_many_leaks_are_counted_and_the_first_named():
    folds = [make_fold(f"f{i}", shared_formulas=1, shared_examples=("MgO",)) for i in range(8)]
    split = describe_split(make_split(*folds))
    assert len(split.alerts) == 5
    assert split.alerts[-1] == "and 5 more, in the table of folds"


def test_a_reader_is_told_where_a_label_rests_on_less():
    blind = make_fold("b", auc=None, auc_low=None, auc_high=None, missing={"auc": "few formulas"})
    split = make_split(make_fold("a"), blind, make_fold("c", val_shared_formulas=3))
    first, second = describe_split(split).cautions
    assert first.startswith("In 1 of the 3 folds labelled interpolation")
    assert second.startswith("Train and val share formulas in 1 of 3 folds")


def test_json_and_csv_hold_everything(several, tmp_path):
    other = make_split(make_fold("x", distance_ratio=inf, ess=nan), name="other, one")
    page = write_audit([several, other], tmp_path / "new" / "folder")
    assert page == tmp_path / "new" / "folder" / "audit.html"
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "audit.csv",
        "audit.html",
        "audit.json",
    ]
    values = json.loads((page.parent / "audit.json").read_text(encoding="utf-8"))
    assert values["schema_version"] == 1
    assert [split["name"] for split in values["splits"]] == ["LOCO", "other, one"]
    assert values["splits"][0] == several.to_dict()
    assert values["splits"][1]["folds"][0]["ess"] is None
    with (page.parent / "audit.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert next(iter(rows[0])) == "split"
    assert [(row["split"], row["name"]) for row in rows[-2:]] == [
        ("LOCO", "leaky"),
        ("other, one", "x"),
    ]
    assert float(rows[1]["auc"]) == 0.97
    assert rows[1]["unseen_elements"] == "Tc, Pm"
    assert (rows[-1]["distance_ratio"], rows[-1]["ess"]) == ("", "")


def test_equal_audits_give_equal_bytes(several, tmp_path):
    for name in ("a", "b", "b"):
        write_audit([several], tmp_path / name)
    for name in ("audit.html", "audit.json", "audit.csv"):
        first = (tmp_path / "a" / name).read_bytes()
        assert first == (tmp_path / "b" / name).read_bytes()
        assert b"\r" not in first or name == "audit.html"  # the library has its own line ends


def test_the_page_holds_the_numbers(several):
    text = read_text(render_audit([describe_split(several)]))
    assert "How far out of distribution is LOCO?" in text
    assert "6 folds of 1,000 rows · 5 to 100 test rows, median 100" in text
    assert "0.970 0.95–0.99" in text
    assert "Tc, Pm 20 rows" in text
    assert "−0.80 p &lt; 0.001" in text
    assert "targets, is 12.5 on average over the folds and 10.0 in random folds" in text
    assert "covariate: the AUC of test against train is 0.97, at least 0.8" in text
    assert "leak a formula or a row of the test part is also in another part 1" in text
    assert "AUC of telling test from train at least 0.8 3" in text


def test_the_page_loads_nothing_and_its_policy_forbids_it_to(several):
    page = render_audit([describe_split(several)])
    own = own_part(page)
    assert len(page) - len(own) > 1_000_000  # the library is inside
    assert not re.search(r"https?://|\bsrc=|\bhref=|@import|url\(", own)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', own)[1]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_names_cannot_become_markup():
    bad = "<b>x</b><script>alert(1)</script>"
    folds = (
        make_fold(bad, note=bad, missing={"auc": bad}, shared_formulas=1, shared_examples=(bad,)),
        make_fold("b", **SHIFTED),
    )
    page = own_part(render_audit([describe_split(make_split(*folds, name=bad))]))
    assert "<script>alert" not in page
    assert "<b>x" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    figures = read_figures(page)
    assert any("&lt;b&gt;x" in text for text in figures["figure-split1-1"]["data"][0]["text"])
    assert "&lt;b&gt;x" in "".join(figures["figure-split1-3"]["layout"]["yaxis"]["ticktext"])


def test_figures_show_every_fold_at_its_values(several):
    split = describe_split(several)
    like, targets, sizes = draw(split)
    cloud = like.data[0]
    assert sorted(cloud["x"]) == [1.04] * 3 + [2.5] * 3
    assert sorted(cloud["y"]) == [0.53] * 3 + [0.97] * 3
    assert cloud["marker"]["size"][-1] == 5  # the smallest is drawn last
    assert cloud["marker"]["color"][-1] == FOLD_KINDS["degenerate"].colour
    lines = [shape for shape in like.layout["shapes"] if shape["type"] == "line"]
    assert [(line["x0"], line["y0"]) for line in lines] == [(1.5, 0), (0, 0.8)]
    lines = targets.layout["shapes"]
    assert [(line["x0"], line["y0"]) for line in lines] == [(1.0, 0), (0, 0.5)]
    bars = sizes.data[0]
    assert bars["x"] == [5, 100, 100, 100, 100, 100]
    assert sizes.layout["shapes"][0]["x0"] == 20


def test_every_figure_has_its_place_and_is_valid_plotly(several):
    page = render_audit([describe_split(several)] * 2)
    figures = read_figures(page)
    assert re.findall(r'<div id="(figure-[^"]*)"', page) == list(figures)
    assert len(figures) == 6
    for figure in figures.values():
        go.Figure(figure)  # raises at an unknown or wrong property


def test_fifty_folds_of_very_different_size_stay_readable():
    folds = [make_fold(f"fold {i}", n_test=1 + i**2, distance_ratio=1.0 + i) for i in range(50)]
    folds[-1] = make_fold("away", distance_ratio=1e4)
    split = describe_split(make_split(*folds))
    like, _, sizes = draw(split)
    assert like.layout["xaxis"]["type"] == "log"
    assert sizes.layout["xaxis"]["type"] == "log"
    assert sizes.layout["yaxis"]["showticklabels"] is False
    assert read_text(render_audit([split])).count("fold 4") == 10


def test_one_fold_needs_no_figure_and_shows_its_reasons():
    fold = make_fold("", **SHIFTED)
    page = render_audit([describe_split(make_split(fold))])
    assert "plotly.js v" not in page
    assert "<div id=" not in page
    assert "<details open>" in page
    assert "the ratio of nearest distances is 2.5, at least 1.5" in page


def test_without_targets_the_rest_is_shown_and_the_gap_explained():
    folds = [make_fold(name, **NO_TARGETS, missing=WHY) for name in "ab"]
    split = describe_split(make_split(*folds, random_mae=None))
    assert len(draw(split)) == 2
    assert split.means["wasserstein"] is None
    assert split.audit.dummy_mae is None
    assert [(item.measure, item.count) for item in split.not_measured] == [
        ("W1, KS", 2),
        ("relation shift", 2),
    ]
    text = read_text(render_audit([split]))
    assert "error of a constant, the mean" not in text
    assert "W1, KS 2 a, b : there are no targets".replace(" :", ":") in text
    assert "None" not in text.replace("None of 2 folds", "")


def test_a_fold_of_which_nothing_was_measured():
    bare = [
        FoldAudit(name, 10, 0, 0, 0, 0, 0.01, labels=("degenerate",), reasons=("degenerate: x",))
        for name in "ab"
    ]
    split = describe_split(make_split(*bare, random_mae=None))
    (sizes,) = draw(split)
    assert sizes.data[0]["x"] == [0, 0]
    assert "not tested" in render_audit([split])


def test_a_quick_audit_still_shows_distances():
    folds = [make_fold(name, auc=None, auc_low=None, auc_high=None) for name in "ab"]
    split = describe_split(make_split(*folds))
    like = draw(split)[0]
    assert like.data[0]["y"] == [100, 100]
    assert "AUC: not measured." in like.note


def test_an_infinite_ratio_is_no_missing_measure():
    split = make_split(make_fold("a", distance_ratio=inf), make_fold("b"))
    shown = describe_split(split)
    assert shown.folds[0].distance_ratio == inf
    assert shown.crossed == {"distance_ratio": 1}
    assert "∞" in render_audit([shown])


def test_several_splits_begin_with_an_overview(several):
    text = read_text(
        render_audit([describe_split(s) for s in (several, make_split(make_fold("a"), name="R"))])
    )
    assert "How far out of distribution are these 2 splits?" in text
    assert "LOCO 6 3 2 1 1 100 0.750 1.77" in text
    assert "R 1 0 1 0 0 100 0.530 1.04 0.0700 80 % 1.25" in text


def test_errors_say_what_to_do(several, tmp_path):
    with pytest.raises(DataError, match="no split to report"):
        write_audit([], tmp_path)
    taken = tmp_path / "file"
    taken.write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match=r"cannot write .*file.*; .*choose another place"):
        write_audit([several], taken)
    with pytest.raises(DataError, match="choose another place"):
        write_audit([several], taken / "below")
    assert taken.read_text(encoding="utf-8") == "mine"
