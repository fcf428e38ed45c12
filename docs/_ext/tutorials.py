"""Sphinx extension: the tutorials become notebooks that the build runs.

Their pages are plain Markdown that shows what was printed, for readers elsewhere; a test compares
it with what is printed. Here each block of Python becomes a cell, whose output takes the place of
the shown one, and each block of commands is followed by what it prints, folded. jupyter-cache runs
a page again only if its blocks or the package have changed. Pages that need the tables that
``XTALSHIFT_DATA`` names stay as they are without it, and all with ``XTALSHIFT_DOCS_EXECUTE=no``.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import xtalshift

_FOLDER = "tutorials/"
_TABLES = "XTALSHIFT_DATA"
_BLOCK = re.compile(
    r"^```(?P<kind>python|console)\n(?P<code>.*?)^```\n(?P<shown>\n```text\n.*?^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_HEADER = """\
---
file_format: mystnb
kernelspec:
  name: python3
---

"""
_PREPARE = """\
# xtalshift {version}, {digest}
import os, shlex, subprocess
os.environ["COLUMNS"] = "110"
%config InlineBackend.figure_formats = ["svg"]
def run(text):
    for command in re_commands(text):
        print("$", command)
        done = subprocess.run(shlex.split(command), stdout=-1, stderr=-2, text=True)
        print(done.stdout)
        done.check_returncode()
def re_commands(text):
    lines = text.replace("\\\\\\n", " ").splitlines()
    return [line[2:] for line in lines if line.startswith("$ ")]
"""


def make_notebook(page: str, digest: str = "") -> str:
    """Return the text of a notebook in MyST for a page in Markdown."""
    prepare = _PREPARE.format(version=xtalshift.__version__, digest=digest)
    first, _, rest = page.partition("\n")
    return f"{_HEADER}{first}\n\n{_cell(prepare, 'remove-cell')}{_BLOCK.sub(_convert, rest)}"


def _convert(block: re.Match[str]) -> str:
    if block["kind"] == "python":
        return _cell(block["code"])
    run = f"run({block['code']!r})\n"
    return f"{block[0]}\n{_cell(run, 'remove-input', 'hide-output')}"


def _cell(code: str, *tags: str) -> str:
    options = f":tags: [{', '.join(tags)}]\n\n" if tags else ""
    return f"```{{code-cell}} python\n{options}{code}```\n"


def hash_package() -> str:
    """Return a hash of the source of the package."""
    folder = Path(xtalshift.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def setup(app: Sphinx) -> dict[str, Any]:
    """Convert the pages when they are read, if they can be run."""
    runs = os.environ.get("XTALSHIFT_DOCS_EXECUTE") != "no"
    digest = hash_package() if runs else ""

    def outdated(_: Sphinx, env: BuildEnvironment, *_names: set[str]) -> list[str]:
        if getattr(env, "tutorials_digest", None) == digest:
            return []
        env.tutorials_digest = digest
        return [name for name in env.found_docs if name.startswith(_FOLDER)]

    def convert(_: Sphinx, name: str, source: list[str]) -> None:
        page = source[0]
        has_tables = _TABLES in os.environ or _TABLES not in page
        if runs and has_tables and name.startswith(_FOLDER) and "```console" in page:
            source[0] = make_notebook(source[0], digest)

    app.connect("env-get-outdated", outdated)
    app.connect("source-read", convert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
