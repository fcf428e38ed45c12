"""Models of classes: fit, predict, save, the scikit-learn face, and what refuses them."""

import json

import numpy as np
import pandas as pd
import pytest

import xtalshift as xs
from xtalshift.errors import ConfigError, DataError, FormulaError, ModelFormatError
from xtalshift.estimators import LogisticClassifier, StackClassifier
from xtalshift.estimators.stack import Member
from xtalshift.methods import METHODS, MethodSettings, build_classifier, classifying_methods
from xtalshift.model import FitRows, draw_rows
from xtalshift.model.class_fitting import held_out_classes
from xtalshift.model.fitting import prepare
from xtalshift.progress import NO_PROGRESS
from xtalshift.uncertainty.settings import IntervalConfig

METALS = ("Li", "Na", "K", "Mg", "Ca", "Zn", "Ga", "Ba", "Ti", "Fe")
ANIONS = ("O", "S", "F", "Cl", "N", "Se")
NONE = IntervalConfig(method="none")


def table(k=2, ordered=False):
    formulas = [f"{a}{b}" for a in METALS for b in ANIONS]
    formulas += [f"{a}2{b}" for a in METALS for b in ANIONS]
    kinds = [ANIONS.index(f[-2:] if f[-2:] in ANIONS else f[-1]) % k for f in formulas]
    names = ("first", "second", "third")[:k]
    return xs.Dataset.of(
        formulas, kinds, classes=names, ordered=ordered, target_name="kind", source="kinds.csv"
    )


def test_the_same_model_from_words_and_from_numbers():
    data = table()
    words = xs.Dataset.of(data.formulas, data.labels)
    one, other = (xs.fit(d, "ridge", features="fractions", intervals=NONE) for d in (data, words))
    asked = ["NaBr", "Fe3O4", "ZnTe"]
    np.testing.assert_array_equal(
        one.predict(asked).probabilities, other.predict(asked).probabilities
    )
    assert isinstance(one, xs.FittedClassifier)
    assert one.task == "classification"


def test_materials_of_several_classes_are_of_none():
    formulas = [f"{a}{b}" for a in METALS for b in ANIONS] * 2
    kinds = ["a", "b", "c"] * 20 + ["c", "b", "a"] * 20
    found = xs.FormulaClassifier("ridge", "fractions", random_state=0).fit(formulas, kinds)
    nearest = found.model_.predict(formulas[:60])
    expected = dict(zip(formulas, ["several", "b", "several"] * 20, strict=False))
    assert nearest.nearest_target.tolist() == [expected[one] for one in nearest.nearest_formula]
    assert {*nearest.nearest_target} == {"several", "b"}


def test_predictions_have_a_class_probabilities_and_a_domain():
    model = xs.fit(table(3), "ridge", features="fractions", intervals=NONE)
    found = model.predict(["NaCl", "Xx", "Fe3O4"], explain=True)
    assert found.prediction.tolist()[1] == ""
    assert np.isnan(found.probabilities[1]).all()
    np.testing.assert_allclose(found.probabilities[[0, 2]].sum(axis=1), 1, atol=1e-12)
    assert found.nearest_formula[0] == "NaCl"
    assert found.nearest_target[0] == "first"
    assert "NaCl (distance 0, class first)" in found.explanation[0]
    assert "unknown element" in found.reason[1]
    frame = found.frame
    assert list(frame.columns[:5]) == [
        "formula", "prediction", "probability_first", "probability_second", "probability_third",
    ]  # fmt: skip
    assert frame["status"].tolist() == ["ok", "error", "ok"]
    assert set(model.predicted_columns) <= set(frame.columns)
    np.testing.assert_array_equal(found.probability("third"), found.probabilities[:, 2])
    with pytest.raises(ConfigError, match=r"no class 'thirdd' \(did you mean 'third'\?\)"):
        found.probability("thirdd")
    assert "3 rows of 3 classes" in repr(found)


@pytest.mark.parametrize(("k", "ordered"), [(2, False), (3, True)])
def test_a_saved_model_predicts_the_same_bits(k, ordered, tmp_path):
    model = xs.fit(table(k, ordered), "lightgbm", features="fractions", intervals=NONE)
    model.save(tmp_path / "model")
    again = xs.load_model(tmp_path / "model")
    asked = ["NaBr", "Fe3O4", "ZnTe"]
    np.testing.assert_array_equal(
        again.predict(asked).probabilities, model.predict(asked).probabilities
    )
    assert again.classes == model.classes
    assert again.ordered == ordered
    assert again.task == ("ordinal" if ordered else "classification")
    assert repr(again) == repr(model)


