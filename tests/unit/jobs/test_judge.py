"""Candidates are judged by hold-outs that imitate them."""

import numpy as np
import pandas as pd
import pytest

import xtalshift as xs
from xtalshift.benchmark.run_results import read_results
from xtalshift.data import Dataset
from xtalshift.errors import ConfigError, DataError, SplitError, TrainingError
from xtalshift.jobs import imitate as steps
from xtalshift.jobs.imitate import CANDIDATES
from xtalshift.jobs.judge import WIDER, judge
from xtalshift.jobs.judge_settings import JudgeConfig
from xtalshift.jobs.run import run
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.methods import MethodSettings
from xtalshift.model import load_model
from xtalshift.parallel import InProcessExecutor
from xtalshift.report import write_report
from xtalshift.uncertainty.expected_error import Hold, ProxyError, expect_error

pytestmark = pytest.mark.usefixtures("few_corrections")

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se")
FORMULAS = [f"{a}{n}{b}" for a in CATIONS for b in ANIONS for n in (2, 3)]
TELLURIDES = [f"{a}2Te" for a in CATIONS]
CONFIG = JudgeConfig(methods=("ridge", "lightgbm"), n_proxies=6)
QUICK = {"lightgbm": {"n_estimators": 20}}
HERE = {"settings": MethodSettings.from_dict(QUICK), "executor": InProcessExecutor()}


def value(formulas):
    """Return a property that a linear model learns: the mean electronegativity, with noise."""
    from xtalshift.featurize import CompositionFeaturizer

    featurizer = CompositionFeaturizer("magpie", impute_nan=True)
    X = featurizer.transform(Dataset.of(formulas).materials.compositions)
    place = list(featurizer.names).index("MagpieData mean Electronegativity")
    noise = np.random.default_rng(0).normal(0, 0.02, len(formulas))
    return 2 * X[:, place] + noise


@pytest.fixture(scope="module")
def data():
    """Return 168 labelled salts."""
    return Dataset.of(FORMULAS, value(FORMULAS), unit="eV")


@pytest.fixture(scope="module")
def judged(data):
    """Return the judgement of twelve tellurides and a row that is no formula."""
    return judge(data, [*TELLURIDES, "Xx2"], CONFIG, **HERE)


def test_the_errors_of_a_proxy_are_those_of_a_fit_without_it(data, judged):
    imitation = judged.imitation
    for proxy in imitation.proxies[:2]:
        rows = proxy.rows
        inside = np.setdiff1d(np.arange(len(data)), rows)
        seed = steps.derive_seed(0, "proxy", proxy.name)
        drawn = steps.draw_rows(data.groups, seed=seed, within=inside)
        model = xs.fit(
            judged_table(data), "ridge", rows=drawn, seed=seed, domain=False,
            settings=MethodSettings(threads=1),
            intervals=steps.IntervalConfig(method="none"),
        )  # fmt: skip
        found = model.predict(list(data.formulas[rows])).prediction
        own = imitation.forecasts[proxy.name, "ridge"].prediction
        np.testing.assert_allclose(own, found, rtol=1e-9)
        result = next(one for one in judged.answer.proxies if one.name == proxy.name)
        assert result.methods["ridge"] == pytest.approx(np.abs(found - data.y[rows]).mean())
        assert result.n == len(rows)


def judged_table(data):
    """Return the data set as `judge` cleans it."""
    return xs.clean_table(data)


def test_the_method_with_the_smallest_errors_is_taken(data, judged):
    errors = [one.methods for one in judged.answer.proxies]
    means = {name: np.mean([np.log(one[name]) for one in errors]) for name in errors[0]}
    assert judged.answer.method == min(means, key=means.get) == "ridge"
    assert judged.imitation.method == "ridge"
    assert judged.model.card.provenance["method"] == "ridge"


