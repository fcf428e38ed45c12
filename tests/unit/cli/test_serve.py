"""When the server opens the page in a browser."""

from __future__ import annotations

from threading import Event

import pytest

from xtalshift.cli import serve as cli
from xtalshift.cli.main import main
from xtalshift.web import serve as web


@pytest.mark.parametrize(
    ("options", "display", "opened"),
    [
        ((), ":0", False),  # the output is no terminal: no person reads it
        (("--open",), ":0", True),
        (("--open",), "", False),
        (("--no-open",), ":0", False),
    ],
)
def test_a_browser_is_opened_where_one_can_be_seen(
    monkeypatch, tmp_path, capsys, options, display, opened
):
    asked, done = [], Event()
    monkeypatch.setattr(cli.sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(cli.webbrowser, "open", lambda url: (asked.append(url), done.set()))
    monkeypatch.setattr(web, "serve", lambda *given: given[-1]("http://0.0.0.0:8000"))
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--store", str(tmp_path), *options])
    assert (ended.value.code, capsys.readouterr().out) == (0, "Serving at http://0.0.0.0:8000\n")
    assert done.wait(10 if opened else 0.05) == opened
    assert asked == (["http://127.0.0.1:8000"] if opened else [])
