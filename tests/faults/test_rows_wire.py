"""Faults between us and the relay; each row of the fault table by its number."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from mailer.delivery import queries, resolving
from mailer.delivery.models import AttemptRow, BrakeRow, DeliveryRow
from mailer.kit.database import Database
from tests.fakes import books
from tests.faults import sender
from tests.faults.processes import until
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene, reader
from tests.faults.sink import Manners

Scenes = Callable[..., Scene]


def to(person: int, *modes: str) -> Manners:
    """Manners towards one reader."""
    return Manners({reader(person): modes})


@pytest.mark.parametrize(
    ("mode", "took"),
    [
        ("drop@dot-after-record", True),
        ("partial", True),
        ("drop@dot-before-record", False),
        ("RST@dot", False),
        ("garbage", False),
        ("354@dot", False),
    ],
)
def test_no_answer_to_a_dot(sqlite_scene: Scenes, mode: str, took: bool) -> None:
    """Faults 32 and 33: uncertain, by name, and not sent again on its own."""
    one = sqlite_scene(manners=to(7, mode, "ok"))
    one.finish()

    found = one.found()
    assert found.uncertain == (reader(7),)
    assert not found.wrong(uncertain=1)
    assert found.sent == one.people - (not took)
    with one.database.reading() as session:
        (line,) = queries.uncertain(session, one.campaign)
    assert (line.subscriber, line.chunk) == (7, 1)
    assert line.worker == "worker-1"
    assert line.evidence


def test_it_was_recorded_after_all(sqlite_scene: Scenes) -> None:
    """Fault 32: what the relay's log proves is a resolution."""
    one = sqlite_scene(manners=to(7, "drop@dot-after-record", "ok"))
    one.finish()
    resolve(one, 7, "accepted", "the relay's log has it")

    assert one.check(uncertain=0).resolved == 1


def test_it_never_left_and_is_sent_again(sqlite_scene: Scenes) -> None:
    """Fault 33: the log proves its absence, so it is sent once more, under the same name."""
    one = sqlite_scene(manners=to(7, "drop@dot-before-record", "ok"))
    one.finish()
    resolve(one, 7, "resend", "the relay's log has not got it")
    one.finish()

    found = one.check(uncertain=0)
    assert found.sent == one.people
    assert len({x.message_id for x in one.sink.letters() if x.recipient == reader(7)}) == 1


def resolve(one: Scene, person: int, outcome: str, evidence: str) -> None:
    with one.database.transaction() as session:
        resolving.resolve(
            *(session, one.campaign, person, outcome),
            evidence=evidence,
            actor="a test",
            now=books.NOON,
        )


@pytest.mark.parametrize("mode", ["drop@rcpt", "drop@data", "half-close@data", "421@data"])
def test_the_connection_breaks_before_the_dot(sqlite_scene: Scenes, mode: str) -> None:
    """Fault 34: tried again in the same chunk, on another connection."""
    one = sqlite_scene(manners=to(7, mode, "ok"))
    one.finish(dot_timeout=8.0)

    found = one.check(uncertain=0 if "421" not in mode else 1)
    assert found.outcomes["accepted"] + len(found.uncertain) == one.people


def test_an_answer_slower_than_our_patience(sqlite_scene: Scenes) -> None:
    """Fault 35: uncertain after the timeout; the other connections go on."""
    one = sqlite_scene(manners=to(3, "slow@dot"))
    one.finish(dot_timeout=0.5)

    assert one.check(uncertain=1).uncertain == (reader(3),)


def brakes_on(one: Scene) -> list[str]:
    with one.database.reading() as session:
        return list(session.scalars(select(BrakeRow.scope).where(BrakeRow.off_at.is_(None))))


@pytest.mark.parametrize("stage", ["greeting", "ehlo", "mail", "rcpt", "data", "dot"])
def test_the_relay_closes_with_421(sqlite_scene: Scenes, stage: str) -> None:
    """Fault 36: an answer; nobody is failed for it, and the next letters are unharmed."""
    one = sqlite_scene(manners=Manners(times={stage: {2: f"421@{stage}", 5: f"421@{stage}"}}))
    one.finish()

    found = one.check(uncertain=2)  # a dot may have been out on the connection it closed
    assert found.outcomes["accepted"] + len(found.uncertain) == one.people
    if stage in {"greeting", "ehlo"}:
        assert not found.uncertain


