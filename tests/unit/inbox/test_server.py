"""The inbox speaks SMTP: it takes what is right, refuses what is not, breaks off when told to."""

import smtplib
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.inbox.script import Answer, Drop, Rule, Stage
from mailer.inbox.server import Inbox
from mailer.inbox.store import Store
from mailer.kit.errors import Unavailable

LETTER = b"From: news@dibao.example\r\nSubject: Digest 7\r\n\r\nGood morning.\r\n"
ENVELOPE = b"MAIL FROM:<b@dibao.example>\r\nRCPT TO:<%s>\r\nDATA\r\n"


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    inbox = Inbox("127.0.0.1", 0, tmp_path / "inbox")
    inbox.start()
    yield inbox
    inbox.stop()


class Talk:
    """A raw conversation."""

    def __init__(self, inbox: Inbox) -> None:
        self.socket = socket.create_connection((inbox.host, inbox.port), timeout=5)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.say(b"EHLO test\r\n")
        self.offers = [self.line()]
        while self.offers[-1][3:4] == b"-":
            self.offers.append(self.line())

    def say(self, what: bytes) -> None:
        self.socket.sendall(what)

    def line(self) -> bytes:
        try:
            return self.file.readline().rstrip()
        except ConnectionResetError:
            return b""

    def codes(self, count: int) -> list[int]:
        return [int(self.line()[:3] or 0) for _ in range(count)]

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def talk(inbox: Inbox) -> Iterator[Talk]:
    with closing(Talk(inbox)) as talk:
        yield talk


def send(inbox: Inbox, recipient: str, data: bytes = LETTER) -> None:
    with smtplib.SMTP(inbox.host, inbox.port, timeout=5) as client:
        client.sendmail("b@dibao.example", recipient, data)


def test_a_letter_lands_and_can_be_read(inbox: Inbox) -> None:
    send(inbox, "ada@example.com")

    entry = inbox.store.find().entries[0]
    assert (entry.recipients, entry.return_path) == (("ada@example.com",), "b@dibao.example")
    assert inbox.store.get(entry.id).text == "Good morning.\n"


def test_it_offers_what_a_fast_sender_needs(talk: Talk) -> None:
    offers = b" ".join(talk.offers)

    for word in (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"SIZE", b"ENHANCEDSTATUSCODES"):
        assert word in offers


def test_commands_may_be_pipelined_past_the_dot(inbox: Inbox, talk: Talk) -> None:
    one = ENVELOPE % b"ada@example.com" + LETTER + b".\r\n"
    two = ENVELOPE % b"cleo@example.com" + LETTER + b".\r\n"

    talk.say(one + two + b"QUIT\r\n")

    assert talk.codes(9) == [250, 250, 354, 250, 250, 250, 354, 250, 221]
    assert inbox.store.find().total == 2


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"", b".", b"..", b".x", b"x.", b"a" * 900]),
            st.binary(max_size=30).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"")),
        ),
        max_size=8,
    )
)
def test_what_was_dot_stuffed_comes_out_as_it_was(inbox: Inbox, lines: list[bytes]) -> None:
    body = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." if line[:1] == b"." else b"") + line + b"\r\n" for line in lines)
    with closing(Talk(inbox)) as talk:
        talk.say(ENVELOPE % b"ada@example.com" + stuffed + b".\r\nNOOP\r\n")
        assert talk.codes(5) == [250, 250, 354, 250, 250]

    assert inbox.store.message(inbox.store.find().entries[0].id).source == body


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\r.\r\n", b"\r\r\n.\n"]
)
def test_a_smuggled_end_mark_ends_nothing(inbox: Inbox, talk: Talk, end: bytes) -> None:
    smuggled = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<ben@x.example>\r\nDATA\r\nboo\r\n"
    talk.say(ENVELOPE % b"ada@example.com" + b"Hello" + end + smuggled + b".\r\nNOOP\r\n")

    assert talk.codes(5) == [250, 250, 354, 554, 250]
    assert inbox.store.find().total == 0


