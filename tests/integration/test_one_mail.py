"""Whoever follows whatever gets one mail with each story once, in the order of the issue."""

from datetime import UTC, datetime
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, EditionId
from mailer.content import actions as content
from mailer.content.issue import Issue, Item, Publication, Section
from mailer.delivery import audience
from mailer.delivery import queries as delivery
from mailer.kit.database import Database
from mailer.rendering.edition import loads
from mailer.rendering.render import render
from subscribers import actions as subscribers
from subscribers import bulk
from subscribers.address import EmailAddress
from subscribers.segment import NewSegment
from subscribers.subscriber import NewPerson

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUSE = Publication(name="The Digital Gazette", from_address="news@example.com")
SENDER = campaigns.Sender("The Digital Gazette", "news@example.com")
RUN = count()  # segments of each example are its own, so that examples do not mix

sets = st.frozensets(st.integers(0, 2), min_size=1)


def stories(tagged: list[frozenset[int]], keys: tuple[str, ...]) -> Issue:
    items = tuple(
        Item(f"story-{n}", f"Story-{n}-ends", "Text.", segments=tuple(keys[s] for s in sorted(of)))
        for n, of in enumerate(tagged)
    )
    return Issue(title="Weekly", slug=f"weekly-{keys[0]}", sections=(Section(items=items),))


def frozen(database: Database, issue: Issue, keys: tuple[str, ...]) -> CampaignId:
    with database.transaction() as session:
        number = content.save(session, issue, now=NOON)
        content.approve(session, number, now=NOON)
        (campaign,) = campaigns.create(session, number, segments=keys, sender=SENDER, now=NOON)
        campaigns.launch(session, campaign, now=NOON)
        editions: dict[tuple[int, int], EditionId | None] = {}
        for mask, level, _ in delivery.needed(session, campaign, now=NOON):
            followed = tuple(key for n, key in enumerate(keys) if mask >> n & 1)
            editions[mask, level] = None
            if issue.items and not issue.for_segments(followed).items:
                continue
            edition = render(
                issue, HOUSE, followed=followed, tracking=level, public_url="https://example.com"
            )
            editions[mask, level] = campaigns.add_edition(
                session,
                campaign,
                mask=mask,
                segments=followed,
                tracking=level,
                artifact=edition.dumps(),
                sha256=edition.sha256,
                sizes=(edition.html_bytes, edition.text_bytes),
                now=NOON,
            )
        audience.freeze(session, campaign, editions, now=NOON)
    return campaign


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(follows=st.lists(sets, min_size=1, max_size=9), tagged=st.lists(sets, max_size=7))
def test_each_person_gets_the_union_of_what_they_follow_once_and_in_order(
    sqlite_database: Database, follows: list[frozenset[int]], tagged: list[frozenset[int]]
) -> None:
    run = next(RUN)
    keys = tuple(f"s{run}-{n}" for n in range(3))
    people = {f"reader.{run}.{n}@example.com": of for n, of in enumerate(follows)}
    with sqlite_database.transaction() as session:
        subscribers.ensure_segments(session, [NewSegment(key, key) for key in keys])
        new = [
            NewPerson(EmailAddress.parse(a), segments=tuple(keys[s] for s in sorted(of)))
            for a, of in people.items()
        ]
        bulk.add_confirmed(
            session, new, now=NOON, key=b"key", source="test", wording="I want to read this."
        )

    campaign = frozen(sqlite_database, stories(tagged, keys), keys)

    with sqlite_database.reading() as session:
        lines = list(delivery.ledger_lines(session, campaign))
        texts = {
            stored.id: loads(stored.artifact).text
            for stored in campaign_queries.editions(session, campaign)
        }
    assert len(lines) == len(people), "one mail per person"
    assert len(texts) <= len(set(follows)), "one edition per set of segments, not per person"
    for line, of in zip(lines, people.values(), strict=True):
        wanted = [n for n, tags in enumerate(tagged) if tags & of]
        if tagged and not wanted:
            assert (line.outcome, line.reason) == ("excluded", audience.NOTHING)
            continue
        assert line.edition is not None
        text = texts[EditionId(line.edition)]
        assert [text.count(f"Story-{n}-ends") for n in range(len(tagged))] == [
            int(n in wanted) for n in range(len(tagged))
        ]
        assert wanted == sorted(wanted, key=lambda n: text.index(f"Story-{n}-ends"))
