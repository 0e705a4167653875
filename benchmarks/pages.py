"""Pages of analyses (`boltzgen analyze --html`): how large they are, and pictures of one.

python benchmarks/pages.py                            # sizes, for dipeptide and tetrapeptide
python benchmarks/pages.py --pictures docs/pictures   # needs Playwright and `chromium`
"""

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from boltzgen import BoltzmannGenerator, ForceFieldEnergy, analyze

#: WebGL on the processor; no sandbox, which does not work for root.
OPTIONS = ["--no-sandbox", "--enable-unsafe-swiftshader"]
NAMES = ("alanine_dipeptide", "alanine_tetrapeptide")
#: Of the pictures: how wide and high the window is, and in which colours.
WINDOWS = {
    "page": (1180, 800, "light"),
    "page_narrow": (390, 800, "light"),
    "page_dark": (1180, 800, "dark"),
    "page_print": (794, 1123, "light"),  # A4 at 96 pixels an inch
}


def write_page(name: str, n: int, seed: int, folder: Path) -> Path:
    generator = BoltzmannGenerator.load(name)
    energy = ForceFieldEnergy(generator.system, temperature=300.0)
    generator.sample(n, energy, seed=seed).save(folder / f"{name}.h5")
    page = folder / f"{name}.html"
    analyze(folder / f"{name}.h5", folder / name, html=page)
    return page


def take_pictures(page: Path, folder: Path) -> None:
    """Pictures of a page whose first rare region is selected, in 256 colours."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as steering:
        browser = steering.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        for name, (width, height, scheme) in WINDOWS.items():
            context = browser.new_context(
                offline=True, viewport={"width": width, "height": height}, color_scheme=scheme
            )
            tab = context.new_page()
            tab.set_default_timeout(120_000)
            tab.goto(page.as_uri())
            tab.locator("button.state:has-text('C7ax')").first.click()
            if name == "page_print":
                tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
                tab.emulate_media(media="print")
            tab.evaluate("window.scrollTo(0, 0)")
            tab.wait_for_timeout(300)
            picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
            picture.quantize(256, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)
            context.close()
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in NAMES:
            page = write_page(name, options.n, options.seed, Path(temporary))
            print(f"{name}: {options.n} draws, seed {options.seed}: {page.stat().st_size / 1e6:.2f} MB")
        if options.pictures is not None:
            take_pictures(page, options.pictures)


if __name__ == "__main__":
    main()
