"""What happens at the same moment: nobody who is erased stays, nobody gets two letters.

Each test holds one transaction open while another begins; on SQLite they follow one another.
"""

import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select, text, update

from mailer.kit.database import Crossed, Database
from mailer.kit.errors import Unavailable
from mailer.kit.settings import Settings
from mailer.notices import actions as notices
from mailer.notices.notice import Kind
from mailer.privacy import actions as privacy
from mailer.privacy import erasing, retention
from mailer.privacy.erasing import House
from mailer.privacy.erasures import Log
from mailer.privacy.scrubbing import scrub
from subscribers import actions, bulk
from subscribers.address import EmailAddress
from subscribers.consent import Origin
from subscribers.intake import taking
from subscribers.intake.merge import Policy
from subscribers.intake.plan import Plan
from subscribers.models import ImportRow, SubscriberRow
from subscribers.outtake.asked import Asked
from subscribers.outtake.audit import ExportOvertaken
from subscribers.outtake.export import Place, people_to_file
from subscribers.subscriber import NewPerson, State
from subscribers.suppression import Reason
from tests.unit.notices.books import KEY, NOON, Books

ADA = EmailAddress.parse("ada@example.org")
SOON = 0.4  # seconds in which another transaction comes as far as it can
LIFE = timedelta(days=7)


@pytest.fixture
def books(database: Database, monkeypatch: pytest.MonkeyPatch) -> Books:
    return Books(database, monkeypatch)


