"""Names of ready models lead to their folders, unless a folder has the name."""

import pytest

import xtalshift as xs
from xtalshift.errors import ModelFormatError, NotFoundError
from xtalshift.model.ready import get_recipe, is_shipped, list_recipes, model_folder
from xtalshift.model.ready.recipe import all_names

SHIPPED = [name for name in list_recipes() if is_shipped(get_recipe(name))]


def test_a_name_is_the_folder_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in SHIPPED:
        assert model_folder(name) == get_recipe(name).folder
    assert model_folder("seebeck") == model_folder("seebeck-p")


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seebeck-p").mkdir()
    assert str(model_folder("seebeck-p")) == "seebeck-p"
    with pytest.raises(ModelFormatError, match="seebeck-p is not a saved model"):
        xs.load_model("seebeck-p")


def test_paths_are_not_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("./seebeck-p", "runs/seebeck-p", tmp_path / "seebeck-p"):
        with pytest.raises(ModelFormatError, match=r"not a saved model: there is no model\.json"):
            xs.load_model(path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("seebck", "did you mean 'seebeck'?"),
        ("gap", "did you mean 'band-gap' or 'band-gap-measured'?"),
        ("Formation-Energy", "did you mean 'formation-energy'?"),
        ("shear_modulus", "did you mean 'shear-modulus'?"),
        ("zzz", "named 'zzz'. Name the folder"),
    ],
)
def test_another_name_is_an_error_with_the_nearest_one(name, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFormatError) as raised:
        xs.load_model(name)
    assert hint in str(raised.value)
    assert "shear-modulus" in str(raised.value)


def test_a_model_that_is_not_shipped_says_how_to_build_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFormatError) as raised:
        xs.load_model("band-gap-measured")
    assert "no licence is stated" in str(raised.value)
    assert "xtalshift models train band-gap-measured" in str(raised.value)


def test_recipes_are_found_by_all_their_names():
    assert get_recipe("power-factor").name == "power-factor-p"
    assert set(all_names()) > set(list_recipes())
    with pytest.raises(NotFoundError, match=r"did you mean 'seebeck-n'\?"):
        get_recipe("seebek-n")
