"""Which models there are."""

from __future__ import annotations

import shutil

import pytest

from unit.web.conftest import open_client
from xtalshift.model import load_model
from xtalshift.model.ready import get_recipe, is_shipped, list_recipes
from xtalshift.web.models import Shelf


def own_models(client):
    """Return the models that are not ready ones, as they are listed."""
    return [one for one in client.get("/api/v1/models").json() if not one["ready"]]


def test_the_list_has_every_model_with_what_it_predicts(client):
    found = own_models(client)
    assert [one["name"] for one in found] == ["both", "gaps", "kinds", "warm"]
    assert found[1] == {"name": "gaps", "target": "gap", "unit": "eV", "method": "ridge",
                        "source": "gaps.csv", "feature_cols": [], "ready": False}  # fmt: skip
    assert found[3]["feature_cols"] == ["temperature"]
    several = [{"target": "gap", "unit": "eV"}, {"target": "double", "unit": "meV"}]
    assert found[0] == {
        **{key: value for key, value in found[1].items() if key not in {"target", "unit"}},
        "name": "both",
        "targets": several,
    }


def test_ready_models_are_served_by_all_their_names(models, tmp_path):
    shipped = [name for name in list_recipes() if is_shipped(get_recipe(name))]
    with open_client(None, tmp_path / "a") as client:
        found = client.get("/api/v1/models").json()
        assert [one["name"] for one in found] == sorted(shipped)
        assert {one["ready"] for one in found} == {True}
        asked = {"formulas": ["PbTe"], "level": 0.5}
        for name in ("seebeck", "seebeck-p"):  # one is another name of the other
            answer = client.post(f"/api/v1/models/{name}/predict", json=asked).json()
            own = load_model("seebeck").predict(["PbTe"], level=0.5)
            assert answer["unit"] == "uV/K"
            assert answer["predictions"][0]["prediction"] == own.prediction[0]
        wrong = client.get("/api/v1/models/seebek-p")
        assert "did you mean 'seebeck-p'" in wrong.json()["detail"]
    folder = tmp_path / "models"
    shutil.copytree(models / "gaps", folder / "seebeck")
    shutil.copytree(models / "gaps", folder / "band-gap")
    with open_client(folder, tmp_path / "b") as client:
        assert client.get("/api/v1/models/seebeck").json()["source"] == "gaps.csv"
        assert client.get("/api/v1/models/band-gap").json()["source"] == "gaps.csv"
        assert client.get("/api/v1/models/seebeck-p").json()["source"] == "ricci_seebeck"
        assert [one["name"] for one in own_models(client)] == ["band-gap", "seebeck"]


def test_a_card(client):
    card = client.get("/api/v1/models/gaps").json()
    assert (card["target_name"], card["unit"], card["formula_col"]) == ("gap", "eV", "formula")
    assert card["provenance"]["data"]["rows"] == 60
    cards = client.get("/api/v1/models/both").json()["targets"]
    assert {name: one["unit"] for name, one in cards.items()} == {"gap": "eV", "double": "meV"}


def test_one_model_is_a_folder_of_models(models, tmp_path):
    with open_client(models / "warm", tmp_path / "store") as client:
        assert [one["name"] for one in own_models(client)] == ["warm"]


@pytest.mark.parametrize(
    "name", ["gap", "..", "../gaps", "%2e%2e%2fgaps", "/etc/passwd", "a" * 500]
)
def test_a_name_is_no_path(client, name):
    found = client.get(f"/api/v1/models/{name}")
    assert found.status_code == 404
    if name == "gap":
        detail = found.json()["detail"]
        assert "(did you mean 'gaps'?). Models: band-gap, both, formation-energy, gaps, " in detail


def test_a_damaged_model_does_not_hide_the_others(models, tmp_path):
    folder = shutil.copytree(models, tmp_path / "models")
    text = (folder / "gaps" / "model.json").read_text().replace("eV", "mV")
    (folder / "gaps" / "model.json").write_text(text)
    with open_client(folder, tmp_path / "store") as client:
        damaged, good = (one for one in client.get("/api/v1/models").json()
                         if one["name"] in {"gaps", "kinds"})  # fmt: skip
        problem = "gaps/model.json was altered: its content does not match its checksum; "
        remedy = "save or copy the model again, or train it again"
        assert damaged == {"name": "gaps", "problem": problem + remedy}
        assert good["name"] == "kinds"
        found = client.post("/api/v1/models/gaps/predict", json={"formulas": ["GaN"]})
        assert (found.status_code, found.json()["title"]) == (409, "ModelFormatError")


def test_a_model_is_loaded_once_and_again_when_it_changes(models, tmp_path):
    folder = shutil.copytree(models, tmp_path / "models")
    shelf = Shelf(folder)
    first = shelf.load("gaps")
    assert shelf.load("gaps") is first
    shutil.rmtree(folder / "gaps")
    shutil.copytree(models / "warm", folder / "gaps")
    assert shelf.load("gaps").card.feature_cols == ("temperature",)
