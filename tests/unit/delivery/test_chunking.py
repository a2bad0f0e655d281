"""BDAT instead of DATA (RFC 3030): exact octets, nothing stuffed, RSET behind a chunk refused."""

from typing import Literal

import pytest

from mailer.delivery.relay import Reply, Stage
from tests.fakes.smtp import Answer, Script, ScriptedSink, by_recipient
from tests.unit.delivery.wire import Wire, letter, letters

TAKEN = Reply(250, "2.0.0", "Ok: queued as 4XYZ")
BOTH = pytest.mark.parametrize(
    "offers", [("PIPELINING", "CHUNKING"), ("CHUNKING",)], ids=["pl", "ls"]
)
LONG = ("y" * 70 + "\r\n") * 2_000


def answering(stage: str, about: str, answer: Answer) -> Script:
    return by_recipient(**{stage: {about: answer}})


@BOTH
def test_messages_arrive_octet_for_octet(offers: tuple[str, ...]) -> None:
    messages = [
        letter("ada", text=".\r\n..\r\n.x\r\nend\r\n"),
        letter("ben", text=LONG, number=2),
        letter("cleo", number=3),
    ]
    with ScriptedSink(offers=offers) as sink:
        wire = Wire(sink, chunking=True).send(messages)

    assert [ending for _, ending in wire.endings] == [TAKEN] * 3
    assert [received.data for received in sink.received] == [m.data for m in messages]
    assert "DATA" not in sink.commands
    chunks = [command for command in sink.commands if command.startswith("BDAT")]
    ahead = len(messages[1].data) - 65536
    assert chunks == [
        f"BDAT {len(messages[0].data)} LAST",
        f"BDAT {ahead}",
        "BDAT 65536 LAST",
        f"BDAT {len(messages[2].data)} LAST",
    ]


def test_the_next_envelope_comes_with_the_last_chunk() -> None:
    with ScriptedSink(offers=("PIPELINING", "CHUNKING"), linger=0.05) as sink:
        Wire(sink, chunking=True).send(letters("ada", "ben", "cleo"))

    assert [received.next_was_there for received in sink.received] == [True, True, False]


def test_the_last_chunk_leaves_after_its_witness() -> None:
    seen: list[bool] = []
    with ScriptedSink(offers=("PIPELINING", "CHUNKING")) as sink:
        wire = Wire(sink, chunking=True)
        sink.keep = lambda message, _: seen.append(f"dot {message.recipient}" in wire.log)
        wire.send(letters("ada", "ben"))

    assert seen == [True, True]


def test_a_relay_without_chunking_gets_data() -> None:
    with ScriptedSink() as sink:
        wire = Wire(sink, chunking=True).send(letters("ada", "ben"))

    assert list(wire.outcome().values()) == [TAKEN, TAKEN]
    assert sink.commands.count("DATA") == 2


def test_nobody_has_to_use_it() -> None:
    with ScriptedSink(offers=("PIPELINING", "CHUNKING")) as sink:
        Wire(sink).send(letters("ada"))

    assert "DATA" in sink.commands


@BOTH
@pytest.mark.parametrize("stage", ["mail", "rcpt", "bdat", "dot"])
@pytest.mark.parametrize("code", [451, 554])
def test_a_refusal_costs_only_its_own_message(
    stage: Stage | Literal["bdat"], code: int, offers: tuple[str, ...]
) -> None:
    about = "b+2@example.com" if stage == "mail" else "ben@example.org"
    script = answering(stage, about, f"{code} {code // 100}.3.0 no")
    messages = letters("ada", "ben", "cleo")
    messages[1] = letter("ben", text=LONG, number=2)
    with ScriptedSink(offers=offers, script=script) as sink:
        wire = Wire(sink, chunking=True).send(messages)

    ended = wire.outcome()
    said: Stage = "data" if stage == "bdat" else stage
    assert ended.pop("ben") == Reply(code, f"{code // 100}.3.0", "no", said)
    assert ended == {"ada": TAKEN, "cleo": TAKEN}
    assert sink.connections == 1
    assert "RSET" in sink.commands or stage == "mail"


@BOTH
@pytest.mark.parametrize("stage", ["bdat", "dot"])
def test_421_to_a_chunk_closes(stage: str, offers: tuple[str, ...]) -> None:
    script = answering(stage, "ada@example.org", "421 4.3.2 closing")
    with ScriptedSink(offers=offers, script=script) as sink:
        wire = Wire(sink, chunking=True, patience=1).send([letter("ada", text=LONG)])

    said = Reply(421, "4.3.2", "closing")
    assert wire.outcome() == ({"ada": said} if stage == "dot" else {})
    assert wire.setback().cause == "spoke"


@BOTH
@pytest.mark.parametrize("stage", ["bdat", "dot"])
@pytest.mark.parametrize("code", [500, 502])
def test_a_relay_that_offers_it_and_does_not_know_it_is_blamed_itself(
    stage: str, code: int, offers: tuple[str, ...]
) -> None:
    """It would take the next chunk's lines for commands; nobody is refused for that."""
    script = answering(stage, "ada@example.org", f"{code} 5.5.1 what?")
    with ScriptedSink(offers=offers, script=script) as sink:
        wire = Wire(sink, chunking=True).send([letter("ada", text=LONG)])

    ending = wire.outcome()["ada"]
    assert isinstance(ending, Reply)
    assert (ending.code, ending.text[:6]) == (451, "local:")
    assert (wire.setback().cause, wire.setback().everyone) == ("spoke", True)
    assert "CHUNKING" in str(wire.setback())
