"""Several ways out of one house: each with its own connections, limits and troubles."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, zip_longest
from pathlib import Path

import pytest

from mailer.delivery import journal
from mailer.delivery.engine import SmtpRelay
from mailer.delivery.exchange import Timeouts
from mailer.delivery.journal import Journal, Kind
from mailer.delivery.relay import Ending, Message, Reply, Trouble, Unsent
from mailer.delivery.relay_address import relay_address
from mailer.delivery.ways import Way
from tests.fakes.smtp import ScriptedSink

QUICK = Timeouts(connect=5, reply=2, dot=2, block=5, quit=1)


def letters(way: str, count: int, *, first: int = 1, campaign: int = 7) -> Iterator[Message]:
    for number in range(first, first + count):
        to, back = f"reader{number}@example.org", f"b+{number}@example.com"
        data = b"Subject: %d\r\n\r\nHello.\r\n" % number
        yield Message(campaign, number, 1, 1, number // 50, to, back, data, way)


def mixed(*feeds: Iterable[Message]) -> Iterator[Message]:
    """One of each in turn."""
    rows = zip_longest(*feeds)
    return (message for message in chain.from_iterable(rows) if message is not None)


def way(
    name: str,
    sink: ScriptedSink,
    relay: str = "",
    connections: int = 4,
    per_connection: int | None = None,
) -> Way:
    address = relay_address(f"smtp://127.0.0.1:{sink.port}")
    return Way(name, relay or name, address, connections, per_connection)


def engine(
    *ways: Way, ahead: int = 50, most: dict[str, int] | None = None, kept: Journal | None = None
) -> SmtpRelay:
    named = {each.name: each for each in ways}
    return SmtpRelay(named.__getitem__, journal=kept, timeouts=QUICK, ahead=ahead, most=most)


def numbers(endings: Iterable[tuple[Message, Ending]], way: str) -> list[int]:
    return sorted(message.subscriber for message, _ in endings if message.way == way)


def accepted(endings: Iterable[tuple[Message, Ending]]) -> Counter[str]:
    return Counter(message.way for message, ending in endings if isinstance(ending, Reply))


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_each_message_takes_its_own_way() -> None:
    with ScriptedSink() as one, ScriptedSink() as two:
        relay = engine(way("one", one), way("two", two))
        ended = list(relay.send(mixed(letters("one", 200), letters("two", 300, first=1001))))
        relay.close()

    assert numbers(ended, "one") == sorted(int(r[6:-12]) for r in one.recipients)
    assert numbers(ended, "two") == sorted(int(r[6:-12]) for r in two.recipients)
    assert accepted(ended) == {"one": 200, "two": 300}


def test_two_ways_to_one_relay_share_no_connection() -> None:
    with ScriptedSink() as sink:
        relay = engine(way("", sink, "r", 3), way("gmail", sink, "r", 1))
        ended = list(relay.send(mixed(letters("", 100), letters("gmail", 100, first=1001))))
        relay.close()

    of_gmail = {r.connection for r in sink.received if int(r.recipient[6:-12]) > 1000}
    assert len(of_gmail) == 1
    assert not of_gmail & {r.connection for r in sink.received if int(r.recipient[6:-12]) <= 1000}
    assert accepted(ended) == {"": 100, "gmail": 100}


def test_one_journal_witnesses_all_ways(tmp_path: Path) -> None:
    kept = Journal.open(tmp_path, "worker-1")
    with ScriptedSink() as one, ScriptedSink() as two:
        relay = engine(way("one", one), way("two", two), kept=kept)
        list(relay.send(mixed(letters("one", 50), letters("two", 50, first=101))))
        relay.close()
    kept.close()

    told = journal.read(kept.path).last
    assert len(told) == 100
    assert {witness.kind for witness in told.values()} == {Kind.REPLY}


def test_a_slow_way_holds_no_other_up() -> None:
    """The one who makes the messages asks for room, and goes on with another way meanwhile."""
    with ScriptedSink() as quick, ScriptedSink(linger=0.1) as slow:
        relay = engine(way("quick", quick), way("slow", slow, connections=1))

        def feed() -> Iterator[Message]:
            lines = {"slow": letters("slow", 30), "quick": letters("quick", 2000, first=1001)}
            while lines:
                if not any(relay.room(name) > 0 for name in lines):
                    relay.wait(1)
                for name in [name for name in lines if relay.room(name) > 0]:
                    message = next(lines[name], None)
                    if message is None:
                        del lines[name]
                    else:
                        yield message

        order = [message.way for message, _ in relay.send(feed())]
        relay.close()

    assert Counter(order) == {"slow": 30, "quick": 2000}
    assert order[:1500].count("slow") < 15


def test_a_slow_way_takes_a_bounded_number_of_messages() -> None:
    pulled: list[str] = []

    def counted() -> Iterator[Message]:
        for message in letters("slow", 200):
            pulled.append(message.way)
            yield message

    most = 0
    with ScriptedSink(linger=0.005) as slow:
        relay = engine(way("slow", slow, connections=2), ahead=200)
        for done, _ in enumerate(relay.send(counted())):
            most = max(most, len(pulled) - done)
        relay.close()

    assert len(pulled) == 200
    assert most <= 3 * 2 + 3 * 2 + 50  # waiting, on the wire, not yet handed out


def test_a_way_that_fails_ends_its_messages_and_no_others() -> None:
    with ScriptedSink() as gone:
        shut = way("shut", gone)
    with ScriptedSink() as sink:
        relay = engine(way("open", sink), shut)
        ended = list(relay.send(mixed(letters("shut", 500), letters("open", 500, first=1001))))
        relay.close()

    assert accepted(ended) == {"open": 500}
    assert numbers(ended, "shut") == list(range(1, 501))
    troubles = {e.trouble for _, e in ended if isinstance(e, Unsent)}
    assert {trouble.cause for trouble in troubles} == {"connect"}


def test_a_refused_login_shuts_its_way_for_all_connections() -> None:
    with ScriptedSink(offers=("PIPELINING", "AUTH PLAIN")) as strict, ScriptedSink() as sink:
        address = relay_address(f"smtp://ada:wrong@127.0.0.1:{strict.port}")
        relay = engine(way("open", sink), Way("strict", "strict", address, 4))
        ended = list(relay.send(mixed(letters("strict", 50), letters("open", 50, first=101))))
        relay.close()

    (trouble,) = {e.trouble for _, e in ended if isinstance(e, Unsent)}
    assert (trouble.cause, trouble.everyone) == ("auth", True)
    assert "wrong" not in trouble.text
    assert accepted(ended) == {"open": 50}
    assert strict.connections <= 4


def test_a_way_that_has_failed_has_much_room() -> None:
    with ScriptedSink() as gone:
        relay = engine(way("shut", gone), ahead=10)
    assert relay.room("shut") == 10
    rooms = [relay.room("shut") for _ in relay.send(letters("shut", 20))]
    relay.close()

    assert rooms[-1] > 1000
    assert relay.room("shut") > 1000


def test_a_relay_gets_no_more_connections_than_allowed_over_all_its_ways() -> None:
    with ScriptedSink(linger=0.002) as sink:
        ways = [way(name, sink, "r", 4) for name in "abc"]
        relay = engine(*ways, most={"r": 5})
        feeds = [letters(name, 200, first=1000 * n) for n, name in enumerate("abc", 1)]
        ended = list(relay.send(mixed(*feeds)))
        relay.close()

    assert accepted(ended) == {"a": 200, "b": 200, "c": 200}
    assert sink.most_at_once <= 5


def test_a_way_without_a_connection_gets_one_of_its_neighbour() -> None:
    begun = threading.Event()
    with ScriptedSink(linger=0.002) as sink:
        relay = engine(way("a", sink, "r", 4), way("b", sink, "r", 4), most={"r": 4})

        def feed() -> Iterator[Message]:
            yield from letters("a", 100)
            begun.set()
            yield from mixed(letters("a", 900, first=101), letters("b", 20, first=2001))

        order = [message.way for message, _ in relay.send(feed())]
        relay.close()

    assert Counter(order) == {"a": 1000, "b": 20}
    assert sink.most_at_once <= 4
    assert order.index("b") < 800


def test_a_connection_takes_only_so_many_messages() -> None:
    with ScriptedSink() as sink:
        relay = engine(way("", sink, connections=2, per_connection=5))
        ended = list(relay.send(letters("", 100)))
        relay.close()

    per = Counter(received.connection for received in sink.received)
    assert accepted(ended) == {"": 100}
    assert max(per.values()) <= 5
    assert sink.connections >= 20
    assert sink.most_at_once <= 2
    assert sink.commands.count("QUIT") >= 19


def test_a_slow_start_goes_back_to_one_connection_and_grows() -> None:
    ended: list[tuple[Message, Ending]] = []
    with ScriptedSink(linger=0.002) as sink:
        relay = engine(way("", sink, connections=8))
        for pair in relay.send(letters("", 1000)):
            ended.append(pair)
            if len(ended) == 300:
                relay.slow_start("")
        relay.close()

    by = [received.connection for received in sink.received]
    assert accepted(ended) == {"": 1000}
    assert any(len(set(by[n : n + 4])) <= 2 for n in range(300, 600))  # back to very few
    assert len(set(by[-100:])) == 8
    assert sink.most_at_once == 8


def test_what_is_dropped_ends_as_unsent_and_the_rest_goes_on() -> None:
    ended: list[tuple[Message, Ending]] = []
    with ScriptedSink(linger=0.002) as sink:
        relay = engine(way("", sink))
        feed = mixed(letters("", 300, campaign=7), letters("", 300, first=1001, campaign=8))
        for pair in relay.send(feed):
            ended.append(pair)
            if len(ended) == 50:
                relay.drop(lambda message: message.campaign == 8)
        relay.close()

    dropped = [m for m, e in ended if isinstance(e, Unsent) and e.trouble.cause == "stopped"]
    assert {message.campaign for message in dropped} == {8}
    assert len(dropped) > 200
    assert len(ended) == 600
    assert sum(message.campaign == 7 for message, _ in ended) == 300
    assert len(sink.received) == 600 - len(dropped)


def test_a_drop_holds_for_one_send_only() -> None:
    with ScriptedSink() as sink:
        relay = engine(way("", sink))
        first = relay.send(letters("", 60))
        next(first)
        relay.drop(lambda _: True)
        list(first)
        assert accepted(relay.send(letters("", 60, first=101))) == {"": 60}
        relay.close()


def test_waiting_for_room_ends_when_the_send_is_stopped() -> None:
    waited: list[float] = []
    with ScriptedSink(linger=1) as sink:
        relay = engine(way("", sink, connections=1), ahead=2)

        def feed() -> Iterator[Message]:
            messages = letters("", 10)
            while relay.room("") > 0:
                yield next(messages)
            begun = time.monotonic()
            relay.wait(20)
            waited.append(time.monotonic() - begun)

        threading.Timer(0.1, relay.stop).start()
        list(relay.send(feed()))
        relay.close()

    assert waited[0] < 5


def test_an_unknown_way_is_a_bug_told_after_the_last_ending() -> None:
    with ScriptedSink() as sink:
        relay = engine(way("", sink))
        ended: list[tuple[Message, Ending]] = []
        with pytest.raises(KeyError):
            ended.extend(relay.send([*letters("", 5), *letters("nowhere", 1, first=9)]))
        relay.close()

    assert numbers(ended, "") == [1, 2, 3, 4, 5]


def test_a_trouble_says_nothing_of_anyone() -> None:
    assert Unsent(Trouble("tls", "TLS: bad")).trouble.everyone is False
