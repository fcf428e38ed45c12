"""Write the tables of methods of docs/methods.md from the registry."""

from __future__ import annotations

from pathlib import Path

from xtalshift.methods import METHODS

PAGE = Path(__file__).parent.parent / "docs" / "methods.md"
BEGIN, END = "<!-- methods: begin -->", "<!-- methods: end -->"
ACCESS = {
    "source": "Methods that see source rows only",
    "features": "Methods that also see features of target rows",
    "labels": "Methods that also see target labels",
}


def method_tables() -> str:
    """Return one table for each target access."""
    lines: list[str] = []
    for access, title in ACCESS.items():
        lines += [f"### {title}", "", "| method | family | what it is | control | offered by |"]
        lines += ["|---|---|---|---|---|"]
        for name in METHODS:
            method = METHODS[name]
            if method.target_access != access:
                continue
            offered = ["`run`, `train`"] * method.saved + ["`adapt`"] * method.adapts
            mark = " (experimental)" if method.experimental else ""
            control = f"`{method.control}`" if method.control else ""
            lines.append(
                f"| `{name}`{mark} | {method.family} | {method.summary} | {control} | "
                f"{', '.join([*offered, '`benchmark`'])} |"
            )
        lines.append("")
    return "\n".join(lines)


def render(page: str) -> str:
    """Return the page with the tables of the registry."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{method_tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{PAGE}: {len(METHODS)} methods")
