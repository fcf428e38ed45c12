"""The screen of what to measure next, with its jobs done in this process."""

from __future__ import annotations

import html
import json
import re
from types import SimpleNamespace

import pandas as pd
import pytest

from integration.tables import make_rows
from unit.web.conftest import open_client
from unit.web.page.test_model_screen import words
from xtalshift.jsonio import write_json
from xtalshift.web.job_requests import AdaptRequest
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.job_store import OUTCOME, TASK
from xtalshift.web.page.next_screen import NextScreen
from xtalshift.web.work import work

NEW = "\n".join(row[1] for row in make_rows(100)[60:])


@pytest.fixture(scope="module")
def served(models, tmp_path_factory):
    """Yield a client and the store of an application whose jobs begin when a test says so."""
    store = tmp_path_factory.mktemp("next")
    started = []

    def begin(runner):
        started.append(runner)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobRunner, "start", begin)
        patch.setattr(JobRunner, "stop", lambda _: None)
        with open_client(models, store) as client:
            client.runner = started[0]
            yield client, store


def job_of(answer):
    assert answer.status_code == 303, words(answer)
    return re.findall(r"(?:suggest|adapt)-[0-9a-f]{12}", answer.headers["location"])[-1]


def finish(client, store, id_, monkeypatch, outcome=None):
    """Do the work of a job, or leave an outcome, and let the server know."""
    folder = store / "jobs" / id_
    if outcome is None:
        monkeypatch.chdir(folder)
        work(folder, store)
    else:
        write_json(folder / OUTCOME, outcome)
    jobs = client.runner._jobs
    jobs.settle(jobs.get(id_), jobs.outcome(jobs.get(id_)))


def test_suggestions_values_and_the_fall_of_the_error(served, monkeypatch):
    client, store = served
    sent = client.post("/models/gaps/suggest", data={"pasted": NEW, "n": "6", "aim": "high"})
    id_ = job_of(sent)
    place = sent.headers["location"].partition("#")[0]
    waiting = client.get(place)
    assert f'hx-get="/models/gaps/next/waiting/{id_}"' in waiting.text
    assert "hx-refresh" not in client.get(f"/models/gaps/next/waiting/{id_}").headers
    finish(client, store, id_, monkeypatch)
    assert client.get(f"/models/gaps/next/waiting/{id_}").headers["hx-refresh"] == "true"
    found = client.get(place)
    formulas = re.findall(r'name="formula-\d+" value="([^"]+)"', found.text)
    assert len(formulas) == 6
    assert "by the rule prediction" in words(found)

    typed = {f"formula-{n}": one for n, one in enumerate(formulas, start=1)}
    typed |= {f"value-{n}-0": f"{n},5" for n in range(1, 7)}
    wrong = client.post(
        "/models/gaps/measured",
        data={**typed, "value-2-0": "two", "suggest": id_},
        headers={"Accept-Language": "de"},
    )
    assert wrong.status_code == 422
    assert "no number; write it as 1.234,5" in words(wrong)
    assert 'value="1,5"' in wrong.text  # nothing that was typed is lost
    pointed = client.post(
        "/models/gaps/measured",
        data={**typed, "value-2-0": "3.4"},
        headers={"Accept-Language": "de"},
    )
    assert "in which '.' parts thousands; write ',' before" in words(pointed).replace("&#39;", "'")
    # a decimal comma where numbers are written 1,234.5, which is no 15
    comma = client.post("/models/gaps/measured", data={**typed, "suggest": id_})
    assert comma.status_code == 422
    assert "in which ',' parts thousands" in words(comma).replace("&#39;", "'")
    adapted = client.post(
        "/models/gaps/measured",
        data={**typed, "suggest": id_, "name": "better"},
        headers={"Accept-Language": "de"},
    )
    adapting = job_of(adapted)
    asked = json.loads((store / "jobs" / adapting / TASK).read_text())
    assert asked["asked"]["target"] == "gap"
    table = pd.read_csv(store / "jobs" / adapting / asked["inputs"]["table"])
    assert table["gap"].tolist() == [n + 0.5 for n in range(1, 7)]
    assert table["formula"].tolist() == formulas

    found = {"n": 6, "before": 2.0, "after": 0.5, "constant": 1.0, "standard_error": 0.25,
             "kept": False, "factors": None}  # fmt: skip
    outcome = {"result": {"n_target": 6, "n_source": 0, "found": found}}
    finish(client, store, adapting, monkeypatch, outcome)
    place = adapted.headers["location"].partition("#")[0]
    said = words(client.get(place))
    assert "The error fell by 75 %: from 2.00 to 0.500 eV." in said
    assert "Predict with better" in said
    assert "a constant 1.00 eV before 2.00 eV after 0.500 eV" in said
    assert client.get("/models/kinds/next", params={"adapt": adapting}).status_code == 404


