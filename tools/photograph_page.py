"""Take the photographs of the page for docs/page.md: ``python tools/photograph_page.py``.

Needs the extra ``test`` and a Chromium (on the path, or named in XTALSHIFT_CHROMIUM). A server of a
temporary folder learns from rows of the data set of the package by a fast method, so that the
photographs show real numbers.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from xtalshift import Client
from xtalshift.data import catalog

PLACE = Path(__file__).parents[1] / "docs" / "images" / "page"
ROWS, METHOD, NAME = 1000, "ridge", "seebeck-1000"
WIDTH = 1100
MOST_BYTES = 150_000
_RICCI = Path(catalog.__file__).parent / "ricci_seebeck.parquet"


@contextmanager
def serving(store: Path) -> Iterator[str]:
    """Yield the address of a server of a folder."""
    command = [sys.executable, "-m", "xtalshift", "serve", "--port", "0", "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def make_table(folder: Path) -> Path:
    """Write some rows of the data set of the package as people write tables: with a semicolon."""
    rows = pd.read_parquet(_RICCI).sample(ROWS, random_state=1)
    seebeck = (rows["S_p.digits"] * 10.0 ** rows["S_p.exponent"]).round(1)
    frame = pd.DataFrame({"compound": rows["pretty_formula"], "S (uV/K)": seebeck})
    frame.loc[frame.index[4], "compound"] = "Bi2 Te3 (pure)"
    path = folder / "seebeck.csv"
    frame.to_csv(path, index=False, sep=";", decimal=",")
    return path


def photograph(page: Page, name: str, height: int = 0, *, dark: bool = False) -> None:
    """Save the screen as a PNG of few colours; `height` cuts it, 0 takes the whole screen."""
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.wait_for_timeout(800)
    whole = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    shown = whole.crop((0, 0, whole.width, height)) if 0 < height < whole.height else whole
    path = PLACE / f"{name}.png"
    shown.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {shown.width} x {shown.height}, {size / 1000:.0f} kB")
    assert size < MOST_BYTES, path


def walk(browser: Browser, url: str, table: Path) -> None:
    """Go the way from the table to the errors to expect, and photograph each screen."""
    page = browser.new_page(base_url=url, viewport={"width": WIDTH, "height": 800}, locale="en-US")
    page.set_default_timeout(1_200_000)
    page.goto("/")
    photograph(page, "start", 620)
    page.locator("#table").set_input_files(table)
    page.get_by_text("rows can be used").wait_for()
    photograph(page, "table")
    page.get_by_role("link", name="Choose what to learn").click()
    page.get_by_text(METHOD, exact=True).click()
    page.get_by_label("Name of the model").fill(NAME)
    photograph(page, "choose", 1500)
    page.get_by_role("button", name="Measure the errors").click()
    page.locator(".task").first.wait_for()
    photograph(page, "watch")
    page.wait_for_selector("[data-drawn]")
    photograph(page, "read", 1500)
    photograph(page, "read-dark", 1500, dark=True)
    page.set_viewport_size({"width": 360, "height": 740})
    photograph(page, "read-narrow", 1500)
    page.set_viewport_size({"width": WIDTH, "height": 800})
    page.get_by_role("link", name="Predict with this model").first.click()
    page.get_by_label("Formulas").wait_for()
    page.goto(f"{page.url}?element=Te")
    photograph(page, "model")
    page.get_by_label("Formulas").fill("Bi2Te3\nCoSb3\nMg2Si\nPo2O3\nSnSe\nTeCl")
    page.get_by_role("button", name="Predict", exact=True).click()
    page.wait_for_selector("[data-drawn]")
    photograph(page, "predictions")
    page.get_by_role("link", name="What to measure next").click()
    measure(page)


def measure(page: Page) -> None:
    """Take suggestions, give the values of the data set, and photograph what they change.

    They are those of tellurides and antimonides that the table does not have.
    """
    rows = pd.read_parquet(_RICCI)
    known = set(rows.sample(ROWS, random_state=1)["pretty_formula"])
    seebeck = rows["S_p.digits"] * 10.0 ** rows["S_p.exponent"]
    values = dict(zip(rows["pretty_formula"], seebeck, strict=True))
    new = [one for one in values if one.endswith(("Te2", "Sb2", "Te3")) and one not in known]
    page.get_by_label("Formulas").fill("\n".join(new[:300]))
    page.get_by_label("What for").select_option("low")
    page.get_by_label("How many").fill("12")
    page.get_by_role("button", name="Suggest").click()
    page.locator(".measure").wait_for()
    for number, row in enumerate(page.locator(".measure tbody tr").all(), start=1):
        value = values[row.locator(f"[name=formula-{number}]").input_value()]
        row.locator(f"#value-{number}-0").fill(f"{value:.1f}")
    page.get_by_role("button", name="to these values").click()
    page.locator(".errors").wait_for()
    photograph(page, "next")


def main() -> None:
    """Photograph all screens."""
    PLACE.mkdir(parents=True, exist_ok=True)
    found = os.environ.get("XTALSHIFT_CHROMIUM") or shutil.which("chromium")
    with (
        tempfile.TemporaryDirectory() as name,
        serving(Path(name) / "store") as url,
        sync_playwright() as started,
    ):
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        walk(browser, url, make_table(Path(name)))
        browser.close()
        with Client(url) as client:
            print(", ".join(f"{job.id}: {job.state}" for job in client.jobs()))


if __name__ == "__main__":
    main()
