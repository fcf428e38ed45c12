"""Jobs: submitted, followed, cancelled, and never lost."""

from __future__ import annotations

import io
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import Field

from unit.web.conftest import AppClient, open_client
from xtalshift.cal.adaptation import AdaptConfig
from xtalshift.config import Settings
from xtalshift.data import read_table
from xtalshift.data.settings import DataConfig
from xtalshift.errors import NotFoundError
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.jsonio import read_json
from xtalshift.model import fit, load_model
from xtalshift.screening.settings import ScreenSettings
from xtalshift.web.job_events import EventLog, read_events
from xtalshift.web.job_kinds import RESUMED
from xtalshift.web.job_routes import _file_name
from xtalshift.web.job_settings import _NO_FILES, free_texts
from xtalshift.web.job_store import OUTCOME, RESULT, JobStore
from xtalshift.web.tables import TableStore

JOBS = "/api/v1/jobs"
CSV = {"Content-Type": "text/csv"}
QUICK = {"intervals.method": "none", "threads": 1}
SECONDS = 120.0


def send(client: AppClient, table: Path, name: str = "gaps of 2024.csv") -> str:
    found = client.post("/api/v1/tables", params={"name": name}, content=table.read_bytes())
    assert found.status_code == 201
    return found.json()["id"]


def submit(client: AppClient, kind: str, **asked: object) -> dict:
    found = client.post(f"{JOBS}/{kind}", json=asked)
    assert found.status_code == 202, found.text
    assert found.headers["location"] == f"{JOBS}/{found.json()['id']}"
    return found.json()


def wait_for(client: AppClient, job: dict, *states: str) -> dict:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = client.get(f"{JOBS}/{job['id']}").json()
        if found["state"] in states:
            return found
        assert found["state"] in {"waiting", "running"}, found
        time.sleep(0.05)
    raise AssertionError(found)


def events_of(text: str) -> list[tuple[int, str, dict]]:
    found = []
    for block in text.replace(":\n\n", "").strip().split("\n\n"):
        lines = dict(line.partition(": ")[::2] for line in block.split("\n"))
        found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


def test_tables_are_kept_until_they_are_deleted(client, table):
    id_ = send(client, table)
    (one,) = client.get("/api/v1/tables").json()
    assert (one["id"], one["name"], one["bytes"]) == (id_, "gaps of 2024.csv", table.stat().st_size)
    assert client.delete(f"/api/v1/tables/{id_}").status_code == 204
    assert client.get("/api/v1/tables").json() == []
    assert client.delete(f"/api/v1/tables/{id_}").status_code == 404


@pytest.mark.parametrize("name", ["model.pkl", "table", "t.parquet.gz", "x.7z", "cif"])
def test_types_that_could_be_anything_are_refused(client, name):
    found = client.post("/api/v1/tables", params={"name": name}, content=b"formula\nGaN\n")
    assert (found.status_code, "has a type that cannot be sent" in found.text) == (422, True)


def test_the_name_of_an_input_keeps_the_letters_of_all_languages():
    assert _file_name("table", "Bandlu\u0308cken 2.csv") == "Bandl\u00fccken_2.csv"
    assert _file_name("candidates", "../\u5e26\u9699\u2215x.csv") == "candidates-\u5e26\u9699_x.csv"


@pytest.mark.parametrize("name", ["../../evil.csv", "/etc/x.csv", "..\\x.csv", "\0.csv", ".csv"])
def test_a_name_of_a_client_is_no_path(client, table, tmp_path, name):
    send(client, table, name)
    (kept,) = (tmp_path / "store" / "tables").glob("*/table.csv")
    assert kept.read_bytes() == table.read_bytes()
    for role in ("table", "source"):
        stem, suffix = _file_name(role, name).split(".")
        assert (re.fullmatch("[A-Za-z0-9_-]+", stem) is not None, suffix) == (True, "csv")


