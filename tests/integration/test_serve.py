"""The server as a process: started by the command, asked by the client, and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pandas as pd
import pytest

from integration.tables import make_rows, write_rows
from xtalshift import Client
from xtalshift.client import RemoteJob
from xtalshift.data import read_table
from xtalshift.errors import DataError, FormulaError, NotFoundError, TrainingError
from xtalshift.jobs.predict import predict_file
from xtalshift.model import fit, load_model, save_model
from xtalshift.model.table_predictor import TablePredictor

SECONDS = 200.0
QUICK = {"intervals.method": "none", "threads": 1}


@dataclass
class Server:
    """A server that runs."""

    process: subprocess.Popen[str]
    url: str


@contextmanager
def serving(*arguments: object) -> Iterator[Server]:
    command = [sys.executable, "-m", "xtalshift", "serve", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline()
            assert said.startswith("Serving at http://127.0.0.1:"), said
            yield Server(process, said.split()[-1])
        finally:
            process.kill()


@pytest.fixture(scope="module")
def models(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(fit(read_table(table, target="gap", unit="eV"), "ridge"), folder / "gaps")
    return folder


def processes_of(store: Path) -> list[int]:
    """Return the processes of jobs in a store."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "xtalshift.web.work" in words and any(str(store) in word for word in words):
            found.append(int(path.parent.name))
    return found


def until(condition, what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_the_client_does_what_the_commands_do(models, table, tmp_path):
    with serving(models, "--store", tmp_path / "store") as server, Client(server.url) as client:
        (one,) = (one for one in client.models() if not one["ready"])
        assert (one["name"], client.model("gaps")["unit"]) == ("gaps", "eV")
        model = load_model(models / "gaps")
        formulas = ["GaN", "Xx", "LiFePO4"]
        found = client.predict("gaps", formulas, level=0.5)
        pd.testing.assert_frame_equal(found, model.predict(formulas, level=0.5).frame)
        predict_file(TablePredictor(model, level=0.5), table, tmp_path / "own.csv")
        client.predict_file("gaps", table, tmp_path / "served.csv", level=0.5)
        assert (tmp_path / "served.csv").read_bytes() == (tmp_path / "own.csv").read_bytes()

        with pytest.raises(NotFoundError, match="did you mean 'gaps'"):
            client.predict("gap", ["GaN"])
        (tmp_path / "bad.csv").write_text("formula\nGaN\nXx\n")
        with pytest.raises(FormulaError, match="row 2") as wrong:
            client.predict_file("gaps", tmp_path / "bad.csv", tmp_path / "no.csv", strict=True)
        assert (wrong.value.row, (tmp_path / "no.csv").exists()) == (2, False)

        job = client.train(table, target="gap", method="ridge", name="new", settings=QUICK).wait()
        assert (job.state, job.said["result"]["n_train"]) == ("done", 54)
        names = [one["name"] for one in client.models() if not one["ready"]]
        assert names == ["gaps", "new"]
        job.download("model/model.json", tmp_path / "card.json")
        assert b'"format": "xtalshift-model"' in (tmp_path / "card.json").read_bytes()
        with pytest.raises(DataError, match="did you mean 'gap'"):
            client.check(table, target="gpa").wait()

        # an interrupted server lets the client know, and continues nothing it cannot
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) in {0, -signal.SIGTERM}


def test_a_token_guards_the_server(models, tmp_path, monkeypatch):
    token = "a-token-of-this-test"
    monkeypatch.setenv("XTALSHIFT_TOKEN", token)
    with serving(models, "--store", tmp_path / "store") as server:
        assert httpx.get(f"{server.url}/api/v1/models").status_code == 401
        assert httpx.get(f"{server.url}/healthz").json()["status"] == "ok"
        with Client(server.url, token=token) as client:
            assert "gaps" in {one["name"] for one in client.models()}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_sigkill_of_the_server_loses_nothing_finished(models, table, tmp_path):
    store = tmp_path / "store"
    with serving(models, "--store", store) as server, Client(server.url) as client:
        done = client.check(table).wait()
        running = client.run("ricci_seebeck", settings={"threads": 1})
        waiting = client.train(table, target="gap", method="ridge", settings=QUICK)
        until(lambda: client.job(running.id).state == "running", "it did not begin")
        until((store / "jobs" / running.id / "events.jsonl").exists, "no progress")
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    until(lambda: not processes_of(store), "a job outlived its server")
    with serving(models, "--store", store) as server, Client(server.url) as client:
        assert client.job(done.id).said == done.said
        until(lambda: client.job(running.id).state == "running", "run was not continued")
        client.job(running.id).cancel()
        with pytest.raises(TrainingError, match="is cancelled"):
            client.job(running.id).wait()
        assert client.job(waiting.id).wait().said["result"]["n_train"] == 54
        adapting = client.adapt("gaps", table, target="gap")
        until(lambda: client.job(adapting.id).state != "waiting", "it did not begin")
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    with serving(models, "--store", store) as server, Client(server.url) as client:
        found = client.job(adapting.id)
        assert found.state in {"interrupted", "done"}  # it may have been quicker
        assert found.state == "done" or "submit it again" in found.said["reason"]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV of 60 rows that the model does not know."""
    return write_rows(tmp_path_factory.mktemp("labels") / "labels.csv", make_rows(120)[60:])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV of 20,000 candidates."""
    path = tmp_path_factory.mktemp("many") / "many.csv"
    formulas = [row[1] for row in make_rows(154)]
    path.write_text("formula\n" + "".join(f"{formulas[n % 154]}\n" for n in range(20_000)))
    return path


