"""One connection: what goes over the wire, in which order, and what the answers lead to."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mailer.delivery.exchange import Timeouts
from mailer.delivery.relay import Ending, Message, Reply, Silence, Stage
from tests.fakes.smtp import Act, Answer, ScriptedSink, by_recipient
from tests.unit.delivery.wire import Wire, letter, letters

TAKEN = Reply(250, "2.0.0", "Ok: queued as 4XYZ")


def endings(sink: ScriptedSink, messages: list[Message], **options: Any) -> dict[str, Ending]:
    """What became of each, by the recipient's local part."""
    return Wire(sink, **options).send(messages).outcome()


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

    assert ended == dict.fromkeys(("ada", "ben", "cleo"), TAKEN)
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

    assert ended["ada"] == TAKEN
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
    assert ended["cleo"] == ended["ada"] == TAKEN


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

    ended = dict(Wire(sink).send(messages).endings)

    refusal = ended[messages[0]]
    assert isinstance(refusal, Reply)
    assert (refusal.code, refusal.enhanced) == (553, "5.1.3")
    assert sink.recipients == ["ben@example.org"]


@pytest.mark.parametrize("code", [530, 535])
def test_a_relay_that_wants_to_know_us_first_is_no_recipients_fault(code: int) -> None:
    script = by_recipient(mail={"b+1@example.com": f"{code} 5.7.0 authenticate first"})
    with ScriptedSink(script=script) as sink:
        wire = Wire(sink).send(letters("ada"))

    assert wire.endings == []
    assert (wire.setback().cause, wire.setback().everyone) == ("auth", True)
    assert f"{code} 5.7.0" in str(wire.setback())


@pytest.mark.parametrize("greeting", ["220-" + "x" * 10_000, "220-x\r\n" * 300 + "220 x"])
def test_a_reply_without_end_is_cut_off(greeting: str) -> None:
    script = by_recipient(greeting={"1": greeting})
    with ScriptedSink(script=script) as sink:
        wire = Wire(sink, patience=1).send(letters("ada"))

    assert wire.setback().cause == "spoke"
    assert "SMTP" in str(wire.setback())


PHASES = {  # stage: what the RFC gives it, in minutes
    "greeting": 5,
    "ehlo": 5,
    "mail": 5,
    "rcpt": 5,
    "rset": 5,
    "data": 2,
    "dot": 10,
}


@pytest.mark.parametrize("stage", PHASES)
def test_each_phase_has_the_patience_that_rfc_5321_gives_it(stage: str) -> None:
    """A minute is 0.1 s here; without PIPELINING each answer is waited for by itself."""
    rfc = Timeouts()
    scaled = Timeouts(reply=rfc.reply / 600, data=rfc.data / 600, dot=rfc.dot / 600)

    def script(asked: str, _: str) -> str | Act | None:
        refusing = stage == "rset" and asked == "rcpt"
        return Act.HANG if asked == stage else "550 5.1.1 no" if refusing else None

    with ScriptedSink(script=script, offers=()) as sink:
        wire = Wire(sink, timeouts=scaled, patience=1).send(letters("ada", "ben"))

    assert f"waited {PHASES[stage] / 10:g} s in vain" in str(wire.setback())
    assert wire.setback().cause == "closed"
    assert [ending for _, ending in wire.endings if isinstance(ending, Silence)] == (
        [Silence()] if stage == "dot" else []
    )


@pytest.mark.parametrize(("reads", "arrives"), [(0, False), (20_000, True)])
def test_a_long_body_needs_headway_not_haste(reads: int, *, arrives: bool) -> None:
    """What shrinks in our buffer is headway; a relay that reads nothing is left."""
    long = letter("ada", text=("y" * 70 + "\r\n") * 130_000)

    def slow_reader(server: socket.socket) -> None:
        end, _ = server.accept()
        for answer in (b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"354 go"):
            end.sendall(answer + b"\r\n")
            end.recv(1000)
        taken = b""
        while reads and not taken.endswith(b"\r\n.\r\n"):
            taken = taken[-5:] + end.recv(reads)
            time.sleep(0.001)
        end.sendall(b"250 2.0.0 Ok: queued as 4XYZ\r\n" if reads else b"")
        over.wait(10)
        end.close()

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=slow_reader, args=(server,), daemon=True)
        thread.start()
        sink = ScriptedSink(port=server.getsockname()[1])
        patience = Timeouts(reply=5, dot=5, block=0.15, quit=0.3)
        wire = Wire(sink, patience=1, timeouts=patience).send([long])
        over.set()

    assert [ending for _, ending in wire.endings] == ([TAKEN] if arrives else [])
    if not arrives:
        assert "room for a block" in str(wire.setback())
        assert wire.given_back == [("ada", True)]
        assert not any(line.startswith("dot") for line in wire.log)


