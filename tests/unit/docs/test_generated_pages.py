"""The pages that are made from the program have all of it."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

pytest.importorskip("sphinx", reason="the extra docs is not installed")
pytest.importorskip("numpydoc", reason="the extra docs is not installed")

import api_pages
import command_pages
import rest_page
import settings_pages

import xtalshift
from xtalshift.cli.main import _COMMANDS
from xtalshift.errors import XtalshiftError
from xtalshift.jobs.run_settings import RunConfig
from xtalshift.model import FittedModel


@pytest.fixture(scope="module")
def names():
    return api_pages.page_names()


@pytest.fixture(scope="module")
def texts():
    return api_pages.api_pages()


def test_every_public_name_has_one_page_that_its_package_leads_to(names, texts):
    assert set(names["xtalshift"]) == set(xtalshift.__all__) - {"__version__"}
    assert {"LOCOSplit", "Splitter", "Fold"} <= set(names["xtalshift.splits"])
    assert set(names["xtalshift.testing"]) == {
        "check_featurizer",
        "check_regressor",
        "check_splitter",
        "example_rows",
    }
    for module, own in names.items():
        package = texts[f"reference/api/{module}.md"]
        assert f"({module}.md)" in texts["reference/api/index.md"]
        for name, page in own.items():
            assert f"| [`{name}`]({page}.rst) |" in package
            assert f"reference/api/{page}.rst" in texts


def test_a_name_that_two_packages_have_has_the_page_of_the_first(names, texts):
    assert names["xtalshift.model"]["FittedModel"] == "xtalshift.FittedModel"
    assert "reference/api/xtalshift.model.FittedModel.rst" not in texts
    page = texts["reference/api/xtalshift.FittedModel.rst"]
    assert page.startswith("FittedModel\n===========\n")
    assert ".. autoclass:: FittedModel\n   :members:\n" in page
    assert names["xtalshift.errors"]["XtalshiftError"] == "xtalshift.XtalshiftError"
    assert ".. autoexception::" in texts["reference/api/xtalshift.XtalshiftError.rst"]
    assert ".. autofunction:: fit" in texts["reference/api/xtalshift.fit.rst"]
    assert ".. py:data:: METHODS\n\n   " in texts["reference/api/xtalshift.methods.METHODS.rst"]


def test_every_public_class_and_function_says_what_it_is(names):
    silent = [
        page
        for module, own in names.items()
        for name, page in own.items()
        if not api_pages._first(
            getattr(import_module(module), name), import_module(module), name
        ).strip()
    ]
    assert silent == []
    assert api_pages._first(FittedModel).startswith("A fitted model. It never changes;")
    assert api_pages._first(XtalshiftError).startswith("Root of all errors of this package")


def test_the_pages_of_commands_have_every_command_and_option():
    pages = command_pages.command_pages()
    assert set(pages) == {f"reference/commands/{name}.md" for name in (*_COMMANDS, "index")}
    for name in _COMMANDS:
        assert f"[`xtalshift {name}`]({name}.md)" in pages["reference/commands/index.md"]
    words = command_pages.list_commands()
    assert {"train", "datasets fetch", "models info"} <= set(words)
    for command in words:
        page = pages[f"reference/commands/{command.partition(' ')[0]}.md"]
        assert f"`xtalshift {command}`" in page
        assert f"```{{program}} xtalshift {command}\n" in page
    train = pages["reference/commands/train.md"]
    assert "```{option} -o, --out MODEL\nFolder of the model. \\[required\\]\n```" in train
    assert "## How the table is read\n" in train
    assert "```{option} --minutes M\n" in train


def test_the_pages_of_settings_have_every_setting_with_its_default():
    page = settings_pages.settings_pages()["reference/settings/run.md"]
    listed = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))

    def leaves(group, before=""):
        for name, info in group.model_fields.items():
            inner = settings_pages._nested(info.annotation)
            if inner is None:
                yield f"{before}{name}"
            else:
                yield from leaves(inner[0], f"{before}{name}.")

    assert listed == set(leaves(RunConfig))
    rows = {line.split(" | ")[0]: line.split(" | ") for line in page.splitlines()}
    assert rows["| `erm.epochs`"][1:3] == ["whole number, at least 1, at most 1000000", "`80`"]
    assert rows["| `cal.epsilon`"][2] == "`0.1`"  # that of the preset
    assert rows["| `split.tail`"][1] == "`high`, `low`, `both`"
    # one text describes both
    assert rows["| `seed`"][3] == rows["| `n_seeds`"][3]
    assert rows["| `seed`"][3].startswith("The seeds are `seed, seed + 1, ...`; each draws")


def test_the_page_of_rest_has_every_call():
    api = rest_page.describe_interface()
    page = rest_page.rest_page()["reference/rest.md"]
    for path, calls in api["paths"].items():
        for method in calls:
            assert f"### `{method.upper()} {path}`\n" in page
    assert "| `formulas` (required) | list of string |" in page
    assert '"formulas": [\n  "GaN",\n  "LiFePO4"\n ]' in page
