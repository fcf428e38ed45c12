"""What exists is replaced only with --overwrite, or by the command that wrote such a table."""

from __future__ import annotations

import shutil

import pytest

from integration.conftest import QUICK
from integration.tables import make_rows, write_rows

pytestmark = pytest.mark.usefixtures("few_corrections")

MODELS = {
    "train": "train t.csv --target gap --method ridge",
    "adapt": "adapt m labels.csv --target gap",
    "calibrate": "calibrate m labels.csv --target gap",
}
FOLDERS = {
    "audit": ("audit t.csv split.csv --target gap --quick", "audit.json", "an audit (audit.json)"),
    "pretrain": ("pretrain t.csv", "encoder.json", "an encoder (encoder.json)"),
    "benchmark": ("benchmark spec.toml", "summary.json", "other results (summary.json)"),
    "screen": ("screen m t.csv", "top.csv", "top.csv but no screening to continue"),
}
TABLES = {
    "predict": "predict m t.csv -o OUT",
    "prompt": "predict m GaN -o OUT",
    "featurize": "featurize t.csv --features fractions -o OUT",
    "split": "split t.csv --scheme random --target gap -o OUT",
    "suggest": "suggest m t.csv -n 3 -o OUT",
    "check": "check t.csv --fix OUT",
    "adversarial": "train t.csv --target gap --method cal --overwrite -o n --save-adversarial OUT",
}
"""Commands that know their earlier output."""


@pytest.fixture
def place(tmp_path, monkeypatch, table, model):
    """Return a folder with a table, labels, a split and a model, in which commands run."""
    lines = table.read_text().splitlines(keepends=True)
    (tmp_path / "t.csv").write_text("".join(lines[:50]))
    write_rows(tmp_path / "labels.csv", make_rows(90)[60:])
    shutil.copytree(model, tmp_path / "m")
    frame = ["id,part\n", *(f"{n:04d},{'test' if n % 3 else 'train'}\n" for n in range(49))]
    (tmp_path / "split.csv").write_text("".join(frame))
    (tmp_path / "spec.toml").write_text(
        'methods = ["ridge"]\nseeds = 1\naudit = false\n[data.t]\ndataset = "t.csv"\n'
        'target = "gap"\n[splits.r]\nscheme = "random"\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(outcome, words):
    assert outcome.code == 1, outcome.err
    (line,) = outcome.err.splitlines()  # before the work
    assert line.startswith("Error: ")
    assert words in line
    assert "--overwrite" in line


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_replaced_only_if_one_says_so(place, xtalshift, name):
    command = (*MODELS[name].split(), "-o", "out")
    if name == "train":
        command += QUICK
    assert xtalshift(*command).code == 0
    first = (place / "out" / "model.json").read_bytes()
    refused(xtalshift(*command), "out holds a model (")
    assert (place / "out" / "model.json").read_bytes() == first
    (place / "out" / "model.json").write_text("damaged")
    refused(xtalshift(*command), "out holds a model; choose another -o, or give --overwrite")
    assert xtalshift(*command, "--overwrite").code == 0
    assert (place / "out" / "model.json").read_bytes() == first


@pytest.mark.parametrize("name", MODELS)
def test_overwrite_is_for_models_and_never_for_the_input(place, xtalshift, name):
    (place / "thesis").mkdir()
    (place / "thesis" / "chapter.tex").write_text("years")
    command = MODELS[name].split()
    outcome = xtalshift(*command, "-o", "thesis", "--overwrite")
    assert (outcome.code, "is not a saved model" in outcome.err) == (1, True)
    if name != "train":
        outcome = xtalshift(*command, "-o", "m", "--overwrite")
        assert (outcome.code, "is the input, which is kept" in outcome.err) == (1, True)


@pytest.mark.parametrize("name", FOLDERS)
def test_results_in_a_folder_are_replaced_only_if_one_says_so(place, xtalshift, name):
    command, file, words = FOLDERS[name]
    (place / "out").mkdir()
    (place / "out" / file).write_text("mine")
    refused(xtalshift(*command.split(), "-o", "out"), words)
    assert [path.name for path in (place / "out").glob("[!.]*")] == [file]
    assert (place / "out" / file).read_text() == "mine"
    if name == "pretrain":
        return  # 50 rows are too few for an encoder
    done = xtalshift(*command.split(), "-o", "out", "--overwrite")
    assert done.code == 0, done.err
    assert not (place / "out" / file).exists() or (place / "out" / file).read_text() != "mine"


def test_a_benchmark_continues_and_does_not_take_the_name_of_another_file(place, xtalshift):
    command = ("benchmark", "spec.toml", "-o", "out")
    assert xtalshift(*command).code == 0
    assert "2 tasks, 2 of them done before" in xtalshift(*command).err


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_replaced_by_the_command_that_wrote_it(place, xtalshift, name):
    def call(out, *options):
        command = TABLES[name].replace("OUT", out).split()
        return xtalshift(*command, *(QUICK if name == "adversarial" else ()), *options)

    for other in ("labels.csv", "split.csv"):
        before = (place / other).read_bytes()
        if name == "adversarial":  # --overwrite is also that of the model
            break
        refused(call(other), f"{other} exists and is not known to be an earlier output of this")
        assert (place / other).read_bytes() == before
    for _ in range(2):
        done = call("out.csv")
        assert done.code == 0, done.err
    first = (place / "out.csv").read_bytes()
    (place / "out.csv").write_text("notes of mine\n")
    if name != "adversarial":
        refused(call("out.csv"), "out.csv exists and is not known")
    assert call("out.csv", "--overwrite").code == 0
    assert (place / "out.csv").read_bytes() == first


def test_adversarial_rows_replace_no_other_table(place, xtalshift):
    command = TABLES["adversarial"].replace("OUT", "labels.csv").replace("--overwrite ", "")
    refused(xtalshift(*command.split()), "labels.csv exists and is not known to be an earlier")


@pytest.mark.parametrize("name", [one for one in TABLES if one != "adversarial"])
def test_commands_know_the_tables_of_each_other(place, xtalshift, name):
    command = [*TABLES[name].replace("OUT", "out.csv").split()]
    assert xtalshift(*command).code == 0
    same = {"predict", "prompt"}
    for other, text in TABLES.items():
        if other in {name, "adversarial"} or {other, name} == same:
            continue
        refused(xtalshift(*text.replace("OUT", "out.csv").split()), "out.csv exists and is not")


def test_a_list_of_formulas_may_be_anyones(place, xtalshift):
    command = ("enumerate", "--elements", "Li,O", "--max-atoms", "3", "-o", "out.csv")
    assert xtalshift(*command).code == 0
    refused(xtalshift(*command), "out.csv exists and is not known")
    assert xtalshift(*command, "--overwrite").code == 0
