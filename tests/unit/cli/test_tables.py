"""The table at the end of a run."""

from __future__ import annotations

from xtalshift.cli.tables import print_coverage, print_errors


def record(method, split, role, mae, ratio, *, seed=0, status="ok"):
    return {"method": method, "split": split, "role": role, "seed": seed, "mae": mae,
            "mae_over_dummy": ratio, "seconds": 2.0, "status": status}  # fmt: skip


def test_means_over_seeds_failures_and_the_unit(capsys):
    splits = [
        {"name": name, "role": role, "fit": "all", "seed": 0}
        for name, role in (("random", "id"), ("prior", "id"), ("prior", "ood"))
    ]
    records = [
        record("ridge", "random", "id", 1.0, 0.5),
        record("ridge", "random", "id", 3.0, 0.7, seed=1),
        record("ridge", "prior", "ood", 4.0, None),
        record("ridge", "prior", "ood", 6.0, None, seed=1),
        record("ridge", "prior", "id", 9.0, 9.0),
        record("cal", "random", "id", None, None, status="failed"),
        record("cal", "prior", "ood", None, None, status="failed"),
    ]
    print_errors({"records": records, "splits": splits, "provenance": {"data": {"unit": "eV"}}})
    text = capsys.readouterr().out
    assert "MAE in eV" in text
    assert "mean over 2 seeds" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["ridge"] == ["ridge", "2", "(0.60)", "5", "2.0"]
    assert rows["cal"] == ["cal", "failed", "failed", "2.0"]


def test_a_narrow_terminal_keeps_the_names_of_the_methods(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    names = ["random", "covariate", "prior", "family:F", "relation"]
    splits = [{"name": n, "role": "ood", "fit": "all", "seed": 0} for n in names]
    records = [record("cal-eps0", name, "ood", 0.123456, 0.5) for name in names]
    print_errors({"records": records, "splits": splits, "provenance": {"data": {"unit": ""}}})
    text = capsys.readouterr().out
    assert "cal-eps0" in text
    assert text.count("0.1235") == 5
    assert "…" not in text


def test_one_line_says_what_the_intervals_of_the_saved_method_hold(capsys):
    shares = {("random", "id"): (0.9, 0.92), ("prior", "id"): (0.9, 0.92),
              ("prior", "ood"): (0.4, 0.42), ("family:F", "ood"): (0.7, 0.7)}  # fmt: skip
    records = [
        record("ridge", split, role, 1.0, 0.5, seed=seed) | {"coverage_90": share}
        for (split, role), both in shares.items()
        for seed, share in enumerate(both)
    ]
    records.append(record("cal", "random", "id", 1.0, 0.5) | {"coverage_90": 0.1})
    print_coverage({"records": records, "model": {"method": "ridge"}})
    line = "90 % intervals of ridge hold 91 % of ID and 41/70 % of prior/family:F rows\n"
    assert capsys.readouterr().out == line
    print_coverage({"records": records[:2], "model": {"method": "ridge"}})
    assert capsys.readouterr().out == "90 % intervals of ridge hold 91 % of ID rows\n"


def test_without_intervals_nothing_is_said_of_them(capsys):
    few = [record("ridge", "random", "id", 1.0, 0.5) | {"coverage_90": None}]
    print_coverage({"records": few, "model": {"method": "ridge"}})
    print_coverage({"records": few, "model": None})
    assert capsys.readouterr().out == ""
