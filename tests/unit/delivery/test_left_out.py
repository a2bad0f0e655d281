"""Who is left out of an audience and of its letters: excluded, on a break, too soon, suppressed."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.campaigns.models import CampaignRow
from mailer.delivery import audience, queries
from mailer.delivery.models import AudienceRow, BatchRow
from mailer.delivery.relay import Ending, Reply
from mailer.kit.database import Database
from subscribers import actions as subscribers
from subscribers import queries as people
from subscribers.subscriber import Frequency, SubscriberId
from subscribers.suppression import Reason, Scope
from tests.fakes import books
from tests.fakes.books import NOON
from tests.fakes.relay import ScriptedRelay

ONE, TWO, THREE = (SubscriberId(n) for n in (1, 2, 3))
DAY = timedelta(days=1)


def campaign(session: Session, number: int = 1, **more: object) -> CampaignId:
    made = books.campaign(session, segments=["ai"], number=number)
    session.execute(
        update(CampaignRow).where(CampaignRow.id == made).values(**(more or {"name": "x"}))
    )
    return made


def frozen(session: Session, number: CampaignId, now: datetime = NOON) -> dict[int, str | None]:
    """Freeze it; why each candidate is left out."""
    editions = {(1, 3): books.editions(session, number)[1, 3]}
    audience.freeze(session, number, editions, now=now)
    rows = select(AudienceRow.subscriber_id, AudienceRow.excluded)
    found = session.execute(rows.where(AudienceRow.campaign_id == number))
    return {row.subscriber_id: row.excluded for row in found}


def test_a_campaign_leaves_out_who_is_in_its_excluded_segments(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 2)
        books.people(session, 1, first=3, segments=["ai", "luxury"])
        number = campaign(session, excluded_segments=["luxury"])

        assert queries.left_out(session, number, now=NOON) == (("excluded", 1),)
        assert audience.forecast(session, number, THREE, now=NOON) == (1, "excluded")
        assert audience.forecast(session, number, ONE, now=NOON) == (1, None)
        assert audience.forecast(session, number, SubscriberId(9), now=NOON) is None
        assert frozen(session, number) == {1: None, 2: None, 3: "excluded"}


def test_an_issue_comes_once_in_the_time_somebody_chose(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 2)
        subscribers.set_frequency(session, TWO, Frequency.FORTNIGHTLY, now=NOON, source="page")
        first, second, third = (campaign(session, n) for n in (1, 2, 3))
        again = campaign(session, 4, issue_id=session.get_one(CampaignRow, first).issue_id)

        assert frozen(session, first) == {1: None, 2: None}
        assert people.subscriber(session, TWO).mailed_at == NOON
        assert frozen(session, again, NOON + DAY) == {1: None, 2: None}, "the same issue"
        assert frozen(session, second, NOON + 7 * DAY) == {1: None, 2: "frequency"}
        assert people.subscriber(session, TWO).mailed_at == NOON, "left out, so not mailed"
        assert frozen(session, third, NOON + 14 * DAY) == {1: None, 2: None}
        assert people.subscriber(session, TWO).mailed_at == NOON + 14 * DAY
        assert people.subscriber(session, ONE).mailed_at is None, "wants every issue"


def test_a_break_holds_at_the_freeze_and_after_it(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 3)
        subscribers.pause(session, ONE, NOON + DAY, now=NOON, source="page")
        number = campaign(session)
        books.launched(session, number)
        subscribers.pause(
            session, TWO, datetime.max.replace(tzinfo=NOON.tzinfo), now=NOON, source="page"
        )
    relay = ScriptedRelay()
    books.dispatcher(database, relay).work(number)

    assert [message.subscriber for message in relay.sent] == [3]
    with database.reading() as session:
        lines = {line.subscriber: line for line in queries.ledger_lines(session, number)}
    assert (lines[1].outcome, lines[1].reason) == ("excluded", "paused")
    assert (lines[2].outcome, lines[2].reason) == ("skipped", "paused")


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("scope", Scope)
def test_a_suppression_wins_over_a_letter_that_is_to_be_sent_again(
    database: Database, reason: Reason, scope: Scope
) -> None:
    number = books.sending(database, 2)
    later: dict[str, Ending | None] = {"reader1@example.org": Reply(451, "4.7.1", "later")}
    relay = ScriptedRelay(later)
    worker = books.dispatcher(database, relay)
    worker.work(number)
    with database.transaction() as session:
        key = people.subscriber(session, ONE).address_key
        subscribers.suppress(session, key, reason, now=NOON, scope=scope)
        session.execute(update(BatchRow).values(not_before=NOON).where(BatchRow.state == "open"))
    relay.endings.clear()
    worker.work(number)

    assert [message.subscriber for message in relay.sent].count(1) == 1, "only the first try"
    with database.reading() as session:
        lines = {line.subscriber: line for line in queries.ledger_lines(session, number)}
    line = lines[1]
    assert line.outcome == "skipped"
    assert line.reason in {"suppressed", "bounced", "complained"}
