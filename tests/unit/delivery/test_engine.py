"""Many messages over many connections: each gets one ending, or none and may be offered again."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailer.delivery import journal
from mailer.delivery.engine import SmtpRelay, relay_from_url
from mailer.delivery.exchange import Timeouts
from mailer.delivery.journal import Journal, JournalFull, Kind
from mailer.delivery.relay import Ending, Message, Relay, Reply, Silence, Trouble, Unsent
from tests.fakes.smtp import Act, ScriptedSink, by_recipient

QUICK = Timeouts(connect=5, reply=2, dot=2, block=5, quit=1)


def letters(count: int, *, first: int = 1) -> Iterator[Message]:
    for number in range(first, first + count):
        to, back = f"reader{number}@example.org", f"b+{number}@example.com"
        data = b"Subject: %d\r\n\r\nHello.\r\n" % number
        yield Message(7, number, 1, 1, number // 50, to, back, data)


def relay(sink: ScriptedSink, **options: Any) -> SmtpRelay:
    return relay_from_url(
        f"smtp://127.0.0.1:{sink.port}", **{"connections": 4, "timeouts": QUICK, **options}
    )


def numbers(endings: list[tuple[Message, Ending]]) -> list[int]:
    return sorted(message.subscriber for message, _ in endings)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Journal]:
    kept = Journal.open(tmp_path / "journal", "worker-1")
    yield kept
    kept.close()


def test_an_smtp_relay_is_a_relay() -> None:
    way: Relay = relay_from_url("smtp://127.0.0.1:1")
    way.close()


def test_everyone_gets_one_ending_over_the_connections_allowed() -> None:
    with ScriptedSink() as sink:
        way = relay(sink)
        ended = list(way.send(letters(500)))
        way.close()

    assert numbers(ended) == list(range(1, 501))
    assert Counter(sink.recipients).most_common(1)[0][1] == 1
    assert sink.most_at_once == sink.connections == 4


def test_few_messages_open_few_connections_and_none_open_none() -> None:
    with ScriptedSink() as sink:
        way = relay(sink, connections=20)
        assert not list(way.send([]))
        assert len(list(way.send(letters(2)))) == 2
        way.close()

    assert 1 <= sink.connections <= 2


def test_connections_are_kept_for_the_next_send() -> None:
    with ScriptedSink() as sink:
        way = relay(sink, connections=1)
        for _ in range(3):
            assert len(list(way.send(letters(5)))) == 5
        way.close()
        assert len(list(way.send(letters(1)))) == 1
        way.close()

    assert sink.connections == 2


def test_a_connection_closed_meanwhile_is_no_trouble() -> None:
    with ScriptedSink() as sink:
        way = relay(sink, connections=1)
        assert len(list(way.send(letters(1)))) == 1
        port = sink.port
    with ScriptedSink(port=port) as again:
        assert len(list(way.send(letters(3)))) == 3
        way.close()

    assert len(again.received) == 3


def test_a_long_feed_is_pulled_only_a_little_ahead() -> None:
    pulled = 0
    most = 0

    def counted() -> Iterator[Message]:
        nonlocal pulled
        for message in letters(400):
            pulled += 1
            yield message

    with ScriptedSink(linger=0.001) as sink:
        way = relay(sink, ahead=20)
        for done, _ in enumerate(way.send(counted())):
            most = max(most, pulled - done)
        way.close()

    assert most <= 20 + 2 * 4 + 50 + 1  # queued, on the wire, not yet handed out


def test_a_feed_that_blocks_holds_nothing_back() -> None:
    """The endings of one chunk arrive while the next is still being committed."""
    ended: list[int] = []

    def slow() -> Iterator[Message]:
        yield from letters(5)
        until = time.monotonic() + 10
        while len(ended) < 5:
            assert time.monotonic() < until, "the endings did not come"
            time.sleep(0.005)
        yield from letters(5, first=6)

    with ScriptedSink() as sink:
        way = relay(sink)
        ended.extend(message.subscriber for message, _ in way.send(slow()))
        way.close()

    # the list is filled by extend as endings come, else the feed would have complained
    assert sorted(ended) == list(range(1, 11))


def test_an_error_of_the_feed_comes_after_the_last_ending() -> None:
    class Away(Exception):
        pass

    def breaking() -> Iterator[Message]:
        yield from letters(30)
        raise Away

    ended: list[tuple[Message, Ending]] = []
    with ScriptedSink() as sink:
        way = relay(sink)
        with pytest.raises(Away):
            ended.extend(way.send(breaking()))
        way.close()

    assert numbers(ended) == list(range(1, 31))


def test_stop_lets_finish_what_is_on_the_wire_and_starts_nothing_more() -> None:
    with ScriptedSink(linger=0.01) as sink:
        way = relay(sink)
        ended: list[tuple[Message, Ending]] = []
        for pair in way.send(letters(2000)):
            ended.append(pair)
            if len(ended) == 1:
                so_far = len(sink.received)
                way.stop()
        way.close()

    assert numbers(ended) == sorted(int(r.recipient[6:-12]) for r in sink.received)
    assert len(ended) - so_far <= 4 * 3
    assert all(isinstance(ending, Reply) for _, ending in ended)


def test_stop_from_another_thread_wakes_a_waiting_send() -> None:
    going = threading.Event()

    def waiting() -> Iterator[Message]:
        yield from letters(1)
        going.wait(30)

    with ScriptedSink() as sink:
        way = relay(sink)
        threading.Timer(0.1, way.stop).start()
        threading.Timer(0.2, going.set).start()
        assert len(list(way.send(waiting()))) == 1
        way.close()


def test_past_its_time_no_dot_leaves() -> None:
    asked = 0

    def in_time() -> bool:
        nonlocal asked
        asked += 1
        return asked <= 10

    with ScriptedSink() as sink:
        way = relay(sink)
        ended = list(way.send(letters(100), in_time=in_time))
        way.close()

    assert 10 <= len(ended) == len(sink.received) <= 10 * 4  # one answer for all dots of a turn
    assert numbers(ended) == sorted(int(r.recipient[6:-12]) for r in sink.received)


def test_an_abandoned_send_leaves_a_relay_that_still_works() -> None:
    with ScriptedSink(linger=0.01) as sink:
        way = relay(sink)
        sending = way.send(letters(100))
        next(sending)
        sending.close()
        again = list(way.send(letters(20, first=1001)))
        way.close()

    assert numbers(again) == list(range(1001, 1021))


def test_one_send_at_a_time() -> None:
    with ScriptedSink() as sink:
        way = relay(sink)
        first = way.send(letters(60))
        next(first)
        with pytest.raises(ValueError, match="one send"):
            next(way.send(letters(1)))
        first.close()
        way.close()


def troubles(endings: list[tuple[Message, Ending]]) -> set[Trouble]:
    return {ending.trouble for _, ending in endings if isinstance(ending, Unsent)}


def test_no_relay_at_all_ends_everyone_as_unsent() -> None:
    with ScriptedSink() as sink:
        pass
    way = relay(sink, connections=20)
    ended = list(way.send(letters(500)))
    way.close()

    assert numbers(ended) == list(range(1, 501))
    (trouble,) = troubles(ended)
    assert (trouble.cause, trouble.everyone) == ("connect", False)
    assert trouble.text.startswith("no connection: ")


def test_421_at_every_greeting_ends_everyone_as_unsent() -> None:
    script: Callable[[str, str], str | None] = lambda stage, _: (  # noqa: E731
        "421 4.3.2 not now" if stage == "greeting" else None
    )
    with ScriptedSink(script=script) as sink:
        way = relay(sink)
        ended = list(way.send(letters(50)))
        way.close()

    (trouble,) = troubles(ended)
    assert trouble.cause == "spoke"
    assert "421 4.3.2 not now" in trouble.text
    assert len(ended) == 50
    assert sink.connections <= 4


def test_a_way_that_failed_is_tried_again_by_the_next_send() -> None:
    with ScriptedSink() as sink:
        port = sink.port
    way = relay(sink)
    assert troubles(list(way.send(letters(3))))
    with ScriptedSink(port=port) as again:
        assert len(list(way.send(letters(3)))) == 3
        way.close()

    assert len(again.received) == 3


def test_a_relay_that_allows_fewer_connections_gets_all_over_those() -> None:
    class Two:
        def __call__(self, stage: str, about: str) -> str | None:
            return "421 4.7.0 too many" if stage == "greeting" and int(about) > 2 else None

    with ScriptedSink(script=Two()) as sink:
        way = relay(sink, connections=8)
        ended = list(way.send(letters(300)))
        way.close()

    assert numbers(ended) == list(range(1, 301))
    assert sink.connections <= 8


def test_a_relay_that_falls_ill_ends_the_rest_as_unsent() -> None:
    taken = 0

    def script(stage: str, _: str) -> str | None:
        nonlocal taken
        taken += stage == "mail"
        return "421 4.3.0 ill" if stage == "mail" and taken > 40 else None

    with ScriptedSink(script=script) as sink:
        way = relay(sink)
        ended = list(way.send(letters(1000)))
        way.close()

    sent = [pair for pair in ended if isinstance(pair[1], Reply)]
    assert numbers(ended) == list(range(1, 1001))
    assert numbers(sent) == sorted(int(r.recipient[6:-12]) for r in sink.received)
    assert {trouble.cause for trouble in troubles(ended)} <= {"spoke", "closed"}
    assert len(sent) <= 40
    assert sink.connections < 30


def test_a_relay_that_breaks_after_every_dot_costs_few_uncertain() -> None:
    with ScriptedSink(script=lambda stage, _: Act.DROP if stage == "dot" else None) as sink:
        way = relay(sink)
        ended = list(way.send(letters(1000)))
        way.close()

    silent = [pair for pair in ended if pair[1] == Silence()]
    assert len(silent) <= 4 + 4 + 4  # patience, and those on the wire when it ended
    assert len(ended) == 1000
    assert {trouble.cause for trouble in troubles(ended)} == {"closed"}


def test_a_message_that_breaks_three_connections_is_put_off_and_no_other() -> None:
    with ScriptedSink(script=by_recipient(rcpt={"reader5@example.org": Act.DROP})) as sink:
        way = relay(sink, connections=1)
        ended = list(way.send(letters(10)))
        way.close()

    broke = [pair for pair in ended if isinstance(pair[1], Reply) and pair[1].code == 451]
    assert numbers(broke) == [5]
    assert len(sink.received) == 9
    assert sink.connections >= 3


def test_a_message_that_breaks_all_its_connections_alone_stops_the_way_once() -> None:
    with ScriptedSink(script=by_recipient(rcpt={"reader1@example.org": Act.DROP})) as sink:
        way = relay(sink)
        first, second = (list(way.send(letters(1))) for _ in range(2))
        way.close()

    assert [trouble.cause for trouble in troubles(first)] == ["closed"]
    assert [str(ending.code) for _, ending in second if isinstance(ending, Reply)] == ["451"]


def test_the_journal_saw_every_dot_before_the_relay_did(kept: Journal) -> None:
    seen: list[Kind | None] = []

    def script(stage: str, about: str) -> None:
        if stage == "dot" and not any(about == r.recipient for r in sink.received):
            told = journal.read(kept.path).last.get((7, 1, 1, int(about[6:-12])))
            seen.append(told.kind if told else None)

    with ScriptedSink(script=script) as sink:
        way = relay(sink, journal=kept)
        ended = list(way.send(letters(50)))
        way.close()

    assert seen == [Kind.DOT] * 50
    told = journal.read(kept.path)
    assert {w.reply for w in told.last.values()} == {ending for _, ending in ended}
    assert {w.kind for w in told.last.values()} == {Kind.REPLY}
    assert {w.connection for w in told.last.values()} <= {1, 2, 3, 4}


def test_the_journal_tells_silence_and_what_never_left(kept: Journal) -> None:
    script = by_recipient(
        dot={"reader2@example.org": Act.RECORD_AND_DROP}, rcpt={"reader3@example.org": Act.DROP}
    )
    with ScriptedSink(script=script) as sink:
        way = relay(sink, journal=kept, connections=1)
        list(way.send(letters(4)))
        way.close()

    told = {witness.subscriber: witness.kind for witness in journal.read(kept.path).last.values()}
    assert told == {1: Kind.REPLY, 2: Kind.DOT, 3: Kind.INTENT, 4: Kind.REPLY}


def test_a_full_journal_stops_every_dot(kept: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    appends = 0
    append = kept.append

    def filling(records: bytes) -> None:
        nonlocal appends
        appends += 1
        if appends > 5:
            raise JournalFull
        append(records)

    monkeypatch.setattr(kept, "append", filling)
    ended: list[tuple[Message, Ending]] = []
    with ScriptedSink() as sink:
        way = relay(sink, journal=kept)
        with pytest.raises(JournalFull):
            ended.extend(way.send(letters(100)))
        way.close()

    assert numbers(ended) == sorted(int(r.recipient[6:-12]) for r in sink.received)
    assert len(ended) < 100


def test_the_engine_survives_a_fork() -> None:
    with ScriptedSink() as sink:
        way = relay(sink, connections=1)
        assert len(list(way.send(letters(2)))) == 2
        child = os.fork()
        if child == 0:
            sent = len(list(way.send(letters(3, first=100))))
            os._exit(0 if sent == 3 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(list(way.send(letters(2, first=200)))) == 2
        way.close()

    assert len(sink.received) == 7
    assert sink.connections == 2


def test_postfix_own_sink_takes_it_all(smtp_sink: Any) -> None:
    sink = smtp_sink()
    way = relay_from_url(f"smtp://{sink.host}:{sink.port}", connections=8)
    ended = list(way.send(letters(1000)))
    way.close()

    assert numbers(ended) == list(range(1, 1001))
    assert {ending.code for _, ending in ended if isinstance(ending, Reply)} == {250}


def test_postfix_sink_without_pipelining_and_ehlo(smtp_sink: Any) -> None:
    for options in (("-p",), ("-e",)):
        sink = smtp_sink(*options)
        way = relay_from_url(f"smtp://{sink.host}:{sink.port}", connections=4)
        assert len(list(way.send(letters(100)))) == 100
        way.close()
