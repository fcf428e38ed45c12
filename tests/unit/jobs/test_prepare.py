"""From a file to the rows of every training and test set."""

import itertools

import numpy as np
import pandas as pd
import pytest
from xtalshift.jobs.run.prepare import plan_fits, prepare
from xtalshift.jobs.run.spec import RunConfig

from xtalshift.errors import DataError, SplitError

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al", "Ga", "In", "Sc")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se")


def materials():
    """Return 210 formulas, twelve of them again as another multiple with another target."""
    formulas = [f"{a}{n}{b}" for a in CATIONS for b in ANIONS for n in (2, 3)]
    again = [f"{a}4{b}2" for a in CATIONS[:12] for b in ("O",)]
    frame = pd.DataFrame({"formula": formulas + again})
    frame["y"] = np.random.default_rng(0).gamma(2.0, 30.0, len(frame)).round(3)
    return frame


def config(path, split=None, data=None, **settings):
    return RunConfig.from_dict(
        {
            "data": {"dataset": str(path), "target": "y", **(data or {})},
            "split": split or {},
            **settings,
        }
    )


@pytest.fixture
def write(tmp_path):
    def write_frame(**columns):
        path = tmp_path / "materials.csv"
        materials().assign(**columns).to_csv(path, index=False)
        return path

    return write_frame


def groups_of(prepared, rows):
    return set(prepared.table.groups[rows])


def assert_no_formula_is_shared(prepared, fit):
    train, validation = groups_of(prepared, fit.train), groups_of(prepared, fit.validation)
    assert not train & validation
    for test in fit.tests:
        assert not (train | validation) & groups_of(prepared, test.rows), test.split
    id_rows = next(test.rows for test in fit.tests if test.role == "id")
    for test in fit.tests:
        if test.role == "ood":
            assert not groups_of(prepared, id_rows) & groups_of(prepared, test.rows)
        else:
            np.testing.assert_array_equal(test.rows, id_rows)


@pytest.mark.parametrize("duplicates", ["keep", "mean"])
@pytest.mark.parametrize("separate", [False, True])
def test_no_formula_is_in_two_sets(write, duplicates, separate):
    settings = config(
        write(),
        split={"separate": separate, "n_neighbors": 3, "tail": "both", "family": "Li+F"},
        data={"duplicates": duplicates},
        n_seeds=2,
    )
    prepared = prepare(settings)
    n_rows = 222 if duplicates == "keep" else 210
    assert len(prepared.y) == len(prepared.X) == len(prepared.table) == n_rows
    fits = list(plan_fits(settings, prepared))
    assert len(fits) == (8 if separate else 2)
    for fit in fits:
        assert_no_formula_is_shared(prepared, fit)


def test_joint_training_rows_are_those_of_no_test_set(write):
    settings = config(write(), split={"n_neighbors": 3})
    prepared = prepare(settings)
    (fit,) = plan_fits(settings, prepared)
    assert (fit.name, fit.seed) == ("all", 0)
    assert [(test.split, test.role) for test in fit.tests] == [
        ("random", "id"),
        *itertools.product(["covariate", "prior", "family:F"], ["id", "ood"]),
    ]
    used = np.zeros(len(prepared.y), dtype=int)
    used[fit.train] += 1
    used[fit.validation] += 1
    shifted = np.logical_or.reduce(list(prepared.shifted.values()))
    used[shifted] += 1
    used[fit.tests[0].rows] += 1
    assert (used == 1).all()
    for test in fit.tests:
        if test.role == "ood":
            np.testing.assert_array_equal(test.rows, np.flatnonzero(prepared.shifted[test.split]))
    n_rest = int((~shifted).sum())
    assert len(fit.tests[0].rows) == int(0.2 * n_rest)
    assert len(fit.validation) == int(0.1 * (n_rest - int(0.2 * n_rest)))


def test_the_shifted_sets_are_what_they_say(write):
    prepared = prepare(config(write(), split={"n_neighbors": 3}))
    formulas = prepared.table.formulas
    assert set(formulas[prepared.shifted["family:F"]]) == {
        f"{a}{n}F" for a in CATIONS for n in (2, 3)
    }
    tail = prepared.shifted["prior"]
    assert tail.sum() == 21
    assert prepared.y[tail].min() > prepared.y[~tail].max()
    assert prepared.shifted["covariate"].sum() == 21
    assert set(prepared.descriptions) == {"random", "covariate", "prior", "family:F"}


