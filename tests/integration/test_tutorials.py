"""The tutorials run as they stand and print what they show."""

from __future__ import annotations

import json
import math
import re
import runpy
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "tutorials"
NAMES = sorted(page.stem for page in PAGES.glob("*.md") if page.stem != "index")
BLOCK = re.compile(r"^```(python|console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![A-Za-wyz\d.])(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?![A-Za-z\d])")
"""A number that is no part of a formula or a name; ``x0.61`` is a factor."""
ANYTHING = "..."
CLOSE = 0.2
"""Numbers may differ by this part: trees and sums round differently on other processors."""


def tokens(text: str) -> list[str]:
    """Return the words and numbers of a text, without the rules of its tables."""
    found: list[str] = []
    for part in NUMBER.split(text.replace(ANYTHING, f" {ANYTHING} ")):
        found += [part] if NUMBER.fullmatch(part) else re.sub("─+", " ", part).split()
    return found


def same(shown: str, printed: str) -> bool:
    """Say whether two tokens are the same word or close numbers."""
    if not (NUMBER.fullmatch(shown) and NUMBER.fullmatch(printed)):
        return shown == printed
    one, other = (float(text.replace(",", "")) for text in (shown, printed))
    last_digit = 10.0 ** -len(shown.partition(".")[2]) if "e" not in shown else 0.0
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=1.01 * last_digit)


def find(piece: Sequence[str], printed: Sequence[str], starts: Iterator[int]) -> int | None:
    """Return the first of the starts at which a piece of the page was printed."""
    for start in starts:
        there = printed[start : start + len(piece)]
        if len(there) == len(piece) and all(map(same, piece, there)):
            return start
    return None


def agree(shown: str, printed: str) -> bool:
    """Say whether a text was printed as the page shows it; ``...`` stands for anything."""
    pieces: list[list[str]] = [[]]
    for token in tokens(shown):
        if token == ANYTHING:
            pieces.append([])
        else:
            pieces[-1].append(token)
    whole = tokens(printed)
    if len(pieces) == 1:
        return len(pieces[0]) == len(whole) and all(map(same, pieces[0], whole))
    end = len(whole) - len(pieces[-1])
    place = find(pieces[0], whole, iter([0]))
    for piece, before in zip(pieces[1:-1], pieces, strict=False):
        if place is None:
            return False
        place = find(piece, whole, iter(range(place + len(before), end + 1)))
    return (
        place is not None
        and place + len(pieces[-2]) <= end
        and find(pieces[-1], whole, iter([end])) is not None
    )


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("MAE 1.23 eV", "MAE 1.40 eV", True),
        ("MAE 1.23 eV", "MAE 1.60 eV", False),
        ("MAE 1.23 eV", "MAE 1.23 K", False),
        ("rank 0.02", "rank 0.01", True),
        ("x0.61 (1,200)", "x0.65 (1,100)", True),
        ("x0.61", "x0.95", False),
        ("Bi2Te3 Te0.5Se1", "Bi2Te3 Te0.5Se1", True),
        ("Bi2Te3", "Bi3Te3", False),
        ("1e-05", "1.1e-05", True),
        ("first ... last", "first second 3 last", True),
        ("first ... last", "first second", False),
        ("... 2 ...", "1 2 3", True),
        ("... 7 ...", "1 2 3", False),
        ("a ... b", "a b b", True),
        ("a b ... b", "a b", False),
        ("a\n── ──\nb", "a\n────\nb", True),
        ("a", "a b", False),
    ],
)
def test_pages_and_output_are_compared_by_words_and_close_numbers(shown, printed, expected):
    assert agree(shown, printed) is expected


def commands(block: str) -> Iterator[tuple[list[str], str]]:
    """Yield the arguments of each command of a block, and the output that follows it."""
    for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, output = re.fullmatch(r"((?:.*\\\n)*.*\n)((?s:.*))", text).groups()
        program, *arguments = shlex.split(command.replace("\\\n", " "))
        assert program == "xtalshift"
        yield arguments, output


def run_page(
    page: Path, xtalshift: Callable, capsys: pytest.CaptureFixture[str], short: Sequence[str] = ()
) -> Iterator:
    """Run the blocks of a page in order; yield each text that it shows and what was printed.

    `short` are further arguments of ``xtalshift run``.
    """
    names: dict = {}
    printed = ""
    for kind, block in BLOCK.findall(page.read_text()):
        if kind == "python":
            Path("block.py").write_text(block)
            capsys.readouterr()
            names = runpy.run_path("block.py", names)
            printed = capsys.readouterr().out
        elif kind == "text":
            yield block, printed
        else:
            for arguments, output in commands(block):
                outcome = xtalshift(*arguments, *(short if arguments[0] == "run" else ()))
                assert outcome.code == 0, outcome.err
                yield output, outcome.out


SHORT = (
    "--methods", "ridge,lightgbm", "--splits", "random", "--set", "judge.n_proxies=2",
    "--set", "explain.learning=false", "--set", "explain.drivers=false",
)  # fmt: skip
"""Two methods and two hold-outs, and nothing that explains the run."""


@pytest.mark.usefixtures("shared_data")
@pytest.mark.parametrize("name", NAMES)
def test_every_step_of_the_tutorial_works_in_short_form(
    name, xtalshift, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    said = [printed for _, printed in run_page(PAGES / f"{name}.md", xtalshift, capsys, SHORT)]
    (answer,) = [text for text in said if "Expect a mean absolute error of" in text]
    (results,) = tmp_path.glob("runs/*/results.json")
    found = json.loads(results.read_text())["answer"]
    assert f"Method: {found['method']}" in answer
    assert len(found["proxies"]) == 2
    assert found["expected_low"] < found["expected_mae"] < found["expected_high"]
    assert len(said) >= 5


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("shared_data")
@pytest.mark.parametrize("name", NAMES)
def test_the_tutorial_prints_what_it_shows(name, xtalshift, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = 0
    for shown, printed in run_page(PAGES / f"{name}.md", xtalshift, capsys):
        assert agree(shown, printed), f"the page shows\n{shown}\nbut this was printed:\n{printed}"
        texts += 1
    assert texts >= 5
