"""An encoder of one's own: made, used by a model, which contains it, and counted."""

import hashlib
import json
import shutil

import pytest
from safetensors.numpy import load_file, save

from encoder_toys import write_toy_encoder
from integration.conftest import train_model
from xtalshift.data import clean_table, load_dataset, read_table
from xtalshift.featurize.encoder import read_encoder
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.model import load_model
from xtalshift.model.signed_json import hash_described


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


def test_a_model_works_on_another_machine_without_the_folder_of_its_encoder(
    xtalshift, table, tmp_path, monkeypatch
):
    place = tmp_path / "encoder"
    names = sorted(set(read_table(table, target="gap").groups.tolist()))
    first = write_toy_encoder(place, formulas=names[:20])
    options = ("--features", "fractions+pretrained:encoder", "--intervals", "cross")
    monkeypatch.chdir(tmp_path)
    folder = train_model(table, tmp_path / "m", *options)
    usual = xtalshift("predict", folder, "NaCl", "GaN", "-o", tmp_path / "usual.csv")
    assert usual.code == 0, usual.err
    found = load_model(folder).card.provenance["pretrained"]
    assert (found["encoder"], found["seen"]) == (first.card.arrays_sha256, 20)
    # as on another machine
    shutil.rmtree(place)
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "model")
    shutil.rmtree(folder)
    monkeypatch.chdir("/")
    again = tmp_path / "again.csv"
    assert xtalshift("predict", copy, "NaCl", "GaN", "-o", again).code == 0
    assert again.read_text() == (tmp_path / "usual.csv").read_text()
    encoder = encoder_of(load_model(copy).featurizer)
    assert encoder.knows([names[0], names[20]]).tolist() == [True, False]
    # the commands that start from a model
    labels = tmp_path / "labels.csv"
    region = [f"{a}{b}" for a in ("Rb", "Cs", "Sr") for b in ("S", "Se", "Te", "Br", "I")]
    region = [name for name in region if name not in names] + names[:1]
    rows = [f"{name},{1 + number % 4}" for number, name in enumerate(region)]
    labels.write_text("\n".join(["formula,gap", *rows]))
    done = xtalshift("adapt", copy, labels, "-o", tmp_path / "adapted")
    assert done.code == 0, done.err
    assert f"1 of {len(region)} materials were seen by the encoder" in done.err
    labels.write_text("\n".join(["formula,gap", *rows[:-1]]))
    done = xtalshift("calibrate", copy, labels, "-o", tmp_path / "calibrated")
    assert done.code == 0, done.err
    labels.write_text("formula\n" + "\n".join(f"Mn{name}" for name in region))
    for model in (copy, tmp_path / "adapted", tmp_path / "calibrated"):
        done = xtalshift("suggest", model, labels, "-n", "2", "--toward", "high")
        assert done.code == 0, done.err
        done = xtalshift("screen", model, labels, "-o", tmp_path / "screened", "--overwrite")
        assert done.code == 0, done.err
        saved = encoder_of(load_model(model).featurizer)
        assert saved.card == first.card


def test_a_model_of_an_earlier_version_needs_the_folder_of_its_encoder(xtalshift, table, tmp_path):
    place = tmp_path / "encoder"
    first = write_toy_encoder(place)
    folder = train_model(table, tmp_path / "m", "--features", f"fractions+pretrained:{place}")
    new = xtalshift("predict", folder, "NaCl")
    as_version_4(folder, f"fractions+pretrained:{place}", first.card.arrays_sha256)
    old = xtalshift("predict", folder, "NaCl")
    assert (old.code, old.out) == (0, new.out)
    load_model(folder).save(tmp_path / "saved again")
    write_toy_encoder(place, seed=1)
    other = xtalshift("predict", folder, "NaCl")
    assert other.code == 1
    assert f"trained with the encoder {first.label}" in other.err
    remedy = "put that encoder there and save the model again, or train it again"
    assert remedy in other.err
    shutil.rmtree(place)
    gone = xtalshift("predict", folder, "NaCl")
    assert gone.code == 1
    assert "does not contain its encoder" in gone.err
    assert f"{place} holds no encoder" in gone.err
    assert remedy in gone.err
    again = xtalshift("predict", tmp_path / "saved again", "NaCl")
    assert (again.code, again.out) == (0, new.out)


def as_version_4(folder, features, encoder):
    """Write a model as version 4 of the format had it: it names the folder of its encoder."""
    (path,) = folder.glob("arrays-*")
    arrays = load_file(path)
    path.unlink()
    content = save({n: array for n, array in arrays.items() if not n.startswith("encoder.")})
    description = json.loads((folder / "model.json").read_text())
    del description["sha256"], description["encoder"]
    digest = hashlib.sha256(content).hexdigest()
    description |= {"format_version": 4, "arrays_sha256": digest}
    description["pipeline"] |= {"features": features, "encoder": encoder}
    description["sha256"] = hash_described(description)
    (folder / "model.json").write_text(json.dumps(description))
    (folder / f"arrays-{digest[:16]}.safetensors").write_bytes(content)


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
