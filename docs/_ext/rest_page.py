"""The page of the REST interface, from the description that the server gives of itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marks import code, paragraphs, prose, table

from xtalshift.web.app import create_app
from xtalshift.web.settings import ServeConfig

PAGE = "reference/rest.md"
_GENERAL = "The server"
_PROBLEM = "application/problem+json"


def describe_interface() -> dict[str, Any]:
    """Return the OpenAPI description of the server."""
    with tempfile.TemporaryDirectory() as store:
        found: dict[str, Any] = create_app(None, Path(store), ServeConfig()).openapi()
    return found


def rest_page() -> dict[str, str]:
    """Return the path of the page below the folder of the docs, and its text."""
    api = describe_interface()
    lines = [
        "# REST interface",
        "",
        (
            "This page is made from the description that the server gives of itself, which is at "
            "`/api/v1/openapi.json` of a running server. How to start one, and what is safe: "
            "[the server](../serve.md)."
        ),
        "",
        (
            "Errors are problem details (RFC 9457) of the type `application/problem+json`: an "
            "object with `type`, `title`, `status` and `detail`, and with `row`, `value` and "
            "`remedy` where the error has them."
        ),
        "",
    ]
    for title, calls in _by_tag(api).items():
        lines += [f"## {title}", ""]
        for method, path, call in calls:
            lines += [f"### {code(f'{method.upper()} {path}')}", "", *_describe(call, api)]
    return {PAGE: "\n".join(lines)}


def _by_tag(api: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    tags: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, calls in api["paths"].items():
        for method, call in calls.items():
            title = call["tags"][0].capitalize() if call.get("tags") else _GENERAL
            tags.setdefault(title, []).append((method, path, call))
    return tags


def _describe(call: dict[str, Any], api: dict[str, Any]) -> Iterator[str]:
    summary, description = (
        call.get(name, "").replace("``", "`") for name in ("summary", "description")
    )
    yield from [prose(f"{summary.rstrip('.')}."), ""]
    for text in paragraphs(description):
        yield from [prose(text), ""]
    parameters = [
        [
            code(one["name"]),
            one["in"],
            _values(one["schema"], api),
            prose(one.get("description", "")),
        ]
        for one in call.get("parameters", [])
    ]
    if parameters:
        yield from [*_explained(["parameter", "in", "values", "meaning"], parameters), ""]
    for kind, body in call.get("requestBody", {}).get("content", {}).items():
        yield from [f"Body {code(kind)}:", ""]
        yield from _body(body, api)
    yield from _answers(call["responses"])


def _body(body: dict[str, Any], api: dict[str, Any]) -> Iterator[str]:
    schema = _resolve(body.get("schema", {}), api)
    rows = [
        [
            code(name) + (" (required)" if name in schema.get("required", []) else ""),
            _values(field, api),
            prose(_resolve(field, api).get("description", "")),
        ]
        for name, field in schema.get("properties", {}).items()
    ]
    if rows:
        yield from [*_explained(["field", "values", "meaning"], rows), ""]
    elif schema.get("description"):
        yield from [prose(schema["description"]), ""]
    yield from _example(body)


def _explained(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table, without its last column if nothing stands there."""
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return table(head, rows)


def _answers(responses: dict[str, Any]) -> Iterator[str]:
    problems = []
    for status, response in responses.items():
        content = response.get("content", {})
        if not status.startswith("2"):
            problems.append(f"{status} ({response['description']})")
            continue
        text = response["description"]
        kinds = ", ".join(code(kind) for kind in content)
        said = "" if text == "Successful Response" else f" {prose(text)}"
        yield from [f"Answer {status}{f', {kinds}' if kinds else ''}.{said}", ""]
        for body in content.values():
            yield from _example(body)
    if problems:
        yield from [f"Problems: {', '.join(problems)}.", ""]


def _example(body: dict[str, Any]) -> Iterator[str]:
    if isinstance(body.get("example"), str):
        yield from ["```text", body["example"].strip(), "```", ""]
    elif "example" in body:
        yield from ["```json", json.dumps(body["example"], indent=1), "```", ""]


def _values(schema: dict[str, Any], api: dict[str, Any]) -> str:
    schema = _resolve(schema, api)
    if "anyOf" in schema:
        parts = [_values(one, api) for one in schema["anyOf"] if one.get("type") != "null"]
        text = " or ".join(dict.fromkeys(parts))
    elif "enum" in schema:
        text = ", ".join(code(json.dumps(value)) for value in schema["enum"])
    elif "const" in schema:
        text = code(json.dumps(schema["const"]))
    elif schema.get("type") == "array":
        text = f"list of {_values(schema.get('items', {}), api)}"
    else:
        text = schema.get("type", "anything")
    limits = [
        f"{words} {schema[key]:g}"
        for key, words in (
            ("minimum", "at least"), ("exclusiveMinimum", "above"),
            ("maximum", "at most"), ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]  # fmt: skip
    given = schema.get("default")
    default = [] if given in (None, "", [], {}) else [f"default {code(json.dumps(given))}"]
    return ", ".join([text, *limits, *default])


def _resolve(schema: dict[str, Any], api: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Any = api
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
