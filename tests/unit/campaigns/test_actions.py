"""Each move of a campaign is made once, from the right state, or refused with the reason."""

from datetime import UTC, datetime, timedelta

import pytest

from mailer.campaigns import actions, queries
from mailer.campaigns.campaign import (
    CampaignAlreadyLaunched,
    CampaignId,
    CampaignNotPaused,
    CampaignNotSending,
    CampaignOver,
    Mode,
    State,
)
from mailer.content import actions as content
from mailer.content.issue import Issue, IssueId, Item, Section
from mailer.kit.database import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SENDER = actions.Sender("The Digital Gazette", "news@example.com")
ITEM = Item("carts", "Carts", "Text.", segments=("e-commerce", "ai"))


def issue(database: Database, *, approved: bool = True) -> IssueId:
    with database.transaction() as session:
        written = Issue(title="Weekly", slug="weekly", sections=(Section(items=(ITEM,)),))
        number = content.save(session, written, now=NOON)
        if approved:
            content.approve(session, number, now=NOON)
    return number


def drafted(database: Database, mode: Mode = Mode.MERGED) -> tuple[CampaignId, ...]:
    number = issue(database)
    with database.transaction() as session:
        return actions.create(
            session, number, segments=("e-commerce", "ai"), sender=SENDER, now=NOON, mode=mode
        )


def state(database: Database, campaign: CampaignId) -> State:
    with database.reading() as session:
        return queries.campaign(session, campaign).state


def sending(database: Database) -> CampaignId:
    (campaign,) = drafted(database)
    with database.transaction() as session:
        actions.launch(session, campaign, now=NOON)
        actions.start(session, campaign, candidates=3, excluded=1, audience=2, now=NOON)
    return campaign


@pytest.mark.parametrize("mode", Mode)
def test_a_campaign_remembers_whom_to_leave_out(database: Database, mode: Mode) -> None:
    number = issue(database)
    with database.transaction() as session:
        for each in actions.create(
            session,
            number,
            segments=("e-commerce", "ai"),
            sender=SENDER,
            now=NOON,
            mode=mode,
            excluded_segments=("luxury", "lapsed", "luxury"),
        ):
            assert queries.campaign(session, each).excluded_segments == ("luxury", "lapsed")


@pytest.mark.parametrize(
    "excluded", [("ai",), ("luxury", "e-commerce"), tuple(f"s{n}" for n in range(17))]
)
def test_what_is_mailed_cannot_be_left_out(database: Database, excluded: tuple[str, ...]) -> None:
    number = issue(database)
    with pytest.raises(actions.SegmentExcluded), database.transaction() as session:
        actions.create(
            session,
            number,
            segments=("e-commerce", "ai"),
            sender=SENDER,
            now=NOON,
            excluded_segments=excluded,
        )


def test_a_campaign_needs_an_approved_issue(database: Database) -> None:
    number = issue(database, approved=False)
    refused = pytest.raises(content.IssueNotApproved, match="dibao issue approve")

    with refused, database.transaction() as session:
        actions.create(session, number, segments=("ai",), sender=SENDER, now=NOON)


def test_merged_mode_drafts_one_campaign_and_per_segment_mode_one_each(
    database: Database,
) -> None:
    assert len(drafted(database)) == 1
    with database.transaction() as session:
        each = actions.create(
            session,
            IssueId(1),
            segments=("e-commerce", "ai"),
            sender=SENDER,
            now=NOON,
            mode=Mode.PER_SEGMENT,
        )
        assert [queries.campaign(session, c).segments for c in each] == [("e-commerce",), ("ai",)]


def test_sending_twice_starts_once(database: Database) -> None:
    (campaign,) = drafted(database)
    with database.transaction() as session:
        actions.launch(session, campaign, now=NOON)

    with pytest.raises(CampaignAlreadyLaunched), database.transaction() as session:
        actions.launch(session, campaign, now=NOON)
    assert state(database, campaign) is State.PREPARING


def test_a_schedule_lies_in_the_future_and_says_its_zone(database: Database) -> None:
    (campaign,) = drafted(database)

    for moment in (NOON, NOON - timedelta(hours=1), datetime(2026, 11, 21, 9)):  # noqa: DTZ001
        with pytest.raises(actions.ScheduleInvalid), database.transaction() as session:
            actions.schedule(session, campaign, moment, now=NOON)
    with database.transaction() as session:
        actions.schedule(session, campaign, NOON + timedelta(hours=1), now=NOON)
    assert state(database, campaign) is State.SCHEDULED


def test_a_campaign_is_due_at_its_moment_and_missed_long_after(database: Database) -> None:
    (campaign,) = drafted(database)
    at = NOON + timedelta(hours=1)
    with database.transaction() as session:
        actions.schedule(session, campaign, at, now=NOON)
        assert queries.due(session, NOON) == ()
        assert queries.due(session, at) == (campaign,)
        assert not actions.miss(session, campaign, now=at)
        assert actions.miss(session, campaign, now=at + timedelta(hours=3))
    assert state(database, campaign) is State.MISSED


def test_pause_and_resume_follow_each_other(database: Database) -> None:
    campaign = sending(database)
    with database.transaction() as session:
        before = queries.stop_epoch(session, campaign)
        actions.pause(session, campaign)
        assert queries.stop_epoch(session, campaign) is None, "nobody sends a paused campaign"
    with pytest.raises(CampaignNotSending), database.transaction() as session:
        actions.pause(session, campaign)
    with database.transaction() as session:
        actions.resume(session, campaign)
        after = queries.stop_epoch(session, campaign)
    with pytest.raises(CampaignNotPaused), database.transaction() as session:
        actions.resume(session, campaign)
    assert before is not None
    assert after == before + 1, "workers of before the pause may not go on"


def test_what_is_cancelled_cannot_be_cancelled_again(database: Database) -> None:
    campaign = sending(database)
    with database.transaction() as session:
        actions.cancel(session, campaign, now=NOON)

    with pytest.raises(CampaignOver), database.transaction() as session:
        actions.cancel(session, campaign, now=NOON)


def test_an_audience_whose_sum_is_wrong_is_a_bug(database: Database) -> None:
    (campaign,) = drafted(database)
    with database.transaction() as session:
        actions.launch(session, campaign, now=NOON)
        with pytest.raises(ValueError, match="3 candidates"):
            actions.start(session, campaign, candidates=3, excluded=1, audience=1, now=NOON)


def test_an_unknown_campaign_says_so(database: Database) -> None:
    with (
        pytest.raises(queries.CampaignNotFound, match="no campaign 99"),
        database.transaction() as s,
    ):
        actions.pause(s, CampaignId(99))


def test_a_campaign_remembers_the_hours_it_may_be_sent_in(database: Database) -> None:
    number = issue(database)
    hours = "08:00-20:00"
    with database.transaction() as session:
        given = actions.create(
            session, number, segments=("ai",), sender=SENDER, now=NOON, send_window=hours
        )
        assert queries.campaign(session, given[0]).send_window == hours


def test_the_uncertain_of_a_campaign_are_counted_anew_once_it_is_finished(
    database: Database,
) -> None:
    (campaign,) = drafted(database)
    with database.transaction() as session:
        actions.launch(session, campaign, now=NOON)
        actions.start(session, campaign, candidates=0, excluded=0, audience=0, now=NOON)
        actions.recount(session, campaign, uncertain=3)
        assert queries.campaign(session, campaign).uncertain_count == 0
        actions.finish(session, campaign, uncertain=2, now=NOON)
        actions.recount(session, campaign, uncertain=1)
        assert queries.campaign(session, campaign).uncertain_count == 1
