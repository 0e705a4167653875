"""What `make docs` does to Markdown and docstrings before Sphinx reads them."""

import doctest
import re
from pathlib import Path

import pytest

import boltzgen
from tests.helpers.documents import DOCS, ROOT, load_script


def test_examples_of_the_configuration() -> None:
    pytest.importorskip("sphinx", reason="the extra [docs] is not installed")
    assert doctest.testmod(load_script(DOCS / "conf.py")).failed == 0


def test_the_reference_has_every_public_name() -> None:
    listed = re.findall(r"^   boltzgen\.(\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert sorted([*listed, "__version__"]) == sorted(boltzgen.__all__)


@pytest.mark.parametrize("page", sorted(DOCS.glob("reference/*.md")), ids=lambda page: page.stem)
def test_modules_of_the_reference_exist(page: Path) -> None:
    """Each under a heading of its own."""
    text = page.read_text()
    modules = re.findall(r"automodule:: (\S+)", text)
    assert modules == re.findall(r"^## `(.*)`$", text, re.MULTILINE)
    for module in modules:
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
    assert f"reference/{page.stem}\n" in (DOCS / "api.md").read_text()
