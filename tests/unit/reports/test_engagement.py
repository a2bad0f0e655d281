"""What people did with an issue always equals a recount of their events."""

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId
from mailer.delivery.models import AudienceRow
from mailer.kit.database import Database
from mailer.reports import actions as reports
from mailer.reports.models import RollupRow
from mailer.tracking import queries as tracking
from mailer.tracking.machines import Verdict
from mailer.tracking.models import EventReviewRow, EventRow, RecentHitRow
from subscribers import actions as subscribers
from subscribers import engaging, queries
from subscribers.models import EngagementRow, SentIssueRow
from subscribers.subscriber import SubscriberId
from tests.unit.tracking.scene import FIREFOX, ISSUE, NOON, SEGMENTS, Person, Scene, sent

READERS = (
    Person("Ada", SEGMENTS),
    Person("Ben", ("ai", "luxury"), domain="bank.example"),
    Person("Cleo", ("ai",), domain="bank.example"),
    Person("Dan", ("ai",), tracking=2),
    Person("Gil", ("ai",), domain="bank.example"),
)
STORIES = ("carts", "models", "watches", "bridge", "chips")
GOOGLE = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
Row = tuple[int, int, int, datetime]


def projected(scene: Scene) -> set[Row]:
    with scene.database.reading() as session:
        rows = session.scalars(select(EngagementRow))
        return {(row.act, row.segment_id, row.subscriber_id, row.at) for row in rows}


def recounted(scene: Scene, *campaigns_: CampaignId) -> set[Row]:
    """The same, straight from the events and the issue."""
    about = {item.id: item.segments for section in ISSUE.sections for item in section.items}
    first: dict[tuple[int, int, int], datetime] = {}
    with scene.database.reading() as session:
        numbers = {each.key: each.id for each in queries.segments(session)}
        people = list(scene.people.values())
        pairs = [(c, person) for c in campaigns_ or (scene.campaign,) for person in people]
        allowed = {person: queries.tracking(session, person) for person in people}
        for events in tracking.events(session, pairs).values():
            for event in events:
                act = {"open": 1, "click": 2}.get(event.kind, 0)
                bits = allowed[SubscriberId(event.subscriber)]
                if event.verdict is Verdict.MACHINE or not bits & act:
                    continue
                keys = about.get(event.item, ()) if act == 2 else ()
                for segment in (0, *(numbers[key] for key in keys)):
                    deed = (act, segment, event.subscriber)
                    first[deed] = min(event.at, first.get(deed, event.at))
    return {(*deed, at) for deed, at in first.items()}


def acts(scene: Scene, who: str) -> set[tuple[int, int]]:
    return {(row[0], row[1]) for row in projected(scene) if row[2] == scene.people[who]}


def numbers(scene: Scene) -> dict[str, int]:
    with scene.database.reading() as session:
        return {each.key: each.id for each in queries.segments(session)}


def test_an_open_and_a_click_are_kept_with_the_segments_of_the_item(database: Database) -> None:
    scene = sent(database)
    segments = numbers(scene)

    scene.load(scene.hit("Ada"), scene.hit("Ada", "chips"), scene.hit("Ben", "bridge"))

    assert acts(scene, "Ada") == {(1, 0), (2, 0), (2, segments["ai"]), (2, segments["luxury"])}
    assert acts(scene, "Ben") == {(2, 0)}  # a story for everybody is no segment's


def test_the_first_time_counts_whatever_is_loaded_first(database: Database) -> None:
    scene = sent(database)
    scene.load(scene.hit("Ada", after=7200))

    scene.load(scene.hit("Ada", after=3600))

    assert {row[3] for row in projected(scene)} == {NOON + timedelta(hours=1)}


def test_a_scanner_found_out_later_leaves_no_click(database: Database) -> None:
    scene = sent(database)
    scene.load(scene.hit("Ada", "models", after=100))
    assert acts(scene, "Ada")

    scene.load(*(scene.hit("Ada", story, after=100 + n / 4) for n, story in enumerate(STORIES)))

    assert acts(scene, "Ada") == set()


def test_a_doubtful_open_counts_and_a_machines_does_not(database: Database) -> None:
    scene = sent(database)

    scene.load(scene.hit("Ada", agent=GOOGLE), scene.hit("Ben", agent=""))

    assert acts(scene, "Ada") == {(1, 0)}
    assert acts(scene, "Ben") == set()


def test_withdrawn_consent_takes_its_acts_away_and_old_events_do_not_bring_them_back(
    database: Database,
) -> None:
    scene = sent(database)
    scene.load(scene.hit("Ada"), scene.hit("Ada", "bridge"))
    with database.transaction() as session:
        subscribers.set_tracking(session, scene.people["Ada"], 2, now=NOON, source="test")
    assert acts(scene, "Ada") == {(2, 0)}

    scene.load(scene.hit("Ada", "bridge", after=9000))

    assert acts(scene, "Ada") == {(2, 0)}


