"""The frame of the page: start, login, files, security headers, errors, numbers."""

from __future__ import annotations

import re

import pytest

from unit.web.conftest import open_client

TOKEN = "a-token-of-this-test"
EVIL = "<script>alert(1)</script>"


def send(client, name: str, content: bytes):
    return client.post("/tables", files={"table": (name, content)})


def test_the_start_lists_models_tables_and_jobs(client):
    found = client.get("/")
    assert (found.status_code, found.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for name in ("gaps", "warm", "both", "metal", "ricci_seebeck", "No tables yet"):
        assert name in found.text
    sent = send(client, "gaps.csv", b"formula,gap\nGaN,3.4\n")
    assert (sent.status_code, sent.headers["location"][:14]) == (303, "/tables/table-")
    again = send(client, "gaps.csv", b"formula,gap\nGaN,3.4\n")
    assert again.headers["location"] == sent.headers["location"]  # sent twice, kept once
    assert sent.headers["location"] in client.get("/").text
    gone = client.post(f"{sent.headers['location']}/delete")
    assert (gone.status_code, gone.headers["location"]) == (303, "/#tables")
    assert "No tables yet" in client.get("/").text


def test_rows_can_be_pasted(client):
    found = client.post("/tables", data={"pasted": "formula\tgap\nGaN\t3,4\n"})
    assert found.status_code == 303
    (one,) = client.get("/api/v1/tables").json()
    assert (one["name"], one["bytes"]) == ("pasted.csv", 20)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("paper.pdf", b"%PDF-1.7", "&#39;paper.pdf&#39; has a type that cannot be sent"),
        ("gaps.csv", b"", "&#39;gaps.csv&#39; is empty; choose a file with a header and rows"),
        (f"{EVIL}.exe", b"x", "&lt;script&gt;"),
    ],
)
def test_what_is_no_table_is_refused_beside_the_form(client, name, content, said):
    found = send(client, name, content)
    assert (found.status_code, said in found.text, EVIL in found.text) == (422, True, False)
    assert 'role="alert"' in found.text
    assert client.get("/api/v1/tables").json() == []


def test_nothing_chosen_is_said(client):
    assert "no table was chosen" in client.post("/tables", data={"pasted": " "}).text


def test_names_are_escaped(client):
    assert send(client, f"{EVIL}.csv", b"formula,gap\nGaN,3.4\n").status_code == 303
    text = client.get("/").text
    assert (EVIL in text, "&lt;script&gt;alert(1)&lt;/script&gt;.csv" in text) == (False, True)


def test_pages_run_nothing_that_is_written_in_them(client):
    found = client.get("/")
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in found.headers["content-security-policy"].split(";")
    )
    assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
    assert (policy["connect-src"], policy["form-action"], policy["frame-ancestors"]) == (
        "'self'", "'self'", "'none'")  # fmt: skip
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|javascript:|https?://", found.text)


@pytest.mark.parametrize("path", ["/", "/api/v1/models", "/healthz", "/nothing", "/api/v1/nothing"])
def test_every_answer_is_guarded(client, path):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    page = headers["content-type"].startswith("text/html")
    assert headers["referrer-policy"] == ("same-origin" if page else "no-referrer")
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_files_of_the_page_may_be_kept_for_their_address_names_their_version(client):
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get("/").text)
    assert len(addresses) >= 4
    for address in {*addresses, "/static/plotly.min.js"}:
        found = client.get(address)
        assert (found.status_code, "immutable" in found.headers["cache-control"]) == (200, True)
    for name in ("htmx.LICENSE.txt", "../start.py", "%2e%2e/start.py", "base.html.j2"):
        assert client.get(f"/static/{name}").status_code == 404


def test_what_is_not_there_is_told_to_people_as_a_page_and_to_programs_as_a_problem(client):
    found = client.get("/nothing")
    assert (found.status_code, "<h1>Not found</h1>" in found.text) == (404, True)
    assert client.get("/api/v1/nothing").headers["content-type"] == "application/problem+json"


