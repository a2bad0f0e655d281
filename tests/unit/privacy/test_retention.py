"""What is over goes, class by class, in steps, and once a night; counts stay."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from mailer.delivery.models import AttemptRow, DeliveryRow
from mailer.kit.database import Base, Database
from mailer.kit.settings import Settings
from mailer.privacy import retention
from mailer.privacy.retention import Kind
from mailer.tracking.models import EventReviewRow, EventRow
from subscribers import actions
from subscribers import queries as subscribers
from subscribers.address import EmailAddress, address_key
from subscribers.models import (
    ConsentNetworkRow,
    ConsentRow,
    EngagementRow,
    ExportRow,
    SubscriberRow,
)
from subscribers.outtake.asked import Asked
from subscribers.outtake.export import Place, people_to_file
from subscribers.subscriber import State, SubscriberId
from tests.unit.tracking.scene import KEY, NOON, Person, Scene, sent

CAST = (Person("Ada", ("ai",)), Person("Ben", ("ai",)))


@pytest.fixture
def scene(database: Database) -> Scene:
    return sent(database, CAST)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "var")


def run(scene: Scene, settings: Settings, **after: float) -> dict[Kind, int]:
    now = NOON + timedelta(**after)
    promised = retention.look(scene.database, settings, now)
    done = retention.run(scene.database, settings, now)
    assert done == promised, "the dry run says what a run does"
    return {part.kind: part.found for part in done if part.found}


def rows(scene: Scene, table: type[Base]) -> int:
    with scene.database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def pending(scene: Scene, name: str, at: datetime) -> SubscriberId:
    with scene.database.transaction() as session:
        return actions.subscribe(
            session,
            EmailAddress.parse(f"{name}@readers.example"),
            key=KEY,
            name=name.title(),
            segments=("ai",),
            source="form",
            wording="Yes.",
            now=at,
        )


def test_nothing_that_is_young_goes(scene: Scene, settings: Settings) -> None:
    scene.load(scene.hit("Ada"), scene.hit("Ben", "models"))
    pending(scene, "cleo", NOON)

    assert run(scene, settings, days=6) == {}


def test_events_go_after_thirteen_months_and_their_counts_stay(
    scene: Scene, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    new = scene.load(
        scene.hit("Ada"),
        scene.hit("Ada", "models", after=3601),
        scene.hit("Ben", "models"),
        scene.hit("Ben", "models", after=3600 * 24 * 300),
    )
    with scene.database.transaction() as session:
        review = {"number": 9, "verdict": "machine", "reason": ""}
        session.execute(insert(EventReviewRow), [review | {"event_id": new[0].id}])
        session.execute(Base.metadata.tables["engagement"].delete())
        for issue, day in ((1, 0), (2, 300)):
            at = NOON + timedelta(days=day)
            session.add(
                EngagementRow(
                    issue_id=issue, act=1, segment_id=0, subscriber_id=scene.people["Ada"], at=at
                )
            )
    counts = scene.rollup()

    assert run(scene, settings, days=397) == {Kind.EVENTS: 3, Kind.ENGAGEMENT: 1}
    assert (rows(scene, EventRow), rows(scene, EngagementRow)) == (1, 1)
    assert scene.rollup() == counts
    assert run(scene, settings, days=397) == {}


def test_replies_are_emptied_and_what_became_of_the_letter_stays(
    scene: Scene, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 1)
    eve = {"campaign_id": scene.campaign, "subscriber_id": 77, "at": NOON}
    with scene.database.transaction() as session:
        for number in (77, 78, 79):
            row = {**eve, "subscriber_id": number, "outcome": "accepted", "code": 250}
            session.add(DeliveryRow(**row, reply="queued as 7431"))
        session.add(
            AttemptRow(**eve, number=1, reply="not now", first_tried=NOON, batch=1, position=1)
        )

    assert run(scene, settings, days=89) == {}
    assert run(scene, settings, days=91) == {Kind.REPLIES: 4}
    assert run(scene, settings, days=92) == {}
    with scene.database.reading() as session:
        stored = session.scalars(select(DeliveryRow).where(DeliveryRow.subscriber_id == 78)).one()
    assert (stored.reply, stored.code, stored.outcome) == ("", 250, "accepted")


def test_a_campaign_whose_replies_are_gone_is_not_read_again(
    scene: Scene, settings: Settings
) -> None:
    run(scene, settings, days=91)
    with scene.database.transaction() as session:
        campaign = Base.metadata.tables["campaign"]
        session.execute(update(campaign).values(finished_at=NOON - timedelta(days=3)))
        session.add(
            DeliveryRow(
                campaign_id=scene.campaign,
                subscriber_id=77,
                at=NOON - timedelta(days=3),
                outcome="refused",
                reply="as if a run had left it",
            )
        )

    done = retention.run(scene.database, settings, NOON + timedelta(days=92))

    assert next(part.found for part in done if part.kind is Kind.REPLIES) == 0


def test_who_never_confirmed_goes_without_a_trace_to_know_them_by(
    scene: Scene, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PEOPLE", 1)
    cleo, dan = pending(scene, "cleo", NOON), pending(scene, "dan", NOON)
    late = pending(scene, "late", NOON + timedelta(days=6))
    asked_again = pending(scene, "again", NOON)
    pending(scene, "again", NOON + timedelta(days=5))

    assert run(scene, settings, days=8) == {Kind.UNCONFIRMED: 2}

    key = address_key(KEY, EmailAddress.parse("cleo@readers.example"))
    with scene.database.reading() as session:
        for gone in (cleo, dan):
            person = subscribers.subscriber(session, gone)
            assert (person.state, person.address, person.name) == (State.ERASED, "", "")
            assert subscribers.following(session, gone) == ()
            acts = [entry.act.value for entry in subscribers.history(session, gone)]
            assert acts == ["subscribed", "erased"]
        assert subscribers.by_key(session, key) is None
        assert subscribers.suppression(session, key) is None
        for there in (late, asked_again, scene.people["Ada"]):
            assert subscribers.subscriber(session, there).address
    assert pending(scene, "cleo", NOON + timedelta(days=9)) != cleo, "back, as a stranger"


def test_networks_go_after_thirty_days_and_the_consent_stays(
    scene: Scene, settings: Settings
) -> None:
    with scene.database.transaction() as session:
        for consent in session.scalars(select(ConsentRow.id)).all():
            session.add(ConsentNetworkRow(consent_id=consent, network="192.0.2.0/24", at=NOON))
    before = rows(scene, ConsentRow)

    assert run(scene, settings, days=31) == {Kind.NETWORKS: 2}
    assert rows(scene, ConsentRow) == before


def test_settled_notices_go(scene: Scene, settings: Settings) -> None:
    table = Base.metadata.tables["notice"]
    same = {"kind": "confirm", "subscriber_id": 1, "address_key": "a", "budget_key": "b"}
    same |= {"created_at": NOON, "not_before": NOON, "doubtful": False, "attempt": 0, "epoch": 0}
    with scene.database.transaction() as session:
        for outcome, at in (("sent", NOON), ("", None), ("sent", NOON + timedelta(days=80))):
            session.execute(insert(table), [same | {"outcome": outcome, "sent_at": at}])

    assert run(scene, settings, days=91)[Kind.NOTICES] == 1


def test_files_of_exports_go_after_a_day_and_the_audit_after_two_years(
    scene: Scene, settings: Settings, database: Database
) -> None:
    place = Place(settings.data_dir, timedelta(hours=24))
    _, path = people_to_file(database, Asked(), place, actor="test", now=NOON)
    left = path.parent / ".unfinished-killed"
    left.mkdir()
    (left / "people.csv").write_text("half")
    long_ago = NOON.timestamp() - 7200
    os.utime(left, (long_ago, long_ago))

    assert run(scene, settings, hours=2) == {Kind.EXPORTS: 1}
    assert (path.exists(), left.exists()) == (True, False)
    assert run(scene, settings, hours=25) == {Kind.EXPORTS: 1}
    assert not path.exists()
    assert run(scene, settings, days=730) == {}
    assert run(scene, settings, days=731) == {Kind.AUDIT: 1}
    assert rows(scene, ExportRow) == 0


def test_the_night_comes_once_and_a_run_by_hand_counts_as_one(
    scene: Scene, settings: Settings
) -> None:
    def is_due(hours: float) -> bool:
        with scene.database.transaction() as session:
            return retention.is_due(session, NOON + timedelta(hours=hours))

    assert [is_due(hours) for hours in (0, 1, 19, 21)] == [True, False, False, True]
    retention.run(scene.database, settings, NOON + timedelta(hours=50))
    assert not is_due(60)


def test_what_went_is_counted_and_reported_step_by_step(
    scene: Scene, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 1)
    scene.load(scene.hit("Ada"), scene.hit("Ben"))
    with scene.database.transaction() as session:
        session.execute(Base.metadata.tables["engagement"].delete())
    told: list[tuple[Kind, int]] = []

    retention.run(
        scene.database,
        settings,
        NOON + timedelta(days=400),
        lambda kind, gone: told.append((kind, gone)),
    )

    assert [step for step in told if step[0] is Kind.EVENTS] == [(Kind.EVENTS, 1), (Kind.EVENTS, 2)]
    assert rows(scene, SubscriberRow) == 2