def test_greylisted_and_taken_later(scene: Scenes) -> None:
    """Fault 37: an attempt, a later batch, the same Message-ID."""
    people = {reader(n): ("4xx@rcpt", "4xx@dot", "ok") for n in range(1, 11)}
    one = scene(manners=Manners(people))
    one.finish()

    found = one.check(uncertain=0)
    assert found.outcomes == {"accepted": one.people}
    with one.database.reading() as session:
        attempts = session.execute(select(AttemptRow.subscriber_id, AttemptRow.number)).all()
    assert sorted(tuple(row) for row in attempts) == [(n, t) for n in range(1, 11) for t in (1, 2)]


def test_one_recipient_is_refused(scene: Scenes) -> None:
    """Fault 38: only that one."""
    one = scene(manners=to(9, "5xx@rcpt"))
    one.finish()

    assert one.check(uncertain=0).outcomes == {"accepted": one.people - 1, "refused": 1}


def test_the_relay_does_not_let_us_in(sqlite_scene: Scenes) -> None:
    """Fault 39: nobody is failed for it; the campaign waits for the relay."""
    times = dict.fromkeys(range(1, 4), "535@auth")
    one = sqlite_scene(manners=Manners(times={"auth": times}))
    one.worker(connections=1)
    until("the brake", lambda: bool(brakes_on(one)))
    assert one.progress().settled == 0
    assert brakes_on(one) == ["relay"]
    while not one.is_over():  # a minute each time, in production
        with one.database.transaction() as session:
            session.execute(update(BrakeRow).values(probe_at=books.NOON))
        time.sleep(0.1)
    one.over()

    assert one.check(uncertain=0).outcomes == {"accepted": one.people}


def test_the_relay_closes_after_a_few_letters_each(sqlite_scene: Scenes) -> None:
    """Fault 40: reconnecting is no error."""
    times = dict.fromkeys((11, 23, 37), "drop@mail")
    one = sqlite_scene(manners=Manners(times={"mail": times}))
    one.finish()

    found = one.check(uncertain=3)  # the envelope of the next one leaves with a dot
    assert found.outcomes["accepted"] + len(found.uncertain) == one.people


@pytest.mark.parametrize("fate", ["swallow", "cut", "reset", "half-close"])
def test_the_way_to_the_relay_breaks(sqlite_database: Database, tmp_path: Path, fate: str) -> None:
    """Fault 41, and its neighbours: at most one letter for each connection is uncertain."""
    with (
        Scene(sqlite_database, tmp_path, manners=Manners(linger=0.02)) as one,
        Proxy(one.sink.port) as proxy,
    ):
        direct = f"127.0.0.1:{one.sink.port}"
        one.worker(relay=f"127.0.0.1:{proxy.port}", dot_timeout=1.0, lease=5.0)
        one.sent(15)
        if fate == "swallow":
            proxy.swallows = True
            time.sleep(1.5)
            proxy.cut(hard=True)
            proxy.swallows = False
        elif fate == "half-close":
            proxy.half_close()
        else:
            proxy.cut(hard=fate == "reset")
        one.worker(relay=direct)
        one.over()

        found = one.check(uncertain=sender.CONNECTIONS)
        assert found.sent + len(found.uncertain) >= one.people


def test_one_straggler_waits_while_chunks_go_by(sqlite_scene: Scenes) -> None:
    """Fault 59: its chunk is not flushed before its row is there, and the next ones run."""
    one = sqlite_scene(manners=to(3, "half-open"))
    worker = one.worker()
    one.sent(one.people - 1)
    end = time.monotonic() + 20
    while one.progress().settled < one.people - 1 and time.monotonic() < end:
        time.sleep(0.05)
    worker.kill()
    worker.join()
    one.finish()

    assert one.check(uncertain=sender.CONNECTIONS).uncertain == (reader(3),)


@pytest.mark.parametrize("mode", ["multi-line", "250-then-RST"])
def test_an_unusual_yes_is_a_yes(sqlite_scene: Scenes, mode: str) -> None:
    """Fault 32, the other way round: whatever follows the answer."""
    one = sqlite_scene(manners=Manners({reader(n): (mode, "ok") for n in (5, 15)}))
    one.finish()

    found = one.check(uncertain=2)  # the next dot may be out where the connection is reset
    assert not {reader(5), reader(15)} & set(found.uncertain)


def test_results_name_the_row_they_come_from(sqlite_scene: Scenes) -> None:
    """Fault 38: cause and code are kept."""
    one = sqlite_scene(people=5, manners=to(2, "5xx@rcpt"))
    one.finish()

    with one.database.reading() as session:
        row = session.scalars(select(DeliveryRow).where(DeliveryRow.outcome == "refused")).one()
    assert (row.subscriber_id, row.code, row.reason) == (2, 550, "address")