def test_pages_of_other_sites_are_refused_with_a_way_to_open_the_page(client):
    found = client.get("/", headers={"Sec-Fetch-Site": "cross-site"})
    assert (found.status_code, "Open it from here" in found.text) == (403, True)
    headers = {"Origin": "http://evil.example"}
    sent = client.post("/tables", data={"pasted": "formula,gap\nGaN,3\n"}, headers=headers)
    assert (sent.status_code, client.get("/api/v1/tables").json()) == (403, [])


def test_a_person_shows_the_token_once(models, tmp_path):
    with open_client(models, tmp_path, token=TOKEN) as client:
        asked = client.get("/jobs/x")
        assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=/jobs/x")
        assert client.get("/api/v1/models").status_code == 401
        form = client.get(asked.headers["location"])
        assert 'value="/jobs/x"' in form.text
        wrong = client.post("/login", data={"token": TOKEN[:-1]})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        assert "This is not the token" in wrong.text
        right = client.post("/login", data={"token": f" {TOKEN}\n", "next": "/?all=1"})
        assert (right.status_code, right.headers["location"]) == (303, "/?all=1")
        cookie = right.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert TOKEN not in cookie
        assert client.get("/").status_code == 200  # the client sends the cookie
        assert client.get("/api/v1/models").status_code == 200
        evil = {"Sec-Fetch-Site": "cross-site"}
        assert client.get("/api/v1/models", headers=evil).status_code == 403
        client.post("/logout")
        assert client.get("/").status_code == 303
        name = cookie.partition("=")[0]
        forged = client.get("/", headers={"Cookie": f"{name}=0123456789abcdef"})
        assert forged.status_code == 303


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({}, False),
        ({"Origin": "http://127.0.0.1:8000"}, False),
        ({"Origin": "https://127.0.0.1:8000"}, True),  # a proxy with TLS is before the server
        ({"X-Forwarded-Proto": "https"}, True),
        ({"X-Forwarded-Proto": "http"}, False),
    ],
)
def test_a_session_that_begins_over_tls_stays_there(models, tmp_path, headers, secure):
    with open_client(models, tmp_path, token=TOKEN) as client:
        found = client.post("/login", data={"token": TOKEN}, headers=headers)
        assert ("; secure" in found.headers["set-cookie"].lower()) == secure


@pytest.mark.parametrize(
    ("method", "path", "headers", "next_"),
    [
        ("GET", "/models/gaps?element=Ga", {}, "/models/gaps?element=Ga"),
        ("POST", "/tables", {}, "/"),  # no screen: after the login it would be asked for by GET
        ("POST", "/models/gaps/suggest", {"Referer": "http://127.0.0.1:8000/models/gaps/next?a=1"},
         "/models/gaps/next?a=1"),
        ("POST", "/tables", {"Referer": "http://["}, "/"),
        ("POST", "/tables", {"Referer": "http://evil.example"}, "/"),
    ],
)  # fmt: skip
def test_after_the_login_a_person_is_where_she_was(models, tmp_path, method, path, headers, next_):
    with open_client(models, tmp_path, token=TOKEN) as client:
        found = client.request(method, path, headers=headers)
        assert (found.status_code, found.headers["location"][:12]) == (303, "/login?next=")
        form = client.get(found.headers["location"])
        assert f'name="next" value="{next_}"' in form.text


def test_a_part_of_a_screen_leads_the_whole_screen_to_the_login(models, tmp_path):
    with open_client(models, tmp_path, token=TOKEN) as client:
        here = {"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8000/?all=1"}
        found = client.get("/parts/jobs", headers=here)
        assert (found.status_code, found.content) == (401, b"")
        assert client.get(found.headers["hx-redirect"]).text.count('value="/?all=1"') == 1


@pytest.mark.parametrize(
    "next_", ["//evil.example", "https://evil.example", "/\\evil.example", "x"]
)
def test_a_login_leads_nowhere_else(models, tmp_path, next_):
    with open_client(models, tmp_path, token=TOKEN) as client:
        found = client.post("/login", data={"token": TOKEN, "next": next_})
        assert found.headers["location"] == "/"


def test_without_a_token_there_is_no_login(client):
    assert client.get("/login").headers["location"] == "/"
    assert "Log out" not in client.get("/").text
