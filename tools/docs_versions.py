"""Make the list of versions that the switcher of the documentation shows.

    make docs
    cp -r docs/_build/html SITE/0.1.0
    python tools/docs_versions.py SITE [--base https://example.org/docs/]

SITE has a folder for each version, as `make docs` built it. SITE/versions.json gets an entry for
each, the newest first, and SITE/index.html leads to the newest. The pages of all versions read this
one file, so that old ones know the new.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from packaging.version import Version

OPTIONS = Path("_static", "documentation_options.js")
_VERSION = re.compile(r"VERSION:\s*'([^']+)'")


def list_versions(site: Path, base: str) -> list[dict[str, object]]:
    """Return an entry for each version below a folder, the newest first."""
    found = {}
    for options in site.glob(f"*/{OPTIONS}"):
        match = _VERSION.search(options.read_text(encoding="utf-8"))
        if match is not None:
            found[options.relative_to(site).parts[0]] = match[1]
    order = sorted(found, key=lambda folder: Version(found[folder]), reverse=True)
    return [
        {
            "name": f"{found[folder]} (newest)" if place == 0 and len(order) > 1 else found[folder],
            "version": found[folder],
            "url": f"{base}{folder}/",
            "preferred": place == 0,
        }
        for place, folder in enumerate(order)
    ]


def main() -> None:
    """Write the list, and the page that leads to the newest version."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--base", default="/", help="address of SITE, with a slash at the end")
    options = parser.parse_args()
    versions = list_versions(options.site, options.base)
    if not versions:
        parser.error(f"{options.site} has no folder that `make docs` built")
    text = json.dumps(versions, indent=2)
    (options.site / "versions.json").write_text(f"{text}\n", encoding="utf-8")
    newest = versions[0]["url"]
    page = (
        f'<!doctype html><meta http-equiv="refresh" content="0; url={newest}">'
        f'<a href="{newest}">xtalshift</a>\n'
    )
    (options.site / "index.html").write_text(page, encoding="utf-8")
    print(f"{len(versions)} versions: {', '.join(str(one['version']) for one in versions)}")


if __name__ == "__main__":
    main()
