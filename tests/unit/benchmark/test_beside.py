"""Rows beside a table, a cheaper fidelity and other targets: what they may and may not teach."""

from dataclasses import replace

import numpy as np
import pytest

from integration.tables import make_rows
from xtalshift.benchmark.beside import fit_beside
from xtalshift.benchmark.fit_task import fit_task
from xtalshift.benchmark.prepare import compute_features, prepare_shared, prepare_table
from xtalshift.benchmark.spec import BenchmarkData, BenchmarkSpec
from xtalshift.benchmark.tasks import TaskContext, plan_tasks
from xtalshift.errors import ConfigError, UsageError
from xtalshift.methods import MethodSettings
from xtalshift.model import FitRows, fit
from xtalshift.uncertainty.settings import IntervalConfig

NONE = IntervalConfig(method="none")
SETTINGS = MethodSettings.from_dict(
    {"device": "cpu", "threads": 1, "network": {"architecture": [8]}, "erm": {"epochs": 3}}
)
ROWS = FitRows(np.arange(25), np.arange(25, 30), np.arange(30, 42))


def prepared(path, lines, **settings):
    path.write_text("\n".join(lines) + "\n")
    data = BenchmarkData.from_dict({"dataset": str(path), "target": "gap", **settings})
    problem, table = prepare_table("table", data, ("magpie",))
    return compute_features(problem, table, ("magpie",))[0]


@pytest.fixture(scope="module")
def fidelities(tmp_path_factory):
    """Return 50 measured gaps, 2 higher than 70 computed ones, of which 20 are of both kinds."""
    rows = make_rows(100)
    lines = [f"{f},{gap},PBE" for _, f, gap, _ in rows[:70]]
    lines += [f"{f},{gap + 2:.3f},measured" for _, f, gap, _ in rows[50:]]
    path = tmp_path_factory.mktemp("beside") / "mixed.csv"
    return prepared(path, ["formula,gap,how", *lines], fidelity={"column": "how"})


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """Return gaps with bulk moduli, which lack every third."""
    lines = ["formula,gap,bulk"]
    for number, (_, formula, gap, _) in enumerate(make_rows(60)):
        lines.append(f"{formula},{gap},{'' if number % 3 == 0 else 200 - 20 * gap}")
    path = tmp_path_factory.mktemp("beside") / "several.csv"
    return prepared(path, lines, targets={"gap": "eV", "bulk": "GPa"})


def test_the_cheaper_rows_are_of_other_materials(fidelities):
    assert len(fidelities.data) == 50
    assert len(fidelities.lower) == 50  # 20 of 70 have both values
    assert not set(fidelities.lower.groups) & set(fidelities.data.groups)
    assert fidelities.beside("ridge") == "50 materials of 'PBE'"
    assert fidelities.beside("dummy") == ""


def test_cheap_values_lower_the_error_of_few_rows(fidelities):
    rows = replace(ROWS, train=ROWS.train[:15], validation=ROWS.train[15:20])
    model = fit_beside(
        fidelities, "ridge", "magpie", rows, SETTINGS, intervals=NONE, domain=False, seed=0
    )
    alone = fit(
        fidelities.data, "ridge", rows=rows, X=fidelities.X["magpie"], intervals=NONE,
        domain=False, settings=SETTINGS,
    )  # fmt: skip
    X, y = fidelities.X["magpie"][42:], fidelities.data.y[42:]
    both, one = (float(np.abs(m.predict_features(X) - y).mean()) for m in (model, alone))
    assert both < one
    assert model.domain is None
    # calibrated on the rows that are named for it
    assert len(model.calibration) == 12
    np.testing.assert_array_equal(
        model.calibration.X, fidelities.X["magpie"][30:42].astype(np.float32)
    )
    names = [one["name"] for one in model.card.provenance["members"]]
    assert set(names) == {
        "model before", "line", "ridge on errors", "ridge on both", "ridge alone",
    }  # fmt: skip


