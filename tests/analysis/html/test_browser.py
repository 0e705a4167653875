"""The page in a real browser, opened from the disk, without a network.

Skipped where there is no Chromium (Debian: ``apt-get install chromium``) or no Playwright.
"""

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import pytest
from matplotlib.image import imread

from boltzgen.samples.file import read_samples
from tests.helpers.browser import OPTIONS, installed_browser
from tests.helpers.pages import Page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(installed_browser() is None, reason="no Chromium is installed")

#: Of a page on a busy machine that computes WebGL on its processor.
TIMEOUT_MS = 120_000
MARK = (196, 62, 0)


class Opened:
    """A page in a browser, with what its console said and what it asked for."""

    def __init__(self, tab: Any, path: Path) -> None:
        self.tab, self.said, self.asked = tab, [], []
        tab.set_default_timeout(TIMEOUT_MS)
        tab.on("console", lambda m: self.said.append((m.type, m.text)))
        tab.on("pageerror", lambda e: self.said.append(("pageerror", str(e))))
        tab.on("request", lambda r: self.asked.append(r.url))
        tab.goto(path.as_uri())
        self.data = Page(path.read_text()).data
        (self.surface,) = self.data["surfaces"]
        self.draws = self.data["conformations"]["draw"]
        self.places = np.array(self.surface["values"]).T

    @property
    def which(self) -> int:
        """The draw that the page says it shows, counted from 0."""
        return int(self.tab.inner_text("#which").split()[1].replace(",", "")) - 1

    @property
    def n_selected(self) -> int:
        """The number of conformations that the slider goes over."""
        return int(self.tab.get_attribute("#slider", "max")) + 1

    def pixel(self, phi: float, psi: float) -> tuple[float, float]:
        """Where a place of the surface is on the screen."""
        canvas = self.tab.locator(".surface canvas")
        box, margin = canvas.bounding_box(), self.tab.evaluate("MARGIN")
        side = box["width"] - margin["left"] - margin["right"]
        high = box["height"] - margin["top"] - margin["bottom"]
        x = box["x"] + margin["left"] + (phi + 180) / 360 * side
        return x, box["y"] + margin["top"] + (180 - psi) / 360 * high

    def picture(self, selector: str) -> np.ndarray:
        """What a part of the page looks like, (height, width, 3) from 0 to 255."""
        shot = self.tab.locator(selector).screenshot()
        return np.round(255 * imread(io.BytesIO(shot), format="png")[..., :3])

    def reset(self) -> None:
        """Select all conformations again, and look at the surface."""
        if self.tab.is_visible("#all"):
            self.tab.click("#all")
        self.tab.locator(".surface canvas").scroll_into_view_if_needed()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as steering:
        found = steering.chromium.launch(
            executable_path=installed_browser(), args=OPTIONS, timeout=TIMEOUT_MS
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def opened(browser: Any, analysed: Path) -> Opened:
    context = browser.new_context(
        offline=True, viewport={"width": 1100, "height": 1000}, color_scheme="light"
    )
    return Opened(context.new_page(), analysed / "page.html")


@pytest.fixture
def shown(opened: Opened) -> Opened:
    opened.reset()
    return opened


def test_it_opens_without_a_network_or_complaints(shown: Opened, analysed: Path, report: dict) -> None:
    assert shown.asked == [(analysed / "page.html").as_uri()]
    assert [text for kind, text in shown.said if "error" in kind] == []
    assert shown.n_selected == 300
    rows = [row.split("\t") for row in shown.tab.inner_text("#populations table").splitlines()]
    for basin in report["basins"]:
        (row,) = (row for row in rows if row[0].strip() == basin["name"])
        assert row[1] == f"{100 * basin['population']:.3g}"
    assert f"{report['effective_sample_size']:,.0f} independent" in shown.tab.inner_text(".lead")


def test_a_click_on_the_surface_shows_a_conformation_from_there(shown: Opened) -> None:
    """One of the rare basin at phi > 0, among all those within ten degrees."""
    k = int(np.argmax(shown.places[:, 0] > 40))
    phi, psi = shown.places[k]
    before = shown.picture("#viewer canvas")
    assert len(np.unique(before.reshape(-1, 3), axis=0)) > 100  # not blank
    shown.tab.mouse.click(*shown.pixel(phi, psi))
    assert shown.which == shown.draws[k]
    turned = np.mod(shown.places - shown.places[k] + 180, 360) - 180
    assert shown.n_selected == int((np.hypot(*turned.T) <= 10).sum()) < 300
    after = shown.picture("#viewer canvas")
    assert (np.abs(after - before).max(axis=2) > 30).mean() > 0.02  # another picture


def test_the_slider_moves_the_marker(shown: Opened) -> None:
    for k in (0, 299):
        shown.tab.locator("#slider").focus()
        shown.tab.keyboard.press("Home" if k == 0 else "End")
        assert shown.which == shown.draws[k]
        x, y = shown.pixel(*shown.places[k])
        box = shown.tab.locator(".surface canvas").bounding_box()
        seen = shown.picture(".surface canvas")
        angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
        ring = [
            seen[round(y - box["y"] + 7 * math.sin(a)), round(x - box["x"] + 7 * math.cos(a))] for a in angles
        ]
        assert sum(np.abs(colour - MARK).max() < 40 for colour in ring) > 12


def test_a_loop_selects_what_it_encloses(shown: Opened) -> None:
    corners = [(20, -100), (110, -100), (110, 0), (20, 0)]
    shown.tab.mouse.move(*shown.pixel(*corners[0]))
    shown.tab.mouse.down()
    for corner in [*corners[1:], corners[0]]:
        shown.tab.mouse.move(*shown.pixel(*corner), steps=4)
    shown.tab.mouse.up()
    phi, psi = shown.places.T
    inside = (20 < phi) & (phi < 110) & (-100 < psi) & (psi < 0)
    assert shown.n_selected == inside.sum() > 3
    shown.tab.click("#next")
    assert shown.which == shown.draws[np.flatnonzero(inside)[1]]


def test_the_keyboard_and_the_tables_select(shown: Opened) -> None:
    shown.tab.click("button.state:has-text('C7ax')")
    (group,) = shown.data["groups"]
    members = [k for k, label in enumerate(group["labels"]) if group["states"][label] == "C7ax"]
    assert shown.n_selected == len(members)
    assert shown.which == shown.draws[members[0]]
    shown.tab.locator(".surface canvas").focus()
    for key in ("ArrowLeft", "ArrowUp", "Enter"):
        shown.tab.keyboard.press(key)
    assert "within 10° of" in shown.tab.inner_text("#selected")
    shown.tab.keyboard.press("Escape")
    assert shown.n_selected == 300


def test_what_is_saved_is_what_the_file_holds(
    shown: Opened, analysed: Path, report: dict, tmp_path: Path
) -> None:
    samples = read_samples(analysed / "s.h5")
    saved = {}
    for kind in ("pdb", "json", "surfaces", "profiles"):
        with shown.tab.expect_download() as download:
            shown.tab.click(f"[data-download={kind}]")
        saved[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[kind])
    assert json.loads(saved["json"].read_text()) == report
    one = mdtraj.load(str(saved["pdb"]))
    expected = samples.to_mdtraj()[shown.which]
    assert [a.name for a in one.topology.atoms] == [a.name for a in expected.topology.atoms]
    assert one.topology.n_bonds == expected.topology.n_bonds
    assert mdtraj.rmsd(one, expected)[0] < 2e-4
    assert saved["surfaces"].read_text().count("\n") == 1 + len(shown.surface["cells"][0])
    assert saved["profiles"].read_text().count("\n") == 1 + sum(
        len(c["counts"]) for c in shown.data["curves"]
    )


def test_without_webgl_the_rest_works(browser: Any, analysed: Path) -> None:
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.add_init_script(
        "const own = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        " return kind.includes('webgl') ? null : own.call(this, kind, ...more); };"
    )
    opened = Opened(tab, analysed / "page.html")
    assert "WebGL is off" in tab.inner_text("#viewer")
    assert "pageerror" not in [kind for kind, _ in opened.said]
    opened.tab.click("#next")
    tab.locator(".surface canvas").focus()
    tab.keyboard.press("Enter")
    assert opened.n_selected < 300
    context.close()


def test_it_is_dark_where_that_is_wanted_and_prints_in_light(shown: Opened) -> None:
    shown.tab.emulate_media(color_scheme="dark")
    assert shown.picture("#populations").mean() < 80
    assert shown.picture("#viewer canvas")[2, 2].max() < 60
    shown.tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert shown.picture("#populations").mean() > 200
    assert len(shown.tab.get_attribute("#viewer-print", "src")) > 5000
    shown.tab.evaluate("window.dispatchEvent(new Event('afterprint'))")
    shown.tab.emulate_media(color_scheme="light")
    assert shown.picture("#populations").mean() > 200
