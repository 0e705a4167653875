"""A prepared system replaces another only when asked, whole, and nothing but a system."""

from pathlib import Path

import pytest

from boltzgen.preparation.folder import check_free, new_folder


def write(folder: Path, text: str) -> None:
    for name in ("system.toml", "topology.pdb", "forces.xml"):
        (folder / name).write_text(text)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    with new_folder(folder) as partial:
        write(partial, "first")
    return folder


def test_a_system_is_replaced_when_asked(system: Path) -> None:
    with pytest.raises(FileExistsError, match="holds a system already; add `force=True`"):
        check_free(system)
    (system / "forces.xml").rename(system / "of_before.xml")
    with new_folder(system, force=True) as partial:
        write(partial, "second")
        assert (system / "system.toml").read_text() == "first"
    assert {p.name for p in system.iterdir()} == {"system.toml", "topology.pdb", "forces.xml"}
    assert (system / "system.toml").read_text() == "second"
    assert [p.name for p in system.parent.iterdir()] == ["mine"]


def test_a_failure_leaves_the_system_as_it_was(system: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_folder(system, force=True) as partial:
        write(partial, "second")
        raise KeyboardInterrupt
    assert (system / "system.toml").read_text() == "first"
    assert [p.name for p in system.parent.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["reference.h5", "checkpoint.safetensors", "run/metrics.jsonl", "notes"])
def test_what_cannot_be_prepared_again_is_not_removed(system: Path, name: str) -> None:
    (system / name).parent.mkdir(exist_ok=True)
    (system / name).touch()
    with pytest.raises(FileExistsError, match=f"more than a system: {name}"):
        check_free(system, force=True)
    (system / "system.toml").unlink()
    with pytest.raises(FileExistsError, match="no system's folder"):
        check_free(system, force=True)
