"""The pages that people write: links that lead somewhere, words that are explained."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from xtalshift import __version__
from xtalshift.report.shared.glossary import GLOSSARY

ROOT = Path(__file__).parents[3]
GENERATED = tuple(
    ROOT / "docs" / part
    for part in (
        "_build",
        "reference/api",
        "reference/commands",
        "reference/settings",
        "reference/rest.md",
    )
)
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if not any(page.is_relative_to(part) for part in GENERATED)
)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CONTENTS = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as code hosts make them."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    lines = re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", one)) for one in lines]
    return {one.strip().lower().replace(" ", "-") for one in kept}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_to_files_and_headings_that_exist(page):
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if any(file.is_relative_to(part) for part in GENERATED):
            continue  # the build looks at these
        assert file.exists(), target
        assert not anchor or anchor in headings(file), target


def test_every_page_is_in_a_list_of_contents():
    listed = {ROOT / "docs" / "index.md"}
    for page in PAGES:
        for block in re.findall(
            r"^```\{toctree\}\n(.*?)^```",
            page.read_text(encoding="utf-8"),
            re.MULTILINE | re.DOTALL,
        ):
            for line in block.splitlines():
                if line and not line.startswith(":"):
                    name = re.sub(r".*<(.*)>", r"\1", line)
                    listed.add((page.parent / f"{name}.md").resolve())
    written = {page for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert written - listed == set()
    gone = {page for page in listed - written if not page.is_relative_to(ROOT / "docs/reference")}
    assert gone == set()


def test_the_glossary_has_the_words_of_this_field_and_those_of_the_report():
    words = headings(ROOT / "docs" / "glossary.md")
    expected = {
        *("source", "target", "candidates", "id-and-ood", "dummy", "erm", "cal", "ema", "loco"),
        *("covariate-shift", "prior-shift", "relation-shift", "conformal", "exchangeability"),
        *("coverage", "interval", "domain", "ood-score", "control", "stack", "proxy", "audit"),
    }
    assert expected - words == set()
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").lower()
    for term in GLOSSARY:
        name = re.sub(r"\s*\(.*?\)", "", term.name).lower()
        assert name in text.replace("held out", "held-out"), term.name


def test_what_is_cited_is_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in text
    assert "doi: 10.1021/acs.jpcc.4c07481" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"- name: {project['authors'][0]['name']}" in text
    own = project["license"].partition(" AND ")[0]  # others are of vendored parts
    assert f"license: {own}" in text


def test_the_container_runs_the_server_without_rights_and_says_whether_it_lives():
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()
    last = lines[max(place for place, line in enumerate(lines) if line.startswith("FROM ")) :]
    users = [line for line in last if line.startswith("USER ")]
    assert users == ["USER 10001"]
    assert any(line.startswith("HEALTHCHECK ") for line in last)
    assert any("/healthz" in line for line in last)
    # another host than this machine: `serve` refuses to start without a token
    assert last[-1] == 'CMD ["serve", "/models", "--store", "/data", "--host", "0.0.0.0"]'
    assert not any("TOKEN" in line for line in lines if not line.startswith("#"))


def test_exact_versions_of_all_that_builds_the_documentation_are_known():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0].lower())
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    wanted = {re.split(r"[>=\[]", one)[0] for one in project["optional-dependencies"]["docs"]}
    assert wanted - {"xtalshift"} - pinned == set()
