"""Requests made from the description of the interface, and broken ones: never a server error."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import Field

from unit.web.conftest import AppClient, open_client
from xtalshift.config import Settings
from xtalshift.web.described import schema_of
from xtalshift.web.job_runner import JobRunner

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


def values_of(schema: dict, known: dict) -> st.SearchStrategy:
    """Return values for a schema, of which some are wrong."""
    for name in ("anyOf", "oneOf"):
        if name in schema:
            return st.one_of(*(values_of(one, known) for one in schema[name]))
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")])) | ANY_JSON
    kinds = {
        "boolean": st.booleans(),
        "integer": st.integers(-3, 2000) | st.integers(),
        "number": st.floats(0, 1) | st.floats(),
        "string": WORDS,
        "null": st.none(),
        "array": st.lists(
            st.deferred(lambda: values_of(schema.get("items", {}), known)), max_size=4
        ),
        "object": st.deferred(lambda: objects_of(schema, known)),
    }
    return kinds.get(schema.get("type"), ANY_JSON)


def objects_of(schema: dict, known: dict) -> st.SearchStrategy:
    parts = {name: values_of(one, known) for name, one in schema.get("properties", {}).items()}
    needed = {name: parts.pop(name) for name in schema.get("required", []) if name in parts}
    found = st.fixed_dictionaries(needed, optional=parts)
    others = st.dictionaries(WORDS, ANY_JSON, max_size=2)
    return found | st.builds(lambda one, more: {**one, **more}, found, others)


@st.composite
def requests_of(draw: st.DrawFn, description: dict) -> dict:
    """Return a request of one operation."""
    path = draw(st.sampled_from(sorted(description["paths"])))
    method = draw(st.sampled_from(sorted(description["paths"][path])))
    operation = description["paths"][path][method]
    for name in ("id", "name:path", "name"):
        path = path.replace(f"{{{name}}}", draw(WORDS).replace("?", "").replace("#", ""))
    query = {
        one["name"]: draw(values_of(one.get("schema", {}), description))
        for one in operation.get("parameters", [])
        if one["in"] == "query" and draw(st.integers(0, 4)) == 0
    }
    headers = {"Accept": draw(st.sampled_from(TYPES))} if draw(st.booleans()) else {}
    asked = operation.get("requestBody", {}).get("content", {})
    body = b""
    if "application/json" in asked and draw(st.integers(0, 3)):
        headers["Content-Type"] = "application/json"
        body = json.dumps(
            draw(values_of(asked["application/json"]["schema"], description))
        ).encode()
    elif asked:
        headers["Content-Type"] = draw(st.sampled_from([*asked, *TYPES]))
        body = draw(st.sampled_from(BODIES) | st.binary(max_size=50))
    texts = {name: str(value) for name, value in query.items()}
    return {
        "method": method.upper(),
        "path": path,
        "params": texts,
        "headers": headers,
        "content": body,
    }


@pytest.fixture(scope="module")
def fuzzed(models, tmp_path_factory):
    """Yield a client of an application whose jobs never begin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobRunner, "start", lambda _: None)
        patch.setattr(JobRunner, "stop", lambda _: None)
        folder = tmp_path_factory.mktemp("fuzz")
        with open_client(models, folder, max_jobs=10**6, max_json_mb=0.1) as client:
            yield client


def check_answer(client: AppClient, asked: dict) -> None:
    asked = dict(asked)
    try:
        found = client.request(asked.pop("method"), asked.pop("path"), **asked)
    except (httpx.InvalidURL, UnicodeEncodeError):
        return  # not a request
    assert found.status_code < 500, (asked, found.text)
    if found.status_code >= 400:
        assert found.headers["content-type"] == "application/problem+json", (asked, found.text)
        problem = found.json()
        assert (problem["status"], bool(problem["detail"])) == (found.status_code, True)


def fuzz(client: AppClient, examples: int) -> None:
    description = client.get("/api/v1/openapi.json").json()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests_of(description))
    def never_fails(asked):
        check_answer(client, asked)

    never_fails()


def test_some_hundred_requests(fuzzed):
    fuzz(fuzzed, 300)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_ten_thousand_requests(fuzzed):
    fuzz(fuzzed, 10_000)


def test_the_description_names_every_operation_and_its_examples(fuzzed):
    paths = fuzzed.get("/api/v1/openapi.json").json()["paths"]
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
