"""What the command line says of itself and of the systems that ship."""

import pytest

from boltzgen import __version__
from boltzgen.molecule.system import shipped_systems
from tests.helpers.command_line import call


def test_help_version_and_systems(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"]):
        code, out, err = call(capfd, *arguments)
        assert code == 0
        assert err == ""
        assert all(
            c in out
            for c in ("systems", "forcefields", "prepare", "train", "sample", "analyze", "evaluate", "export")
        )
    assert call(capfd, "--version") == (0, f"boltzgen {__version__}\n", "")
    code, out, _ = call(capfd, "systems")
    assert code == 0
    assert all(name in out for name in shipped_systems())
