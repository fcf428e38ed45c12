"""Jobs of each command: what they do is what the command does."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile

import httpx
import numpy as np
import pandas as pd
import pytest

from integration.tables import make_rows
from unit.web.conftest import open_client
from unit.web.test_jobs import JOBS, QUICK, send, submit
from xtalshift import Client
from xtalshift.data import read_table
from xtalshift.data.settings import DataConfig
from xtalshift.errors import DataError, UsageError
from xtalshift.jobs.adapt import calibrate
from xtalshift.jobs.candidates import Request, read_measured
from xtalshift.jobs.suggest import suggest
from xtalshift.jsonio import read_json
from xtalshift.model import fit, load_model, load_models
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.structure.archives import check_archive
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.job_store import OUTCOME, RESULT
from xtalshift.web.work import work


@pytest.fixture(scope="module")
def served(models, tmp_path_factory):
    """Yield a client and the store of an application that all tests of this file use."""
    store = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobRunner, "start", lambda _: None)  # `work` is called here
        patch.setattr(JobRunner, "stop", lambda _: None)
        with open_client(models, store) as client:
            yield client, store


@pytest.fixture
def remote(served):
    """Return a `Client` of the application."""
    client, _ = served

    def ask(request):
        content = request.read()
        path = request.url.raw_path.decode()
        found = client.request(request.method, path, content=content, headers=request.headers)
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    with Client(transport=httpx.MockTransport(ask)) as found:
        yield found


def test_the_client_has_a_method_for_each_job(remote, new, two, table):
    job = remote.suggest("kinds", new, 3, measured=[table], of_class="high")
    asked = job.said["asked"]
    assert (job.state, asked["n"], asked["class"]) == ("waiting", 3, "high")
    assert asked["measured"][0] in {one["id"] for one in remote.tables()}
    assert remote.screen("gaps", new, top=2, lowest=True).said["asked"]["top"] == 2
    assert remote.screen("kinds", new).said["kind"] == "screen"
    named = remote.calibrate("gaps", two, target="gap", name="by-client").said
    assert (named["kind"], named["name"]) == ("calibrate", "by-client")
    with pytest.raises(UsageError, match="--toward up: expected high or low"):
        remote.suggest("gaps", new, toward="up")


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    """Return a CSV of all 154 binaries of the tables, of which the models know 60."""
    path = tmp_path_factory.mktemp("new") / "new.csv"
    rows = make_rows(154)
    path.write_text(
        "formula,price\n" + "".join(f"{row[1]},{1 + n % 3}\n" for n, row in enumerate(rows))
    )
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Return a CSV of 60 rows with two targets, of which some rows lack the second."""
    path = tmp_path_factory.mktemp("two") / "two.csv"
    rows = [f"{formula},{gap},{'' if n % 7 == 0 else 2 * gap}\n"
            for n, (_, formula, gap, _) in enumerate(make_rows(120)[60:])]  # fmt: skip
    path.write_text("formula,gap,double\n" + "".join(rows))
    return path


@pytest.fixture
def done(served, monkeypatch):
    """Return a function that submits a job and does its work, in this process."""
    client, store = served

    def do(kind, **asked):
        return worked(submit(client, kind, **asked))

    def worked(job):
        folder = store / "jobs" / job["id"]
        monkeypatch.chdir(folder)
        work(folder, store)
        return {**job, **read_json(folder / OUTCOME)}

    do.worked = worked
    return do


def table_of(client, job, name):
    found = client.get(f"{JOBS}/{job['id']}/files/{name}")
    assert found.status_code == 200, found.text
    return pd.read_csv(io.BytesIO(found.content))


def test_calibrate_is_the_command(served, done, models, two):
    client, store = served
    job = done("calibrate", model="gaps", table=send(client, two), target="gap", name="wider")
    own = calibrate(load_model(models / "gaps"), DataConfig(dataset=str(two), target="gap"))
    said = job["result"]
    assert (said["n"], said["mae"], said["constant"]) == (own.n, own.mae, own.constant)
    assert said["widths"] == list(own.widths)
    saved = load_model(store / "jobs" / job["id"] / RESULT / "model")
    new = ["GaN", "LiFePO4"]
    np.testing.assert_array_equal(saved.predict(new).upper, own.model.predict(new).upper)


def test_calibrate_takes_models_of_several_targets(served, done, two):
    client, store = served
    job = done("calibrate", model="both", table=send(client, two))
    assert set(job["result"]["targets"]) == {"gap", "double"}
    saved = load_models(store / "jobs" / job["id"] / RESULT / "model")
    assert saved.targets == ("gap", "double")


