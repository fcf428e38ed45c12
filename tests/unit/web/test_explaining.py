"""Explanations over HTTP are those of the package."""

import pytest

from unit.web.conftest import open_client
from xtalshift.model import load_model, load_models
from xtalshift.web.explaining import ExplainRequest, explain_formulas
from xtalshift.web.predicting import ExplanationLimits
from xtalshift.web.problems import RequestError
from xtalshift.web.settings import ServeConfig

GAPS = "/api/v1/models/gaps/explain"


def test_the_answer_is_that_of_the_package(client, models):
    asked = {"formulas": ["NaCl", "Xx"], "level": 0.5, "substitutions": 1}
    answer = client.post(GAPS, json=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    own = load_model(models / "gaps").explain(["NaCl", "Xx"], level=0.5, substitutions=1)
    assert (found["model"], found["level"]) == ("gaps", 0.5)
    for one, wanted in zip(found["explanations"], own, strict=True):
        assert one["reason"] == wanted.reason
        assert one["value"] == (None if wanted.reason else wanted.value)
        names = [(part["name"], part["contribution"]) for part in one["elements"]]
        assert names == [(part.name, part.contribution) for part in wanted.elements]
    parts = found["explanations"][0]
    total = parts["base"] + sum(part["contribution"] for part in parts["families"])
    assert total == pytest.approx(parts["value"], abs=1e-6)


def test_several_targets_classes_and_columns(client, models):
    both = client.post("/api/v1/models/both/explain", json={"formulas": ["NaCl", "GaN"]}).json()
    order = [(one["formula"], one["target"]) for one in both["explanations"]]
    targets = [one.card.target_name for one in load_models(models / "both").models.values()]
    assert order == [(formula, target) for formula in ("NaCl", "GaN") for target in targets]
    kinds = client.post(
        "/api/v1/models/kinds/explain", json={"formulas": ["NaCl"], "class": "low"}
    ).json()["explanations"][0]
    assert (kinds["label"], kinds["scale"]) == ("low", "log odds")
    warm = {"formulas": ["NaCl"], "with": {"temperature": 300}, "substitutions": 0}
    found = client.post("/api/v1/models/warm/explain", json=warm).json()["explanations"][0]
    assert {part["kind"] for part in found["elements"]} == {"element", "proportions", "column"}


@pytest.mark.parametrize(
    ("path", "asked", "status", "words"),
    [
        (GAPS, {"formulas": ["NaCl"] * 21}, 413, "21 formulas; at most 20"),
        (GAPS, {"formulas": []}, 422, "formulas"),
        (GAPS, {"formulas": ["NaCl"], "substitutions": 99}, 422, "substitutions"),
        (GAPS, {"formulas": ["NaCl"], "class": "low"}, 422, "the model predicts numbers"),
        (GAPS, {"formulas": ["Xx"]}, 422, "formula 'Xx': unknown element 'Xx'"),
        (GAPS, {"formulas": ["NaCl", "Xx"], "strict": True}, 422, "unknown element"),
        (GAPS, {"formulas": ["NaCl"], "explain": True}, 422, "explain"),
        ("/api/v1/models/warm/explain", {"formulas": ["NaCl"]}, 422, "needs temperature"),
        ("/api/v1/models/gap/explain", {"formulas": ["NaCl"]}, 404, "did you mean 'gaps'"),
    ],
)
def test_careless_requests_are_told_what_to_do(client, path, asked, status, words):
    answer = client.post(path, json=asked)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


def test_explanations_are_json_only(client):
    answer = client.post(GAPS, json={"formulas": ["NaCl"]}, headers={"Accept": "text/csv"})
    assert (answer.status_code, "explanations are application/json" in answer.text) == (406, True)


def test_an_explanation_takes_no_longer_than_other_requests(models, tmp_path):
    with open_client(models, tmp_path, max_seconds=1e-9) as client:
        found = client.post(GAPS, json={"formulas": ["NaCl"]})
        said = "; ask for one formula at a time, and for fewer substitutions"
        assert (found.status_code, found.json()["detail"]) == (
            503, f"the explanation took more than 1e-09 s{said}"
        )  # fmt: skip
        page = client.get("/models/gaps/why?formula=NaCl")
        assert (page.status_code, "the explanation took more than" in page.text) == (503, True)


def test_an_explanation_ends_soon_if_the_client_goes(models):
    limits = ExplanationLimits(ServeConfig())
    limits.gone.set()
    with pytest.raises(RequestError, match="the client has closed the connection"):
        explain_formulas(load_model(models / "gaps"), ExplainRequest(formulas=("NaCl",)), limits)
