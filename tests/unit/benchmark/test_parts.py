"""Every row of a table gets a part, or a reason."""

import numpy as np
import pandas as pd
import pytest

from xtalshift.benchmark.parts import assign_parts, read_rows
from xtalshift.benchmark.spec import RunConfig
from xtalshift.data import table_from_frame
from xtalshift.errors import DataError, SplitError

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn")
GOOD = [f"{a}{n}{b}" for a in CATIONS for b in ("F", "Cl", "O") for n in ("", "2")]
SCHEMES = ("random", "covariate", "prior", "family", "relation")


def make_table(target=None):
    """Return 64 rows: bad ones at 0, 30 and 63, a double (Na2O2) of the material NaO at 31."""
    formulas = ["", *GOOD[:29], "Xx2", "Na2O2", *GOOD[29:], "CuSO4*5H2O"]
    frame = pd.DataFrame(
        {
            "formula": formulas,
            "y": np.arange(len(formulas), dtype=float),
            "flag": [formula in ("NaO", "MgF") for formula in formulas],
        }
    )
    return table_from_frame(frame, target=target, source="small.csv")


def config(**split):
    return RunConfig.from_dict({"split": {"n_neighbors": 3, "relation_flag": "flag", **split}})


@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_and_count_are_kept_and_bad_rows_have_reasons(scheme):
    table = make_table("y" if scheme == "prior" else None)
    parts = assign_parts(table, scheme, config())
    assert list(parts.columns) == ["id", "formula", "fold", "part", "status", "reason"]
    assert parts.formula.tolist() == table.formulas.tolist()
    assert parts.id.tolist() == [str(row) for row in range(1, len(table) + 1)]
    assert (parts.fold == 0).all()
    bad = [0, 30, len(table) - 1]
    assert np.flatnonzero(parts.status == "error").tolist() == bad
    assert np.flatnonzero(parts.part == "").tolist() == bad
    assert np.flatnonzero(parts.reason != "").tolist() == bad
    assert "'Xx" in parts.reason[30]
    assert "hydrate" in parts.reason[bad[2]].casefold()
    assert set(parts.part) == {"train", "val", "test", ""}
    double = parts.formula.isin(["NaO", "Na2O2"])
    assert double.sum() == 2
    assert len(set(parts.part[double])) == 1


def test_the_held_out_rows_are_those_of_the_scheme():
    family = assign_parts(make_table(), "family", config(family="F"))
    assert set(family.formula[family.part == "test"]) == {f for f in GOOD if f.endswith("F")}
    relation = assign_parts(make_table(), "relation", config())
    assert set(relation.formula[relation.part == "test"]) == {"NaO", "Na2O2", "MgF"}
    prior = assign_parts(make_table("y"), "prior", config(prior_share=0.05))
    assert np.flatnonzero(prior.part == "test").tolist() == [60, 61, 62]
    random = assign_parts(make_table(), "random", config(random_share=0.25))
    assert 14 <= (random.part == "test").sum() <= 15


def test_the_seed_decides_the_random_parts_only():
    one, two = (
        assign_parts(make_table(), scheme, config())
        for scheme, config in (
            ("covariate", lambda: RunConfig.from_dict({"seed": 1})),
            ("covariate", lambda: RunConfig.from_dict({"seed": 2})),
        )
    )
    assert (one.part == "test").tolist() == (two.part == "test").tolist()
    assert (one.part == "val").tolist() != (two.part == "val").tolist()


def test_hydrates_can_be_expanded():
    settings = RunConfig.from_dict({"data": {"hydrates": "expand"}})
    parts = assign_parts(make_table(), "random", settings)
    assert parts.status.tolist()[-1] == "ok"
    assert parts.part.tolist()[-1] in {"train", "val", "test"}


def test_a_prior_shift_needs_targets():
    with pytest.raises(DataError, match="give --target COLUMN"):
        assign_parts(make_table(), "prior", config())
    frame = pd.DataFrame({"formula": GOOD, "y": [*map(str, range(len(GOOD) - 1)), "n/m"]})
    frame.loc[4, "y"] = ""
    table = table_from_frame(frame, target="y")
    parts = assign_parts(table, "prior", config())
    assert parts.reason[4] == "target missing"
    assert parts.reason.iloc[-1] == "target not a number: 'n/m'"
    assert (parts.part[parts.status == "error"] == "").all()
    assert (parts.status == "error").sum() == 2


def test_tables_that_cannot_be_split():
    nothing = table_from_frame(pd.DataFrame({"formula": ["Xx", "?"]}), target=None, source="t.csv")
    with pytest.raises(DataError, match=r"no row of t\.csv is usable; row 1: "):
        assign_parts(nothing, "random", config())
    one = table_from_frame(pd.DataFrame({"formula": ["LiF", "MgO"]}), target=None)
    with pytest.raises(SplitError, match="1 rows are left beside the test rows"):
        assign_parts(one, "random", config())


def test_reading_needs_a_target_only_for_a_prior_shift(tmp_path):
    path = tmp_path / "rows.csv"
    pd.DataFrame({"formula": GOOD, "a": 1.0, "b": 2.0}).to_csv(path, index=False)
    data = RunConfig.from_dict({"data": {"dataset": str(path)}}).data
    table = read_rows(data, "random")
    assert table.targets is None
    assert table.formulas.tolist() == GOOD
    assert table.source == "rows.csv"
    with pytest.raises(DataError, match="more than one column can be the target"):
        read_rows(data, "prior")
    named = RunConfig.from_dict({"data": {"dataset": str(path), "target": "b"}}).data
    assert read_rows(named, "prior").targets.tolist() == [2.0] * len(GOOD)
