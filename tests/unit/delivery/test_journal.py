"""The journal witnesses for the dead: what left, what was answered, what never did."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.delivery import journal
from mailer.delivery.journal import Journal, JournalFull, JournalUnreadable, Kind, Mode
from mailer.delivery.relay import Message, Reply
from mailer.kit.errors import Misconfigured

ACCEPTED = Reply(250, "2.0.0", "Ok: queued as 4XYZ")


def letter(subscriber: int, *, batch: int = 1, epoch: int = 1, chunk: int = 1) -> Message:
    return Message(7, subscriber, batch, epoch, chunk, "ada@example.org", "b@x", b"A: b\r\n\r\n")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def kept(place: Path) -> Iterator[Journal]:
    kept = Journal.open(place, "worker-1", boot_id="boot-1")
    yield kept
    kept.close()


def tell(kept: Journal, subscriber: int, *kinds: Kind, reply: Reply = ACCEPTED) -> None:
    message = letter(subscriber)
    records = {
        Kind.INTENT: kept.intent(message, 3),
        Kind.DOT: kept.dot(message, 3),
        Kind.REPLY: kept.reply(message, 3, reply),
    }
    for kind in kinds:
        kept.append(records[kind])


def last(path: Path) -> dict[int, Kind]:
    return {witness.subscriber: witness.kind for witness in journal.read(path).last.values()}


def test_the_last_record_of_each_message_counts(kept: Journal) -> None:
    tell(kept, 1, Kind.INTENT, Kind.DOT, Kind.REPLY)
    tell(kept, 2, Kind.INTENT, Kind.DOT)
    tell(kept, 3, Kind.INTENT)

    assert last(kept.path) == {1: Kind.REPLY, 2: Kind.DOT, 3: Kind.INTENT}


def test_a_witness_says_whose_message_where_and_when(kept: Journal) -> None:
    before = datetime.now(UTC)
    reply = Reply(550, "5.1.1", "no ä there", "rcpt")
    kept.append(kept.reply(letter(9, batch=2, epoch=3, chunk=4), 5, reply))

    witness = journal.read(kept.path).last[7, 2, 3, 9]

    assert (witness.campaign, witness.batch, witness.epoch, witness.chunk) == (7, 2, 3, 4)
    assert (witness.subscriber, witness.connection, witness.reply) == (9, 5, reply)
    assert before - timedelta(seconds=1) <= witness.at <= datetime.now(UTC) + timedelta(seconds=1)


def test_one_append_carries_the_last_reply_this_dot_and_the_next_intent(kept: Journal) -> None:
    tell(kept, 1, Kind.INTENT, Kind.DOT)
    kept.append(
        kept.reply(letter(1), 1, ACCEPTED) + kept.dot(letter(2), 1) + kept.intent(letter(3), 1)
    )

    assert last(kept.path) == {1: Kind.REPLY, 2: Kind.DOT, 3: Kind.INTENT}


def test_a_dot_is_not_forgotten_for_a_later_intent(kept: Journal) -> None:
    tell(kept, 1, Kind.DOT, Kind.INTENT)

    assert last(kept.path) == {1: Kind.DOT}


def test_another_epoch_is_another_message(kept: Journal) -> None:
    kept.append(kept.dot(letter(1, epoch=1), 1) + kept.intent(letter(1, epoch=2), 1))

    told = journal.read(kept.path).last
    assert [told[7, 1, epoch, 1].kind for epoch in (1, 2)] == [Kind.DOT, Kind.INTENT]


def test_the_header_says_who_wrote_it(kept: Journal) -> None:
    told = journal.read(kept.path)

    assert (told.worker, told.pid, told.boot_id) == ("worker-1", os.getpid(), "boot-1")
    assert told.mode is Mode.WRITE
    assert not told.damaged


def test_no_address_is_in_it(kept: Journal) -> None:
    tell(kept, 1, Kind.INTENT, Kind.DOT, Kind.REPLY)

    assert b"ada" not in kept.path.read_bytes()
    assert kept.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("mode", "boot_id", "known"),
    [
        (Mode.WRITE, "boot-1", True),
        (Mode.WRITE, "boot-2", False),  # the page cache went with the host
        (Mode.WRITE, "", False),
        (Mode.FSYNC, "boot-2", True),
        (Mode.FSYNC, "", True),
    ],
)
def test_no_dot_means_not_sent_only_where_no_record_can_be_missing(
    place: Path, mode: Mode, boot_id: str, *, known: bool
) -> None:
    kept = Journal.open(place, "worker-2", mode=mode, boot_id="boot-1")
    tell(kept, 1, Kind.INTENT)
    kept.close()

    assert journal.read(kept.path).knows_unsent(boot_id) is known


def test_a_boot_without_name_is_never_the_same_boot(place: Path) -> None:
    Journal.open(place, "worker-2", boot_id="").close()

    assert not journal.read(place / "worker-2.journal").knows_unsent("")


def test_a_torn_tail_counts_as_absent_at_every_byte(kept: Journal, tmp_path: Path) -> None:
    tell(kept, 1, Kind.INTENT, Kind.DOT, Kind.REPLY)
    whole = kept.path.stat().st_size
    tell(kept, 2, Kind.INTENT, Kind.DOT)
    before_reply = kept.path.stat().st_size
    tell(kept, 2, Kind.REPLY)
    data = kept.path.read_bytes()
    torn = tmp_path / "torn.journal"

    for end in range(whole, len(data)):
        torn.write_bytes(data[:end])
        told = journal.read(torn)
        assert not told.damaged
        assert told.last[7, 1, 1, 1].kind is Kind.REPLY
        if end >= before_reply:
            assert told.last[7, 1, 1, 2].kind is Kind.DOT


@settings(max_examples=200)
@given(st.data())
def test_damage_never_invents_a_witness(data: st.DataObject) -> None:
    raw = SAMPLE.read_bytes()
    at = data.draw(st.integers(HEAD, len(raw) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[at]))
    bad = SAMPLE.with_name("bad.journal")
    bad.write_bytes(raw[:at] + bytes([byte]) + raw[at + 1 :])

    told, truth = journal.read(bad), journal.read(SAMPLE)

    for key, witness in told.last.items():
        assert witness.kind <= truth.last[key].kind
    if told.last != truth.last and not told.damaged:  # then only the last record is missing
        assert sum(told.last.get(key) != witness for key, witness in truth.last.items()) == 1


@pytest.fixture(scope="module", autouse=True)
def _sample(tmp_path_factory: pytest.TempPathFactory) -> None:
    global SAMPLE, HEAD  # noqa: PLW0603  # one file for all examples
    kept = Journal.open(tmp_path_factory.mktemp("sample"), "worker-1")
    HEAD = kept.size
    for subscriber in range(1, 5):
        tell(kept, subscriber, Kind.INTENT, Kind.DOT, Kind.REPLY)
    kept.close()
    SAMPLE = kept.path


SAMPLE: Path
HEAD: int


def test_what_follows_damage_is_unknown(kept: Journal) -> None:
    tell(kept, 1, Kind.INTENT, Kind.DOT, Kind.REPLY)
    first = kept.size
    tell(kept, 2, Kind.INTENT, Kind.DOT, Kind.REPLY)
    data = bytearray(kept.path.read_bytes())
    data[first + 8] ^= 0xFF
    kept.path.write_bytes(data)

    told = journal.read(kept.path)

    assert told.damaged
    assert not told.knows_unsent("boot-1")
    assert [witness.subscriber for witness in told.last.values()] == [1]


def test_zeros_at_the_end_are_a_torn_tail(kept: Journal) -> None:
    tell(kept, 1, Kind.INTENT)
    with kept.path.open("ab") as file:
        file.write(bytes(500))

    assert not journal.read(kept.path).damaged


@pytest.mark.parametrize("content", [b"", b"nonsense", bytes(400)])
def test_a_file_that_is_no_journal_is_refused_and_stays(place: Path, content: bytes) -> None:
    place.mkdir()
    path = place / "odd.journal"
    path.write_bytes(content)

    with pytest.raises(JournalUnreadable), journal.adopt(path):
        pass
    assert path.exists()


def test_a_live_journal_is_no_orphan(kept: Journal, place: Path) -> None:
    assert journal.orphans(place) == ()
    with journal.adopt(kept.path) as told:
        assert told is None
    assert kept.path.exists()

    kept.close()

    assert journal.orphans(place) == (kept.path,)


def test_an_adopted_journal_is_put_away(kept: Journal, place: Path) -> None:
    tell(kept, 1, Kind.INTENT, Kind.DOT)
    kept.close()

    with journal.adopt(kept.path) as told:
        assert told is not None
        assert [witness.kind for witness in told.last.values()] == [Kind.DOT]

    assert journal.orphans(place) == ()
    assert (place / journal.RETIRED / kept.path.name).exists()


def test_an_adoption_that_fails_can_be_repeated(kept: Journal, place: Path) -> None:
    kept.close()

    with pytest.raises(ZeroDivisionError), journal.adopt(kept.path):
        raise ZeroDivisionError

    assert journal.orphans(place) == (kept.path,)


def test_only_one_worker_adopts(kept: Journal, place: Path) -> None:
    kept.close()

    with journal.adopt(kept.path) as first:
        assert first is not None
        assert journal.orphans(place) == ()
        with journal.adopt(kept.path) as second:
            assert second is None

    assert (place / journal.RETIRED / kept.path.name).exists()


def test_a_journal_that_somebody_else_has_put_away_is_not_ours(kept: Journal, place: Path) -> None:
    kept.close()
    (found,) = journal.orphans(place)
    with journal.adopt(found):
        pass

    with journal.adopt(found) as late:
        assert late is None


def test_without_a_directory_there_are_no_orphans(place: Path) -> None:
    assert journal.orphans(place) == ()


def test_a_retired_journal_is_kept_a_week(kept: Journal, place: Path) -> None:
    kept.retire()
    now = datetime.now(UTC)

    assert journal.forget(place, now=now + timedelta(days=6)) == 0
    assert journal.forget(place, now=now + timedelta(days=8)) == 1
    assert not list((place / journal.RETIRED).iterdir())


@pytest.mark.usefixtures("kept")
def test_a_second_journal_of_the_same_worker_is_a_bug(place: Path) -> None:
    with pytest.raises(ValueError, match="already"):
        Journal.open(place, "worker-1")


@pytest.mark.parametrize("worker", ["", "a/b", "x" * 65])
def test_a_worker_needs_a_name_that_fits(place: Path, worker: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Journal.open(place, worker)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")

    with pytest.raises(Misconfigured, match="file"):
        Journal.open(tmp_path / "file", "worker-1")


def test_a_full_disk_leaves_no_half_journal(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr("os.write", lambda _, data: len(data) // 2)

    with pytest.raises(Misconfigured, match="only a part"):
        Journal.open(place, "worker-1")

    assert list(place.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_a_full_disk_leaves_no_torn_record(kept: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(kept, 1, Kind.INTENT)
    write = os.write

    def partly(descriptor: int, data: bytes) -> int:
        return write(descriptor, data[: len(data) // 2])

    def never(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for broken in (partly, never):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", broken)
            with pytest.raises(JournalFull):
                tell(kept, 2, Kind.DOT)
    tell(kept, 3, Kind.DOT)

    assert last(kept.path) == {1: Kind.INTENT, 3: Kind.DOT}
    assert not journal.read(kept.path).damaged


def test_fsync_mode_syncs_each_append(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    kept = Journal.open(place, "worker-3", mode=Mode.FSYNC)
    monkeypatch.setattr(os, "fdatasync", synced.append)

    tell(kept, 1, Kind.INTENT, Kind.DOT)
    kept.close()

    assert len(synced) == 2


WRITER = """
import sys, time
from pathlib import Path
from mailer.delivery.journal import Journal
from mailer.delivery.relay import Message
kept = Journal.open(Path(sys.argv[1]), "worker-9")
message = Message(7, 1, 1, 1, 1, "a@b", "c@d", b"")
kept.append(kept.intent(message, 1) + kept.dot(message, 1))
print("ready", flush=True)
time.sleep(60)
"""


def test_a_stopped_process_lives_and_a_killed_one_left_its_word(place: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as dying:
        assert dying.stdout is not None
        assert dying.stdout.readline() == b"ready\n"
        dying.send_signal(signal.SIGSTOP)
        assert journal.orphans(place) == ()
        dying.kill()

    (orphan,) = journal.orphans(place)
    assert last(orphan) == {1: Kind.DOT}
    assert journal.read(orphan).knows_unsent(journal.boot())


def test_a_forked_child_does_not_keep_its_parent_alive(place: Path) -> None:
    kept = Journal.open(place, "worker-1")
    hear, say = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(say, b"born")
        time.sleep(5)
        os._exit(0)
    assert os.read(hear, 4) == b"born"
    kept.close()

    try:
        assert journal.orphans(place) == (kept.path,)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_copied_journal_reads_the_same(kept: Journal, tmp_path: Path) -> None:
    tell(kept, 1, Kind.INTENT, Kind.DOT)
    copy = tmp_path / "copy.journal"
    shutil.copyfile(kept.path, copy)

    assert journal.read(copy).last == journal.read(kept.path).last
