"""The page in a browser: from a table to the errors to expect, by keyboard, in light and dark."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from integration.test_serve import Server, serving
from xtalshift.data import catalog

SECONDS = 120.0
CHROMIUM = os.environ.get("XTALSHIFT_CHROMIUM") or shutil.which("chromium")
EVIL = "<script>document.title='evil'</script>"

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no browser: install chromium, or name one in XTALSHIFT_CHROMIUM"
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 120 rows of the data set of the package, with a formula that is none."""
    whole = pd.read_parquet(Path(catalog.__file__).parent / "ricci_seebeck.parquet")
    rows = whole.sample(120, random_state=1)
    seebeck = (rows["S_p.digits"] * 10.0 ** rows["S_p.exponent"]).round(1)
    frame = pd.DataFrame({"compound": rows["pretty_formula"], "S (uV/K)": seebeck})
    frame["note"] = EVIL
    frame.loc[len(frame)] = [EVIL, 12.5, ""]
    path = tmp_path_factory.mktemp("table") / "seebeck <b>1.csv"
    frame.to_csv(path, index=False, sep=";", decimal=",")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("--store", tmp_path_factory.mktemp("served") / "store") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: playwright.Browser, server: Server) -> Iterator[playwright.Page]:
    context = browser.new_context(
        base_url=server.url,
        viewport={"width": 1200, "height": 900},
        reduced_motion="reduce",  # colours that just change have another contrast
    )
    found = context.new_page()
    found.set_default_timeout(SECONDS * 1000)
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield found
    context.close()
    # the policy of the page was not broken, nothing was missing, and no script failed
    assert [text for text in wrong if "422" not in text] == []


def look_at(page: playwright.Page, picture: Path) -> None:
    """Assert that all can use a screen: in light and dark, wide and narrow."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], (page.url, scheme)
        assert page.screenshot(path=picture.with_suffix(f".{scheme}.png")).startswith(b"\x89PNG")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, page.url
    page.set_viewport_size({"width": 1200, "height": 900})
    assert page.title() != "evil"


def test_a_table_goes_in_and_errors_to_expect_come_out(page, table, tmp_path):
    page.goto("/")
    look_at(page, tmp_path / "start")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.locator("#table").set_input_files(table)  # which sends it

    page.wait_for_url("**/tables/table-*")
    assert page.locator("h1").inner_text() == table.name
    page.get_by_text("120 of 121 rows can be used").wait_for()
    assert "decimal comma" in page.locator("main").inner_text()
    assert page.locator(".findings").get_by_text("<script>").count() >= 1
    look_at(page, tmp_path / "table")
    page.get_by_label("Column of formulas").select_option("note")
    page.get_by_role("button", name="Read it again").click()
    page.get_by_text("0 of 121 rows can be used.", exact=True).wait_for()
    look_at(page, tmp_path / "mistaken")
    page.get_by_label("Column of formulas").select_option("compound")
    page.get_by_role("button", name="Read it again").click()
    page.get_by_role("link", name="Choose what to learn").click()

    look_at(page, tmp_path / "choose")
    assert page.get_by_label("Unit").input_value() == "uV/K"
    page.get_by_text("ridge", exact=True).click()
    page.get_by_label("Another family").press("Space")
    page.get_by_label("Name of the model").fill("seebeck-120")
    page.get_by_role("button", name="Measure the errors").press("Enter")

    page.wait_for_url("**/jobs/run-*")
    page.get_by_text("120 materials").wait_for()  # a sentence of its progress
    look_at(page, tmp_path / "watch")
    address = page.url
    page.goto("/")  # who leaves comes back by the address
    page.get_by_role("link", name="seebeck-120").first.click()
    assert page.url == address

    page.wait_for_selector("[data-drawn]")
    assert page.locator("h1").inner_text() == "S (uV/K): what to expect"
    assert page.locator(".kind").count() == 3  # at random, extreme values, sparse region
    assert page.locator(".plot .main-svg").count() > 0
    look_at(page, tmp_path / "read")
    for kind, begin in (("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("Data (CSV)", b"measured (uV/K),")):
        with page.expect_download() as saved:
            page.locator(".save").first.get_by_text(kind).click()
        assert Path(saved.value.path()).read_bytes().startswith(begin)
    report = page.get_by_role("link", name="Download it").get_attribute("href")
    assert page.request.get(report).status == 200
    page.get_by_role("button", name="1.234,5").click()
    page.wait_for_selector("[data-drawn]")
    assert re.search(r"\b\d+,\d{1,2}\b", page.locator(".worst").inner_text())
    go_on_to_predictions(page, tmp_path)


def go_on_to_predictions(page, tmp_path):
    """From the errors of a run to predictions by its model, and to what to measure."""
    page.get_by_role("button", name="1,234.5").click()
    page.get_by_role("link", name="Predict with this model").first.click()

    page.wait_for_url("**/models/seebeck-120")
    page.locator(".elements a").first.focus()
    page.keyboard.press("Enter")
    page.get_by_text("(atomic number 1)").wait_for()
    look_at(page, tmp_path / "model")
    page.get_by_label("Formulas").fill(f"PbTe\nPo2O3\n{EVIL}")
    page.get_by_role("button", name="Predict", exact=True).click()
    page.wait_for_selector("[data-drawn]")
    assert page.get_by_text("new elements: Po").is_visible()
    assert page.locator("#unread").get_by_text("<script>").count() >= 1
    look_at(page, tmp_path / "predictions")
    with page.expect_download() as saved:
        page.get_by_role("link", name="CSV, all rows").click()
    assert len(pd.read_csv(saved.value.path())) == 3
    page.get_by_role("link", name="What to measure next").click()

    look_at(page, tmp_path / "next")
    page.get_by_label("Formulas").fill("PbTe\nBi2Te3\nSb2Se3\nMg2Si\nSnSe\nGeTe\nCoSb3")
    page.get_by_label("How many").fill("6")
    page.get_by_role("button", name="Suggest").click()
    page.get_by_label(re.compile("^Measured S")).first.wait_for()
    look_at(page, tmp_path / "suggestions")


def test_a_prediction_is_explained(page, tmp_path):
    page.goto("/models/seebeck/why?formula=PbTe")
    assert page.locator("h1").inner_text() == "Why PbTe"
    assert page.locator(".bars span").count() >= 6
    look_at(page, tmp_path / "why")
    page.locator(".why-table a").first.click()
    page.wait_for_url("**/why?formula=PbO")
    page.get_by_label("Formula").fill("Xx")
    page.get_by_role("button", name="Explain").press("Enter")
    page.get_by_text("unknown element").first.wait_for()
    assert page.get_by_label("Formula").input_value() == "Xx"  # the form is still there
    look_at(page, tmp_path / "wrong formula")


def test_all_screens_work_without_scripts(browser, server, table):
    context = browser.new_context(base_url=server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.locator("#pasted").fill("formula,gap\nGaN,3.4\nPbTe,0.31\n")
    page.get_by_role("button", name="Read these rows").click()
    assert page.locator("h1").inner_text() == "pasted.csv"
    page.get_by_role("link", name="Choose what to learn").click()
    page.get_by_text("ridge", exact=True).click()
    page.get_by_role("button", name="Only make a model").click()
    page.wait_for_url("**/jobs/train-*")
    context.close()