def test_a_description_that_contradicts_the_classifier_is_refused(tmp_path):
    from xtalshift.model.signed_json import hash_described

    xs.fit(table(3), "ridge", features="fractions", intervals=NONE).save(tmp_path)
    path = tmp_path / "model.json"
    good = json.loads(path.read_text())
    for change, why in (
        ({"classes": ["a", "b"]}, "names 2 classes, and its classifier has 3"),
        ({"classes": ["a", "a", "b"]}, "names 3 classes"),
        ({"task": "regression"}, "is not for the task 'regression'"),
        ({"classes": None}, "is not for the task"),
    ):
        changed = {**good, **change}
        del changed["sha256"]
        path.write_text(json.dumps({**changed, "sha256": hash_described(changed)}))
        with pytest.raises(ModelFormatError, match=why):
            xs.load_model(tmp_path)


def test_each_class_keeps_training_rows():
    data = xs.clean_table(table())
    rare = np.zeros(len(data))
    rare[:2] = 1
    for seed in range(20):
        rows = draw_rows(data.groups, intervals=IntervalConfig(), seed=seed, labels=rare)
        assert (rare[rows.train] == 1).any()


def test_rows_are_held_out_although_the_drawn_ones_have_to_stay():
    """Two materials of one class, and ten classes of one row each but for two."""
    groups = np.array(["a", "a", "b", "b", "c", "d", "e", "f", "g", "h"], dtype=object)
    labels = np.array([0, 0, 0, 0, 1, 2, 3, 4, 5, 6], dtype=float)
    for seed in range(10):
        rows = draw_rows(groups, seed=seed, labels=labels)
        assert set(groups[rows.validation]) <= {"a", "b"}
        assert len(rows.validation) == 2
        assert set(labels[rows.train]) == set(labels)


def test_why_there_are_no_prediction_sets_is_said():
    said = []

    class Listener(type(NO_PROGRESS)):
        def say(self, text):
            said.append(text)

    data = xs.clean_table(table()).take(np.arange(12) * 3)
    rows = FitRows(np.arange(8), np.arange(8), np.arange(8, 12))
    model = xs.fit(data, "ridge", features="fractions", rows=rows, progress=Listener())
    assert model.calibration is None
    (text,) = said
    assert text.startswith("No prediction sets, and probabilities as the classifier gives them: 4")


def test_a_fold_may_lack_a_class_in_training():
    data = xs.clean_table(table(3))
    train = np.flatnonzero(data.y != 2)
    model = xs.fit(
        data, "ridge", features="fractions", rows=FitRows(train, train[:10]), intervals=NONE
    )
    assert model.classes == ("first", "second", "third")
    assert (model.predict(data).probabilities[:, 2] == 0).all()


def test_a_stack_is_judged_by_its_folds():
    members = [Member("a", LogisticClassifier(alphas=(1.0,))), Member("b", LogisticClassifier())]
    data = xs.clean_table(table())
    model = xs.fit(data, StackClassifier(members), features="fractions")
    rows = draw_rows(data.groups, intervals=IntervalConfig(), cross_fits=True, labels=data.y)
    X = prepare(data, "ridge", "fractions", None, None).X
    shares, used = held_out_classes(model, X, rows)
    assert len(used) == len(data) == len(shares)
    assert sorted(used.tolist()) == list(range(len(data)))
    losses = -np.log(shares[np.arange(len(used)), data.y[used].astype(int)])
    best = min(model.classifier.errors_.values())
    assert losses.mean() <= best + 1e-6
    assert model.calibration.origin == "out-of-fold"
    assert len(model.calibration) == len(data)


def test_methods_of_regression_say_so():
    for name in METHODS:
        if name not in classifying_methods():
            with pytest.raises(ConfigError, match=f"{name} is for regression; for classes use: "):
                build_classifier(name, MethodSettings(), seed=0)
    assert {"auto", "dummy", "ridge", "lightgbm", "extra-trees", "erm", "cal", "cal-eps0"} <= set(
        classifying_methods()
    )
    with pytest.raises(ConfigError, match="svr is for regression"):
        xs.fit(table(), "svr", features="fractions")
    with pytest.raises(ConfigError, match="changes the scale of numbers"):
        xs.fit(table(), "ridge", features="fractions", transform="log")
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(ConfigError, match="no classifier of"):
        xs.fit(table(), LogisticRegression(), features="fractions")


def test_auto_of_classes_is_one_stack_and_ordinal_members_have_thresholds():
    stack = build_classifier("auto", MethodSettings(), seed=0)
    names = [one.name for one in stack.members]
    assert names[:3] == ["ridge", "extra-trees", "lightgbm"]
    assert stack.random_state == 0
    ordered = build_classifier("auto", MethodSettings(), seed=0, ordered=True)
    assert {type(one.regressor).__name__ for one in ordered.members} == {"OrdinalClassifier"}


