"""The parts of a campaign add up to what a look at every single person says."""

import random
from collections import Counter

import pytest
from sqlalchemy import insert, select

from mailer.delivery import resolutions, sums
from mailer.delivery.ledger import OUTCOMES
from mailer.delivery.models import (
    AttemptRow,
    AudienceRow,
    BatchRow,
    DeliveryRow,
    ResolutionRow,
)
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import NOON


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_parts_are_what_each_person_says(database: Database, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  # the same campaign every time
    with database.transaction() as session:
        books.people(session, 30, domain="gmail.com")
        books.people(session, 20, first=31, segments=books.SEGMENTS)
        books.people(session, 10, first=51, state="pending")
        campaign = books.campaign(session)
        books.launched(session, campaign, batch_size=7)
        rows = session.scalars(
            select(AudienceRow).where(
                AudienceRow.campaign_id == campaign, AudienceRow.excluded.is_(None)
            )
        ).all()
        batches = {
            row.number: row
            for row in session.scalars(select(BatchRow).where(BatchRow.campaign_id == campaign))
        }
        people, put_off = Counter[tuple[int, str, str]](), Counter[tuple[int, str, str]]()
        later = len(batches)
        for row in rows:
            assert row.edition_id is not None
            assert row.lane is not None
            assert row.batch is not None
            outcome = dice.choice(("", *OUTCOMES))
            learnt = dice.choice(("", *resolutions.OUTCOMES)) if outcome == "uncertain" else ""
            counts_as = learnt if learnt in resolutions.FACTS else outcome
            place = (row.edition_id, row.lane, counts_as)
            people[place] += 1
            number: int | None = row.batch
            if tries := dice.choice((0, 0, 1, 2)):
                put_off[place] += 1
                later += 1
                number = later
                mine = batches[row.batch]
                session.execute(
                    insert(BatchRow).values(
                        campaign_id=campaign,
                        number=later,
                        edition_id=mine.edition_id,
                        lane=mine.lane,
                        attempt=2,
                        not_before=NOON,
                        size=1,
                    )
                )
            for one in range(1, tries + 1):
                session.execute(
                    insert(AttemptRow).values(
                        campaign_id=campaign,
                        subscriber_id=row.subscriber_id,
                        number=one,
                        at=NOON,
                        first_tried=NOON,
                        batch=later,
                        position=1,
                    )
                )
            if outcome:
                session.execute(
                    insert(DeliveryRow).values(
                        campaign_id=campaign,
                        subscriber_id=row.subscriber_id,
                        outcome=outcome,
                        batch=None if outcome == "skipped" else number,
                        at=NOON,
                    )
                )
            if learnt:
                told = {"evidence": "seen", "actor": "ada", "at": NOON}
                session.execute(
                    insert(ResolutionRow).values(
                        campaign_id=campaign,
                        subscriber_id=row.subscriber_id,
                        number=1,
                        outcome=learnt,
                        **told,
                    )
                )
        found = sums.parts(session, campaign)

    assert {(p.edition, p.lane, p.outcome): p.people for p in found} == dict(people)
    assert {(p.edition, p.lane, p.outcome): p.put_off for p in found if p.put_off} == dict(put_off)


def test_before_the_freeze_there_are_no_parts(database: Database) -> None:
    with database.transaction() as session:
        campaign = books.campaign(session)

        assert sums.parts(session, campaign) == ()
