"""The page of errors shows what the commands say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
SHOWN = re.findall(
    r"^```console\n\$ xtalshift (.*)\n(Error: .*)\n```$", PAGE.read_text(), re.MULTILINE
)
GAPS = """\
formula,gap
GaN,3.4
Si,1.1
Ge,0.7
ZnO,3.3
CdTe,1.5
InP,1.3
GaAs,1.4
AlN,6.0
ZnS,3.6
CdS,2.4
MgO,7.8
NaCl,8.5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the tables of the page and a model."""
    place = tmp_path_factory.mktemp("trouble")
    (place / "gaps.csv").write_text(GAPS)
    (place / "two.csv").write_text("formula,gap\nBN,6.1\nBP,2.0\n")
    (place / "names.csv").write_text("probe,gap\nP1,3.4\nP2,1.1\n")
    (place / "marks.csv").write_text("formula;gap\nGaN;1.708\nSi;319\nGe;1.661\n")
    (place / "shifted.csv").write_text(GAPS.replace("1.5", "-4.8"))
    return place


def test_every_error_of_the_page_is_what_the_command_says(folder, xtalshift, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("XTALSHIFT_TOKEN", raising=False)
    train = ("train", "gaps.csv", "--target", "gap", "-o", "model", "--method", "ridge")
    assert xtalshift(*train, "--intervals", "none").code == 0
    assert len(SHOWN) > 12
    for command, error in SHOWN:
        outcome = xtalshift(*shlex.split(command))
        assert outcome.code in {1, 2}, command
        assert outcome.err.splitlines()[-1] == error
