"""`boltzgen forcefields`."""

import json

import pytest

from boltzgen.molecule.forcefields import shipped_forcefields
from tests.helpers.command_line import call


def test_the_list_has_every_file_and_how_to_use_them(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capfd, "forcefields")
    assert (code, err) == (0, "")
    assert all(f.file in out for f in shipped_forcefields())
    assert "--forcefield amber14-all.xml --forcefield implicit/obc2.xml" in out
    code, out, err = call(capfd, "forcefields", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert [row["file"] for row in json.loads(out)["forcefields"]] == [f.file for f in shipped_forcefields()]