def test_the_expected_error_follows_from_the_proxies(data, judged):
    answer, forecasts = judged.answer, judged.imitation.forecasts

    def hold(place):
        pair = np.stack([forecasts[place, name].prediction for name in ("ridge", "lightgbm")])
        level = np.abs(pair[0] - np.median(data.y)).mean()
        return Hold(float(pair.std(axis=0).mean()), float(level), pair.shape[1])

    proxies = []
    for name, rows in judged.imitation.rows.items():
        errors = np.abs(forecasts[name, "ridge"].prediction - data.y[rows])
        proxies.append(ProxyError(errors.mean(), errors.std() / errors.mean(), hold(name)))
    found = expect_error(proxies, hold(CANDIDATES))
    assert answer.expected_mae == pytest.approx(found.mae)
    assert (answer.expected_low, answer.expected_high) == pytest.approx((found.low, found.high))
    truth = np.abs(judged.predictions.prediction[:12] - value(TELLURIDES)).mean()
    assert answer.expected_low < truth < answer.expected_high


def test_intervals_are_those_of_the_proxies(data, judged):
    imitation, model = judged.imitation, judged.model
    scores = np.concatenate(
        [np.abs(imitation.forecasts[name, "ridge"].prediction - data.y[rows])
         for name, rows in imitation.rows.items()]
    )  # fmt: skip
    assert model.calibration.origin == "proxies"
    assert np.sort(model.calibration.scores) == pytest.approx(np.sort(WIDER * scores))
    first = judged.answer.proxies[0]
    others = np.concatenate(
        [np.abs(imitation.forecasts[name, "ridge"].prediction - data.y[rows])
         for name, rows in imitation.rows.items() if name != first.name]
    )  # fmt: skip
    half = WIDER * np.sort(others)[int(np.ceil(0.9 * (len(others) + 1))) - 1]
    own = np.abs(
        imitation.forecasts[first.name, "ridge"].prediction - data.y[imitation.rows[first.name]]
    )
    assert first.coverage == pytest.approx(np.mean(own <= half))


def test_the_answer_describes_the_candidates(judged):
    answer = judged.answer
    assert (answer.n, answer.n_usable, answer.known) == (13, 12, ())
    assert (answer.new_elements, answer.n_new, answer.n_new_systems) == (("Te",), 12, 12)
    assert answer.verdict == "trust"
    assert len(answer.measure) == 12
    assert set(answer.measure) == set(TELLURIDES)
    frame = judged.frame
    assert frame["status"].tolist() == ["ok"] * 12 + ["error"]
    order = frame["prediction"][:12].rank(ascending=False).astype(int)
    assert frame["rank"][:12].tolist() == order.tolist()
    assert frame["rank"].isna().tolist() == [False] * 12 + [True]
    places = frame["measure_rank"].to_numpy()[list(answer.measure_rows)]
    assert places.tolist() == list(range(1, 13))


