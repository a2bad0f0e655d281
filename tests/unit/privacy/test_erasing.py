"""An erased person is gone from every table and file, counts stay, and no backup brings them back.

Grace has done everything: she came by an import, changed her address, was written to, clicked, was
exported, and sits in the built-in inbox. Hugo beside her loses nothing.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import insert, select, text, update

from mailer.delivery.models import AttemptRow, DeliveryRow, ResolutionRow
from mailer.inbox.store import LetterNotFound, Store
from mailer.kit.database import Base, Database
from mailer.privacy import actions as privacy
from mailer.privacy import dossier, erasing, queries
from mailer.privacy.dossier import Dossier
from mailer.privacy.erasing import House, ReasonInvalid
from mailer.privacy.erasures import Log
from mailer.tracking.models import EventRow
from mailer.tracking.spool import Spool
from subscribers import actions
from subscribers import queries as subscribers
from subscribers.address import AddressInvalid, EmailAddress, address_key
from subscribers.models import (
    ConsentNetworkRow,
    ConsentRow,
    EngagementRow,
    FormerAddressRow,
    ImportedRow,
    ImportRow,
    SubscriberRow,
)
from subscribers.outtake.asked import Asked
from subscribers.outtake.export import Place, people_to_file
from subscribers.subscriber import State, SubscriberNotFound
from subscribers.suppression import Reason
from tests.unit.tracking.scene import KEY, NOON, Person, Scene, sent

GRACE = "grace.goldfinch.7431@readers.example"
FORMER = "g.goldfinch.former@readers.example"
NAME = "Zyxgoldfinch Hopper"
CAST = (Person("Grace.Goldfinch.7431", ("ai", "luxury")), Person("Hugo", ("ai",)))
LATER = NOON + timedelta(hours=2)


def hashed(address: str) -> str:
    return address_key(KEY, EmailAddress.parse(address))


@pytest.fixture
def scene(database: Database) -> Scene:
    return sent(database, CAST)


@pytest.fixture
def house(scene: Scene, tmp_path: Path) -> House:
    """Grace with something of hers in every table and file there is."""
    data_dir = tmp_path / "var"
    who = scene.people["Grace.Goldfinch.7431"]
    scene.load(
        scene.hit("Grace.Goldfinch.7431"),
        scene.hit("Grace.Goldfinch.7431", "models", after=3700),
        scene.hit("Hugo", "models"),
    )
    with scene.database.transaction() as session:
        session.execute(
            update(SubscriberRow)
            .where(SubscriberRow.id == who)
            .values(name=NAME, fields={"motto": NAME}, source=NAME)
        )
        session.add(FormerAddressRow(subscriber_id=who, address_key=hashed(FORMER), until=NOON))
        session.add(EngagementRow(issue_id=9, act=1, segment_id=0, subscriber_id=who, at=NOON))
        consent = session.scalars(
            select(ConsentRow.id).where(ConsentRow.subscriber_id == who)
        ).first()
        session.add(ConsentNetworkRow(consent_id=consent, network="192.0.2.0/24", at=NOON))
        session.add(
            ImportRow(
                id=1,
                file_name="fair.csv",
                fingerprint="f",
                plan={},
                state="finished",
                counts={"added": 2},
                started_at=NOON,
                updated_at=NOON,
            )
        )
        session.flush()
        session.add(ImportedRow(import_id=1, subscriber_id=who, before={"name": NAME}))
        place = {"campaign_id": scene.campaign, "subscriber_id": who, "number": 1, "at": NOON}
        session.add(
            AttemptRow(**place, reply=f"{NAME} is away", first_tried=NOON, batch=2, position=1)
        )
        session.add(
            ResolutionRow(**place, outcome="accepted", evidence=f"{NAME} called", actor="Wen")
        )
        actions.suppress(session, hashed(GRACE), Reason.BOUNCED, now=NOON, evidence=f"no {NAME}")
        actions.lift(session, hashed(GRACE), reason=f"{NAME} is back", now=NOON)
        for name, row in _notices(who).items():
            session.execute(insert(Base.metadata.tables[name]), [row])
    store = Store(data_dir / "inbox")
    for person in (GRACE.upper(), "hugo@readers.example", GRACE):
        store.add(
            b"Subject: Hello\r\n\r\nDear " + person.encode(),
            return_path="b@news.example",
            recipients=[person],
        )
    store.close()
    spool = Spool(data_dir / "spool")
    spool.append(scene.hit("Grace.Goldfinch.7431", "models", after=9000))
    spool.append(scene.hit("Hugo", "models", after=9000))
    return House(scene.database, data_dir, KEY)


def _notices(who: int) -> dict[str, dict[str, Any]]:
    """A notice, and an address just entered in the form, as far as there are such tables."""
    table = Base.metadata.tables.get("notice")
    if table is None:
        return {}
    notice = {"kind": "confirm", "subscriber_id": who, "address_key": hashed(GRACE)}
    wish = {"address": GRACE, "address_key": hashed(GRACE), "name": NAME, "segments": "ai"}
    return {
        "notice": notice
        | {"budget_key": "b" * 32, "created_at": NOON, "not_before": NOON, "reply": NAME}
        | {"attempt": 0, "doubtful": False, "epoch": 0, "outcome": "", "enhanced": ""},
        "wish": wish
        | {"budget_key": "b" * 32, "wording": "Yes.", "source": "form", "at": NOON}
        | {"tracking": 0, "language": "", "network": ""},
        "asking": {"budget_key": "b" * 32, "letters": 1, "last_at": NOON},
    }


def erase(house: House, who: str = GRACE, **changed: Any) -> erasing.Erased:
    return erasing.erase(
        house, who, now=changed.pop("now", LATER), reason="asked by letter", source="test"
    )


def dump(database: Database) -> str:
    """Every column of every row of every table, those of no model included."""
    found = []
    with database.reading() as session:
        if database.is_sqlite:
            names = (
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%search%'"
            )
        else:
            names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        for name in session.scalars(text(names)).all():
            rows = session.execute(text(f'SELECT * FROM "{name}"'))  # noqa: S608
            found += [f"{name}: {tuple(row)}" for row in rows]
    return "\n".join(found)


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def assert_gone(house: House, *words: str) -> None:
    everything = dump(house.database).casefold()
    for word in words:
        assert word.casefold() not in everything
        folders = [house.data_dir]
        if house.database.is_sqlite:
            folders.append(Path(house.database.engine.url.database or "").parent)
        for folder in folders:
            for path, content in files(folder):
                assert word.casefold().encode() not in content.lower(), path


def export(house: House, **asked: Any) -> Path:
    place = Place(house.data_dir, timedelta(hours=24))
    _, path = people_to_file(house.database, Asked(**asked), place, actor="test", now=NOON)
    return path


def test_nothing_in_database_or_files_names_an_erased_person(house: House) -> None:
    with_grace, without = export(house, part="goldfinch.7431"), export(house, part="hugo")
    names_only = export(house, columns=("id", "name"))
    refused = house.data_dir / "imports" / "refused.csv"
    refused.parent.mkdir()
    refused.write_text(f"line,reason,email\n7,no,{GRACE}\n")
    assert NAME in dump(house.database)

    done = erase(house)

    assert done.is_whole
    assert_gone(house, GRACE, NAME, "goldfinch")
    assert (done.letters, done.visits, len(done.exports)) == (2, 1, 2)
    assert [with_grace.exists(), names_only.exists(), without.exists()] == [False, False, True]
    assert (refused.exists(), done.files) == (False, (str(refused),))


def test_counts_stay_and_nobody_else_loses_anything(house: House, scene: Scene) -> None:
    rollup = scene.rollup()

    erase(house)

    hugo = scene.people["Hugo"]
    assert scene.rollup() == rollup
    assert {event.subscriber_id for event in scene.stored()} == {hugo}
    assert [entry.recipients for entry in Store(house.data_dir / "inbox").find().entries] == [
        ("hugo@readers.example",)
    ]
    assert [
        hit.subscriber for part in Spool(house.data_dir / "spool").ready() for hit in part.hits
    ] == [hugo]
    with house.database.reading() as session:
        assert session.scalar(select(DeliveryRow.outcome).where(DeliveryRow.subscriber_id != hugo))
        assert subscribers.subscriber(session, hugo).name == "Hugo"


def test_the_addresses_stay_unmailed_as_keyed_hashes(house: House, scene: Scene) -> None:
    erase(house)

    with house.database.reading() as session:
        for address in (GRACE, FORMER):
            found = subscribers.suppression(session, hashed(address))
            assert found is not None
            assert (found.reason, found.evidence) == (Reason.ERASED, "asked by letter")
        person = subscribers.subscriber(session, scene.people["Grace.Goldfinch.7431"])
    assert (person.state, person.address, person.name, person.source) == (State.ERASED, "", "", "")


def test_an_address_that_somebody_else_has_by_now_is_not_suppressed(house: House) -> None:
    with house.database.transaction() as session:
        actions.subscribe(
            session,
            EmailAddress.parse(FORMER),
            key=KEY,
            segments=("ai",),
            source="form",
            wording="Yes.",
            now=NOON,
        )

    erase(house)

    with house.database.reading() as session:
        assert subscribers.suppression(session, hashed(FORMER)) is None


def test_again_finds_nothing_left_to_do(house: House) -> None:
    erase(house)
    lines = Log(house.data_dir).since(0).erasures

    again = erase(house, now=LATER + timedelta(days=1))

    assert again.is_whole
    assert (again.letters, again.visits, again.exports) == (0, 0, ())
    assert sum(each.rows for each in again.rows if each.table != "subscriber") == 0
    assert Log(house.data_dir).since(0).erasures == lines


def test_an_address_that_nobody_has_is_suppressed_and_looked_for(house: House) -> None:
    stranger = "stranger.goldfinch@readers.example"
    refused = house.data_dir / "imports" / "refused.csv"
    refused.parent.mkdir()
    refused.write_text(stranger.upper())

    done = erase(house, stranger)

    assert (done.subscriber, refused.exists()) == (None, False)
    with house.database.reading() as session:
        found = subscribers.suppression(session, hashed(stranger))
    assert found is not None
    assert found.reason is Reason.ERASED


def test_what_somebody_typed_where_nothing_can_be_changed_is_named(house: House) -> None:
    with house.database.transaction() as session:
        actions.subscribe(
            session,
            EmailAddress.parse(GRACE),
            key=KEY,
            segments=("ai",),
            source=f"a letter of {GRACE}",
            wording="Yes.",
            now=NOON,
        )
    (house.data_dir / "notes.txt").write_text(f"call {GRACE}")

    done = erase(house)

    assert not done.is_whole
    assert [left.partition(":")[0] for left in done.left] == [
        f"the file {house.data_dir / 'notes.txt'}",
        "consent",
    ]


@pytest.mark.parametrize("reason", ["", "  ", f"{GRACE} asked", NAME.lower(), "x" * 501])
def test_the_reason_names_nobody(house: House, reason: str) -> None:
    with pytest.raises(ReasonInvalid):
        erasing.erase(house, GRACE, now=LATER, reason=reason, source="test")
    assert Log(house.data_dir).is_empty()


def test_nobodys_number_and_no_address_are_refused(house: House) -> None:
    with pytest.raises(SubscriberNotFound):
        erase(house, "4711")
    with pytest.raises(AddressInvalid):
        erase(house, "grace at readers.example")


def test_who_is_erased_may_be_named_by_number_and_by_an_address_of_old(house: House) -> None:
    erase(house, FORMER)

    assert_gone(house, NAME)


def test_a_taken_out_letter_is_not_there_for_whoever_had_the_list_open(house: House) -> None:
    reader = Store(house.data_dir / "inbox")
    before = reader.find().entries
    assert len(before) == 3

    erase(house)

    assert reader.find().total == len(reader) == 1
    assert [message.recipient for message in reader.all()] == ["hugo@readers.example"]
    with pytest.raises(LetterNotFound):
        reader.message(before[0].id)
    assert reader.find("goldfinch").entries == ()


def collected(house: House, who: str = GRACE) -> Dossier:
    return dossier.collect(house, who, LATER)


def test_everything_held_on_a_person_is_collected(house: House) -> None:
    held = collected(house)

    empty = {name for name, rows in held.tables.items() if not rows}
    assert empty <= {"event_review", "recent_hit"}
    assert held.tables["subscriber"][0]["name"] == NAME
    assert [row["text"] for row in held.tables["wording"]] == ["They agreed."]
    assert held.names["import"] == {"1": "fair.csv"}
    assert (len(held.letters), len(held.visits)) == (2, 1)
    text_of = "\n".join(dossier.summary(held))
    assert f"{NAME} <{GRACE}>" in text_of
    assert "fair.csv" in text_of
    assert "hugo" not in json.dumps(held.tables, default=str)


def test_an_erased_person_is_told_what_is_kept_and_why(house: House) -> None:
    erase(house)

    held = collected(house)

    lines = "\n".join(dossier.summary(held))
    assert "their data was erased" in lines
    assert "The address is not mailed: erased, since 2026-11-20." in lines
    assert {line.split()[0] for line in held.kept} >= {"suppression", "consent", "audience"}
    assert held.tables["event"] == []


def test_an_address_nobody_has_is_answered_too(house: House) -> None:
    nothing = collected(house, "stranger@readers.example")
    assert "Nothing is held on it." in dossier.summary(nothing)

    with house.database.transaction() as session:
        actions.suppress(
            session, hashed("stranger@readers.example"), Reason.OPERATOR, now=NOON, evidence="trap"
        )
    held = collected(house, "stranger@readers.example")
    assert held.rows == 1
    assert any("operator" in line for line in dossier.summary(held))
    assert "is it still them" in "\n".join(dossier.summary(collected(house, FORMER)))


def test_ten_thousand_events_are_collected_within_the_minute(house: House, scene: Scene) -> None:
    who = scene.people["Grace.Goldfinch.7431"]
    row = {"campaign_id": scene.campaign, "subscriber_id": who, "kind": "open", "at": NOON}
    with house.database.transaction() as session:
        session.execute(
            insert(EventRow),
            [
                row | {"hit_id": f"h{n}", "verdict": "person", "tracked": True}
                for n in range(10_000)
            ],
        )

    assert len(collected(house).tables["event"]) == 10_002


def test_a_start_without_erasures_costs_nothing(house: House) -> None:
    assert erasing.reapply(house, now=LATER) == 0
    erase(house)

    assert erasing.reapply(house, now=LATER) == 0
    with house.database.reading() as session:
        number = Log(house.data_dir).number()
        assert queries.marked(session, number) == Log(house.data_dir).size()


def copied(database: Database, tmp_path: Path) -> str:
    """The URL of a backup: a copy of the database as it is now."""
    url = database.engine.url
    if database.is_sqlite:
        copy = tmp_path / "restored" / "dibao.db"
        copy.parent.mkdir()
        with closing(sqlite3.connect(url.database or "")) as connection:
            connection.execute(f"VACUUM INTO '{copy}'")
        return f"sqlite:///{copy}"
    database.close()
    backup = url.set(database=f"{url.database}_backup")
    with psycopg.connect(
        url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False),
        autocommit=True,
    ) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        names = (sql.Identifier(backup.database or ""), sql.Identifier(url.database or ""))
        connection.execute(create.format(*names))
    return backup.render_as_string(hide_password=False)


def test_a_restored_backup_forgets_them_again(house: House, tmp_path: Path) -> None:
    restored = Database(copied(house.database, tmp_path))
    erase(house)
    again = replace(house, database=restored)
    assert NAME in dump(restored)

    assert erasing.reapply(again, now=LATER + timedelta(days=1)) == 2, "both of her addresses"
    assert erasing.reapply(again, now=LATER + timedelta(days=1)) == 0

    assert_gone(again, GRACE, NAME, "goldfinch")
    with restored.reading() as session:
        found = subscribers.suppression(session, hashed(GRACE))
    assert found is not None
    assert found.reason is Reason.ERASED
    restored.close()


def test_who_came_back_since_stays(house: House) -> None:
    erase(house)
    with house.database.transaction() as session:
        who = actions.subscribe(
            session,
            EmailAddress.parse(GRACE),
            key=KEY,
            segments=("ai",),
            source="form",
            wording="Yes.",
            now=LATER + timedelta(days=1),
        )
        actions.confirm(session, who, now=LATER + timedelta(days=1), source="link")
        privacy.mark(session, Log(house.data_dir).number(), 0)  # as if the log were read anew

    assert erasing.reapply(house, now=LATER + timedelta(days=2)) == 0
    with house.database.reading() as session:
        assert subscribers.subscriber(session, who).state is State.CONFIRMED


def test_an_erasure_that_was_cut_short_is_done_at_the_next_start(house: House) -> None:
    Log(house.data_dir).add([hashed(GRACE)], LATER)

    assert erasing.reapply(house, now=LATER) == 1
    assert erasing.reapply(house, now=LATER) == 0
    assert_gone(house, GRACE, NAME)


def test_a_database_that_never_knew_them_learns_that_they_are_not_mailed(house: House) -> None:
    Log(house.data_dir).add([hashed("stranger@readers.example")], LATER)

    assert erasing.reapply(house, now=LATER) == 1
    with house.database.reading() as session:
        found = subscribers.suppression(session, hashed("stranger@readers.example"))
    assert found is not None
    assert replace(found, evidence="").reason is Reason.ERASED
