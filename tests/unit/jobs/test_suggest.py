"""What is suggested to be measured: by a model whose predictions and spreads are plain."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from xtalshift.acquisition.acquisition_rules import Aim
from xtalshift.data import Dataset, clean_table
from xtalshift.errors import ConfigError, DataError, NotConformalizedError, NotFoundError
from xtalshift.estimators.base import Regressor
from xtalshift.jobs import candidates
from xtalshift.jobs.candidates import Measured, Request, read_measured
from xtalshift.jobs.suggest import suggest
from xtalshift.model import FitRows, calibrate, fit
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.uncertainty.settings import IntervalConfig

TRAIN = ["NaCl", "KCl", "NaBr", "KBr", "LiCl", "LiBr", "RbCl", "RbBr", "NaF", "KF"]
VALUES = [8.5, 8.4, 7.1, 7.3, 9.4, 7.9, 8.2, 7.7, 11.5, 10.8]
CALIBRATION = ["NaI", "KI", "LiI", "RbI", "CsI", "CsCl", "CsBr", "TlCl", "AgCl", "AgBr"]
FORMULAS = ["RbF", "BaF2", "AlF3", "SiF4", "CsF", "MgO", "CaO"]
OUTPUT = ["rank", "formula", "prediction", "lower", "upper", "std", "ood_score", "in_domain",
          "unseen_elements", "nearest_formula", "nearest_distance", "nearest_target", "score",
          "utility"]  # fmt: skip


class Plain(Regressor):
    """Predicts the mean atomic number; its spread is the share of fluorine, and a bit."""

    def __init__(self, spread=True, validation_fraction=0.1, random_state=None):
        self.spread = spread
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _fit(self, data):
        self.numbers_ = np.arange(1, 119)

    def _predict(self, X):
        return X[:, :118] @ self.numbers_

    def predict_std(self, X):
        return 0.1 + X[:, 8] if self.spread else None


class Listener:
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    def task(self, name, total):
        return candidates.NO_PROGRESS.task(name, total)

    @property
    def text(self):
        return "\n".join(self.lines)


def make_model(spread=True, intervals=True, extra=None):
    columns = pd.DataFrame() if extra is None else pd.DataFrame({"temperature": extra})
    data = clean_table(
        Dataset.of(TRAIN, VALUES, columns=columns, target_name="target"),
        feature_cols=list(columns.columns),
    )
    rows = FitRows(np.arange(10), np.arange(10))
    none = IntervalConfig(method="none")
    model = fit(data, Plain(spread), features="fractions", rows=rows, intervals=none)
    if intervals:
        known = None if extra is None else np.zeros((10, 1))
        labels = Dataset.of(CALIBRATION, np.arange(10) + 20.0, extra=known)
        model = calibrate(model, labels, origin="held-out")
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


def ask(model, candidates, n=3, rule="uncertainty", *, measured=None, **options):
    """Return the suggestions from a table, a list of formulas or a file, and what was said."""
    listener = Listener()
    chosen, _ = suggest(
        TablePredictor(model),
        candidates,
        Request(n, rule, **options),
        measured=measured or Measured(),
        progress=listener,
    )
    return chosen, listener.text


@pytest.fixture
def in_pieces(tmp_path, monkeypatch):
    """Return a function that writes a file of candidates, which is read in pieces."""

    def write(frame, rows):
        monkeypatch.setattr("xtalshift.jobs.suggest.CHUNK_ROWS", rows)
        frame.to_parquet(tmp_path / "new.parquet", index=False)
        return tmp_path / "new.parquet"

    return write


def assert_same(one, other):
    """Compare tables; pandas 3 has two types of text, and files give the general one."""
    one, other = (frame.astype({"formula": object}) for frame in (one, other))
    pd.testing.assert_frame_equal(one, other, rtol=1e-12)


def test_the_least_certain_come_first_with_their_predictions(model):
    chosen, _ = ask(model, FORMULAS, diversity=0.0)
    assert chosen["formula"].tolist() == ["SiF4", "AlF3", "BaF2"]
    assert chosen.columns.tolist() == OUTPUT
    assert chosen["rank"].tolist() == [1, 2, 3]
    expected = model.predict(["SiF4", "AlF3", "BaF2"])
    for name in OUTPUT[2:-2]:
        np.testing.assert_array_equal(chosen[name], getattr(expected, name))
    np.testing.assert_array_equal(chosen["score"], expected.std)
    np.testing.assert_array_equal(chosen["utility"], expected.std)


def test_what_is_no_candidate_is_left_out_and_counted(model):
    table = pd.DataFrame(
        {
            "note": list("abcdefgh"),
            "formula": ["Xx2", "Na2Cl2", "RbF", "", "Rb2F2", "ClNa", "MgO", "FRb"],
        }
    )
    chosen, said = ask(model, table, n=9)
    assert sorted(chosen["note"]) == ["c", "g"]
    assert "8 rows: 3 repeated, 2 unreadable, 1 in the training set, 2 candidates" in said
    assert "(unreadable: row 1: " in said
    assert "2 instead of 9 are suggested: there are no more candidates" in said


def test_pieces_do_not_matter(model, in_pieces):
    formulas = [*FORMULAS, "NaCl", "RbF", "?"]
    whole, said = ask(model, formulas, n=5)
    table = pd.DataFrame({"formula": formulas})
    for pieces in (table, in_pieces(table, 2)):
        chosen, also = ask(model, pieces, n=5)
        assert_same(whole, chosen)
        assert said == also


def test_a_number_asks_for_the_least_certain(model):
    plain = suggest(model, FORMULAS, 3)
    assert plain.rule == "uncertainty"
    pd.testing.assert_frame_equal(plain.frame, ask(model, FORMULAS)[0])


def test_expected_improvement_over_the_best_of_training_and_measured_values(model):
    chosen, said = ask(model, FORMULAS, rule="expected-improvement", aim=Aim("low"), diversity=0.0)
    assert "Best value known so far: 7.1" in said
    every = model.predict(FORMULAS)
    scores = every.distribution.expected_improvement(7.1, "low")
    order = np.argsort(-scores)[:3]
    assert chosen["formula"].tolist() == [FORMULAS[row] for row in order]
    np.testing.assert_allclose(chosen["score"], scores[order], rtol=1e-12)
    measured = Measured(frozenset({"CsF"}), None, np.array([2.5, 30.0]))
    chosen, said = ask(model, FORMULAS, n=9, rule="ucb", measured=measured)
    assert "CsF" not in set(chosen["formula"])
    assert "1 measured" in said
    _, said = ask(model, FORMULAS, rule="expected-improvement", measured=measured)
    assert "Best value known so far: 30" in said


def test_target_and_probability(model):
    aim = Aim(target=9.7)
    chosen, _ = ask(model, FORMULAS, rule="target", aim=aim, diversity=0.0)
    every = model.predict(FORMULAS)
    scores = every.distribution.target_improvement(9.7, 9.4)
    order = np.argsort(-scores, kind="stable")[:3]
    assert chosen["formula"].tolist() == [FORMULAS[row] for row in order]
    with pytest.raises(ConfigError, match=r"with 9.4 is already known.*--between"):
        ask(model, FORMULAS, rule="target", aim=Aim(target=9.4))
    chosen, _ = ask(model, FORMULAS, rule="probability", aim=Aim(window=(9.0, 11.0)), diversity=0.0)
    scores = every.probability(9.0, 11.0)
    order = np.argsort(-scores, kind="stable")[:3]
    assert chosen["formula"].tolist() == [FORMULAS[row] for row in order]
    _, said = ask(model, ["RbF"], n=1, rule="probability", aim=Aim(threshold=1e9))
    assert "warning: only 0 of 1 suggestions have a fair chance to reach the goal" in said


def test_scores_without_support_do_not_decide():
    model = make_model()
    every = model.predict(FORMULAS)
    _, upper = every.interval(0.9)
    best = float(upper.max() + 100)
    measured = Measured(frozenset(), None, np.array([best]))
    options = {"rule": "expected-improvement", "measured": measured, "diversity": 0.0}
    chosen, said = ask(model, FORMULAS, n=7, **options)
    assert chosen["formula"].tolist() == [FORMULAS[row] for row in np.argsort(best - upper)]
    assert (chosen["score"] == 0).all()
    assert "0 of 7 suggestions have a fair chance" in said
    _, said = ask(model, FORMULAS, n=2, rule="ucb")
    assert "fair chance" not in said


@pytest.mark.parametrize("direction", ["high", "low"])
def test_the_best_predictions(model, direction):
    chosen, said = ask(model, FORMULAS, n=7, rule="prediction", aim=Aim(direction))
    every = np.round(model.predict(FORMULAS).prediction, 9)  # two are equal
    order = np.argsort(every if direction == "low" else -every, kind="stable")
    assert chosen["formula"].tolist() == [FORMULAS[row] for row in order]
    assert "warning" not in said


def test_the_ranges_of_ucb_are_those_of_the_aim(model):
    chosen, _ = ask(model, FORMULAS, rule="ucb", aim=Aim(level=0.6), diversity=0.0)
    upper = model.predict(FORMULAS, level=0.6).upper
    assert chosen["formula"].tolist() == [FORMULAS[row] for row in np.argsort(-upper)[:3]]
    # 10 calibration rows bound at most 10 of 11
    with pytest.raises(DataError, match="7 without a finite interval"):
        ask(model, FORMULAS, rule="ucb", aim=Aim(level=0.95))


def test_one_width_for_all_is_said_and_distance_decides():
    model = make_model(spread=False)
    chosen, said = ask(model, FORMULAS)
    distance, _ = ask(model, FORMULAS, rule="diversity")
    pd.testing.assert_frame_equal(chosen, distance)
    assert "warning: the intervals of this model all have the same width" in said
    assert "--set network.n_members=8" in said
    _, said = ask(model, FORMULAS, rule="ucb")
    assert "the same width on its scale, so rule 'ucb' follows the prediction alone" in said


def test_distance_counts_from_training_and_measured_materials(model):
    reference = model.domain.novelty_.reference
    points = reference.scaler.transform(model.features_of(FORMULAS))
    far = cdist(points, reference.index.unsorted()).min(axis=1)
    chosen, _ = ask(model, FORMULAS, n=1, rule="diversity")
    assert chosen["formula"].tolist() == [FORMULAS[int(np.argmax(far))]]
    first = int(np.argmax(far))
    measured = Measured(frozenset({"KRb"}), points[[first]].astype(np.float32))
    chosen, _ = ask(model, FORMULAS, n=1, rule="diversity", measured=measured)
    both = np.minimum(far, cdist(points, points[[first]])[:, 0])
    assert chosen["formula"].tolist() == [FORMULAS[int(np.argmax(both))]]


def test_a_model_without_intervals_serves_the_rules_that_need_none():
    model = make_model(intervals=False)
    for rule in ("uncertainty", "expected-improvement", "ucb"):
        with pytest.raises(NotConformalizedError, match="train it again"):
            ask(model, FORMULAS, rule=rule)
    for rule in ("random", "diversity", "prediction"):
        chosen, _ = ask(model, FORMULAS, rule=rule)
        assert len(set(chosen["formula"])) == 3
        assert chosen["std"].isna().all()


def test_random_choice_follows_the_seed(model):
    draws = [ask(model, FORMULAS, rule="random", seed=seed)[0]["formula"].tolist()
             for seed in (0, 0, 1, 2, 3)]  # fmt: skip
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) > 1


def test_costs_and_budget(model):
    table = pd.DataFrame({"formula": FORMULAS, "price": [1, 1, 100.0, "", 1, 1, 1]})
    chosen, said = ask(model, table, n=2, diversity=0.0, cost_col="price")
    # per cost AlF3 is the last; SiF4 has no cost
    assert chosen["formula"].tolist() == ["BaF2", "RbF"]
    assert "1 without a cost" in said
    assert "Total cost: 2" in said
    np.testing.assert_allclose(chosen["utility"], chosen["score"])
    chosen, said = ask(model, table, n=6, diversity=0.0, cost_col="price", budget=3.0)
    assert len(chosen) == 3
    assert "3 instead of 6 are suggested: the budget is spent" in said
    assert "Total cost: 3 of 3" in said
    with pytest.raises(DataError, match=r"cheapest candidate costs 1, the budget is 0\.5"):
        ask(model, table, cost_col="price", budget=0.5)


@pytest.mark.parametrize("cost", [-3.0, 0.0, np.inf, "cheap"])
def test_a_wrong_cost_names_its_row(model, cost):
    table = pd.DataFrame({"formula": ["RbF", "NaCl", "MgO"], "price": [1, 1, cost]})
    said = rf"the table row 3 \(MgO\): the cost is '{cost}'; expected a number above 0"
    with pytest.raises(DataError, match=said):
        ask(model, table, cost_col="price")
    table["formula"] = ["RbF", "MgO", "NaCl"]  # of a material that is known it does not matter
    assert len(ask(model, table, cost_col="price")[0]) == 2


def many():
    cations = ["Rb", "Cs", "Ag", "Tl", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al", "Ga", "In"]
    formulas = [f"{cation}{anion}" for anion in ("F", "O", "S", "F2", "F3") for cation in cations]
    return pd.DataFrame({"formula": formulas, "price": np.linspace(1, 2, len(formulas))})


@pytest.mark.parametrize(
    ("rule", "cost_col"),
    [
        *itertools.product(["uncertainty", "ucb", "probability"], [None, "price"]),
    ],
)
def test_of_too_many_the_best_are_kept(model, rule, cost_col, monkeypatch, in_pieces):
    aim = Aim(threshold=1e9)  # so that all probabilities are 0
    options = {"n": 4, "rule": rule, "aim": aim, "cost_col": cost_col, "diversity": 0.0}
    whole, said = ask(model, many(), **options)
    assert "are chosen from the best" not in said
    monkeypatch.setattr(candidates, "MOST", 20)
    few, said = ask(model, in_pieces(many(), 7), **options)
    assert_same(whole, few)
    assert "Suggestions are chosen from the best 20 of them by score" in said
    assert "their points take" not in said


def test_of_too_many_the_farthest_are_kept(model, monkeypatch, in_pieces):
    monkeypatch.setattr(candidates, "MOST", 20)
    chosen, said = ask(model, in_pieces(many(), 7), n=30, rule="diversity")
    far = np.sort(model.predict(many()["formula"].tolist()).nearest_distance)[::-1][:20]
    np.testing.assert_allclose(np.sort(chosen["nearest_distance"])[::-1], far, rtol=1e-6)
    assert (
        "Suggestions are chosen from the best 20 of them by distance (their points take 0 MB)"
        in said
    )


def test_other_conditions_are_another_measurement():
    model = make_model(extra=[300.0, 400.0] * 5)
    table = pd.DataFrame({"formula": ["NaCl", "NaCl", "NaCl", "RbF"],
                          "temperature": [300.0, 350.0, 350.0, np.nan]})  # fmt: skip
    chosen, said = ask(model, table, rule="random")
    assert chosen["temperature"].tolist() == [350.0]
    assert "4 rows: 1 repeated, 1 unreadable, 1 in the training set, 1 candidate " in said
    with pytest.raises(DataError, match="needs a column 'temperature'"):
        ask(model, FORMULAS, rule="random")


def test_in_domain_only(model):
    every = model.predict(FORMULAS)
    assert 0 < every.in_domain.sum() < len(FORMULAS)
    chosen, said = ask(model, FORMULAS, n=9, in_domain_only=True)
    inside = {FORMULAS[row] for row in np.flatnonzero(every.in_domain)}
    assert set(chosen["formula"]) == inside
    assert f"{len(FORMULAS) - len(inside)} outside the domain" in said
    _, said = ask(model, FORMULAS, n=9)
    assert f"{len(FORMULAS) - len(inside)} of 7 are outside the domain" in said


def test_nothing_to_choose_from(model):
    with pytest.raises(DataError, match=r"no candidate to choose from. 2 rows: 1 unreadable, 1 in"):
        ask(model, ["Xx", "NaCl"])


def test_columns_that_are_taken_or_missing(model):
    with pytest.raises(DataError, match="already has a column 'score'; rename it"):
        ask(model, pd.DataFrame({"formula": FORMULAS, "score": 1}))
    with pytest.raises(DataError, match=r"no column of costs 'prise' \(did you mean 'price'"):
        ask(model, pd.DataFrame({"formula": FORMULAS, "price": 1}), cost_col="prise")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n": 0}, "n = 0"),
        ({"budget": 3.0}, "budget = 3 needs a column"),
        ({"budget": -1.0, "cost_col": "c"}, "budget = -1"),
        ({"diversity": -1.0}, "diversity = -1"),
    ],
)
def test_wrong_requests(options, text):
    with pytest.raises(ConfigError, match=text):
        Request(**{"n": 5, **options})
    with pytest.raises(NotFoundError, match="did you mean 'uncertainty'"):
        Request(5, "uncertanty")


def test_measured_files(model, tmp_path):
    first, second, bad = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    pd.DataFrame({"formula": ["RbF", "Xx", "MgO"], "target": [10.4, 1, None]}).to_csv(first)
    pd.DataFrame({"composition": ["Cs2F2"]}).to_csv(second)
    pd.DataFrame({"formula": ["Xx"]}).to_csv(bad)
    listener = Listener()
    found = read_measured(TablePredictor(model), [first, second], listener)
    assert found.keys == {"RbF", "MgO", "CsF"}
    assert found.targets.tolist() == [10.4]
    scaler = model.domain.novelty_.reference.scaler
    expected = scaler.transform(model.features_of(["RbF", "MgO", "CsF"]))
    np.testing.assert_allclose(found.points, expected, rtol=1e-6)
    assert "2 of 3 rows are measured materials, 1 with a value (target)" in listener.text
    assert "b.csv: 1 of 1 rows are measured materials; no column 'target'" in listener.text
    with pytest.raises(DataError, match=r"c.csv has no readable material; row 1: .*Xx"):
        read_measured(TablePredictor(model), [bad])
    assert read_measured(TablePredictor(model), []).keys == frozenset()


@pytest.mark.shared_data
def test_the_lowest_thermal_conductivities_of_tellurides_are_found(shared_data):
    """The first choice was BeTe, one of the highest: 4 and its wide interval in the unit."""
    table = pd.read_parquet(
        shared_data / "composition/aflow__agl_thermal_conductivity_300K.parquet"
    )
    data = clean_table(Dataset.of(table["formula"].tolist(), table["target"].to_numpy()))
    telluride = np.array(["Te" in formula for formula in data.formulas])
    others = np.random.default_rng(0).permutation(np.flatnonzero(~telluride))[:397]
    pool = np.flatnonzero(telluride)
    model = fit(data.take(others), "ridge", transform="log")
    formulas, worth = data.formulas[pool].tolist(), data.y[pool]
    predicted = model.predict(formulas).prediction
    best = {formulas[row] for row in np.argsort(worth)[:20]}
    exploiting = len(best & {formulas[row] for row in np.argsort(predicted)[:20]})
    assert exploiting > 2 * 20 * 20 / len(pool)
    for rule in ("prediction", "expected-improvement"):
        chosen, _ = ask(model, formulas, n=20, rule=rule, aim=Aim("low"), diversity=0.0)
        assert len(best & set(chosen["formula"])) >= exploiting
        assert chosen["prediction"].iloc[0] == predicted.min()
    # a threshold is beyond the interval of a row if and only if its probability is in the tail
    chosen, _ = ask(model, formulas, n=len(pool), rule="probability", diversity=0.0,
                    aim=Aim("low", threshold=float(np.median(predicted))))  # fmt: skip
    above = chosen["lower"] > np.median(predicted)
    below = chosen["upper"] < np.median(predicted)
    assert (chosen["score"][above] <= 0.05 + 1e-9).all()
    assert (chosen["score"][below] >= 0.95 - 1e-9).all()
    assert chosen["score"][~above & ~below].between(0.05 - 1 / 398, 0.95 + 1 / 398).all()
