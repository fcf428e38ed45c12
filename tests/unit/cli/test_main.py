"""What all commands have in common."""

from __future__ import annotations

import pytest
from typer.main import get_command

from xtalshift.cli.main import _COMMANDS, _build, main
from xtalshift.progress import resumable


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_says_what_it_does_and_writes_to_o(name):
    command = get_command(_build([])).commands[name]
    assert command.help
    for parameter in command.params:
        if "--out" in parameter.opts:
            assert "-o" in parameter.opts


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("", "Stopped. Nothing was finished that could be continued.\n"),
        ("It is in x.", "Stopped. It is in x.\n"),
    ],
)
def test_ctrl_c_says_what_is_kept(kept, said, monkeypatch, capsys):
    def stopped(_):
        with resumable(lambda: kept):
            raise KeyboardInterrupt

    monkeypatch.setattr("xtalshift.cli.main._build", stopped)
    with pytest.raises(SystemExit) as end:
        main(["run"])
    assert (end.value.code, capsys.readouterr().err) == (1, said)