def test_leaving_keeps_what_was_done_and_erasure_takes_it(database: Database) -> None:
    scene = sent(database)
    scene.load(scene.hit("Ada"), scene.hit("Ben"))
    with database.transaction() as session:
        for who in ("Ada", "Ben"):
            reports.unsubscribe(
                session,
                scene.people[who],
                campaign=scene.campaign,
                segments=None,
                now=NOON,
                source="link",
            )
        subscribers.erase(session, scene.people["Ben"], now=NOON, source="test")

    assert acts(scene, "Ada") == {(1, 0)}
    assert acts(scene, "Ben") == set()


def test_campaigns_of_one_issue_are_one_issue(database: Database) -> None:
    scene = sent(database)
    again = another_campaign(scene, "Ada")
    first = scene.hit("Ada", after=7200)
    scene.load(first)
    scene.campaign, before = again, scene.campaign

    scene.load(scene.hit("Ada", after=3600), scene.hit("Ada", "models", after=9000))

    assert {row[3] for row in projected(scene) if row[0] == 1} == {NOON + timedelta(hours=1)}
    assert projected(scene) == recounted(scene, before, again)


def another_campaign(scene: Scene, who: str) -> CampaignId:
    """The same issue to one reader once more, as one campaign per segment would send it."""
    with scene.database.transaction() as session:
        issue = campaign_queries.campaign(session, scene.campaign).issue
        (campaign,) = campaigns.create(
            session,
            issue,
            segments=SEGMENTS,
            sender=campaigns.Sender("The Digital Gazette", "news@dibao.example"),
            now=NOON,
        )
        campaigns.launch(session, campaign, now=NOON)
        made = scene.editions[scene.people[who]]
        edition = campaigns.add_edition(
            session,
            campaign,
            mask=7,
            segments=SEGMENTS,
            tracking=3,
            artifact=made.dumps(),
            sha256=made.sha256,
            sizes=(1, 1),
            now=NOON,
        )
        session.add(
            AudienceRow(
                campaign_id=campaign,
                subscriber_id=scene.people[who],
                address_key="f" * 32,
                edition_id=edition,
                lane="x",
                batch=1,
                position=1,
            )
        )
    return campaign


def test_an_issue_is_sent_when_its_first_campaign_starts(database: Database) -> None:
    with database.transaction() as session:
        engaging.issue_sent(session, 7, NOON)
        engaging.issue_sent(session, 7, NOON + timedelta(hours=1))
        engaging.issue_sent(session, 8, NOON)
        sent_at = {row.issue_id: row.sent_at for row in session.scalars(select(SentIssueRow))}

    assert sent_at == {7: NOON, 8: NOON}


def test_what_was_done_before_a_moment_can_go(database: Database) -> None:
    scene = sent(database)
    scene.load(scene.hit("Ada", after=60), scene.hit("Ben", after=7200))

    with database.transaction() as session:
        moment = NOON + timedelta(hours=1)
        (issue,) = engaging.issues_before(session, moment)
        assert engaging.issues_before(session, NOON) == ()
        assert engaging.forget_before(session, issue + 1, moment) == 0
        assert engaging.forget_before(session, issue, moment) == 1

    assert acts(scene, "Ada") == set()


HITS = st.tuples(
    st.sampled_from([reader.name for reader in READERS]),
    st.sampled_from(["", "", *STORIES]),
    st.sampled_from([0.5, 3, 8, 3600, 3601, 3602, 3603, 3650, 9000]),  # bursts, and alone
    st.sampled_from(["", GOOGLE, FIREFOX, FIREFOX]),
)


@pytest.fixture
def scene(database: Database) -> Scene:
    return sent(database, READERS)


def can_read(scene: Scene, who: str, item: str) -> bool:
    return any(link.item == item for link in scene.editions[scene.people[who]].links)


def allow(scene: Scene, who: str, bits: int) -> None:
    with scene.database.transaction() as session:
        subscribers.set_tracking(session, scene.people[who], bits, now=NOON, source="test")


@given(loads=st.lists(st.lists(HITS, max_size=12), max_size=5), bits=st.integers(0, 3))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_loads_and_reviews_the_projection_equals_a_recount(
    scene: Scene, loads: list[list[tuple[str, str, float, str]]], bits: int
) -> None:
    with scene.database.transaction() as session:
        for table in (RecentHitRow, EventReviewRow, EventRow, EngagementRow, RollupRow):
            session.execute(delete(table))
    allow(scene, "Cleo", 3)
    for load in loads:
        scene.load(
            *(
                scene.hit(who, item, after=after, agent=agent, network="office")
                for who, item, after, agent in load
                if not item or can_read(scene, who, item)
            )
        )
    allow(scene, "Cleo", bits)

    assert projected(scene) == recounted(scene)
