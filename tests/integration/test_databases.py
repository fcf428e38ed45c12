"""Structures of a database in commands."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import numpy as np
import pandas as pd
import pytest

from optimade_toys import Server, entry, served, species
from xtalshift.data import optimade_pages
from xtalshift.data.optimade import fetch_structures
from xtalshift.data.structure_texts import read_cells

ELEMENTS = ("B", "Al", "Ga", "In", "Tl", "N", "P", "As", "Sb", "Bi")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path / "cache"))


def compounds():
    """Return 25 binary compounds with a property, the last one without a lattice."""
    found = []
    for number in range(25):
        pair = [ELEMENTS[number // 5], ELEMENTS[5 + number % 5]]
        changes = {
            "chemical_formula_reduced": "".join(sorted(pair)),
            "elements": sorted(pair),
            "species": [species(one) for one in pair],
            "species_at_sites": pair,
            "_x_gap": 0.25 * number,
        }
        if number == 24:
            changes["lattice_vectors"] = None
        found.append(entry(number, **changes))
    return found


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_from_a_database_to_predictions(xtalshift, tmp_path, suffix):
    out, model, predicted = tmp_path / f"out{suffix}", tmp_path / "model", tmp_path / "p.csv"
    with served(Server(compounds(), size=10)) as server:
        done = xtalshift(
            "datasets", "fetch", server.source, "nelements=2", "-o", out, "--fields", "_x_gap,_x_no"
        )
    assert done.code == 0, done.err
    assert done.out.strip() == str(out)
    assert (
        "25 structures of 25 that match (3 requests); without a structure: 1, with the reason"
        in done.err
    )
    assert "no structure has _x_no" in done.err
    column = ("--structure-col", "structure")
    done = xtalshift("train", out, *column, "--target", "_x_gap", "--method", "ridge", "-o", model)
    assert done.code == 0, done.err
    done = xtalshift("predict", model, out, *column, "-o", predicted)
    assert done.code == 0, done.err
    frame = pd.read_csv(predicted)
    assert frame["id"].tolist() == [f"x-{number}" for number in range(25)]
    assert np.isfinite(frame["prediction"][:24]).all()
    assert np.isnan(frame["prediction"][24])
    assert "no lattice" in frame["reason"][24]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("optimade:mp", "nelements=2"), "needs a file for the structures: -o OUT.parquet"),
        (("optimade:mp", "-o", "out.parquet"), "this asks for the whole database"),
        (("optimade:mpp", "nelements=2", "-o", "out.parquet"), "did you mean 'mp'"),
        (("optimade:mp", "nelements=2", "-o", "out.txt"), "must end in .csv or .parquet"),
        (
            ("ricci_seebeck", "nelements=2"),
            "are for a database (optimade:PROVIDER), not for 'ricci_seebeck'",
        ),
    ],
)
def test_wrong_requests(xtalshift, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    done = xtalshift("datasets", "fetch", *arguments)
    assert done.code in {1, 2}
    assert said in done.err
    assert not list(tmp_path.glob("out*"))


def test_another_table_is_not_replaced(xtalshift, tmp_path):
    out = tmp_path / "mine.csv"
    out.write_text("formula,y\nNaCl,1\n")
    with served(Server(compounds(), size=30)) as server:
        command = ("datasets", "fetch", server.source, "nelements=2", "-o", out)
        done = xtalshift(*command)
        assert done.code == 1
        assert "not known to be an earlier output" in done.err
        assert server.seen == []
        assert xtalshift(*command, "--overwrite").code == 0
        assert xtalshift(*command).code == 0
    assert len(pd.read_csv(out)) == 25


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_fetch_that_was_stopped_goes_on(tmp_path, end):
    out = tmp_path / "out.parquet"
    with served(Server(compounds(), [None, None, lambda _: time.sleep(60)], size=5)) as server:
        script = "import sys; from xtalshift.cli.main import main; main(sys.argv[1:])"
        command = ["datasets", "fetch", server.source, "nelements=2", "-o", str(out)]
        process = subprocess.Popen(
            [sys.executable, "-c", script, *command], stderr=subprocess.PIPE, text=True
        )
        until = time.monotonic() + 120
        while len(server.seen) < 3 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(end)
        _, said = process.communicate(timeout=60)
        assert process.returncode != 0
        assert not out.exists()
        if end == signal.SIGINT:
            assert "10 structures were received and are kept for a day" in said
        found = fetch_structures(server.source, "nelements=2", out)
        assert (found.n_rows, found.n_requests) == (25, 3)
        assert "page_offset=10" in server.seen[3]


def find_python():
    """Return a Python with ``optimade[server]``: this one, or that of an environment variable."""
    named = os.environ.get("OPTIMADE_PYTHON")
    if named or importlib.util.find_spec("optimade") is None:
        return named
    return sys.executable


@pytest.fixture
def reference(tmp_path):
    """Serve compounds by the reference implementation; yield its address."""
    python = find_python()
    if not python:
        pytest.skip("OPTIMADE_PYTHON names no Python with the package optimade[server]")
    entries = compounds()
    entries[1]["attributes"] |= {
        "species": [species("M", ["B", "vacancy"], [0.75, 0.25]), species("P")],
        "species_at_sites": ["M", "P"],
        "chemical_formula_reduced": "B3P4",
        "structure_features": ["disorder"],
    }
    for one in entries:
        one["attributes"] |= {"nelements": 2, "last_modified": {"$date": "2024-01-01T00:00:00Z"}}
    lines = [{"x-optimade": {"meta": {"api_version": "1.2.0"}}}, *entries]
    data, config = tmp_path / "data.jsonl", tmp_path / "config.json"
    data.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    config.write_text(
        json.dumps(
            {
                "database_backend": "mongomock",
                "insert_test_data": False,
                "insert_from_jsonl": str(data),
                "page_limit_max": 50,
                "provider": {"prefix": "x", "name": "x", "description": "x"},
                "provider_fields": {"structures": [{"name": "_x_gap", "type": "float"}]},
            }
        )
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, "-m", "uvicorn", "optimade.server.main:app", "--port", str(port)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["OPTIMADE_CONFIG_FILE"] = str(config)
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            if process.poll() is not None:
                pytest.fail(log.read_text())
            try:
                httpx.get(f"{base}/v1/info", timeout=5.0)
                break
            except httpx.HTTPError:
                time.sleep(0.25)
        yield base
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.long
def test_the_reference_implementation_is_understood(reference, xtalshift, tmp_path, monkeypatch):
    monkeypatch.setattr(optimade_pages, "PAGE_ROWS", 4)
    out = tmp_path / "out.parquet"
    source = f"optimade:{reference}"
    found = fetch_structures(source, 'elements HAS ANY "B","Tl"', out, fields=["_x_gap"])
    frame = pd.read_parquet(out)
    assert (found.n_rows, found.n_requests, found.n_matching) == (10, 3, 10)
    assert found.n_without_structure == 1
    assert frame["id"].tolist() == [f"x-{number}" for number in [0, 1, 2, 3, 4, 20, 21, 22, 23, 24]]
    assert frame["_x_gap"].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 5.0, 5.25, 5.5, 5.75, 6.0]
    read = read_cells(frame["structure"].tolist())
    assert read.reasons[9] == "no lattice; take the structure from the provider"
    assert read.structures.take([1]).occupancies.tolist() == [0.75, 1.0]
    assert read.structures.take([5]).z.tolist() == [81, 7]
    done = xtalshift("datasets", "fetch", source, "nelements ! 2", "-o", out)
    assert done.code == 1
    assert "does not understand the filter: HTTP 400" in done.err
    monkeypatch.setattr(optimade_pages, "PAGE_ROWS", 1000)  # more than the server gives
    found = fetch_structures(source, "nelements=2", out)
    assert (found.n_rows, found.n_requests) == (25, 2)


def test_a_database_is_predicted_straight_away(xtalshift, tmp_path):
    out, model = tmp_path / "out.parquet", tmp_path / "model"
    column = ("--structure-col", "structure")
    with served(Server(compounds(), size=10)) as server:
        assert xtalshift("datasets", "fetch", server.source, "nelements=2", "-o", out,
                         "--fields", "_x_gap").code == 0  # fmt: skip
        train = ("train", out, *column, "--target", "_x_gap", "--method", "ridge", "-o", model)
        assert xtalshift(*train).code == 0
        straight = tmp_path / "straight.csv"
        done = xtalshift("predict", model, server.source, "nelements=2", "-o", straight)
        assert done.code == 0, done.err
        assert "25 structures of 25 that match" in done.err
        assert "24 of 25 rows predicted" in done.out
        n = len(server.seen)
        few = tmp_path / "few.csv"
        done = xtalshift("predict", model, server.source, "nelements=2", "-o", few, "--limit", 3)
        assert done.code == 0, done.err
        assert len(server.seen) == n  # the pages are on disk
    assert xtalshift("predict", model, out, *column, "-o", tmp_path / "p.csv").code == 0
    frame, steps = pd.read_csv(straight), pd.read_csv(tmp_path / "p.csv")
    pd.testing.assert_series_equal(frame["prediction"], steps["prediction"])
    assert frame["id"].tolist() == steps["id"].tolist()
    assert pd.read_csv(few)["id"].tolist() == ["x-0", "x-1", "x-2"]
    notes = json.loads((tmp_path / "straight.csv.source.json").read_text())
    assert (notes["filter"], notes["rows"], notes["database"]) == ("nelements=2", 25, server.base)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("optimade:mp", "nelements=2"), "name the file for the predictions"),
        (("optimade:mp", "a", "b", "-o", "p.csv"), "takes one filter, in quotes; given are 2"),
        (("GaN", "--limit", "3"), "--limit is for a database"),
        (("mp:", "elements=Ga", "-o", "p.csv"), "MP_API_KEY is not set"),
    ],
)
def test_wrong_predictions_of_a_database(xtalshift, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MP_API_KEY", raising=False)
    table, model = tmp_path / "t.csv", tmp_path / "model"
    table.write_text("formula,y\n" + "".join(f"Fe{n}O{n + 1},{n}\n" for n in range(1, 21)))
    assert xtalshift("train", table, "--target", "y", "--method", "ridge", "-o", model).code == 0
    done = xtalshift("predict", model, *arguments)
    assert done.code in {1, 2}
    assert said in done.err
    assert not (tmp_path / "p.csv").exists()