def test_one_class_is_refused():
    data = xs.Dataset.of(["NaCl", "KCl", "LiF"], [0, 0, 0], classes=("a", "b"))
    with pytest.raises(DataError, match="one class"):
        xs.fit(data, "ridge", features="fractions")


def test_formula_classifier():
    data = table(3)
    face = xs.FormulaClassifier("ridge", features="fractions", random_state=0)
    assert face.fit(data.formulas.tolist(), data.labels) is face
    assert face.classes_.tolist() == ["first", "second", "third"]
    P = face.predict_proba(["NaCl", "Fe3O4"])
    assert P.shape == (2, 3)
    assert face.predict(["NaCl"]).tolist() == ["first"]
    assert face.score(data.formulas.tolist(), data.labels) > 0.9
    model = xs.fit(
        xs.clean_table(data, duplicates="keep"), "ridge", features="fractions", intervals=NONE
    )
    np.testing.assert_array_equal(model.predict(["NaCl", "Fe3O4"]).probabilities, P)
    numbers = xs.FormulaClassifier("ridge", features="fractions", random_state=0)
    numbers.fit(data.formulas.tolist(), data.y.astype(int) * 10)
    assert numbers.predict(["NaCl"]).tolist() == [0]
    np.testing.assert_array_equal(numbers.predict_proba(["NaCl", "Fe3O4"]), P)
    with pytest.raises(FormulaError, match="row 2"):
        face.fit(["NaCl", "Xx"], ["a", "b"])
    from sklearn.base import clone
    from sklearn.utils import get_tags

    assert clone(face).get_params()["method"] == "ridge"
    assert get_tags(face).estimator_type == "classifier"


def test_a_table_predictor_adds_the_columns(tmp_path):
    from xtalshift.model.table_predictor import TablePredictor

    model = xs.fit(table(), "ridge", features="fractions", intervals=NONE)
    frame = TablePredictor(model).predict(pd.DataFrame({"formula": ["NaCl", "?"]}), "t")
    assert frame["prediction"].tolist() == ["second", ""]


def labels_of(turned):
    """Return 60 other materials; `turned`: each has the other class."""
    formulas = [f"{a}{b}3" for a in METALS for b in ANIONS]
    kinds = [(ANIONS.index(f[:-1][len(a) :]) + turned) % 2 for f, a in
             zip(formulas, np.repeat(METALS, len(ANIONS)), strict=True)]  # fmt: skip
    return xs.Dataset.of(formulas, kinds, classes=("first", "second"), target_name="kind")


def test_an_adapted_model_follows_its_labels_and_is_saved(tmp_path):
    model = xs.fit(table(), "ridge", features="fractions")
    labels = labels_of(1)
    adapted = xs.adapt(model, labels)
    said = adapted.card.provenance["cross_fit"]
    known = model.predict(labels.materials).probabilities[np.arange(60), labels.y.astype(int)]
    assert said["before"] == pytest.approx(-np.log(known).mean())
    assert said["after"] < 0.1 < said["constant"] < said["before"]
    assert not said["kept"]
    assert adapted.calibration.origin == "target"
    assert adapted.calibration.probabilities.kind == "none"
    asked = ["NaCl7", "LiS5", "Fe3O4"]
    found = adapted.predict(asked).probabilities
    np.testing.assert_array_equal(
        found.argmax(axis=1), 1 - model.predict(asked).probabilities.argmax(axis=1)
    )
    again = xs.load_model(xs.save_model(adapted, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(asked).probabilities, found)
    assert again.was_trained_on(again.features_of(labels.materials)).all()


def test_names_of_the_labels_may_be_in_another_order_and_foreign_ones_are_refused():
    model = xs.fit(table(), "ridge", features="fractions")
    labels = labels_of(1)
    names = np.array(labels.labels, dtype=object)
    turned = xs.Dataset.of(
        labels.formulas, [("second", "first").index(n) for n in names],
        classes=("second", "first"), target_name="kind",
    )  # fmt: skip
    one, other = (xs.adapt(model, data).card.provenance["cross_fit"] for data in (labels, turned))
    assert one == other
    names[0] = "third"
    with pytest.raises(DataError, match="'third' is no class of the model"):
        xs.adapt(model, xs.Dataset.of(labels.formulas, names.tolist()))
    with pytest.raises(ConfigError, match="method 'l2-sp' is for models of numbers"):
        xs.adapt(model, labels, method="l2-sp")