def test_merged_rows_have_the_mean_target(write):
    prepared = prepare(config(write(), split={"schemes": ["random"]}))
    frame = materials()
    twice = frame[frame.formula.isin(["Li2O", "Li4O2"])]
    assert prepared.y[prepared.table.formulas.tolist().index("Li2O")] == twice.y.mean()
    assert prepared.cleaning.rows_merged == 12


def test_separate_trainings_hold_out_one_shift_each(write):
    settings = config(write(), split={"separate": True, "n_neighbors": 3})
    prepared = prepare(settings)
    fits = list(plan_fits(settings, prepared))
    assert [fit.name for fit in fits] == ["random", "covariate", "prior", "family:F"]
    for fit in fits:
        held_out = prepared.shifted.get(fit.name, np.zeros(len(prepared.y), dtype=bool))
        rows = [fit.train, fit.validation, fit.tests[0].rows, np.flatnonzero(held_out)]
        np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(len(prepared.y)))
        assert {test.split for test in fit.tests} == {fit.name}


def test_seeds_change_the_random_rows_only(write):
    settings = config(write(), split={"n_neighbors": 3}, seed=4, n_seeds=3)
    prepared = prepare(settings)
    fits = list(plan_fits(settings, prepared))
    assert [fit.seed for fit in fits] == [4, 5, 6]
    for one, two in itertools.combinations(fits, 2):
        assert one.tests[0].rows.tolist() != two.tests[0].rows.tolist()
        assert one.validation.tolist() != two.validation.tolist()
        for first, second in zip(one.tests, two.tests, strict=True):
            if first.role == "ood":
                np.testing.assert_array_equal(first.rows, second.rows)
    again = list(plan_fits(settings, prepare(settings)))
    for one, two in zip(fits, again, strict=True):
        np.testing.assert_array_equal(one.train, two.train)
        np.testing.assert_array_equal(one.validation, two.validation)


def test_the_order_of_the_file_changes_no_set(write, tmp_path):
    settings = config(write(), split={"n_neighbors": 3}, data={"duplicates": "median"})
    prepared = prepare(settings)
    (fit,) = plan_fits(settings, prepared)
    path = tmp_path / "shuffled.csv"
    materials().sample(frac=1, random_state=1).to_csv(path, index=False)
    shuffled = prepare(config(path, split={"n_neighbors": 3}, data={"duplicates": "median"}))
    (other,) = plan_fits(settings, shuffled)
    assert groups_of(prepared, fit.train) == groups_of(shuffled, other.train)
    assert groups_of(prepared, fit.validation) == groups_of(shuffled, other.validation)
    for one, two in zip(fit.tests, other.tests, strict=True):
        assert groups_of(prepared, one.rows) == groups_of(shuffled, two.rows)


