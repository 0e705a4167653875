"""A newcomer's path, timed: from a clone to a Ramachandran surface in the browser, linked to the molecule.

    python benchmarks/newcomer.py [--url FOLDER]

Three commands, in a clone of this repository's last commit in a folder of its own, with a fresh environment:

    git clone URL boltzgen
    cd boltzgen && make venv      # the installation alone, which `make demo` begins with
    make demo                     # draws, tables, pictures, demo/report.html

Then demo/report.html is opened in Chromium, by Playwright (which the environment that runs this script must
have), a region is clicked, and its conformations must be shown. Kernels are compiled anew, as on a fresh
machine. Printed are the seconds of each.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pages import OPTIONS

ROOT = Path(__file__).parents[1]


def timed(what: str, command: list[str], folder: Path, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{what} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    took = time.perf_counter() - began
    print(f"{what}: {took:.0f} s", flush=True)
    return took


def look(page: Path) -> float:
    """Open the page, click a region, and see its conformations; seconds that it took."""
    from playwright.sync_api import sync_playwright

    began = time.perf_counter()
    with sync_playwright() as steering:
        browser = steering.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        tab = browser.new_context(offline=True).new_page()
        tab.set_default_timeout(120_000)
        tab.goto(page.as_uri())
        before = tab.inner_text("#which")
        tab.locator("button.state:has-text('C7ax')").first.click()
        after = tab.inner_text("#which")
        if after == before or "C7ax" not in tab.inner_text("body"):
            sys.exit("a click on a region does not change the conformation that is shown")
        browser.close()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default=str(ROOT), help="what is cloned (default: this repository)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "boltzgen"
        environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
        timed("git clone", ["git", "clone", "--quiet", options.url, str(folder)], Path(scratch), environment)
        timed("installation", ["make", "venv"], folder, environment)
        timed("make demo", ["make", "demo"], folder, environment)
        page = folder / "demo" / "report.html"
        took, size = look(page), page.stat().st_size / 1e6
        print(f"in the browser, a region's conformations: {took:.0f} s ({size:.2f} MB)")


if __name__ == "__main__":
    main()
