"""Predictions over HTTP: the same numbers as from the model, in every form, within limits."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from starlette.requests import Request

from unit.web.conftest import open_client
from xtalshift.errors import FormulaError
from xtalshift.jobs.predict import predict_file
from xtalshift.model import load_model, load_models
from xtalshift.model.several_tables import SeveralPredictor
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.web.model_routes import Turns, while_connected
from xtalshift.web.predicting import Limits, PredictRequest, predict_formulas
from xtalshift.web.problems import RequestError
from xtalshift.web.settings import ServeConfig

PREDICT = "/api/v1/models/gaps/predict"
FORMULAS = ["GaN", "LiFePO4", "Xx"]
PARQUET = "application/vnd.apache.parquet"


def expected(models: Path, level: float = 0.9) -> pd.DataFrame:
    return load_model(models / "gaps").predict(FORMULAS, level=level).frame


def as_frame(answer) -> pd.DataFrame:
    return pd.DataFrame(answer.json()["predictions"])


def test_formulas_as_json(client, models):
    answer = client.post(PREDICT, json={"formulas": FORMULAS, "level": 0.5})
    assert answer.status_code == 200
    head = {key: value for key, value in answer.json().items() if key != "predictions"}
    assert head == {"model": "gaps", "target": "gap", "unit": "eV", "level": 0.5}
    pd.testing.assert_frame_equal(
        as_frame(answer), expected(models, 0.5), check_exact=True, check_dtype=False
    )


def test_formulas_as_csv_and_parquet(client, models):
    asked = {"formulas": FORMULAS}
    text = client.post(PREDICT, json=asked, headers={"Accept": "text/csv"})
    assert text.headers["content-type"].startswith("text/csv")
    assert text.text == expected(models).to_csv(index=False)
    packed = client.post(PREDICT, json=asked, headers={"Accept": PARQUET})
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(packed.content)), expected(models))


def test_classes_have_the_columns_of_the_command(client, models):
    own = load_model(models / "kinds").predict(FORMULAS).frame
    path = "/api/v1/models/kinds/predict"
    found = client.post(path, json={"formulas": FORMULAS}, headers={"Accept": PARQUET})
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(found.content)), own)
    assert {"probability_low", "probability_high"} <= set(own)
    sent = client.post(path, content="formula\nGaN\n", headers={"Content-Type": "text/csv"})
    assert sent.text.splitlines()[1].startswith(f"GaN,{own['prediction'][0]},")
    wrong = client.post(path, json={"formulas": ["GaN"], "intervals": "family"})
    assert (wrong.status_code, "is for numbers" in wrong.text) == (422, True)


def test_several_targets_have_a_column_each(client, models, table, tmp_path):
    both = load_models(models / "both")
    own = both.predict(FORMULAS, level=0.5).frame
    path = "/api/v1/models/both/predict"
    asked = {"formulas": FORMULAS, "level": 0.5}
    answer = client.post(path, json=asked)
    head = {key: value for key, value in answer.json().items() if key != "predictions"}
    assert head == {"model": "both", "targets": {"gap": "eV", "double": "meV"}, "level": 0.5}
    pd.testing.assert_frame_equal(as_frame(answer), own, check_exact=True, check_dtype=False)
    assert own["prediction_double"][0] == pytest.approx(2 * own["prediction_gap"][0])
    packed = client.post(path, json=asked, headers={"Accept": PARQUET})
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(packed.content)), own)
    predict_file(SeveralPredictor.of(both), table, tmp_path / "own.csv")
    found = client.post(path, content=table.read_bytes(), headers={"Content-Type": "text/csv"})
    assert found.content == (tmp_path / "own.csv").read_bytes()
    assert "joint_lower_double" in found.text.splitlines()[0]
    sent = {"Content-Type": "text/csv"}
    wrong = client.post(f"{path}?intervals=weighted", content=table.read_bytes(), headers=sent)
    assert (wrong.status_code, "is for one target" in wrong.text) == (422, True)


def test_further_columns_have_one_value(client, models):
    name = "/api/v1/models/warm/predict"
    found = client.post(name, json={"formulas": ["GaN"], "with": {"temperature": 300}})
    model = load_model(models / "warm").predict(["GaN"], [[300.0]])
    assert found.json()["predictions"][0]["prediction"] == model.prediction[0]
    missing = client.post(name, json={"formulas": ["GaN"]})
    assert missing.status_code == 422
    assert missing.json()["detail"] == (
        "the model needs temperature besides the formula: give --with temperature=VALUE"
    )


@pytest.mark.parametrize("answer", ["text/csv", PARQUET, "application/json"])
@pytest.mark.parametrize("sent", ["text/csv", PARQUET])
def test_a_table_keeps_its_columns_and_rows(client, models, sent, answer):
    rows = pd.DataFrame({"formula": ["GaN", "nonsense", "LiFePO4"], "note": ["=1+1", "-2", "a"]})
    body = rows.to_csv(index=False).encode() if sent == "text/csv" else rows.to_parquet()
    found = client.post(
        f"{PREDICT}?level=0.5", content=body, headers={"Content-Type": sent, "Accept": answer}
    )
    assert (found.headers["xtalshift-rows"], found.headers["xtalshift-bad-rows"]) == ("3", "1")
    if answer == "application/json":
        frame = as_frame(found)
    elif answer == PARQUET:
        frame = pd.read_parquet(io.BytesIO(found.content))
    else:
        frame = pd.read_csv(io.BytesIO(found.content), keep_default_na=False, dtype=str)
        assert frame["note"].tolist() == ["'=1+1", "-2", "a"]  # a spreadsheet runs neither
    assert frame["formula"].tolist() == rows["formula"].tolist()
    model = load_model(models / "gaps").predict(["GaN", "LiFePO4"], level=0.5)
    for name in ("prediction", "lower", "upper"):
        values = np.array([float("nan" if cell in {"", None} else cell) for cell in frame[name]])
        np.testing.assert_array_equal(values[[0, 2]], getattr(model, name))
        assert np.isnan(values[1])
    assert frame["status"].tolist() == ["ok", "error", "ok"]


def test_a_table_is_what_the_command_writes(client, models, table, tmp_path):
    predict_file(TablePredictor(load_model(models / "gaps")), table, tmp_path / "out.csv")
    found = client.post(PREDICT, content=table.read_bytes(), headers={"Content-Type": "text/csv"})
    assert found.content == (tmp_path / "out.csv").read_bytes()


def test_options_of_reading_stand_in_the_query(client):
    text = b"stoff;T\nGaN;1,5\n"
    query = "formula_col=stoff&separator=semicolon&decimal=,"
    found = client.post(f"{PREDICT}?{query}", content=text, headers={"Content-Type": "text/csv"})
    assert found.status_code == 200, found.text
    assert found.text.splitlines()[1].startswith('GaN,"1,5",8.68')


def test_nothing_of_a_request_stays(client, table, tmp_path):
    headers = {"Content-Type": "text/csv"}
    client.post(PREDICT, content=table.read_bytes(), headers=headers)
    client.post(PREDICT, content=b"no,table\n", headers=headers)
    client.post(PREDICT, json={"formulas": ["GaN"]}, headers={"Accept": PARQUET})
    assert list((tmp_path / "store" / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"formulas": []}, 422, "setting 'formulas' = []"),
        ({"formulas": ["GaN"], "levels": 0.9}, 422, "did you mean 'level'?"),
        ({"formulas": ["GaN"], "level": 1.5}, 422, "setting 'level' = 1.5"),
        ({"formulas": ["GaN"], "with": {"T": 1}}, 422, "the model has no such feature column"),
        ([], 422, "send a JSON object"),
        ({"formulas": ["GaN"] * 5}, 413, "5 formulas; at most 4 are taken as JSON"),
    ],
)
def test_wrong_requests(models, tmp_path, body, status, said):
    with open_client(models, tmp_path / "store", max_formulas=4) as client:
        found = client.post(PREDICT, json=body)
    assert found.status_code == status
    assert found.headers["content-type"] == "application/problem+json"
    assert said in found.json()["detail"]


def test_a_strict_error_names_row_and_value(client):
    found = client.post(PREDICT, json={"formulas": ["GaN", "Xx"], "strict": True})
    problem = found.json()
    assert (problem["status"], problem["title"]) == (422, "FormulaError")
    assert (problem["row"], problem["value"]) == (2, "Xx")
    assert problem["detail"].startswith("row 2: Xx: formula 'Xx': unknown element")
    sent = {"Content-Type": "text/csv"}
    found = client.post(f"{PREDICT}?strict=true", content="formula\nGaN\nXx\n", headers=sent)
    assert (found.json()["row"], found.json()["title"]) == (2, "FormulaError")
    assert problem["remedy"] == found.json()["remedy"] == "use IUPAC symbols"


def test_a_message_tells_no_path_of_the_server(client, tmp_path):
    found = client.post(PREDICT, content="frmula\nGaN\n", headers={"Content-Type": "text/csv"})
    assert found.status_code == 422
    assert found.json()["detail"].startswith("table.csv: no formula column")
    assert str(tmp_path) not in found.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/pickle"}, 415),
        ({"Content-Type": "application/x-python-pickle"}, 415),
        ({"Content-Type": "text/csv", "Accept": "image/png"}, 406),
    ],
)
def test_types_that_are_not_taken(client, headers, status):
    assert client.post(PREDICT, content=b"formula\nGaN\n", headers=headers).status_code == status


def test_a_table_has_a_limit_of_rows_and_of_bytes(models, tmp_path):
    body = b"formula\n" + b"GaN\n" * 30_000
    sent = {"Content-Type": "text/csv"}
    with open_client(models, tmp_path / "a", max_rows=20_000) as client:
        found = client.post(PREDICT, content=body, headers=sent)
    assert (found.status_code, "more than 20,000 rows" in found.text) == (413, True)
    with open_client(models, tmp_path / "b", max_body_mb=0.1) as client:
        assert client.post(PREDICT, content=body, headers=sent).status_code == 413
        pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
        assert client.post(PREDICT, content=pieces, headers=sent).status_code == 413
        assert list((tmp_path / "b" / "scratch").iterdir()) == []
    with open_client(models, tmp_path / "c", max_disk_mb=0.01) as client:
        found = client.post(PREDICT, content=body, headers=sent)
    assert (found.status_code, found.json()["title"]) == (507, "RequestError")


def test_a_prediction_has_a_limit_of_time():
    limits = Limits(ServeConfig(max_seconds=600), began=time.monotonic() - 700)
    with pytest.raises(RequestError, match="more than 600 s, of which 5 rows") as refused:
        limits.advance(5)
    assert refused.value.status == 503


def test_formulas_are_predicted_some_at_a_time(client, models, monkeypatch):
    monkeypatch.setattr("xtalshift.web.predicting._AT_ONCE", 2)
    formulas = ["GaN", "Xx", "NaCl", "LiFePO4", "yy"]
    limits = Limits(ServeConfig())
    asked = PredictRequest(formulas=formulas)
    model = load_model(models / "gaps")
    found = predict_formulas(model, asked, limits)
    assert (limits.rows, len(found.parts)) == (5, 3)
    pd.testing.assert_frame_equal(found.frame, model.predict(formulas).frame)
    assert [row["formula"] for row in found.rows()] == formulas
    with pytest.raises(FormulaError, match="row 2: Xx"):
        predict_formulas(model, asked.model_copy(update={"strict": True}), limits)
    limits.gone.set()
    with pytest.raises(RequestError, match="the client has closed"):
        predict_formulas(model, asked, limits)


def test_the_time_to_wait_for_a_turn_does_not_count(client):
    limits = Limits(ServeConfig(max_seconds=600), began=time.monotonic() - 700)
    request = Request({"type": "http"})
    client.portal.call(while_connected, request, limits.advance, limits)
    assert limits.rows == 1


def test_nobody_predicts_for_a_client_that_has_gone():
    limits = Limits(ServeConfig())
    limits.advance()
    limits.gone.set()
    with pytest.raises(RequestError, match="the client has closed the connection"):
        limits.advance()


def test_cells_name_no_files_of_the_server(client, tmp_path):
    (tmp_path / "secret.cif").write_text("data_secret\n")
    body = f"structure\n{tmp_path / 'secret.cif'}\n"
    found = client.post(PREDICT, content=body, headers={"Content-Type": "text/csv"})
    assert "put the text of the structure file into the cell" in found.json()["detail"]
    found = client.post(f"{PREDICT}?structures={tmp_path}", content=body,
                        headers={"Content-Type": "text/csv"})  # fmt: skip
    assert (found.status_code, found.json()["title"]) == (422, "UsageError")


def test_too_many_predictions_are_told_to_wait():
    async def three_at_once():
        turns = Turns(ServeConfig(predictions=1, max_waiting=1))
        began, done = [], asyncio.Event()

        async def one(name):
            async with turns.turn():
                began.append(name)
                await done.wait()

        waiting = [asyncio.create_task(one(name)) for name in "ab"]
        await asyncio.sleep(0)
        with pytest.raises(RequestError, match="2 predictions run or wait") as refused:
            await one("c")
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
        assert began == ["a"]
        done.set()
        await asyncio.gather(*waiting)
        await one("c")
        return began

    assert asyncio.run(three_at_once()) == ["a", "b", "c"]
