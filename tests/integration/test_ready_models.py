"""Ready models on the command line: listed, described, built, predicted with, started from."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import xtalshift as xs
from xtalshift.benchmark.prepare import prepare_shared
from xtalshift.cli import models
from xtalshift.cli import predict as predict_command
from xtalshift.data.clean import clean_table
from xtalshift.errors import DataError
from xtalshift.jobs import ready as jobs
from xtalshift.model.ready import get_recipe, list_recipes, recipe
from xtalshift.model.ready.evaluation import HeldOutClasses, read_evaluation
from xtalshift.parallel import InProcessExecutor
from xtalshift.registry import Registry

METALS = [
    *("Li", "Na", "K", "Rb", "Cs", "Be", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Ga", "Al", "In"),
    *("Fe", "Co", "Ni", "Cu", "Ag", "Ti", "Zr", "La", "Ce"),
]
ANIONS = ("O", "S", "F", "Cl", "N")
FORMULAS = [f"{a}{b}{n}" for a in METALS for b in ANIONS for n in ("", "2", "3", "4", "5", "7")]
VALUES = [
    i % 5 + 0.7 * j + 0.5 for i in range(len(METALS)) for j in range(len(ANIONS)) for _ in range(6)
]


def toy_recipe(**changes):
    return recipe.Recipe.from_dict(
        {
            "name": "toy",
            "title": "A toy property",
            "target_name": "toy property",
            "unit": "eV",
            "conditions": "made up",
            "table": "ricci_seebeck",
            "file": "toy.parquet",
            "settings": {"lightgbm": {"n_estimators": 20}},
            "splits": {
                "random": {"scheme": "random"},
                "sparse": {"scheme": "covariate"},
                "cluster": {"scheme": "loco", "params": {"n_clusters": 2}},
            },
            "licence": "CC0",
            "attribution": "nobody",
            "citation": "none",
            "caveats": ["polymorphs are one"],
            "not_shipped": "it is a toy",
            **changes,
        }
    )


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Return the recipe of a toy table, which is known by its name."""
    made = toy_recipe()
    known = Registry("ready model")
    for name in list_recipes():
        known.add(name, get_recipe(name))
    known.add("toy", made)
    rows = pd.DataFrame({"formula": FORMULAS, "target": VALUES})
    pd.concat([rows, rows[:10]]).to_parquet(tmp_path / "toy.parquet")
    monkeypatch.setenv("XTALSHIFT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipe, "_recipes", lambda: known)
    recipe.all_names.cache_clear()
    yield made
    recipe.all_names.cache_clear()


def build(made, out, **options):
    return jobs.make_ready(made, out, InProcessExecutor(1), **options)


def arrays_of(folder):
    (path,) = folder.glob("arrays-*")
    return path.read_bytes()


def test_list_names_every_model_and_its_errors(xtalshift):
    done = xtalshift("models", "list")
    lines = dict(line.split("\t", 1) for line in done.out.splitlines())
    assert done.code == 0
    assert lines["seebeck-p, seebeck"].startswith("uV/K\tyes\t0.33, ")
    assert "not shipped" in lines["band-gap-measured"]
    assert "no licence is stated for these" in lines["band-gap-measured"]


def test_info_says_what_to_expect_in_plain_words(xtalshift):
    done = xtalshift("models", "info", "seebeck")
    assert done.code == 0
    for words in (
        "seebeck-p: Seebeck coefficient, p type (holes), in uV/K",
        "ricci_seebeck, 47,737 rows, 34,630 compositions",
        "like the training data: 109 uV/K (0.33 of the error of the mean, 330)",
        "its 90 % intervals hold 90 %",
        "a whole cluster of compositions, mean of 5 sets",
        "polymorphs of one formula get one value",
        "Licence of the data: CC BY 4.0",
        "Sci. Data 4, 170085 (2017)",
        "`xtalshift models train seebeck-p` builds it again",
    ):
        assert words in done.out
    missing = xtalshift("models", "info", "band-gap-measured")
    assert "Not in the package: a model contains the formulas and values" in missing.out


@pytest.mark.parametrize(
    "command",
    [
        ("models", "info", "seebek"),
        ("models", "train", "seebek"),
        ("predict", "seebek", "GaN"),
        ("screen", "seebek", "in.csv", "-o", "out"),
        ("suggest", "seebek", "in.csv", "-n", "3"),
        ("train", "in.csv", "--from", "seebek", "-o", "out"),
        ("adapt", "seebek", "in.csv", "-o", "out"),
    ],
)
def test_a_misspelt_name_is_one_line_with_the_right_one(command, xtalshift, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("formula,y\nGaN,1\n")
    done = xtalshift(*command)
    assert done.code == 1
    assert "did you mean 'seebeck'?" in done.err.splitlines()[-1]


def test_predictions_outside_of_the_domain_say_so_first(xtalshift, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict_command, "_on_terminal", lambda: True)
    done = xtalshift("predict", "seebeck", "PbTe", "XeU")
    head, known, new = done.out.splitlines()
    assert head.split() == ["formula", "Seebeck", "coefficient", "(p)", "(uV/K)"]
    assert float(known.split()[1]) == pytest.approx(
        xs.load_model("seebeck").predict(["PbTe"]).prediction[0], rel=1e-5
    )
    assert known.index(" at 90 %") < known.index("  in domain (score ")
    assert new.split("  ", 1)[1].strip().startswith("out of domain (score 1.00, limit 0.91):  67")


def test_files_are_predicted_screened_and_searched_by_name(xtalshift, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    formulas = ["GaN", "PbTe", "Cs2AgBiBr6", "XeU", "Na3Bi7"]
    (tmp_path / "in.csv").write_text("formula\n" + "\n".join(formulas) + "\n")
    expected = xs.load_model("seebeck").predict(formulas).prediction
    assert xtalshift("predict", "seebeck", "in.csv", "-o", "p.csv").code == 0
    found = pd.read_csv("p.csv")["prediction"]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert xtalshift("screen", "seebeck", "in.csv", "--top", 2, "-o", "s").code == 0
    best = pd.read_csv("s/top.csv")["formula"].tolist()
    assert best == [formulas[row] for row in np.argsort(-expected)[:2]]
    done = xtalshift("suggest", "seebeck", "in.csv", "-n", 1, "--toward", "high", "-o", "n.csv")
    assert done.code == 0
    assert len(pd.read_csv("n.csv")) == 1


def test_a_model_is_built_with_its_errors(toy, xtalshift, tmp_path):
    done = xtalshift("models", "train", "toy", "--workers", 1)
    assert done.code == 0, done.err
    assert "Model: toy" in done.out
    assert "a whole cluster of compositions, mean of 2 sets" in done.out
    found = read_evaluation(tmp_path / "toy")
    assert (found.model, found.rows, found.materials) == ("toy", 730, 720)
    assert [one.role for one in found.held_out] == ["id", "ood", "ood", "ood"]
    assert sum(one.n_test for one in found.of("cluster")) == 720
    model = xs.load_model("toy")  # the folder, since it has this name
    assert model.card.target_name == "toy property"
    assert model.card.source == "ricci_seebeck"
    assert found.table_sha256 == model.card.provenance["data"]["sha256"]
    assert {path.name for path in tmp_path.iterdir()} == {"toy", "toy.parquet"}
    # a second one is refused, and has the same bits
    assert "--overwrite" in xtalshift("models", "train", "toy").err
    build(toy, tmp_path / "again", evaluate=False)
    assert arrays_of(tmp_path / "again") == arrays_of(tmp_path / "toy")
    assert not (tmp_path / "again" / "evaluation.json").exists()
    written = [json.loads((tmp_path / n / "model.json").read_text()) for n in ("toy", "again")]
    assert written[0] == written[1]


def test_an_interrupted_evaluation_continues(toy, tmp_path, monkeypatch):
    whole = build(toy, tmp_path / "whole").evaluation
    fits = []
    fit = jobs._fit
    monkeypatch.setattr(jobs, "_fit", lambda *a: fits.append(1) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(toy, tmp_path / "part")
    monkeypatch.setattr(jobs, "_fit", fit)
    records = tmp_path / ".part.making" / "evaluation" / "records.jsonl"
    before = records.read_bytes()
    held = []
    monkeypatch.setattr(jobs, "write_json", lambda _, found: held.append(records.read_bytes()))
    again = build(toy, tmp_path / "part").evaluation
    assert held == [before]
    assert again.held_out == whole.held_out


def test_no_test_formula_is_trained_on(toy, tmp_path):
    jobs.write_table(toy, tmp_path / "table.parquet")
    spec = jobs.evaluation_spec(toy, tmp_path / "table.parquet").check_methods()
    shared, _ = prepare_shared(spec, {})
    (problem,) = shared.problems.values()
    folds = list(shared.folds.values())
    assert len(folds) == 4
    for fold in folds:
        known = set(problem.data.groups[np.concatenate([fold.train, fold.val])])
        for test in fold.tests:
            if test.role != "pool":
                assert not known & set(problem.data.groups[test.rows])


def test_logarithms_become_values_and_the_table_has_reduced_formulas(toy, tmp_path):
    plain, raised = tmp_path / "a.parquet", tmp_path / "b.parquet"
    jobs.write_table(toy, plain)
    jobs.write_table(toy.model_copy(update={"log10": True}), raised)
    one, other = (pd.read_parquet(path) for path in (plain, raised))
    assert one.columns.tolist() == ["formula", "toy property"]
    np.testing.assert_array_equal(10.0 ** one["toy property"], other["toy property"])
    assert "LiO" in set(one["formula"])


def test_a_model_of_classes_is_built_and_judged_as_such(toy, tmp_path):
    made = toy.model_copy(
        update={"cuts": (3.0,), "classes": ("small", "large"), "unit": "", "materials": 400}
    )
    done = build(made, tmp_path / "model")
    assert done.model.classes == ("large", "small")
    assert done.evaluation == read_evaluation(tmp_path / "model")
    assert done.evaluation.materials == 400
    assert sum(one.n_test for one in done.evaluation.of("cluster")) == 400
    for one in done.evaluation.held_out:
        assert isinstance(one, HeldOutClasses)
        assert one.error == one.log_loss
        assert 0.5 < one.balanced_accuracy <= 1
        assert one.balanced_accuracy_dummy == 0.5
        assert 0.4 < one.dummy_log_loss < 0.9  # a class has about half of the rows
        assert one.coverage == one.set_coverage_90 <= one.mean_set_size_90 <= 2
        parts = ((one.in_domain, one.log_loss_inside), (1 - one.in_domain, one.log_loss_outside))
        weighed = sum(share * loss for share, loss in parts if share)
        assert weighed == pytest.approx(one.log_loss)
    text = "\n".join(models.describe(made, done.evaluation))
    assert "toy: A toy property, as small or large" in text
    assert "Log loss (nats) on rows that a model like this one was not trained on" in text
    assert "(most frequent class: 50 %); its 90 % sets hold" in text


def test_rows_of_one_formula_vote_for_their_class(toy, tmp_path):
    table = pd.DataFrame({"formula": ["LiO", "LiO", "Li2O2", "NaO"], "target": [0.0, 0.0, 1.0, 2]})
    table.to_parquet(tmp_path / "toy.parquet")
    made = toy.model_copy(update={"cuts": (0.0,), "classes": ("metal", "other")})
    jobs.write_table(made, tmp_path / "a.parquet")
    data = xs.read_table(tmp_path / "a.parquet", target="toy property")
    assert data.labels.tolist() == ["metal", "metal", "other", "other"]
    clean = clean_table(data)
    assert dict(zip(clean.formulas, clean.labels, strict=True)) == {"LiO": "metal", "NaO": "other"}


def test_a_failed_training_of_the_evaluation_is_an_error(toy, tmp_path, monkeypatch):
    run = jobs.run_benchmark

    def fail(*arguments, **options):
        done = run(*arguments, **options)
        bad = [replace(one, status="failed", reason="no memory") for one in done.records[:1]]
        return replace(done, records=(*bad, *done.records[1:]))

    monkeypatch.setattr(jobs, "run_benchmark", fail)
    with pytest.raises(DataError, match="no memory"):
        build(toy, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def labels_for(toy, place):
    """Build a model, and write labels of other materials."""
    build(toy, place / "toy", evaluate=False)
    new = [f"{text}8" for text in FORMULAS[::6]]
    rows = pd.DataFrame({"formula": new, "mine": np.add(VALUES[::6], 2)})
    rows.to_csv("mine.csv", index=False)


def test_what_a_model_to_start_from_decides_is_refused(toy, xtalshift, tmp_path):
    labels_for(toy, tmp_path)
    other = xtalshift(
        "train", "mine.csv", "--target", "mine", "--unit", "GPa", "--from", "toy", "-o", "n2"
    )
    assert "the labels of mine.csv are in GPa, the model predicts eV; convert them" in other.err
    fixed = xtalshift("train", "mine.csv", "--from", "toy", "--method", "ridge", "-o", "n2")
    assert "--method is not for --from" in fixed.err


@pytest.mark.long
def test_training_starts_from_a_model_by_name(toy, xtalshift, tmp_path):
    labels_for(toy, tmp_path)
    done = xtalshift("train", "mine.csv", "--target", "mine", "--from", "toy", "-o", "new")
    assert done.code == 0, done.err
    assert "From toy: toy property in eV, made up. Corrections of its predictions" in done.out
    assert "the column 'mine' is taken for the same property, in eV" in done.out
    assert "labels, each held out in turn" in done.out
    assert xs.load_model("new").predict(["NaCl8"]).prediction[0] > 3.6  # 5.1 of the labels


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.usefixtures("shared_data")
@pytest.mark.parametrize(
    "name", [name for name in list_recipes() if not get_recipe(name).not_shipped]
)
def test_the_command_builds_what_is_shipped(name, tmp_path):
    """The bits of the model on the machine that built it, and the errors on its card anywhere."""
    made = get_recipe(name)
    build(made, tmp_path / "model")
    here, shipped = read_evaluation(tmp_path / "model"), read_evaluation(made.folder)
    for one, other in zip(here.held_out, shipped.held_out, strict=True):
        assert (one.split, one.fold, one.n_test) == (other.split, other.fold, other.n_test)
        assert one.error == pytest.approx(other.error, rel=0.03)
        assert one.coverage == pytest.approx(other.coverage, abs=0.03)
    if here.versions == shipped.versions and here.held_out == shipped.held_out:
        assert arrays_of(tmp_path / "model") == arrays_of(made.folder)