RUN = {"methods": ["ridge"], "split.schemes": ["random"], **QUICK}
ASKED: dict[str, Callable[[Client, Path, Path], RemoteJob]] = {
    "calibrate": lambda client, labels, many: client.calibrate("gaps", labels, target="gap"),
    "suggest": lambda client, labels, many: client.suggest("gaps", many, 5, seed=1),
    "screen": lambda client, labels, many: client.screen(
        "gaps", many, top=5, settings={"chunk_rows": 500, "threads": 1}
    ),
    "run": lambda client, labels, many: client.run(labels, target="gap", settings=RUN),
}
CONTINUED = {"run", "screen"}


def result_of(job: RemoteJob) -> dict:
    """Return the result of a job without its times and addresses."""
    found = dict(job.said["result"])
    for name in ("seconds", "rows_per_second", "model"):
        found.pop(name, None)
    return found


def kill(server: Server) -> None:
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("kind", ASKED)
def test_sigkill_in_each_state_of_each_kind_of_job(models, labels, many, tmp_path, kind):
    """Kill the server while a job waits, begins, works, and when it has just finished."""
    store, ask = tmp_path / "store", ASKED[kind]
    with serving(models, "--store", store) as server, Client(server.url) as client:
        expected = ask(client, labels, many).wait()
        blocking = client.run("ricci_seebeck", settings={"threads": 1})
        waiting = ask(client, labels, many)
        until(lambda: client.job(blocking.id).state == "running", "it did not begin")
        kill(server)
    until(lambda: not processes_of(store), "a job outlived its server")

    with serving(models, "--store", store) as server, Client(server.url) as client:
        assert client.job(expected.id).said == expected.said
        assert client.job(waiting.id).state == "waiting"
        client.job(blocking.id).cancel()
        done = client.job(waiting.id).wait()
        assert result_of(done) == result_of(expected)
        begun = ask(client, labels, many)
        until(lambda: client.job(begun.id).state == "running", "it did not begin")
        kill(server)
    until(lambda: not processes_of(store), "a job outlived its server")

    with serving(models, "--store", store) as server, Client(server.url) as client:
        check_after_a_kill(client, begun.id, kind, expected)
        working = ask(client, labels, many)
        events = store / "jobs" / working.id / "events.jsonl"
        until(lambda: events.exists() and events.stat().st_size > 0, "it did not begin to work")
        kill(server)
    until(lambda: not processes_of(store), "a job outlived its server")

    with serving(models, "--store", store) as server, Client(server.url) as client:
        check_after_a_kill(client, working.id, kind, expected)
        finished = ask(client, labels, many)
        until(lambda: client.job(finished.id).state == "running", "it did not begin")
        os.kill(server.process.pid, signal.SIGSTOP)  # so that it does not learn of the end
        until((store / "jobs" / finished.id / "outcome.json").exists, "it did not finish")
        kill(server)
    until(lambda: not processes_of(store), "a job outlived its server")

    with serving(models, "--store", store) as server, Client(server.url) as client:
        found = client.job(finished.id)
        assert (found.state, result_of(found)) == ("done", result_of(expected))
        states = {one.id: one.state for one in client.jobs()}
        assert states.pop(blocking.id) == "cancelled"
        assert set(states.values()) <= {"done", "interrupted"}


def check_after_a_kill(client: Client, id_: str, kind: str, expected: RemoteJob) -> None:
    """Look that a job that ran is continued to the same result, or says that it was not."""
    found = client.job(id_)
    if kind not in CONTINUED and found.state != "done":  # it may have been quicker
        assert (found.state, "submit it again" in found.said["reason"]) == ("interrupted", True)
        return
    assert result_of(found.wait()) == result_of(expected)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("kind", ASKED)
def test_sigkill_of_a_job_leaves_the_server_and_the_next_job(models, labels, many, tmp_path, kind):
    store = tmp_path / "store"
    with serving(models, "--store", store) as server, Client(server.url) as client:
        killed, next_ = (ASKED[kind](client, labels, many) for _ in range(2))
        until(lambda: processes_of(store), "it did not begin")
        os.kill(processes_of(store)[0], signal.SIGKILL)
        with pytest.raises(TrainingError, match="was ended by SIGKILL; perhaps memory ran out"):
            client.job(killed.id).wait()
        assert client.job(killed.id).state == "failed"
        assert client.job(next_.id).wait().state == "done"


def test_two_servers_do_not_share_a_store(models, tmp_path, xtalshift):
    with serving(models, "--store", tmp_path / "store"):
        second = xtalshift("serve", models, "--store", tmp_path / "store", "--port", "0")
    assert (second.code, "another process is writing to" in second.err) == (1, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "so a token is needed"),
        (("--host", "0.0.0.0", "--token", "short"), "at least 16 ASCII characters"),
        (("--set", "max_rowz=5"), "did you mean 'max_rows'?"),
    ],
)
def test_an_unsafe_start_is_refused(models, tmp_path, xtalshift, options, said):
    outcome = xtalshift("serve", models, "--store", tmp_path / "store", *options)
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err


def test_a_folder_of_models_has_to_exist(tmp_path, xtalshift):
    outcome = xtalshift("serve", tmp_path / "nothing", "--store", tmp_path / "store")
    assert (outcome.code, "is no folder" in outcome.err) == (1, True)
