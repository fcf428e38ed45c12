"""Print constraints for the lowest versions that ``pyproject.toml`` admits (``make test-oldest``).

Every lower bound ``name>=version`` of the package and of its extras becomes ``name==version``,
except those of the extra ``dev``, which the tests do not need, and that of PyTorch.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest_versions() -> list[str]:
    """Return one pin per requirement that states a lower bound."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for name, extra in project["optional-dependencies"].items():
        requirements += extra if name != "dev" else []
    found = (re.match(r"([\w.-]+)>=([\w.]+)", requirement) for requirement in requirements)
    return [f"{one[1]}=={one[2]}" for one in found if one and one[1] != "torch"]


if __name__ == "__main__":
    print(*lowest_versions(), sep="\n")
