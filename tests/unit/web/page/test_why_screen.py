"""The screen that says why a formula is predicted as it is."""

import re

import pytest

from xtalshift.model import load_model

EVIL = "<script>alert(1)</script>"


def text_of(html):
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def test_the_screen_shows_the_explanation_of_the_package(client, models):
    answer = client.get("/models/gaps/why?formula=NaCl")
    assert answer.status_code == 200
    text = text_of(answer.text)
    (own,) = load_model(models / "gaps").explain(["NaCl"])
    assert f"Mean of {own.compared} training materials" in text
    for title in ("Why NaCl", "Elements", "Kinds of features", "Single features"):
        assert title in text
    for part in own.elements:
        sign = "+" if part.contribution >= 0 else "−"
        assert f"{part.name} " in text
        assert sign in text
    widths = [float(found) for found in re.findall(r"; width: ([\d.]+)%", answer.text)]
    starts = [float(found) for found in re.findall(r"margin-left: ([\d.]+)%", answer.text)]
    assert max(widths) == 50.0
    assert all(
        0 <= start <= start + width <= 100 for start, width in zip(starts, widths, strict=True)
    )
    for swap in own.substitutions:
        assert f"/models/gaps/why?formula={swap.result.formula}" in answer.text
    assert "<script>" not in answer.text.replace("<script src", "")


def test_columns_classes_and_several_targets(client):
    blank = client.get("/models/warm/why")
    assert 'name="with-temperature"' in blank.text
    found = client.get("/models/warm/why?formula=NaCl&with-temperature=300")
    assert "temperature" in text_of(found.text)
    swap = re.search(r'href="(/models/warm/why\?formula=[^"]*)"', found.text)[1]
    assert "with-temperature=300" in swap
    assert client.get(swap.replace("&amp;", "&")).status_code == 200
    missing = client.get("/models/warm/why?formula=NaCl")
    assert missing.status_code == 200
    assert "The model needs temperature besides the formula." in text_of(missing.text)
    assert "Elements" not in missing.text
    low = client.get("/models/kinds/why?formula=NaCl&class=low")
    assert "is low:" in text_of(low.text)
    assert "<option selected>low</option>" in low.text
    both = client.get("/models/both/why?formula=NaCl")
    assert both.text.count('class="why-said"') == 2


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/models/gap/why?formula=NaCl", 404, "did you mean"),
        ("/models/gaps/why?formula=Xx", 422, "unknown element"),
        ("/models/gaps/why?formula=NaCl&class=low", 422, "the model predicts numbers"),
        ("/models/gaps/why?formula=NaCl&level=high", 422, "Level of the intervals: "),
        ("/models/gaps/why?level=high", 422, "Level of the intervals: "),
        (f"/models/gaps/why?formula={EVIL}", 422, "formula "),
    ],
)
def test_what_is_wrong_is_said_on_the_page(client, address, status, words):
    answer = client.get(address)
    assert (answer.status_code, words in answer.text) == (status, True), text_of(answer.text)
    assert EVIL not in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_predicted_rows_lead_to_it(client):
    sent = client.post("/models/gaps/predictions", data={"formulas": "NaCl\nK0.5Na0.5NbO3"})
    rows = client.get(sent.headers["location"]).text
    links = re.findall(r'href="(/models/gaps/why[^"]*)"', rows)
    assert [one.replace("&amp;", "&") for one in links] == [
        "/models/gaps/why?formula=NaCl&level=0.9",
        "/models/gaps/why?formula=K0.5Na0.5NbO3&level=0.9",
    ]
    assert client.get(links[1].replace("&amp;", "&")).status_code == 200
