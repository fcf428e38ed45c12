"""The screens of a model and of its predictions."""

from __future__ import annotations

import io
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from unit.web.conftest import open_client
from unit.web.test_job_kinds import CIF, archive
from xtalshift.errors import NotFoundError
from xtalshift.model import load_model, load_models
from xtalshift.web.drawn_structures import DrawnStructures
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.page.coverage import coverage_of
from xtalshift.web.prediction_store import PredictionStore

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def served(models, tmp_path_factory):
    """Yield a client of an application whose jobs never begin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobRunner, "start", lambda _: None)
        patch.setattr(JobRunner, "stop", lambda _: None)
        with open_client(models, tmp_path_factory.mktemp("screens"), max_unpacked_mb=1) as client:
            yield client


def predict(client, name, formulas="", file=None, **fields):
    files = {"table": file or ("", b"")}
    return client.post(
        f"/models/{name}/predictions", data={"formulas": formulas, **fields}, files=files
    )


def words(found):
    """Return the text of a screen, without its elements."""
    return " ".join(re.sub("<[^>]*>", " ", found.text).split())


def test_the_card_says_what_the_model_is_and_what_it_has_seen(served, models):
    found = served.get("/models/gaps")
    assert found.status_code == 200
    said = words(found)
    for text in ("Predicts gap in eV", "gaps.csv, 60 materials", "Method ridge", "materials of a"):
        assert text in said or text == "materials of a", text
    known = coverage_of(load_model(models / "gaps"))
    assert known.materials == len(load_model(models / "gaps").domain.formulas_)
    oxides = sum("O" in one for one in load_model(models / "gaps").domain.formulas_)
    assert (known.elements["O"].materials, known.elements["Po"].shade) == (oxides, 0)
    assert sum(one.shade for one in known.elements.values()) > 0
    chosen = served.get("/models/gaps", params={"element": "O"}).text
    assert f"<b>O</b> (atomic number 8): {oxides} training materials" in chosen
    part = served.get("/models/gaps/elements/Po")
    assert "no training material has it" in part.text
    assert served.get("/models/gaps/elements/Xx").status_code == 404
    for name in ("both", "kinds", "warm"):
        assert served.get(f"/models/{name}").status_code == 200


def test_a_ready_model_shows_its_errors_beside_the_constant(served):
    said = words(served.get("/models/metal"))
    assert "Materials like the training data" in said
    assert "A constant:" in said
    assert "(log loss)" in said
    assert served.get("/models/nothing").status_code == 404


def test_typed_formulas_become_rows_with_reasons(served, models):
    sent = predict(served, "gaps", f"GaN\n\nXx\nPo2O3\n{EVIL}\n", level="0.8")
    assert sent.status_code == 303, words(sent)
    place = sent.headers["location"]
    found = served.get(place)
    said = words(found)
    own = load_model(models / "gaps").predict(["GaN"], level=0.8)
    assert f"{own.prediction[0]:.3g}" in said
    assert "80 % interval" in said
    assert EVIL not in found.text
    # what to doubt is read before the value
    row = found.text[found.text.index(">Po2O3<") :]
    assert row.index("outside") < row.index("new elements: Po") < row.index('class="num value"')
    assert "2 could not be read" in said
    assert "unknown element 'Xx' at character 1" in said.replace("&#39;", "'")
    assert "use IUPAC symbols" in said
    only = words(served.get(place, params={"domain": "out"}))
    assert "Po2O3" in only
    assert "row 1" not in only
    assert "No row fits" in words(served.get(place, params={"q": "zzz"}))

    csv = served.get(f"{place}/download.csv")
    table = pd.read_csv(io.BytesIO(csv.content))
    assert len(table) == 4
    np.testing.assert_allclose(table["prediction"][0], own.prediction[0], rtol=1e-12)
    assert served.get(f"{place}/download.parquet").content[:4] == b"PAR1"
    page = served.get(f"{place}/download.html")
    assert "attachment" in page.headers["content-disposition"]
    assert "/static/" not in page.text
    assert "Po2O3" in page.text
    figure = served.get(f"{place}/figures.json").json()["figures"][0]
    assert sum(len(one["x"]) for one in figure["data"]) == 2
    data = pd.read_csv(io.StringIO(served.get(f"{place}/figures/{figure['id']}").text))
    assert len(data) == 2
    assert served.get(f"{place}/figures/x").status_code == 404
    assert served.get(f"{place}/download.exe").status_code == 404
    assert served.get(place.replace("gaps", "kinds")).status_code == 404
    assert served.get("/models/gaps/predictions/prediction-0").status_code == 404


def test_another_level_predicts_the_same_rows_again(served, models):
    place = predict(served, "warm", "GaN\nAlN", **{"with-temperature": "300"}).headers["location"]
    again = served.post(f"{place}/again", data={"level": "0.5"})
    assert again.status_code == 303
    table = pd.read_csv(io.BytesIO(served.get(f"{again.headers['location']}/download.csv").content))
    own = load_model(models / "warm").predict(["GaN", "AlN"], np.full((2, 1), 300.0), level=0.5)
    np.testing.assert_allclose(table["upper"], own.upper, rtol=1e-12)
    assert "50 % interval" in words(served.get(again.headers["location"]))
    assert served.post(f"{place}/again", data={"level": "7"}).status_code == 422


def test_rows_are_sorted_and_shown_some_at_a_time(served, table):
    sent = predict(served, "gaps", file=("gaps.csv", table.read_bytes()))
    place = sent.headers["location"]
    found = served.get(place, params={"sort": "prediction", "order": "down"})
    first = re.findall(r'class="num value"[^>]*>([\d.]+)<', found.text)
    assert len(first) == 50
    assert [float(one) for one in first] == sorted(map(float, first), reverse=True)
    assert 'aria-sort="descending"' in found.text
    second = served.get(place, params={"page": "2"})
    assert len(re.findall('class="num value"', second.text)) == 10
    assert "Page 2 of 2" in words(second)
    for odd in ("-1", "99999999999", "x", "٣"):
        assert served.get(place, params={"page": odd, "sort": EVIL}).status_code == 200


def test_classes_and_several_targets(served, models):
    said = words(served.get(predict(served, "kinds", "GaN").headers["location"]))
    model = load_model(models / "kinds").predict(["GaN"])
    share = float(model.probabilities[0].max())
    assert f"{round(100 * share)} %" in said
    assert "90 % set" in said
    both = words(served.get(predict(served, "both", "GaN").headers["location"]))
    own = load_models(models / "both").predict(["GaN"])
    assert f"{own['double'].prediction[0]:.3g}" in both
    assert "Domain: double" in both


def test_crystals_are_drawn(served, monkeypatch):
    file = ("crystals.zip", archive("zip", {"NaCl.cif": CIF, "bad.cif": "nothing"}))
    place = predict(served, "gaps", file=file).headers["location"]
    found = served.get(place)
    assert f'src="{place}/crystals/2"' in found.text or f'src="{place}/crystals/1"' in found.text
    drawn = [served.get(f"{place}/crystals/{row}") for row in (1, 2)]
    svg = next(one for one in drawn if one.status_code == 200)
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert "sandbox" in svg.headers["content-security-policy"]
    assert svg.text.startswith("<svg")
    assert served.get(f"{place}/crystals/3").status_code == 404
    monkeypatch.setattr("xtalshift.web.drawn_structures._read", lambda *_: 1 / 0)
    assert [served.get(f"{place}/crystals/{row}").text for row in (1, 2)] == [
        one.text for one in drawn
    ]  # the file is not read for each
    assert "<svg" in served.get(f"{place}/download.html").text


@pytest.mark.parametrize(
    ("formulas", "file", "said"),
    [
        ("", None, "nothing to predict; write formulas"),
        ("Xx", None, ""),
        ("", ("a.pdf", b"x"), "has a type that cannot be sent"),
        ("", ("a.csv", b""), "is empty"),
        ("", ("a.csv", b"a,b\n1,2\n"), "no formula column"),
        ("", ("a.csv", b"formula\nXx\n"), "no row of"),
        ("", ("a.zip", archive("zip", {"a.cif": "#" * 2_000_000})), "unpacks to more than 1 MB"),
    ],
)
def test_what_cannot_be_predicted_is_said_beside_the_form(served, formulas, file, said):
    found = predict(served, "gaps", formulas, file)
    if not said:  # a row that cannot be read is a row
        assert found.status_code == 303
        return
    assert (found.status_code, 'role="alert"' in found.text) in {(422, True), (413, True)}
    assert said in words(found).replace("&#39;", "'")


def test_old_predictions_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr("xtalshift.web.prediction_store.MOST_KEPT", 2)
    store, kept = PredictionStore(tmp_path, 0.004, lambda _: "one"), []
    for number in range(3):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        said = {"model": "m", "source": "", "file": ""}
        kept.append(store.add(scratch, lambda _: (1, 0), **said))
    assert len(list((tmp_path / "predictions").iterdir())) == 2
    assert store.get(kept[-1].id, "m").rows == 1
    scratch.mkdir()
    (scratch / "large").write_bytes(b"x" * 1000)  # with its notes more than a quarter of the store
    last = store.add(scratch, lambda _: (2, 0), **said)
    assert [one.name for one in (tmp_path / "predictions").iterdir()] == [last.id]


def test_few_structures_of_few_files_are_kept_for_drawings(tmp_path, monkeypatch):
    monkeypatch.setattr("xtalshift.web.drawn_structures.MOST_DRAWN", 3)
    monkeypatch.setattr("xtalshift.web.drawn_structures._BLOCK", 2)
    monkeypatch.setattr("xtalshift.web.drawn_structures._MOST_FILES", 1)
    drawn = DrawnStructures()
    for name in "ab":
        path = tmp_path / f"{name}.zip"
        path.write_bytes(archive("zip", {f"{n}.cif": CIF for n in range(6)}))
        assert drawn.find(path, 1)[1] == 0
        assert [len(one) for one in drawn._kept[path]] == [2]
        assert drawn.find(path, 3)[1] == 0
        assert [len(one) for one in drawn._kept[path]] == [2, 1]
    with pytest.raises(NotFoundError, match="there is no row 5"):
        drawn.find(path, 5)
    assert list(drawn._kept) == [path]


def test_what_is_deleted_meanwhile_is_not_found(served, monkeypatch):
    place = predict(served, "gaps", "GaN").headers["location"]
    get = PredictionStore.get

    def get_and_delete(store, id_, model):
        found = get(store, id_, model)
        shutil.rmtree(store.path(found).parent)  # as another request may do
        return found

    monkeypatch.setattr(PredictionStore, "get", get_and_delete)
    for method, path in (("POST", f"{place}/again"), ("GET", f"{place}/download.parquet")):
        place = predict(served, "gaps", "GaN").headers["location"]
        path = f"{place}/{path.rpartition('/')[2]}"
        found = served.request(method, path, data={"level": "0.5"} if method == "POST" else None)
        assert (found.status_code, "has been deleted meanwhile" in found.text) == (404, True)


def test_predictions_go_with_their_model(models, tmp_path):
    """A model may get the name of another one that was deleted: its predictions are not its."""
    folder = shutil.copytree(models, tmp_path / "models")
    with open_client(folder, tmp_path / "store") as client:
        place = predict(client, "gaps", "GaN").headers["location"]
        assert client.get(place).status_code == 200
        shutil.rmtree(folder / "gaps")
        shutil.copytree(models / "warm", folder / "gaps")
        found = client.get(place)
        assert (found.status_code, "was made by an earlier model" in found.text) == (404, True)
        assert client.get(f"{place}/download.csv").status_code == 404


def test_the_predictions_of_a_deleted_model_are_removed(tmp_path):
    there = {"old": "1", "new": "2"}
    store = PredictionStore(tmp_path, 1, lambda name: there[name])
    made = {}
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        made[name] = store.add(tmp_path / name, lambda _: (1, 0), model=name, source="", file="")
    there["old"] = "another"
    store.forget("old")
    store.forget("new")  # another model of this name is still there
    assert [one.name for one in (tmp_path / "predictions").iterdir()] == [made["new"].id]


def test_numbers_are_written_in_the_way_of_the_reader(served):
    place = predict(served, "gaps", "GaN").headers["location"]
    german = words(served.get(place, headers={"Accept-Language": "de"}))
    assert re.search(r"\d,\d\d to \d", german)
