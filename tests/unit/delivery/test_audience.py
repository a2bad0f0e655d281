"""The freeze: everybody once, with edition, lane and place, or with the reason why not."""

from collections import Counter

import pytest
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.delivery import audience
from mailer.delivery.audience import AudienceFrozen, EditionMissing, Frozen
from mailer.delivery.models import AudienceRow, BatchRow
from mailer.kit.database import Database
from subscribers import queries as subscribers
from subscribers.models import SubscriberRow
from tests.fakes import books
from tests.fakes.books import NOON

BOTH = ("ai", "luxury")


def rows(session: Session, campaign: CampaignId) -> dict[int, AudienceRow]:
    found = session.scalars(select(AudienceRow).where(AudienceRow.campaign_id == campaign))
    return {row.subscriber_id: row for row in found}


def test_everybody_who_follows_a_segment_is_a_row_and_the_sums_hold(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 3)
        books.people(session, 2, first=10, state="pending")
        books.people(session, 1, first=20, state="unsubscribed")
        books.people(session, 1, first=30, segments=())  # follows nothing
        campaign = books.campaign(session)

        frozen = books.launched(session, campaign)
        found = rows(session, campaign)

    assert frozen == Frozen(candidates=6, excluded=3, audience=3, batches=1)
    reasons = Counter(row.excluded for row in found.values())
    assert reasons == {None: 3, "pending": 2, "unsubscribed": 1}
    assert 30 not in found


def test_an_excluded_person_has_no_edition_lane_or_place(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 1, state="pending")
        campaign = books.campaign(session)
        books.launched(session, campaign)
        ben = rows(session, campaign)[1]

    assert (ben.edition_id, ben.lane, ben.batch, ben.position) == (None, None, None, None)


def test_what_a_person_follows_and_allows_decides_the_edition(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 1, first=1, segments=("ai",))
        books.people(session, 1, first=2, segments=BOTH)
        books.people(session, 1, first=3, segments=BOTH, tracking=0)
        campaign = books.campaign(session)
        made = books.editions(session, campaign)
        audience.freeze(session, campaign, made, now=NOON)
        found = rows(session, campaign)

    assert set(made) == {(1, 3), (3, 3), (3, 0)}
    assert found[1].edition_id == made[1, 3]
    assert found[2].edition_id == made[3, 3]
    assert found[3].edition_id == made[3, 0]


def test_a_batch_holds_people_of_one_edition_and_lane_in_places_from_one(
    database: Database,
) -> None:
    with database.transaction() as session:
        books.people(session, 5, domain="gmail.com")
        books.people(session, 3, first=10, domain="qq.com")
        books.people(session, 4, first=20, domain="gmail.com", segments=BOTH)
        campaign = books.campaign(session)
        frozen = books.launched(session, campaign, batch_size=2)
        found = [row for row in rows(session, campaign).values() if row.batch]
        batches = session.scalars(select(BatchRow).order_by(BatchRow.number)).all()

    assert frozen.batches == 3 + 2 + 2
    assert [batch.number for batch in batches] == list(range(1, 8))
    for batch in batches:
        inside = [row for row in found if row.batch == batch.number]
        assert {(row.edition_id, row.lane) for row in inside} == {(batch.edition_id, batch.lane)}
        assert sorted(row.position or 0 for row in inside) == list(range(1, batch.size + 1))
    assert sum(batch.size for batch in batches) == frozen.audience == 12


def test_two_people_with_one_address_get_one_letter(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 3)
        campaign = books.campaign(session)
        made = books.editions(session, campaign)
        people = subscribers.candidates(session, BOTH, now=books.NOON).subquery()
        same = select(
            *(c for c in people.c if c.name != "address_key"), people.c.domain.label("address_key")
        )  # the subscribers' own table forbids it, so the candidates are given a common key

        count = audience.fill(session, campaign, same, made, 3, 1000)
        found = rows(session, campaign)

    assert count == 3
    assert [found[n].excluded for n in (1, 2, 3)] == [None, *[audience.DUPLICATE] * 2]


def test_a_freeze_without_the_edition_somebody_needs_is_refused(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 1)
        campaign = books.campaign(session)
        made = books.editions(session, campaign)
    with database.transaction() as session:
        books.people(session, 1, first=7, segments=BOTH)  # came meanwhile

    with pytest.raises(EditionMissing, match="1 people"), database.transaction() as session:
        audience.freeze(session, campaign, made, now=NOON)
    with database.reading() as session:
        assert not rows(session, campaign)


def test_an_interrupted_freeze_is_thrown_away_and_built_again(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 4)
        campaign = books.campaign(session)
        made = books.editions(session, campaign)
        audience.freeze(session, campaign, made, now=NOON, batch_size=2)
    with database.transaction() as session:
        session.get_one(SubscriberRow, 4).state = "unsubscribed"

    with database.transaction() as session:
        frozen = audience.freeze(session, campaign, made, now=NOON, batch_size=2)

    assert frozen == Frozen(candidates=4, excluded=1, audience=3, batches=2)


def test_a_frozen_audience_is_never_built_again(database: Database) -> None:
    campaign = books.sending(database, 2)

    with pytest.raises(AudienceFrozen), database.transaction() as session:
        audience.freeze(session, campaign, {}, now=NOON)
    with pytest.raises(DBAPIError, match="frozen"), database.transaction() as session:
        session.execute(delete(AudienceRow))


def test_a_campaign_for_nobody_is_frozen_too(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 1, segments=())
        campaign = books.campaign(session)

        assert books.launched(session, campaign) == Frozen(0, 0, 0, 0)
