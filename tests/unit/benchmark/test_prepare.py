"""From a file to the rows of every training and test set."""

import itertools

import numpy as np
import pandas as pd
import pytest

from encoder_toys import write_toy_encoder
from xtalshift.benchmark.prepare import prepare_shared
from xtalshift.benchmark.spec import BenchmarkSpec, read_spec
from xtalshift.benchmark.summary_records import RowCounts
from xtalshift.benchmark.tasks import plan_tasks
from xtalshift.errors import ConfigError, SplitError
from xtalshift.progress import NO_PROGRESS

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al", "Ga", "In", "Sc")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se")
SHIFTS = {
    "covariate": {"scheme": "covariate", "params": {"n_neighbors": 3}},
    "prior": {"scheme": "prior"},
    "family:F": {"scheme": "family", "params": {"contains": "F"}},
}


def materials():
    """Return 210 formulas, twelve of them again as another multiple with another target."""
    formulas = [f"{a}{n}{b}" for a in CATIONS for b in ANIONS for n in (2, 3)]
    again = [f"{a}4{b}2" for a in CATIONS[:12] for b in ("O",)]
    frame = pd.DataFrame({"formula": formulas + again})
    frame["y"] = np.random.default_rng(0).gamma(2.0, 30.0, len(frame)).round(3)
    return frame


def spec_for(path, data=None, **settings):
    known = {
        "data": {"t": {"dataset": str(path), "target": "y", **(data or {})}},
        "splits": SHIFTS, "methods": ["dummy"], "seeds": 1, "joint": True, "id_share": 0.2,
        "validation_share": 0.1, "audit": False,
    }  # fmt: skip
    return BenchmarkSpec.from_dict(known | settings).check_methods()


@pytest.fixture
def prepare(tmp_path):
    """Return a function from settings to the problem and its folds."""
    path = tmp_path / "materials.csv"
    materials().to_csv(path, index=False)

    def call(data=None, path=path, progress=NO_PROGRESS, **settings):
        shared, _ = prepare_shared(spec_for(path, data, **settings), {}, progress)
        return shared.problems["t"], list(shared.folds.values())

    return call


def formulas_of(problem, rows):
    return set(problem.data.groups[rows])


def assert_no_formula_is_shared(problem, fold):
    parts = [fold.train, fold.val, fold.id_rows, fold.test_rows]
    if len(fold.tests) == 1 and fold.tests[0].role == "id":
        parts.pop()  # the ID rows are the test rows
    names = [formulas_of(problem, rows) for rows in parts]
    for one, two in itertools.combinations(names, 2):
        assert not one & two
    for test in fold.tests:
        if test.role == "id":
            np.testing.assert_array_equal(test.rows, fold.id_rows)


@pytest.mark.parametrize("duplicates", ["keep", "mean"])
@pytest.mark.parametrize("joint", [True, False])
def test_no_formula_is_in_two_sets(prepare, duplicates, joint):
    splits = {
        "covariate": SHIFTS["covariate"],
        "prior": {"scheme": "prior", "params": {"tail": "both"}},
        "family": {"scheme": "family", "params": {"contains": "Li+F"}},
    }
    if not joint:
        splits["random"] = {"scheme": "random", "params": {"share": 0.2}}
    problem, folds = prepare({"duplicates": duplicates}, splits=splits, joint=joint, seeds=2)
    n_rows = 222 if duplicates == "keep" else 210
    assert len(problem.data) == len(problem.X["magpie"]) == n_rows
    assert len(folds) == (2 if joint else 8)
    for fold in folds:
        assert_no_formula_is_shared(problem, fold)