def test_a_table_that_is_deleted_meanwhile_does_not_hide_the_others(tmp_path, monkeypatch):
    tables = TableStore(tmp_path)
    for name in ("a.csv", "b.csv"):
        (tmp_path / "sent").write_text(name)
        tables.add(tmp_path / "sent", name)
    first, second = tables.all()
    real = read_json

    def read_late(path):
        shutil.rmtree(path.parent) if first.id in str(path) else None
        return real(path)

    monkeypatch.setattr("xtalshift.web.tables.read_json", read_late)
    assert tables.all() == [second]
    with pytest.raises(NotFoundError, match="there is no table"):
        tables.delete(first.id)
    (tmp_path / "tables" / "gone-0").mkdir()  # a server was killed in the middle of a deletion
    assert TableStore(tmp_path).all() == [second]
    assert [one.name for one in (tmp_path / "tables").iterdir()] == [second.id]


def test_a_table_of_a_long_name_is_kept_once(tmp_path):
    tables, name = TableStore(tmp_path), f"{'ü' * 300}.csv"
    (tmp_path / "sent").write_text("formula\nGaN\n")
    assert tables.same(tmp_path / "sent", name) is None
    (tmp_path / "again").write_text("formula\nGaN\n")
    kept = tables.add(tmp_path / "sent", name)
    assert (len(kept.name), kept.name[-4:]) == (200, ".csv")
    assert tables.same(tmp_path / "again", name) == kept


def test_data_sets_are_listed(client):
    found = {one["name"]: one for one in client.get("/api/v1/datasets").json()}
    assert (found["ricci_seebeck"]["target"], found["ricci_seebeck"]["rows"]) == ("S_p", 47737)


def test_check_says_what_the_command_says_and_tells_its_progress(client, table, tmp_path):
    job = submit(client, "check", table=send(client, table), target="gap", unit="eV")
    events = events_of(client.get(f"{JOBS}/{job['id']}/events").text)
    assert str(tmp_path) not in json.dumps(events)
    assert (events[-1][1], events[-1][2]["state"]) == ("state", "done")
    last = {"Last-Event-ID": str(events[-1][0])}
    rest = events_of(client.get(f"{JOBS}/{job['id']}/events", headers=last).text)
    assert [kind for _, kind, _ in rest] == ["state"]
    done = rest[0][2]
    assert done == client.get(f"{JOBS}/{job['id']}").json()
    assert (done["result"]["rows"], done["result"]["usable"]) == (60, 60)
    assert done["result"]["reading"]["Target"].startswith("column 'gap'")
    names = {one["name"] for one in client.get(f"{JOBS}/{job['id']}/files").json()}
    assert names == {"findings.json", "fixed.csv"}
    fixed = client.get(f"{JOBS}/{job['id']}/files/fixed.csv")
    assert fixed.headers["content-disposition"] == 'attachment; filename="fixed.csv"'
    assert len(pd.read_csv(io.BytesIO(fixed.content))) == 60
    for name in ("fixed.cvs", "../task.json", "%2e%2e/task.json", "/etc/passwd"):
        assert client.get(f"{JOBS}/{job['id']}/files/{name}").status_code == 404
    assert client.get(f"{JOBS}/nothing/events").status_code == 404


def test_events_say_begin_steps_and_end(tmp_path):
    log = EventLog(tmp_path / "events")
    with log.task("epochs", 3) as task:
        task.advance(loss=0.5)
        task.advance()  # within half a second: not reported
        task.say("half way")
    with (tmp_path / "events").open("ab") as file:
        file.write(b'{"event": "sa')  # a process was killed here
    EventLog(tmp_path / "events").say("continued")
    found = [event for _, event in read_events(tmp_path / "events", 0)]
    assert found == [
        {"event": "begin", "task": 1, "name": "epochs", "total": 3},
        {"event": "advance", "task": 1, "done": 1, "info": {"loss": 0.5}},
        {"event": "say", "text": "half way"},
        {"event": "end", "task": 1, "done": 2},
        {"event": "say", "text": "continued"},
    ]
    places = [place for place, _ in read_events(tmp_path / "events", 0)]
    assert [event for _, event in read_events(tmp_path / "events", places[-2])] == found[-1:]