class TestRelation:
    chosen = ("Zn2O", "Cd3Se", "Al2S")

    def relation(self, prepared):
        return sorted(prepared.table.formulas[prepared.shifted["relation"]])

    @pytest.mark.parametrize(
        ("yes", "no"), [("True", "False"), (1, 0), ("yes", "no"), (" TRUE", "false "), (1.0, 0.0)]
    )
    def test_flag_columns(self, write, yes, no):
        flags = [yes if formula in self.chosen else no for formula in materials().formula]
        settings = config(write(flag=flags), split={"schemes": ["random"], "relation_flag": "flag"})
        prepared = prepare(settings)
        assert self.relation(prepared) == sorted(self.chosen)
        (fit,) = plan_fits(settings, prepared)
        assert [(test.split, test.role) for test in fit.tests] == [
            ("random", "id"),
            ("relation", "id"),
            ("relation", "ood"),
        ]

    @pytest.mark.parametrize("duplicates", ["keep", "mean"])
    def test_a_flag_on_a_later_row_of_a_formula_is_not_lost_in_merging(self, write, duplicates):
        flags = (materials().formula == "Zn4O2").astype(int)
        settings = config(
            write(flag=flags),
            split={"schemes": ["random"], "relation_flag": "flag"},
            data={"duplicates": duplicates},
        )
        kept = {"keep": ["Zn2O", "Zn4O2"], "mean": ["Zn2O"]}
        assert self.relation(prepare(settings)) == kept[duplicates]

    def test_rows_that_cleaning_drops_need_no_flag(self, write):
        frame = materials()
        flags = [str(int(formula in self.chosen)) for formula in frame.formula]
        flags[3] = ""
        formulas = frame.formula.copy()
        formulas[3] = "Xx3"
        settings = config(
            write(formula=formulas, flag=flags),
            split={"schemes": ["random"], "relation_flag": "flag"},
        )
        prepared = prepare(settings)
        assert self.relation(prepared) == sorted(self.chosen)
        assert prepared.cleaning.rows_dropped == 1

    def test_a_value_that_is_no_flag(self, write):
        flags = [0] * 222
        flags[1] = 2
        settings = config(write(flag=flags), split={"relation_flag": "flag"})
        message = r"column 'flag', Li3F \(id 2\): 2 is no flag; use 0 and 1, or true and false"
        with pytest.raises(SplitError, match=message):
            prepare(settings)

    def test_a_word_that_is_no_flag(self, write):
        settings = config(write(flag=["perhaps"] * 222), split={"relation_flag": "flag"})
        with pytest.raises(DataError, match=r"column 'flag', row 1 .*not a number: 'perhaps'"):
            prepare(settings)

    def test_a_column_that_does_not_exist(self, write):
        settings = config(write(flag=0), split={"relation_flag": "flags"})
        with pytest.raises(DataError, match=r"no column 'flags'.* did you mean 'flag'"):
            prepare(settings)

    def test_a_file_of_formulas_written_in_any_way(self, write, tmp_path):
        listed = tmp_path / "relation.csv"
        pd.DataFrame({"composition": ["OZn2", "Se2Cd6", "S1Al2", "nonsense", "UO2"]}).to_csv(listed)
        settings = config(write(), split={"schemes": ["random"], "relation_file": str(listed)})
        assert self.relation(prepare(settings)) == sorted(self.chosen)

    def test_a_file_without_formulas(self, write, tmp_path):
        listed = tmp_path / "relation.csv"
        pd.DataFrame({"formula": ["nonsense", "?"]}).to_csv(listed)
        with pytest.raises(DataError, match=r"relation\.csv holds no readable formula"):
            prepare(config(write(), split={"relation_file": str(listed)}))

    def test_undeclared(self, write):
        with pytest.raises(SplitError, match="give --relation-flag COLUMN or --relation-file FILE"):
            prepare(config(write(), split={"schemes": ["relation"]}))


def test_too_few_rows_are_left(tmp_path):
    path = tmp_path / "small.csv"
    materials()[:30].to_csv(path, index=False)
    settings = config(path, split={"schemes": ["prior"], "prior_share": 0.5})
    message = (
        "only 15 of 30 rows are in no test set; at least 20 are needed for training. Use fewer or "
        "smaller splits, or --separate"
    )
    with pytest.raises(SplitError) as caught:
        list(plan_fits(settings, prepare(settings)))
    assert str(caught.value) == message


def test_extra_columns_stand_last_among_the_features(write):
    temperature = np.arange(222) + 0.5
    settings = config(
        write(T=temperature),
        split={"schemes": ["random"]},
        data={"feature_cols": ["T"], "duplicates": "keep"},
    )
    prepared = prepare(settings)
    np.testing.assert_array_equal(prepared.X[:, -1], temperature)


def test_what_cleaning_found_is_told(write):
    said = []

    class Listener:
        def say(self, text):
            said.append(text)

    targets = materials().y.astype(object)
    targets[5] = "n/m"
    prepare(config(write(y=targets), split={"schemes": ["random"]}), Listener())
    assert said[0].startswith("Reading ")
    assert said[1].startswith("222 rows read, 1 dropped, 12 merged: 209 materials, ")
    assert "row 6: not a number: 'n/m'" in said[2]