def test_a_failed_job_tells_its_problem(served, monkeypatch):
    client, store = served
    sent = client.post("/models/gaps/measured", data={"pasted": "formula,gap\nGaN,1\n"})
    outcome = {"problem": {"title": "DataError", "status": 422,
                           "detail": "at least 5 are needed"}}  # fmt: skip
    finish(client, store, job_of(sent), monkeypatch, outcome)
    said = words(client.get(sent.headers["location"].partition("#")[0]))
    assert "at least 5 are needed" in said


def test_classes_and_several_targets_have_their_aims(served):
    client, store = served
    kinds = client.get("/models/kinds/next").text
    assert '<option value="class:high"' in kinds
    asked = {"pasted": NEW, "aim": "class:high", "in_domain": "yes"}
    id_ = job_of(client.post("/models/kinds/suggest", data=asked))
    task = json.loads((store / "jobs" / id_ / TASK).read_text())["asked"]
    assert (task["class"], task["in_domain"], task["n"]) == ("high", True, 10)
    goals = {"pasted": NEW, "goal-gap": "max", "goal-double": "min"}
    id_ = job_of(client.post("/models/both/suggest", data=goals))
    task = json.loads((store / "jobs" / id_ / TASK).read_text())["asked"]
    assert task["goal"] == "max,min"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({}, "no materials were given"),
        ({"pasted": NEW, "n": "x"}, "How many: 'x'"),
        ({"table_id": "table-000000000000"}, "neither the id of a table nor a data set"),
        ({"pasted": NEW, "aim": "luck"}, "luck"),
    ],
)
def test_what_is_wrong_is_said_beside_the_form(served, form, said):
    client, _ = served
    found = client.post("/models/gaps/suggest", data=form)
    assert found.status_code in {404, 422}
    assert said in words(found).replace("&#39;", "'")
    assert found.text.count('role="alert"') == 1
    assert html.escape(form.get("pasted", "")) in found.text  # nothing that was typed is lost
    assert f'name="n" type="number" min="1" max="200" value="{form.get("n", 10)}"' in found.text


def test_what_is_refused_is_told_beside_its_form_and_leaves_no_table(served):
    client, _ = served
    before = client.get("/api/v1/tables").json()
    data = {"pasted": "formula,gap\nGaN,1\n", "name": "gaps"}
    found = client.post("/models/gaps/measured", data=data)
    assert found.status_code == 409
    form = found.text.partition('id="measured-file"')[2]
    assert "there is a model &#39;gaps&#39;; choose another name" in form
    assert 'value="gaps" maxlength="64"' in form
    typed = {f"formula-{n}": f"NaCl{n}" for n in range(1, 7)}
    few = client.post("/models/gaps/measured", data={**typed, "value-1-0": "1"})
    assert "1 material has a value; type those of at least 5" in words(few)
    typed |= {f"value-{n}-0": str(n) for n in range(1, 7)}
    assert client.post("/models/gaps/measured", data={**typed, "name": "gaps"}).status_code == 409
    wrong = {"pasted": NEW, "aim": "luck"}
    assert client.post("/models/gaps/suggest", data=wrong).status_code == 404
    assert client.get("/api/v1/tables").json() == before


@pytest.mark.parametrize(
    ("name", "known", "free"),
    [
        ("gaps", (), "gaps-2"),
        ("gaps", ("gaps-2", "gaps-3"), "gaps-4"),
        ("gaps-2", ("gaps-2",), "gaps-3"),
        ("gaps-1000", (), "gaps-1000-2"),
        ("x" * 64, (), f"{'x' * 56}-2"),
        ("x" * 64, (f"{'x' * 56}-2",), f"{'x' * 56}-3"),
        ("-_Bandl\u00fccken 2.1", (), "Bandl-cken-2-1-2"),
        ("\u5e26\u9699", (), "model-2"),
    ],
)
def test_a_new_name_is_one_that_a_request_may_have(name, known, free):
    screen = NextScreen.__new__(NextScreen)
    jobs = SimpleNamespace(all=lambda: [SimpleNamespace(name=one) for one in known[1:]])
    shelf = SimpleNamespace(folders=lambda: dict.fromkeys(known[:1]))
    object.__setattr__(screen, "model", SimpleNamespace(shelf=shelf, jobs=jobs))
    assert screen._free_name(name) == free
    assert AdaptRequest(model="gaps", name=free).name == free