@pytest.mark.parametrize("start", [b"\r\r\n", b"\rx\r\n", b"\r\rx\r\n"])
def test_a_bare_carriage_return_at_the_start_hides_no_end_mark(talk: Talk, start: bytes) -> None:
    talk.say(ENVELOPE % b"ada@example.com" + start + b".\r\nNOOP\r\n")

    assert talk.codes(5) == [250, 250, 354, 554, 250]


def test_a_line_too_long_is_refused(talk: Talk) -> None:
    talk.say(ENVELOPE % b"ada@example.com" + b"x" * 999 + b"\r\n.\r\n")

    assert talk.codes(4)[-1] == 554


def test_a_message_too_long_is_refused_and_the_next_one_taken(
    inbox: Inbox, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.inbox.server.LARGEST", 100_000)
    line = b"x" * 78 + b"\r\n"

    talk.say(ENVELOPE % b"ada@example.com" + line * 5_000 + b".\r\n")
    talk.say(ENVELOPE % b"ada@example.com" + line * 500 + b".\r\n")

    assert talk.codes(8)[3::4] == [552, 250]
    assert [e.size for e in inbox.store.find().entries] == [40_000]


def test_addresses_out_of_the_ordinary_are_read_too(talk: Talk) -> None:
    talk.say(b'MAIL FROM:<>\r\nRCPT TO:<"a b"@example.com>\r\nRSET\r\n')
    talk.say("MAIL FROM:<b@x.example> SMTPUTF8\r\nRCPT TO:<gerät@münchen.example>\r\n".encode())

    assert talk.codes(5) == [250, 250, 250, 250, 250]


def test_a_refused_recipient_is_told_why(inbox: Inbox) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(inbox, "refuse.ben@example.com")

    code, text = refused.value.recipients["refuse.ben@example.com"]
    assert (code, text) == (550, b"5.1.1 no such mailbox")


def test_who_defers_once_takes_the_second_try(inbox: Inbox) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(inbox, "defer-once@example.com")
    send(inbox, "defer-once@example.com")

    assert inbox.store.find().total == 1


@pytest.mark.parametrize(("name", "kept"), [("drop", 1), ("lose", 0), ("drop-before", 0)])
def test_a_dropped_connection_gives_no_reply(
    inbox: Inbox, talk: Talk, name: str, kept: int
) -> None:
    talk.say(ENVELOPE % f"{name}@example.com".encode() + LETTER + b".\r\n")

    assert talk.codes(3) == [250, 250, 354]
    assert talk.line() == b""
    assert inbox.store.find().total == kept


def test_a_script_answers_for_anybody(inbox: Inbox) -> None:
    inbox.script = (
        Rule("*@busy.example", Answer(421, "4.3.2 closing", stage=Stage.DOT)),
        Rule("*@away.example", Answer(421, "4.3.2 closing")),
        Rule("*@flaky.example", Drop(times=1)),
    )
    with closing(Talk(inbox)) as busy, closing(Talk(inbox)) as away:
        busy.say(ENVELOPE % b"ada@busy.example" + LETTER + b".\r\n")
        away.say(b"MAIL FROM:<b@x.example>\r\nRCPT TO:<ada@away.example>\r\n")

        assert busy.codes(4) == [250, 250, 354, 421]
        assert away.codes(2) == [250, 421]
        assert busy.line() == away.line() == b""
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(inbox, "ada@flaky.example")
    send(inbox, "ada@flaky.example")


def test_a_taken_port_is_said_to_be_taken(inbox: Inbox, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=str(inbox.port)):
        Inbox("127.0.0.1", inbox.port, tmp_path).start()


def test_it_stops_at_once_with_connections_open_and_may_start_again(
    inbox: Inbox, talk: Talk
) -> None:
    began = time.monotonic()

    inbox.stop()
    inbox.stop()

    assert time.monotonic() - began < 2
    assert talk.line() == b""
    inbox.start()
    send(inbox, "ada@example.com")
    assert Store(inbox.store.directory).find().total == 1