@pytest.mark.long
def test_adapt_takes_those_targets_that_the_table_has(served, done, two, tmp_path):
    client, store = served
    few, lines = tmp_path / "few.csv", two.read_text().splitlines()[:13]
    few.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines))
    job = done("adapt", model="both", table=send(client, few))
    assert list(job["result"]["targets"]) == ["gap"]
    found = job["result"]["targets"]["gap"]["found"]
    assert found["n"] == 12
    assert found["after"] <= found["before"]
    saved = load_models(store / "jobs" / job["id"] / RESULT / "model")
    assert saved.targets == ("gap", "double")


def test_suggest_is_the_command(served, done, models, new, table):
    client, _ = served
    asked = {"n": 5, "toward": "high", "cost_col": "price", "budget": 8}
    job = done("suggest", model="gaps", table=send(client, new, "new.csv"),
               measured=[send(client, table)], **asked)  # fmt: skip
    predictor = TablePredictor(load_model(models / "gaps"))
    request = Request(5, "prediction", cost_col="price", budget=8)
    own = suggest(predictor, new, request, measured=read_measured(predictor, [table]))
    assert (job["result"]["rule"], job["result"]["n"]) == (own.rule, len(own.frame))
    assert [one["formula"] for one in job["result"]["suggestions"]] == own.frame["formula"].tolist()
    written = table_of(client, job, job["result"]["table"])
    np.testing.assert_allclose(written["utility"], own.frame["utility"], rtol=1e-15)
    assert job["asked"]["measured"][0].startswith("table-")


def test_suggest_for_several_targets_and_for_classes(served, done, new):
    client, _ = served
    id_ = send(client, new, "new.csv")
    several = done("suggest", model="both", table=id_, n=3, goal="max,min")["result"]
    assert (several["n"], set(several["reference"])) == (3, {"gap", "double"})
    assert {"prediction_gap", "lower_double"} <= set(several["suggestions"][0])
    classes = done("suggest", model="kinds", table=id_, n=3, **{"class": "high"})
    assert (classes["result"]["rule"], classes["asked"]["class"]) == ("class-probability", "high")


def test_screen_is_the_command_and_says_the_best(served, done, models, new):
    client, _ = served
    id_ = send(client, new, "new.csv")
    job = done("screen", model="gaps", table=id_, top=4, lowest=True, distinct=True,
               settings={"chunk_rows": 50, "data.formula_col": "formula"})  # fmt: skip
    assert (job["result"]["counts"]["rows"], job["result"]["counts"]["ok"]) == (154, 154)
    best = table_of(client, job, "top.csv")
    formulas = [row[1] for row in make_rows(154)]
    own = load_model(models / "gaps").predict(formulas).prediction
    assert best["formula"].tolist() == [formulas[n] for n in np.argsort(own, kind="stable")[:4]]
    names = [one["name"] for one in client.get(f"{JOBS}/{job['id']}/files").json()]
    parts = [f"parts/part-{number:06d}.parquet" for number in range(4)]
    assert names == ["screen.json", "top.csv", *parts]
    front = done("screen", model="both", table=id_, top=4, goal="max,min")
    assert "hypervolume_share" in table_of(client, front, "top.csv")


def test_a_screening_of_nothing_fails_with_the_words_of_the_command(served, done):
    client, _ = served
    files = {"table": ("bad.csv", b"formula\nXx\nYy\n")}
    found = client.post(f"{JOBS}/screen", files=files, data={"request": '{"model": "gaps"}'})
    failed = done.worked(found.json())["problem"]
    said = "no row could be predicted; the column 'reason' of result/parts says why"
    assert failed["detail"] == said


def test_check_and_train_take_several_targets(served, done, two):
    client, store = served
    table = send(client, two)
    found = done("check", table=table, target="gap,double", unit="gap=eV")["result"]
    assert {name: one["usable"] for name, one in found["targets"].items()} == {
        "gap": 60,
        "double": 51,
    }
    job = done("train", table=table, target="gap,double", method="ridge", settings=QUICK)
    assert {name: one["n_train"] for name, one in job["result"]["targets"].items()} == {
        "gap": 54,
        "double": 46,
    }
    folder = store / "jobs" / job["id"]
    assert not list(folder.glob("checkpoint*"))
    alone = fit(read_table(two, target="gap"), "ridge")
    saved = load_models(folder / RESULT / "model")
    assert saved["gap"].predict(["GaN"]).prediction[0] == alone.predict(["GaN"]).prediction[0]


