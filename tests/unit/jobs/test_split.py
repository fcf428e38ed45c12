"""Every row of a table gets a part, or a reason."""

import numpy as np
import pandas as pd
import pytest

from xtalshift.data import table_from_frame
from xtalshift.data.dataset import Dataset
from xtalshift.data.readers import read_configured
from xtalshift.data.settings import DataConfig, ReadingOptions
from xtalshift.errors import ConfigError, DataError, NotFoundError, SplitError
from xtalshift.jobs.split import iter_parts, prepare_rows
from xtalshift.splits.split_spec import SplitSpec

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn")
GOOD = [f"{a}{n}{b}" for a in CATIONS for b in ("F", "Cl", "O") for n in ("", "2")]
SCHEMES = ("random", "covariate", "prior", "family", "relation")


def make_table(target=None, hydrates=None):
    """Return 64 rows: bad ones at 0, 30 and 63, a double (Na2O2) of the material NaO at 31."""
    formulas = ["", *GOOD[:29], "Xx2", "Na2O2", *GOOD[29:], "CuSO4*5H2O"]
    frame = pd.DataFrame(
        {
            "formula": formulas,
            "y": np.arange(len(formulas), dtype=float),
            "flag": [formula in ("NaO", "MgF") for formula in formulas],
        }
    )
    return table_from_frame(
        frame, target=target, source="small.csv", reading=ReadingOptions(hydrates=hydrates)
    )


PARAMS = {"covariate": {"n_neighbors": 3}, "relation": {"flags": "flag"}}


def spec(scheme="random", **settings):
    settings.setdefault("params", PARAMS.get(scheme, {}))
    return SplitSpec.from_dict({"scheme": scheme, **settings})


def assign(table, scheme="random", **settings):
    """Return the table of the only fold."""
    (parts,) = iter_parts(table, spec(scheme, **settings))
    return parts.frame


@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_and_count_are_kept_and_bad_rows_have_reasons(scheme):
    table = make_table("y" if scheme == "prior" else None)
    parts = assign(table, scheme)
    assert list(parts.columns) == ["id", "formula", "fold", "part", "fold_name", "status", "reason"]
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
    family = assign(make_table(), "family", params={"contains": "F"})
    assert set(family.formula[family.part == "test"]) == {f for f in GOOD if f.endswith("F")}
    relation = assign(make_table(), "relation")
    assert set(relation.formula[relation.part == "test"]) == {"NaO", "Na2O2", "MgF"}
    prior = assign(make_table("y"), "prior", params={"share": 0.05})
    assert np.flatnonzero(prior.part == "test").tolist() == [60, 61, 62]
    random = assign(make_table(), params={"share": 0.25})
    assert 14 <= (random.part == "test").sum() <= 15


def test_the_seed_decides_the_random_parts_only():
    one, two = (assign(make_table(), "covariate", seed=seed) for seed in (1, 2))
    assert (one.part == "test").tolist() == (two.part == "test").tolist()
    assert (one.part == "val").tolist() != (two.part == "val").tolist()
    random = [(assign(make_table(), seed=seed).part == "test").tolist() for seed in (1, 1, 2)]
    assert random[0] == random[1] != random[2]


def test_hydrates_can_be_expanded():
    parts = assign(make_table(hydrates="expand"))
    assert parts.status.tolist()[-1] == "ok"
    assert parts.part.tolist()[-1] in {"train", "val", "test"}


def test_a_scheme_that_looks_at_targets_needs_them():
    with pytest.raises(DataError, match="give --target COLUMN"):
        assign(make_table(), "prior")
    frame = pd.DataFrame({"formula": GOOD, "y": [*map(str, range(len(GOOD) - 1)), "n/m"]})
    frame.loc[4, "y"] = ""
    table = table_from_frame(frame, target="y")
    parts = assign(table, "prior")
    assert parts.reason[4] == "target missing"
    assert parts.reason.iloc[-1] == "target not a number: 'n/m'"
    assert (parts.part[parts.status == "error"] == "").all()
    assert (parts.status == "error").sum() == 2


def test_tables_that_cannot_be_split():
    nothing = table_from_frame(pd.DataFrame({"formula": ["Xx", "?"]}), target=None, source="t.csv")
    with pytest.raises(DataError, match=r"no row of t\.csv is usable; row 1: "):
        assign(nothing)
    one = table_from_frame(pd.DataFrame({"formula": ["LiF", "MgO"]}), target=None)
    with pytest.raises(SplitError, match="1 rows are left beside the test rows"):
        assign(one)