def test_joint_training_rows_are_those_of_no_test_set(prepare):
    problem, (fold,) = prepare()
    assert (fold.split, fold.seed, fold.key) == ("all", 0, "t/all/0/0")
    assert [(test.split, test.role) for test in fold.tests] == [
        ("random", "id"),
        *itertools.product(["covariate", "prior", "family:F"], ["id", "ood"]),
    ]
    used = np.zeros(len(problem.data), dtype=int)
    for rows in (fold.train, fold.val, fold.id_rows, fold.test_rows):
        used[rows] += 1
    assert (used == 1).all()
    assert len(fold.target) == 0
    n_rest = len(problem.data) - len(fold.test_rows)
    assert len(fold.id_rows) == int(0.2 * n_rest)
    assert len(fold.val) == int(0.1 * (n_rest - int(0.2 * n_rest)))


def test_the_side_of_extremes_is_that_of_the_benchmark_or_of_the_split(prepare):
    splits = {"family": {"scheme": "family", "params": {"contains": "Li+F"}}}
    both = splits | {"prior": {"scheme": "prior", "tail": "high"}}
    for joint in (True, False):
        _, folds = prepare(splits=splits, joint=joint, tail="low")
        assert [fold.tail for fold in folds] == ["low"]
    _, folds = prepare(splits=both, joint=False, tail="low")
    assert [fold.tail for fold in folds] == ["low", "high"]
    with pytest.raises(ConfigError, match="split 'prior' sets tail = 'high', but the splits of a"):
        prepare(splits=both, joint=True, tail="low")


def test_the_shifted_sets_are_what_they_say(prepare):
    problem, (fold,) = prepare()
    held_out = {test.split: test.rows for test in fold.tests if test.role == "ood"}
    assert set(problem.data.formulas[held_out["family:F"]]) == {
        f"{a}{n}F" for a in CATIONS for n in (2, 3)
    }
    assert len(held_out["prior"]) == 21
    others = np.setdiff1d(np.arange(210), held_out["prior"])
    assert problem.data.y[held_out["prior"]].min() > problem.data.y[others].max()
    assert len(held_out["covariate"]) == 21
    described = {split: fold.describe_split(split) for split in ("random", *SHIFTS)}
    assert all(described.values())
    assert len(set(described.values())) == 4
    assert described["random"].endswith("that no shifted set holds")
    assert fold.describe_split("other") == ""


def test_separate_trainings_hold_out_one_shift_each(prepare):
    splits = {"random": {"scheme": "random", "params": {"share": 0.2}}, **SHIFTS}
    _, folds = prepare(splits=splits, joint=False)
    assert [fold.split for fold in folds] == ["random", "covariate", "prior", "family:F"]
    for fold in folds:
        rows = [fold.train, fold.val, fold.test_rows]
        rows += [] if fold.split == "random" else [fold.id_rows]
        np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(210))
        roles = [("random", "id")] if fold.split == "random" else [
            (fold.split, "id"), (fold.split, "ood"),
        ]  # fmt: skip
        assert [(test.split, test.role) for test in fold.tests] == roles
    _, (joint,) = prepare()
    for fold in folds[1:]:  # the same rows are held out as in a joint fold
        (one,) = (t.rows for t in joint.tests if (t.split, t.role) == (fold.split, "ood"))
        np.testing.assert_array_equal(one, fold.test_rows)


@pytest.mark.parametrize("joint", [True, False])
def test_seeds_change_the_random_rows_only(prepare, joint):
    options = {"seed": 4, "seeds": 3, "joint": joint, "splits": {"prior": SHIFTS["prior"]}}
    _, folds = prepare(**options)
    assert [fold.seed for fold in folds] == [4, 5, 6]
    for one, two in itertools.combinations(folds, 2):
        assert one.id_rows.tolist() != two.id_rows.tolist()
        assert one.val.tolist() != two.val.tolist()
        np.testing.assert_array_equal(one.test_rows, two.test_rows)
    _, again = prepare(**options)
    assert [fold.sha256() for fold in folds] == [fold.sha256() for fold in again]
    _, (alone,) = prepare(**(options | {"seed": 5, "seeds": 1}))  # of no other seed
    assert alone.sha256() == folds[1].sha256()


