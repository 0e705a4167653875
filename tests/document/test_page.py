"""A page of texts, tables and a picture: whole, escaped, and asking for nothing."""

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from boltzgen.document.page import PageTable, page, save_page
from tests.helpers.browser import OPTIONS, installed_browser
from tests.helpers.pages import Page

WILD = '</title><script>alert("x")</script>'


def drawn() -> Figure:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1])
    return figure


def test_texts_are_escaped_and_nothing_is_asked_for() -> None:
    table = PageTable(["state", WILD], [["a<b", WILD], [WILD, "2"]], WILD)
    html = page(WILD, [WILD, [WILD], table], warnings=[WILD], figure=drawn())
    found = Page(html)
    assert not found.texts["script"]
    assert found.words.count("alert") == 9  # of the title twice, and once each in the other places
    assert [[text for text, _ in row] for row in found.rows] == [["state", WILD], ["a<b", WILD], [WILD, "2"]]
    policy = next(attributes for tag, attributes in found.tags if "http-equiv" in attributes)["content"]
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'sha256-")
    (picture,) = (attributes for tag, attributes in found.tags if tag == "img")
    assert (picture["src"] or "").startswith("data:image/svg+xml;base64,")
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", html)


@pytest.mark.skipif(installed_browser() is None, reason="no Chromium is installed")
def test_a_browser_shows_it_without_complaints(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    file = tmp_path / "p.html"
    save_page(file, "a page", [PageTable(["a", "b"], [["x", "1"]])], warnings=["careful"], figure=drawn())
    with playwright.sync_playwright() as steering:
        browser = steering.chromium.launch(executable_path=installed_browser(), args=OPTIONS)
        tab, said = browser.new_context(offline=True).new_page(), []
        tab.on("console", lambda message: said.append(message.text))
        tab.goto(file.as_uri())
        assert tab.evaluate("document.querySelector('img').naturalWidth") > 100
        doubt = tab.evaluate("getComputedStyle(document.querySelector('.doubt')).borderLeftWidth")
        assert (doubt, tab.inner_text("tbody td")) == ("4px", "1")
        assert said == []
        browser.close()
