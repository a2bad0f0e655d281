"""Hits become events once each, of those who allow it, judged together with their company."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mailer.delivery.models import DeliveryRow, ResolutionRow
from mailer.kit.database import Database
from mailer.tracking import actions, machines, queries
from mailer.tracking.machines import Verdict
from mailer.tracking.models import RecentHitRow
from mailer.tracking.spool import Hit
from subscribers import actions as subscribers
from tests.unit.tracking.scene import CAST, NOON, Person, sent


def verdicts(scene_events: tuple[object, ...]) -> list[str]:
    return [str(getattr(event, "verdict")) for event in scene_events]  # noqa: B009


def test_a_click_is_stored_with_its_item_and_slot_and_a_short_family(database: Database) -> None:
    scene = sent(database)

    (event,) = scene.load(scene.hit("Ada", "models", slot="source"))

    (row,) = scene.stored()
    assert (event.item, event.slot, event.verdict) == ("models", "source", Verdict.PERSON)
    assert (row.agent, row.family, row.tracked) == ("browser", "Firefox", True)


def test_loading_the_same_hits_twice_adds_nothing(database: Database) -> None:
    scene = sent(database)
    hits = (scene.hit("Ada"), scene.hit("Ada", "models"), scene.hit("Ben"))
    scene.load(*hits)
    before = scene.stored(), scene.rollup()

    assert scene.load(*hits) == ()
    assert [row.id for row in scene.stored()] == [row.id for row in before[0]]
    assert scene.rollup() == before[1]


def test_nothing_is_stored_of_who_does_not_allow_it(database: Database) -> None:
    scene = sent(database)

    assert scene.load(scene.hit("Dan")) == ()
    assert scene.stored() == []


def test_consent_withdrawn_after_sending_stops_the_storing(database: Database) -> None:
    scene = sent(database)
    with database.transaction() as session:
        subscribers.set_tracking(session, scene.people["Ada"], 2, now=NOON, source="test")

    (event,) = scene.load(scene.hit("Ada"), scene.hit("Ada", "models"))

    assert event.kind == "click"


def test_nothing_is_stored_of_somebody_erased(database: Database) -> None:
    scene = sent(database)
    with database.transaction() as session:
        subscribers.erase(session, scene.people["Ada"], now=NOON, source="test")

    assert scene.load(scene.hit("Ada"), scene.hit("Ada", "models")) == ()


def test_hits_of_no_letter_and_no_link_are_dropped(database: Database) -> None:
    scene = sent(database)
    ada = scene.people["Ada"]
    strange = (
        Hit("click", scene.campaign, ada, NOON, link=999),
        Hit("open", scene.campaign + 7, ada, NOON),
        Hit("open", scene.campaign, ada + 999, NOON),
        Hit("dance", scene.campaign, ada, NOON),
    )

    assert scene.load(*strange) == ()


def test_three_links_in_two_seconds_are_a_machine(database: Database) -> None:
    scene = sent(database)
    burst = [
        scene.hit("Ada", item, after=600 + n * 0.9)
        for n, item in enumerate(("carts", "models", "watches"))
    ]

    assert verdicts(scene.load(*burst)) == ["machine"] * 3


def test_a_burst_cut_in_two_by_loading_is_seen_all_the_same(database: Database) -> None:
    scene = sent(database)
    first = [scene.hit("Ada", "carts", after=600), scene.hit("Ada", "models", after=600.4)]
    assert verdicts(scene.load(*first)) == ["person", "person"]

    events = scene.load(scene.hit("Ada", "watches", after=601))

    assert verdicts(events) == ["machine"] * 3
    assert [event.before for event in events] == [None, Verdict.PERSON, Verdict.PERSON]
    people = [row for row in scene.rollup() if row[4] == "person"]
    assert people == []


def test_a_sweep_over_nearly_all_links_is_a_machine_however_slow(database: Database) -> None:
    scene = sent(database)
    links = scene.editions[scene.people["Ada"]].links
    hits = [
        Hit(
            "click",
            scene.campaign,
            scene.people["Ada"],
            NOON + timedelta(seconds=60 + 30 * n),
            link=link.number,
            agent=scene.hit("Ada").agent,
        )
        for n, link in enumerate(link for link in links if link.tracked)
    ]

    assert set(verdicts(scene.load(*hits))) == {"machine"}


@pytest.mark.parametrize(
    ("after", "verdict"), [(-1, "machine"), (1.9, "machine"), (9, "unsure"), (11, "person")]
)
def test_a_click_soon_after_acceptance_is_doubted(
    database: Database, after: float, verdict: str
) -> None:
    scene = sent(database)

    assert verdicts(scene.load(scene.hit("Ada", "models", after=after))) == [verdict]


def test_a_click_before_its_acceptance_was_recorded_is_judged_again(database: Database) -> None:
    scene = sent(database)
    assert verdicts(scene.load(scene.hit("Fay", "watches"))) == ["unsure"]
    with database.transaction() as session:
        fay = scene.people["Fay"]
        session.add(
            DeliveryRow(campaign_id=scene.campaign, subscriber_id=fay, outcome="accepted", at=NOON)
        )

    events = scene.load(scene.hit("Ada"))

    assert {(event.subscriber, event.verdict) for event in events} == {
        (scene.people["Ada"], Verdict.PERSON),
        (scene.people["Fay"], Verdict.PERSON),
    }


@pytest.mark.parametrize(
    ("pause", "domain", "verdict"),
    [(2, "bank.example", "machine"), (9, "bank.example", "unsure"), (2, "gmail.com", "person")],
)
def test_one_network_that_reads_for_a_whole_domain_is_doubted(
    database: Database, pause: float, domain: str, verdict: str
) -> None:
    cast = tuple(Person(f"Reader{n}", ("ai",), domain=domain) for n in range(5))
    scene = sent(database, cast)

    crowd = scene.load(
        *(
            scene.hit(one.name, "models", after=60 + n * pause, network="net")
            for n, one in enumerate(cast)
        )
    )

    assert verdicts(crowd) == [verdict] * 5


def test_a_crowd_is_one_however_its_hits_are_loaded(database: Database) -> None:
    cast = tuple(Person(f"Reader{n}", ("ai",), domain="bank.example") for n in range(5))
    scene = sent(database, cast)

    for n, one in enumerate(cast):
        scene.load(scene.hit(one.name, "models", after=60 + n, network="net"))

    with database.reading() as session:
        pairs = {(scene.campaign, number) for number in scene.people.values()}
        now = [event for some in queries.events(session, pairs).values() for event in some]
    assert verdicts(tuple(now)) == ["machine"] * 5


def test_strangers_behind_the_proxy_of_a_provider_are_not_looked_at_again(
    database: Database,
) -> None:
    readers = tuple(Person(f"Reader{n}", ("ai",), domain="gmail.com") for n in range(9))
    bank = Person("Ada", ("ai",), domain="bank.example")
    scene = sent(database, (*readers, bank))
    for one in (*readers, bank):
        scene.load(scene.hit(one.name, network="proxy"))

    with database.reading() as session:
        names = {row.network for row in session.query(RecentHitRow)}
        (theirs,) = names - {""}
        seen = queries.remembered(session, {(scene.campaign, scene.people["Reader0"])}, [theirs])

    people = {each.event.subscriber for each in seen}
    assert people == {scene.people["Reader0"], scene.people["Ada"]}


def test_readers_of_one_office_over_an_hour_are_people(database: Database) -> None:
    cast = tuple(Person(f"Reader{n}", ("ai",), domain="bank.example") for n in range(4))
    scene = sent(database, cast)

    office = scene.load(
        *(
            scene.hit(one.name, "models", after=600 + n * 900, network="net")
            for n, one in enumerate(cast)
        )
    )

    assert verdicts(office) == ["person"] * 4


def test_a_network_is_forgotten_after_a_quarter_of_an_hour(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = sent(database)
    scene.load(scene.hit("Ada", network="net"))
    with database.reading() as session:
        (before,) = [row.network for row in session.query(RecentHitRow)]
    monkeypatch.setattr(machines, "MEMORY", timedelta(seconds=-60))

    scene.load(scene.hit("Ben", network="other"))

    with database.reading() as session:
        (after,) = [row.network for row in session.query(RecentHitRow)]
    assert before != after


def test_a_reload_within_seconds_is_the_same_event(database: Database) -> None:
    scene = sent(database)

    scene.load(*(scene.hit("Ada", after=100 + n) for n in range(9)))

    assert len(scene.stored()) == 1


def test_a_flood_of_one_token_fills_no_table(database: Database) -> None:
    scene = sent(database)
    flood = [scene.hit("Ada", after=60 + n * 11) for n in range(actions.MOST + 50)]

    scene.load(*flood[:100])
    scene.load(*flood[100:])

    assert len(scene.stored()) == actions.MOST


def test_leaving_is_noted_once_with_the_segments_it_ended(database: Database) -> None:
    scene = sent(database)
    ben = scene.people["Ben"]
    for segments in (("ai",), ("ai",), ("ai", "luxury")):
        with database.transaction() as session:
            actions.unsubscribe(
                session, ben, campaign=scene.campaign, segments=segments, now=NOON, source="test"
            )

    assert [row.segments for row in scene.stored()] == ["ai", "luxury"]
    assert scene.following("Ben") == ()


def test_leaving_through_a_letter_there_is_not_works_and_leaves_no_event(
    database: Database,
) -> None:
    scene = sent(database)
    with database.transaction() as session:
        left = actions.unsubscribe(
            session, scene.people["Ben"], campaign=4711, segments=None, now=NOON, source="test"
        )

    assert (left.ended, left.left, left.events) == (("ai", "luxury"), (), ())


@pytest.mark.parametrize("table", ["event", "event_review"])
def test_events_never_change(database: Database, table: str) -> None:
    scene = sent(database)
    scene.load(scene.hit("Ada", "carts", after=600), scene.hit("Ada", "models", after=600.4))
    scene.load(scene.hit("Ada", "watches", after=601))

    with pytest.raises(DBAPIError, match="never changes"), database.transaction() as session:
        session.execute(text(f"UPDATE {table} SET verdict = 'person'"))  # noqa: S608


def test_the_cast_is_as_described() -> None:
    assert [one.name for one in CAST] == ["Ada", "Ben", "Cleo", "Dan", "Eve", "Fay"]


def test_an_unsubscribe_proves_that_an_uncertain_letter_arrived(database: Database) -> None:
    cast = (Person("Ada", ("ai",), outcome="uncertain"), Person("Ben", ("ai",)))
    scene = sent(database, cast)
    who: dict[str, Any] = {
        "campaign": scene.campaign,
        "segments": None,
        "now": NOON,
        "source": "test",
    }
    with database.transaction() as session:
        for name in ("Ada", "Ben", "Ada"):
            actions.unsubscribe(session, scene.people[name], **who)

        learnt = session.query(ResolutionRow).all()
        assert [(row.subscriber_id, row.outcome) for row in learnt] == [
            (scene.people["Ada"], "accepted")
        ]
