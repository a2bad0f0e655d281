"""The most engaged come first, people of one clock go together, lanes are as the plan says."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId
from mailer.campaigns.models import CampaignRow
from mailer.delivery import audience
from mailer.delivery.audience import Frozen
from mailer.delivery.models import AudienceRow, BatchRow, MailDomainRow
from mailer.delivery.plan import Plan
from mailer.kit.database import Database
from subscribers.models import EngagementRow, SubscriberRow
from tests.fakes import books
from tests.fakes.books import NOON

OPENED, CLICKED = 1, 2


def plan(folder: Path, text: str) -> Plan:
    (folder / "delivery.toml").write_text(text, encoding="utf-8")
    return Plan.read(folder / "delivery.toml", url="smtp://relay.example", connections=20)


def did(session: Session, subscriber: int, act: int, days_ago: int, *, segment: int = 0) -> None:
    values = {"issue_id": days_ago + 1, "act": act, "segment_id": segment}
    at = NOON - timedelta(days=days_ago)
    session.execute(insert(EngagementRow).values(**values, subscriber_id=subscriber, at=at))


def live_in(session: Session, zone: str, people: Sequence[int]) -> None:
    rows = update(SubscriberRow).where(SubscriberRow.id.in_(people))
    session.execute(rows.values(timezone=zone))


def freeze(
    session: Session, *, window: str = "", batch_size: int = 1000, plan: Plan | None = None
) -> tuple[CampaignId, Frozen]:
    campaign = books.campaign(session)
    session.execute(update(CampaignRow).values(send_window=window))
    made = books.editions(session, campaign)
    frozen = audience.freeze(
        session, campaign, made, now=NOON, batch_size=batch_size, plan=plan, zone="Europe/Paris"
    )
    return campaign, frozen


def order(session: Session) -> list[int]:
    """Everybody as they would be sent to by one worker."""
    rows = (
        select(AudienceRow.subscriber_id)
        .join(
            BatchRow,
            (BatchRow.campaign_id == AudienceRow.campaign_id)
            & (BatchRow.number == AudienceRow.batch),
        )
        .order_by(BatchRow.not_before, BatchRow.wave, BatchRow.number, AudienceRow.position)
    )
    return list(session.scalars(rows))


def batches(session: Session) -> list[BatchRow]:
    return list(session.scalars(select(BatchRow).order_by(BatchRow.number)))


def lanes(session: Session) -> dict[int, str | None]:
    rows = session.execute(select(AudienceRow.subscriber_id, AudienceRow.lane))
    return {row[0]: row[1] for row in rows}


def test_who_clicked_last_comes_first_then_who_opened_last_then_the_rest(
    database: Database,
) -> None:
    with database.transaction() as session:
        books.people(session, 7)
        did(session, 2, OPENED, 1)
        did(session, 3, OPENED, 20)
        did(session, 3, CLICKED, 20)
        did(session, 5, CLICKED, 3)
        did(session, 6, OPENED, 9)
        did(session, 6, CLICKED, 300)  # long ago
        did(session, 7, CLICKED, 1, segment=4)  # of the item, not the act as such
        freeze(session)

        assert order(session) == [5, 3, 2, 6, 1, 4, 7]


def test_the_first_batches_of_all_groups_are_wave_0_and_go_first(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 5, domain="gmail.com")
        books.people(session, 3, first=11, domain="qq.com")
        did(session, 4, CLICKED, 1)
        did(session, 13, CLICKED, 1)
        freeze(session, batch_size=2)

        waves = [(batch.lane, batch.number, batch.wave) for batch in batches(session)]
        assert waves == [
            *(("gmail", 1, 0), ("gmail", 2, 1), ("gmail", 3, 2)),
            *(("qq", 4, 0), ("qq", 5, 1)),
        ]
        assert order(session) == [4, 1, 13, 11, 2, 3, 12, 5]


def test_clocks_are_told_apart_only_where_hours_count(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 6)
        live_in(session, "America/New_York", [1, 2])
        live_in(session, "Asia/Tokyo", [3])
        _, frozen = freeze(session)
        one = batches(session)

    assert frozen.batches == 1
    assert (one[0].zone, one[0].not_before) == ("", NOON)


def test_a_window_opens_for_each_clock_in_its_morning(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 8)
        live_in(session, "America/Los_Angeles", [1, 2])
        live_in(session, "Asia/Tokyo", [3])
        live_in(session, "Europe/Berlin", [4])  # the same clock as the publication's
        live_in(session, "Mars/Olympus", [5])
        live_in(session, "America/Vancouver", [6])  # and as in Los Angeles
        did(session, 6, CLICKED, 1)
        _, frozen = freeze(session, window="08:00-20:00", batch_size=10)

        found = {
            batch.zone: (batch.size, batch.wave, batch.not_before) for batch in batches(session)
        }
        assert frozen.batches == 3
        assert found == {
            "": (4, 0, NOON),  # 13:00 in Paris
            "America/Los_Angeles": (3, 0, datetime(2026, 3, 1, 16, tzinfo=UTC)),
            "Asia/Tokyo": (1, 0, datetime(2026, 3, 1, 23, tzinfo=UTC)),
        }
        assert order(session) == [4, 5, 7, 8, 6, 1, 2, 3]


def test_quiet_hours_keep_a_campaign_without_a_window_too(
    database: Database, tmp_path: Path
) -> None:
    with database.transaction() as session:
        books.people(session, 2)
        live_in(session, "Asia/Tokyo", [2])  # 21:00
        freeze(session, plan=plan(tmp_path, 'quiet_hours = "20:00-07:00"'))

        assert [(batch.zone, batch.not_before) for batch in batches(session)] == [
            ("", NOON),
            ("Asia/Tokyo", datetime(2026, 3, 1, 22, tzinfo=UTC)),
        ]


def test_the_plan_adds_domains_to_lanes_and_lanes_to_domains(
    database: Database, tmp_path: Path
) -> None:
    text = '[lane.yahoo]\ndomains = ["gmail.com"]\n[lane.orange]\ndomains = ["orange.example"]\n'
    with database.transaction() as session:
        for first, domain in enumerate(("gmail.com", "orange.example", "yahoo.fr", "a.example"), 1):
            books.people(session, 1, first=first, domain=domain)
        freeze(session, plan=plan(tmp_path, text))

        assert lanes(session) == {1: "yahoo", 2: "orange", 3: "yahoo", 4: "other"}


HOSTS = {
    "firm.example": "aspmx.l.google.com",
    "shop.example": "shop-example.mail.protection.outlook.com",
    "fake.example": "notgoogle.com",
    "none.example": "",
    "box.example": "mx.particular.google.com",
    "qq.com": "aspmx.l.google.com",  # the name comes first
}


@pytest.mark.parametrize("looked_up", [True, False])
def test_a_companys_domain_belongs_to_where_its_mail_goes(
    database: Database, tmp_path: Path, *, looked_up: bool
) -> None:
    text = '[lane.box]\nmx = ["particular.google.com"]\n' if looked_up else ""
    with database.transaction() as session:
        for first, (domain, host) in enumerate(HOSTS.items(), 1):
            books.people(session, 1, first=first, domain=domain)
            session.add(MailDomainRow(domain=domain, mx=host, looked_up_at=NOON))
        books.people(session, 1, first=7, domain="unknown.example")
        session.flush()
        whole = f"mx_lookup = {str(looked_up).lower()}\n{text}"
        freeze(session, plan=plan(tmp_path, whole))

        found = lanes(session)
    if looked_up:
        expected = ["gmail", "microsoft", "other", "other", "box", "qq", "other"]
    else:
        expected = [*["other"] * 5, "qq", "other"]
    assert [found[n] for n in range(1, 8)] == expected


def test_who_is_left_out_has_neither_lane_nor_place(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 2)
        books.people(session, 1, first=9, state="pending")
        live_in(session, "Asia/Tokyo", [9])
        _, frozen = freeze(session, window="08:00-20:00")

        row = session.scalars(select(AudienceRow).where(AudienceRow.subscriber_id == 9)).one()
        assert (row.lane, row.batch, row.excluded) == (None, None, "pending")
        assert frozen == Frozen(candidates=3, excluded=1, audience=2, batches=1)