def test_folds_stand_one_below_the_other():
    parts = list(iter_parts(make_table(), spec("leave-out", params={"values": "F,Cl"})))
    assert [part.fold.name for part in parts] == ["element F", "element Cl"]
    for number, part in enumerate(parts):
        assert (part.frame.fold == number).all()
        held = part.frame.formula[part.frame.part == "test"]
        assert set(held) == {f for f in GOOD if f.endswith(("F", "Cl")[number])}
        assert set(part.frame.fold_name) == {part.fold.name}


def test_validation_can_be_left_out():
    assert set(assign(make_table(), validation_share=0).part) == {"train", "test", ""}


def test_budgets_name_the_smallest_that_has_the_row():
    parts = assign(make_table(), "family", budgets=[2, 5])
    target = parts[parts.part == "target"]
    assert sorted(target.budget) == [2, 2, 5, 5, 5]
    assert (parts.budget[parts.part != "target"] == 0).all()
    assert (parts.part == "test").sum() == 15
    smaller = assign(make_table(), "family", budgets=[5])
    assert (smaller.part == "test").tolist() == (parts.part == "test").tolist()


def test_inner_folds_stand_below_their_outer_fold():
    parts = assign(make_table(), "family", inner="kfold", inner_params={"n_folds": 3}, budgets=[4])
    n = len(make_table())
    assert parts.inner.tolist() == [-1] * n + [0] * n + [1] * n + [2] * n
    outer = parts[:n].reset_index()
    assert set(outer.part) == {"train", "target", "test", ""}  # no validation rows of its own
    inner = [parts[parts.inner == number].reset_index() for number in range(3)]
    tested = pd.concat([part.formula[part.part == "test"] for part in inner])
    assert sorted(tested) == sorted(outer.formula[outer.part == "train"])
    for part in inner:
        assert (part.part[outer.part != "train"] == "").all()
        assert (part.status[outer.part == "test"] == "unused").all()
        assert (part.status[outer.part == ""] == "error").all()


def test_rows_that_a_distance_leaves_out_say_so():
    frame = pd.DataFrame(
        {"formula": ["Fe2O3", "Fe9O13", "LiF", "NaCl", "KCl", "MgO", "CaO", "ZnO"]}
    )
    table = table_from_frame(frame, target=None)
    parts = assign(table, "family", params={"contains": "Fe and O > 0.595"}, min_distance=0.02)
    assert parts.part[0] == "test"
    assert (parts.part[1], parts.status[1]) == ("", "unused")
    assert parts.reason[1] == "within 0.02 of a test row"
    thinned = assign(table, params={"share": 0.3}, thin=0.02, validation_share=0)
    gone = thinned[thinned.status == "unused"]
    assert len(gone) == 1
    assert gone.formula.iloc[0] in {"Fe2O3", "Fe9O13"}
    assert gone.reason.iloc[0] == "thinned out: a kept material is within 0.02"


