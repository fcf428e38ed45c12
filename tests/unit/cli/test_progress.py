"""Plain lines in a log, bars on a terminal, nothing on standard output."""

from __future__ import annotations

import io

import pytest

from xtalshift.cli import progress as module
from xtalshift.cli.progress import make_progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


def test_a_log_gets_a_line_every_ten_seconds(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    with make_progress().task("ERM", 2000) as task:
        for second in range(1, 26):
            clock.now = float(second)
            task.advance(10, val_mae=0.123456, phase="warm-up")
        task.say("note")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "  ERM: 100/2,000, about 190 s left  val_mae 0.1235  phase warm-up",
        "  ERM: 200/2,000, about 180 s left  val_mae 0.1235  phase warm-up",
        "note",
    ]


def test_work_of_unknown_length_has_no_time_left(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    with make_progress().task("predict", None) as task:
        clock.now = 11.0
        task.advance(20_000)
    assert capsys.readouterr().err == "  predict: 20,000\n"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_gets_a_bar_that_fits_and_text_that_is_no_markup(width, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    progress = make_progress()
    progress.say("[bold]as it is")
    with progress.task("ERM", 10) as task:
        task.advance(3, val_mae=0.5)
        task.say("[red]a note")
    text = screen.getvalue()
    assert "[bold]as it is" in text
    assert "[red]a note" in text
    assert "ERM" in text