def test_a_trained_model_is_that_of_the_command_and_predicts(client, table):
    job = submit(client, "train", table=send(client, table), target="gap", unit="eV",
                 method="ridge", name="mine", settings=QUICK)  # fmt: skip
    done = wait_for(client, job, "done")
    assert (done["name"], done["result"]["n_train"]) == ("mine", 54)
    assert "mine" in [one["name"] for one in client.get("/api/v1/models").json()]
    card = client.get("/api/v1/models/mine").json()
    assert (card["target_name"], card["unit"], card["source"]) == ("gap", "eV", "gaps_of_2024.csv")
    found = client.post("/api/v1/models/mine/predict", json={"formulas": ["GaN"]}).json()
    own = fit(read_table(table, target="gap"), "ridge").predict(["GaN"])
    assert found["predictions"][0]["prediction"] == own.prediction[0]
    again = client.post(f"{JOBS}/train", json={"table": "ricci_seebeck", "name": "mine"})
    assert (again.status_code, "choose another name" in again.text) == (409, True)


def test_a_table_can_be_a_part_of_the_request(client, table):
    files = {"table": ("gaps.csv", table.read_bytes())}
    asked = {"request": json.dumps({"target": "gap"})}
    found = client.post(f"{JOBS}/check", files=files, data=asked)
    assert found.status_code == 202
    done = wait_for(client, found.json(), "done")
    assert (done["asked"], done["result"]["rows"]) == ({"target": "gap"}, 60)
    wrong = client.post(f"{JOBS}/check", files={"tables": ("gaps.csv", b"x")})
    assert (wrong.status_code, "part 'tables' of the form is unknown" in wrong.text) == (422, True)


def test_adapt_takes_a_model_and_labels(client, table, tmp_path):
    job = submit(client, "adapt", model="gaps", table=send(client, table), target="gap", name="new")
    done = wait_for(client, job, "done")
    assert done["result"]["n_target"] == 60
    folder = tmp_path / "store" / "jobs" / job["id"] / RESULT / "model"
    assert load_model(folder).card.target_name == "gap"


def test_a_failure_has_the_words_of_the_command(client, table, tmp_path):
    job = submit(client, "train", table=send(client, table), target="gpa", method="ridge")
    failed = wait_for(client, job, "failed")
    assert failed["problem"]["title"] == "DataError"
    assert "did you mean 'gap'?" in failed["reason"]
    assert str(tmp_path) not in json.dumps(failed)