def test_columns_become_arguments():
    frame = pd.DataFrame(
        {
            "formula": GOOD,
            "year": [2000 + row // 6 for row in range(len(GOOD))],
            "day": [f"20{row // 6 + 10}-01-31" for row in range(len(GOOD))],
            "lab": ["A", "B", ""] * 20,
            "part": ["train"] * 50 + ["ood"] * 10,
        }
    )
    table = table_from_frame(frame, target=None)
    for column in ("year", "day"):
        parts = assign(table, "time", params={"times": column, "share": 0.1})
        assert np.flatnonzero(parts.part == "test").tolist() == list(range(54, 60))
    labs = list(iter_parts(table, spec("leave-out", params={"by": "lab", "values": ["B"]})))
    assert np.flatnonzero(labs[0].frame.part == "test").tolist() == list(range(1, 60, 3))
    own = assign(table, "column", params={"labels": "part"})
    assert np.flatnonzero(own.part == "test").tolist() == list(range(50, 60))
    frame["lab"] = ["A", "B", "C"] * 20
    tail = assign(table_from_frame(frame, target="year"), "prior", params={"within": "lab"})
    assert tail.formula[tail.part == "test"].tolist() == GOOD[54:]  # two of twenty of each lab


def test_symmetries_are_read_from_a_column_of_structures():
    cell = "data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c {c}\n" + "".join(
        f"_cell_angle_{angle} 90\n" for angle in ("alpha", "beta", "gamma")
    )
    atoms = "loop_\n_atom_site_label\n" + "".join(f"_atom_site_fract_{x}\n" for x in "xyz")
    cifs = [cell.format(c=4 + row % 3) + atoms + "Cs1 0 0 0\nCl1 .5 .5 .5\n" for row in range(60)]
    cifs[7] = "no structure"
    frame = pd.DataFrame({"formula": GOOD, "cif": cifs})
    (parts,) = iter_parts(
        table_from_frame(frame, target=None),
        spec("leave-out", params={"by": "crystal_system", "values": "cubic"}),
    )
    assert np.flatnonzero(parts.frame.part == "test").tolist() == list(range(0, 60, 3))
    with pytest.raises(SplitError, match=r"'space_group', row 8 \(id 8\) has no label, 1 of"):
        assign(table_from_frame(frame, target=None), "grouped", params={"by": "space_group"})


@pytest.mark.parametrize(
    ("scheme", "params", "error", "message"),
    [
        ("loco", {"n_cluster": 3}, ConfigError, r"no parameter 'n_cluster' \(did you mean 'n_clus"),
        ("loco", {"n_clusters": "x"}, ConfigError, "parameter n_clusters = 'x': .*valid integer"),
        (
            "prior",
            {"tail": "top"},
            ConfigError,
            "parameter tail = 'top': .*'high'",
        ),
        ("time", {}, ConfigError, "scheme time needs the parameter times=COLUMN"),
        ("folds", {}, ConfigError, "scheme folds needs the parameter given=FILE"),
        ("time", {"times": "flags"}, DataError, "no column 'flags' .*did you mean 'flag'"),
        ("time", {"times": "word"}, DataError, "'w' is neither a number nor a date such as 2021"),
        ("leave-out", {"by": "familly"}, SplitError, "did you mean 'family'.*columns: flag, word"),
        (
            "leave-out",
            {"by": "space_group"},
            SplitError,
            "read from a column cif, structure or poscar",
        ),
        ("relation", {}, SplitError, "by a flag column or a list of formulas"),
    ],
)
def test_parameters_that_cannot_be(scheme, params, error, message):
    frame = pd.DataFrame({"formula": GOOD, "y": np.arange(60.0), "flag": 1.0, "word": "w"})
    with pytest.raises(error, match=message):
        assign(table_from_frame(frame, target="y"), scheme, params=params)


def test_an_unknown_scheme_has_a_hint():
    with pytest.raises(NotFoundError, match=r"no split scheme named 'familly' \(did you mean"):
        spec("familly")


def test_reading_takes_a_target_only_where_one_is_needed_or_named(tmp_path):
    path = tmp_path / "rows.csv"
    pd.DataFrame({"formula": GOOD, "a": 1.0, "b": 2.0}).to_csv(path, index=False)
    data = DataConfig(dataset=str(path))
    table = read_configured(data, need_target=False)
    assert table.targets is None
    assert table.formulas.tolist() == GOOD
    assert table.source == "rows.csv"
    with pytest.raises(DataError, match="more than one column can be the target"):
        read_configured(data, need_target=True)
    named = DataConfig(dataset=str(path), target="b")
    assert read_configured(named, need_target=False).targets.tolist() == [2.0] * len(GOOD)


def test_rows_without_a_group_are_named_by_their_place_in_the_table():
    doi = [f"10.1/{row // 6}" for row in range(60)]
    doi[8], doi[20] = "n/a", "-"
    frame = pd.DataFrame({"formula": ["Xx", *GOOD[1:]], "doi": doi})
    with pytest.raises(SplitError, match=r"'doi', row 9 \(id 9\) has no label, 2 of 59 rows"):
        assign(table_from_frame(frame, target=None), "grouped", params={"by": "doi"})
    (parts,) = iter_parts(
        table_from_frame(frame, target=None),
        spec("leave-out", params={"by": "doi", "values": "10.1/1"}),
    )
    assert np.flatnonzero(parts.frame.part == "test").tolist() == [6, 7, 9, 10, 11]


def test_a_target_out_of_range_is_missing_where_targets_are_not_needed():
    table = Dataset.of(["NaCl", "KCl", "LiF", "MgO"], [1.0, 1e200, np.inf, 2.0])
    rows = prepare_rows(table, DataConfig(), {"X"})
    np.testing.assert_array_equal(rows.usable.y, [1.0, np.nan, np.nan, 2.0])
    assert prepare_rows(table, DataConfig(), {"y"}).reasons[1].startswith("target out of range")
