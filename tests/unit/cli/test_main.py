"""What all commands have in common."""

from __future__ import annotations

import pytest
from typer.main import get_command

from xtalshift.cli.main import _COMMANDS, _build


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_says_what_it_does_and_writes_to_o(name):
    command = get_command(_build([])).commands[name]
    assert command.help
    for parameter in command.params:
        if "--out" in parameter.opts:
            assert "-o" in parameter.opts