@pytest.mark.parametrize(
    ("kind", "asked", "status", "said"),
    [
        ("train", {"target": "gap"}, 422, "which table?"),
        ("train", {"table": "ricci_seebek"}, 404, "did you mean 'ricci_seebeck'?"),
        ("train", {"table": "/etc/passwd"}, 404, "neither the id of a table nor a data set"),
        ("train", {"table": "ricci_seebeck", "method": "ridgee"}, 422, "did you mean 'ridge'?"),
        ("train", {"table": "ricci_seebeck", "name": "../x"}, 422, "setting 'name'"),
        ("train", {"table": "ricci_seebeck", "method": "/tmp/o.py:x"}, 422, "cannot run a file"),
        ("run", {"table": "ricci_seebeck", "settings": {"methods": ["o.py:x"]}}, 422, "cannot run"),
        ("run", {"table": "ricci_seebeck", "settings": {"judge": {"methods": ["o.py:x"]}}}, 422,
         "cannot run a file"),
        ("run", {"table": "ricci_seebeck", "settings": {"data.dataset": "/etc/x.csv"}}, 422,
         "names a file"),
        ("run", {"table": "ricci_seebeck", "settings": {"data": {"structures": "/etc"}}}, 422,
         "names a file"),
        ("run", {"table": "ricci_seebeck", "settings": {"split.relation_file": "/x"}}, 422,
         "names a file"),
        ("check", {"table": "ricci_seebeck", "settings": {"data.structures": "/etc"}}, 422,
         "names a file"),
        ("screen", {"table": "ricci_seebeck", "model": "gaps", "settings": {"structures": "/"}},
         422, "names a file"),
        ("run", {"table": "ricci_seebeck", "settings": {".".join("a" * 5000): 1}}, 422,
         "unknown setting 'a.a.a.a"),
        ("train", {"table": "ricci_seebeck", "method": "ridge", "minutes": 5}, 422,
         "ridge keeps no budget of minutes; the method auto does"),
        ("train", {"table": "ricci_seebeck", "settings": {"data.features": "magpie+pretrained:/x"}},
         422, "cannot name a folder"),
        ("train", {"table": "ricci_seebeck", "settings": {"erm.epoch": 1}}, 422,
         "did you mean 'epochs'?"),
        ("adapt", {"table": "ricci_seebeck", "model": "both", "target": "gap"}, 422,
         "model 'both' has several targets, whose names columns of the table must have"),
        ("calibrate", {"table": "ricci_seebeck", "model": "both", "unit": "eV"}, 422,
         "leave out target and unit"),
        ("calibrate", {"table": "ricci_seebeck"}, 422,
         """setting 'model' is missing; for example {"model": "gaps"}"""),
        ("calibrate", {"table": "ricci_seebeck", "model": "gaps", "settings": {"steps": 1}}, 422,
         "unknown setting 'steps', known: those of the table"),
        ("suggest", {"table": "ricci_seebeck", "model": "gaps", "rule": "target"}, 422,
         "--rule target needs --value X"),
        ("suggest", {"table": "ricci_seebeck", "model": "gaps", "goal": "max"}, 422,
         "gaps is a model of one target: leave out --goal"),
        ("suggest", {"table": "ricci_seebeck", "model": "both"}, 422,
         "both holds models of gap, double: say which values are good"),
        ("suggest", {"table": "ricci_seebeck", "model": "gaps", "measured": ["x"]}, 404,
         "measured 'x' is neither the id of a table nor a data set"),
        ("suggest", {"table": "ricci_seebeck", "model": "gaps", "settings": {"data": 1}}, 422,
         "'data' is a group of settings"),
        ("screen", {"table": "ricci_seebeck", "model": "gaps", "lowest": True}, 422,
         "--lowest need --top K"),
        ("screen", {"table": "ricci_seebeck", "model": "gaps", "stability": "x"}, 404,
         "there is no model 'x'"),
        ("screen", {"table": "ricci_seebeck", "model": "gaps", "top": 3, "goal": "max,min"}, 422,
         "leave out --goal"),
        ("screen", {"table": "ricci_seebeck", "model": "gaps", "settings": {"chunk_row": 3}}, 422,
         "did you mean 'chunk_rows'?"),
        ("adapt", {"table": "ricci_seebeck", "model": "gap"}, 404, "did you mean 'gaps'?"),
        ("adapt", {"table": "ricci_seebeck", "model": "gaps", "settings": {"steps": 1}}, 422,
         "method auto has no settings"),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused_before_any_work(client, tmp_path, kind, asked, status, said):
    found = client.post(f"{JOBS}/{kind}", json=asked)
    assert (found.status_code, said in found.json()["detail"]) == (status, True), found.text
    assert client.get(JOBS).json() == []
    assert list((tmp_path / "store" / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        (RunConfig, {"candidates", "data.structures", "data.dataset", "split.relation_file"}),
        (ScreenSettings, {"structures", "top.of_class"}),  # a request has a field for the class
        (AdaptConfig, set()),
        (DataConfig, {"dataset", "structures"}),
    ],
)
def test_a_setting_of_free_text_is_refused_until_it_is_known_to_name_no_file(kind, refused):
    """Judge a new setting: can it name a file of the server? If not, put it into `_NO_FILES`."""
    group = "data." if kind is DataConfig else ""
    found = {f"{group}{name}" for name in free_texts(kind)} - _NO_FILES
    assert found == {f"{group}{name}" for name in refused}


def test_what_may_be_any_text_is_found_in_all_annotations():
    class Inner(Settings):
        place: Path | None = None
        choice: Literal["a", "b"] = "a"

    class Outer(Settings):
        count: int = 1
        text: str = ""
        inner: Inner | None = None
        many: tuple[str, ...] | int = 1
        named: dict[str, float] = Field(default={}, alias="with")
        anything: Any = None
        choices: tuple[Literal["a", "b"], ...] = ()

    found = {"text", "inner.place", "many", "named", "with", "anything"}
    assert set(free_texts(Outer)) == found


def test_a_job_that_runs_can_be_cancelled(client, tmp_path):
    job = submit(client, "run", table="ricci_seebeck", settings={"threads": 1})
    waiting = submit(client, "train", table="ricci_seebeck")  # a check would not wait
    wait_for(client, job, "running")
    assert client.delete(f"{JOBS}/{job['id']}").status_code == 409
    assert client.post(f"{JOBS}/{waiting['id']}/cancel").json()["state"] == "cancelled"
    client.post(f"{JOBS}/{job['id']}/cancel")
    assert wait_for(client, job, "cancelled")["reason"] == "it was cancelled"
    assert client.post(f"{JOBS}/{job['id']}/cancel").status_code == 409
    assert client.delete(f"{JOBS}/{job['id']}").status_code == 204
    assert client.get(f"{JOBS}/{job['id']}").status_code == 404
    assert not (tmp_path / "store" / "jobs" / job["id"]).exists()


def test_too_many_jobs_are_refused(models, tmp_path):
    with open_client(models, tmp_path, max_jobs=1) as client:
        submit(client, "run", table="ricci_seebeck", settings={"threads": 1})
        found = client.post(f"{JOBS}/check", json={"table": "ricci_seebeck"})
    assert (found.status_code, found.headers["retry-after"]) == (429, "60")


def test_a_job_has_a_limit_of_time(models, tmp_path):
    with open_client(models, tmp_path, max_job_hours=1e-5) as client:
        job = submit(client, "run", table="ricci_seebeck", settings={"threads": 1})
        assert "the limit of the server" in wait_for(client, job, "failed")["reason"]


def make_job(store: Path, kind: str, state: str, outcome: dict | None = None) -> str:
    """Leave a job in a state, as a server that was killed then does."""
    jobs = JobStore(store, resumes=RESUMED)
    folder = jobs.prepare(kind)
    job = jobs.submit(folder, "", {}, {}, 10)
    if state == "running":
        assert jobs.take() == jobs.get(job.id)
    if outcome is not None:
        (folder / OUTCOME).write_text(json.dumps(outcome))
    jobs.close()
    return job.id


@pytest.mark.parametrize(
    ("kind", "state", "outcome", "then", "reason"),
    [
        ("run", "waiting", None, "waiting", ""),
        ("run", "running", None, "waiting", ""),
        ("train", "running", None, "waiting", ""),
        ("check", "running", None, "interrupted", "the server ended while it ran"),
        ("adapt", "running", None, "interrupted", "submit it again"),
        ("calibrate", "running", None, "interrupted", "`calibrate` cannot be continued"),
        ("suggest", "running", None, "interrupted", "`suggest` cannot be continued"),
        ("suggest", "waiting", None, "waiting", ""),
        ("screen", "running", None, "waiting", ""),
        ("screen", "running", {"result": {}}, "done", ""),
        ("calibrate", "running", {"result": {}}, "done", ""),
        ("check", "running", {"result": {}}, "done", ""),
        ("run", "running", {"problem": {"detail": "no rows"}}, "failed", "no rows"),
    ],
)
def test_what_a_killed_server_leaves_is_settled(tmp_path, kind, state, outcome, then, reason):
    id_ = make_job(tmp_path, kind, state, outcome)
    (tmp_path / "jobs" / "run-never-submitted").mkdir()
    jobs = JobStore(tmp_path, resumes=RESUMED)
    job = jobs.get(id_)
    assert (job.state, reason in job.reason) == (then, True)
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == [id_]
    jobs.close()


@pytest.mark.parametrize("kind", ["screen", "suggest", "calibrate"])
def test_what_was_cancelled_stays_so_after_a_kill(tmp_path, kind):
    jobs = JobStore(tmp_path, resumes=RESUMED)
    folder = jobs.prepare(kind)
    job = jobs.submit(folder, "", {}, {}, 10)
    assert jobs.finish(jobs.take() or job, "cancelled", "it was cancelled")
    (folder / OUTCOME).write_text(json.dumps({"result": {}}))  # its process was just ready
    jobs.close()  # as a kill does
    again = JobStore(tmp_path, resumes=RESUMED)
    assert (again.get(job.id).state, again.take()) == ("cancelled", None)
    assert again.outcome(job) == {"result": {}}
    again.close()


def test_a_stopped_server_continues_its_jobs(models, table, tmp_path):
    with open_client(models, tmp_path) as client:
        job = submit(client, "train", table=send(client, table), target="gap", method="ridge",
                     settings=QUICK)  # fmt: skip
        wait_for(client, job, "running", "done")
    with open_client(models, tmp_path) as client:
        assert wait_for(client, job, "done")["result"]["n_train"] == 54
    shutil.rmtree(tmp_path / "jobs" / job["id"] / RESULT)
    with open_client(models, tmp_path) as client:  # a model that was removed is not offered
        assert job["id"] not in [one["name"] for one in client.get("/api/v1/models").json()]
