"""Which models there are."""

from __future__ import annotations

import shutil

import pytest

from unit.web.conftest import open_client
from xtalshift.web.models import Shelf


def test_the_list_has_every_model_with_what_it_predicts(client):
    found = client.get("/api/v1/models").json()
    assert [one["name"] for one in found] == ["gaps", "kinds", "warm"]
    assert found[0] == {"name": "gaps", "target": "gap", "unit": "eV", "method": "ridge",
                        "source": "gaps.csv", "feature_cols": []}  # fmt: skip
    assert found[2]["feature_cols"] == ["temperature"]


def test_a_card(client):
    card = client.get("/api/v1/models/gaps").json()
    assert (card["target_name"], card["unit"], card["formula_col"]) == ("gap", "eV", "formula")
    assert card["provenance"]["data"]["rows"] == 60


def test_one_model_is_a_folder_of_models(models, tmp_path):
    with open_client(models / "warm", tmp_path / "store") as client:
        assert [one["name"] for one in client.get("/api/v1/models").json()] == ["warm"]


@pytest.mark.parametrize(
    "name", ["gap", "..", "../gaps", "%2e%2e%2fgaps", "/etc/passwd", "a" * 500]
)
def test_a_name_is_no_path(client, name):
    found = client.get(f"/api/v1/models/{name}")
    assert found.status_code == 404
    if name == "gap":
        assert "(did you mean 'gaps'?). Models: gaps, kinds, warm" in found.json()["detail"]


def test_a_damaged_model_does_not_hide_the_others(models, tmp_path):
    folder = shutil.copytree(models, tmp_path / "models")
    text = (folder / "gaps" / "model.json").read_text().replace("eV", "mV")
    (folder / "gaps" / "model.json").write_text(text)
    with open_client(folder, tmp_path / "store") as client:
        damaged, good, _ = client.get("/api/v1/models").json()
        problem = "gaps/model.json was altered: its content does not match its checksum. "
        assert damaged == {"name": "gaps", "problem": problem + "Save or copy the model again"}
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
