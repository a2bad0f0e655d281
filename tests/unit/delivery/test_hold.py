"""The file HOLD stops a host, whatever state it is in; nobody ever reads half of it."""

from pathlib import Path

import pytest

from mailer.delivery import hold
from mailer.delivery.hold import hold_file


def test_the_hold_file_is_read_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "HOLD"

    assert hold_file(tmp_path) is None
    file.touch()
    assert hold_file(tmp_path) == "the file HOLD is in the data directory"
    file.write_text("wrong\nissue\n")
    assert hold_file(tmp_path) == "wrong issue"


@pytest.mark.parametrize("content", [b"\xff\x00 no text", b"x" * 100_000])
def test_whatever_is_in_the_file_holds(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "HOLD").write_bytes(content)

    reason = hold_file(tmp_path)
    assert reason
    assert len(reason) <= 500


def test_a_file_that_cannot_be_read_holds(tmp_path: Path) -> None:
    (tmp_path / "HOLD").mkdir()

    assert hold_file(tmp_path) == "the file HOLD is in the data directory"


def test_the_first_reason_stays_until_the_hold_is_lifted(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    hold.write(folder, "wrong issue")
    hold.write(folder, "a second thought")

    assert hold_file(folder) == "wrong issue"
    assert hold.remove(folder)
    assert not hold.remove(folder)
    assert hold_file(folder) is None


def test_a_file_that_cannot_take_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    taken = tmp_path / "kept.json"
    taken.mkdir()
    (taken / "full").touch()

    with pytest.raises(OSError, match="irectory"):
        hold.replace(taken, "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