@pytest.fixture
def house(books: Books, tmp_path: Path) -> House:
    return House(books.database, tmp_path / "var", KEY)


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """Another worker."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def erased(house: House, who: str = "ada@example.org") -> erasing.Erased:
    return erasing.erase(house, who, now=NOON, reason="asked", source="a test")


def during(
    database: Database, act: Callable[[Any], object], other: Callable[[], Any], pool: Any
) -> Any:
    """Act in a transaction, let the other begin before it is committed; what the other gives."""
    with database.transaction() as session:
        act(session)
        going: Future[Any] = pool.submit(other)
        time.sleep(SOON)
    return going.result(30)


def stored(session: Any, name: str = "ada") -> None:
    """As a batch of an import stores somebody."""
    person = NewPerson(EmailAddress.parse(f"{name}@example.org"), segments=("ai",))
    terms: dict[str, Any] = {
        "policy": Policy.SKIP,
        "now": NOON,
        "key": KEY,
        "wording": "they agreed",
    }
    bulk.store(session, [person], origin=Origin("a file"), **terms)


def addresses(database: Database) -> list[str | None]:
    with database.reading() as session:
        return list(session.scalars(select(SubscriberRow.address)))


def test_who_is_just_signing_up_is_erased_too(
    books: Books, house: House, beside: ThreadPoolExecutor
) -> None:
    books.wish()

    during(
        books.database,
        lambda session: notices.take(session, key=KEY, now=NOON),
        lambda: erased(house),
        beside,
    )

    assert addresses(books.database) == [None]


def test_who_is_just_being_imported_is_erased_too(
    books: Books, house: House, beside: ThreadPoolExecutor
) -> None:
    during(books.database, stored, lambda: erased(house), beside)

    assert addresses(books.database) == [None]


def test_a_press_on_confirm_and_an_erasure_do_not_wait_for_each_other(
    books: Books, beside: ThreadPoolExecutor
) -> None:
    books.wish()
    books.sender().work()
    letter, who = books.notices()[0], books.who()

    def press() -> bool:
        with books.database.transaction() as session:
            return notices.confirm(session, letter.id, who, now=NOON, life=LIFE, source="a page")

    def half_erased(session: Any) -> None:
        session.execute(update(SubscriberRow).where(SubscriberRow.id == who).values(name=""))
        going.append(beside.submit(press))
        time.sleep(SOON)
        privacy.forget(session, [who], [letter.address_key])  # waits if the press has the letter

    going: list[Future[bool]] = []
    with books.database.transaction() as session:
        half_erased(session)

    assert going[0].result(30) is False, "there is no such letter any more"


def test_two_presses_at_once_confirm_once(books: Books, beside: ThreadPoolExecutor) -> None:
    books.wish()
    books.sender().work()
    letter, who = books.notices()[0], books.who()
    both = threading.Barrier(2)

    def press() -> bool:
        both.wait()
        with books.database.transaction() as session:
            return notices.confirm(session, letter.id, who, now=NOON, life=LIFE, source="a page")

    pressed = [beside.submit(press), beside.submit(press)]

    assert sorted(one.result(30) for one in pressed) == [False, True]
    assert [n.kind for n in books.notices()].count(Kind.WELCOME.value) == 1


def test_fifty_sign_ups_at_once_and_two_workers_make_one_letter(books: Books) -> None:
    every = ThreadPoolExecutor(50)
    with every as pool:
        for done in [pool.submit(books.wish, "ada", "ai") for _ in range(50)]:
            done.result(60)
    workers = [books.sender() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(worker.work) for worker in workers]
        assert sum(one.result(60) for one in sent) == 1

    assert len(books.notices()) == 1
    books.now = NOON + timedelta(hours=23, minutes=59)
    books.wish()
    assert books.sender().work() == 0
    books.now = NOON + timedelta(hours=24, minutes=1)
    books.wish()
    assert books.sender().work() == 1


def test_an_export_under_way_does_not_outlive_an_erasure(books: Books, house: House) -> None:
    with books.database.transaction() as session:
        for name in ("ada", "ben"):
            stored(session, name)
    place = Place(house.data_dir, timedelta(hours=24))

    def advance(_done: int, _total: int) -> None:
        erased(house)

    with pytest.raises(ExportOvertaken):
        people_to_file(
            house.database,
            Asked(),
            place,
            actor="a test",
            now=NOON,
            advance=advance,
        )

    assert not list(house.data_dir.rglob("*.csv"))
    _, whole = people_to_file(house.database, Asked(), place, actor="a test", now=NOON)
    assert "ben@example.org" in whole.read_text()
    assert "ada@example.org" not in whole.read_text()


def test_who_asks_again_while_the_unconfirmed_go_stays(
    books: Books, tmp_path: Path, beside: ThreadPoolExecutor
) -> None:
    books.wish()
    books.sender().work()
    later = NOON + timedelta(days=8)

    def asks_again(session: Any) -> None:
        actions.subscribe(
            session, ADA, key=KEY, segments=["ai"], source="a form", wording="w", now=later
        )

    settings = Settings(data_dir=tmp_path)
    during(
        books.database,
        asks_again,
        lambda: retention.run(books.database, settings, later),
        beside,
    )

    assert addresses(books.database) == ["ada@example.org"]


def test_two_who_begin_one_import_at_once_begin_it_once(
    books: Books, beside: ThreadPoolExecutor
) -> None:
    plan = Plan("they agreed", "people.csv", ("ai",), actor="a test")
    begun = taking._begun  # noqa: SLF001  # the moment between looking and noting

    def slow(*args: Any) -> Any:
        both.wait()
        return begun(*args)

    def first_word() -> int | None:
        file = io.BytesIO(b"email\nada@example.org\n")
        return next(iter(taking.take(books.database, file, plan, key=KEY, now=NOON))).run

    both = threading.Barrier(2)
    books.monkeypatch.setattr(taking, "_begun", slow)
    numbers = [beside.submit(first_word), beside.submit(first_word)]

    assert len({one.result(30) for one in numbers}) == 1
    with books.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(ImportRow)) == 1


def test_two_imports_that_lock_each_other_out_are_both_stored(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch, beside: ThreadPoolExecutor
) -> None:
    books = Books(postgres_database, monkeypatch)
    both, first = threading.Barrier(2), threading.local()

    def batch(one: str, other: str) -> None:
        def work(session: Any) -> None:
            for name in (one, other):
                actions.suppress(session, name, Reason.OPERATOR, now=NOON)
                if not getattr(first, "met", False):
                    first.met = True
                    both.wait()

        books.database.settled(work)

    going = [beside.submit(batch, "a", "b"), beside.submit(batch, "b", "a")]

    for one in going:
        one.result(30)
    with books.database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM suppression")) == 2


def test_a_deadlock_is_something_to_try_again(
    postgres_database: Database, beside: ThreadPoolExecutor
) -> None:
    both = threading.Barrier(2)

    def cross(one: int, other: int) -> None:
        with postgres_database.transaction() as session:
            session.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": one})
            both.wait()
            session.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": other})

    going = [beside.submit(cross, 1, 2), beside.submit(cross, 2, 1)]

    assert sorted(type(one.exception(30)).__name__ for one in going) == ["Crossed", "NoneType"]
    assert Crossed().code == "crossed"


def test_a_database_that_stays_locked_may_be_scrubbed_another_time(
    sqlite_database: Database,
) -> None:
    hurried = Database(sqlite_database.url)
    event.listen(hurried.engine, "connect", lambda it, _: it.execute("PRAGMA busy_timeout=10"))

    with sqlite_database.transaction() as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(Unavailable, match="locked"):
            scrub(hurried, ())
    hurried.close()


def test_who_is_known_by_number_only_is_not_sought_in_files_a_second_time(
    books: Books, house: House
) -> None:
    with books.database.transaction() as session:
        stored(session)
    number = str(books.who())
    assert erased(house, number).is_whole

    assert not erased(house, number).is_whole
    assert erased(house).is_whole, "by the address"


def test_who_left_with_an_import_taken_back_and_is_erased_then_stands_in_the_log(
    books: Books, house: House
) -> None:
    with books.database.transaction() as session:
        stored(session)
        gone = update(SubscriberRow).values(state=State.ERASED.value, address=None, name="")
        session.execute(gone)  # as an import taken back leaves them: no suppression

    erased(house)
    assert Log(house.data_dir).size() > 0, "a backup from before is led through it"
    size = Log(house.data_dir).size()
    erased(house)

    assert Log(house.data_dir).size() == size
