"""Install the wheel in dist/ in an environment of its own, and predict with a ready model of it.

    python tools/check_wheel.py [DIST]

The libraries are those of the environment that runs this: PyTorch alone takes gigabytes. So the
requirements that the wheel states are not tested here (`make test-oldest` and `test-newest` do).
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

MOST = 12_000_000
"""Bytes that the ready models may take in the wheel."""
FORMULA = "PbTe"
CODE = f"""
import xtalshift
from xtalshift.model.ready import get_recipe, is_shipped, list_recipes
print(xtalshift.__file__)
for name in list_recipes():
    if is_shipped(get_recipe(name)):
        print(name, xtalshift.load_model(name).predict(["{FORMULA}"]).prediction[0])
"""


def main() -> None:
    """Check the one wheel of a folder; a failure is an error."""
    dist = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    (wheel,) = dist.glob("*.whl")
    with ZipFile(wheel) as content:
        models = [one for one in content.infolist() if "/ready/shipped/" in one.filename]
        size = sum(one.compress_size for one in models)
        if "xtalshift/py.typed" not in content.namelist():
            raise SystemExit(f"{wheel.name} lacks py.typed: type checkers would ignore its types")
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, of which ready models {size:,}")
    if not 0 < size < MOST:
        raise SystemExit(f"ready models take {size:,} bytes of the wheel; fewer than {MOST:,} may")
    with TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        said = predict_with(wheel, place)
    print("\n".join(said))


def predict_with(wheel: Path, place: Path) -> list[str]:
    """Return what each ready model of a wheel predicts, and what the command prints."""
    venv.create(place / "env", with_pip=True)
    python = place / "env" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--no-index", wheel], check=True)  # noqa: S603 - our own
    paths = {kind: Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}
    own = next((place / "env").glob("lib/python*/site-packages"))
    # editable installations there are .pth files, which are not followed from here
    (own / "libraries.pth").write_text("\n".join(sorted({str(path) for path in paths.values()})))
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def run(*command: str | Path) -> list[str]:
        done = subprocess.run(  # noqa: S603
            command, cwd=place, env=clean, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout.splitlines()

    where, *found = run(python, "-c", CODE)
    if not Path(where).is_relative_to(own):
        raise SystemExit(f"{where} was imported, which is not of the wheel")
    return [*found, *run(place / "env" / "bin" / "xtalshift", "predict", "seebeck", FORMULA)]


if __name__ == "__main__":
    main()
