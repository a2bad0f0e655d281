"""Brakes go on once, say why, are probed by one worker, and come off."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import pytest

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, CampaignNotPaused, State
from mailer.delivery import brakes
from mailer.delivery.brakes import (
    HOLD,
    LONGEST_REST,
    PROBE,
    RESTORE,
    Brake,
    BrakeNotOn,
    RestoreNotAccepted,
    Seen,
)
from mailer.delivery.breakers import Trip
from mailer.delivery.plan import BrakePlan
from mailer.kit.database import Database
from tests.fakes.books import NOON, sending

LOGIN = Trip("relay", "main", "auth", "The relay main refuses our login", probe_after=60)
GMAIL = Trip("lane", "gmail", "rate", "gmail says we send too fast", probe_after=600, slow=True)
EVERYTHING = Trip(*HOLD, "hand", "the wrong issue")
WORKERS = 6
T = TypeVar("T")


def put_on(database: Database, trip: Trip, *, after: float = 0, actor: str = "w1") -> Brake | None:
    with database.transaction() as session:
        now = NOON + timedelta(seconds=after)
        return brakes.put_on(session, trip, actor=actor, now=now)


def probe(database: Database, brake: Brake, *, after: float) -> bool:
    with database.transaction() as session:
        return brakes.probe(session, brake, NOON + timedelta(seconds=after))


def seen(database: Database) -> Seen:
    with database.reading() as session:
        return brakes.seen(session)


def on(database: Database, trip: Trip) -> Brake:
    brake = put_on(database, trip)
    assert brake is not None
    return brake


def at_once(acts: Callable[[int], T]) -> list[T]:
    """The same by several workers in the same moment."""
    together = Barrier(WORKERS)

    def act(number: int) -> T:
        together.wait()
        return acts(number)

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(act, range(WORKERS)))


def campaign_of(database: Database) -> CampaignId:
    return sending(database, 3)


def state(database: Database, campaign: CampaignId) -> tuple[State, str, int]:
    with database.reading() as session:
        found = campaign_queries.campaign(session, campaign)
    return found.state, found.reason, found.stop_epoch


def test_a_brake_is_seen_with_its_reason(database: Database) -> None:
    on(database, LOGIN)
    found = seen(database)
    (brake,) = found.on

    assert (brake.scope, brake.name, brake.cause) == ("relay", "main", "auth")
    assert brake.reason == LOGIN.reason
    assert brake.actor == "w1"
    assert brake.on_at == NOON
    assert brake.probe_at == NOON + timedelta(seconds=60)
    assert found.hold is None


def test_under_a_hold_nothing_is_probed(database: Database) -> None:
    on(database, GMAIL)
    on(database, EVERYTHING)
    found = seen(database)

    assert found.hold is not None
    assert (found.hold.scope, found.hold.name) == ("all", "")
    assert found.due(NOON + timedelta(hours=2)) == ()


def test_a_brake_on_the_only_relay_which_has_no_name_holds_nothing_else(database: Database) -> None:
    on(database, Trip("relay", "", "auth", "of the only relay"))

    assert seen(database).hold is None


def test_saying_it_again_keeps_the_reason_and_the_count(database: Database) -> None:
    first = on(database, LOGIN)
    again = put_on(database, Trip("relay", "main", "closed", "later words"), after=5, actor="w2")

    assert again == first


def test_many_workers_put_one_brake_on(database: Database) -> None:
    put = at_once(lambda n: put_on(database, LOGIN, actor=f"w{n}"))

    assert len({brake.id for brake in put if brake}) == 1
    with database.reading() as session:
        (only,) = brakes.history(session)
    assert only.trips == 1


def test_no_campaign_has_a_number_that_large(database: Database) -> None:
    with database.transaction() as session, pytest.raises(BrakeNotOn):
        brakes.release(session, "campaign", "9" * 20, by="Ada", now=NOON)


def test_one_worker_wins_the_probe(database: Database) -> None:
    brake = on(database, LOGIN)

    assert not probe(database, brake, after=59)
    assert seen(database).due(NOON + timedelta(seconds=59)) == ()
    assert [b.id for b in seen(database).due(NOON + timedelta(seconds=60))] == [brake.id]
    won = at_once(lambda _: probe(database, brake, after=60))
    assert won.count(True) == 1


def test_a_probe_nobody_heard_of_again_is_anothers(database: Database) -> None:
    brake = on(database, LOGIN)
    assert probe(database, brake, after=60)

    assert not probe(database, brake, after=60 + PROBE - 1)
    assert probe(database, brake, after=60 + PROBE)


def test_a_success_takes_the_probed_brake_off(database: Database) -> None:
    brake = on(database, LOGIN)
    other = on(database, GMAIL)
    probe(database, brake, after=60)

    with database.transaction() as session:
        assert brakes.take_off(session, brake, by="a letter went", now=NOON)
        assert not brakes.take_off(session, brake, by="another", now=NOON)
    assert seen(database).on == (other,)
    assert [b.scope for b in seen(database).on] == ["lane"]
    with database.reading() as session:
        off = next(b for b in brakes.history(session) if b.id == brake.id)
    assert (off.off_at, off.off_by) == (NOON, "a letter went")


def test_each_failed_probe_doubles_the_rest_up_to_an_hour(database: Database) -> None:
    brake = on(database, LOGIN)
    rests, at = [], 60.0
    for _ in range(8):
        assert probe(database, brake, after=at)
        again = put_on(database, LOGIN, after=at)
        assert again is not None
        assert again.probe_at is not None
        rest = (again.probe_at - NOON).total_seconds() - at
        rests.append(rest)
        at += rest

    assert rests == [120, 240, 480, 960, 1920, LONGEST_REST, LONGEST_REST, LONGEST_REST]
    (now_on,) = seen(database).on
    assert now_on.trips == 9
    assert not now_on.probing


def test_a_probe_that_fails_for_another_cause_says_so(database: Database) -> None:
    probe(database, on(database, LOGIN), after=60)
    put_on(database, Trip("relay", "main", "connect", "no connection", probe_after=60), after=61)

    assert seen(database).on[0].reason == "no connection"


def test_a_slow_down_or_a_warning_is_no_brake(database: Database) -> None:
    assert put_on(database, Trip("lane", "qq", "deferrals", "…", slow=True, stops=False)) is None
    assert seen(database).on == ()


def test_a_campaigns_brake_is_its_pause_and_resuming_takes_it_off(database: Database) -> None:
    campaign = campaign_of(database)
    trip = Trip("campaign", str(campaign), "bounces", "51 of the last 1,000 …")
    epoch = state(database, campaign)[2]
    brake = on(database, trip)

    assert state(database, campaign) == (State.PAUSED, trip.reason, epoch + 1)
    assert seen(database).on == (brake,)
    assert put_on(database, trip, actor="w2") is None  # it is not sending any more
    with database.transaction() as session:
        was = brakes.resume(session, campaign, by="Ada", now=NOON)
    assert was is not None
    assert was.id == brake.id
    assert state(database, campaign)[:2] == (State.SENDING, "")
    assert seen(database).on == ()
    with pytest.raises(CampaignNotPaused), database.transaction() as session:
        brakes.resume(session, campaign, by="Ada", now=NOON)


def test_a_campaign_resumed_by_other_ways_is_held_by_nothing(database: Database) -> None:
    campaign = campaign_of(database)
    trip = Trip("campaign", str(campaign), "bounces", "first")
    on(database, trip)
    with database.transaction() as session:
        campaigns.resume(session, campaign)

    assert seen(database).on == ()
    assert on(database, Trip("campaign", str(campaign), "bounces", "second")).reason == "second"
    assert [b.reason for b in seen(database).on] == ["second"]


def test_many_workers_pause_a_campaign_once(database: Database) -> None:
    campaign = campaign_of(database)
    trip = Trip("campaign", str(campaign), "bounces", "too many")
    epoch = state(database, campaign)[2]
    put = at_once(lambda n: put_on(database, trip, actor=f"w{n}"))

    assert sum(brake is not None for brake in put) == 1
    assert state(database, campaign)[2] == epoch + 1


def test_a_brake_is_released_by_hand(database: Database) -> None:
    on(database, GMAIL)
    campaign = campaign_of(database)
    on(database, Trip("campaign", str(campaign), "bounces", "…"))
    with database.transaction() as session:
        assert brakes.release(session, "lane", "gmail", by="Ada", now=NOON).cause == "rate"
        brakes.release(session, "campaign", str(campaign), by="Ada", now=NOON)

    assert seen(database).on == ()
    assert state(database, campaign)[0] is State.SENDING
    with pytest.raises(BrakeNotOn, match="lane gmail"), database.transaction() as session:
        brakes.release(session, "lane", "gmail", by="Ada", now=NOON)


def test_a_hold_after_a_restore_is_not_released_like_any_other(database: Database) -> None:
    on(database, EVERYTHING)
    put_on(database, Trip(*HOLD, RESTORE, "the database is older"))
    put_on(database, EVERYTHING)
    hold = seen(database).hold

    assert hold is not None
    assert hold.cause == RESTORE  # the graver reason counts
    assert hold.reason == "the database is older (Before that: the wrong issue)"
    with pytest.raises(RestoreNotAccepted), database.transaction() as session:
        brakes.release(session, *HOLD, by="Ada", now=NOON)


def test_complaints_pause_a_campaign_above_the_limit(database: Database) -> None:
    campaign = campaign_of(database)

    def complain(complaints: int) -> Brake | None:
        with database.transaction() as session:
            return brakes.complain(
                session,
                campaign,
                complaints=complaints,
                delivered=10_000,
                plan=BrakePlan(),
                actor="feedback",
                now=NOON,
            )

    assert complain(1) is None
    assert complain(9) is None  # a warning
    brake = complain(10)
    assert brake is not None
    assert brake.cause == "complaints"
    assert state(database, campaign)[0] is State.PAUSED


def test_held_says_why_nothing_may_leave(database: Database, tmp_path: Path) -> None:
    def held() -> str | None:
        with database.reading() as session:
            return brakes.held(session, tmp_path)

    on(database, LOGIN)
    assert held() is None  # a relay's brake holds no notices by other ways
    on(database, EVERYTHING)
    assert held() == "the wrong issue"
    (tmp_path / "HOLD").write_text("stop, says Ben\n")
    assert held() == "stop, says Ben"
