"""What the build of the documentation does to pages."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the extra docs is not installed")

from marks import code, paragraphs, prose, table
from own_host import foreign_files, loaded_from
from tutorials import make_notebook

ROOT = Path(__file__).parents[3]


def test_sentences_become_markdown_with_options_and_commands_as_code():
    assert prose("Use --set x|y, as 'xtalshift run A' does.") == (
        "Use `--set` x\\|y, as `xtalshift run A` does."
    )
    assert prose("A `name` and  a * star") == "A `name` and a \\* star"
    assert prose("A range of 3-5 and a well-known word") == "A range of 3-5 and a well-known word"
    assert code("a`b") == "``a`b``"
    assert table(["a", "b"], [["1", "2\n3"]]) == ["| a | b |", "| --- | --- |", "| 1 | 2 3 |"]
    assert paragraphs("one\ntwo\n\n\nthree") == ["one two", "three"]


@pytest.mark.parametrize(
    ("text", "suffix", "found"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ".html", ["https://cdn.example/x.js"]),
        ('<link rel="stylesheet" href="//fonts.example/a">', ".html", ["//fonts.example/a"]),
        ("<img alt='' src='http://a.example/b.png'>", ".html", ["http://a.example/b.png"]),
        ('<a href="https://doi.org/1"><img src="_images/a.png"></a>', ".html", []),
        ('<link rel="canonical" href="https://a.example/">', ".html", []),
        ("a { background: url(https://a.example/b) }", ".css", ["https://a.example/b"]),
        ('@import "https://a.example/c.css";', ".css", ["https://a.example/c.css"]),
        ("a { background: url(b.png) }", ".css", []),
    ],
)
def test_what_a_page_loads_from_a_foreign_host_is_found(text, suffix, found):
    assert loaded_from(text, suffix) == found


def test_foreign_files_are_named_with_the_address(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.html").write_text('<script src="https://a.example/x"></script>')
    (tmp_path / "b.css").write_text("a {}")
    assert list(foreign_files(tmp_path)) == ["sub/a.html: https://a.example/x"]


def test_styles_and_templates_of_the_docs_load_nothing_foreign():
    assert list(foreign_files(ROOT / "docs" / "_static")) == []
    assert (ROOT / "docs" / "_static" / "xtalshift.css").is_file()


PAGE = """\
# Title

Text.

```python
print(1)
```

```text
1
```

```console
$ xtalshift check a.csv \\
    --target b
Rows: ...
```

```text
stays
```
"""


def test_blocks_of_a_tutorial_become_cells():
    notebook = make_notebook(PAGE, "abc")
    assert notebook.startswith("---\nfile_format: mystnb\n")
    assert "# xtalshift" in notebook
    assert ", abc\n" in notebook
    # the printed text takes the place of the shown one
    assert "```{code-cell} python\nprint(1)\n```\n" in notebook
    assert "```text\n1\n```" not in notebook
    # commands stay as they are shown; what they print is folded below
    assert "```console\n$ xtalshift check a.csv \\\n    --target b\nRows: ...\n```\n" in notebook
    assert (
        ":tags: [remove-input, hide-output]\n\n"
        "run('$ xtalshift check a.csv \\\\\\n    --target b\\nRows: ...\\n')\n" in notebook
    )
    assert "```text\nstays\n```" in notebook


@pytest.mark.parametrize("name", ["alloys", "gaps", "tellurides"])
def test_every_tutorial_draws_and_runs_its_commands(name):
    page = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text(encoding="utf-8")
    notebook = make_notebook(page)
    assert notebook.count("```{code-cell} python") == 1 + page.count("\n```python\n") + page.count(
        "\n```console\n"
    )
    assert "plt.subplots(" in notebook


def test_versions_are_listed_the_newest_first(tmp_path):
    tool = runpy.run_path(str(ROOT / "tools" / "docs_versions.py"))
    for folder, version in (("0.9.0", "0.9.0"), ("0.10.0", "0.10.0"), ("dev", "0.11.0.dev1")):
        file = tmp_path / folder / "_static" / "documentation_options.js"
        file.parent.mkdir(parents=True)
        file.write_text(f"const DOCUMENTATION_OPTIONS = {{ VERSION: '{version}', }};")
    (tmp_path / "other").mkdir()
    found = tool["list_versions"](tmp_path, "/docs/")
    assert [one["version"] for one in found] == ["0.11.0.dev1", "0.10.0", "0.9.0"]
    assert [one["url"] for one in found] == ["/docs/dev/", "/docs/0.10.0/", "/docs/0.9.0/"]
    assert [one["preferred"] for one in found] == [True, False, False]
    json.dumps(found)
