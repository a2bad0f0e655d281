"""One connection: what goes over the wire, in which order, and what the answers lead to."""

from collections.abc import Iterator
from typing import Any

import pytest

from mailer.delivery.engine import SmtpRelay, relay_from_url
from mailer.delivery.relay import Ending, Message, RelayDown, Reply, Silence
from mailer.delivery.smtp import Timeouts
from tests.fakes.smtp import Act, ScriptedSink, by_recipient

QUICK = Timeouts(connect=5, reply=0.4, dot=0.4, block=5, quit=1)


def letter(
    who: str, *, text: str = "Hello.\r\n", number: int = 1, return_path: str = ""
) -> Message:
    recipient = who if "@" in who else f"{who}@example.org"
    data = f"Subject: news for {who}\r\n\r\n{text}".encode()
    path = return_path or f"b+{number}@example.com"
    return Message(7, number, 1, 1, 1, recipient, path, data)


def letters(*who: str) -> list[Message]:
    return [letter(name, number=number) for number, name in enumerate(who, 1)]


def relay(sink: ScriptedSink, **options: Any) -> SmtpRelay:
    given: dict[str, Any] = {"connections": 1, "timeouts": QUICK, **options}
    return relay_from_url(f"smtp://127.0.0.1:{sink.port}", **given)


def endings(sink: ScriptedSink, messages: list[Message], **options: Any) -> dict[str, Ending]:
    """What became of each, by the recipient's local part."""
    way = relay(sink, **options)
    try:
        return {m.recipient.partition("@")[0]: ending for m, ending in way.send(messages)}
    finally:
        way.close()


@pytest.fixture
def sink() -> Iterator[ScriptedSink]:
    with ScriptedSink() as sink:
        yield sink


LOCKSTEP = ("SIZE 1000000", "8BITMIME")
OFFERS = pytest.mark.parametrize("offers", [("PIPELINING", *LOCKSTEP), LOCKSTEP], ids=["pl", "ls"])


@OFFERS
def test_every_message_arrives_as_it_was_handed_over(offers: tuple[str, ...]) -> None:
    messages = letters("ada", "ben", "cleo")
    with ScriptedSink(offers=offers) as sink:
        ended = endings(sink, messages)

    assert ended == dict.fromkeys(("ada", "ben", "cleo"), Reply(250, "2.0.0", "Ok: queued as 4XYZ"))
    assert [received.data for received in sink.received] == [m.data for m in messages]
    assert [r.return_path for r in sink.received] == [f"b+{n}@example.com" for n in (1, 2, 3)]
    assert sink.commands[-1] == "QUIT"


def test_with_pipelining_the_next_envelope_comes_with_the_body(sink: ScriptedSink) -> None:
    sink.linger = 0.05

    endings(sink, letters("ada", "ben", "cleo"))

    assert [received.next_was_there for received in sink.received] == [True, True, False]


def test_without_pipelining_every_command_waits_for_its_answer() -> None:
    with ScriptedSink(offers=(), linger=0.05) as sink:
        endings(sink, letters("ada", "ben"))

    assert not any(received.next_was_there for received in sink.received)


def test_a_server_without_ehlo_is_greeted_with_helo() -> None:
    with ScriptedSink(script=lambda stage, _: "502 5.5.1 no" if stage == "ehlo" else None) as sink:
        ended = endings(sink, letters("ada"))

    assert ended["ada"] == Reply(250, "2.0.0", "Ok: queued as 4XYZ")
    assert [command.split()[0] for command in sink.commands[:2]] == ["EHLO", "HELO"]
    assert "SIZE=" not in "".join(sink.commands)


def test_our_name_is_the_one_given_or_an_address_literal(sink: ScriptedSink) -> None:
    endings(sink, letters("ada"))
    endings(sink, letters("ada"), name="mx.example.com")

    assert [c for c in sink.commands if c.startswith("EHLO")] == [
        "EHLO [127.0.0.1]",
        "EHLO mx.example.com",
    ]


def test_size_is_declared_where_it_is_offered(sink: ScriptedSink) -> None:
    message = letter("ada")

    endings(sink, [message])

    assert f"MAIL FROM:<b+1@example.com> SIZE={len(message.data)}" in sink.commands


def test_what_the_relay_finds_too_long_is_refused_without_asking_it() -> None:
    with ScriptedSink(offers=("PIPELINING", "SIZE 100")) as sink:
        ended = endings(sink, [letter("ada", text="x" * 90 + "\r\n"), letter("ben", number=2)])

    assert ended["ada"] == Reply(552, "5.3.4", "local: the relay takes at most 100 bytes", "data")
    assert sink.recipients == ["ben@example.org"]


