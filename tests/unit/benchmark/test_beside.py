"""Rows beside a table, a cheaper fidelity and other targets: what they may and may not teach."""

from dataclasses import replace

import numpy as np
import pytest

from integration.tables import make_rows
from xtalshift.benchmark.beside import fit_beside
from xtalshift.benchmark.prepare import compute_features, prepare_table
from xtalshift.benchmark.spec import BenchmarkData
from xtalshift.errors import UsageError
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
    return compute_features(problem, table, ("magpie",))


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


def test_two_fidelities_have_one_target_that_is_a_number():
    with pytest.raises(UsageError, match="leave out cuts"):
        BenchmarkData.from_dict({"fidelity": {"column": "how"}, "cuts": [0]})
    with pytest.raises(UsageError, match="--fidelity is a value of the column"):
        BenchmarkData.from_dict({"fidelity": {"values": ["measured"]}})
