"""A small OPTIMADE server on this machine whose faults are chosen."""

import http.server
import json
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

CUBE = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.1]]


def species(name, symbols=None, shares=None):
    return {
        "name": name,
        "chemical_symbols": symbols or [name],
        "concentration": shares or [1.0],
    }


def attributes(**changes):
    return {
        "chemical_formula_reduced": "AsGa",
        "elements": ["As", "Ga"],
        "nsites": 2,
        "last_modified": "2024-01-01T00:00:00Z",
        "lattice_vectors": CUBE,
        "dimension_types": [1, 1, 1],
        "cartesian_site_positions": [[0.0, 0.0, 0.0], [2.0, 2.0, 2.05]],
        "species": [species("Ga"), species("As")],
        "species_at_sites": ["Ga", "As"],
        "structure_features": [],
        **changes,
    }


def entry(number, **changes):
    return {"id": f"x-{number}", "type": "structures", "attributes": attributes(**changes)}


class Server(http.server.ThreadingHTTPServer):
    """Serves entries in pages; the n-th request meets the n-th fault, if there is one."""

    daemon_threads = True

    def __init__(self, entries, faults=(), size=2):
        super().__init__(("127.0.0.1", 0), Handler)
        self.entries = entries
        self.faults = list(faults)
        self.size = size
        self.seen = []

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def source(self):
        return f"optimade:{self.base}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, number = self.server, len(self.server.seen)
        server.seen.append(self.path)
        fault = server.faults[number] if number < len(server.faults) else None
        if fault is not None:
            fault(self)
        else:
            self.page()

    def log_message(self, *args):
        pass

    def page(self, **changes):
        at = int(parse_qs(urlsplit(self.path).query).get("page_offset", ["0"])[0])
        end = at + self.server.size
        more = end < len(self.server.entries)
        next_link = f"/v1/structures?page_offset={end}" if more else None
        values = {
            "data": self.server.entries[at:end],
            "links": {"next": next_link},
            "meta": {"data_returned": len(self.server.entries), "more_data_available": more},
        }
        self.reply(200, json.dumps({**values, **changes}).encode())

    def reply(self, status, body, *, claim=None, extra=()):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if claim is None else claim))
        for key, value in extra:
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


def status(code, detail="", **headers):
    body = json.dumps({"errors": [{"title": "Wrong", "detail": detail}]}).encode()
    extra = [(key.replace("_", "-"), value) for key, value in headers.items()]
    return lambda handler: handler.reply(code, body, extra=extra)


def text(body, claim=None):
    return lambda handler: handler.reply(200, body, claim=claim)


def page(**changes):
    return lambda handler: handler.page(**changes)


@contextmanager
def served(server):
    """Let a server answer while the block runs."""
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
