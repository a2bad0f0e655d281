"""The scripted relay keeps the promises of the port that the books are tested against."""

from mailer.delivery.relay import Message, Relay, Reply, Silence, Trouble, Unsent
from tests.fakes.relay import DOWN, STOPPED, ScriptedRelay

TAKEN = Reply(250, "2.0.0", "ok")


def letters(*who: str, way: str = "") -> list[Message]:
    return [
        Message(7, number, 1, 1, 1, f"{name}@example.org", "b@example.com", b"x\r\n", way)
        for number, name in enumerate(who, 1)
    ]


def test_a_script_decides_who_ends_how() -> None:
    relay: Relay = ScriptedRelay({"ben@example.org": Silence(), "cleo@example.org": None})
    ada, ben, cleo, dan = letters("ada", "ben", "cleo", "dan")

    ended = dict(relay.send([ada, ben, cleo, dan]))

    assert ended == {ada: TAKEN, ben: Silence(), dan: TAKEN}
    assert cleo not in ended


def test_a_script_may_go_down_or_be_stopped_or_run_late() -> None:
    relay = ScriptedRelay(down_after=1)
    assert [ending for _, ending in relay.send(letters("ada", "ben"))] == [TAKEN, DOWN]
    relay = ScriptedRelay()
    for _ in relay.send(letters("ada", "ben")):
        relay.stop()
    assert len(relay.sent) == 1
    assert not list(ScriptedRelay().send(letters("ada"), in_time=lambda: False))


def test_one_way_may_be_down_and_another_not() -> None:
    trouble = Trouble("auth", "535 5.7.8", everyone=True)
    relay = ScriptedRelay(down={"second": trouble})
    feed = [*letters("ada", way="first"), *letters("ben", way="second")]

    assert [ending for _, ending in relay.send(feed)] == [TAKEN, Unsent(trouble)]
    assert relay.room("second") > relay.room("first") > 0


def test_who_is_dropped_is_not_sent_to() -> None:
    relay = ScriptedRelay()
    ended = []
    for pair in relay.send(letters("ada", "ben", "cleo")):
        ended.append(pair[1])
        relay.drop(lambda message: message.recipient.startswith("ben"))

    assert ended == [TAKEN, STOPPED, TAKEN]


def test_messages_may_be_pulled_ahead() -> None:
    relay = ScriptedRelay(at_once=3)
    feed = iter(letters("ada", "ben", "cleo", "dan"))

    next(relay.send(feed))

    assert [message.subscriber for message in feed] == [4]


def test_a_way_may_be_told_to_start_slowly() -> None:
    relay = ScriptedRelay()
    relay.slow_start("gmail")
    relay.wait(1)

    assert relay.slow == ["gmail"]