def test_the_order_of_the_file_changes_no_set(prepare, tmp_path):
    problem, (fold,) = prepare({"duplicates": "median"})
    path = tmp_path / "shuffled.csv"
    materials().sample(frac=1, random_state=1).to_csv(path, index=False)
    other, (shuffled,) = prepare({"duplicates": "median"}, path)
    for name in ("train", "val", "id_rows"):
        one, two = getattr(fold, name), getattr(shuffled, name)
        assert formulas_of(problem, one) == formulas_of(other, two)
    for one, two in zip(fold.tests, shuffled.tests, strict=True):
        assert formulas_of(problem, one.rows) == formulas_of(other, two.rows)


def test_target_labels_and_budgets(prepare):
    said = []

    class Listener:
        def say(self, text):
            said.append(text)

    splits = {"prior": SHIFTS["prior"]}
    problem, (fold,) = prepare(progress=Listener(), joint=False, splits=splits, budgets=[4, 8, 99])
    assert said[-1] == "  prior fold 0 has 21 held-out rows: too few for 99 target labels"
    assert fold.budgets == (4, 8)
    assert len(fold.target) == 8
    assert not formulas_of(problem, fold.target) & formulas_of(problem, fold.test_rows)
    assert len(fold.target) + len(fold.test_rows) == 21


def test_a_fraction_of_the_table_and_no_id_rows(prepare):
    problem, (fold,) = prepare({"sample": 100}, id_share=0.0)
    assert len(problem.data) == len(problem.X["magpie"]) == 100
    assert [test.role for test in fold.tests] == ["ood"] * 3
    assert len(fold.id_rows) == 0
    whole, _ = prepare()
    assert set(problem.data.formulas) < set(whole.data.formulas)
    again, _ = prepare({"sample": 100}, seed=7)  # the same for every seed
    assert again.data.formulas.tolist() == problem.data.formulas.tolist()


def test_other_features_are_of_the_same_rows(prepare):
    problem, _ = prepare(methods=["ridge@fractions", "ridge"], features=["magpie"])
    assert problem.X.keys() == {"magpie", "fractions"}
    for features, X in problem.X.items():
        expected = problem.featurizer(features).transform(problem.data.formulas.tolist())
        np.testing.assert_array_equal(X, expected)
    assert len(problem.data.columns.columns) == 0  # tasks need no other columns
    low, high = np.quantile(problem.data.y, [0.05, 0.95])
    assert problem.tails == (low, high)


def test_what_identifies_a_table(prepare):
    problem, _ = prepare()
    described = problem.describe()
    assert (described.name, described.rows, described.target) == ("t", 210, "y")
    assert described.cleaning == RowCounts(
        rows_read=222, rows_kept=210, rows_dropped=0, rows_merged=12
    )
    assert described.tails == {"low": problem.tails[0], "high": problem.tails[1]}
    whole = materials().groupby("formula").size()
    assert described.materials == 210 < len(whole)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"scheme": "random"}, "'other': a joint benchmark draws ID test rows itself"),
        (
            {"scheme": "loco", "params": {"n_clusters": 3}},
            "'other' has 3 folds; a joint benchmark needs splits of one fold",
        ),
        (
            {"scheme": "family", "params": {"contains": "Pu"}},
            r"split 'other': .*holds out 0 of 210 rows.*such as \w+ \(\d+ of 210 rows\)",
        ),
    ],
)
def test_splits_that_a_joint_benchmark_cannot_have(prepare, split, message):
    with pytest.raises(SplitError, match=message):
        prepare(splits={"other": split})


def test_too_few_rows_are_left(prepare, tmp_path):
    path = tmp_path / "small.csv"
    materials()[:30].to_csv(path, index=False)
    message = (
        "small.csv: only 15 of 30 rows are in no test set; at least 20 are needed for training. "
        "Use fewer or smaller splits (--splits), or train once per split (--separate)"
    )
    with pytest.raises(SplitError) as caught:
        prepare(path=path, splits={"prior": {"scheme": "prior", "params": {"share": 0.5}}})
    assert str(caught.value) == message


