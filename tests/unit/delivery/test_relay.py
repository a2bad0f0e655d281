"""The scripted relay keeps the promises of the port that the books are tested against."""

import pytest

from mailer.delivery.relay import Message, Relay, RelayDown, Reply, Silence
from mailer.kit.errors import Unavailable
from tests.fakes.relay import ScriptedRelay


def letters(*who: str) -> list[Message]:
    return [
        Message(7, number, 1, 1, 1, f"{name}@example.org", "b@example.com", b"x\r\n")
        for number, name in enumerate(who, 1)
    ]


def test_a_script_decides_who_ends_how() -> None:
    relay: Relay = ScriptedRelay({"ben@example.org": Silence(), "cleo@example.org": None})
    ada, ben, cleo, dan = letters("ada", "ben", "cleo", "dan")

    ended = dict(relay.send([ada, ben, cleo, dan]))

    assert ended == {ada: Reply(250, "2.0.0", "ok"), ben: Silence(), dan: Reply(250, "2.0.0", "ok")}
    assert cleo not in ended


def test_a_script_may_go_down_or_be_stopped_or_run_late() -> None:
    relay = ScriptedRelay(down_after=1)
    with pytest.raises(RelayDown):
        list(relay.send(letters("ada", "ben")))
    relay = ScriptedRelay()
    for _ in relay.send(letters("ada", "ben")):
        relay.stop()
    assert len(relay.sent) == 1
    assert not list(ScriptedRelay().send(letters("ada"), in_time=lambda: False))


def test_messages_may_be_pulled_ahead() -> None:
    relay = ScriptedRelay(at_once=3)
    feed = iter(letters("ada", "ben", "cleo", "dan"))

    next(relay.send(feed))

    assert [message.subscriber for message in feed] == [4]


def test_a_relay_that_is_down_may_come_back() -> None:
    assert issubclass(RelayDown, Unavailable)
    assert str(RelayDown()).startswith("The relay takes no mail at the moment")