def test_lines_that_start_with_a_dot_survive(sink: ScriptedSink) -> None:
    message = letter("ada", text=".\r\n..\r\n.x\r\nend\r\n")

    endings(sink, [message])

    assert sink.received[0].data == message.data


@pytest.mark.parametrize("size", [70_000, 3_000_000])
def test_a_long_body_leaves_before_its_dot(sink: ScriptedSink, size: int) -> None:
    message = letter("ada", text="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * (size // 72))

    ended = endings(sink, [message, letter("ben", number=2)])

    assert sink.received[0].data == message.data
    assert {type(ending) for ending in ended.values()} == {Reply}


@OFFERS
@pytest.mark.parametrize("code", [450, 550, 599, 499])
def test_a_refused_recipient_costs_only_that_recipient(code: int, offers: tuple[str, ...]) -> None:
    script = by_recipient(rcpt={"ben@example.org": f"{code} {code // 100}.1.1 <ben@example.org> ?"})
    with ScriptedSink(script=script, offers=offers) as sink:
        ended = endings(sink, letters("ada", "ben", "cleo"))

    assert ended["ben"] == Reply(code, f"{code // 100}.1.1", "<…> ?", "rcpt")
    assert sink.recipients == ["ada@example.org", "cleo@example.org"]
    assert sink.connections == 1


def test_a_refused_recipient_whose_body_is_wanted_gets_an_empty_one() -> None:
    """RFC 2920 3.1: all RCPT refused, and yet 354: a lone dot, nothing handed over."""
    script = by_recipient(rcpt={"ben@example.org": "550 5.1.1 no"}, data={"": "354 go on"})
    with ScriptedSink(script=script) as sink:
        ended = endings(sink, letters("ada", "ben", "cleo"))

    assert ended["ben"] == Reply(550, "5.1.1", "no", "rcpt")
    assert sink.recipients == ["ada@example.org", "cleo@example.org"]


@OFFERS
def test_a_refused_sender_is_reported_as_such(offers: tuple[str, ...]) -> None:
    script = by_recipient(mail={"b+2@example.com": "550 5.7.1 not from you"})
    with ScriptedSink(script=script, offers=offers) as sink:
        ended = endings(sink, letters("ada", "ben", "cleo"))

    assert ended["ben"] == Reply(550, "5.7.1", "not from you", "mail")
    assert sink.recipients == ["ada@example.org", "cleo@example.org"]


@OFFERS
def test_refused_data_is_an_ending_too(offers: tuple[str, ...]) -> None:
    script = by_recipient(data={"ben@example.org": "451 4.3.0 later"})
    with ScriptedSink(script=script, offers=offers) as sink:
        ended = endings(sink, letters("ada", "ben", "cleo"))

    assert ended["ben"] == Reply(451, "4.3.0", "later", "data")
    assert sink.recipients == ["ada@example.org", "cleo@example.org"]


@OFFERS
@pytest.mark.parametrize("said", ["452 4.2.2 full", "552 5.2.2 full", "299 2.9.9 odd", "599 no"])
def test_an_answer_to_the_dot_is_the_ending(said: str, offers: tuple[str, ...]) -> None:
    with ScriptedSink(script=by_recipient(dot={"ben@example.org": said}), offers=offers) as sink:
        ended = endings(sink, letters("ada", "ben", "cleo"))

    code, _, text = said.partition(" ")
    enhanced = text.partition(" ")[0] if "." in text else ""
    assert ended["ben"] == Reply(int(code), enhanced, text.removeprefix(enhanced).strip())
    assert ended["cleo"] == ended["ada"] == Reply(250, "2.0.0", "Ok: queued as 4XYZ")


@OFFERS
@pytest.mark.parametrize("act", [Act.DROP, Act.RECORD_AND_DROP, Act.HANG, "354 what?", "gibberish"])
def test_no_final_word_after_the_dot_is_silence(act: Act | str, offers: tuple[str, ...]) -> None:
    with ScriptedSink(script=by_recipient(dot={"ben@example.org": act}), offers=offers) as sink:
        ended = endings(sink, letters("ada", "ben", "cleo"))

    assert ended["ben"] == Silence()
    assert sink.recipients.count("ben@example.org") == (act is Act.RECORD_AND_DROP)
    assert sink.recipients.count("cleo@example.org") == 1
    assert isinstance(ended["cleo"], Reply)


@OFFERS
def test_421_after_the_dot_is_an_answer(offers: tuple[str, ...]) -> None:
    script = by_recipient(dot={"ben@example.org": "421 4.3.2 closing"})
    with ScriptedSink(script=script, offers=offers) as sink:
        ended = endings(sink, letters("ada", "ben", "cleo"))

    assert ended["ben"] == Reply(421, "4.3.2", "closing")
    assert sink.recipients == ["ada@example.org", "cleo@example.org"]
    assert sink.connections == 2


class Once:
    """Answers differently the first time it is asked for one stage."""

    def __init__(self, stage: str, answer: str | Act) -> None:
        self.stage, self.answer, self.asked = stage, answer, 0

    def __call__(self, stage: str, _: str) -> str | Act | None:
        if stage == self.stage:
            self.asked += 1
            return self.answer if self.asked == 2 else None
        return None


@OFFERS
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("answer", ["421 4.3.2 closing", Act.DROP, Act.HANG])
def test_trouble_before_the_dot_moves_the_message_to_another_connection(
    stage: str, answer: str | Act, offers: tuple[str, ...]
) -> None:
    with ScriptedSink(script=Once(stage, answer), offers=offers) as sink:
        ended = endings(sink, letters("ada", "ben", "cleo"))

    assert {type(ending) for ending in ended.values()} == {Reply}
    assert sorted(sink.recipients) == [f"{who}@example.org" for who in ("ada", "ben", "cleo")]
    assert sink.connections == 2


def test_a_relay_that_closes_after_each_message_gets_them_all() -> None:
    class Closing:
        asked = 0

        def __call__(self, stage: str, _: str) -> str | Act | None:
            self.asked += stage == "mail"
            return Act.DROP if stage == "mail" and self.asked % 2 == 0 else None

    with ScriptedSink(script=Closing()) as sink:
        ended = endings(sink, letters(*(f"reader{number}" for number in range(30))))

    assert len(ended) == len(sink.received) == 30


@pytest.mark.parametrize("size", [1, 2, 7])
def test_replies_may_arrive_in_any_pieces(size: int) -> None:
    def pieces(data: bytes) -> list[bytes]:
        return [data[start : start + size] for start in range(0, len(data), size)]

    script = by_recipient(rcpt={"ben@example.org": "550-5.1.1 nobody\r\n550 5.1.1 here"})
    with ScriptedSink(packets=pieces, script=script) as sink:
        ended = endings(sink, letters("ada", "ben", "cleo"), timeouts=Timeouts())

    assert ended["ben"] == Reply(550, "5.1.1", "nobody 5.1.1 here", "rcpt")
    assert sink.recipients == ["ada@example.org", "cleo@example.org"]


def test_smtputf8_is_asked_for_only_where_the_local_part_needs_it(sink: ScriptedSink) -> None:
    endings(sink, letters("ada@bücher.example", "jürgen@bücher.example"))

    mail = [command for command in sink.commands if command.startswith("MAIL")]
    assert ["SMTPUTF8" in command for command in mail] == [False, True]
    assert sink.recipients == ["ada@xn--bcher-kva.example", "jürgen@xn--bcher-kva.example"]


def test_a_relay_without_smtputf8_is_not_asked() -> None:
    with ScriptedSink(offers=("PIPELINING", "8BITMIME")) as sink:
        ended = endings(sink, letters("jürgen@example.org", "ada"))

    refusal = ended["jürgen"]
    assert isinstance(refusal, Reply)
    assert (refusal.code, refusal.enhanced, refusal.text[:6]) == (553, "5.6.7", "local:")
    assert sink.recipients == ["ada@example.org"]


@pytest.mark.parametrize("recipient", ["ada@", "a b@x.org", "ada>\r\nQUIT\r\n@x.org", "@x.org"])
def test_no_address_can_start_a_command(sink: ScriptedSink, recipient: str) -> None:
    messages = [letter("ben", number=2)]
    messages.insert(0, Message(7, 1, 1, 1, 1, recipient, "b@example.com", b"A: b\r\n\r\nc\r\n"))

    ended = dict(relay(sink).send(messages))

    refusal = ended[messages[0]]
    assert isinstance(refusal, Reply)
    assert (refusal.code, refusal.enhanced) == (553, "5.1.3")
    assert sink.recipients == ["ben@example.org"]


@pytest.mark.parametrize("code", [530, 535])
def test_a_relay_that_wants_to_know_us_first_is_down(code: int) -> None:
    script = by_recipient(mail={"b+1@example.com": f"{code} 5.7.0 authenticate first"})
    with ScriptedSink(script=script) as sink, pytest.raises(RelayDown, match=f"{code} 5.7.0"):
        endings(sink, letters("ada"))

    assert not sink.received


@pytest.mark.parametrize("greeting", ["220-" + "x" * 10_000, "220-x\r\n" * 300 + "220 x"])
def test_a_reply_without_end_is_cut_off(greeting: str) -> None:
    script = by_recipient(greeting={"1": greeting})
    with ScriptedSink(script=script) as sink, pytest.raises(RelayDown, match="SMTP"):
        endings(sink, letters("ada"))
