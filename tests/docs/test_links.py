"""Every link leads somewhere, and every page is in the lists of pages."""

import re
from pathlib import Path

import pytest

from tests.helpers.documents import DOCS, ROOT, anchors, links

NOTEBOOKS = sorted(DOCS.glob("notebooks/*.ipynb"))
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
DOCUMENTS = [*PAGES, *NOTEBOOKS, *sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("systems/*/README.md"))]
#: What makes up the site and is no page of it.
FRAMES = {"README", "index", "contributing", "changelog", "api"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=[p.relative_to(ROOT).as_posix() for p in DOCUMENTS])
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for target in links(path):
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        # The site offers files to be downloaded, but not folders.
        exists = there.is_file() if path in PAGES else there.exists()
        if not exists or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize(
    "source", [*ROOT.glob("boltzgen/**/*.py"), *ROOT.glob("examples/*.py"), *ROOT.glob("benchmarks/*.py")]
)
def test_pages_that_code_names_exist(source: Path) -> None:
    named = re.findall(r"\bdocs/[\w/]+\.md\b", source.read_text())
    assert [page for page in named if not (ROOT / page).is_file()] == []


def toctree(page: Path) -> list[str]:
    found = re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line.strip() for block in found for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(":")]


def test_the_site_has_every_page_once() -> None:
    entries = toctree(DOCS / "index.md")
    there = [p.stem for p in DOCS.glob("*.md") if p.stem not in ("README", "index")]
    assert sorted(entries) == sorted([*there, *(f"notebooks/{p.stem}" for p in NOTEBOOKS), "results/index"])
    assert toctree(DOCS / "results" / "index.md") == ["*"]


def test_the_lists_name_every_page() -> None:
    """The lists that readers of the repository find, and which the site's first pages include."""
    for folder in (DOCS, DOCS / "results"):
        listed = {target.partition("#")[0] for target in links(folder / "README.md")}
        there = {p.name for p in folder.glob("*.md") if p.stem not in FRAMES}
        assert there - listed == set()
    assert {f"notebooks/{p.name}" for p in NOTEBOOKS} <= set(links(DOCS / "README.md"))


def test_pictures_of_the_gallery_are_few_and_small() -> None:
    pictures = sorted((DOCS / "pictures").glob("gallery_*.png"))
    shown = {DOCS / target for target in links(DOCS / "gallery.md") if target.endswith(".png")}
    assert set(pictures) == shown
    assert len(pictures) <= 8
    assert [path.name for path in pictures if path.stat().st_size > 100_000] == []
