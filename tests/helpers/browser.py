"""A browser that is installed on this machine, without a window; Playwright steers it."""

import os
import shutil

#: Programs that may be a Chromium, the one that BROWSER_PROGRAM names first.
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")

#: WebGL is computed by the processor; the sandbox does not work for root, nor in most containers.
OPTIONS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"]


def installed_browser() -> str | None:
    """The path of a Chromium, or None."""
    named = os.environ.get("BROWSER_PROGRAM")
    found = (shutil.which(name) for name in ([named] if named else []) + list(_NAMES))
    return next((path for path in found if path), None)
