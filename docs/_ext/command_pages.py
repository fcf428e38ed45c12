"""Pages of the commands, from the parser of the command line itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from marks import code, hidden_toctree, paragraphs, plain, prose, table

from xtalshift.cli.main import _build

FOLDER = "reference/commands"


def command_pages() -> dict[str, str]:
    """Return the path of each page below the folder of the docs, and its text."""
    root = typer.main.get_command(_build([]))
    pages = {f"{FOLDER}/{name}.md": _page(name, command) for name, command in root.commands.items()}
    return {f"{FOLDER}/index.md": _index(root), **pages}


def list_commands() -> list[str]:
    """Return the words of every command, such as ``datasets fetch``."""
    root = typer.main.get_command(_build([]))
    return [words for name, command in root.commands.items() for words, _ in _walk(name, command)]


def _index(root: Any) -> str:
    rows = [
        [f"[{code('xtalshift ' + name)}]({name}.md)", prose(_first(command))]
        for name, command in root.commands.items()
    ]
    lines = [
        "# Commands",
        "",
        (
            "These pages are made from the parser of the command line: they say what "
            "`xtalshift COMMAND --help` says. Which command for which job stands in the "
            "[how-to guides](../../howto.md)."
        ),
        "",
        *table(["command", "what it does"], rows),
        "",
        "Some options can stand at any place, before or behind the command:",
        "",
        "```{program} xtalshift",
        "```",
        "",
        *_options(root.params, root.make_context("xtalshift", [], resilient_parsing=True)),
        *hidden_toctree(root.commands),
    ]
    return "\n".join([*lines, ""])


def _page(name: str, command: Any) -> str:
    lines = [f"# {code('xtalshift ' + name)}", ""]
    for words, part in _walk(name, command):
        if words != name:
            lines += [f"## {code('xtalshift ' + words)}", ""]
        lines += _describe(words, part, "##" if words == name else "###")
    return "\n".join(lines)


def _walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield words, command
    for name, part in getattr(command, "commands", {}).items():
        yield from _walk(f"{words} {name}", part)


def _describe(words: str, command: Any, mark: str) -> Iterator[str]:
    context = command.make_context(f"xtalshift {words}", [], resilient_parsing=True)
    for text in paragraphs(command.help or ""):
        yield from [prose(text), ""]
    # no value can be left out, so that braces say nothing
    usage = " ".join(command.collect_usage_pieces(context))
    usage = usage.replace("{", "").replace("}", "").replace("[[", "[").replace("]]", "]")
    yield from ["```text", f"xtalshift {words} {usage}", "```", ""]
    yield from [f"```{{program}} xtalshift {words}", "```", ""]
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        usual = "Options" if parameter.param_type_name == "option" else "Arguments"
        panels.setdefault(parameter.rich_help_panel or usual, []).append(parameter)
    for title, parameters in panels.items():
        yield from [f"{mark} {title}", "", *_options(parameters, context)]


def _options(parameters: list[Any], context: Any) -> Iterator[str]:
    for parameter in parameters:
        record = parameter.get_help_record(context)
        if record is None:
            continue
        names, text = record
        names = names.removeprefix("[").replace("] <", " <").replace(" / ", ", ")
        yield from [f"```{{option}} {names}", prose(text), "```", ""]


def _first(command: Any) -> str:
    return plain(paragraphs(command.help or "")[0]).partition("; ")[0]