def test_measuring_is_simulated_on_the_proxies(data, judged):
    simulated = [one for one in judged.answer.proxies if one.mae_before is not None]
    assert simulated
    ratios = [np.log(one.mae_after / one.mae_before) for one in simulated]
    assert judged.answer.measured_ratio == pytest.approx(np.exp(np.mean(ratios)))
    one = simulated[0]
    forecast = judged.imitation.forecasts[one.name, "ridge"]
    rows = judged.imitation.rows[one.name]
    chosen = steps.to_measure(
        forecast.scored.spread, featurized(data)[rows], min(20, len(rows) // 2)
    )
    rest = np.setdiff1d(np.arange(len(rows)), chosen)
    error = np.abs(forecast.prediction - data.y[rows])[rest].mean()
    assert one.mae_before == pytest.approx(error)


def featurized(data):
    """Return the features in which distances are measured."""
    return steps.CompositionFeaturizer("magpie").transform(data.materials.compositions)


def test_the_ends_of_the_order_are_judged(data, judged):
    one = judged.answer.proxies[0]
    rows = judged.imitation.rows[one.name]
    found, y = judged.imitation.forecasts[one.name, "ridge"].prediction, data.y[rows]
    n = round(len(rows) / 5)
    for end, sign in ((0, 1), (1, -1)):
        picked, true = (set(np.argsort(sign * values)[:n].tolist()) for values in (found, y))
        assert one.found[end] == pytest.approx(len(picked & true) / n)
    assert one.n_measured == min(20, len(rows) // 2)


def test_a_candidate_in_the_table_has_its_measured_value(data):
    known = FORMULAS[int(np.argmin(data.y))]
    config = JudgeConfig(methods=("ridge",), proxies=("Se", "S"), n_measure=3)
    found = judge(data, [*TELLURIDES, known], config, **HERE)
    assert found.answer.known == (known,)
    frame = found.frame
    assert frame["measured"].notna().tolist() == [False] * 12 + [True]
    assert frame["measured"].iloc[12] == data.y.min()
    value = [*frame["prediction"][:12], data.y.min()]
    assert frame["rank"].tolist() == (np.argsort(np.argsort(-np.array(value))) + 1).tolist()
    assert known not in found.answer.measure
    with pytest.raises(DataError, match="all 2 candidates are in the table already"):
        judge(data, FORMULAS[:2], config, **HERE)


def test_it_repeats_itself_and_does_not_depend_on_processes(data):
    config = JudgeConfig(methods=("ridge", "lightgbm"), proxies=("S", "Se"), n_measure=0)
    here = judge(data, TELLURIDES, config, **HERE)
    again = judge(data, TELLURIDES, config, settings=HERE["settings"])
    assert again.answer == here.answer
    assert np.array_equal(again.predictions.prediction, here.predictions.prediction)


def test_finished_fits_are_kept(data, tmp_path, monkeypatch):
    fits = []
    usual = steps.fit
    monkeypatch.setattr(steps, "fit", lambda *a, **k: fits.append(a[1]) or usual(*a, **k))
    config = JudgeConfig(methods=("ridge",), proxies=("S", "Se", "I"))
    call = {**HERE, "folder": tmp_path}
    first = judge(data, TELLURIDES, config, **call)
    assert len(fits) == 4  # three proxies and the candidates
    next(tmp_path.glob("Se-ridge-*")).write_bytes(b"damaged")
    again = judge(data, TELLURIDES, config, **call)
    assert len(fits) == 5
    assert again.answer == first.answer
    other = judge(data, TELLURIDES[:8], config, **call)
    assert len(fits) == 6  # only the candidates are new
    assert other.answer.n == 8


def test_measuring_is_simulated_for_the_recommended_method_only(data, monkeypatch):
    adapted, usual = [], steps.adapt
    monkeypatch.setattr(steps, "adapt", lambda *a, **k: adapted.append(a[0]) or usual(*a, **k))
    config = JudgeConfig(methods=("ridge", "lightgbm"), proxies=("S", "Se"))
    first = judge(data, TELLURIDES, config, **HERE)
    assert [one.card.provenance["method"] for one in adapted] == [first.answer.method] * 2
    # a model that cannot be pickled is fitted again
    monkeypatch.setattr(steps.pickle, "dumps", lambda _: [].missing)
    again = judge(data, TELLURIDES, config, **HERE)
    assert again.answer == first.answer
    assert first.answer.measured_ratio is not None


def test_a_method_that_fails_somewhere_is_left_out(data, monkeypatch):
    usual = steps.fit

    def fails(table, method, **settings):
        if method == "lightgbm":
            raise TrainingError("no trees today")
        return usual(table, method, **settings)

    monkeypatch.setattr(steps, "fit", fails)
    said = judge(
        data, TELLURIDES, JudgeConfig(methods=("ridge", "lightgbm"), n_proxies=2, n_measure=0),
        **HERE,
    )  # fmt: skip
    assert said.imitation.methods == ("ridge",)
    with pytest.raises(TrainingError, match="no trees today"):
        judge(
            data, TELLURIDES, JudgeConfig(methods=("lightgbm",), n_proxies=2),
            **HERE,
        )  # fmt: skip


def test_candidates_that_cannot_be_predicted(data):
    with pytest.raises(DataError, match="no candidate can be predicted; the first, 'Xx2'"):
        judge(data, ["Xx2"], **HERE)
    with pytest.raises(DataError, match="there are no candidates"):
        judge(data, [], **HERE)


def test_a_table_that_is_too_small():
    small = Dataset.of(FORMULAS[:12], value(FORMULAS[:12]))
    with pytest.raises(SplitError, match="12 materials; no hold-out"):
        judge(small, TELLURIDES, **HERE)


def test_settings_are_checked():
    with pytest.raises(ConfigError):
        JudgeConfig.from_dict({"methods": []})
    with pytest.raises(ConfigError, match=r"no proxy 'se' \(did you mean 'Se'"):
        JudgeConfig.from_dict({"proxies": ["se"]})
    assert JudgeConfig.from_dict({"proxies": ["Se", "nearest", "cluster-12"]}).n_proxies == 8


def test_candidates_are_read_before_any_work(tmp_path, monkeypatch):
    import xtalshift.jobs.run as job

    monkeypatch.setattr(job, "run_locked", lambda *_, **__: pytest.fail("the benchmark began"))
    config = configuration(tmp_path, pd.DataFrame({"formula": ["Xx", "Yy"]}))
    with pytest.raises(DataError, match="no candidate can be predicted; the first, 'Xx'"):
        run(config, tmp_path / "out", InProcessExecutor())
    (tmp_path / "candidates.csv").unlink()
    with pytest.raises(DataError, match=r"candidates\.csv"):
        run(config, tmp_path / "out", InProcessExecutor())


def test_the_column_of_formulas_may_have_another_name(tmp_path):
    table = pd.DataFrame({"composition": TELLURIDES})
    config = configuration(tmp_path, table, judge={"proxies": ["S", "Se"], "n_measure": 0})
    run(config, tmp_path / "out", InProcessExecutor())
    frame = pd.read_parquet(tmp_path / "out" / "candidates.parquet")
    assert frame["formula"].tolist() == frame["composition"].tolist() == TELLURIDES


def configuration(tmp_path, candidates, **settings):
    """Return the settings of a run on the salts, with a file of candidates."""
    table = tmp_path / "salts.csv"
    pd.DataFrame({"formula": FORMULAS, "y": value(FORMULAS)}).to_csv(table, index=False)
    path = tmp_path / "candidates.csv"
    candidates.to_csv(path, index=False)
    return RunConfig.from_dict({
        "data": {"dataset": str(table), "target": "y", "unit": "eV"},
        "split": {"schemes": ["random"]}, "methods": ["ridge", "lightgbm"],
        "candidates": str(path), **QUICK, **settings,
    })  # fmt: skip


def test_a_run_with_candidates(tmp_path, judged):
    table = pd.DataFrame({"formula": [*TELLURIDES, "Xx2"], "note": range(13)})
    config = configuration(tmp_path, table, judge={"n_proxies": 6})
    out = tmp_path / "out"
    results = run(config, out, InProcessExecutor())
    assert results.answer == judged.answer
    assert read_results(out).answer == results.answer
    frame = pd.read_parquet(out / "candidates.parquet")
    assert frame["note"].tolist() == list(range(13))
    np.testing.assert_allclose(frame["prediction"], judged.predictions.prediction)
    np.testing.assert_allclose(frame["upper"], judged.predictions.upper)
    assert frame["measure_rank"].dropna().astype(int).sum() == 78
    model = load_model(out / "model")
    np.testing.assert_allclose(model.predict(TELLURIDES).lower, frame["lower"][:12])
    assert results.model.rule == "smallest error on hold-outs that imitate the candidates"
    assert results.model.calibration == "proxies"
    page = write_report(out).read_text(encoding="utf-8")
    assert page.index("<h2>Your candidates</h2>") < page.index("<h2>What to expect</h2>")
    assert "Li2Te" in page
    again = run(config, out, InProcessExecutor())
    assert again.answer == results.answer


def test_a_run_says_which_column_of_the_candidates_is_in_the_way(tmp_path):
    table = pd.DataFrame({"formula": TELLURIDES, "rank": range(12)})
    with pytest.raises(DataError, match="rank"):
        run(configuration(tmp_path, table), tmp_path / "out", InProcessExecutor())


def test_named_proxies_are_taken(tmp_path):
    table = pd.DataFrame({"formula": TELLURIDES})
    config = configuration(tmp_path, table, judge={"proxies": ["S", "Se"], "n_measure": 0})
    results = run(config, tmp_path / "out", InProcessExecutor())
    assert [one.name for one in results.answer.proxies] == ["S", "Se"]
