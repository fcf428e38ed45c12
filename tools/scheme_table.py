"""Write the table of schemes in docs/splits.md from the registry of splitters.

    python tools/scheme_table.py

A scheme is described by its class: the first paragraph of the docstring, the kind of shift it aims
at, and its parameters with their defaults. A test compares the table with the registry.
"""

from __future__ import annotations

import sys
from pathlib import Path

from xtalshift.splits.schemes import list_schemes

PAGE = Path(__file__).parent.parent / "docs" / "splits.md"
BEGIN = "<!-- schemes: written by tools/scheme_table.py -->\n"
END = "<!-- end of schemes -->\n"


def make_table() -> str:
    """Return the table in Markdown."""
    lines = ["| scheme | what it does | shift aimed at | parameters |", "|---|---|---|---|"]
    for scheme in list_schemes():
        params = ", ".join(f"`{item}`" for item in scheme.params.split(" "))
        lines.append(f"| `{scheme.name}` | {scheme.summary} | {scheme.aim} | {params} |")
    return "\n".join(lines) + "\n"


def replace_table(page: str) -> str:
    """Return the text of the page with the current table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{make_table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(replace_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
