"""Who may ask, from where, and how much."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from unit.web.conftest import open_client
from xtalshift.errors import UsageError
from xtalshift.web import wrong_tokens
from xtalshift.web.in_flight import InFlight
from xtalshift.web.problems import RequestError
from xtalshift.web.prompt import PromptProtocol
from xtalshift.web.settings import ServeConfig
from xtalshift.web.wrong_tokens import WrongTokens

TOKEN = "a-token-of-this-test"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", ""]
)
def test_another_name_of_this_machine_is_refused(client, host):
    found = client.get("/healthz", headers={"Host": host})
    assert (found.status_code, found.json()["title"]) == (421, "RequestError")


@pytest.mark.parametrize(
    "host", ["localhost:8000", "LOCALHOST", "127.0.0.1", "[::1]:8000", "10.0.0.5"]
)
def test_addresses_cannot_be_rebound(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_a_name_can_be_allowed(models, tmp_path):
    with open_client(models, tmp_path, names=("lab.example",)) as client:
        assert client.get("/healthz", headers={"Host": "lab.example:80"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://127.0.0.1:8001"}, 403),
        ({"Origin": "https://127.0.0.1:8000"}, 200),  # a proxy with TLS is before the server
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8000"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_pages_of_other_sites_are_refused(client, headers, status):
    assert client.get("/api/v1/models", headers=headers).status_code == status
    asked = {"formulas": ["GaN"]}
    found = client.post("/api/v1/models/gaps/predict", json=asked, headers=headers)
    assert found.status_code == status


@pytest.mark.parametrize(
    ("given", "status"),
    [(None, 401), (TOKEN, 401), (f"Bearer {TOKEN}x", 401), ("Bearer \xe9", 401),
     (f"Bearer {TOKEN}", 200)],
)  # fmt: skip
def test_a_token_is_needed_where_one_is_set(models, tmp_path, given, status):
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    with open_client(models, tmp_path, token=TOKEN) as client:
        for path in ("/api/v1/models", "/api/v1/openapi.json"):
            found = client.get(path, headers=headers)
            assert found.status_code == status
            assert ("www-authenticate" in found.headers) == (status == 401)
        assert client.get("/healthz").status_code == 200


def test_wrong_tokens_are_answered_one_after_the_other(monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    async def ask(wrong):
        for _ in range(300):
            await wrong.wait()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(ask(WrongTokens()))
    assert waited[:3] == pytest.approx([0, 0.1, 0.2], abs=0.05)
    assert max(waited) == waited[-1] == 10


def test_who_knows_the_token_never_waits(models, tmp_path, monkeypatch):
    monkeypatch.setattr(wrong_tokens, "_APART", 1000.0)
    monkeypatch.setattr(wrong_tokens, "_LONGEST", 1000.0)
    guesses = [
        ("/api/v1/models", {"headers": {"Authorization": "Bearer guess"}}),
        ("/login", {"data": {"token": "guess"}}),
    ]
    with open_client(models, tmp_path, token=TOKEN) as client:
        assert client.get("/api/v1/models").status_code == 401  # no guess: it is told how
        assert client.post("/login", data={"token": "guess"}).status_code == 401
        waiting = [
            client.portal.start_task_soon(lambda path=path, how=how: client.asked.post(path, **how))
            for path, how in guesses
        ]
        own = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/v1/models", headers=own).status_code == 200
        assert client.post("/login", data={"token": TOKEN}).status_code == 303
        assert [one.done() for one in waiting] == [False, False]
        for one in waiting:
            one.cancel()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "lab.example"])
def test_another_host_needs_a_token(host):
    with pytest.raises(UsageError, match="can be reached by other machines, so a token is needed"):
        ServeConfig.from_dict({"host": host})
    assert ServeConfig.from_dict({"host": host, "token": TOKEN}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_this_machine_needs_none(host):
    assert ServeConfig.from_dict({"host": host}).token is None


def test_a_short_token_is_refused_and_none_is_shown():
    with pytest.raises(UsageError, match="at least 16 ASCII characters"):
        ServeConfig.from_dict({"token": "short"})
    assert TOKEN not in repr(ServeConfig(token=TOKEN))


def test_a_json_body_has_a_limit(models, tmp_path):
    with open_client(models, tmp_path, max_json_mb=0.001) as client:
        name = "/api/v1/models/gaps/predict"
        asked = {"formulas": ["GaN"] * 300}
        assert client.post(name, json=asked).status_code == 413
        sent = {"Content-Type": "application/json"}
        pieces = iter([b'{"formulas": [', *[b'"GaN",'] * 300, b'"GaN"]}'])
        found = client.post(name, content=pieces, headers=sent)
        assert (found.status_code, found.json()["title"]) == (413, "RequestError")


@pytest.mark.parametrize(
    ("method", "path", "kind", "limit"),
    [
        ("POST", "/api/v1/models/gaps/predict", "application/json", 10_000),
        ("POST", "/api/v1/models/gaps/predict", "text/csv", 100_000),
        ("POST", "/api/v1/models/gaps/predict", "application/vnd.apache.parquet", 100_000),
        ("POST", "/api/v1/models/gaps/predict", "text/plain", 10_000),
        ("POST", "/api/v1/models/gaps/explain", "text/plain", 10_000),
        ("PUT", "/api/v1/tables/x/reading", "application/octet-stream", 10_000),
        ("POST", "/api/v1/tables?name=a.csv", "application/json", 100_000),  # a file, whatever
        ("POST", "/api/v1/tables?name=a.csv", "text/plain", 100_000),
        ("POST", "/api/v1/jobs/check", "multipart/form-data; boundary=x", 100_000),
        ("POST", "/api/v1/jobs/check", "application/x-www-form-urlencoded", 10_000),
        ("POST", "/tables", "multipart/form-data; boundary=x", 100_000),
        ("POST", "/tables", "application/x-www-form-urlencoded", 10_000),
        ("POST", "/models/gaps/suggest", "", 10_000),
    ],
)
def test_every_kind_of_body_has_a_limit(limited, method, path, kind, limit):
    headers = {"Content-Type": kind}
    for size, refused in ((limit + 1, True), (limit, False)):
        found = limited.request(method, path, content=b"x" * size, headers=headers)
        assert (found.status_code == 413) == refused, found.text


@pytest.fixture(scope="module")
def limited(models, tmp_path_factory):
    """Yield a client of an application that takes in 10 kB of JSON and 100 kB of tables."""
    folder = tmp_path_factory.mktemp("limited")
    with open_client(models, folder, max_json_mb=0.01, max_body_mb=0.1) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "kind"),
    [("models/gaps/explain", "text/csv"), ("models/gaps/explain", "text/plain"),
     ("jobs/check", "text/plain")],
)  # fmt: skip
def test_what_is_read_as_json_says_that_it_is(limited, path, kind):
    found = limited.post(f"/api/v1/{path}", content=b"{}", headers={"Content-Type": kind})
    assert (found.status_code, f"Content-Type '{kind}': send" in found.text) == (415, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"formulas": [' + b"1," * 100_000 + b"1]}", "more than 100,000 values"),
        (b'{"formulas": ["GaN"], "formulas": ["Xx"]}', "'formulas' is given twice"),
        (
            b'{"formulas": [1, 2, 3]}',
            "setting 'formulas.0' = 1: Input should be a valid string; setting",
        ),
        (b"{" + b",".join(b'"%d": 1' % n for n in range(500)) + b"}", "; and 481 more"),
    ],
)
def test_what_is_wrong_with_a_body_fills_no_memory(client, text, said):
    headers = {"Content-Type": "application/json"}
    found = client.post("/api/v1/models/gaps/predict", content=text, headers=headers)
    assert (found.status_code, said in found.text) == (413 if "more than" in said else 422, True)


def test_forms_have_a_limited_number_of_parts(client):
    fields = {f"field-{n}": "x" for n in range(200)}
    found = client.post("/tables", data=fields)
    assert (found.status_code, "Maximum number of fields is 100" in found.text) == (400, True)


def test_all_bodies_together_have_a_limit():
    both = InFlight(10)
    for _ in range(8):
        both.take(10)
    with pytest.raises(RequestError, match="send it again in a second") as refused:
        both.take(1)
    assert refused.value.status == 429
    both.give(10)
    both.take(10)


def test_a_body_counts_until_its_request_has_ended(models, tmp_path):
    def pieces():
        yield b"formula\n"
        yield from [b"GaN\n" * 1000] * 3

    with open_client(models, tmp_path, max_json_mb=0.01, max_body_mb=0.0125) as client:
        for _ in range(9):  # 108 kB, one after the other; 100 are the most at once
            found = client.post("/api/v1/models/gaps/predict", content=pieces(),
                                headers={"Content-Type": "text/csv"})  # fmt: skip
            assert (found.status_code, found.headers["xtalshift-rows"]) == (200, "3000")


def test_a_stranger_has_little_time_to_send_a_token(models, tmp_path, monkeypatch):
    monkeypatch.setattr("xtalshift.web.guard._OPEN_SECONDS", 0.05)

    async def slow():
        yield b"token="
        await asyncio.sleep(60)

    with open_client(models, tmp_path, token=TOKEN) as client:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        found = client.post("/login", content=slow(), headers=kind)
        assert (found.status_code, "not complete after 0.05 s" in found.text) == (408, True)


class FakeTransport(asyncio.Transport):
    """A connection that keeps what is sent to it."""

    def __init__(self):
        super().__init__()
        self.sent, self.closed = b"", False

    def write(self, data):
        self.sent += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_protocol(self):
        return None


@pytest.mark.parametrize(
    ("first", "then", "closed"),
    [
        (b"", b"", True),
        (b"GET /healthz HT", b"", True),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n", True),  # ever more headers
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"", False),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /he", True),
        (b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", b"x", False),
    ],
)
def test_a_connection_has_to_say_what_it_wants(monkeypatch, first, then, closed):
    monkeypatch.setattr("xtalshift.web.prompt._SECONDS", 0.1)

    async def answer(scope, receive, send):
        if scope["method"] == "POST":
            await asyncio.sleep(60)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def talk():
        settings = uvicorn.Config(answer, http=PromptProtocol, access_log=False)
        settings.load()
        one = PromptProtocol(settings, ServerState(), {})
        transport = FakeTransport()
        one.connection_made(transport)
        for part in (first, then):
            if part:
                one.data_received(part)
            await asyncio.sleep(0.07)
        await asyncio.sleep(0.07)
        found = transport.closed
        one.connection_lost(None)
        return found

    assert asyncio.run(talk()) == closed


def test_a_form_that_memory_holds_has_a_limit(models, tmp_path):
    with open_client(models, tmp_path, max_json_mb=0.001, token=TOKEN) as client:
        large = {"token": "x" * 70_000, "way": "us"}
        assert client.post("/login", data={"token": "x" * 2000}).status_code == 401
        assert client.post("/login", data=large).status_code == 413  # without a token
        own = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post("/numbers", data=large, headers=own).status_code == 413


def test_errors_of_the_framework_are_problems_too(client):
    for found, status in (
        (client.get("/api/v1/nothing"), 404),
        (client.delete("/api/v1/models"), 405),
    ):
        assert (found.status_code, found.json()["status"]) == (status, status)
        assert found.headers["content-type"] == "application/problem+json"


def test_an_unexpected_error_tells_nothing(client, monkeypatch, caplog):
    monkeypatch.setattr("xtalshift.web.model_routes.summary_of", lambda *_: 1 / 0)
    found = client.get("/api/v1/models")
    assert found.status_code == 500
    assert found.json()["detail"] == (
        "unexpected ZeroDivisionError. This is a bug in xtalshift; its log shows where"
    )
    assert "GET /api/v1/models" in caplog.text
