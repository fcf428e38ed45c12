"""An encoder of one's own: made, used by a model, counted, and refused when it is another one."""

import json
import shutil

import pytest

from encoder_toys import write_toy_encoder
from integration.conftest import train_model
from xtalshift.data import clean_table, load_dataset, read_table
from xtalshift.featurize.encoder import read_encoder
from xtalshift.model import load_model


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A table of 300 formulas."""
    data = load_dataset("ricci_seebeck")
    formulas = list(dict.fromkeys(data.groups.tolist()))[1000:1300]
    path = tmp_path_factory.mktemp("big") / "big.csv"
    path.write_text("\n".join(["formula,y", *(f"{f},{len(f) % 7}" for f in formulas)]))
    return path


def test_the_command_makes_an_encoder_that_other_commands_use(xtalshift, big, table, tmp_path):
    place = tmp_path / "encoder"
    quick = ("--set", "epochs=1", "--set", "widths=[8, 8]", "--set", "size=4", "--seed", "2")
    made = xtalshift("pretrain", big, "--without", table, "-o", place, *quick)
    assert made.code == 0, made.err
    kept = set(read_table(big).groups) - set(read_table(table, target="gap").groups)
    assert f"big: {len(kept)} materials, held-out error" in made.out
    assert f"pretrained:{place}" in made.out
    card = read_encoder(place).card
    assert (card.settings["epochs"], card.settings["seed"], card.settings["size"]) == (1, 2, 4)
    assert len(kept) < 300
    assert card.without == {"gaps": 60}
    out = tmp_path / "f.csv"
    done = xtalshift("featurize", table, "-o", out, "--features", f"pretrained:{place}")
    assert done.code == 0, done.err
    assert out.read_text().startswith("formula,pretrained 0,pretrained 1,pretrained 2,pretrained 3")
    wrong = xtalshift("pretrain", big, "-o", place, "--set", "epoch=1")
    assert (wrong.code, "did you mean 'epochs'" in wrong.err) == (2, True)
    lost = xtalshift("featurize", table, "-o", out, "--features", f"pretrained:{tmp_path}")
    assert (lost.code, "holds no encoder" in lost.err) == (1, True)


def test_a_model_says_what_its_encoder_has_seen_and_needs_the_same_one(xtalshift, table, tmp_path):
    place = tmp_path / "encoder"
    first = write_toy_encoder(place, formulas=("NaCl", "KCl", "HeXe"))
    folder = train_model(
        table, tmp_path / "m", "--features", f"magpie+fractions+pretrained:{place}"
    )
    model = load_model(folder)
    found = model.card.provenance["pretrained"]
    assert set(found) == {"encoder", "materials", "seen", "properties"}
    assert found["encoder"] == first.card.arrays_sha256
    assert xtalshift("predict", folder, "NaCl").code == 0
    assert model.featurizer.blocks == f"magpie+fractions+pretrained:{place}"
    write_toy_encoder(place, seed=1)
    other = xtalshift("predict", folder, "NaCl")
    assert other.code == 1
    assert f"trained with the encoder {first.label}" in other.err
    assert "put the other encoder there, or train the model again" in other.err
    shutil.rmtree(place)
    gone = xtalshift("predict", folder, "NaCl")
    assert (gone.code, "holds no encoder" in gone.err) == (1, True)


def test_a_model_finds_its_encoder_from_other_folders(xtalshift, table, tmp_path, monkeypatch):
    write_toy_encoder(tmp_path / "encoder")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    folder = train_model(table, tmp_path / "m", "--features", "fractions+pretrained:../encoder/")
    monkeypatch.chdir("/")
    assert xtalshift("predict", folder, "NaCl").code == 0
    assert load_model(folder).featurizer.blocks == f"fractions+pretrained:{tmp_path / 'encoder'}"


def test_a_run_counts_the_test_rows_that_the_encoder_has_seen(xtalshift, table, tmp_path, quick):
    data = clean_table(read_table(table, target="gap"))
    names = sorted(set(data.groups.tolist()))
    place = tmp_path / "encoder"
    write_toy_encoder(place, formulas=names[::2])
    out = tmp_path / "run"
    options = ("--target", "gap", "--methods", "ridge", "--splits", "prior", *quick)
    features = f"magpie+pretrained:{place}"
    done = xtalshift("run", table, "--out", out, "--features", features, *options)
    assert done.code == 0, done.err
    seen, total = len(names[::2]), len(names)
    assert f"{seen} of {total} materials were seen by the encoder" in done.err
    results = json.loads((out / "results.json").read_text())
    assert (results["pretrained"]["seen"], results["pretrained"]["materials"]) == (seen, total)
    for split in results["splits"]:
        assert 0 <= split["n_seen"] <= split["n_test"]
    by_name = {split["name"]: split for split in results["splits"] if split["role"] == "ood"}
    tail = data.take(data.y >= sorted(data.y)[-by_name["prior"]["n_test"]])
    expected = sum(group in names[::2] for group in tail.groups.tolist())
    assert by_name["prior"]["n_seen"] == expected
    plain = tmp_path / "plain"
    assert xtalshift("run", table, "--out", plain, *options).code == 0
    results = json.loads((plain / "results.json").read_text())
    assert results["pretrained"] is None
    assert {split["n_seen"] for split in results["splits"]} == {None}