def test_a_split_without_validation_rows_is_refused(prepare):
    split = {"prior": {"scheme": "prior", "validation_share": 0.0}}
    with pytest.raises(
        SplitError, match="no validation rows, so that models would be selected on test rows"
    ):
        prepare(splits=split, joint=False)


def test_a_split_may_have_fewer_training_rows(prepare):
    few = {"scheme": "family", "params": {"contains": "F"}, "max_train_rows": 60}
    splits = {"few": few, "many": few | {"max_train_rows": 1000}}
    problem, folds = prepare(splits=splits, joint=False, seeds=2)
    seen = [np.concatenate([fold.train, fold.val]) for fold in folds]
    assert [len(rows) for rows in seen] == [60, 60, 144, 144]
    for fold, rows in zip(folds, seen, strict=True):
        assert len(fold.val) == int(0.1 * len(rows))
        assert_no_formula_is_shared(problem, fold)
    assert set(seen[0]) != set(seen[1])  # each seed draws its own
    assert [fold.test_rows.tolist() for fold in folds] == [folds[0].test_rows.tolist()] * 4
    with pytest.raises(ConfigError, match="'few' sets max_train_rows, but one training serves all"):
        prepare(splits=splits, joint=True)


def test_a_plan_needs_no_features(tmp_path, monkeypatch):
    path = tmp_path / "materials.csv"
    materials().to_csv(path, index=False)
    spec = spec_for(path, methods=["dummy", "ridge@fractions", "lightgbm"])
    shared, _ = prepare_shared(spec, {})
    monkeypatch.setattr("xtalshift.benchmark.prepare.compute_features", None)
    alone, _ = prepare_shared(spec, {}, compute=False)
    assert plan_tasks(spec, alone) == plan_tasks(spec, shared)


@pytest.mark.shared_data
@pytest.mark.usefixtures("shared_data")
def test_the_official_folds_of_matbench():
    spec = BenchmarkSpec.from_dict(read_spec("matbench-composition")[0]).only(["expt_gap"])
    shared, _ = prepare_shared(spec.check_methods(), {})
    problem = shared.problems["expt_gap"]
    assert len(problem.data) == 4604
    folds = list(shared.folds.values())
    tested = [fold.test_rows for fold in folds]
    assert sorted(np.concatenate(tested)) == list(range(4604))
    # the first rows of matbench_v0.1_validation.json
    assert [rows[:3].tolist() for rows in tested] == [
        [7, 9, 18], [2, 22, 24], [0, 5, 6], [1, 3, 10], [4, 12, 13],
    ]  # fmt: skip
    for fold in folds:
        assert len(fold.train) + len(fold.val) + len(fold.test_rows) == 4604
    # the dummy of the leaderboard
    errors = [
        np.abs(problem.data.y[rows] - np.delete(problem.data.y, rows).mean()).mean()
        for rows in tested
    ]
    assert np.mean(errors) == pytest.approx(1.1435, abs=5e-5)


def test_a_table_brings_the_encoder_of_its_pretrained_features(prepare, tmp_path):
    own = write_toy_encoder(tmp_path / "encoder", formulas=("LiF2", "NaF2"))
    problem, _ = prepare(
        data={"encoder": str(tmp_path / "encoder")},
        methods=["ridge@fractions+pretrained", "ridge"],
    )
    X = problem.X["fractions+pretrained"]
    assert X.shape == (len(problem.data), 118 + own.size)
    told = np.array([""] * len(X), dtype=object)
    expected = own.encode(problem.data.materials.compositions, told)
    np.testing.assert_array_equal(X[:, 118:], expected)
    assert problem.blocks("fractions+pretrained") == f"fractions+pretrained:{tmp_path / 'encoder'}"
    assert problem.blocks("magpie") == "magpie"
    assert prepare()[0].blocks("pretrained") == "pretrained"