def test_half_an_answer_is_no_headway() -> None:
    def drop_by_drop(data: bytes) -> Iterator[bytes]:
        if b"2.1.0" not in data:
            yield data
            return
        for place in range(len(data)):
            time.sleep(0.08)  # the sink's own thread
            yield data[place : place + 1]

    with ScriptedSink(packets=drop_by_drop) as sink:
        wire = Wire(sink, patience=1).send(letters("ada"))

    assert "in vain for a reply" in str(wire.setback())


@OFFERS
@pytest.mark.parametrize("most", [1, 2, 5])
def test_after_its_last_message_a_connection_says_goodbye(
    most: int, offers: tuple[str, ...]
) -> None:
    with ScriptedSink(offers=offers) as sink:
        wire = Wire(sink, most=most).send(letters(*(f"reader{n}" for n in range(10))))

    assert len(wire.endings) == 10
    assert not wire.setbacks
    assert not wire.given_back
    counted = [sum(r.connection == n for r in sink.received) for n in range(1, 10 // most + 1)]
    assert counted == [most] * (10 // most)
    assert sink.commands.count("QUIT") == sink.connections == 10 // most


def test_refused_messages_count_towards_the_limit_too() -> None:
    script = by_recipient(rcpt={"ben@example.org": "550 5.1.1 no"})
    with ScriptedSink(script=script) as sink:
        Wire(sink, most=2).send(letters("ada", "ben", "cleo", "dan"))

    assert [received.connection for received in sink.received] == [1, 2, 2]


def test_a_relay_that_does_not_answer_quit_holds_nobody_up() -> None:
    with ScriptedSink(script=lambda stage, _: Act.HANG if stage == "quit" else None) as sink:
        wire = Wire(sink, most=1).send(letters("ada", "ben"))

    assert len(wire.endings) == 2
    assert not wire.setbacks


@OFFERS
def test_a_relay_that_closes_without_a_word_between_messages_costs_nothing(
    offers: tuple[str, ...],
) -> None:
    """Yahoo's way to end a connection after a few messages."""

    class Yahoo:
        mails = 0

        def __call__(self, stage: str, _: str) -> str | Act | None:
            self.mails += stage == "mail"
            return Act.DROP if stage == "mail" and self.mails % 4 == 0 else None

    with ScriptedSink(script=Yahoo(), offers=offers) as sink:
        wire = Wire(sink).send(letters(*(f"reader{n}" for n in range(10))))

    assert [ending for _, ending in wire.endings] == [TAKEN] * 10
    assert not wire.setbacks
    assert [tried for _, tried in wire.given_back] == [False] * 3
    assert len(sink.received) == 10


@OFFERS
@pytest.mark.parametrize("stage", ["greeting", "ehlo", "mail", "rcpt", "data", "rset"])
def test_421_anywhere_loses_nothing(stage: str, offers: tuple[str, ...]) -> None:
    class Closing:
        asked = 0

        def __call__(self, asked: str, about: str) -> str | None:
            if asked == "rcpt" and stage == "rset" and about.startswith("ben"):
                return "550 5.1.1 no"
            self.asked += asked == stage
            return "421 4.3.2 closing" if asked == stage and self.asked == 1 else None

    with ScriptedSink(script=Closing(), offers=offers) as sink:
        wire = Wire(sink).send(letters("ada", "ben", "cleo"))

    ended = wire.outcome()
    assert ended.pop("ben") == (Reply(550, "5.1.1", "no", "rcpt") if stage == "rset" else TAKEN)
    assert ended == dict.fromkeys(("ada", "cleo"), TAKEN)
    assert [(s.cause, s.everyone) for s in wire.setbacks] == [("spoke", False)]
    assert sink.connections == 2


@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
def test_trouble_of_a_relay_names_no_recipient(stage: str) -> None:
    """It is logged, and shown as the reason of a brake."""

    class Telling:
        told = False

        def __call__(self, asked: str, _: str) -> str | None:
            if asked != stage or self.told:
                return None
            self.told = True
            return "421 4.2.1 quillfeather is over quota, <quillfeather@example.org>"

    with ScriptedSink(script=Telling()) as sink:
        wire = Wire(sink).send(letters("quillfeather"))

    assert "421 4.2.1" in str(wire.setback())
    assert "quillfeather" not in str(wire.setback())


UNKNOWN: dict[int, tuple[Stage, ...]] = {
    2: ("mail", "rcpt", "dot"),
    3: ("data",),
    4: ("mail", "rcpt", "data", "dot"),
    5: ("mail", "rcpt", "data", "dot"),
}


@OFFERS
@pytest.mark.parametrize("code", [299, 399, 499, 599])
def test_unknown_codes_count_by_their_first_digit(code: int, offers: tuple[str, ...]) -> None:
    """At every stage, the final dot included; 3xx is an answer to DATA only."""
    stages = UNKNOWN[code // 100]
    for stage in stages:
        about = "b+2@example.com" if stage == "mail" else "ben@example.org"
        answers: dict[str, Answer] = {about: f"{code} odd"}
        script = by_recipient(**{stage: answers})
        with ScriptedSink(script=script, offers=offers) as sink:
            ended = Wire(sink).send(letters("ada", "ben", "cleo")).outcome()
        assert ended["ada"] == ended["cleo"] == TAKEN
        usual = TAKEN if stage != "dot" else Reply(code, "", "odd")
        assert ended["ben"] == (usual if code < 400 else Reply(code, "", "odd", stage))


@OFFERS
@pytest.mark.parametrize("stage", ["mail", "rcpt"])
def test_a_relay_out_of_step_is_left(stage: str, offers: tuple[str, ...]) -> None:
    """A 3xx belongs to DATA: whoever says it elsewhere counts its answers otherwise than we do."""
    with ScriptedSink(script=Once(stage, "354 go on"), offers=offers) as sink:
        wire = Wire(sink).send(letters("ada", "ben", "cleo"))

    assert [ending for _, ending in wire.endings] == [TAKEN] * 3
    assert [setback.cause for setback in wire.setbacks] == ["spoke"]
    assert sink.connections == 2


@OFFERS
def test_a_second_354_hands_nothing_over_twice(offers: tuple[str, ...]) -> None:
    with ScriptedSink(script=Once("data", "354 go on\r\n354 go on"), offers=offers) as sink:
        wire = Wire(sink).send(letters("ada", "ben", "cleo"))

    assert [ending for _, ending in wire.endings] == [TAKEN] * 3
    assert sorted(sink.recipients) == [f"{who}@example.org" for who in ("ada", "ben", "cleo")]
    assert "too early" in str(wire.setback())


@OFFERS
def test_a_no_before_the_end_of_a_body_is_an_ending(offers: tuple[str, ...]) -> None:
    script = by_recipient(data={"ben@example.org": "354 go on\r\n552 5.3.4 too long"})
    with ScriptedSink(script=script, offers=offers) as sink:
        wire = Wire(sink).send(letters("ada", "ben", "cleo"))

    ended = wire.outcome()
    assert ended.pop("ben") == Reply(552, "5.3.4", "too long", "data")
    assert ended == {"ada": TAKEN, "cleo": TAKEN}
    assert "ben@example.org" not in sink.recipients
    assert sink.connections == 2


def test_never_a_second_dot_before_the_first_ones_reply(sink: ScriptedSink) -> None:
    sink.linger = 0.02
    wire = Wire(sink).send(letters(*(f"reader{n}" for n in range(8))))

    dots = [line for line in wire.log if line.startswith("dot")]
    assert len(dots) == len(set(dots)) == 8
    for number, line in enumerate(wire.log):  # each intent before its dot, one dot at a time
        if line.startswith("dot"):
            assert line.replace("dot", "intent") in wire.log[:number]


def test_dsn_is_asked_for_where_it_is_offered() -> None:
    message = letter("ada+news=x", return_path="b+cewcaaaabyaaaaaavabcdefg@example.com")
    with ScriptedSink(offers=("PIPELINING", "DSN")) as sink:
        Wire(sink, notify="failure").send([message])
        Wire(sink, notify="never").send([message])
        Wire(sink).send([message])
    with ScriptedSink() as plain:
        Wire(plain, notify="failure").send([message])

    envelopes = [c for c in sink.commands if c.startswith(("MAIL", "RCPT"))]
    back, to = f"<{message.return_path}>", f"<{message.recipient}>"
    assert envelopes == [
        f"MAIL FROM:{back} RET=HDRS ENVID=cewcaaaabyaaaaaavabcdefg",
        f"RCPT TO:{to} NOTIFY=FAILURE ORCPT=rfc822;ada+2Bnews+3Dx@example.org",
        f"MAIL FROM:{back}",
        f"RCPT TO:{to} NOTIFY=NEVER",
        f"MAIL FROM:{back}",
        f"RCPT TO:{to}",
    ]
    assert f"RCPT TO:{to}" in plain.commands
