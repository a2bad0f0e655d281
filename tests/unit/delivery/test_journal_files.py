"""A journal that is full goes on in another file; one from another host is taken in."""

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import pytest

from mailer.delivery import journal, testimony
from mailer.delivery.journal import Journal, JournalAlive, JournalUnreadable, Kind
from mailer.delivery.relay import Message, Reply

ACCEPTED = Reply(250, "2.0.0", "Ok")


def letter(subscriber: int) -> Message:
    return Message(7, subscriber, 1, 1, 1, "ada@example.org", "b@x", b"A: b\r\n\r\n")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def kept(place: Path) -> Iterator[Journal]:
    kept = Journal.open(place, "worker-1", boot_id="boot-1")
    yield kept
    kept.close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FULL", 500)


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.glob(f"*{journal.SUFFIX}"))


def test_a_journal_with_room_goes_on(kept: Journal) -> None:
    assert not kept.renew()


@pytest.mark.usefixtures("small")
def test_a_full_journal_goes_on_in_another_file(kept: Journal, place: Path) -> None:
    first = kept.path
    for subscriber in range(1, 4):
        kept.append(kept.reply(letter(subscriber), 1, ACCEPTED))

    assert kept.renew()
    kept.append(kept.dot(letter(4), 1))

    assert names(place) == ["worker-1.2.journal"]
    assert kept.path == place / "worker-1.2.journal"
    assert len(journal.read(place / journal.RETIRED / first.name).last) == 3
    assert list(journal.read(kept.path).last) == [(7, 1, 1, 4)]
    assert journal.read(kept.path).worker == "worker-1"
    assert not kept.renew()


@pytest.mark.usefixtures("small")
def test_moments_of_a_second_file_are_counted_from_its_own_start(kept: Journal) -> None:
    kept.append(kept.reply(letter(1), 1, ACCEPTED) * 3)
    kept.renew()
    kept.append(kept.dot(letter(1), 1))

    at = journal.read(kept.path).last[7, 1, 1, 1].at
    assert abs(datetime.now(UTC) - at) < timedelta(seconds=5)


@pytest.mark.usefixtures("small")
def test_a_second_file_is_locked_as_the_first_was(kept: Journal, place: Path) -> None:
    kept.append(kept.reply(letter(1), 1, ACCEPTED) * 3)
    kept.renew()

    assert journal.orphans(place) == ()
    kept.close()
    assert [path.name for path in journal.orphans(place)] == ["worker-1.2.journal"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("step", ["rename", "_put_away"])
def test_a_crash_between_two_files_loses_neither(place: Path, step: str) -> None:
    """Before the second has its name, and before the first is put away."""

    def dying() -> None:
        kept = Journal.open(place, "worker-1", boot_id="boot-1")
        kept.append(kept.reply(letter(1), 1, ACCEPTED) * 3)

        def die(*_: object) -> None:
            os._exit(9)

        if step == "rename":
            Path.rename = die  # type: ignore[method-assign,assignment]
        else:
            journal._put_away = die  # type: ignore[assignment]  # noqa: SLF001
        kept.renew()

    child = multiprocessing.get_context("fork").Process(target=dying)
    child.start()
    child.join(20)

    assert child.exitcode == 9
    left = [path.name for path in journal.orphans(place)]
    second = ["worker-1.2.journal"] if step == "_put_away" else []
    assert sorted(left) == [*second, "worker-1.journal"]
    assert journal.read(place / "worker-1.journal").last[7, 1, 1, 1].reply == ACCEPTED
    assert all(not journal.read(place / name).damaged for name in left)


@pytest.mark.usefixtures("small")
def test_a_disk_that_is_full_lets_the_old_file_go_on(
    kept: Journal, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.append(kept.reply(letter(1), 1, ACCEPTED) * 3)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space")))
        assert not kept.renew()
    kept.append(kept.dot(letter(2), 1))

    assert journal.read(kept.path).last[7, 1, 1, 2].kind is Kind.DOT
    assert [path.name for path in place.iterdir()] == ["worker-1.journal"]
    assert kept.renew()


def test_a_journal_on_its_way_to_the_shelf_is_no_orphan(
    kept: Journal, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process lives: nobody may take what it holds for lost."""
    seen: list[tuple[Path, ...]] = []
    close = Journal.close

    def watched(one: Journal) -> None:
        close(one)
        seen.append(journal.orphans(place))

    monkeypatch.setattr(Journal, "close", watched)
    kept.retire()

    assert seen == [()]


def test_a_journal_from_another_host_is_taken_in_once(place: Path, tmp_path: Path) -> None:
    there = Journal.open(tmp_path / "there", "worker-9", boot_id="boot-9")
    there.append(there.dot(letter(1), 1))
    there.close()

    taken = journal.copy_in(there.path, place)

    assert taken is not None
    assert journal.orphans(place) == (taken,)
    assert journal.read(taken).worker == "worker-9"
    assert journal.copy_in(there.path, place) is None
    with journal.adopt(taken) as told:
        assert told is not None
    assert journal.copy_in(there.path, place) is None
    assert there.path.exists()


def test_the_whole_of_a_journal_is_taken_in_after_a_part(place: Path, tmp_path: Path) -> None:
    there = Journal.open(tmp_path / "there", "worker-9")
    there.append(there.dot(letter(1), 1))
    there.close()
    part = tmp_path / "part.journal"
    shutil.copyfile(there.path, part)
    with part.open("rb+") as file:
        file.truncate(there.path.stat().st_size - 10)

    taken = journal.copy_in(part, place)
    assert taken is not None
    with journal.adopt(taken) as told:
        assert told is not None
        assert not told.last

    again = journal.copy_in(there.path, place)
    assert again == taken
    assert len(journal.read(again).last) == 1


def test_a_living_process_keeps_its_journal_to_itself(kept: Journal, tmp_path: Path) -> None:
    with pytest.raises(JournalAlive):
        journal.copy_in(kept.path, tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["../../outside", "/outside", "red\x1b[31m"])
@pytest.mark.parametrize("field", ["worker", "host"])
def test_a_journal_names_no_file_outside_its_folder(
    place: Path, tmp_path: Path, field: str, name: str
) -> None:
    """A checksum is no signature: whoever can bring a file can write its header too."""
    forged = tmp_path / "forged.journal"
    names = {"worker": "worker-9", "host": "there"} | {field: name}
    worker, host = (names[key].encode() for key in ("worker", "host"))
    header = testimony.HEADER.pack(testimony.MAGIC, False, 0, 1, worker, host, b"boot")
    forged.write_bytes(header + testimony.CRC.pack(crc32(header)))

    with pytest.raises(JournalUnreadable, match="cannot be"):
        journal.copy_in(forged, place)
    assert not place.exists()


def test_a_file_that_is_no_journal_is_not_taken_in(place: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.journal"
    odd.write_bytes(b"nonsense")

    with pytest.raises(JournalUnreadable):
        journal.copy_in(odd, place)
    assert not place.exists()