def test_other_targets_teach_nothing_of_held_out_materials(targets):
    assert targets.beside("multi-task") == "the values of bulk"
    assert targets.beside("erm") == ""

    def predict(problem):
        model = fit_beside(
            problem, "multi-task", "magpie", ROWS, SETTINGS, intervals=NONE, domain=False, seed=0
        )
        return model.predict_features(problem.X["magpie"][42:])

    bulk, usual = targets.others["bulk"], predict(targets)
    training = targets.data.groups[:30]
    known = np.isin(bulk.groups, training)
    assert 0 < known.sum() < len(bulk)
    for changed, same in ((~known, True), (known, False)):
        wrong = replace(bulk, targets=np.where(changed, 1e4, bulk.y))
        found = predict(replace(targets, others={"bulk": wrong}))
        assert np.array_equal(found, usual) is same


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Return a specification of gaps beside bulk moduli, which lack every third, in two files."""
    folder = tmp_path_factory.mktemp("beside")
    rows = make_rows(90)
    for name, lines in {
        "gap": [f"{f},{gap}" for _, f, gap, _ in rows],
        "bulk": [f"{f},{200 - 20 * gap}" for n, (_, f, gap, _) in enumerate(rows) if n % 3],
    }.items():
        (folder / f"{name}.csv").write_text("\n".join(["formula,value", *lines]) + "\n")
    values = {
        "methods": ["erm", "multi-task"], "seeds": 1, "id_share": 0.0, "device": "cpu",
        "network": {"architecture": [8]}, "erm": {"epochs": 3},
        "data": {
            "gap": {"dataset": str(folder / "gap.csv"), "target": "value", "beside": ["bulk"]},
            "bulk": {
                "dataset": str(folder / "bulk.csv"), "target": "value", "transform": "log",
                "beside": ["gap"],
            },
        },
        "splits": {
            "all": {"scheme": "random"},
            "few": {"scheme": "random", "known_share": 0.25, "data": ["gap"]},
        },
    }  # fmt: skip
    return BenchmarkSpec.from_dict(values).check_methods()


@pytest.fixture(scope="module")
def shared(tables):
    return prepare_shared(tables, {})[0]


def test_tables_of_a_benchmark_are_beside_each_other(shared):
    gap = shared.problems["gap"]
    assert gap.targets == ("gap", "bulk")
    assert gap.target == "gap"
    assert gap.others["bulk"] is shared.problems["bulk"].data
    assert gap.transforms == {"bulk": "log"}
    assert gap.beside("multi-task") == "the values of bulk"
    assert shared.problems["bulk"].targets == ("bulk", "gap")


def test_some_targets_are_taken_as_unknown(shared):
    whole, few = shared.folds["gap/all/0/0"], shared.folds["gap/few/0/0"]
    assert "bulk/few/0/0" not in shared.folds
    assert not len(whole.hidden)
    n = len(whole.train) + len(whole.val)
    assert len(few.train) + len(few.val) == round(0.25 * n)
    parts = [few.train, few.val, few.hidden, few.test_rows]
    assert sorted(np.concatenate(parts)) == list(range(90))
    np.testing.assert_array_equal(few.test_rows, whole.test_rows)
    assert few.sha256() != replace(few, hidden=few.hidden[1:]).sha256()


def test_the_others_teach_of_what_is_hidden_and_not_of_what_is_held_out(tables, shared):
    fold, problem = shared.folds["gap/few/0/0"], shared.problems["gap"]
    (task,) = (
        one for one in plan_tasks(tables, shared)
        if one.method == "multi-task" and one.fold == fold.key
    )  # fmt: skip
    context = TaskContext.of(tables)

    def predict(problem):
        model = fit_task(task, {}, problem, fold, context)
        return model.predict_features(problem.X["magpie"][fold.test_rows])

    bulk, usual = problem.others["bulk"], predict(problem)
    groups = problem.data.groups
    for rows, same in ((fold.hidden, False), (fold.train, False), (fold.test_rows, True)):
        changed = np.isin(bulk.groups, groups[rows])
        assert changed.any()
        wrong = replace(bulk, targets=np.where(changed, 1e4, bulk.y))
        assert np.array_equal(predict(replace(problem, others={"bulk": wrong})), usual) is same
    # what is taken as unknown changes nothing
    other = replace(
        problem.data, targets=np.where(np.isin(np.arange(90), fold.hidden), 9e9, problem.data.y)
    )
    assert np.array_equal(predict(replace(problem, data=other)), usual)


def test_tables_that_cannot_be_beside_each_other_are_refused(tables):
    plain = tables.to_dict()

    def changed(table, **settings):
        data = {**plain["data"], table: {**plain["data"][table], **settings}}
        return BenchmarkSpec.from_dict({**plain, "data": data})

    with pytest.raises(UsageError, match=r"beside 'bulks', which is no other table .*'bulk'"):
        changed("gap", beside=["bulks"])
    with pytest.raises(UsageError, match="beside 'gap', which is no other table"):
        changed("gap", beside=["gap"])
    with pytest.raises(UsageError, match="targets that are learned together are numbers"):
        changed("bulk", cuts=[100], beside=[])
    with pytest.raises(UsageError, match="targets are those of one table"):
        changed("gap", targets={"gap": "eV"})
    with pytest.raises(ConfigError, match="'gap' is learned beside bulk; name these too"):
        tables.only(["gap"])
    splits = {"few": {"scheme": "family", "known_share": 0.5}}
    with pytest.raises(UsageError, match="'few' sets known_share, but one training"):
        BenchmarkSpec.from_dict({**plain, "splits": splits, "joint": True})


def test_two_fidelities_have_one_target_that_is_a_number():
    with pytest.raises(UsageError, match="leave out cuts"):
        BenchmarkData.from_dict({"fidelity": {"column": "how"}, "cuts": [0]})
    with pytest.raises(UsageError, match="--fidelity is a value of the column"):
        BenchmarkData.from_dict({"fidelity": {"values": ["measured"]}})
