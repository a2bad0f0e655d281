"""However long a journal is, reading it takes little memory and misses nothing."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from mailer.delivery import testimony
from mailer.delivery.journal import Journal, orphans
from mailer.delivery.relay import Message, Reply
from mailer.delivery.testimony import ANSWER, CRC, PLACE, Kind

ACCEPTED = Reply(250, "2.0.0", "Ok: queued as 4XYZ")
SIZE = 100  # people of a batch


def letter(subscriber: int, batch: int) -> Message:
    return Message(7, subscriber, batch, 1, 1, "ada@example.org", "b@x", b"A: b\r\n\r\n")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Journal]:
    kept = Journal.open(tmp_path, "worker-1", boot_id="boot-1")
    yield kept
    kept.close()


def tell(kept: Journal, batches: int) -> None:
    """Every message of all batches ends, but for each batch's last, whose reply is missing."""
    for batch in range(1, batches + 1):
        for subscriber in range(1, SIZE + 1):
            message = letter(subscriber, batch)
            records = [kept.intent(message, 1), kept.dot(message, 1)]
            if subscriber < SIZE:
                records.append(kept.reply(message, 1, ACCEPTED))
            kept.append(b"".join(records))


def test_a_file_longer_than_a_block_is_read_whole(kept: Journal) -> None:
    tell(kept, 30)

    told = testimony.read(kept.path)

    assert kept.size > 3 << 18
    assert len(told.last) == 30 * SIZE
    assert not told.damaged
    dots = [key for key, witness in told.last.items() if witness.kind is Kind.DOT]
    assert dots == [(7, batch, 1, SIZE) for batch in range(1, 31)]
    assert told.last[7, 13, 1, 5].reply == ACCEPTED
    assert (7, 31, 1, 1) not in told.last
    assert (7, 30, 1, SIZE + 1) not in told.last


def test_reading_keeps_only_a_few_batches_in_memory(kept: Journal) -> None:
    tell(kept, 80)
    tracemalloc.start()

    replies = sum(w.reply is not None for w in testimony.read(kept.path).last.values())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert replies == 80 * (SIZE - 1)
    assert peak < kept.size


def test_batches_that_were_sent_side_by_side_are_told_apart(kept: Journal) -> None:
    for subscriber in range(1, SIZE):
        kept.append(kept.dot(letter(subscriber, 1), 1) + kept.intent(letter(subscriber, 2), 2))

    told = testimony.read(kept.path).last

    assert {told[7, 1, 1, subscriber].kind for subscriber in range(1, SIZE)} == {Kind.DOT}
    assert {told[7, 2, 1, subscriber].kind for subscriber in range(1, SIZE)} == {Kind.INTENT}


def test_what_is_written_after_the_reading_is_not_in_it(kept: Journal) -> None:
    kept.append(kept.dot(letter(1, 1), 1))
    told = testimony.read(kept.path)
    kept.append(kept.reply(letter(1, 1), 1, ACCEPTED))

    assert told.last[7, 1, 1, 1].kind is Kind.DOT
    assert testimony.read(kept.path).last[7, 1, 1, 1].kind is Kind.REPLY


def test_a_reading_outlives_the_name_of_its_file(kept: Journal) -> None:
    kept.append(kept.dot(letter(1, 1), 1))
    told = testimony.read(kept.path)
    kept.path.unlink()

    assert told.last[7, 1, 1, 1].kind is Kind.DOT


@pytest.mark.parametrize("batch", [1, 15, 29])
def test_damage_anywhere_hides_what_follows_and_nothing_before(kept: Journal, batch: int) -> None:
    start = kept.size
    tell(kept, 30)
    of_one = 3 * CRC.size + 2 * PLACE.size + ANSWER.size
    of_batch = SIZE * of_one - ANSWER.size - CRC.size
    data = bytearray(kept.path.read_bytes())
    data[start + of_batch * (batch - 1) + 50 * of_one + 10] ^= 1  # its 51st person's INTENT
    kept.path.write_bytes(data)

    told = testimony.read(kept.path)

    assert told.damaged
    assert len(told.last) == (batch - 1) * SIZE + 50


@pytest.mark.parametrize(
    ("field", "value"),
    [(2, 2**32 - 1), (6, 2**40), (7, 2**63), (8, 333), (9, 99)],  # as in ANSWER
)
def test_a_record_that_says_what_cannot_be_is_damage(kept: Journal, field: int, value: int) -> None:
    kept.append(kept.reply(letter(1, 1), 1, ACCEPTED))
    values = list(ANSWER.unpack_from(kept.reply(letter(2, 1), 1, ACCEPTED)))
    values[field] = value
    record = ANSWER.pack(*values)
    kept.append(record + CRC.pack(crc32(record)))  # whole, and yet nothing of ours

    told = testimony.read(kept.path)

    assert told.damaged
    assert list(told.last) == [(7, 1, 1, 1)]


def test_a_pipe_is_no_journal_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.journal")
    with pytest.raises(OSError, match="seek"):
        testimony.read(tmp_path / "a.journal")
    assert orphans(tmp_path) == (tmp_path / "a.journal",)


def test_a_record_of_no_kind_is_damage(kept: Journal) -> None:
    tell(kept, 1)
    with kept.path.open("ab") as file:
        file.write(b"\x09" * 400)

    assert testimony.read(kept.path).damaged
    assert len(testimony.read(kept.path).last) == SIZE
