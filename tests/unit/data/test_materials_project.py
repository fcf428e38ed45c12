"""The interface of the Materials Project, from a server on this machine."""

import http.server
import json
import threading
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest

from xtalshift.data import materials_project
from xtalshift.data.optimade import fetch_structures
from xtalshift.data.structure_texts import read_cells
from xtalshift.errors import FetchError, UsageError

KEY = "a" * 32


def summary(number):
    """Return a summary as the project has it."""
    edge = 4.0 + 0.1 * number
    sites = [
        {"species": [{"element": one, "occu": 1}], "abc": [x, x, x], "label": one}
        for one, x in (("Ga", 0.0), ("As", 0.5))
    ]
    return {
        "material_id": f"mp-{number}",
        "formula_pretty": "GaAs",
        "structure": {
            "@module": "pymatgen.core.structure",
            "@class": "Structure",
            "lattice": {"matrix": [[edge, 0, 0], [0, edge, 0], [0, 0, edge]]},
            "sites": sites,
        },
        "elements": ["As", "Ga"],
        "nsites": 2,
        "last_updated": "2024-01-01T00:00:00Z",
        "band_gap": 0.5 * number,
        "symmetry": {"number": 216},
    }


class Server(http.server.ThreadingHTTPServer):
    """Serves summaries as the project does; the n-th request meets the n-th fault."""

    daemon_threads = True

    def __init__(self, summaries, faults=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.summaries = summaries
        self.faults = list(faults)
        self.seen = []
        self.keys = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.seen.append(self.path)
        server.keys.append(self.headers.get("X-API-KEY"))
        fault = None
        if len(server.seen) <= len(server.faults):
            fault = server.faults[len(server.seen) - 1]
        if fault is not None:
            self.reply(*fault)
            return
        if self.headers.get("X-API-KEY") != KEY:
            self.reply(401, {"message": "Invalid authentication credentials"})
            return
        asked = {name: one[0] for name, one in parse_qs(urlsplit(self.path).query).items()}
        unknown = asked.keys() - {"elements", "_fields", "_limit", "_skip"}
        if unknown:
            said = f"Request contains query parameters which cannot be used: {unknown}"
            self.reply(404, {"detail": said})
            return
        begin = int(asked.get("_skip", 0))
        rows = server.summaries[begin : begin + int(asked["_limit"])]
        names = asked["_fields"].split(",")
        data = [{name: row[name] for name in names if name in row} for row in rows]
        self.reply(200, {"data": data, "meta": {"total_doc": len(server.summaries)}})

    def log_message(self, *args):
        pass

    def reply(self, status, content, headers=()):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Return a function that starts a server to which the settings lead."""
    servers = []
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MP_API_KEY", KEY)
    monkeypatch.setattr(materials_project, "_PAGE_ROWS", 4)

    def start(n=10, faults=()):
        server = Server([summary(number) for number in range(n)], faults)
        monkeypatch.setenv("MP_API_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_summaries_become_a_table(serve, tmp_path):
    server = serve()
    out = tmp_path / "out.parquet"
    found = fetch_structures("mp:", "elements=Ga,As", out, fields=["band_gap", "symmetry"])
    assert (found.n_rows, found.n_requests, found.n_matching) == (10, 3, 10)
    assert found.n_without_structure == 0
    frame = pd.read_parquet(out)
    assert list(frame) == [
        "id", "formula", "structure", "elements", "nsites", "last_modified", "band_gap", "symmetry"
    ]  # fmt: skip
    assert frame["id"].tolist() == [f"mp-{number}" for number in range(10)]
    assert set(frame["formula"]) == {"GaAs"}
    assert frame["elements"][0] == "As,Ga"
    np.testing.assert_array_equal(frame["band_gap"], 0.5 * np.arange(10))
    assert json.loads(frame["symmetry"][0]) == {"number": 216}
    structures = read_cells(frame["structure"].tolist()).structures
    np.testing.assert_allclose(structures.volumes, (4.0 + 0.1 * np.arange(10)) ** 3)
    assert server.seen[0] == (
        "/materials/summary/?elements=Ga,As&_fields=material_id,formula_pretty,structure,elements,"
        "nsites,last_updated,band_gap,symmetry&_limit=4"
    )
    assert [parse_qs(urlsplit(path).query).get("_skip") for path in server.seen] == [
        None, ["4"], ["8"],
    ]  # fmt: skip
    assert set(server.keys) == {KEY}


def test_the_notes_have_licence_and_citation_and_no_key(serve, tmp_path):
    serve(2)
    found = fetch_structures("mp:", "elements=Ga", tmp_path / "out.csv", limit=1)
    text = found.notes.read_text(encoding="utf-8")
    notes = json.loads(text)
    assert notes["licence"].startswith("CC BY 4.0; not for commercial use: materials whose")
    assert "APL Mater. 1, 011002" in notes["citation"]
    assert (notes["rows"], notes["structures_that_match"], notes["limit"]) == (1, 2, 1)
    assert KEY not in text
    kept = [path.read_text() for path in (tmp_path / "cache").rglob("*.json")]
    assert kept
    assert not any(KEY in one for one in kept)


def test_an_interrupted_fetch_continues(serve, tmp_path):
    broken = (503, {"message": "busy"})
    server = serve(faults=[None, *[broken] * 5])
    out = tmp_path / "out.parquet"
    with pytest.raises(FetchError, match=r"4 structures were received and are kept for a day"):
        fetch_structures("mp:", "elements=Ga", out, sleep=lambda _: None)
    assert not out.exists()
    found = fetch_structures("mp:", "elements=Ga", out)
    assert (found.n_rows, found.n_requests) == (10, 2)
    assert "_skip=4" in server.seen[6]


def test_the_server_may_ask_to_wait(serve, tmp_path):
    serve(faults=[(429, {"message": "API rate limit exceeded"}, [("Retry-After", "7")])])
    waits = []
    found = fetch_structures("mp:", "elements=Ga", tmp_path / "o.csv", sleep=waits.append)
    assert (found.n_rows, waits) == (10, [7.0])


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted(serve, tmp_path, status):
    server = serve(faults=[(status, {"message": "Invalid authentication credentials"})])
    with pytest.raises(FetchError, match=r"Invalid authentication credentials.*MP_API_KEY") as info:
        fetch_structures("mp:", "elements=Ga", tmp_path / "o.csv")
    assert KEY not in str(info.value)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (None, "which cannot be used: {'gap_min'}"),
        ((422, {"detail": [{"loc": ["query", "gap_min"], "msg": "not a float"}]}), "gap_min: not"),
    ],
)
def test_a_filter_that_the_server_refuses(serve, tmp_path, fault, said):
    serve(faults=[fault])
    with pytest.raises(FetchError, match="does not understand the filter: HTTP 4") as info:
        fetch_structures("mp:", "gap_min=x", tmp_path / "o.csv")
    assert said in str(info.value)


def test_other_replies(serve, tmp_path):
    serve(faults=[(200, {"data": [], "meta": {}})])
    with pytest.raises(FetchError, match="does not say how many materials match"):
        fetch_structures("mp:", "elements=Ga", tmp_path / "o.csv")
    serve(0)
    found = fetch_structures("mp:", "elements=Xe", tmp_path / "o.csv")
    assert (found.n_rows, found.n_matching) == (0, 0)


@pytest.mark.parametrize("text", ['elements HAS "Ga"', "_limit=5", "elements=", "Elements=Ga"])
def test_what_is_no_filter(serve, tmp_path, text):
    server = serve()
    with pytest.raises(UsageError, match="is no filter of the Materials Project"):
        fetch_structures("mp:", text, tmp_path / "o.csv")
    assert server.seen == []


@pytest.mark.parametrize(("key", "said"), [("", "is not set"), ("a b", "holds signs")])
def test_a_key_is_needed(serve, tmp_path, monkeypatch, key, said):
    server = serve()
    monkeypatch.setenv("MP_API_KEY", key)
    with pytest.raises(UsageError, match=f"MP_API_KEY {said}"):
        fetch_structures("mp:", "elements=Ga", tmp_path / "o.csv")
    assert server.seen == []


def test_the_key_goes_to_no_other_server(serve, tmp_path):
    other = serve()
    elsewhere = f"http://127.0.0.1:{other.server_port}/"
    server = serve(faults=[(302, {}, [("Location", elsewhere)])])
    with pytest.raises(FetchError, match="leads to another server"):
        fetch_structures("mp:", "elements=Ga", tmp_path / "o.csv")
    assert (len(server.seen), other.seen) == (1, [])
