"""Requests made from the description of the interface, and broken ones: never a server error."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import Field

from unit.web.conftest import AppClient, open_client
from unit.web.test_jobs import send, submit
from xtalshift.config import Settings
from xtalshift.jsonio import read_json
from xtalshift.web.described import schema_of
from xtalshift.web.job_kinds import KINDS
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.job_store import OUTCOME
from xtalshift.web.work import work

LONG = 10_000
"""Requests of the long test, half of them as programs make them, half as the page does."""
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["gaps", "warm", "ricci_seebeck", "fixed.csv", "..", "../x", "%00", "é", ""]
)
WORDS = (
    NAMES | st.text(max_size=10) | st.sampled_from(["GaN", "gap", "auto", "ridge", "0.9", "true"])
)
TYPES = [
    "application/json",
    "text/csv",
    "application/vnd.apache.parquet",
    "text/plain",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "*/*",
    "text/*;q=0.5, */*;q=x",
    "application/x-www-form-urlencoded",
    "",
]
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="table"; filename="a.csv"\r\n\r\n'
    b"formula\n\r\n--x--\r\n"
)
BODIES = [
    *(b"", b"formula\nGaN\nXx\n", b"formula;gap\n=1+1;2\n", b"PAR1\0\0PAR1", b"\xff\xfe\0"),
    *(b"{", b"[" * 5000, b'"\\ud800"', FORM),
]


def values_of(schema: dict, words: st.SearchStrategy) -> st.SearchStrategy:
    """Return values for a schema, of which some are wrong."""
    for name in ("anyOf", "oneOf"):
        if name in schema:
            return st.one_of(*(values_of(one, words) for one in schema[name]))
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")])) | ANY_JSON
    kinds = {
        "boolean": st.booleans(),
        "integer": st.integers(-3, 2000) | st.integers(),
        "number": st.floats(0, 1) | st.floats(),
        "string": words,
        "null": st.none(),
        "array": st.lists(
            st.deferred(lambda: values_of(schema.get("items", {}), words)), max_size=4
        ),
        "object": st.deferred(lambda: objects_of(schema, words)),
    }
    return kinds.get(schema.get("type"), ANY_JSON)


def objects_of(schema: dict, words: st.SearchStrategy) -> st.SearchStrategy:
    parts = {name: values_of(one, words) for name, one in schema.get("properties", {}).items()}
    needed = {name: parts.pop(name) for name in schema.get("required", []) if name in parts}
    found = st.fixed_dictionaries(needed, optional=parts)
    others = st.dictionaries(words, ANY_JSON, max_size=2)
    return found | st.builds(lambda one, more: {**one, **more}, found, others)


@dataclass(frozen=True)
class Fuzzed:
    """An application, and what it has: requests about that get further than others."""

    client: AppClient
    known: dict[str, str]
    """Ids and names by what the description calls them."""

    @property
    def words(self) -> st.SearchStrategy:
        words = {word for what, word in self.known.items() if not what.startswith("old ")}
        return st.sampled_from(sorted(words)) | WORDS

    @property
    def description(self) -> dict:
        return self.client.get("/api/v1/openapi.json").json()

    def example(self, example: dict) -> dict:
        """Return an example of the description, about what there is; a name is taken only once."""
        return {
            name: self.known.get(name, value) for name, value in example.items() if name != "name"
        }


@st.composite
def requests_of(draw: st.DrawFn, fuzzed: Fuzzed, description: dict) -> tuple[str, dict]:
    """Return a request of one operation, with its name."""
    path = draw(st.sampled_from(sorted(description["paths"])))
    method = draw(st.sampled_from(sorted(description["paths"][path])))
    operation, name = description["paths"][path][method], f"{method.upper()} {path}"
    query = {
        one["name"]: draw(values_of(one.get("schema", {}), fuzzed.words))
        for one in operation.get("parameters", [])
        if one["in"] == "query" and draw(st.integers(0, 4)) == 0
    }
    headers = {"Accept": draw(st.sampled_from(TYPES))} if draw(st.booleans()) else {}
    asked = operation.get("requestBody", {}).get("content", {})
    body = b""
    if "application/json" in asked and draw(st.integers(0, 3)):
        headers["Content-Type"] = "application/json"
        own = asked["application/json"]
        values = draw(values_of(own["schema"], fuzzed.words))
        if draw(st.booleans()):  # most of it is right
            some = draw(st.sets(st.sampled_from(sorted(own["schema"]["properties"])), max_size=2))
            values = fuzzed.example(own["example"]) | {
                key: draw(values_of(own["schema"]["properties"][key], fuzzed.words)) for key in some
            }
        body = json.dumps(values).encode()
    elif asked:
        headers["Content-Type"] = draw(st.sampled_from([*asked, *TYPES]))
        body = draw(st.sampled_from(BODIES) | st.binary(max_size=50))
    texts = {key: str(value) for key, value in query.items()}
    return name, {
        "method": method.upper(),
        "path": draw(addresses_of(fuzzed, method, path)),
        "params": texts,
        "headers": headers,
        "content": body,
    }


@st.composite
def addresses_of(draw: st.DrawFn, fuzzed: Fuzzed, method: str, path: str) -> str:
    """Return the address of a route about something, mostly about what there is."""
    kind = path.removeprefix("/api/v1").split("/")[1]
    words = fuzzed.words
    if method.upper() == "DELETE" or path.endswith("/delete"):
        kind, words = f"old {kind}", WORDS  # what others ask for stays
    for place in re.findall(r"\{[^}]*\}", path):
        own = fuzzed.known.get(f"{kind} {place}", fuzzed.known.get(kind, "1"))
        word = own if draw(st.integers(0, 2)) else draw(words)
        path = path.replace(place, word.replace("?", "").replace("#", ""), 1)
    return path


@st.composite
def page_requests_of(draw: st.DrawFn, fuzzed: Fuzzed, routes: list) -> tuple[str, dict]:
    """Return a request as the page makes it, with the name of its route."""
    route = draw(st.sampled_from(routes))
    method = draw(st.sampled_from(sorted(route.methods)))
    fields = st.sampled_from([
        *("table", "formulas", "level", "pasted", "next", "way", "token", "target", "method", "n"),
        *("aim", "name", "table_id", "measured", "in_domain", "separator", "decimal", "structures"),
        *("formula-1", "value-1-0", "given-1-temperature", "with-temperature", "goal-gap", "page"),
        *("formula", "class", "element", "sort", "order", "domain", "q", "suggest", "adapt", "job"),
        *("unit", "minutes", "question", "candidates", "expectation", "task", "all"),
    ])  # fmt: skip
    values = fuzzed.words | st.sampled_from(["", "0", "-1", "1e999", "nan", "GaN\nXx", "\0", "1,5"])
    asked = draw(st.dictionaries(fields, values, max_size=4))
    how: dict = {"params" if method in {"GET", "HEAD"} else "data": asked}
    if method == "POST" and draw(st.booleans()):
        name = draw(st.sampled_from(["a.csv", "a.zip", "a.cif", "a.xlsx", "a.csv.gz", "\0", ""]))
        how["files"] = {"table": (name, draw(st.sampled_from(BODIES)))}
    headers = {"HX-Request": "true"} if draw(st.booleans()) else {}
    return f"{method} {route.path}", {
        "method": method,
        "path": draw(addresses_of(fuzzed, method, route.path)),
        "headers": headers,
        **how,
    }


@pytest.fixture(scope="module")
def fuzzed(models, table, tmp_path_factory):
    """Return an application whose jobs never begin, with a table, a prediction and ended jobs."""
    with pytest.MonkeyPatch.context() as patch:
        started: list[JobRunner] = []

        def begin(runner):
            started.append(runner)

        patch.setattr(JobRunner, "start", begin)
        patch.setattr(JobRunner, "stop", lambda _: None)
        store = tmp_path_factory.mktemp("fuzz")
        with open_client(models, store, max_jobs=10**6, max_json_mb=0.1) as client:
            known = {"model": "gaps", "models": "gaps", "row": "1", "table": send(client, table)}
            known["tables"] = known["table"]
            known["old tables"] = send(client, table)
            known["old jobs"] = submit(client, "check", table=known["table"])["id"]
            job = submit(client, "check", table=known["table"], target="gap")
            with pytest.MonkeyPatch.context() as here:
                here.chdir(store / "jobs" / job["id"])
                work(store / "jobs" / job["id"], store)
            jobs = started[0]._jobs
            jobs.settle(jobs.get(job["id"]), read_json(store / "jobs" / job["id"] / OUTCOME))
            known["jobs"] = job["id"]
            known["jobs {name}"] = "findings.json"
            made = client.post("/models/gaps/predictions", data={"formulas": "GaN\nXx"})
            known["models {id}"] = made.headers["location"].rpartition("/")[2]
            known |= {"models {kind}": "csv", "models {symbol}": "Ga", "models {row}": "1"}
            known |= {"static": "page.css", "datasets": "ricci_seebeck", "field": "temperature"}
            yield Fuzzed(client, known)


def page_routes(routes: list) -> Iterator[APIRoute]:
    """Yield the routes that are not described: those of the page."""
    for one in routes:
        yield from page_routes(getattr(getattr(one, "original_router", None), "routes", []))
        if isinstance(one, APIRoute) and not one.include_in_schema:
            yield one


def check_answer(client: AppClient, name: str, asked: dict) -> int:
    """Ask, and return the status of the answer, 0 if it was no request."""
    try:
        found = client.request(asked["method"], asked["path"], **{
            key: value for key, value in asked.items() if key not in {"method", "path"}
        })  # fmt: skip
    except (httpx.InvalidURL, UnicodeEncodeError):
        return 0
    assert found.status_code < 500, (asked, found.text)
    if found.status_code >= 400 and asked["path"].startswith("/api/"):
        assert found.headers["content-type"] == "application/problem+json", (asked, found.text)
        problem = found.json()
        assert (problem["status"], bool(problem["detail"])) == (found.status_code, True)
    return found.status_code


def fuzz(client: AppClient, requests: st.SearchStrategy, examples: int) -> Counter[tuple[str, int]]:
    """Make requests; return how often each route gave each status."""
    counted: Counter[tuple[str, int]] = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests)
    def never_fails(asked):
        counted[asked[0], check_answer(client, *asked)] += 1

    never_fails()
    return counted


def fuzz_both(fuzzed: Fuzzed, examples: int) -> Counter[tuple[str, int]]:
    described = requests_of(fuzzed, fuzzed.description)
    routes = sorted(page_routes(fuzzed.client.app.routes), key=lambda one: one.path)
    counted = fuzz(fuzzed.client, described, examples // 2)
    return counted + fuzz(fuzzed.client, page_requests_of(fuzzed, routes), examples // 2)


def test_some_hundred_requests(fuzzed):
    fuzz_both(fuzzed, 200)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_ten_thousand_requests(fuzzed):
    counted = fuzz_both(fuzzed, LONG)
    routes = sorted({name for name, _ in counted})
    for name in routes:  # pytest -s
        each = {int(status): n for (one, status), n in sorted(counted.items()) if one == name}
        print(f"{name}: {sum(each.values())} {each}")  # noqa: T201
    assert sum(counted.values()) >= 0.99 * LONG
    paths = fuzzed.description["paths"]
    described = {f"{method.upper()} {path}" for path in paths for method in paths[path]}
    assert described <= set(routes)
    for kind in KINDS:  # what is mostly right gets through
        assert counted[f"POST /api/v1/jobs/{kind}", 202] > 0, kind


def test_the_description_names_every_operation_and_its_examples(fuzzed):
    paths = fuzzed.description["paths"]
    assert {"/healthz", "/api/v1/models/{name}/predict", "/api/v1/jobs/train"} <= set(paths)
    for path, operations in paths.items():
        for method, operation in operations.items():
            place = f"{method} {path}"
            assert operation["summary"], place
            for one in operation.get("parameters", []):
                assert one["description"], (place, one["name"])
            content = operation.get("requestBody", {}).get("content", {})
            assert not content or any("example" in one for one in content.values()), place
            for kind, one in content.items():
                for name, field in one["schema"].get("properties", {}).items():
                    assert field["description"], (place, kind, name)


def test_what_is_said_below_a_field_is_its_description():
    class Base(Settings):
        first: int = 1
        """Said of
        the first."""
        second: int = 2
        third: int = 3
        """`second`, `third`: said of both."""

    class Derived(Base):
        first: int = 4
        """Said anew."""
        of_class: str = Field(default="", alias="class")
        """Said of an alias."""

    said = {name: one["description"] for name, one in schema_of(Base)["properties"].items()}
    both = "`second`, `third`: said of both."
    assert said == {"first": "Said of the first.", "second": both, "third": both}
    said = {name: one["description"] for name, one in schema_of(Derived)["properties"].items()}
    assert (said["first"], said["third"], said["class"]) == (
        "Said anew.",
        both,
        "Said of an alias.",
    )
