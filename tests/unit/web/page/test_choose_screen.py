"""The screen that chooses what is learned."""

from __future__ import annotations

import pytest

from unit.web.page.test_table_screen import EVIL, send
from xtalshift.errors import UsageError
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.web.page.choose_screen import Choices
from xtalshift.web.table_settings import TableSettings

TABLE = f"formula,gap,{EVIL}\nGaN,3.4,1\nPbTe,0.31,2\nZnO,3.3,3\n"
SAID = TableSettings(formula_col="compound", separator=";")


def test_choices_become_the_request_of_a_comparison():
    chosen = Choices(
        target="gap", unit="eV", task="regression", method="auto", minutes=2.5,
        expect=("family", "prior"), family=" Se+Te ", tail="low", name="mine", candidates="table-1",
    )  # fmt: skip
    asked = chosen.request("table-0", SAID)
    assert {name: asked[name] for name in asked if name != "settings"} == {
        "table": "table-0", "target": "gap", "unit": "eV", "name": "mine", "candidates": "table-1",
    }  # fmt: skip
    assert asked["settings"] == {
        "data.formula_col": "compound",
        "data.separator": ";",
        "data.task": "regression",
        "methods": ["dummy", "auto"],
        "split.schemes": ["random", "family", "prior"],
        "split.family": "Se+Te",
        "split.tail": "low",
        "minutes": 2.5,
    }
    again = Choices.of_request("run", asked)
    assert again == chosen.model_copy(update={"family": "Se+Te"})


def test_choices_become_the_request_of_a_training():
    chosen = Choices(target="gap", method="auto", minutes=5, expect=("family",), kind="train")
    asked = chosen.request("ricci_seebeck", TableSettings())
    assert asked == {
        "table": "ricci_seebeck", "target": "gap", "method": "auto", "minutes": 5.0, "settings": {}
    }  # fmt: skip
    assert Choices.of_request("train", asked).minutes == 5
    ridge = chosen.model_copy(update={"method": "ridge"}).request("ricci_seebeck", TableSettings())
    assert "minutes" not in ridge  # only auto keeps a budget; others refuse it


def test_the_settings_are_those_of_a_run():
    asked = Choices(target="gap", expect=("covariate", "prior", "family")).request("t", SAID)
    for name in asked["settings"]:
        if name.startswith("split."):
            assert name.removeprefix("split.") in RunConfig().split.to_dict() | {"family": 1}


@pytest.mark.parametrize(
    "wrong", [{"minutes": "-1"}, {"task": "x"}, {"tail": "up"}, {"transform": "x"}]
)
def test_what_cannot_be_chosen_is_an_error(wrong):
    with pytest.raises(UsageError, match=f"'{next(iter(wrong))}'"):
        Choices.from_dict(wrong)


def test_the_screen_offers_columns_methods_and_expectations(client):
    place = send(client, TABLE)
    text = client.get(f"{place}/new").text
    assert EVIL not in text
    for words in ("auto</b> (recommended)", "lightgbm", "Another family", "A sparse region"):
        assert words in text
    assert text.count('class="picture"') == 4
    assert '<option value="gap">' in text
    assert [one["name"] for one in client.get("/api/v1/methods").json()][:2] == ["dummy", "ridge"]


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({}, 422, "what should be predicted?"),
        ({"target": "gpa"}, 422, "did you mean &#39;gap&#39;?"),
        ({"target": "gap", "method": "magic"}, 422, "magic"),
        ({"target": "gap", "minutes": "soon"}, 422, "minutes"),
        ({"target": "gap", "name": EVIL}, 422, "name"),
        (
            {"target": "gap", "name": "gaps", "kind": "train"},
            409,
            "there is a model &#39;gaps&#39;",
        ),
        ({"target": "formula"}, 422, "has the formulas"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_chosen_stays(client, sent, status, said):
    place = send(client, TABLE)
    found = client.post(f"{place}/new", data={"unit": "meV", **sent})
    assert (found.status_code, said in found.text, EVIL in found.text) == (status, True, False)
    if "minutes" not in sent:
        assert 'value="meV"' in found.text
    assert [job["kind"] for job in client.get("/api/v1/jobs").json()] == ["check"]


def test_one_button_begins_the_work_and_its_choices_can_be_changed(client):
    place = send(client, TABLE)
    sent = {"target": "gap", "unit": "eV", "method": "ridge", "name": "mine", "expect": "prior",
            "transform": "clip"}  # fmt: skip
    found = client.post(f"{place}/new", data=sent)
    assert found.status_code == 303, found.text
    where = found.headers["location"]
    assert where.startswith("/jobs/run-")
    page = client.get(where).text
    assert "Measuring errors and making a model" in page
    again = client.get(f"{place}/new?job={where[6:]}").text
    assert 'value="mine"' in again
    assert 'value="prior" checked' in again
    assert 'value="family" checked' not in again
    assert '<option value="clip" selected>' in again
    client.post(f"{where}/cancel")
    settings = client.get(f"/api/v1{where}").json()["asked"]["settings"]
    assert settings["split.schemes"] == ["random", "prior"]
    assert settings["data.transform"] == "clip"


def test_a_data_set_of_the_package_needs_no_target(client):
    text = client.get("/tables/ricci_seebeck/new").text
    assert '<option value="S_p" selected>' in text
    assert 'value="uV/K"' in text


def test_a_refused_form_comes_back_as_it_was_typed_with_the_message_beside_the_field(client):
    place = send(client, TABLE)
    typed = {
        "target": "gap",
        "minutes": "a few",
        "name": "mine",
        "family": "Se+Te",
        "expect": "family",
    }
    found = client.post(f"{place}/new", data=typed)
    assert found.status_code == 422
    field = found.text.partition('id="minutes"')[2].partition("</div>")[0]
    assert 'value="a few" aria-invalid="true" aria-describedby="problem minutes-hint"' in field
    assert "Minutes for each training: &#39;a few&#39;: Input should be a valid number" in field
    assert found.text.count('role="alert"') == 1
    assert 'value="mine"' in found.text
    assert 'value="Se+Te"' in found.text
    assert 'value="family" checked' in found.text
    assert 'value="prior" checked' not in found.text


def test_a_list_of_new_materials_is_sent_with_the_choices(client):
    place = send(client, TABLE)
    files = {"list": ("new.csv", b"formula\nAlN\n")}
    found = client.post(f"{place}/new", data={"target": "gap", "minutes": "x"}, files=files)
    (sent,) = [one for one in client.get("/api/v1/tables").json() if one["name"] == "new.csv"]
    assert f'<option value="{sent["id"]}" selected>new.csv</option>' in found.text
    wrong = {"list": ("new.csv", b"%PDF-1.7")}
    refused = client.post(f"{place}/new", data={"target": "gap"}, files=wrong)
    assert "new.csv: it is a PDF document" in refused.text
