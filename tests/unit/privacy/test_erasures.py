"""The log of erasures is added to, on the disk at once, and read on from a mark."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailer.kit.errors import Unavailable
from mailer.privacy.erasures import Erasure, Log

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADA, BEN = "a" * 32, "b" * 32


def test_what_was_added_is_read_from_a_mark_on(tmp_path: Path) -> None:
    log = Log(tmp_path / "var")
    assert log.is_empty()
    assert (log.number(), log.size()) == ("", 0)

    first = log.add([ADA], NOON)
    second = log.add([BEN, ADA], NOON)

    assert (first.before, first.after, second.before) == (0, second.before, first.after)
    assert log.since(0).erasures == (Erasure(ADA, NOON), Erasure(BEN, NOON), Erasure(ADA, NOON))
    assert log.since(first.after).erasures == (Erasure(BEN, NOON), Erasure(ADA, NOON))
    assert log.since(second.after).erasures == ()
    assert log.since(10_000).erasures == log.since(0).erasures, "another file: from the beginning"
    assert log.since(0).octets == log.size() == second.after
    assert len(log.number()) == 32 == len(first.file)


def test_it_holds_a_hash_and_a_moment_a_line_and_its_owner_reads_it(tmp_path: Path) -> None:
    Log(tmp_path).add([ADA], NOON)

    title, line = (tmp_path / "erasures").read_text().splitlines()
    assert title.startswith("# dibao erasures ")
    assert line == f"{ADA} 2026-03-01T12:00:00+00:00"
    assert (tmp_path / "erasures").stat().st_mode & 0o777 == 0o600


def test_a_torn_line_harms_no_other_and_two_files_may_be_joined(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.add([ADA], NOON)
    with (tmp_path / "erasures").open("a") as file:
        file.write(f"{BEN[:20]}")
    log.add([BEN], NOON)
    with (tmp_path / "erasures").open("a") as file:
        file.write(f"# dibao erasures {ADA}\n{ADA} yesterday\n{BEN} 2026-03-02T12:00:00\n")

    assert [each.address_key for each in log.since(0).erasures] == [ADA, BEN, BEN]


def test_a_disk_that_takes_nothing_stops_the_erasure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.privacy.erasures.os.write", lambda _file, text: len(text) - 1)

    with pytest.raises(Unavailable, match="cannot be written"):
        Log(tmp_path).add([ADA], NOON)
