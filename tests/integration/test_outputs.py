"""Outputs that would change an input or a saved model are refused before the work."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture
def places(table, model, tmp_path):
    """Return a folder with a table, two models and links to them, of which nothing may change."""
    shutil.copy(table, tmp_path / "t.csv")
    shutil.copytree(model, tmp_path / "m")
    shutil.copytree(model, tmp_path / "m2")
    (tmp_path / "link.csv").symlink_to(tmp_path / "t.csv")
    os.link(tmp_path / "t.csv", tmp_path / "hard.csv")
    (tmp_path / "mlink").symlink_to(tmp_path / "m")
    (tmp_path / "spec.toml").write_text(
        'methods = ["ridge"]\nseeds = 1\n[data.t]\ndataset = "t.csv"\ntarget = "gap"\n'
        '[splits.r]\nscheme = "random"\n'
    )
    return tmp_path


COMMANDS = {
    "predict": "predict m t.csv -o OUT.csv",
    "prompt": "predict m GaN -o OUT.csv",
    "featurize": "featurize t.csv -o OUT.csv",
    "split": "split t.csv --scheme random -o OUT.csv",
    "suggest": "suggest m t.csv -o OUT.csv",
    "enumerate": "enumerate --elements Li,O --max-atoms 3 -o OUT.csv",
    "adversarial": "train t.csv --target gap --method cal -o n --save-adversarial OUT.csv",
    "screen": "screen m t.csv -o OUT",
    "train": "train t.csv --target gap --method ridge -o OUT",
    "adapt": "adapt m t.csv --target gap -o OUT",
    "calibrate": "calibrate m t.csv --target gap -o OUT",
    "run": "run t.csv --target gap --methods ridge -o OUT",
    "benchmark": "benchmark spec.toml -o OUT",
    "pretrain": "pretrain t.csv -o OUT",
    "audit": "audit t.csv t.csv --target gap -o OUT",
}
FILES = ("predict", "featurize", "split", "suggest", "adversarial")
FOLDERS = ("screen", "run", "benchmark", "pretrain", "audit")


def refused(xtalshift, places, monkeypatch, name, out, words):
    monkeypatch.chdir(places)
    before = snapshot(places)
    command = COMMANDS[name].replace("OUT.csv", out).replace("OUT", out)
    outcome = xtalshift(*command.split())
    assert outcome.code == 1, outcome.err
    (line,) = outcome.err.splitlines()  # nothing was read, fitted or said before
    assert line.startswith(f"Error: {out} ")
    assert words in line
    assert snapshot(places) == before


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("out", ["t.csv", "link.csv", "hard.csv", "m/../t.csv"])
def test_the_input_is_kept(xtalshift, places, monkeypatch, name, out):
    refused(xtalshift, places, monkeypatch, name, out, "is the input, which is kept")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("out", ["m2/new.csv", "m2/deep/new.csv"])
def test_nothing_is_written_into_a_model(xtalshift, places, monkeypatch, name, out):
    refused(xtalshift, places, monkeypatch, name, out, "lies in a saved model")


@pytest.mark.parametrize("name", ["predict", "suggest", "screen", "adapt", "calibrate"])
@pytest.mark.parametrize("out", ["m/new.csv", "mlink/new.csv"])
def test_nothing_is_written_into_the_model_that_is_read(xtalshift, places, monkeypatch, name, out):
    refused(xtalshift, places, monkeypatch, name, out, "lies in a saved model")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_model_is_no_folder_of_results(xtalshift, places, monkeypatch, name):
    refused(xtalshift, places, monkeypatch, name, "m2", "is a saved model, which is kept")


@pytest.mark.parametrize("name", ["adapt", "calibrate", "screen"])
@pytest.mark.parametrize("out", ["m", "mlink", "m2/../m"])
def test_the_model_to_start_from_is_kept(xtalshift, places, monkeypatch, name, out):
    refused(xtalshift, places, monkeypatch, name, out, "is the input, which is kept")


def test_a_model_may_replace_another_one(xtalshift, places, monkeypatch):
    monkeypatch.chdir(places)
    before = (places / "m2" / "model.json").read_bytes()
    train = ("train", "t.csv", "--target", "temperature", "--method", "ridge", "-o", "m2")
    refused = xtalshift(*train)
    assert refused.code == 1
    assert refused.err == (
        "Error: m2 holds a model (ridge for gap); choose another -o, or give --overwrite to "
        "replace it\n"
    )
    assert (places / "m2" / "model.json").read_bytes() == before
    assert xtalshift(*train, "--overwrite").code == 0
    assert (places / "m2" / "model.json").read_bytes() != before
