"""Results that are there already are refused, and replaced only where that is asked for."""

from pathlib import Path

import pytest

from tests.helpers.command_line import FakeGenerator, call, refused


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        (["sample", "{run}", "-n", "300", "-o", "{run}/s.h5"], "s.h5"),
        (["export", "{good}", "{run}/f.xtc"], "f.xtc"),
        (["analyze", "{good}", "-o", "{run}/report"], "report/report.json"),
        (["analyze", "{good}", "-o", "{run}/report", "--html", "{run}/page.html"], "page.html"),
    ],
)
def test_results_are_not_replaced_unasked(
    run_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    result: str,
) -> None:
    good, file = tmp_path / "good.h5", run_folder / result
    assert call(capfd, "sample", run_folder, "-n", 200, "-o", good)[0] == 0
    command = [a.format(run=run_folder, good=good) for a in arguments]
    assert call(capfd, *command)[0] == 0
    before = file.read_bytes()
    file.write_bytes(b"an earlier one")
    refused(call(capfd, *command), f"{file} exists already; add --force to replace it")
    assert file.read_bytes() == b"an earlier one"
    assert call(capfd, *command, "--force")[0] == 0
    assert file.read_bytes() == before


def test_an_earlier_result_stays_until_the_new_one_is_whole(
    run_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = run_folder / "s.h5"
    command = ("sample", run_folder, "-n", 2000, "-o", file)
    assert call(capfd, *command)[0] == 0
    before = file.read_bytes()
    monkeypatch.setattr(FakeGenerator, "stop", KeyboardInterrupt)
    assert call(capfd, *command, "--force", "--seed", 1)[0] == 130
    assert file.read_bytes() == before
    assert (run_folder / "s.partial.h5").exists()
    monkeypatch.setattr(FakeGenerator, "stop", None)
    # What was interrupted is no obstacle to beginning anew.
    assert call(capfd, *command, "--force", "--seed", 1)[0] == 0
    assert file.read_bytes() != before
    assert not (run_folder / "s.partial.h5").exists()


@pytest.mark.parametrize("command", ["train", "simulate", "sample"])
def test_going_on_and_beginning_anew_exclude_each_other(
    command: str, run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    how = {
        "train": ("alanine_dipeptide",),
        "simulate": ("alanine_dipeptide",),
        "sample": (run_folder, "-n", 5),
    }
    output = call(capfd, command, *how[command], "-o", run_folder / "x.h5", "--resume", "--force")
    refused(output, "give one of them")
