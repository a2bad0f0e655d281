"""A new relay takes so much of a lane a day, whoever asks, and more only when nobody minds."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from mailer.campaigns.models import CampaignRow
from mailer.delivery import warm_up
from mailer.delivery.models import AllowanceRow, AttemptRow, BatchRow, BrakeRow, DeliveryRow
from mailer.delivery.pacing import Pacer
from mailer.delivery.plan import Plan
from mailer.delivery.warm_up import Allowed
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import NOON

LADDER = (50, 100, 250)
DAY = timedelta(days=1)


def reserve(
    database: Database, want: int, now: datetime = NOON, *, ladder: Sequence[int] = LADDER
) -> Allowed:
    with database.transaction() as session:
        return warm_up.reserve(session, "new", "gmail", want, ladder=ladder, deferrals=0.3, now=now)


def steps(database: Database, days: int, *, use: float = 1.0) -> list[int]:
    """What may go on each of so many days that use a part of their cap."""
    caps = []
    for day in range(days):
        cap = reserve(database, 10**6, NOON + day * DAY).count
        caps.append(cap)
        if use < 1:
            with database.transaction() as session:
                taken = update(AllowanceRow).where(AllowanceRow.day == (NOON + day * DAY).date())
                session.execute(taken.values(taken=int(cap * use)))
    return caps


def test_a_day_gives_its_cap_and_not_one_more(database: Database) -> None:
    assert reserve(database, 30) == Allowed(30)
    rest = reserve(database, 30)
    none = reserve(database, 1)

    assert (rest.count, rest.wait, rest.why) == (20, 12 * 3600, "warm-up: 50 today")
    assert (none.count, none.wait) == (0, 12 * 3600)


def test_each_full_day_is_followed_by_the_next_step_up_to_no_bound(database: Database) -> None:
    assert steps(database, 5) == [50, 100, 250, 10**6, 10**6]


def test_a_day_that_used_little_is_repeated(database: Database) -> None:
    assert steps(database, 3, use=0.7) == [50, 50, 50]


def test_after_a_few_idle_days_the_ladder_goes_on_and_after_many_it_begins_again(
    database: Database,
) -> None:
    reserve(database, 50)
    assert reserve(database, 100, NOON + 20 * DAY).count == 100
    assert reserve(database, 10**6, NOON + 51 * DAY).count == 50


def test_who_is_done_warming_up_begins_again_after_a_long_rest(database: Database) -> None:
    steps(database, 4)

    assert reserve(database, 1000, NOON + 30 * DAY) == Allowed(1000)
    assert reserve(database, 1000, NOON + 61 * DAY).count == 50


def test_a_day_is_one_of_utc(database: Database) -> None:
    tokyo = datetime.fromisoformat("2026-03-02T08:30+09:00")  # still the first of March

    assert reserve(database, 50, NOON).count == 50
    assert reserve(database, 50, tokyo).count == 0
    assert reserve(database, 50, tokyo + timedelta(hours=1)).count == 50


def test_relays_and_lanes_are_warmed_up_each_by_itself(database: Database) -> None:
    reserve(database, 50)

    with database.transaction() as session:
        for relay, lane in (("new", "yahoo"), ("other", "gmail")):
            more = {"ladder": LADDER, "deferrals": 0.3, "now": NOON}
            assert warm_up.reserve(session, relay, lane, 50, **more) == Allowed(50)  # type: ignore[arg-type]


def test_what_was_rolled_back_was_not_reserved(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        warm_up.reserve(session, "new", "gmail", 50, ladder=LADDER, deferrals=0.3, now=NOON)
        raise ZeroDivisionError

    assert reserve(database, 50) == Allowed(50)


def test_what_was_surely_not_sent_may_be_reserved_again(database: Database) -> None:
    reserve(database, 50)
    with database.transaction() as session:
        warm_up.give_back(session, "new", "gmail", 20, day=NOON)
        warm_up.give_back(session, "new", "gmail", 99, day=NOON)  # more than there is: nothing
        warm_up.give_back(session, "new", "gmail", 5, day=NOON - DAY)  # a day of no row

    assert reserve(database, 50).count == 20


def test_a_ladder_made_lower_counts_at_once_and_one_made_higher_tomorrow(
    database: Database,
) -> None:
    reserve(database, 10)

    assert reserve(database, 50, ladder=(20, 40)).count == 10
    assert reserve(database, 50, ladder=(500, 1000)).count == 30
    assert reserve(database, 1000, NOON + DAY, ladder=(500, 1000)).count == 1000


def test_workers_at_once_never_get_more_than_the_cap(database: Database) -> None:
    got: list[int] = []
    begin = threading.Barrier(4)

    def work() -> None:
        begin.wait()
        got.extend(reserve(database, 7).count for _ in range(10))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(got) == 40
    assert sum(got) == 50


def braked(session: Session, **values: object) -> None:
    row = {"reason": "", "actor": "worker", "on_at": NOON, **values}
    session.execute(insert(BrakeRow).values(**row))


@pytest.mark.parametrize(
    ("brake", "second"),
    [
        ({"scope": "lane", "name": "gmail", "cause": "deferrals"}, 50),
        ({"scope": "relay", "name": "new", "cause": "refused"}, 50),
        ({"scope": "campaign", "name": "1", "cause": "complaints"}, 50),
        ({"scope": "lane", "name": "yahoo", "cause": "deferrals"}, 100),
        ({"scope": "lane", "name": "gmail", "cause": "hand"}, 100),
        ({"scope": "lane", "name": "gmail", "cause": "deferrals", "on_at": NOON - DAY}, 100),
    ],
)
def test_a_stop_rule_that_tripped_holds_the_ladder(
    database: Database, brake: dict[str, object], second: int
) -> None:
    reserve(database, 50)
    with database.transaction() as session:
        braked(session, **brake)

    assert reserve(database, 10**6, NOON + DAY).count == second


@pytest.mark.parametrize(
    ("accepted", "refused", "put_off", "second"),
    [
        (50, 0, 0, 100),
        (49, 1, 0, 100),  # 2 %
        (48, 2, 0, 50),  # 4 %
        (40, 0, 10, 100),  # 20 % put off
        (30, 0, 20, 50),  # 40 %
    ],
)
def test_refusals_and_deferrals_hold_the_ladder(
    database: Database, accepted: int, refused: int, put_off: int, second: int
) -> None:
    reserve(database, 50)
    with database.transaction() as session:
        books.people(session, 1, domain="gmail.com")
        campaign = books.campaign(session)
        books.launched(session, campaign)
        session.execute(
            update(CampaignRow)
            .where(CampaignRow.id == campaign)
            .values(started_at=NOON - timedelta(hours=1))
        )
        number = session.scalars(select(BatchRow.number)).one()
        common = {"campaign_id": campaign, "batch": number, "at": NOON}
        outcomes = ["accepted"] * accepted + ["refused"] * refused
        results = [
            {**common, "subscriber_id": n, "outcome": each, "code": 250, "relay": "new"}
            for n, each in enumerate(outcomes)
        ]
        session.execute(insert(DeliveryRow), results)
        later = [
            {**common, "subscriber_id": 1000 + n, "number": 1, "first_tried": NOON, "position": n}
            for n in range(put_off)
        ]
        if later:
            session.execute(insert(AttemptRow), later)

    assert reserve(database, 10**6, NOON + DAY).count == second


def test_the_pacer_reserves_for_relays_that_warm_up_only(database: Database) -> None:
    new = {"name": "new", "url": "smtp://10.0.0.1", "warm_up": [50, 100]}
    old = {"name": "old", "url": "smtp://10.0.0.2"}
    pacer = Pacer(Plan.model_validate({"relay": [new, old]}))

    with database.transaction() as session:
        assert pacer.reserve(session, "new", "gmail", 80, NOON).count == 50
        pacer.give_back(session, "new", "gmail", 10, NOON)
        assert pacer.reserve(session, "new", "gmail", 80, NOON).count == 10
        assert pacer.reserve(session, "old", "gmail", 80, NOON) == Allowed(80)
        pacer.give_back(session, "old", "gmail", 80, NOON)
        assert {row.relay for row in session.scalars(select(AllowanceRow))} == {"new"}
    assert pacer.paced("new", "gmail")
    assert not pacer.paced("old", "gmail")