def test_train_learns_from_two_fidelities(served, done, tmp_path):
    client, store = served
    path = tmp_path / "fidelities.csv"
    rows = [f"{formula},{gap},measured\n{formula},{gap / 2},computed\n"
            for _, formula, gap, _ in make_rows(30)]  # fmt: skip
    path.write_text("formula,gap,how\n" + "".join(rows))
    column = {"fidelity.column": "how", "fidelity.values": ["measured", "computed"]}
    job = done("train", table=send(client, path), target="gap", method="ridge",
               settings={**QUICK, **column})  # fmt: skip
    assert (job["result"]["n_high"], job["result"]["n_shared"]) == (30, 30)
    folder = store / "jobs" / job["id"] / RESULT / "model"
    assert load_model(folder).card.target_name == "gap"


@pytest.mark.long
def test_run_takes_several_targets(served, done, two):
    client, _ = served
    job = done("run", table=send(client, two), target="gap,double",
               settings={"methods": ["ridge"], "split.schemes": ["random"]})  # fmt: skip
    assert set(job["result"]["targets"]) == {"gap", "double"}
    names = {one["name"] for one in client.get(f"{JOBS}/{job['id']}/files").json()}
    assert {"report.html", "1-gap/report.html", "model/models.json"} <= names


CIF = """data_NaCl
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 0 0 0
Cl1 0.5 0.5 0.5
"""


def archive(kind, files):
    """Return a zip or tar.gz with files."""
    packed = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in files.items():
                file.writestr(name, content)
    else:
        with tarfile.open(fileobj=packed, mode="w:gz") as file:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                file.addfile(member, io.BytesIO(content.encode()))
    return packed.getvalue()


def put(client, name, content):
    return client.post("/api/v1/tables", params={"name": name}, content=content)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives_of_structures_are_tables(served, done, kind):
    client, store = served
    packed = archive(kind, {"../../NaCl.cif": CIF, "/etc/b.cif": CIF})
    sent = put(client, f"crystals.{kind}", packed)
    assert sent.status_code == 201, sent.text
    found = done("check", table=sent.json()["id"])["result"]
    assert (found["rows"], found["usable"]) == (2, 2)
    assert not list(store.rglob("*.cif"))  # nothing is unpacked


def test_cells_name_files_of_an_archive_that_was_sent(served, done):
    client, _ = served
    files = put(client, "crystals.zip", archive("zip", {"a.cif": CIF})).json()["id"]
    table = put(client, "gaps.csv.gz", gzip.compress(b"file,gap\na,1.5\nb,2.5\n")).json()["id"]
    found = done("check", table=table, structures=files, target="gap",
                 settings={"data.structure_col": "file"})["result"]  # fmt: skip
    assert (found["rows"], found["usable"]) == (2, 1)
    assert "is called 'b'" in json.dumps(found)


@pytest.mark.parametrize(
    ("name", "content", "status", "said"),
    [
        ("t.csv.gz", gzip.compress(b"GaN\n" * 500_000, mtime=0), 413, "unpacks to more"),
        ("t.csv.gz", b"\x1f\x8b no gzip", 422, "it cannot be unpacked"),
        ("t.csv.gz", gzip.compress(b"formula\nGaN\n", mtime=0)[:-5], 422, "it cannot be unpacked"),
        ("t.zip", archive("zip", {"a.cif": "#" * 2_000_000}), 422, "unpacks to more than 1 MB"),
        ("t.zip", archive("zip", {f"{n}.cif": "" for n in range(30)}), 422, "or 20 files"),
        ("t.tar.gz", archive("tar.gz", {f"{n}.cif": "" for n in range(30)}), 422, "or 20 files"),
        ("t.tgz", archive("tar.gz", {"a.cif": "#" * 2_000_000}), 413, "unpacks to more"),
        ("t.xlsx", archive("zip", {"xl/workbook.xml": "#" * 2_000_000}), 422, "more than 1 MB"),
        ("t.zip", b"PK no zip", 422, "cannot unpack sent.zip"),
    ],
)  # fmt: skip
def test_what_is_too_large_unpacked_is_refused(models, tmp_path, name, content, status, said):
    with open_client(models, tmp_path, max_unpacked_mb=1, max_files=20) as client:
        found = put(client, name, content)
        assert (found.status_code, said in found.json()["detail"]) == (status, True), found.text
        assert str(tmp_path) not in found.text
        assert client.get("/api/v1/tables").json() == []


def test_a_note_in_a_tar_does_not_fill_the_memory(tmp_path):
    head = tarfile.TarInfo("pax")
    head.type, head.size = tarfile.XHDTYPE, 2**33
    (tmp_path / "bomb.tar").write_bytes(head.tobuf(tarfile.GNU_FORMAT) + b"\0" * 10_240)
    with pytest.raises(DataError, match="a name or note of 8,589,934,592 bytes"):
        check_archive(tmp_path / "bomb.tar", most_bytes=10**12, most_files=10)
